"""A journal for operations whose locks are in etcd."""

from collections.abc import Iterator, Mapping

from returns.result import safe

from lading.adapters.etcd.locks import EtcdLocks
from lading.domain.handler_calls import value_or_raise
from lading.domain.ledger import lock_name
from lading.ports.failures import StoreUnavailable
from lading.ports.journal import Intent, Journal
from lading.ports.locks import Locks

__all__ = ["FencedJournal", "fenced"]


def fenced(journal: Journal, locks: Locks) -> Journal:
    """The journal for operations under these locks."""
    return FencedJournal(journal, locks) if isinstance(locks, EtcdLocks) else journal


class FencedJournal:
    """A journal that fails with LockLost for a holder that has lost its lock in etcd.

    A handler notes each step before it changes anything. So it learns of the loss before it publishes, and aborts.
    Another process of this host may have begun an operation on the target since: its intent is not this holder's.
    """

    def __init__(self, journal: Journal, locks: EtcdLocks) -> None:
        self._journal = journal
        self._locks = locks

    @safe(exceptions=(StoreUnavailable,))
    def begin(self, intent: Intent) -> None:
        for end in (intent.target, intent.destination):
            if end:
                self._locks.require(lock_name(end))
        value_or_raise(self._journal.begin(intent))

    @safe(exceptions=(StoreUnavailable,))
    def note(self, target: str, notes: Mapping[str, object]) -> None:
        self._locks.require(lock_name(target))
        value_or_raise(self._journal.note(target, notes))

    @safe(exceptions=(StoreUnavailable,))
    def settle(self, target: str) -> None:
        self._locks.require(lock_name(target))
        value_or_raise(self._journal.settle(target))

    @safe(exceptions=(StoreUnavailable,))
    def pending(self, target: str) -> Intent | None:
        self._locks.require(lock_name(target))
        return value_or_raise(self._journal.pending(target))

    def list(self) -> Iterator[Intent]:
        return self._journal.list()
