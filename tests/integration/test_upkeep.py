"""`lading recover` and `lading verify` as their users run them, and what the settings say of landing."""

import fcntl
import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.faulty_server import STALL, FaultyServer, Reply
from tests.integration.conftest import mounted

from lading.adapters.codec.sizes import exact_size
from lading.adapters.sqlite.database import Database
from lading.adapters.sqlite.journal import FileJournal
from lading.ports.journal import Intent, Verb

Lading = Callable[..., subprocess.CompletedProcess[str]]
MEBIBYTE = 1 << 20
DATA = os.urandom(3 * MEBIBYTE + 12345)


def records(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def register(host: Path, name: str, **described: object) -> None:
    folder = host / "home" / ".local" / "share" / "lading" / "catalog"
    folder.mkdir(parents=True, exist_ok=True)
    document = {"id": name, "name": name, "disk_format": "raw", "container_format": "bare", **described}
    (folder / f"{name}.json").write_text(json.dumps(document))


@pytest.fixture
def noble(host: Path) -> Path:
    """An image in a folder."""
    path = host / "images" / "noble.img"
    path.write_bytes(DATA)
    digest = hashlib.sha256(DATA).hexdigest()
    register(host, "noble", os_hash_algo="sha256", os_hash_value=digest, locations=[{"url": f"file://{path}"}])
    return path


def killed_at_a_stall(host: Path, environment: dict[str, str], faulty_server: FaultyServer, *options: str) -> None:
    fetching = subprocess.Popen(
        [sys.executable, "-m", "lading", "fetch", "jammy", "vms/1", *options], cwd=host, env=environment
    )
    faulty_server.wait_stalled()
    part = host / "vms" / ".1.lading-part"
    while not part.exists() or part.stat().st_size < 2 * MEBIBYTE:
        assert fetching.poll() is None
    fetching.kill()
    assert fetching.wait() == -signal.SIGKILL


@pytest.fixture
def cut_off(host: Path, environment: dict[str, str], faulty_server: FaultyServer) -> FaultyServer:
    """A host on which a download was killed after two mebibytes and some; its server has become well since."""
    environment["LADING_HANDLERS__HTTP__ALLOWED_NETWORKS"] = "127.0.0.1"
    environment["LADING_HANDLERS__HTTP__ALLOWED_PORTS"] = "[]"
    url = faulty_server.answer("/jammy", Reply(DATA, after=2 * MEBIBYTE + 100_000, then=STALL), Reply(DATA))
    digest = hashlib.sha256(DATA).hexdigest()
    register(host, "jammy", size=len(DATA), os_hash_algo="sha256", os_hash_value=digest, locations=[{"url": url}])
    killed_at_a_stall(host, environment, faulty_server)
    return faulty_server


def test_the_next_fetch_goes_on_where_one_was_killed(lading: Lading, host: Path, cut_off: FaultyServer) -> None:
    told = records(lading("fetch", "jammy", "vms/1", "--json"))
    assert (told[0]["resumed"], told[0]["verified"]) == (2 * MEBIBYTE, True)
    assert cut_off.requests[-1].range == f"bytes={2 * MEBIBYTE}-"
    assert (host / "vms" / "1").read_bytes() == DATA
    assert os.listdir(host / "vms") == ["1"]


def test_what_was_resumed_is_told(lading: Lading, cut_off: FaultyServer) -> None:
    assert "2.0 MiB of it there already" in lading("fetch", "jammy", "vms/1").stdout


def test_recover_goes_on_with_a_download_that_was_killed(lading: Lading, host: Path, cut_off: FaultyServer) -> None:
    told = records(lading("recover", "--json"))
    assert [(each["verb"], each["outcome"], each["resumed"]) for each in told] == [("fetch", "finished", 2 * MEBIBYTE)]
    assert (host / "vms" / "1").read_bytes() == DATA
    assert os.listdir(host / "vms") == ["1"]
    assert lading("recover").stdout == ""


def test_recover_resumes_a_fetch_over_a_disk_in_use_where_that_was_allowed(
    lading: Lading, host: Path, environment: dict[str, str], cut_off: FaultyServer
) -> None:
    target = host / "vms" / "1"
    assert lading("fetch", "jammy", "vms/1").returncode == 0
    inode = target.stat().st_ino
    cut_off.answer("/jammy", Reply(DATA, after=2 * MEBIBYTE + 100_000, then=STALL), Reply(DATA))
    killed_at_a_stall(host, environment, cut_off, "--force", "--even-if-in-use")
    with target.open("rb") as guest:
        fcntl.flock(guest, fcntl.LOCK_EX)
        (told,) = records(lading("recover", "--json"))
    assert (told["outcome"], told["resumed"]) == ("finished", 2 * MEBIBYTE)
    assert target.stat().st_ino != inode
    assert target.read_bytes() == DATA


def test_recover_can_be_told_to_remove_what_had_come(lading: Lading, host: Path, cut_off: FaultyServer) -> None:
    done = lading("recover", "--discard")
    assert (done.returncode, "undone" in done.stdout) == (0, True)
    assert os.listdir(host / "vms") == []
    assert len(cut_off.requests) == 1


def test_recover_takes_back_what_cannot_be_gone_on_with(lading: Lading, host: Path, cut_off: FaultyServer) -> None:
    cut_off.answer("/jammy", Reply(b"gone", status=404))
    done = lading("recover")
    assert (done.returncode, "undone" in done.stdout, "404" in done.stdout) == (0, True, True)
    assert os.listdir(host / "vms") == []


def test_what_was_kept_goes_when_the_image_turns_out_to_be_there(
    lading: Lading, host: Path, environment: dict[str, str], cut_off: FaultyServer
) -> None:
    assert lading("fetch", "jammy", "vms/1").returncode == 0
    cut_off.answer("/jammy", Reply(DATA, after=2 * MEBIBYTE + 100_000, then=STALL), Reply(DATA))
    killed_at_a_stall(host, environment, cut_off, "--force")
    assert sorted(os.listdir(host / "vms")) == [".1.lading-part", "1"]
    assert "is there already" in lading("fetch", "jammy", "vms/1").stdout
    assert os.listdir(host / "vms") == ["1"]
    assert lading("recover").stdout == ""


def test_other_commands_keep_what_had_come(lading: Lading, host: Path, cut_off: FaultyServer) -> None:
    (told,) = records(lading("ls", "--json"))
    assert (told["target"], told["name"], told["state"]) == (f"{host}/vms/1", "jammy", "interrupted")
    assert (told["landed_at"], told["received"] // MEBIBYTE) == (None, 2)
    assert f"\tinterrupted, 2.0 of {len(DATA) / MEBIBYTE:.1f} MiB\n" in lading("ls", "--filter", "JAMMY").stdout
    shown = lading("show", "vms/1").stdout
    assert "state:    interrupted\nreceived: 2.0 of 3.0 MiB\n" in shown
    assert only(lading("show", "vms/1", "--json"))["details"] == {"received": "2.0 of 3.0 MiB"}
    assert lading("ls", "--handler", "file").stdout == lading("ls", "--image", "noble").stdout == ""
    assert os.listdir(host / "vms") == [".1.lading-part"]


def test_what_only_a_handler_that_is_gone_could_tell_stays_unresolved(
    lading: Lading, host: Path, cut_off: FaultyServer
) -> None:
    done = lading("recover", LADING_HANDLERS__ORDER="file")
    assert (done.returncode, "unresolved" in done.stdout, "'http' is not loaded" in done.stdout) == (7, True, True)
    assert lading("recover").returncode == 0
    assert (host / "vms" / "1").read_bytes() == DATA


def test_verify_reads_targets_again_and_names_what_changed(lading: Lading, noble: Path, host: Path) -> None:
    for name in "1234":
        lading("fetch", "noble", f"vms/{name}")
    assert "intact, sha256:" in lading("verify", "vms/1").stdout
    with (host / "vms" / "2").open("r+b") as disk:
        disk.write(b"a guest")
    (host / "vms" / "3").unlink()
    with (host / "vms" / "4").open("ab") as disk:
        disk.write(b"more")
    done = lading("verify", "--all", "--json")
    assert done.returncode == 8
    told = {str(each["target"])[-1]: (each["state"], str(each["reason"])) for each in records(done)}
    assert told["1"] == ("intact", "None")
    assert (told["2"][0], told["3"][0], told["4"][0]) == ("changed", "missing", "changed")
    assert "digest mismatch" in told["2"][1]
    assert "is gone" in told["3"][1]
    assert f"size mismatch: expected {exact_size(len(DATA))}, found {exact_size(len(DATA) + 4)}" in told["4"][1]


def test_a_target_whose_bytes_are_the_same_is_intact_again_once_it_is_verified(
    lading: Lading, noble: Path, host: Path
) -> None:
    lading("fetch", "noble", "vms/1")
    with (host / "vms" / "1").open("r+b") as disk:
        disk.write(DATA[:10])
    assert records(lading("show", "vms/1", "--json"))[0]["state"] == "changed"
    assert lading("verify", "vms/1").returncode == 0
    assert records(lading("show", "vms/1", "--json"))[0]["state"] == "intact"


def test_verify_says_which_inspector_looked(lading: Lading, noble: Path) -> None:
    lading("fetch", "noble", "vms/1", LADING_LANDING__INSPECT="false")
    assert records(lading("show", "vms/1", "--json"))[0]["inspected_by"] is None
    assert "oslo.utils" in str(records(lading("verify", "vms/1", "--json"))[0]["inspected_by"])
    assert "oslo.utils" in lading("show", "vms/1").stdout


@pytest.mark.parametrize("arguments", [[], ["vms/1", "--all"]])
def test_verify_wants_targets_or_all(lading: Lading, arguments: list[str]) -> None:
    done = lading("verify", *arguments)
    assert (done.returncode, "name the targets, or --all" in done.stderr) == (2, True)


def test_verify_of_what_is_not_recorded_says_so(lading: Lading, noble: Path) -> None:
    done = lading("verify", "vms/1")
    assert (done.returncode, "nothing is recorded" in done.stdout) == (6, True)


def test_md5_is_called_weak_and_no_digest_unverified_which_can_be_forbidden(
    lading: Lading, noble: Path, host: Path
) -> None:
    places = [{"url": f"file://{noble}"}]
    weak = hashlib.md5(DATA, usedforsecurity=False).hexdigest()
    register(host, "weak", checksum=weak, locations=places)
    register(host, "unknown", locations=places)
    assert "verified md5 (weak)" in lading("fetch", "weak", "vms/1").stdout
    assert "unverified" in lading("fetch", "unknown", "vms/2").stdout
    assert "unverified: no digest of it is known" in lading("verify", "vms/2").stdout
    refused = lading("fetch", "unknown", "vms/3", LADING_LANDING__ALLOW_UNVERIFIED="false")
    assert (refused.returncode, "landing.allow_unverified is false" in refused.stderr) == (4, True)
    assert sorted(os.listdir(host / "vms")) == ["1", "2"]


def test_targets_have_the_mode_that_is_configured(lading: Lading, noble: Path, host: Path) -> None:
    lading("fetch", "noble", "vms/1")
    lading("fetch", "noble", "vms/2", LADING_LANDING__MODE="0640")
    modes = [stat.S_IMODE((host / "vms" / name).stat().st_mode) for name in "12"]
    assert modes == [0o600, 0o640]


def test_a_damaged_database_is_rebuilt_from_what_can_be_verified(lading: Lading, noble: Path, host: Path) -> None:
    for name in "12":
        lading("fetch", "noble", f"vms/{name}")
    with (host / "vms" / "2").open("r+b") as disk:
        disk.write(b"a guest")
    database = host / "home" / ".local" / "share" / "lading" / "associations.sqlite"
    database.write_bytes(bytes(4096) + database.read_bytes()[4096:])
    refused = lading("show", "vms/1")
    assert (refused.returncode, "`lading recover --rebuild`" in refused.stderr) == (7, True)
    (told,) = records(lading("recover", "--rebuild", "--json"))
    assert told["kept"] == [str(host / "vms" / "1")]
    assert [each["target"] for each in told["dropped"]] == [str(host / "vms" / "2")]
    assert Path(str(told["aside"])).exists()
    assert records(lading("show", "vms/1", "--json"))[0]["state"] == "intact"
    assert lading("recover", "--rebuild").returncode == 7


def test_a_lost_database_is_told_and_rebuilt_from_its_record(lading: Lading, noble: Path, host: Path) -> None:
    for name in "12":
        lading("fetch", "noble", f"vms/{name}")
    lading("rm", "vms/2")
    state = host / "home" / ".local" / "share" / "lading"
    for each in state.glob("associations.sqlite*"):
        if each.suffix != ".record":
            each.unlink()
    for command in (["show", "vms/1"], ["ls"], ["fetch", "noble", "vms/3"], ["rm", "vms/1"]):
        refused = lading(*command)
        assert (refused.returncode, "is lost" in refused.stderr, "`lading recover --rebuild`" in refused.stderr) == (
            7, True, True,
        ), (command, refused.stderr)  # fmt: skip
    assert os.listdir(host / "vms") == ["1"]
    told = lading("recover", "--rebuild")
    assert told.returncode == 0
    assert told.stdout.startswith("1 target is recorded again; the earlier database is kept as ")
    assert records(lading("show", "vms/1", "--json"))[0]["state"] == "intact"
    assert lading("show", "vms/2").returncode == 6


def test_an_interrupted_fetch_is_resumed_after_the_database_was_lost(
    lading: Lading, host: Path, cut_off: FaultyServer
) -> None:
    for each in (host / "home" / ".local" / "share" / "lading").glob("associations.sqlite*"):
        if each.suffix != ".record":
            each.unlink()
    assert lading("recover", "--rebuild").returncode == 0
    (told,) = records(lading("fetch", "jammy", "vms/1", "--json"))
    assert told["resumed"] == 2 * MEBIBYTE
    assert cut_off.requests[-1].range == f"bytes={2 * MEBIBYTE}-"
    assert (host / "vms" / "1").read_bytes() == DATA


# While a target's file system is not mounted.


class Mount:
    """The host's folder vms, and what is mounted there."""

    def __init__(self, disk: Path, place: Path) -> None:
        self.disk, self.place = disk, place

    def mount(self) -> None:
        # One device number for both: what is mounted there tells the folder's inode and birth.
        subprocess.run(["mount", "--bind", str(self.disk), str(self.place)], check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", str(self.place)], check=True)


@pytest.fixture
def mount(host: Path) -> Iterator[Mount]:
    """A disk, mounted."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount")
    (host / "disk").mkdir()
    mount = Mount(host / "disk", host / "vms")
    mount.mount()
    try:
        yield mount
    finally:
        with suppress(subprocess.CalledProcessError):
            mount.unmount()


@pytest.fixture
def unmounted(lading: Lading, mount: Mount, noble: Path) -> Mount:
    """An image was fetched to the disk, which is not mounted any more."""
    assert lading("fetch", "noble", "vms/1").returncode == 0
    mount.unmount()
    return mount


def only(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(done.stdout)
    return record


@pytest.mark.parametrize("command", [("rm", "vms/1"), ("mv", "vms/1", "vms/2"), ("fetch", "noble", "vms/1")])
def test_no_command_acts_where_the_disk_is_not_mounted(
    lading: Lading, unmounted: Mount, command: tuple[str, ...]
) -> None:
    refused = lading(*command)
    assert refused.returncode == (11 if command[0] == "fetch" else 7)
    assert "is its file system not mounted?" in refused.stderr
    assert os.listdir(unmounted.place) == []
    assert (unmounted.disk / "1").read_bytes() == DATA
    assert lading("recover").stdout == ""
    unmounted.mount()
    assert "intact" in lading("verify", "vms/1").stdout
    assert lading("rm", "vms/1").returncode == 0
    assert os.listdir(unmounted.disk) == []


def test_a_target_is_unknown_while_its_disk_is_not_mounted(lading: Lading, unmounted: Mount) -> None:
    shown, verified = lading("show", "vms/1", "--json"), lading("verify", "vms/1", "--json")
    assert (only(shown)["state"], only(verified)["state"], verified.returncode) == ("unknown", "unknown", 7)
    assert "not mounted?" in only(shown)["details"]["why"]


def test_a_fetch_that_is_forced_lands_where_the_disk_was(lading: Lading, unmounted: Mount) -> None:
    assert lading("fetch", "noble", "vms/1", "--force").returncode == 0
    assert (unmounted.place / "1").read_bytes() == DATA


def test_a_target_on_a_disk_that_is_gone_can_be_forgotten(lading: Lading, unmounted: Mount) -> None:
    forgotten = lading("forget", "vms/1", "--json")
    assert forgotten.returncode == 0
    assert only(forgotten) == {
        "target": str(unmounted.place / "1"), "recorded": True, "handler": "file", "identity": None, "begun": [],
        "left": [],
    }  # fmt: skip
    assert lading("ls").stdout == ""
    assert (unmounted.disk / "1").read_bytes() == DATA
    assert lading("forget", "vms/1").returncode == 6
    assert lading("fetch", "noble", "vms/1").returncode == 0


@pytest.fixture
def kept(mount: Mount, cut_off: FaultyServer) -> Mount:
    """A download to the disk was killed, and the disk is not mounted any more."""
    mount.unmount()
    return mount


def test_what_was_cut_off_waits_until_its_disk_is_mounted(lading: Lading, kept: Mount) -> None:
    unresolved = lading("recover")
    assert (unresolved.returncode, "unresolved" in unresolved.stdout, "not mounted?" in unresolved.stdout) == (
        7, True, True,
    )  # fmt: skip
    assert os.listdir(kept.disk) == [".1.lading-part"]
    for command in ("explain", "fetch"):
        refused = lading(command, "jammy", "vms/1")
        assert (refused.returncode, "lading recover --discard" in refused.stderr) == (7, True)
    assert only(lading("explain", "jammy", "vms/1", "--json"))["error"] == "target_unresolved"
    kept.mount()
    assert "2.0 MiB of it there already" in lading("fetch", "jammy", "vms/1").stdout
    assert os.listdir(kept.disk) == ["1"]


@pytest.mark.parametrize("command", [("show", "vms/1"), ("rm", "vms/1"), ("mv", "vms/1", "vms/2")])
def test_a_fetch_that_is_not_finished_is_told_and_stays(lading: Lading, kept: Mount, command: tuple[str, ...]) -> None:
    kept.mount()
    refused = lading(*command)
    told = refused.stdout if command[0] == "show" else refused.stderr
    assert (refused.returncode, "lading recover --discard" in told) == (0 if command[0] == "show" else 6, True)
    assert os.listdir(kept.disk) == [".1.lading-part"]
    assert "2.0 MiB of it there already" in lading("fetch", "jammy", "vms/1").stdout


def test_what_was_cut_off_can_be_given_up_while_its_disk_is_gone(lading: Lading, kept: Mount) -> None:
    given_up = lading("recover", "--discard", "vms/1", "--json")
    assert (given_up.returncode, only(given_up)["outcome"]) == (0, "abandoned")
    assert os.listdir(kept.disk) == [".1.lading-part"]
    assert lading("recover").stdout == ""
    assert lading("fetch", "jammy", "vms/1").returncode == 0


def test_recover_says_that_nothing_is_interrupted_at_a_target(lading: Lading, noble: Path, host: Path) -> None:
    lading("fetch", "noble", "vms/1")
    done = lading("recover", "vms/1")
    assert (done.returncode, done.stdout) == (0, f"nothing to recover for {host}/vms/1\n")
    assert lading("recover", "vms/1", "--json").stdout == ""


def test_what_was_cut_off_can_be_forgotten_and_is_said_to_be_left(lading: Lading, kept: Mount) -> None:
    kept.mount()
    told = lading("forget", "vms/1")
    assert told.stdout.splitlines() == [
        f"{kept.place}/1: forgotten",
        f"{kept.place}/.1.lading-part still exists, and is no longer recorded",
    ]
    in_the_way = lading("fetch", "jammy", "vms/1")
    assert (in_the_way.returncode, "exists, and lading has no record of it" in in_the_way.stderr) == (5, True)
    (kept.disk / ".1.lading-part").unlink()
    assert lading("fetch", "jammy", "vms/1").returncode == 0


def test_of_what_is_no_file_it_is_said_that_it_is_left(lading: Lading, host: Path) -> None:
    database = host / "home" / ".local" / "share" / "lading" / "associations.sqlite"
    begun = Intent("rbd:vms/1", Verb.FETCH, "rbd", datetime.now(UTC), notes={"part": "1.lading-part"})
    with closing(Database(database)) as opened:
        FileJournal(opened).begin(begun).unwrap()
    assert lading("forget", "rbd:vms/1").stdout.splitlines() == [
        "rbd:vms/1: forgotten",
        "data of the interrupted fetch by rbd may still exist",
    ]


def test_the_other_end_of_a_forgotten_move_is_said_to_stay_recorded(lading: Lading, noble: Path, host: Path) -> None:
    lading("fetch", "noble", "vms/1")
    store = host / "home" / ".local" / "share" / "lading" / "associations.sqlite"
    with closing(Database(store)) as database:
        began = Intent(f"{host}/vms/1", Verb.MOVE, "gone", datetime.now(UTC), destination=f"{host}/vms/2")
        FileJournal(database).begin(began).unwrap()
    assert lading("forget", "vms/2").stdout.splitlines() == [
        f"{host}/vms/2: forgotten",
        f"{host}/vms/1 still exists, and is still recorded",
    ]
    assert f"{host}/vms/1" in lading("ls").stdout


def test_another_disk_at_the_same_place_is_not_touched(lading: Lading, host: Path, noble: Path, tmp_path: Path) -> None:
    """Their first files have the same inode."""
    mount = contextmanager(mounted)
    place = host / "vms"
    place.rmdir()
    with mount("ext4", tmp_path / "one", place):
        (place / "vms").mkdir()
        assert lading("fetch", "noble", "vms/vms/1").returncode == 0
    place.rmdir()
    with mount("ext4", tmp_path / "two", place):
        (place / "vms").mkdir()
        (place / "vms" / "1").write_bytes(b"precious")
        refused = lading("rm", "vms/vms/1")
        assert (refused.returncode, (place / "vms" / "1").read_bytes()) == (7, b"precious")


def test_a_refusal_before_anything_was_touched_leaves_no_trace(
    lading: Lading,
    host: Path,
    noble: Path,
) -> None:
    for target in ("gone/1", "rbd:vms/disk@1", str(noble.parent)):
        assert lading("fetch", "noble", target).returncode in {4, 5, 11}
    assert lading("recover").stdout == ""
    assert lading("ls").stderr == ""
