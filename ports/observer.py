"""Who watches."""

from typing import Protocol

__all__ = ["Observer", "Silence"]


class Observer(Protocol):
    """Is told how a transfer goes. Called from the thread that moves the bytes, often: be quick, never raise."""

    def progress(self, done: int, total: int | None) -> None:
        """So many bytes of so many have been dealt with. A new attempt starts from 0 again."""
        ...


class Silence:
    """The observer who doesn't care."""

    def progress(self, done: int, total: int | None) -> None:
        pass
