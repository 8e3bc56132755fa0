"""Who may work on a thing just now."""

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, runtime_checkable

__all__ = ["Locks", "NullLocks", "SupportsHolder"]


class Locks(Protocol):
    """Names that one thread at a time holds, of all threads of all processes that share them.

    A holder that dies frees its place at once. A thread that holds a name may take it again.
    """

    def hold(self, name: str, *, wait: bool = True) -> AbstractContextManager[bool]:
        """Hold the name while the block runs. It is told whether it is held: always, unless it was not to `wait`.

        Raises StoreUnavailable when that can't be found out.
        """
        ...


@runtime_checkable
class SupportsHolder(Protocol):
    """Locks that can tell who holds a name."""

    def holder(self, name: str) -> int | None:
        """The id of another process that holds the name, or did a moment ago; None when none is known."""
        ...


class NullLocks:
    """The locks of a program that sees to it by itself that no two do the same at a time."""

    def hold(self, name: str, *, wait: bool = True) -> AbstractContextManager[bool]:
        return nullcontext(enter_result=True)
