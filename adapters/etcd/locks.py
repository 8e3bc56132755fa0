"""Locks between many hosts, in etcd."""

import logging
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Self

from lading.adapters.codec.text import MALFORMED, json_object, to_json
from lading.adapters.etcd.cluster import Cluster
from lading.adapters.etcd.gateway import LeaseGone
from lading.adapters.etcd.keys import Keys, Scopes
from lading.adapters.etcd.lease import Lease
from lading.adapters.etcd.operations import (
    KeyValue,
    Op,
    created_at,
    delete,
    get,
    newest_before,
    prefix_end,
    put,
)
from lading.adapters.etcd.settings import EtcdLocksSettings
from lading.adapters.flock.locks import FileLocks
from lading.adapters.memory.locks import MemoryLocks
from lading.adapters.memory.per_process import PerProcess
from lading.adapters.memory.reentrant import ReentrantLocks
from lading.domain.ledger import lock_name
from lading.ports.failures import LockLost, StoreUnavailable
from lading.ports.locks import Locks, SupportsHolder

__all__ = ["EtcdLocks", "lost_lock"]

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Place:
    """A place among those that want a lock. The first of them holds it."""

    lease: Lease
    key: bytes
    created_at: int = 0
    """The revision at which the key was created: no earlier or later place has the same. 0: it is not known."""
    is_abandoned: bool = False
    """True when the key, if there is one, goes with its lease."""


class _Process:
    """The locks of one process."""

    def __init__(self) -> None:
        # All threads of a process have one lease, so etcd does not tell them apart.
        self.threads = MemoryLocks()
        self.lease: Lease | None = None
        self.held: dict[str, _Place] = {}


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
        self._process = PerProcess(_Process)

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

    def sharer(self, name: str) -> str | None:
        return self._host if self._scopes.is_shared(name.removeprefix(lock_name(""))) else None

    def require(self, name: str) -> None:
        """Raises LockLost when this process has lost the lock. It does nothing for one that it never held.

        While etcd does not answer, the lock is held until its lease can have expired.
        """
        held = self._process.get().held.get(name)
        if held is None:
            return
        if not held.lease.is_lost:
            try:
                is_held = self._cluster.transaction([], when=[created_at(held.key, held.created_at)]).succeeded
            except StoreUnavailable:
                is_held = held.lease.is_valid
            if is_held:
                return
            held.lease.is_lost = True
        raise LockLost(lost_lock(name))

    def is_in(self, cluster: Cluster) -> bool:
        """Tells whether the locks are in this cluster: only there can a transaction compare them."""
        return cluster.endpoints == self._cluster.endpoints

    def check(self, target: str) -> None:
        """Raises LockLost when this process has lost the target's lock."""
        self.require(lock_name(target))

    def fence(self, target: str) -> Op | None:
        """The comparison that this process still holds the target's lock; None: it does not hold it in etcd."""
        held = self._process.get().held.get(lock_name(target))
        return created_at(held.key, held.created_at) if held else None

    def _scope(self, name: str) -> str:
        return self._scopes.of(name.removeprefix(lock_name("")))

    def _prefix(self, name: str) -> bytes:
        return self._keys.lock(self._scope(name), name)

    def _acquire(self, name: str, block: ExitStack, *, wait: bool) -> bool:
        """Acquires the lock until the block ends; False when another process or thread holds it."""
        process = self._process.get()
        if not block.enter_context(process.threads.hold(name, wait=wait)):
            return False
        prefix = self._prefix(name)
        is_told = False
        while True:
            stack = block.enter_context(ExitStack())
            lease = self._lease(process, stack)
            place = _Place(lease, b"%s/%x" % (prefix, lease.id))
            stack.callback(self._release, process, name, place)
            try:
                while True:
                    first = self._queue(prefix, place)
                    if first.key == place.key:
                        process.held[name] = place
                        return True
                    if not wait:
                        stack.close()
                        return False
                    if not is_told:
                        is_told = True
                        _log.info("waiting for %s to release %s", _holder_text(first), name)
                    self._await_turn(prefix, place.created_at)
            except LeaseGone:
                # This process was stopped for longer than the lease: it takes its place with another one.
                lease.is_lost = True
            except StoreUnavailable:
                place.is_abandoned = True
                lease.retire()
                raise
            stack.close()

    def _queue(self, prefix: bytes, place: _Place) -> KeyValue:
        """Takes the place, or keeps it. Returns the first in the row."""
        value = to_json({"host": self._host, "process": os.getpid()})
        outcome = self._cluster.transaction(
            [put(place.key, value, place.lease.id), _oldest(prefix)],
            when=[created_at(place.key, 0)],
            otherwise=[get(place.key), _oldest(prefix)],
        )
        own, (first,) = outcome.found
        place.created_at = outcome.revision if outcome.succeeded else own[0].created_at
        return first

    def _await_turn(self, prefix: bytes, revision: int) -> None:
        """Waits until the place before the one of this revision is free, or for some seconds."""
        outcome = self._cluster.transaction([newest_before(prefix + b"/", prefix_end(prefix + b"/"), revision)])
        for before in outcome.found[0]:
            self._cluster.await_deletion(before.key, outcome.revision + 1)

    def _lease(self, process: _Process, place: ExitStack) -> Lease:
        """A lease that is kept alive until the place is given up. Threads that need one at once may each get one."""
        if (lease := process.lease) is not None:
            place.callback(lease.release, place)
            if lease.hold(place):
                return lease
        lease = process.lease = Lease(self._cluster, self._seconds)
        place.callback(lease.release, place)
        if not lease.hold(place):
            raise StoreUnavailable(f"etcd took too long to grant a lease of {self._seconds} s")
        return lease

    def _release(self, process: _Process, name: str, place: _Place) -> None:
        """Gives the place up. The key is deleted only where it is this place's.

        A member that was frozen may do it late. Then it must not delete a later key of the same name.
        """
        process.held.pop(name, None)
        lease, revision = place.lease, place.created_at
        if place.is_abandoned or lease.is_lost:
            return
        if not revision:
            lease.retire()  # the key is deleted whenever it was created, so there must be no later one
        try:
            self._cluster.transaction([delete(place.key)], when=[created_at(place.key, revision)] if revision else ())
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
    """The reason of a failure for a lost lock."""
    return f"the lock of the {name} is lost: its lease expired while this process was stopped or did not reach etcd"
