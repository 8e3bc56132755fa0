"""Locks between many hosts, in etcd."""

import logging
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
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
from lading.adapters.memory.locks import MemoryLocks, ThreadHold
from lading.adapters.memory.per_process import PerProcess
from lading.adapters.memory.reentrant import ReentrantLocks
from lading.domain.ledger import lock_name
from lading.ports.failures import LockLost, StoreUnavailable
from lading.ports.locks import Locks, SupportsHolder

__all__ = ["EtcdLocks", "lost_lock"]

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Place:
    """A place among those that want a lock. The first of them holds it."""

    lease: Lease
    key: bytes
    is_wanted: bool = False
    """True once etcd was asked for the key."""
    created_at: int = 0
    """The revision at which the key was created: no earlier or later place has the same. 0: it is not known."""
    is_abandoned: bool = False
    """True when the key, if there is one, goes with its lease."""


class _Process:
    """The locks of one process."""

    def __init__(self) -> None:
        # All threads of a process have one lease, so etcd does not tell them apart.
        self.threads: dict[str, ThreadHold] = {}
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
        return self._reentrant.hold(name, partial(self._new_hold, name), wait=wait)

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

    def _new_hold(self, name: str) -> "_EtcdHold":
        process, prefix = self._process.get(), self._prefix(name)
        return _EtcdHold(self._cluster, process, name, prefix, self._host, self._seconds)


class _EtcdHold:
    """A thread's hold of a name, first among the threads of its process, then in etcd."""

    def __init__(self, cluster: Cluster, process: _Process, name: str, prefix: bytes, host: str, seconds: int) -> None:
        """`prefix`: of the keys of all places for the name. `seconds`: the time of a new lease."""
        self._cluster, self._process = cluster, process
        self._name, self._prefix, self._host, self._seconds = name, prefix, host, seconds
        self._thread = ThreadHold(process.threads, name)
        self._place: _Place | None = None

    def acquire(self, *, wait: bool) -> bool:
        """Raises StoreUnavailable."""
        if not self._thread.acquire(wait=wait):
            return False
        is_told = False
        while True:
            place = self._new_place()
            try:
                while True:
                    first = self._queue(place)
                    if first.key == place.key:
                        self._process.held[self._name] = place
                        return True
                    if not wait:
                        return False
                    if not is_told:
                        is_told = True
                        _log.info("waiting for %s to release %s", _holder_text(first), self._name)
                    self._await_turn(place)
            except LeaseGone:
                # This process was stopped for longer than the lease: it takes its place with another one.
                place.lease.is_lost = True
            except StoreUnavailable:
                place.is_abandoned = True
                place.lease.retire()
                raise
            self._leave()

    def release(self) -> None:
        self._leave()
        self._thread.release()

    def _new_place(self) -> _Place:
        """A place whose lease is kept alive. Threads that need a lease at once may each get one."""
        lease = self._process.lease
        if lease is not None and (place := self._place_under(lease)):
            return place
        lease = self._process.lease = Lease(self._cluster, self._seconds)
        if place := self._place_under(lease):
            return place
        raise StoreUnavailable(f"etcd took too long to grant a lease of {self._seconds} s")

    def _place_under(self, lease: Lease) -> _Place | None:
        """A place under the lease; None: that cannot be held any more."""
        self._place = _Place(lease, b"%s/%x" % (self._prefix, lease.id))
        return self._place if lease.hold(self._place) else None

    def _queue(self, place: _Place) -> KeyValue:
        """Takes the place, or keeps it. Returns the first in the row."""
        place.is_wanted = True
        value = to_json({"host": self._host, "process": os.getpid()})
        outcome = self._cluster.transaction(
            [put(place.key, value, place.lease.id), _oldest(self._prefix)],
            when=[created_at(place.key, 0)],
            otherwise=[get(place.key), _oldest(self._prefix)],
        )
        own, (first,) = outcome.found
        place.created_at = outcome.revision if outcome.succeeded else own[0].created_at
        return first

    def _await_turn(self, place: _Place) -> None:
        """Waits until the place before this one is free, or for some seconds."""
        keys = self._prefix + b"/"
        outcome = self._cluster.transaction([newest_before(keys, prefix_end(keys), place.created_at)])
        for before in outcome.found[0]:
            self._cluster.await_deletion(before.key, outcome.revision + 1)

    def _leave(self) -> None:
        """Gives the place up, and lets its lease expire when no other place needs it."""
        if (place := self._place) is None:
            return
        if self._process.held.get(self._name) is place:
            del self._process.held[self._name]
        if place.is_wanted and not place.is_abandoned and not place.lease.is_lost:
            self._delete(place)
        place.lease.release(place)
        self._place = None

    def _delete(self, place: _Place) -> None:
        """Deletes the key only where it is this place's.

        A member that was frozen may do it late. Then it must not delete a later key of the same name.
        """
        revision = place.created_at
        if not revision:
            place.lease.retire()  # the key is deleted whenever it was created, so there must be no later one
        try:
            self._cluster.transaction([delete(place.key)], when=[created_at(place.key, revision)] if revision else ())
        except StoreUnavailable as failure:
            place.lease.retire()
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
