"""Associations of many hosts in etcd."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import Final, Self

from returns.result import safe

from lading.adapters.codec.associations import decode_association, encode_association
from lading.adapters.codec.text import MALFORMED, json_object, to_json
from lading.adapters.etcd.cluster import (
    Cluster,
    Compacted,
    KeyValue,
    Op,
    delete,
    get,
    modified_at,
    prefix_end,
    put,
)
from lading.adapters.etcd.keys import Keys, Scopes, image_names
from lading.adapters.etcd.locks import EtcdLocks, lost_lock
from lading.adapters.etcd.settings import EtcdAssociationsSettings
from lading.domain.ledger import lock_name
from lading.ports.association import Association
from lading.ports.association_store import HostTarget
from lading.ports.failures import StoreUnavailable
from lading.ports.handover import Change, Difference
from lading.ports.locks import Locks

__all__ = ["EtcdAssociations", "encoded"]

_PAGE: Final = 500
"""Associations that a list holds in memory at a time."""
_BATCH: Final = 100
"""Keys that are read in one transaction: etcd takes 128 operations."""
_MOST_TRIES: Final = 16
"""Tries of a change while others change the same target."""
Fence = Callable[[str], Op | None]
"""Returns the comparison that the target's lock is still held; None: this process does not hold it in etcd."""


class EtcdAssociations:
    """An AssociationStore of this host in the record of many hosts. A change is refused when its lock is lost.

    An association is returned exactly as it was put. It is refused when its image's properties or its location's
    metadata cannot be represented in JSON.
    """

    def __init__(self, cluster: Cluster, keys: Keys, scopes: Scopes, fence: Fence = lambda _: None) -> None:
        self._cluster = cluster
        self._keys = keys
        self._scopes = scopes
        self._fence = fence

    @classmethod
    def from_settings(cls, settings: EtcdAssociationsSettings, locks: Locks) -> Self:
        """`locks` are those of the operations on its targets."""
        cluster, keys = Cluster(settings), Keys(settings.namespace)
        if isinstance(locks, EtcdLocks):
            return cls(cluster, keys, Scopes(settings.host, locks.scope), locks.fence)
        return cls(cluster, keys, Scopes(settings.host))

    @safe(exceptions=(StoreUnavailable,))
    def get(self, target: str) -> Association | None:
        found = self._found(self._keys.target(self._scopes.of(target), target))
        return _association(found) if found else None

    @safe(exceptions=(StoreUnavailable,))
    def put(self, association: Association) -> None:
        self._change(association.target, association, encoded(association))

    @safe(exceptions=(StoreUnavailable,))
    def remove(self, target: str) -> None:
        self._change(target, None, b"")

    def list(self, *, handler: str | None = None, image_id: str | None = None) -> Iterator[Association]:
        names = sorted(self._scopes.names)
        # Several hosts may have recorded targets of the same name. A target has one scope, seen from here.
        of_each = [self._list_host(name, image_id) for name in names]
        for association in heapq.merge(*of_each, key=attrgetter("target")):
            if handler is None or association.handler == handler:
                yield association

    def list_host(self, host: str | None = None) -> Iterator[tuple[str, Association]]:
        prefix = self._keys.targets(host)
        for each in self._pages(prefix):
            name = host if host is not None else self._keys.place(each.key, prefix)[0]
            yield name, _association(each)

    def holders(self, image: str) -> Iterator[HostTarget]:
        prefix = self._keys.images(image)
        for each in self._pages(prefix):
            yield _summary(*self._keys.place(each.key, prefix), each)

    def hand_over(self, change: Change) -> Difference | None:
        """Makes a change of this host that was decided earlier, once, unless others have changed the target since.

        Returns None when etcd has the change, or else what it has instead. Raises StoreUnavailable.
        """
        key = self._keys.target(self._scopes.of(change.target), change.target)
        last_change = self._keys.last_change(self._scopes.default)
        document = encoded(change.after) if change.after else b""
        for _ in range(_MOST_TRIES):
            (found, last) = (
                each[0] if each else None for each in self._cluster.transaction([get(key), get(last_change)]).found
            )
            shared = _association(found) if found else None
            if shared == change.after or (last is not None and last.value == change.id.encode()):
                return None
            if shared != change.before:
                return Difference(change.target, change.after, shared)
            # A request that was given up may still arrive, when a frozen member thaws. It must not undo a later change.
            when = [modified_at(each, at.modified_at if at else 0) for each, at in ((key, found), (last_change, last))]
            ops = [*self._ops(change.target, found, change.after, document), put(last_change, change.id.encode())]
            if self._cluster.transaction(ops, when=when).succeeded:
                return None
        raise StoreUnavailable(f"the association of {change.target} is changed by others again and again")

    def _list_host(self, host: str, image_id: str | None) -> Iterator[Association]:
        if image_id is None:
            found: Iterable[KeyValue] = self._pages(self._keys.targets(host))
        else:
            found = self._of_image(host, image_id)
        return (each for each in map(_association, found) if self._scopes.of(each.target) == host)

    def _of_image(self, host: str, image_id: str) -> Iterator[KeyValue]:
        prefix = self._keys.images(image_id, host)
        targets = self._keys.targets(host)
        batch: list[bytes] = []
        for each in self._pages(prefix):
            batch.append(targets + each.key[len(prefix) :])
            if len(batch) == _BATCH:
                yield from self._values(batch, image_id)
                batch.clear()
        yield from self._values(batch, image_id)

    def _values(self, keys: Sequence[bytes], image_id: str) -> Iterator[KeyValue]:
        if keys:
            found = self._cluster.transaction([get(each) for each in keys]).found
            # An image may have the digest of another one as its id.
            yield from (each for pair in found for each in pair if _is_of(each, image_id))

    def _pages(self, prefix: bytes) -> Iterator[KeyValue]:
        """All keys with the prefix, in order: as of one revision, as long as etcd keeps it."""
        start, end, revision = prefix, prefix_end(prefix), 0
        while True:
            try:
                page, revision = self._cluster.page(start, end, limit=_PAGE, revision=revision)
            except Compacted:
                revision = 0  # the rest is as of now
                continue
            yield from page
            if len(page) < _PAGE:
                return
            start = page[-1].key + b"\0"

    def _found(self, key: bytes) -> KeyValue | None:
        (found,) = self._cluster.transaction([get(key)]).found
        return found[0] if found else None

    def _change(self, target: str, association: Association | None, document: bytes) -> None:
        """Records the association, or removes what is recorded, with its entries by image, in one transaction.

        Where the answer of an earlier try was lost, the next one finds the change made.
        """
        host = self._scopes.of(target)
        key = self._keys.target(host, target)
        fence = self._fence(target)
        for _ in range(_MOST_TRIES):
            found = self._found(key)
            if (found.value if found else b"") == document:
                if fence is not None:
                    self._require(target, fence)
                return
            ops = self._ops(target, found, association, document)
            when = [modified_at(key, found.modified_at if found else 0), *([fence] if fence else [])]
            if self._cluster.transaction(ops, when=when).succeeded:
                return
            if fence is not None:
                self._require(target, fence)
        raise StoreUnavailable(f"the association of {target} is changed by others again and again")

    def _ops(
        self, target: str, found: KeyValue | None, association: Association | None, document: bytes
    ) -> Sequence[Op]:
        """The operations from what is found to the association, with its entries by image."""
        host = self._scopes.of(target)
        key = self._keys.target(host, target)
        before = image_names(_association(found)) if found else frozenset[str]()
        after = image_names(association) if association else frozenset[str]()
        ops = [delete(self._keys.image(name, host, target)) for name in sorted(before - after)]
        if association is None:
            return [*ops, delete(key)]
        summary = to_json(_summary_fields(association))
        ops += [put(self._keys.image(name, host, target), summary) for name in sorted(after)]
        return [*ops, put(key, document)]

    def _require(self, target: str, fence: Op) -> None:
        if not self._cluster.transaction([], when=[fence]).succeeded:
            raise StoreUnavailable(lost_lock(lock_name(target)))


def encoded(association: Association) -> bytes:
    """The association as its document. Raises StoreUnavailable when it cannot be represented."""
    try:
        return encode_association(association)
    except ValueError as error:
        raise StoreUnavailable(f"the association of {association.target} cannot be written down: {error}") from error


def _summary_fields(association: Association) -> dict[str, object]:
    return {
        "handler": association.handler,
        "size": association.size,
        "verified": association.verified,
        "landed_at": association.landed_at.astimezone(UTC).isoformat(),
    }


def _summary(host: str, target: str, found: KeyValue) -> HostTarget:
    try:
        known = json_object(found.value)
        landed_at = datetime.fromisoformat(known["landed_at"])
        return HostTarget(host, target, known["handler"], known["size"], known["verified"], landed_at)
    except MALFORMED as error:
        raise StoreUnavailable(f"{found.key!r} in etcd is no summary of an association: {error}") from error


def _association(found: KeyValue) -> Association:
    try:
        return decode_association(found.value)
    except MALFORMED as error:
        raise StoreUnavailable(f"{found.key!r} in etcd is no association: {error}") from error


def _is_of(found: KeyValue, image_id: str) -> bool:
    image = _association(found).image
    return image is not None and image.id == image_id
