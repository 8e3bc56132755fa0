"""Locks between many hosts, in etcd."""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import NamedTuple, Self

from returns.result import Result, safe

from lading.adapters.codec.text import MALFORMED, json_object, to_json
from lading.adapters.etcd.cluster import Cluster, KeyValue, LeaseGone, Op, created_at, delete, get, prefix_end, put
from lading.adapters.etcd.keys import Keys, Scopes
from lading.adapters.etcd.lease import Lease
from lading.adapters.etcd.settings import EtcdLocksSettings
from lading.adapters.flock.locks import FileLocks
from lading.adapters.memory.locks import MemoryLocks
from lading.adapters.memory.reentrant import ReentrantLocks
from lading.domain.handler_calls import value_or_raise
from lading.domain.ledger import lock_name
from lading.ports.failures import StoreUnavailable
from lading.ports.journal import Intent, Journal
from lading.ports.locks import Locks, SupportsHolder

__all__ = ["EtcdLocks", "FencedJournal", "fenced", "lost_lock"]

_log = logging.getLogger(__name__)


class _Held(NamedTuple):
    """A lock that this process holds."""

    process: int
    lease: Lease
    key: bytes
    created_at: int
    """The revision at which the key was created: no earlier or later holder has the same."""


class EtcdLocks:
    """Locks by keys in etcd, each under a lease of its process. The first key of a name is the holder's.

    A holder that dies, or does not reach etcd, loses its locks when its lease expires. `require` tells a holder so.
    """

    def __init__(
        self,
        cluster: Cluster,
        keys: Keys,
        *,
        host: str,
        scope: str | Mapping[str, str] | None = None,
        seconds: int = 30,
        local: Locks | None = None,
    ) -> None:
        """`seconds`: the time of a lease. `local`: the locks of names in no shared scope; None: these are in etcd."""
        self._cluster = cluster
        self._keys = keys
        self.scope = scope
        self._scopes = Scopes(host, scope)
        self._host = host
        self._seconds = seconds
        self._local = local
        self._reentrant = ReentrantLocks()
        # All threads of a process have one lease, so etcd does not tell them apart.
        self._threads = MemoryLocks()
        self._lease: tuple[int, Lease] | None = None
        """The process that was granted it, and the lease."""
        self._guard = threading.Lock()
        self._held: dict[str, _Held] = {}

    @classmethod
    def from_settings(cls, settings: EtcdLocksSettings) -> Self:
        local: Locks | None = None
        if settings.has_local_names:
            local = FileLocks(settings.folder) if settings.folder is not None else MemoryLocks()
        return cls(
            Cluster(settings), Keys(settings.namespace), host=settings.host, scope=settings.scope,
            seconds=settings.lease, local=local,
        )  # fmt: skip

    @property
    def has_local_names(self) -> bool:
        """True when the locks of some names are this host's alone."""
        return self._local is not None

    def hold(self, name: str, *, wait: bool = True) -> AbstractContextManager[bool]:
        if self._local is not None and self.is_local(name):
            return self._local.hold(name, wait=wait)
        return self._reentrant.hold(name, partial(self._acquire, name, wait=wait))

    def is_local(self, name: str) -> bool:
        """Tells whether this is a lock of the host alone, which needs no etcd."""
        return self._local is not None and self._scope(name) == self._scopes.default

    def holder(self, name: str) -> int | None:
        if self._local is not None and self.is_local(name):
            return self._local.holder(name) if isinstance(self._local, SupportsHolder) else None
        prefix = self._prefix(name)
        try:
            ((first,),) = self._cluster.transaction([_oldest(prefix)]).found
            known = json_object(first.value)
        except (StoreUnavailable, *MALFORMED):
            return None
        process = known.get("process") if known.get("host") == self._host else None
        return process if isinstance(process, int) and process != os.getpid() else None

    def require(self, name: str) -> None:
        """Raises StoreUnavailable when this process has lost the lock. It does nothing for one that it never held.

        While etcd does not answer, the lock is held until its lease can have expired.
        """
        held = self._held_here(name)
        if held is None:
            return
        try:
            is_held = self._cluster.transaction([], when=[created_at(held.key, held.created_at)]).succeeded
        except StoreUnavailable:
            if held.lease.is_valid:
                return
            raise
        if not is_held:
            raise StoreUnavailable(lost_lock(name))

    def fence(self, target: str) -> Op | None:
        """The comparison that this process still holds the target's lock; None: it does not hold it in etcd."""
        held = self._held_here(lock_name(target))
        return created_at(held.key, held.created_at) if held else None

    def _held_here(self, name: str) -> "_Held | None":
        held = self._held.get(name)
        return held if held is not None and held.process == os.getpid() else None

    def _scope(self, name: str) -> str:
        return self._scopes.of(name.removeprefix(lock_name("")))

    def _prefix(self, name: str) -> bytes:
        return self._keys.lock(self._scope(name), name)

    def _acquire(self, name: str, *, wait: bool) -> Callable[[], None] | None:
        """Acquires the lock and returns the function that releases it; None when another process holds it."""
        with ExitStack() as stack:
            if not stack.enter_context(self._threads.hold(name, wait=wait)):
                return None
            held = self._take(name, wait=wait)
            if held is None:
                return None
            self._held[name] = held
            stack.callback(self._release, name, held)
            return stack.pop_all().close

    def _take(self, name: str, *, wait: bool) -> "_Held | None":
        prefix = self._prefix(name)
        is_told = False
        while True:
            lease = self._process_lease()
            key = b"%s/%x" % (prefix, lease.id)
            try:
                while True:
                    revision, first = self._queue(prefix, key, lease.id)
                    if first.key == key:
                        return _Held(os.getpid(), lease, key, revision)
                    if not wait:
                        self._delete(key, lease)
                        lease.release()
                        return None
                    if not is_told:
                        is_told = True
                        _log.info("waiting for %s to release %s", _holder_text(first), name)
                    self._cluster.await_lock(prefix, lease.id)
            except LeaseGone:
                # This process was stopped for longer than the lease: it takes its place with another one.
                lease.is_lost = True
                lease.release()
            except BaseException:
                self._delete(key, lease)
                lease.release()
                raise

    def _queue(self, prefix: bytes, key: bytes, lease: int) -> tuple[int, KeyValue]:
        """Takes a place among those that want the lock, or keeps it. Returns its revision, and the first in the row."""
        value = to_json({"host": self._host, "process": os.getpid()})
        outcome = self._cluster.transaction(
            [put(key, value, lease), _oldest(prefix)], when=[created_at(key, 0)], otherwise=[get(key), _oldest(prefix)]
        )
        own, (first,) = outcome.found
        return (outcome.revision if outcome.succeeded else own[0].created_at), first

    def _process_lease(self) -> Lease:
        with self._guard:
            if self._lease is not None and self._lease[0] == os.getpid() and self._lease[1].hold():
                return self._lease[1]
            lease = Lease(self._cluster, self._seconds)
            lease.hold()
            self._lease = os.getpid(), lease
            return lease

    def _release(self, name: str, held: "_Held") -> None:
        del self._held[name]
        self._delete(held.key, held.lease)
        held.lease.release()

    def _delete(self, key: bytes, lease: Lease) -> None:
        if lease.is_lost:
            return
        try:
            self._cluster.transaction([delete(key)])
        except StoreUnavailable as failure:
            lease.retire()
            _log.warning("a lock is free only when its lease has expired: %s", failure)


def _oldest(prefix: bytes) -> Op:
    return get(prefix + b"/", prefix_end(prefix + b"/"), oldest=True)


def _holder_text(first: KeyValue) -> str:
    try:
        known = json_object(first.value)
        return f"process {known['process']} of {known['host']}"
    except MALFORMED:
        return "another process"


def lost_lock(name: str) -> str:
    """The reason of a refusal whose lock is lost."""
    return f"the lock of the {name} is lost: its lease expired while this process was stopped or did not reach etcd"


def fenced(journal: Journal, locks: Locks) -> Journal:
    """The journal for operations under these locks."""
    return FencedJournal(journal, locks) if isinstance(locks, EtcdLocks) else journal


class FencedJournal:
    """A journal that notes nothing for a holder that has lost its lock in etcd.

    A handler notes each step before it changes anything. So it learns of the loss before it publishes, and aborts.
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

    def settle(self, target: str) -> Result[None, StoreUnavailable]:
        return self._journal.settle(target)

    def pending(self, target: str) -> Result[Intent | None, StoreUnavailable]:
        return self._journal.pending(target)

    def list(self) -> Iterator[Intent]:
        return self._journal.list()
