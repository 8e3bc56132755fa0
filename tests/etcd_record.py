"""Stores and locks in a running etcd, each test in a namespace of its own."""

from collections.abc import Mapping

from tests.integration.services.etcd import Etcd

from lading.adapters.etcd.associations import EtcdAssociations
from lading.adapters.etcd.cluster import Cluster
from lading.adapters.etcd.keys import Keys, Scopes
from lading.adapters.etcd.locks import EtcdLocks


def etcd_associations(
    etcd: Etcd, namespace: str, host: str = "host1", *, locks: EtcdLocks | None = None, **settings: object
) -> EtcdAssociations:
    """The store of a host. Its changes are refused when it has lost its lock."""
    cluster = Cluster(etcd.settings(**settings))
    if locks is None:
        return EtcdAssociations(cluster, Keys(namespace), Scopes(host))
    return EtcdAssociations(cluster, Keys(namespace), Scopes(host, locks.scope), locks.fence)


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
