"""A process is frozen until its lease in etcd is gone, and another host works on the target: it must change nothing.

The process stops itself (SIGSTOP) at a chosen call, so that nothing waits for a time to pass but a lease.
"""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from tests.faulty_server import STALL, FaultyServer, Reply
from tests.integration.etcd.hosts import Done, Host, Stop, lock_keys, revoke_leases, wait_until
from tests.integration.services.etcd import Etcd
from tests.integration.services.fixtures import StartEtcd

NOBLE: Final = random.Random("noble").randbytes(3 << 20)
JAMMY: Final = random.Random("jammy").randbytes(2 << 20)
LOST: Final = "is lost: its lease expired while this process was stopped or did not reach etcd"
PIPELINE: Final = "lading.adapters.stream.pipeline"
NOTES: Final = "lading.adapters.destinations.file.notes"
NEW_FILE: Final = "lading.adapters.destinations.file.new_file"
RELOCATION: Final = "lading.adapters.destinations.file.relocation"
STORE: Final = "lading.adapters.etcd.associations"
FETCHING: Final[dict[str, Stop]] = {
    "before its first note": (NOTES, "Notes.announce", "before"),
    "before it writes": (PIPELINE, "run", "before"),
    "when all is written": (PIPELINE, "run", "after"),
    "before the note before it publishes": (NOTES, "Notes.landed", "before"),
    "just before it publishes": (NEW_FILE, "NewFile.publish", "before"),
}
BEFORE_RECORD: Final[Stop] = (STORE, "EtcdAssociations.put", "before")


@contextmanager
def two_hosts(
    top: Path, etcd: Etcd, namespace: str, server: FaultyServer, *, lease: int = 5
) -> Iterator[tuple[Host, Host]]:
    """Hosts that share a folder; both can fetch noble and jammy by HTTP."""
    (top / "vms").mkdir()
    first, second = (Host(name, top / name, top / "vms", etcd, namespace, lease=lease) for name in ("host1", "host2"))
    for name, data in (("noble", NOBLE), ("jammy", JAMMY)):
        url = server.answer(f"/{name}", Reply(data))
        first.add(name, data, url)
        second.add(name, data, url)
    try:
        yield first, second
    finally:
        first.end()
        second.end()


@pytest.fixture
def hosts(
    tmp_path: Path, etcd: Etcd, faulty_server: FaultyServer, request: pytest.FixtureRequest
) -> Iterator[tuple[Host, Host]]:
    with two_hosts(tmp_path, etcd, request.node.name, faulty_server) as made:
        yield made


def assert_refused(host: Host, done: Done) -> None:
    """It says so in one sentence, and leaves nothing in the journal."""
    assert (done.code, done.out) == (7, "")
    assert "Traceback" not in done.err
    errors = [line for line in done.err.splitlines() if "the lock of the target" in line]
    assert len(errors) == 1, done.err
    assert errors[0].endswith(LOST)
    assert host.intents() == []


def file_at(path: Path) -> tuple[int, int]:
    """Which file it is, and when it was last changed."""
    status = path.stat()
    return status.st_ino, status.st_ctime_ns


class Seen:
    """The shared folder and the record of the target, as the other host has left them."""

    def __init__(self, host: Host, name: str = "1") -> None:
        self._host, self._name = host, name
        self._before = self._now()

    def _now(self) -> object:
        files = {each.name: file_at(each) for each in self._host.vms.iterdir()}
        return files, self._host.recorded(self._name)

    def assert_untouched(self) -> None:
        assert self._now() == self._before


@pytest.mark.parametrize("moment", FETCHING)
def test_a_fetch_that_lost_its_lease_changes_nothing(hosts: tuple[Host, Host], moment: str) -> None:
    first, second = hosts
    frozen = first.start("fetch", "noble", first.path("1"), stop=FETCHING[moment])
    frozen.wait_stopped()
    revoke_leases(first.etcd, first.namespace)
    published = second.run("fetch", "jammy", second.path("1"))
    assert published.code == 0, published.err
    left = {each.name for each in first.vms.iterdir()}
    assert left <= {"1", ".1@host1.lading-part"}
    found, record = file_at(second.vms / "1"), second.recorded("1")
    frozen.thaw()
    done = frozen.end()
    if moment == "just before it publishes":
        # The lock was not looked at again: the name is taken.
        assert done.code == 5, done.err
        assert "exists" in done.err
    else:
        assert_refused(first, done)
    assert [each.name for each in first.vms.iterdir()] == ["1"]
    assert file_at(first.vms / "1") == found
    assert first.recorded("1") == record
    assert first.run("recover").code == 0
    assert first.intents() == []


def test_a_lease_that_expires_by_itself_ends_the_fetch(hosts: tuple[Host, Host]) -> None:
    first, second = hosts
    frozen = first.start("fetch", "noble", first.path("1"), stop=FETCHING["before it writes"])
    frozen.wait_stopped()
    published = second.run("fetch", "jammy", second.path("1"))  # it waits for the lease
    assert published.code == 0, published.err
    (first.vms / ".1@host1.lading-part").unlink()  # as an administrator may
    seen = Seen(second)
    frozen.thaw()
    assert_refused(first, frozen.end())
    seen.assert_untouched()


def test_a_published_file_that_cannot_be_recorded_is_removed(hosts: tuple[Host, Host]) -> None:
    first, second = hosts
    frozen = first.start("fetch", "noble", first.path("1"), stop=BEFORE_RECORD)
    frozen.wait_stopped()
    revoke_leases(first.etcd, first.namespace)
    refused = second.run("fetch", "jammy", second.path("1"))
    assert (refused.code, "exists, and lading has no record of it" in refused.err) == (5, True), refused.err
    frozen.thaw()
    assert_refused(first, frozen.end())
    assert ([*first.vms.iterdir()], first.recorded("1")) == ([], None)


def test_a_file_that_another_host_replaced_is_not_removed(hosts: tuple[Host, Host]) -> None:
    first, second = hosts
    frozen = first.start("fetch", "noble", first.path("1"), stop=BEFORE_RECORD)
    frozen.wait_stopped()
    revoke_leases(first.etcd, first.namespace)
    assert second.run("fetch", "jammy", second.path("1"), "--force").code == 0
    seen = Seen(second)
    frozen.thaw()
    assert_refused(first, frozen.end())
    seen.assert_untouched()


REMOVALS: Final[dict[str, Stop]] = {
    "before": (RELOCATION, "remove", "before"),
    "after": (RELOCATION, "flush_folder", "before"),
}


@pytest.mark.parametrize("moment", REMOVALS)
def test_a_removal_that_lost_its_lease_removes_no_later_file(hosts: tuple[Host, Host], moment: str) -> None:
    first, second = hosts
    assert first.run("fetch", "noble", first.path("1")).code == 0
    frozen = first.start("rm", first.path("1"), stop=REMOVALS[moment])
    frozen.wait_stopped()
    revoke_leases(first.etcd, first.namespace)
    assert second.run("fetch", "jammy", second.path("1"), *["--force"] * (moment == "before")).code == 0
    seen = Seen(second)
    frozen.thaw()
    done = frozen.end()
    if moment == "before":
        assert (done.code, "is another file than the one that was fetched" in done.err) == (5, True), done.err
    else:
        assert_refused(first, done)
    seen.assert_untouched()
    assert first.run("recover").code == 0
    assert first.intents() == []
    seen.assert_untouched()


MOVES: Final[dict[str, Stop]] = {
    "before its note": (NOTES, "Notes.moving", "before"),
    "after its rename": (RELOCATION, "rename_no_replace", "after"),
}


@pytest.mark.parametrize("moment", MOVES)
def test_a_move_that_lost_its_lease_loses_nothing(hosts: tuple[Host, Host], moment: str) -> None:
    first, second = hosts
    assert first.run("fetch", "noble", first.path("1")).code == 0
    frozen = first.start("mv", first.path("1"), first.path("2"), stop=MOVES[moment])
    frozen.wait_stopped()
    revoke_leases(first.etcd, first.namespace)
    assert second.run("fetch", "jammy", second.path("1"), *["--force"] * (moment == "before its note")).code == 0
    record = second.recorded("1")
    frozen.thaw()
    assert_refused(first, frozen.end())
    assert first.recorded("1") == record
    assert (first.vms / "1").read_bytes() == JAMMY
    moved = first.recorded("2")
    if moment == "before its note":
        assert ([each.name for each in first.vms.iterdir()], moved) == (["1"], None)
    else:
        # The file has moved: it is recorded where it is, as what it is.
        assert (first.vms / "2").read_bytes() == NOBLE
        assert (moved and moved.image and moved.image.id) == "noble"


def test_a_process_that_was_frozen_while_it_waited_takes_its_place_again(hosts: tuple[Host, Host]) -> None:
    first, second = hosts
    holder = first.start("fetch", "noble", first.path("1"), stop=FETCHING["before it writes"])
    holder.wait_stopped()
    waiter = second.start("fetch", "noble", second.path("1"))
    wait_until(lambda: len(lock_keys(first.etcd, first.namespace)) == 3)  # one is of the image
    waiter.freeze()
    revoke_leases(first.etcd, first.namespace)
    waiter.thaw()
    done = waiter.end()
    assert done.code == 0, done.err
    holder.thaw()
    assert_refused(first, holder.end())
    assert (first.vms / "1").read_bytes() == NOBLE


def stalled(server: FaultyServer) -> None:
    """Lets the server fall silent in the middle of noble, until `go_on`."""
    server.answer("/noble", Reply(NOBLE, after=1 << 20, then=STALL))


def test_a_fetch_that_does_not_reach_etcd_for_longer_than_its_lease_is_refused(
    tmp_path: Path, start_etcd: StartEtcd, faulty_server: FaultyServer
) -> None:
    etcd = start_etcd()
    with two_hosts(tmp_path, etcd, "away", faulty_server) as (first, second):
        stalled(faulty_server)
        running = first.start("fetch", "noble", first.path("1"))
        faulty_server.wait_stalled()
        etcd.members[0].process.freeze()
        time.sleep(first.lease + 1)
        faulty_server.go_on()
        done = running.end()
        etcd.members[0].process.thaw()
        assert (done.code, "Traceback" in done.err) == (7, False), done.err
        assert LOST in done.err
        assert [*first.vms.iterdir()] == []
        assert first.run("recover").code == 0
        assert (first.intents(), first.recorded("1")) == ([], None)
        assert second.run("fetch", "jammy", second.path("1")).code == 0


def test_a_fetch_that_does_not_reach_etcd_for_a_while_is_recorded(
    tmp_path: Path, start_etcd: StartEtcd, faulty_server: FaultyServer
) -> None:
    etcd = start_etcd()
    with two_hosts(tmp_path, etcd, "short", faulty_server, lease=30) as (first, _):
        stalled(faulty_server)
        running = first.start("fetch", "noble", first.path("1"))
        faulty_server.wait_stalled()
        etcd.members[0].process.freeze()
        time.sleep(2)
        faulty_server.go_on()
        etcd.members[0].process.thaw()
        done = running.end()
        assert done.code == 0, done.err
        assert (first.vms / "1").read_bytes() == NOBLE
        assert first.recorded("1") is not None


# A target that is a clone: the example handler of a third party.
CLONE: Final = "lading_shelf.shelf", "Shelf.clone"


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A storage with noble."""
    (tmp_path / "shelf" / "images").mkdir(parents=True)
    (tmp_path / "shelf" / "images" / "noble").write_bytes(NOBLE)
    return tmp_path / "shelf"


@pytest.fixture
def shelf_hosts(tmp_path: Path, etcd: Etcd, shelf: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Host, Host]]:
    """Two hosts that share the storage."""
    installed = tmp_path / "packages" / "lading_shelf-1.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: lading-shelf\nVersion: 1\n")
    (installed / "entry_points.txt").write_text("[lading.handlers]\nshelf = lading_shelf:ShelfHandler\n")
    first, second = (
        Host(
            name, tmp_path / name, tmp_path, etcd, request.node.name, order=("shelf",),
            packages=[installed.parent], extra=f'[handlers.shelf]\nfolder = "{shelf}"\n',
        )
        for name in ("host1", "host2")
    )  # fmt: skip
    first.add("noble", NOBLE, "shelf://noble")
    second.add("noble", NOBLE, "shelf://noble")
    try:
        yield first, second
    finally:
        first.end()
        second.end()


def test_a_clone_that_lost_its_lease_is_not_made_twice(shelf_hosts: tuple[Host, Host], shelf: Path) -> None:
    first, second = shelf_hosts
    frozen = first.start("fetch", "noble", "shelf:1", stop=(*CLONE, "before"))
    frozen.wait_stopped()
    revoke_leases(first.etcd, first.namespace)
    published = second.run("fetch", "noble", "shelf:1")
    assert published.code == 0, published.err
    clone, record = (shelf / "clones" / "1").read_bytes(), second.associations.get("shelf:1")
    frozen.thaw()
    assert_refused(first, frozen.end())
    assert [each.name for each in (shelf / "clones").iterdir()] == ["1"]
    assert ((shelf / "clones" / "1").read_bytes(), first.associations.get("shelf:1")) == (clone, record)


def test_a_clone_that_lost_its_lease_is_removed_before_it_is_published(
    shelf_hosts: tuple[Host, Host], shelf: Path
) -> None:
    first, second = shelf_hosts
    frozen = first.start("fetch", "noble", "shelf:1", stop=(*CLONE, "after"))
    frozen.wait_stopped()
    revoke_leases(first.etcd, first.namespace)
    refused = second.run("fetch", "noble", "shelf:1")
    assert (refused.code, "lading-part exists, and lading has no record of it" in refused.err) == (5, True), refused.err
    frozen.thaw()
    assert_refused(first, frozen.end())
    assert [*(shelf / "clones").iterdir()] == []
    assert second.run("fetch", "noble", "shelf:1").code == 0
