"""The port of progress observers."""

from typing import Protocol, runtime_checkable

__all__ = ["NullObserver", "Observer", "SupportsSteps", "SupportsWaiting", "report_step"]


class Observer(Protocol):
    """Receives the progress of a transfer, often, on the thread that moves the bytes: be quick, never raise."""

    def progress(self, done: int, total: int | None) -> None:
        """Reports that `done` bytes of `total` are processed; `total` None: unknown.

        Each attempt starts from 0, and so does each step of it: a download, a conversion, the reading of its result.
        """
        ...


@runtime_checkable
class SupportsWaiting(Protocol):
    """An observer that is also called when a fetch waits for another one."""

    def waiting(self, reason: str) -> None:
        """Reports the reason of a wait: `process 4242, which fetches the same image (40.0 of 150.0 MiB)`.

        It may be called again, by another thread, but never at the same time as `progress`. The wait ends with the
        next `progress`, or with the fetch. Be quick, never raise.
        """
        ...


@runtime_checkable
class SupportsSteps(Protocol):
    """An observer that is also called when the next step of an attempt begins."""

    def step(self, name: str) -> None:
        """Reports a step after the transfer: `unpacking`, `converting to raw`, `flushing`, `reading back`, ….

        The next `progress` is of this step. A step that cannot tell its progress reports none. Be quick, never raise.
        """
        ...


class NullObserver:
    """An observer that ignores progress."""

    def progress(self, done: int, total: int | None) -> None:
        pass


def report_step(observer: Observer, name: str) -> None:
    """Reports the step to an observer that supports steps."""
    if isinstance(observer, SupportsSteps):
        observer.step(name)
