"""Stores and locks in a running etcd, each test in a namespace of its own."""

from collections.abc import Mapping
from pathlib import Path

from tests.integration.services.etcd import Etcd

from lading.adapters.etcd.associations import EtcdAssociations
from lading.adapters.etcd.cluster import Cluster
from lading.adapters.etcd.keys import Keys, Scopes
from lading.adapters.etcd.locks import EtcdLocks
from lading.adapters.etcd.queued import QueuedAssociations
from lading.adapters.memory.locks import MemoryLocks
from lading.adapters.sqlite.database import Database
from lading.adapters.sqlite.local_copy import LocalCopy
from lading.ports.locks import Locks


def etcd_associations(
    etcd: Etcd, namespace: str, host: str = "host1", *, locks: EtcdLocks | None = None, **settings: object
) -> EtcdAssociations:
    """The store of a host. Its changes are refused when it has lost its lock."""
    cluster = Cluster(etcd.settings(**settings))
    if locks is None:
        return EtcdAssociations(cluster, Keys(namespace), Scopes(host))
    return EtcdAssociations(cluster, Keys(namespace), Scopes(host, locks.scope), locks.fence)


def queued_associations(
    etcd: Etcd, namespace: str, copy: Path, host: str = "host1", *, locks: Locks | None = None, **settings: object
) -> QueuedAssociations:
    """The store of a host that goes on while etcd is away, with its copy in the database at the path."""
    shared = EtcdAssociations(Cluster(etcd.settings(**settings)), Keys(namespace), Scopes(host))
    return QueuedAssociations(shared, LocalCopy(Database(copy)), locks or MemoryLocks())


def etcd_locks(
    etcd: Etcd,
    namespace: str,
    host: str = "host1",
    *,
    scope: str | Mapping[str, str] | None = None,
    seconds: int = 30,
    **settings: object,
) -> EtcdLocks:
    """The locks of a host."""
    cluster = Cluster(etcd.settings(**settings))
    return EtcdLocks(cluster, Keys(namespace), host=host, scope=scope, seconds=seconds)
