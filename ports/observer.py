"""Who watches."""

from typing import Protocol, runtime_checkable

__all__ = ["NullObserver", "Observer", "SupportsWaiting"]


class Observer(Protocol):
    """Is told how a transfer goes. Called from the thread that moves the bytes, often: be quick, never raise."""

    def progress(self, done: int, total: int | None) -> None:
        """So many bytes of so many have been dealt with. A new attempt starts from 0 again."""
        ...


@runtime_checkable
class SupportsWaiting(Protocol):
    """An observer that is also told when a fetch waits for another one."""

    def waiting(self, reason: str) -> None:
        """The fetch waits for this: `process 4242, which fetches the same image (40/150 MiB)`.

        Called again when there may be more to tell, perhaps from another thread, and never at the same time as
        `progress`. The wait is over with the next progress, or with the fetch. Be quick, never raise.
        """
        ...


class NullObserver:
    """The observer who doesn't care."""

    def progress(self, done: int, total: int | None) -> None:
        pass
