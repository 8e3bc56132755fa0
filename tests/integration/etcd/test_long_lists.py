"""Long lists from etcd while others write and etcd compacts: whole, in order, in bounded memory."""

import subprocess
import sys
import textwrap
from typing import Final

import pytest
from tests.integration.services.etcd import Etcd
from tests.integration.services.fixtures import StartEtcd
from tests.torture import TORTURE

from lading.adapters.codec.associations import encode_association
from lading.adapters.etcd.cluster import Cluster
from lading.adapters.etcd.keys import Keys
from lading.adapters.etcd.operations import put
from lading.sdk.contracts.association_stores import association

SIZE: Final = 100_000 if TORTURE else 3000
"""Associations."""
NAMESPACE: Final = "long"
MEBIBYTE: Final = 1 << 20

LISTER: Final = textwrap.dedent(
    """
    import re, sys
    from lading.adapters.etcd.associations import EtcdAssociations
    from lading.adapters.etcd.cluster import Cluster
    from lading.adapters.etcd.keys import Keys, Scopes
    from lading.adapters.etcd.settings import EtcdSettings

    def peak():
        return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024

    namespace, endpoint = sys.argv[1:]
    store = EtcdAssociations(Cluster(EtcdSettings(endpoints=(endpoint,))), Keys(namespace), Scopes("host1"))
    store.get("/").unwrap()
    before, known, last, wrong = peak(), 0, "", 0
    for each in store.list():
        wrong += each.target <= last
        last = each.target
        if "+" in last:
            continue
        known += 1
        if known % 500 == 0:
            print(last, flush=True)
            sys.stdin.readline()
    print(known, wrong, peak() - before, flush=True)
    """
)


def target(number: int) -> str:
    return f"/vms/{number:06}"


@pytest.fixture
def long_record(start_etcd: StartEtcd) -> Etcd:
    etcd = start_etcd()
    cluster, keys = Cluster(etcd.settings()), Keys(NAMESPACE)
    for first in range(0, SIZE, 100):
        targets = map(target, range(first, first + 100))
        cluster.transaction(
            [put(keys.target("host1", each), encode_association(association(each))) for each in targets]
        )
    return etcd


def test_a_long_list_is_whole_and_in_order_while_others_write_and_etcd_compacts(long_record: Etcd) -> None:
    """After each page something changes before, at and behind where the list is, and the page's revision goes."""
    cluster, keys = Cluster(long_record.settings()), Keys(NAMESPACE)
    command = [sys.executable, "-c", LISTER, NAMESPACE, long_record.endpoints[0]]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as lister:
        assert lister.stdin is not None
        assert lister.stdout is not None
        for line in lister.stdout:
            if not line.startswith("/"):
                break
            number = int(line.rpartition("/")[2])
            for each in (number // 2, number, number + 250, number + 1000):
                name = f"{target(each)}+"
                cluster.transaction([put(keys.target("host1", name), encode_association(association(name)))])
            long_record.compact()
            lister.stdin.write("\n")
    known, wrong, grown = map(int, line.split())
    assert (known, wrong) == (SIZE, 0)
    assert grown < 24 * MEBIBYTE
