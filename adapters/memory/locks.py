"""Locks between the threads of one process."""

from contextlib import AbstractContextManager

from lading.adapters.memory.per_process import PerProcess
from lading.adapters.memory.reentrant import ReentrantLocks
from lading.adapters.stream.event import Event

__all__ = ["MemoryLocks", "ThreadHold"]


class ThreadHold:
    """A thread's hold of a name, among the threads of its process."""

    def __init__(self, held: "dict[str, ThreadHold]", name: str) -> None:
        """`held`: the names that are locked, each by its hold."""
        self._held, self._name = held, name
        self.released = Event()

    def acquire(self, *, wait: bool) -> bool:
        # One operation of a dict decides, so an interrupt comes before or after it.
        while (holder := self._held.setdefault(self._name, self)) is not self:
            if not wait:
                return False
            holder.released.wait()
        return True

    def release(self) -> None:
        if self._held.get(self._name) is self:
            del self._held[self._name]
        self.released.set()


class MemoryLocks:
    """Locks in a dict; nothing survives the process."""

    def __init__(self) -> None:
        self._locks = ReentrantLocks()
        self._held: PerProcess[dict[str, ThreadHold]] = PerProcess(dict)

    def hold(self, name: str, *, wait: bool = True) -> AbstractContextManager[bool]:
        return self._locks.hold(name, lambda: ThreadHold(self._held.get(), name), wait=wait)
