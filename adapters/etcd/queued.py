"""Associations of many hosts in etcd, with a copy of this host's for the time when etcd is away."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from returns.result import safe

from lading.adapters.etcd.associations import EtcdAssociations, encoded
from lading.adapters.etcd.cluster import is_away
from lading.adapters.etcd.locks import EtcdLocks
from lading.adapters.sqlite.database import Database
from lading.adapters.sqlite.local_copy import LocalCopy
from lading.domain.handler_calls import value_or_raise
from lading.domain.ledger import lock_name
from lading.ports.association import Association
from lading.ports.association_store import AssociationStore, HostTarget
from lading.ports.failures import StoreUnavailable
from lading.ports.handover import Change, Difference, HandOver
from lading.ports.image import Digest
from lading.ports.locks import Locks

__all__ = ["QueuedAssociations", "queued_associations"]

_log = logging.getLogger(__name__)
PAUSE_SECONDS: Final = 5.0
"""Seconds until etcd is tried again, by any process of this host, after it did not answer."""
_LARGEST: Final = 1 << 20
"""Bytes of an association. etcd takes requests of 1.5 MiB, unless it is configured otherwise."""


class _Away(Exception):
    """etcd does not answer, or did not some seconds ago."""


class QueuedAssociations:
    """An AssociationStore that works while etcd is away. A change is queued on this host, and handed over later.

    A target whose lock is in etcd is not queued: another host may have the lock while etcd is away. Its changes, and
    what is recorded of it, are refused then.

    A change is first made in the copy and added to the queue, in one transaction. Then the queue is handed over, in
    order. So an interruption loses no change and makes none twice:

    - Before the transaction nothing has changed.
    - After it, the change is in the queue, and the next operation hands it over.
    - After etcd has made the change, it is still in the queue. etcd has its id, and so does not make it again.

    Several processes may hand over the same queue. Each takes the first change, and etcd makes each change once: its
    transaction compares the id of the change before it.
    """

    def __init__(self, shared: EtcdAssociations, copy: LocalCopy, locks: Locks) -> None:
        """`locks` are those of the operations on its targets."""
        self._shared = shared
        self._copy = copy
        self._locks = locks

    @safe(exceptions=(StoreUnavailable,))
    def get(self, target: str) -> Association | None:
        return self._get(target)

    @safe(exceptions=(StoreUnavailable,))
    def put(self, association: Association) -> None:
        if not self._is_local(association.target):
            value_or_raise(self._shared.put(association))
            return
        size = len(encoded(association))
        if size > _LARGEST:
            # In the queue it would keep all later changes from etcd.
            raise StoreUnavailable(f"the association of {association.target} is too large for etcd: {size} bytes")
        self._change(association.target, association)

    @safe(exceptions=(StoreUnavailable,))
    def remove(self, target: str) -> None:
        if self._is_local(target):
            self._change(target, None)
        else:
            value_or_raise(self._shared.remove(target))

    def list(
        self, *, handler: str | None = None, image_id: str | None = None, digest: Digest | None = None
    ) -> Iterator[Association]:
        last: str | None = None
        try:
            self._reach()
            shared = self._shared.list(handler=handler, image_id=image_id, digest=digest)
            while (each := self._next(shared)) is not None:
                yield each
                last = each.target
        except _Away:
            for each in self._copy.list(handler=handler, image_id=image_id, digest=digest):
                if self._is_local(each.target) and (last is None or each.target > last):
                    yield each

    def list_host(self, host: str | None = None) -> Iterator[tuple[str, Association]]:
        self._reach_or_raise()
        yield from self._shared.list_host(host)

    def holders(self, image: str) -> Iterator[HostTarget]:
        self._reach_or_raise()
        yield from self._shared.holders(image)

    def hosts(self) -> Iterator[str]:
        self._reach_or_raise()
        yield from self._shared.hosts()

    def image_names(self, start: str) -> Iterator[str]:
        self._reach_or_raise()
        yield from self._shared.image_names(start)

    def hand_over(self) -> HandOver:
        made: list[Change] = []
        differences: Sequence[Difference] = ()
        reason = None
        try:
            for each in self._hand_over():
                made.append(each)  # noqa: PERF402 - those before an exception too
            differences = self._take_differences()
        except _Away as away:
            reason = str(away)
        return HandOver(made, differences, reason)

    def pending(self) -> Sequence[Change]:
        return self._copy.changes()

    def conflicts(self) -> Sequence[Difference]:
        return self._copy.conflicts()

    def acknowledge(self, target: str) -> bool:
        return self._copy.acknowledge(target)

    def _is_local(self, target: str) -> bool:
        return not isinstance(self._locks, EtcdLocks) or self._locks.is_local(lock_name(target))

    def _get(self, target: str) -> Association | None:
        if not self._is_local(target):
            return value_or_raise(self._shared.get(target))
        try:
            self._reach()
            own = self._copy.get(target)
            with self._noting_absence():
                shared = value_or_raise(self._shared.get(target))
        except _Away:
            return self._copy.get(target)
        if own == shared or self._take(target, own, shared):
            return shared
        return self._copy.get(target)

    def _take(self, target: str, seen: Association | None, shared: Association | None) -> bool:
        is_taken = self._copy.take(target, seen, shared)
        if is_taken:
            _log.warning("%s: others have changed it in etcd, and this host takes that", target)
        return is_taken

    def _change(self, target: str, association: Association | None) -> None:
        self._get(target)  # so that the change replaces what etcd has now
        self._copy.change(target, association)
        try:
            self._reach()
        except _Away:
            _log.info("%s: the change is queued until etcd is back", target)

    def _reach(self) -> None:
        """Hands over what is pending. Raises _Away, without a call while etcd is known to be away."""
        if self._copy.state().is_paused(PAUSE_SECONDS):
            raise _Away("etcd did not answer some seconds ago")
        for each in self._hand_over():
            _log.info("%s: the change of %s is handed over to etcd", each.target, each.decided_at)

    def _reach_or_raise(self) -> None:
        try:
            self._reach()
        except _Away as away:
            raise StoreUnavailable(f"only etcd knows the targets of other hosts: {away}") from away

    def _hand_over(self) -> Iterator[Change]:
        """Hands over what is pending, in order. Yields each change that etcd has. Raises _Away."""
        if not self._copy.state().is_copied:
            with self._noting_absence():
                shared = self._shared_targets()
            self._copy.fill(shared)
        while (change := self._copy.first_change()) is not None:
            with self._noting_absence():
                difference = self._shared.hand_over(change)
            if difference is None:
                self._copy.done(change)
                yield change
            elif self._copy.lose(change, difference.shared):
                _log.warning("%s: others have changed it while etcd was away: lading recover shows how", change.target)

    def _take_differences(self) -> Sequence[Difference]:
        """Takes what others have changed in etcd. Raises _Away."""
        # In this order: the copy takes nothing older than what it has.
        own = {each.target: each for each in self._copy.list() if self._is_local(each.target)}
        with self._noting_absence():
            shared = self._shared_targets()
        if self._copy.state().paused_until:
            self._copy.pause(0)
        return [
            Difference(target, own.get(target), shared.get(target))
            for target in sorted({*own, *shared})
            if own.get(target) != shared.get(target) and self._take(target, own.get(target), shared.get(target))
        ]

    def _shared_targets(self) -> dict[str, Association]:
        return {each.target: each for each in self._shared.list() if self._is_local(each.target)}

    def _next(self, shared: Iterator[Association]) -> Association | None:
        with self._noting_absence():
            return next(shared, None)

    @contextmanager
    def _noting_absence(self) -> Iterator[None]:
        """Raises _Away where a call to etcd is not answered, and lets no other process wait for it now."""
        try:
            yield
        except StoreUnavailable as failure:
            if not is_away(failure):
                raise
            self._copy.pause(time.time() + PAUSE_SECONDS)
            _log.warning("%s; this host uses its own record, without targets that it shares", failure)
            raise _Away(str(failure)) from failure


def queued_associations(shared: EtcdAssociations, database: Database, locks: Locks) -> AssociationStore:
    """The store with its copy in the database. Without it where all locks are in etcd: nothing could be queued."""
    if isinstance(locks, EtcdLocks) and not locks.has_local_names:
        return shared
    return QueuedAssociations(shared, LocalCopy(database), locks)
