"""The port of locks, by name."""

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, runtime_checkable

__all__ = ["Locks", "NullLocks", "SupportsHolder", "SupportsSharing"]


class Locks(Protocol):
    """Exclusive locks by name, between the threads of all processes that share them.

    They are reentrant: a thread may acquire a lock that it holds. A process that dies releases its locks at once.
    """

    def hold(self, name: str, *, wait: bool = True) -> AbstractContextManager[bool]:
        """Locks the name for the duration of the block. Yields whether the lock was acquired.

        With `wait` it always is; without, the block runs at once. Raises StoreUnavailable.
        """
        ...


@runtime_checkable
class SupportsHolder(Protocol):
    """Locks that know the process that holds a name."""

    def holder(self, name: str) -> int | None:
        """Returns the id of another process that holds the name, or held it a moment ago; None when none is known."""
        ...


@runtime_checkable
class SupportsSharing(Protocol):
    """Locks that several hosts may share."""

    def sharer(self, name: str) -> str | None:
        """Returns the name of this host among those that share the lock; None when no other host does."""
        ...


class NullLocks:
    """No locks: for a program that itself runs one operation a target at a time."""

    def hold(self, name: str, *, wait: bool = True) -> AbstractContextManager[bool]:
        return nullcontext(enter_result=True)
