"""Commands of a host whose record is in etcd, while etcd is away and afterwards."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.etcd_record import etcd_associations
from tests.integration.conftest import Lading
from tests.integration.services.etcd import Etcd
from tests.integration.services.fixtures import StartEtcd

from lading.adapters.etcd.associations import EtcdAssociations


@pytest.fixture
def own_etcd(start_etcd: StartEtcd) -> Etcd:
    return start_etcd()


@pytest.fixture
def shared(own_etcd: Etcd) -> EtcdAssociations:
    """The host's record in etcd."""
    return etcd_associations(own_etcd, "lading")


def configure(host: Path, etcd: Etcd, offline: str = "queue", locks: str = "") -> None:
    (host / "lading.toml").write_text(
        f"""
[associations]
kind = "etcd"
endpoints = {json.dumps(etcd.endpoints)}
host = "host1"
timeout = 1.0
offline = "{offline}"
copy = "copy.sqlite"
[locks]
{locks}
"""
    )


def listed(lading: Lading) -> list[str]:
    done = lading("ls", "--json")
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["target"] for line in done.stdout.splitlines()]


def recovered(lading: Lading, *arguments: str, code: int = 0) -> list[Mapping[str, object]]:
    done = lading("recover", "--json", *arguments)
    assert done.returncode == code, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.usefixtures("noble")
def test_commands_go_on_and_recover_hands_their_changes_over(
    lading: Lading, host: Path, own_etcd: Etcd, shared: EtcdAssociations
) -> None:
    configure(host, own_etcd)
    for name in ("1", "2", "3"):
        assert lading("fetch", "noble", f"vms/{name}.img").returncode == 0
    own_etcd.members[0].process.kill()

    assert lading("fetch", "noble", "vms/4.img").returncode == 0
    assert lading("mv", "vms/1.img", "vms/5.img").returncode == 0
    assert lading("rm", "vms/2.img").returncode == 0
    assert lading("rm", "vms/1.img").returncode == 6, "moved away"
    targets = [str(host / "vms" / f"{name}.img") for name in ("3", "4", "5")]
    assert listed(lading) == targets
    text = lading("recover")
    assert text.returncode == 7
    assert [line.rpartition(" is ")[2] for line in text.stdout.splitlines()[1:]] == ["pending"] * 4
    assert "etcd does not answer" in text.stdout.splitlines()[0]

    own_etcd.members[0].start()
    done = recovered(lading)
    assert [(each["target"], each["outcome"], each["own"] is None) for each in done] == [
        (targets[1], "handed over", False),
        (targets[2], "handed over", False),
        (str(host / "vms" / "1.img"), "handed over", True),
        (str(host / "vms" / "2.img"), "handed over", True),
    ]
    assert listed(lading) == targets == [each.target for each in shared.list()]
    assert recovered(lading) == []


@pytest.mark.usefixtures("noble")
def test_what_others_decided_meanwhile_stays_and_the_lost_change_is_reported(
    lading: Lading, host: Path, own_etcd: Etcd, shared: EtcdAssociations
) -> None:
    configure(host, own_etcd)
    target = str(host / "vms" / "1.img")
    assert lading("fetch", "noble", target).returncode == 0
    own_etcd.members[0].process.kill()
    assert lading("rm", target).returncode == 0
    own_etcd.members[0].start()
    (before,) = shared.list()
    shared.remove(target)
    shared.put(before.__class__(target, "download", before.image, None, before.landed_at))

    (conflict,) = recovered(lading, code=7)
    assert (conflict["target"], conflict["outcome"], conflict["own"]) == (target, "conflict", None)
    assert isinstance(conflict["shared"], dict)
    assert conflict["shared"]["handler"] == "download"
    assert listed(lading) == [target]
    again = lading("recover", target)
    assert again.returncode == 7
    assert f"to acknowledge it: lading recover --discard {target}" in again.stdout
    assert recovered(lading, "--discard", target) == [{"target": target, "outcome": "acknowledged"}]
    assert recovered(lading) == []


@pytest.mark.usefixtures("noble")
def test_what_others_change_in_etcd_is_reported_once_and_taken(
    lading: Lading, host: Path, own_etcd: Etcd, shared: EtcdAssociations
) -> None:
    configure(host, own_etcd)
    target = str(host / "vms" / "1.img")
    assert lading("fetch", "noble", target).returncode == 0
    shared.remove(target)
    (found,) = recovered(lading)
    assert (found["target"], found["outcome"], found["shared"]) == (target, "different", None)
    assert recovered(lading) == []
    own_etcd.members[0].process.kill()
    assert listed(lading) == []


@pytest.mark.usefixtures("noble")
def test_only_what_a_host_locks_itself_goes_on(lading: Lading, host: Path, own_etcd: Etcd) -> None:
    (host / "nfs").mkdir()
    configure(host, own_etcd, locks=f'kind = "etcd"\nscope = {{"{host}/nfs" = "nfs1"}}')
    assert lading("fetch", "noble", "nfs/1.img").returncode == 0
    assert lading("fetch", "noble", "vms/1.img").returncode == 0
    own_etcd.members[0].process.kill()
    refused = lading("fetch", "noble", "nfs/2.img")
    assert (refused.returncode, [*host.glob("nfs/2*")]) == (7, [])
    assert "etcd does not answer" in refused.stderr
    assert lading("rm", "nfs/1.img").returncode == 7
    assert (host / "nfs" / "1.img").exists()
    assert lading("rm", "vms/1.img").returncode == 0
    assert lading("fetch", "noble", "vms/2.img").returncode == 0
    own_etcd.members[0].start()
    assert [each["outcome"] for each in recovered(lading)] == ["handed over"] * 2
    assert listed(lading) == [str(host / "nfs" / "1.img"), str(host / "vms" / "2.img")]


@pytest.mark.usefixtures("noble")
@pytest.mark.parametrize(
    ("offline", "locks"), [("queue", 'kind = "etcd"\nscope = "nfs1"'), ("queue", 'kind = "etcd"'), ("refuse", "")]
)
def test_all_is_refused_where_nothing_is_queued(
    lading: Lading, host: Path, own_etcd: Etcd, offline: str, locks: str
) -> None:
    configure(host, own_etcd, offline, locks)
    own_etcd.members[0].process.kill()
    for arguments in (("fetch", "noble", "vms/1.img"), ("ls",)):
        refused = lading(*arguments)
        assert refused.returncode == 7
        assert "etcd does not answer" in refused.stderr
    assert [*host.glob("vms/*")] == [*host.glob("copy.sqlite*")] == []


@pytest.mark.usefixtures("noble")
def test_a_damaged_copy_is_rebuilt_and_handed_over(
    lading: Lading, host: Path, own_etcd: Etcd, shared: EtcdAssociations
) -> None:
    configure(host, own_etcd)
    assert lading("fetch", "noble", "vms/1.img").returncode == 0
    own_etcd.members[0].process.kill()
    assert lading("fetch", "noble", "vms/2.img").returncode == 0
    for each in host.glob("copy.sqlite-*"):
        each.unlink()
    (host / "copy.sqlite").write_bytes(b"damaged" * 1000)
    refused = lading("ls")
    assert refused.returncode == 7
    assert "lading recover --rebuild" in refused.stderr
    assert lading("recover", "--rebuild").returncode == 0
    targets = [str(host / "vms" / f"{name}.img") for name in ("1", "2")]
    assert listed(lading) == targets
    own_etcd.members[0].start()
    # The first one too: the rebuild has verified it, which etcd does not know.
    handed_over = [(target, "handed over") for target in targets]
    assert [(each["target"], each["outcome"]) for each in recovered(lading)] == handed_over
    assert listed(lading) == targets == [each.target for each in shared.list()]
