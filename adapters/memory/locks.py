"""Locks between the threads of one process."""

import threading
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import partial

from lading.adapters.memory.per_process import PerProcess
from lading.adapters.memory.reentrant import ReentrantLocks

__all__ = ["MemoryLocks"]


@dataclass(slots=True)
class _Names:
    """The names that are locked, each by the block of this stack."""

    locked: dict[str, ExitStack] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)


class MemoryLocks:
    """Locks in a dict; nothing survives the process."""

    def __init__(self) -> None:
        self._locks = ReentrantLocks()
        self._names = PerProcess(_Names)

    def hold(self, name: str, *, wait: bool = True) -> AbstractContextManager[bool]:
        return self._locks.hold(name, partial(self._acquire, name, wait=wait))

    def _acquire(self, name: str, block: ExitStack, *, wait: bool) -> bool:
        names = self._names.get()
        with names.changed:
            if wait:
                names.changed.wait_for(lambda: name not in names.locked)
            elif name in names.locked:
                return False
            block.callback(_release, names, name, block)
            names.locked[name] = block
            return True


def _release(names: _Names, name: str, block: ExitStack) -> None:
    with names.changed:
        if names.locked.get(name) is block:
            del names.locked[name]
            names.changed.notify_all()
