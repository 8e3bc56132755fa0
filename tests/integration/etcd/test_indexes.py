"""The index entries of associations in etcd."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.integration.services.etcd import Etcd

from lading.adapters.etcd.associations import EtcdAssociations
from lading.adapters.etcd.cluster import Cluster
from lading.adapters.etcd.keys import Keys, Scopes
from lading.adapters.etcd.operations import prefix_end
from lading.sdk.contracts.association_stores import association


class RecordingCluster(Cluster):
    """Records the keys that it returns."""

    def __init__(self, running: Etcd) -> None:
        super().__init__(running.settings())
        self.found: list[bytes] = []

    def _call(self, path: str, question: Mapping[str, object], *, within: float | None = None) -> Any:  # noqa: ANN401 - JSON
        answer = super()._call(path, question, within=within)
        self.found += [each["key"] for each in answer.get("kvs", ())]
        for response in answer.get("responses", ()):
            self.found += [each["key"] for each in response.get("response_range", {}).get("kvs", ())]
        return answer


@pytest.fixture
def cluster(etcd: Etcd) -> RecordingCluster:
    return RecordingCluster(etcd)


def test_a_handler_reads_only_its_own_associations(cluster: RecordingCluster) -> None:
    store = EtcdAssociations(cluster, Keys("own-associations"), Scopes("host1"))
    for number in range(20):
        store.put(association(f"/vms/{number}", handler="file")).unwrap()
    volume = association("cinder:volume", handler="cinder")
    store.put(volume).unwrap()
    cluster.found.clear()
    assert list(store.list(handler="cinder")) == [volume]
    assert len(cluster.found) == len({"the entry", "the association"})


def test_a_removal_leaves_no_index_entry(cluster: RecordingCluster) -> None:
    store = EtcdAssociations(cluster, Keys("no-entry"), Scopes("host1"))
    fetched = association(handler="file")
    store.put(fetched).unwrap()
    store.put(replace(fetched, handler="rbd", image=None)).unwrap()
    assert list(store.list(handler="file")) == []
    store.remove(fetched.target).unwrap()
    assert cluster.page(b"no-entry/", prefix_end(b"no-entry/"), limit=10)[0] == []
