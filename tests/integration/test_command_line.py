"""The command as its users run it."""

import gzip
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.images import fixed_vhd, mbr, partition, qcow2

from lading import Association, Image, Location
from lading.adapters.sqlite.associations import FileAssociations
from lading.adapters.sqlite.database import Database

Lading = Callable[..., subprocess.CompletedProcess[str]]
MEBIBYTE = 1 << 20
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def noble(host: Path, lading: Lading) -> Path:
    """A sparse disk in the catalog, under the name noble."""
    path = host / "images" / "noble.img"
    with path.open("wb") as disk:
        disk.truncate(16 * MEBIBYTE)
        disk.write(os.urandom(MEBIBYTE))
    assert lading("catalog", "add", "images/noble.img").returncode == 0
    return path


def record(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one object that a command printed."""
    (line,) = done.stdout.splitlines()
    read: dict[str, Any] = json.loads(line)
    return read


def messages(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The errors that a command printed, one line each, without the lines of advice below them."""
    return [line for line in done.stderr.splitlines() if not line.startswith("  ")]


def record_target(host: Path, association: Association) -> None:
    """As a command of this host would."""
    with closing(Database(host / "home" / ".local" / "share" / "lading" / "associations.sqlite")) as database:
        FileAssociations(database).put(association).unwrap()


def test_the_main_job_works_with_no_settings_at_all(lading: Lading, noble: Path, host: Path) -> None:
    fetched = lading("fetch", "noble", "vms/1", LADING_HANDLERS__FILE__ALLOWED_FOLDERS="")
    assert (fetched.returncode, fetched.stderr) == (0, "")
    assert (host / "vms" / "1").read_bytes() == noble.read_bytes()
    assert "by download" in fetched.stdout
    assert "verified sha512" in fetched.stdout


def test_an_unsafe_image_is_refused_by_the_catalog_and_by_fetch_in_the_same_words(lading: Lading, host: Path) -> None:
    hostile = host / "images" / "hostile.qcow2"
    hostile.write_bytes(qcow2(backing=b"/etc/passwd"))
    words = "it is unsafe: Image has a backing file (qcow2)"
    refused = lading("catalog", "add", str(hostile))
    assert (refused.returncode, f"{hostile}: {words}" in refused.stderr) == (2, True)
    assert "Safety check" not in refused.stderr
    assert lading("catalog", "ls").stdout == ""

    assert lading("catalog", "add", str(hostile), LADING_LANDING__INSPECT="false").returncode == 0
    refused = lading("fetch", "hostile", "vms/1")
    assert (refused.returncode, words in refused.stderr) == (4, True)
    assert "Safety check" not in refused.stderr
    assert os.listdir(host / "vms") == []


def test_a_compressed_image_is_refused_with_what_to_do(lading: Lading, host: Path) -> None:
    packed = host / "images" / "noble.raw.gz"
    packed.write_bytes(gzip.compress(bytes(4096)))
    words = "it is compressed by gzip, no disk image; decompress it first: gunzip FILE"
    for declared in ([], ["--disk-format", "raw"]):
        refused = lading("catalog", "add", str(packed), *declared)
        assert (refused.returncode, f"{packed}: {words}" in refused.stderr) == (2, True)
    assert lading("catalog", "add", str(packed), "--disk-format", "gz").returncode == 0
    assert lading("fetch", "noble.raw", "vms/1").returncode == 0


def test_a_fixed_vhd_is_known_by_its_footer(lading: Lading, host: Path) -> None:
    (host / "images" / "fixed.vhd").write_bytes(fixed_vhd(mbr(partition(0x83))))
    assert record(lading("catalog", "add", "images/fixed.vhd", "--json"))["disk_format"] == "vhd"
    fetched = record(lading("fetch", "fixed", "vms/1", "--json"))
    assert fetched["verified"]


def test_a_path_behind_a_link_is_the_one_that_the_kernel_finds(lading: Lading, host: Path) -> None:
    (host / "elsewhere" / "deep").mkdir(parents=True)
    (host / "link").symlink_to("elsewhere/deep")
    for folder, data in ((host, b"here"), (host / "elsewhere", b"there")):
        (folder / "disk.img").write_bytes(data * 1024)
    allowed = str(host)
    added = record(lading("catalog", "add", "link/../disk.img", "--json"))
    assert added["locations"][0]["url"] == f"file://{host}/elsewhere/disk.img"
    fetched = lading("fetch", "disk", "link/../vm", LADING_HANDLERS__FILE__ALLOWED_FOLDERS=allowed)
    assert (host / "elsewhere" / "vm").read_bytes() == b"there" * 1024, fetched.stderr
    (host / "vm").write_bytes(b"somebody's")
    assert lading("rm", "link/../vm").returncode == 0
    assert not (host / "elsewhere" / "vm").exists()
    assert (host / "vm").exists()


def test_an_image_goes_from_the_catalog_to_a_target_and_away_again(lading: Lading, noble: Path, host: Path) -> None:
    target, moved = str(host / "vms" / "1"), str(host / "vms" / "2")
    fetched = record(lading("fetch", "noble", "vms/1", "--json"))
    assert fetched.keys() == {
        "image", "target", "handler", "location", "copied_from", "method", "present", "size", "digest", "verified",
        "resumed", "seconds", "attempts",
    }  # fmt: skip
    assert (fetched["target"], fetched["handler"], fetched["verified"]) == (target, "file", True)
    assert fetched["attempts"] == [
        {"handler": "file", "location": f"file://{noble}", "outcome": "handled", "reason": None}
    ]
    assert record(lading("fetch", "noble", "vms/1", "--json"))["present"]
    assert record(lading("mv", "vms/1", "vms/2", "--json"))["target"] == moved
    shown = record(lading("show", "vms/2", "--json"))
    assert (shown["image"], shown["state"], shown["handler"]) == (fetched["image"], "intact", "file")
    assert [json.loads(line)["target"] for line in lading("ls", "--json").stdout.splitlines()] == [moved]
    assert record(lading("rm", "vms/2", "--json"))["target"] == moved
    assert lading("ls").stdout == ""
    assert os.listdir(host / "vms") == []


def test_an_image_larger_than_max_size_is_refused(lading: Lading, noble: Path, host: Path) -> None:
    size = noble.stat().st_size
    for command in ("explain", "fetch"):
        refused = lading(command, "noble", "vms/1", "--max-size", str(size - 1))
        assert refused.returncode == 4, refused
        assert "max_size" in refused.stdout + refused.stderr
    assert lading("fetch", "noble", "vms/1", LADING_LANDING__MAX_SIZE="1").returncode == 4
    assert lading("fetch", "noble", "vms/1", "--max-size", "1G", LADING_LANDING__MAX_SIZE="1").returncode == 0


def test_show_tells_whether_a_target_is_still_what_was_put_there(lading: Lading, noble: Path, host: Path) -> None:
    lading("fetch", "noble", "vms/1")
    assert record(lading("show", "vms/1", "--json"))["state"] == "intact"
    with (host / "vms" / "1").open("r+b") as disk:
        disk.write(b"a guest wrote here")
    assert record(lading("show", "vms/1", "--json"))["state"] == "changed"
    (host / "vms" / "1").unlink()
    assert record(lading("show", "vms/1", "--json"))["state"] == "missing"
    assert "missing" in lading("show", "vms/1").stdout


def test_ls_takes_an_image_by_its_id_name_or_href(lading: Lading, noble: Path, host: Path) -> None:
    href = "https://glance.example/v2/images/2f"
    record_target(host, Association("/vms/2", "download", Image("2f", "jammy", properties={"self": href}), None, NOW))
    record_target(host, Association("/vms/3", "download", None, None, NOW))
    fetched = record(lading("fetch", "noble", "vms/1", "--json"))
    for reference, target in (
        ("noble", fetched["target"]), (fetched["image"], fetched["target"]),
        ("2f", "/vms/2"), ("jammy", "/vms/2"), (href, "/vms/2"),
    ):  # fmt: skip
        assert record(lading("ls", "--image", reference, "--json"))["target"] == target
    nothing = lading("ls", "--image", "plucky")
    assert (nothing.returncode, nothing.stdout) == (0, "")


def test_ls_refuses_a_handler_that_there_is_not(lading: Lading, host: Path) -> None:
    record_target(host, Association("/vms/1", "uninstalled", None, None, NOW))
    for name, hint in (("fiel", "did you mean 'file'?"), ("uninstaled", "did you mean 'uninstalled'?"), ("x", "rbd")):
        refused = lading("ls", "--handler", name)
        assert (refused.returncode, hint in refused.stderr) == (2, True)
    assert record(lading("ls", "--handler", "uninstalled", "--json"))["target"] == "/vms/1"
    nothing = lading("ls", "--handler", "rbd")
    assert (nothing.returncode, nothing.stdout) == (0, "")


def test_show_does_not_know_about_a_target_that_cannot_be_looked_at(lading: Lading, noble: Path, host: Path) -> None:
    lading("fetch", "noble", "vms/1")
    (host / "vms" / "1").unlink()
    (host / "vms").rmdir()
    (host / "vms").symlink_to("vms")
    shown = lading("show", "vms/1", "--json")
    assert (shown.returncode, record(shown)["state"]) == (0, "unknown")


def test_explain_shows_every_attempt_with_its_reason_and_touches_nothing(
    lading: Lading, noble: Path, host: Path
) -> None:
    explained = lading("explain", "noble", "vms/1", LADING_HANDLERS__FILE__ALLOWED_FOLDERS="")
    assert explained.returncode == 0
    assert "✗ file file://" in explained.stdout
    assert "allowed_folders" in explained.stdout
    assert "✓ download  ← this one" in explained.stdout
    told = record(lading("explain", "noble", "vms/1", "--json"))
    assert (told["handler"], told["attempts"][0]["would"]) == ("file", True)
    assert os.listdir(host / "vms") == []
    assert lading("ls").stdout == ""
    assert os.listdir(host / "home" / ".local" / "share" / "lading") == ["catalog"]


def test_explain_says_by_its_exit_code_that_nothing_would_do(lading: Lading, noble: Path) -> None:
    noble.unlink()
    assert lading("explain", "noble", "vms/1").returncode == 4


def test_explain_exits_as_fetch_does_where_something_is_in_the_way(lading: Lading, noble: Path, host: Path) -> None:
    (host / "vms" / "1").write_bytes(b"precious")
    explained = lading("explain", "noble", "vms/1")
    assert explained.returncode == lading("fetch", "noble", "vms/1").returncode == 5
    assert explained.stdout.count("✗") == 1


def test_explain_shows_a_handler_that_raises_as_one_that_refuses(lading: Lading, noble: Path, host: Path) -> None:
    site = host / "site"
    (site / "clumsy-1.0.dist-info").mkdir(parents=True)
    (site / "clumsy-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: clumsy\nVersion: 1.0\n")
    (site / "clumsy-1.0.dist-info" / "entry_points.txt").write_text("[lading.handlers]\nclumsy = clumsy:Clumsy\n")
    (site / "clumsy.py").write_text(
        """
class Clumsy:
    name, schemes, is_local = "clumsy", frozenset({"file"}), True
    def __init__(self, setup): ...
    def preview(self, work): raise RuntimeError("dropped it")
"""
    )
    told = record(
        lading(
            "explain", "noble", "vms/1", "--json", PYTHONPATH=str(site), LADING_HANDLERS__ORDER="clumsy,file"
        )
    )  # fmt: skip
    assert told["attempts"][0]["would"] is False
    assert told["attempts"][0]["reason"] == "raised RuntimeError; the debug log has more"
    assert told["handler"] == "file"


def test_explain_asks_no_handler_about_a_location_that_lost_its_credentials(
    lading: Lading, noble: Path, host: Path
) -> None:
    image = record(lading("catalog", "show", "noble", "--json"))["id"]
    gone = Location("file://***@host/gone.img")
    with closing(Database(host / "home" / ".local" / "share" / "lading" / "associations.sqlite")) as database:
        association = Association(
            str(host / "vms" / "1"), "file", Image(image, "noble"), gone, datetime(2026, 1, 1, tzinfo=UTC)
        )
        FileAssociations(database).put(association).unwrap()
    first, second, *_ = record(lading("explain", "noble", "vms/1", "--json"))["attempts"]
    assert (first["would"], first["location"]) == (False, str(gone))
    assert first["reason"] == "its credentials are not recorded, and the catalog no longer has this location"
    assert second["would"]


def test_handlers_tells_what_each_takes_and_why_one_is_skipped(lading: Lading) -> None:
    told = lading("handlers", "--json", LADING_HANDLERS__ORDER="file,none,file")
    records = [json.loads(line) for line in told.stdout.splitlines()]
    assert [(each["name"], each["state"]) for each in records] == [
        ("file", "loaded"), ("none", "skipped"), ("file", "skipped"),
        *((name, "unused") for name in ("cinder", "download", "http", "rbd", "s3", "swift")),
    ]  # fmt: skip
    assert records[0]["schemes"] == ["file", "filesystem"]
    assert records[0]["from"].startswith("lading ")
    assert "unknown" in records[1]["reason"]
    assert "none is skipped" in told.stderr


@pytest.mark.parametrize(
    ("arguments", "variables", "code", "words"),
    [
        (["fetch", "nothing", "vms/1"], {}, 3, ["nothing", "to list the images: lading catalog ls"]),
        (["fetch", "noble", "vms/taken"], {}, 5, ["vms/taken", "force"]),
        (["fetch", "noble", "missing/1"], {}, 4, ["missing", "does not exist"]),
        (
            ["fetch", "noble", "vms/1"],
            {"LADING_HANDLERS__ORDER": "file", "LADING_HANDLERS__FILE__ALLOWED_FOLDERS": "/x"},
            4,
            ["outside the allowed folders"],
        ),
        (["fetch", "noble"], {}, 2, ["TARGET"]),
        (["fetch", "noble", " "], {}, 2, ["blank"]),
        (["fetch", "noble", "vms/1", "--config", "none.toml"], {}, 2, ["none.toml"]),
        (["ls"], {"LADING_CATALOG__FOLDR": "/x"}, 2, ["LADING_CATALOG__FOLDR", "folder"]),
        (["ls"], {"LADING_ASSOCIATIONS__KIND": "etcd"}, 2, ["etcd", "file", "memory"]),
        (
            ["fetch", "noble", "vms/1"],
            {"LADING_CATALOG__KIND": "s3"},
            2,
            ["LADING_CATALOG__KIND", "catalog.kind", "s3", "file"],
        ),
        (["ls"], {"LADING_ASSOCIATIONS__PATH": "/dev/null/db"}, 7, ["/dev/null/db"]),
        (["rm", "vms/1"], {}, 6, ["vms/1", "nothing is recorded", "to list the recorded targets: lading ls"]),
        (["mv", "vms/1", "vms/2"], {}, 6, ["vms/1"]),
        (["show", "vms/1"], {}, 6, ["vms/1"]),
        (["catalog", "add", "none.img"], {}, 2, ["none.img"]),
        (["catalog", "add", "vms"], {}, 2, ["vms", "regular"]),
        (["catalog", "add", "images/noble.img", "--algorithm", "rot13"], {}, 2, ["rot13", "sha512"]),
        (["catalog", "add", "images/noble.img", "--algorithm", "shake_128"], {}, 2, ["shake_128", "sha512"]),
        (["catalog", "add", "images/noble.img", "--disk-format", "qcow2"], {}, 2, ["noble.img is raw", "not qcow2"]),
        (["catalog", "show", "nothing"], {}, 3, ["nothing"]),
        (["catalog", "rm", "nothing"], {}, 3, ["nothing"]),
    ],
)
def test_every_error_is_a_line_or_two_that_names_the_thing(
    lading: Lading,
    noble: Path,
    host: Path,
    arguments: list[str],
    variables: Mapping[str, str],
    code: int,
    words: list[str],
) -> None:
    (host / "vms" / "taken").write_bytes(b"precious")
    done = lading(*arguments, **variables)
    assert done.returncode == code, done.stderr
    assert all(word in done.stderr for word in words), done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= (4 if code == 2 else 2), done.stderr
    assert (host / "vms" / "taken").read_bytes() == b"precious"
    assert os.listdir(host / "vms") == ["taken"]


def test_an_error_is_json_too_when_json_is_asked_for(lading: Lading, noble: Path, host: Path) -> None:
    (host / "vms" / "1").write_bytes(b"precious")
    failed = lading("fetch", "noble", "vms/1", "--json")
    told = record(failed)
    assert told["error"] == "no_handler_available"
    assert told["attempts"][0]["outcome"] == "refused"
    assert told["message"] in failed.stderr


@pytest.mark.parametrize("arguments", [["fetch", "--json"], ["frob", "--json"], ["catalog", "add", "none", "--json"]])
def test_a_wrong_command_is_json_too_when_json_is_asked_for(lading: Lading, arguments: list[str]) -> None:
    failed = lading(*arguments)
    told = record(failed)
    assert (failed.returncode, told["error"]) == (2, "usage")
    assert told["message"] in failed.stderr
    assert lading(*arguments[:-1], "--", "--json").stdout == ""


def test_a_handler_that_is_not_loaded_is_named_with_what_to_do(lading: Lading, noble: Path) -> None:
    lading("fetch", "noble", "vms/1")
    failed = lading("rm", "vms/1", LADING_HANDLERS__ORDER="download")
    assert failed.returncode == 7
    assert "add 'file' to [handlers] order" in failed.stderr
    assert len(failed.stderr.splitlines()) == 2


def images(lading: Lading) -> dict[str, Any]:
    """What the catalog lists, by id."""
    return {image["id"]: image for image in map(json.loads, lading("catalog", "ls", "--json").stdout.splitlines())}


def test_an_ambiguous_name_lists_the_ids_and_says_what_to_do(lading: Lading, noble: Path, host: Path) -> None:
    for number in "12":
        document = host / "home" / ".local" / "share" / "lading" / "catalog" / f"id-{number}.json"
        document.write_text(json.dumps({"id": f"id-{number}", "name": "twin"}))
    failed = lading("fetch", "twin", "vms/1")
    assert failed.returncode == 3
    hints = ("  to compare them: lading catalog show ID", "  to remove one: lading catalog rm ID")
    assert (failed.stderr.splitlines()[0][-10:], *failed.stderr.splitlines()[1:]) == ("id-1, id-2", *hints)


def test_the_same_content_added_again_is_the_same_image(lading: Lading, noble: Path, host: Path) -> None:
    (before,) = images(lading).values()
    added = lading("catalog", "add", "images/noble.img")
    assert (added.returncode, "is in the catalog already" in added.stdout) == (0, True)
    assert list(images(lading).values()) == [before]
    (host / "moved").mkdir()
    noble.rename(host / "moved" / "noble.img")
    assert record(lading("catalog", "add", "moved/noble.img", "--json"))["id"] == before["id"]
    assert lading("fetch", "noble", "vms/1").returncode == 0
    # Also after it was forgotten, and on another host.
    lading("catalog", "rm", "noble")
    assert record(lading("catalog", "add", "moved/noble.img", "--json"))["id"] == before["id"]


def test_the_same_content_may_go_by_another_name_too(lading: Lading, noble: Path) -> None:
    assert lading("catalog", "add", str(noble), "--name", "base").returncode == 0
    assert sorted(image["name"] for image in images(lading).values()) == ["base", "noble"]


def test_adding_again_keeps_what_else_a_document_says(lading: Lading, noble: Path, host: Path) -> None:
    ((image_id, before),) = images(lading).items()
    located = {"url": "rbd://fsid/images/noble/snap", "metadata": {}}
    document = {**before, "os_distro": "ubuntu", "locations": [located, *before["locations"]]}
    (host / "home" / ".local" / "share" / "lading" / "catalog" / f"{image_id}.json").write_text(json.dumps(document))
    added = record(lading("catalog", "add", str(noble), "--json"))
    assert added == {**document, "locations": [*before["locations"], located]}


def test_a_name_that_another_image_has_is_refused(lading: Lading, noble: Path, host: Path) -> None:
    before = images(lading)
    (host / "images" / "newer.img").write_bytes(b"newer")
    for more in ((), ("--id", "new")):
        refused = lading("catalog", "add", "images/newer.img", "--name", "noble", *more)
        assert refused.returncode == 2
        assert "--replace" in refused.stderr
        assert all(image_id in refused.stderr for image_id in before)
    assert lading("catalog", "add", str(noble), "--id", "a-second-id").returncode == 2
    assert images(lading) == before


def test_replace_gives_a_name_to_newer_content(lading: Lading, noble: Path, host: Path) -> None:
    ((old, _),) = images(lading).items()
    lading("fetch", "noble", "vms/1")
    (host / "images" / "newer.img").write_bytes(b"newer")
    added = lading("catalog", "add", "images/newer.img", "--name", "noble", "--replace")
    assert (added.returncode, f"{old} noble: removed from the catalog" in added.stdout) == (0, True)
    assert noble.exists()
    lading("fetch", "noble", "vms/2")
    assert (host / "vms" / "2").read_bytes() == b"newer"
    assert record(lading("show", "vms/1", "--json"))["image"] == old
    assert lading("verify", "vms/1").returncode == 0
    # Back again: it is the image that it was.
    assert record(lading("catalog", "add", str(noble), "--replace", "--json"))["id"] == old
    assert list(images(lading)) == [old]


def test_replace_takes_newer_content_at_the_same_place(lading: Lading, noble: Path, host: Path) -> None:
    noble.write_bytes(b"newer")
    assert lading("catalog", "add", str(noble)).returncode == 2
    assert lading("catalog", "add", str(noble), "--replace").returncode == 0
    assert lading("fetch", "noble", "vms/1").returncode == 0
    assert (host / "vms" / "1").read_bytes() == b"newer"


def test_replace_ends_an_ambiguity(lading: Lading, noble: Path, host: Path) -> None:
    (before,) = images(lading).values()
    twin = host / "home" / ".local" / "share" / "lading" / "catalog" / "twin.json"
    twin.write_text(json.dumps({**before, "id": "twin"}))
    assert lading("catalog", "add", str(noble)).returncode == 2
    assert lading("catalog", "add", str(noble), "--replace").returncode == 0
    assert len(images(lading)) == 1


def test_force_replaces_what_is_there_and_only_then(lading: Lading, noble: Path, host: Path) -> None:
    (host / "vms" / "1").write_bytes(b"old")
    assert lading("fetch", "noble", "vms/1").returncode == 5
    assert lading("fetch", "noble", "vms/1", "--force").returncode == 0
    assert (host / "vms" / "1").read_bytes() == noble.read_bytes()


@pytest.mark.parametrize("folder", ["vms/", "./vms/"])
def test_into_a_folder_an_image_goes_by_its_own_name(lading: Lading, noble: Path, host: Path, folder: str) -> None:
    refused = lading("fetch", "noble", "vms")
    assert (refused.returncode, f"for a file in it: {host}/vms/" in refused.stderr) == (5, True)
    target = str(host / "vms" / "noble.raw")
    assert record(lading("explain", "noble", folder, "--json"))["target"] == target
    assert os.listdir(host / "vms") == []
    assert record(lading("fetch", "noble", folder, "--json"))["target"] == target
    assert record(lading("fetch", "noble", folder, "--json"))["present"]
    (host / "other").mkdir()
    for place in ("other", "other/"):
        assert record(lading("mv", target, place, "--json"))["target"] == str(host / "other" / "noble.raw")
        assert lading("mv", "other/noble.raw", folder).returncode == 0
    assert os.listdir(host / "vms") == ["noble.raw"]


@pytest.mark.parametrize("command", [["fetch", "noble"], ["explain", "noble"], ["mv", "vms/1"]])
def test_a_folder_that_is_not_there_is_not_made(lading: Lading, noble: Path, host: Path, command: list[str]) -> None:
    lading("fetch", "noble", "vms/1")
    refused = lading(*command, "vms/new/")
    assert refused.returncode == 2
    assert f"there is no folder {host}/vms/new: make it (mkdir -p {host}/vms/new)" in refused.stderr
    assert os.listdir(host / "vms") == ["1"]


def test_a_target_that_cannot_be_looked_at_is_no_bug(lading: Lading, noble: Path, host: Path) -> None:
    too_long = "vms/" + "x" * 256
    assert lading("fetch", "noble", too_long).returncode == 4
    for command in (["fetch", "noble"], ["mv", "vms/1"]):
        refused = lading(*command, too_long + "/")
        assert refused.returncode == 2
        assert "cannot be read: File name too long" in refused.stderr


def test_a_file_with_a_slash_behind_it_is_no_folder(lading: Lading, noble: Path, host: Path) -> None:
    lading("fetch", "noble", "vms/1")
    refused = lading("fetch", "noble", "vms/1/")
    assert refused.returncode == 2
    assert f"{host}/vms/1 is not a folder" in refused.stderr


def test_a_hostile_name_is_not_a_file_s(lading: Lading, noble: Path, host: Path) -> None:
    for name in ("../noble", ".profile", "a\nb", "-rf"):
        document = record(lading("catalog", "show", "noble", "--json")) | {"id": f"id-of-{len(name)}", "name": name}
        folder = host / "home" / ".local" / "share" / "lading" / "catalog"
        (folder / f"{document['id']}.json").write_text(json.dumps(document))
        told = record(lading("explain", document["id"], "vms/", "--json"))
        assert told["target"] == str(host / "vms" / f"{document['id']}.raw")


def test_a_file_whose_name_has_a_colon_is_proposed_as_a_path(lading: Lading, noble: Path, host: Path) -> None:
    refused = lading("fetch", "noble", "vm:1.img")
    assert (refused.returncode, "./vm:1.img" in refused.stderr) == (4, True)
    assert lading("fetch", "noble", "./vm:1.img").returncode == 0
    assert (host / "vm:1.img").exists()
    assert "./vm:2.img" in lading("mv", "./vm:1.img", "vm:2.img").stderr


@pytest.mark.parametrize("command", ["rm", "show", "forget"])
def test_a_target_with_a_colon_that_is_not_recorded_is_proposed_as_a_path(
    lading: Lading, noble: Path, command: str
) -> None:
    lading("fetch", "noble", "./vm:1.img")
    refused = lading(command, "vm:1.img")
    assert (refused.returncode, "for a file of this name: ./vm:1.img" in refused.stderr) == (6, True)
    assert lading(command, "./vm:1.img").returncode == 0


def test_verify_proposes_a_path_for_an_unrecorded_target_with_a_colon(lading: Lading, noble: Path) -> None:
    lading("fetch", "noble", "./vm:1.img")
    refused = lading("verify", "vm:1.img")
    assert (refused.returncode, "for a file of this name: ./vm:1.img" in refused.stdout) == (6, True)
    assert lading("verify", "./vm:1.img").returncode == 0


def test_moving_onto_something_is_a_conflict(lading: Lading, noble: Path, host: Path) -> None:
    lading("fetch", "noble", "vms/1")
    (host / "vms" / "2").write_bytes(b"precious")
    assert lading("mv", "vms/1", "vms/2").returncode == 5
    assert (host / "vms" / "2").read_bytes() == b"precious"
    assert record(lading("show", "vms/1", "--json"))["state"] == "intact"


def test_what_a_cloud_s_api_printed_can_be_dropped_into_the_catalog(lading: Lading, noble: Path, host: Path) -> None:
    document = record(lading("catalog", "show", "noble", "--json"))
    folder = host / "home" / ".local" / "share" / "lading" / "catalog"
    dropped = {**document, "id": "dropped", "name": "jammy", "visibility": "public", "checksum": None, "tags": ["a"]}
    (folder / "cloud.json").write_text(json.dumps(dropped))
    assert record(lading("catalog", "show", "jammy", "--json"))["visibility"] == "public"
    assert record(lading("fetch", "jammy", "vms/1", "--json"))["handler"] == "file"


def test_the_catalog_s_images_are_listed_and_let_go_but_never_their_bytes(lading: Lading, noble: Path) -> None:
    assert "noble" in lading("catalog", "ls").stdout
    assert lading("catalog", "rm", "noble").returncode == 0
    assert lading("catalog", "ls").stdout == ""
    assert noble.exists()


@pytest.mark.parametrize(
    "wrong", ['"size": 1' + "0" * 309, '"size": 1e999', '"x": 1e999', '"x": NaN', '"x": 1, "x": 2']
)
def test_a_bad_document_is_named_and_the_others_are_listed(lading: Lading, noble: Path, host: Path, wrong: str) -> None:
    bad = host / "home" / ".local" / "share" / "lading" / "catalog" / "bad.json"
    bad.write_text(f'{{"id": "bad", {wrong}}}')
    for options in ((), ("--json",)):
        listed = lading("catalog", "ls", *options)
        assert (listed.returncode, listed.stdout.count("\n"), "noble" in listed.stdout) == (0, 1, True)
        assert f"{bad} is not an image document" in listed.stderr


def test_a_file_that_changed_since_it_was_added_is_not_fetched(lading: Lading, noble: Path, host: Path) -> None:
    with noble.open("r+b") as disk:
        disk.write(b"tampered")
    failed = lading("fetch", "noble", "vms/1")
    assert failed.returncode == 4
    assert "digest" in failed.stderr
    assert os.listdir(host / "vms") == []


def test_fetch_and_explain_refuse_a_digest_of_wrong_length(lading: Lading, noble: Path, host: Path) -> None:
    (document,) = (host / "home" / ".local" / "share" / "lading" / "catalog").glob("*.json")
    document.write_text(json.dumps({**json.loads(document.read_text()), "os_hash_value": "ab" * 32}))
    words = "the catalog's digest is no sha512: expected 128 hex digits, got abababababab"
    for command in ("fetch", "explain"):
        refused = lading(command, "noble", "vms/1")
        assert (refused.returncode, words in refused.stdout + refused.stderr) == (4, True)
    assert os.listdir(host / "vms") == []


def test_credentials_in_a_location_are_shown_nowhere(lading: Lading, noble: Path, host: Path) -> None:
    folder = host / "home" / ".local" / "share" / "lading" / "catalog"
    document = {
        "id": "x",
        "name": "secretive",
        "locations": [{"url": "file://user:hunter2@host/noble.img?sig=hunter2"}],
    }
    (folder / "x.json").write_text(json.dumps(document))
    for arguments in (
        ["fetch", "secretive", "vms/1"], ["explain", "secretive", "vms/1"], ["catalog", "show", "secretive"],
        ["catalog", "ls", "--json"], ["fetch", "secretive", "vms/1", "--json", "-vv"],
    ):  # fmt: skip
        done = lading(*arguments)
        assert "hunter2" not in done.stdout + done.stderr


@pytest.fixture
def big(host: Path) -> Path:
    """A disk in the catalog, under the id big, that takes minutes to fetch."""
    big = host / "images" / "big.img"
    with big.open("wb") as disk:
        disk.truncate(64 << 30)  # a hole that takes minutes to hash
    document = {
        "id": "big",
        "size": 64 << 30,
        "os_hash_algo": "sha512",
        "os_hash_value": "0" * 128,
        "locations": [{"url": f"file://{big}"}],
    }
    folder = host / "home" / ".local" / "share" / "lading" / "catalog"
    folder.mkdir(parents=True)
    (folder / "big.json").write_text(json.dumps(document))
    return big


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_fetch_leaves_nothing_behind(
    lading: Lading, host: Path, environment: dict[str, str], big: Path, number: signal.Signals
) -> None:
    fetching = subprocess.Popen(
        [sys.executable, "-m", "lading", "fetch", "big", "vms/1", "--json"],
        cwd=host, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_until(lambda: holds_open(fetching.pid, big))
    fetching.send_signal(number)
    stdout, stderr = fetching.communicate(timeout=60)
    assert fetching.returncode == 128 + number
    assert "the rest is removed" in stderr
    assert "Traceback" not in stderr
    assert json.loads(stdout)["error"] == "interrupted"
    assert os.listdir(host / "vms") == []
    assert lading("ls").stdout == ""


def test_a_signal_that_is_ignored_stays_ignored(host: Path, environment: dict[str, str], big: Path) -> None:
    fetching = subprocess.Popen(
        ["bash", "-c", f"trap '' HUP; exec {sys.executable} -m lading fetch big vms/1"],
        cwd=host, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_until(lambda: holds_open(fetching.pid, big))
    fetching.send_signal(signal.SIGHUP)
    # Of two signals that wait, Python sees to the lower one first.
    fetching.send_signal(signal.SIGTERM)
    _, stderr = fetching.communicate(timeout=60)
    assert (fetching.returncode, "SIGTERM" in stderr) == (128 + signal.SIGTERM, True)


def wait_until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def holds_open(process: int, path: Path) -> bool:
    try:
        return any(
            os.path.realpath(f"/proc/{process}/fd/{each}") == str(path) for each in os.listdir(f"/proc/{process}/fd")
        )
    except FileNotFoundError:
        return False


def test_on_a_terminal_a_bar_shows_the_progress_and_piped_it_is_silent(
    lading: Lading, noble: Path, host: Path, environment: dict[str, str]
) -> None:
    ours, theirs = pty.openpty()
    fetching = subprocess.Popen(
        [sys.executable, "-m", "lading", "fetch", "noble", "vms/1"],
        cwd=host, env=environment | {"TERM": "xterm", "COLUMNS": "100"}, stdout=subprocess.PIPE, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    seen = all_of(ours)
    fetching.communicate()
    assert "MiB" in seen
    assert lading("fetch", "noble", "vms/2").stderr == ""


def test_on_a_terminal_a_fetch_says_which_process_it_waits_for(environment: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    driver = "import sys; from lading.adapters.cli.progress import progress_bar\n"
    driver += "with progress_bar('noble') as bar: bar.waiting(sys.argv[1]); bar.progress(1, 2)"
    subprocess.run(
        [sys.executable, "-c", driver, "process 4242, which fetches the same image (40/150 MiB)"],
        env=environment | {"TERM": "xterm", "COLUMNS": "200"}, stderr=theirs, check=True,
    )  # fmt: skip
    os.close(theirs)
    assert "noble: waiting for process 4242, which fetches the same image (40/150 MiB)" in all_of(ours)


def all_of(terminal: int) -> str:
    """What was written to its other end, until that was closed."""
    seen = b""
    while True:
        try:
            seen += os.read(terminal, 65536)
        except OSError:  # it is closed (EIO)
            break
    os.close(terminal)
    return seen.decode()


@pytest.mark.parametrize("command", [["ls"], ["catalog", "ls"], ["handlers"]])
def test_columns_are_aligned_on_a_terminal_and_have_tabs_between_them_elsewhere(
    lading: Lading, noble: Path, host: Path, environment: dict[str, str], command: list[str]
) -> None:
    lading("catalog", "add", str(noble), "--name", "a-longer-name")
    for image, target in (("noble", "1"), ("a-longer-name", "a-longer-target")):
        lading("fetch", image, target, "--force")
    ours, theirs = pty.openpty()
    listing = subprocess.Popen(
        [sys.executable, "-m", "lading", *command], cwd=host, env=environment, stdout=theirs, stderr=subprocess.PIPE
    )
    os.close(theirs)
    rows = all_of(ours).splitlines()
    assert listing.communicate()[1] == b""
    piped = [line.split("\t") for line in lading(*command).stdout.splitlines()]
    assert len(rows) == len(piped) > 1
    assert all(row.index(f"  {cells[1]}  ") > 0 for row, cells in zip(rows, piped, strict=True))
    if command != ["ls"]:  # its targets are longer than any column
        assert len({row.index(f"  {cells[1]}  ") for row, cells in zip(rows, piped, strict=True)}) == 1


INJECTED = "\x1b[31mred\nsecond line"


def test_names_cannot_speak_to_the_terminal(
    lading: Lading, noble: Path, host: Path, environment: dict[str, str]
) -> None:
    folder = host / "home" / ".local" / "share" / "lading" / "catalog"
    document = {"id": "x", "name": INJECTED, "locations": [{"url": f"file:///{INJECTED}"}]}
    (folder / "x.json").write_text(json.dumps(document))
    (folder / f"{INJECTED}.json").write_text("{}")
    for arguments in (
        ["catalog", "ls"], ["explain", "x", "vms/1"], ["fetch", "x", "vms/1"], ["fetch", "x", "vms/1", "-vv"],
        ["rm", f"vms/{INJECTED}"], ["fetch", "x", "y", INJECTED], ["catalog", "rm", INJECTED],
    ):  # fmt: skip
        done = lading(*arguments)
        assert "\x1b" not in done.stdout + done.stderr
        assert not any(line.startswith("second line") for line in (done.stdout + done.stderr).splitlines())
        assert "\\x1b[31mred" in done.stdout + done.stderr


def test_json_has_names_as_they_are(lading: Lading, noble: Path) -> None:
    lading("catalog", "add", str(noble), "--name", INJECTED)
    assert record(lading("catalog", "show", INJECTED, "--json"))["name"] == INJECTED
    assert record(lading("fetch", INJECTED, f"vms/{INJECTED}", "--json"))["target"].endswith(INJECTED)


def test_output_into_a_closed_pipe_is_no_error(
    lading: Lading, noble: Path, host: Path, environment: dict[str, str]
) -> None:
    command = f"{sys.executable} -m lading catalog ls | true; echo ${{PIPESTATUS[0]}}"
    for _ in range(3):
        done = subprocess.run(
            ["bash", "-c", command], cwd=host, env=environment, capture_output=True, text=True, check=False
        )
        assert done.stderr == ""
        assert done.stdout in {"0\n", "141\n"}


def in_shell(line: str, folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs the line, in which `lading` is the command."""
    function = f'lading() {{ {sys.executable} -m lading "$@"; }}; '
    return subprocess.run(
        ["bash", "-c", function + line], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_error(noble: Path, host: Path, environment: dict[str, str], closed: str) -> None:
    done = in_shell(f"lading fetch noble vms/1 {closed}", host, environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert (host / "vms" / "1").read_bytes() == noble.read_bytes()


@pytest.mark.parametrize("command", ["catalog ls", "catalog ls --json", "--help", "rm vms/1 --json"])
def test_output_that_cannot_be_written_is_an_error_of_one_line(
    noble: Path, host: Path, environment: dict[str, str], command: str
) -> None:
    done = in_shell(f"lading {command} > /dev/full", host, environment)
    assert done.returncode == 7
    assert done.stderr.splitlines()[-1] == "lading: the output cannot be written: No space left on device"
    assert len(messages(done)) <= 2
    assert in_shell("lading rm vms/1 2> /dev/full", host, environment).returncode == 6


def test_a_relative_path_in_a_folder_that_is_gone_is_a_wrong_use(
    noble: Path, host: Path, environment: dict[str, str]
) -> None:
    done = in_shell("mkdir gone && cd gone && rmdir ../gone && lading fetch noble 1 --json", host, environment)
    assert (done.returncode, record(done)["error"]) == (2, "usage")
    assert "the current folder is gone" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    away = f"mkdir gone; cd gone && rmdir ../gone && lading fetch noble {host}/vms/1"
    # Relative folders in a variable would be relative to it too.
    del environment["LADING_HANDLERS__FILE__ALLOWED_FOLDERS"]
    assert in_shell(away, host, environment).returncode == 0


def test_v_says_what_is_loaded(lading: Lading, noble: Path) -> None:
    told = lading("fetch", "noble", "vms/1", "-v")
    assert "settings: the defaults, LADING_HANDLERS__FILE__ALLOWED_FOLDERS" in told.stderr
    assert "handler file is loaded, from lading " in told.stderr
    assert lading("fetch", "noble", "vms/2").stderr == ""


def test_a_path_that_is_no_text_is_taken_as_it_is(
    lading: Lading, noble: Path, host: Path, environment: dict[str, str]
) -> None:
    target = os.fsencode(host / "vms") + b"/\xff"
    done = subprocess.run(
        [os.fsencode(sys.executable), b"-m", b"lading", b"fetch", b"noble", target],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\xff" in done.stdout
    assert os.path.exists(target)


@pytest.mark.parametrize("arguments", [["--help"], ["fetch", "--help"], ["catalog", "add", "--help"], ["--version"]])
def test_help_goes_without_the_container(lading: Lading, arguments: list[str]) -> None:
    done = lading(*arguments, PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    assert "dependency_injector" not in done.stderr


def test_the_shell_completes_commands(lading: Lading) -> None:
    done = lading(_LADING_COMPLETE="bash_complete", COMP_WORDS="lading fe", COMP_CWORD="1")
    assert "fetch" in done.stdout


def completed(lading: Lading, words: str, **variables: str) -> tuple[str, ...]:
    done = lading(
        _LADING_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(words.count(" ")), **variables
    )  # fmt: skip
    assert done.stderr == ""
    return tuple(sorted(filter(None, done.stdout.splitlines())))


def test_the_shell_completes_images_and_paths(lading: Lading, noble: Path, host: Path) -> None:
    lading("catalog", "add", str(noble), "--name", "no shell takes this", "--id", "nothing-else")
    for command in ("fetch", "explain", "catalog show", "catalog rm"):
        assert completed(lading, f"lading {command} no") == ("plain,noble", "plain,nothing-else")
    for command in ("fetch noble", "explain noble", "rm", "show", "mv", "mv a", "ls --config", "catalog add"):
        assert completed(lading, f"lading {command} vm") == ("file,vm",)


def test_completion_is_silent_about_what_goes_wrong(lading: Lading, noble: Path, host: Path) -> None:
    (host / "broken.toml").write_text("[catalog")
    assert completed(lading, "lading fetch --config broken.toml no") == ()
    assert completed(lading, "lading fetch no", LADING_CATALOG__FOLDER="/dev/null") == ()
    (host / "home" / ".local" / "share" / "lading" / "catalog" / "broken.json").write_text("{")
    assert completed(lading, "lading fetch no") == ("plain,noble",)


def test_without_the_extra_the_command_says_how_to_install_it(host: Path) -> None:
    program = "import sys; sys.modules['click'] = None; from lading.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", program], cwd=host, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "lading: the command line is not installed: pip install 'lading[cli]'\n"


@pytest.mark.parametrize("arguments", [["ls"], ["ls", "-vv"], ["ls", "--json"]])
def test_a_bug_is_told_in_one_line_and_where_it_is_with_vv(host: Path, arguments: list[str]) -> None:
    program = f"""
import sys
import lading.adapters.container as container
container.open_container = lambda settings, recover: 1 / 0
sys.argv = ["lading", *{arguments}]
from lading.adapters.cli.main import main
main()
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=host, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "internal error, ZeroDivisionError" in done.stderr
    assert "run the command again with -vv" in done.stderr
    assert not done.stdout or json.loads(done.stdout)["error"] == "internal_error"
    assert bool(done.stdout) == ("--json" in arguments)
    assert ("Traceback" in done.stderr) == ("-vv" in arguments)


def test_with_too_few_descriptors_every_command_says_so(noble: Path, host: Path, environment: dict[str, str]) -> None:
    """With each number of them, from those that Python needs to start on, until one is enough."""
    for limit in range(5, 64):
        done = subprocess.run(
            ["prlimit", f"--nofile={limit}:{limit}", sys.executable, "-m", "lading", "fetch", "noble", "vms/1"],
            cwd=host, env=environment, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        if done.returncode == 0:
            break
        if not done.stderr.startswith("lading: ") and limit < 8:
            continue  # Python itself did not start
        assert done.returncode in {4, 7}, done.stderr
        assert "internal error" not in done.stderr
        assert len(messages(done)) == 1, done.stderr
    assert (host / "vms" / "1").exists()


def test_rm_refuses_another_file_that_came_in_its_place_unless_forced(lading: Lading, noble: Path, host: Path) -> None:
    lading("fetch", "noble", "vms/1")
    (host / "vms" / "1").rename(host / "vms" / "kept")
    (host / "vms" / "1").write_bytes(b"precious")
    assert lading("rm", "vms/1").returncode == 5
    assert (host / "vms" / "1").read_bytes() == b"precious"
    assert lading("rm", "--force", "vms/1").returncode == 0
    assert os.listdir(host / "vms") == ["kept"]


@pytest.mark.parametrize(
    ("variables", "hint"),
    [
        ({"OS_CLOUD": "my gold"}, "OS_CLOUD is set, but that cloud was not asked: --os-cloud 'my gold' does"),
        ({"OS_AUTH_URL": "http://keystone"}, "that cloud was not asked: LADING_CATALOG__KIND=glance does"),
    ],
)
def test_an_image_not_found_says_which_cloud_was_not_asked(
    lading: Lading, noble: Path, variables: dict[str, str], hint: str
) -> None:
    for command in (("fetch", "jammy", "vms/1"), ("explain", "jammy", "vms/1"), ("catalog", "show", "jammy")):
        failed = lading(*command, **variables)
        assert (failed.returncode, hint in failed.stderr) == (3, True), failed.stderr
    assert "cloud" not in lading("fetch", "jammy", "vms/1").stderr
    assert lading("fetch", "noble", "vms/1", **variables).stderr == ""


def test_a_cloud_that_is_not_configured_is_an_error_that_names_it(lading: Lading) -> None:
    failed = lading("fetch", "noble", "vms/1", "--os-cloud", "gold")
    assert failed.returncode == 2
    assert "gold" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_mistake_in_clouds_yaml_is_a_settings_error_for_every_command(lading: Lading, host: Path) -> None:
    variables = {"OS_CLIENT_CONFIG_FILE": f"{host}/clouds.yaml", "PYTHONWARNINGS": "default"}
    (host / "clouds.yaml").write_text("clouds: {gold: {auth: {auth_url: 'http://127.0.0.1:1/v3', username: me}}}")
    for command in (["fetch", "noble", "vms/1"], ["explain", "noble", "vms/1"], ["catalog", "ls"]):
        failed = lading(*command, "--os-cloud", "gold", "--json", **variables)
        told = json.loads(failed.stdout)
        assert (failed.returncode, told["error"]) == (2, "settings_error"), failed.stderr
        assert f"{host}/clouds.yaml: clouds.gold.auth.password: missing" in told["message"]


def test_no_name_speaks_to_the_terminal(lading: Lading, host: Path) -> None:
    # Two bytes of a name that are one control character together, and three that turn the direction of reading.
    name = "\udcc2\udc9b31mred\udce2\udc80\udcae\x1b[2J\u2066"
    folder = host / "home" / ".local" / "share" / "lading" / "catalog"
    folder.mkdir(parents=True)
    document = {"id": name, "name": name, "disk_format": name, "locations": [{"url": f"file:///{name}"}]}
    (folder / "1.json").write_text(json.dumps(document))
    commands = (
        ("catalog", "ls"),
        ("catalog", "ls", "--json"),
        ("explain", name, "vms/1"),
        ("fetch", name, f"vms/{name}", "-vv"),
        ("fetch", f"--{name}"),
    )
    done = [lading(*command) for command in commands]
    said = "".join(each.stdout + each.stderr for each in done)
    out = said.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    assert {each for each in out if not each.isprintable()} <= {"\n", "\t"}
    assert "\\x9b31mred\\u202e" in done[0].stdout
    assert "\\udcc2\\udc9b31mred" in done[1].stdout
