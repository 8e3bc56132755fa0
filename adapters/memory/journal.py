"""The journal in the memory of this process."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace

from returns.result import Result, Success

from lading.ports.failures import StoreUnavailable
from lading.ports.journal import Intent

__all__ = ["MemoryJournal"]


class MemoryJournal:
    """A Journal in a dict; nothing survives the process."""

    def __init__(self) -> None:
        self._by_target: dict[str, Intent] = {}
        self._lock = threading.Lock()

    def begin(self, intent: Intent) -> Result[None, StoreUnavailable]:
        with self._lock:
            self._by_target[intent.target] = intent
        return Success(None)

    def note(self, target: str, notes: Mapping[str, object]) -> Result[None, StoreUnavailable]:
        with self._lock:
            if (intent := self._by_target.get(target)) is not None:
                self._by_target[target] = replace(intent, notes=dict(notes))
        return Success(None)

    def settle(self, target: str) -> Result[None, StoreUnavailable]:
        with self._lock:
            self._by_target.pop(target, None)
        return Success(None)

    def pending(self, target: str) -> Result[Intent | None, StoreUnavailable]:
        with self._lock:
            matches = (each for each in self._by_target.values() if target in {each.target, each.destination})
            return Success(self._by_target.get(target) or next(matches, None))

    def list(self) -> Iterator[Intent]:
        with self._lock:
            snapshot = sorted(self._by_target.items())
        for _, intent in snapshot:
            yield intent
