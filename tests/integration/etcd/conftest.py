"""Clusters with a fault."""

from collections.abc import Callable, Iterator

import pytest
from tests.integration.services.etcd import Etcd, Member, etcd
from tests.integration.services.network import network
from tests.packages import needs


def kill(member: Member) -> None:
    member.process.kill()


def freeze(member: Member) -> None:
    member.process.freeze()


def disconnect(member: Member) -> None:
    assert member.host is not None
    member.host.disconnect()


FAULTS: dict[str, Callable[[Member], None]] = {"killed": kill, "frozen": freeze, "partitioned": disconnect}


def mend(member: Member) -> None:
    """Undoes any of the faults."""
    if member.host is not None:
        member.host.reconnect()
    if member.process.running is None:
        member.start()
    member.process.thaw()
    member.process.wait_ready(member.is_ready)


@pytest.fixture(scope="session")
def etcd_of_hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """Of three members, each on a host of its own. A test that breaks one mends it."""
    needs("etcd")
    quick = ["--heartbeat-interval", "50", "--election-timeout", "500"]
    with network(3) as hosts, etcd(tmp_path_factory.mktemp("etcd-hosts"), 3, hosts=hosts, options=quick) as running:
        yield running


@pytest.fixture(scope="module", params=FAULTS)
def broken_etcd(etcd_of_hosts: Etcd, request: pytest.FixtureRequest) -> Iterator[Etcd]:
    """Has lost its leader, by one of the faults: two members are left."""
    lost = etcd_of_hosts.leader()
    FAULTS[request.param](lost)
    yield etcd_of_hosts
    mend(lost)


@pytest.fixture(params=FAULTS)
def fault(request: pytest.FixtureRequest) -> Callable[[Member], None]:
    """What happens to a member."""
    return FAULTS[request.param]
