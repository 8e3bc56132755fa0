"""Associations of many hosts in etcd."""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from operator import attrgetter
from typing import Final, Self

from returns.result import safe

from lading.adapters.codec.associations import check_field, check_from_field, decode_association, encode_association
from lading.adapters.codec.text import MALFORMED, json_object, to_json
from lading.adapters.etcd.cluster import Cluster
from lading.adapters.etcd.gateway import Compacted
from lading.adapters.etcd.keys import Keys, Scopes
from lading.adapters.etcd.locks import EtcdLocks, lost_lock
from lading.adapters.etcd.operations import KeyValue, Op, delete, get, modified_at, prefix_end, put
from lading.adapters.etcd.settings import EtcdAssociationsSettings
from lading.domain.ledger import lock_name
from lading.ports.association import Association
from lading.ports.association_store import HostTarget
from lading.ports.failures import LockLost, StoreUnavailable
from lading.ports.handover import Change, Difference
from lading.ports.image import Digest
from lading.ports.locks import Locks

__all__ = ["EtcdAssociations", "encoded"]

_PAGE: Final = 1000
"""Associations that a list holds in memory at a time. For each page etcd counts all keys that follow."""
_BATCH: Final = 100
"""Keys that are read in one transaction: etcd takes 128 operations."""
_MOST_TRIES: Final = 16
"""Tries of a change while others change the same target."""
Fence = Callable[[str], Op | None]
"""Returns the comparison that the target's lock is still held; None: this process does not hold it in this etcd.

Raises StoreUnavailable when this process has lost the lock in another etcd.
"""


class EtcdAssociations:
    """An AssociationStore of this host in the record of many hosts. A change is refused when its lock is lost.

    An association is returned exactly as it was put, but for the device of a folder that hosts share. It is refused
    when its image's properties or its location's metadata cannot be represented in JSON.
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
            fence = locks.fence if locks.is_in(cluster) else locks.check
            return cls(cluster, keys, Scopes(settings.host, locks.scope), fence)
        return cls(cluster, keys, Scopes(settings.host))

    @safe(exceptions=(StoreUnavailable,))
    def get(self, target: str) -> Association | None:
        found = self._found(self._keys.target(self._scopes.of(target), target))
        return _association(found) if found else None

    @safe(exceptions=(StoreUnavailable,))
    def put(self, association: Association) -> None:
        if association.folder is not None and self._scopes.is_shared(association.target):
            # Each host numbers its disks itself. 0 is the number of none, so the folder is known by its inode.
            association = replace(association, folder=association.folder._replace(device=0))
        self._change(association.target, association, encoded(association))

    @safe(exceptions=(StoreUnavailable,))
    def remove(self, target: str) -> None:
        self._change(target, None, b"")

    def list(
        self, *, handler: str | None = None, image_id: str | None = None, digest: Digest | None = None
    ) -> Iterator[Association]:
        names = sorted(self._scopes.names)
        # Several hosts may have recorded targets of the same name. A target has one scope, seen from here.
        of_each = [self._list_host(name, handler, image_id or (str(digest) if digest else None)) for name in names]
        for association in heapq.merge(*of_each, key=attrgetter("target")):
            if _is_wanted(association, handler, image_id, digest):
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
            if shared != change.before and not (shared and shared.is_same_record(change.after)):
                return Difference(change.target, change.after, shared)
            # A request that was given up may still arrive, when a frozen member thaws. It must not undo a later change.
            when = [modified_at(each, at.modified_at if at else 0) for each, at in ((key, found), (last_change, last))]
            ops = [*self._ops(change.target, found, change.after, document), put(last_change, change.id.encode())]
            if self._cluster.transaction(ops, when=when).succeeded:
                return None
        raise StoreUnavailable(f"the association of {change.target} is changed by others again and again")

    def hosts(self) -> Iterator[str]:
        prefix = self._keys.targets()
        yield from sorted({*self._scopes.names, *self._parts(prefix, prefix)})

    def image_names(self, start: str) -> Iterator[str]:
        return self._parts(self._keys.image_names(), self._keys.image_names(start))

    def _parts(self, folder: bytes, prefix: bytes) -> Iterator[str]:
        """The parts that follow the folder in the keys with this prefix, each once: a read of one key for each."""
        start, end = prefix, prefix_end(prefix)
        while page := self._cluster.page(start, end, limit=1)[0]:
            key = page[0].key
            yield self._keys.place(key, folder)[0]
            start = prefix_end(key[: key.index(b"/", len(folder)) + 1])

    def _list_host(self, host: str, handler: str | None, image_name: str | None) -> Iterator[Association]:
        if image_name is not None:
            found = self._indexed(host, self._keys.images(image_name, host))
        elif handler is not None:
            found = self._indexed(host, self._keys.handlers(handler, host))
        else:
            found = self._pages(self._keys.targets(host))
        return (each for each in map(_association, found) if self._scopes.of(each.target) == host)

    def _indexed(self, host: str, prefix: bytes) -> Iterator[KeyValue]:
        """The associations of the host whose targets follow the prefix of an index."""
        targets = self._keys.targets(host)
        batch: list[bytes] = []
        for each in self._pages(prefix):
            batch.append(targets + each.key[len(prefix) :])
            if len(batch) == _BATCH:
                yield from self._values(batch)
                batch.clear()
        yield from self._values(batch)

    def _values(self, keys: Sequence[bytes]) -> Iterator[KeyValue]:
        if keys:
            found = self._cluster.transaction([get(each) for each in keys]).found
            yield from (each for pair in found for each in pair)

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
        """Records the association, or removes what is recorded, with its index entries, in one transaction.

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
        """The operations from what is found to the association, with its index entries."""
        host = self._scopes.of(target)
        key = self._keys.target(host, target)
        before = self._entries(host, _association(found)) if found else {}
        after = self._entries(host, association) if association else {}
        ops = [delete(each) for each in sorted(before.keys() - after.keys())]
        ops += [put(*each) for each in after.items()]
        return [*ops, put(key, document) if association else delete(key)]

    def _entries(self, host: str, association: Association) -> Mapping[bytes, bytes]:
        """The index entries of an association: by image, and by handler."""
        target, summary = association.target, to_json(_summary_fields(association))
        return {
            **{self._keys.image(name, host, target): summary for name in sorted(association.image_names)},
            self._keys.handler(association.handler, host, target): b"",
        }

    def _require(self, target: str, fence: Op) -> None:
        if not self._cluster.transaction([], when=[fence]).succeeded:
            raise LockLost(lost_lock(lock_name(target)))


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
        "checked": check_field(association.checked),
    }


def _summary(host: str, target: str, found: KeyValue) -> HostTarget:
    try:
        known = json_object(found.value)
        landed_at = datetime.fromisoformat(known["landed_at"])
        checked = check_from_field(known.get("checked"))
        return HostTarget(host, target, known["handler"], known["size"], known["verified"], landed_at, checked)
    except MALFORMED as error:
        raise StoreUnavailable(f"{found.key!r} in etcd is no summary of an association: {error}") from error


def _association(found: KeyValue) -> Association:
    try:
        return decode_association(found.value)
    except MALFORMED as error:
        raise StoreUnavailable(f"{found.key!r} in etcd is no association: {error}") from error


def _is_wanted(association: Association, handler: str | None, image_id: str | None, digest: Digest | None) -> bool:
    if handler is not None and association.handler != handler:
        return False
    if digest is not None and (association.image is None or association.image.expected_digest != digest):
        return False
    # An image may have the digest of another one as its id.
    return image_id is None or (association.image is not None and association.image.id == image_id)
