"""Who may work on a thing just now."""

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

__all__ = ["Locks", "Unlocked"]


class Locks(Protocol):
    """Names that one thread at a time holds, of all threads of all processes that share them.

    A holder that dies frees its place at once. A thread that holds a name may take it again.
    """

    def hold(self, name: str, *, wait: bool = True) -> AbstractContextManager[bool]:
        """Hold the name while the block runs. It is told whether it is held: always, unless it was not to `wait`.

        Raises StoreUnavailable when that can't be found out.
        """
        ...


class Unlocked:
    """The locks of a program that sees to it by itself that no two do the same at a time."""

    def hold(self, name: str, *, wait: bool = True) -> AbstractContextManager[bool]:
        return nullcontext(enter_result=True)
