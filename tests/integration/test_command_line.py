"""The command as its users run it."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.images import fixed_vhd, mbr, partition, qcow2
from tests.integration.conftest import Lading, messages, record


def test_the_main_job_works_with_no_settings_at_all(lading: Lading, noble: Path, host: Path) -> None:
    fetched = lading("fetch", "noble", "vms/1", LADING_HANDLERS__FILE__ALLOWED_FOLDERS="")
    assert (fetched.returncode, fetched.stderr) == (0, "")
    assert (host / "vms" / "1").read_bytes() == noble.read_bytes()
    assert "by download" in fetched.stdout
    assert "verified sha512" in fetched.stdout


def test_add_and_fetch_refuse_an_unsafe_image_in_the_same_words(lading: Lading, host: Path) -> None:
    hostile = host / "images" / "hostile.qcow2"
    hostile.write_bytes(qcow2(backing=b"/etc/passwd"))
    words = "unsafe image: Image has a backing file (qcow2)"
    refused = lading("catalog", "add", str(hostile))
    assert (refused.returncode, f"{hostile}: {words}" in refused.stderr) == (2, True)
    assert "Safety check" not in refused.stderr
    assert lading("catalog", "ls").stdout == ""

    assert lading("catalog", "add", str(hostile), LADING_LANDING__INSPECT="false").returncode == 0
    refused = lading("fetch", "hostile", "vms/1")
    assert (refused.returncode, words in refused.stderr) == (10, True)
    assert "Safety check" not in refused.stderr
    assert os.listdir(host / "vms") == []


def test_a_compressed_image_lands_unpacked_unless_it_is_to_stay_packed(lading: Lading, host: Path) -> None:
    packed = host / "images" / "noble.raw.gz"
    packed.write_bytes(gzip.compress(bytes(4096)))
    words = "not a disk image: it is compressed by gzip; decompress it first: gunzip FILE"
    refused = lading("catalog", "add", str(packed), LADING_LANDING__UNPACK="false")
    assert (refused.returncode, f"{packed}: {words}" in refused.stderr) == (2, True)
    added = record(lading("catalog", "add", str(packed), "--json"))
    assert (added["disk_format"], added["container_format"], added["content_size"]) == ("raw", "compressed", 4096)
    fetched = record(lading("fetch", "noble.raw", "vms/1", "--json"))
    assert (fetched["format"], fetched["shipped"]["format"], fetched["verified"]) == ("raw", "gz, raw", True)
    assert (host / "vms" / "1").read_bytes() == bytes(4096)
    assert lading("catalog", "add", str(packed), "--disk-format", "gz", "--name", "packed").returncode == 0
    assert lading("fetch", "packed", "vms/2").returncode == 0
    assert (host / "vms" / "2").read_bytes() == packed.read_bytes()


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
        "format", "virtual_size", "shipped", "converted_by", "resumed", "seconds", "attempts",
        "digest_from", "signed_by",
    }  # fmt: skip
    assert (fetched["target"], fetched["handler"], fetched["verified"]) == (target, "file", True)
    assert fetched["attempts"] == [
        {"handler": "file", "location": f"file://{noble}", "outcome": "handled", "code": None, "reason": None}
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


def test_handlers_tells_what_each_takes_and_why_one_is_skipped(lading: Lading) -> None:
    told = lading("handlers", "--json", LADING_HANDLERS__ORDER="file,none,file")
    records = [json.loads(line) for line in told.stdout.splitlines()]
    assert [(each["name"], each["state"]) for each in records] == [
        ("file", "loaded"), ("none", "skipped"), ("file", "skipped"),
        *((name, "unused") for name in ("cinder", "download", "http", "oci", "rbd", "s3", "swift")),
    ]  # fmt: skip
    assert records[0]["schemes"] == ["file", "filesystem"]
    assert records[0]["from"].startswith("lading ")
    assert "unknown" in records[1]["reason"]
    assert "none is skipped" in told.stderr


@pytest.mark.parametrize(
    ("arguments", "variables", "code", "words"),
    [
        (["fetch", "nothing", "vms/1"], {}, 3, ["nothing", "to list the images: lading catalog ls"]),
        (["fetch", "noble", "vms/taken"], {}, 5, ["vms/taken", "--force"]),
        (["fetch", "noble", "missing/1"], {}, 11, ["missing", "does not exist", "mkdir -p"]),
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
        (["ls"], {"LADING_ASSOCIATIONS__KIND": "redis"}, 2, ["redis", "etcd", "file", "memory"]),
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
def test_every_error_is_a_few_lines_that_name_the_thing(
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
    assert len(done.stderr.splitlines()) <= 4, done.stderr
    assert (host / "vms" / "taken").read_bytes() == b"precious"
    assert os.listdir(host / "vms") == ["taken"]


def test_an_error_is_json_too_when_json_is_asked_for(lading: Lading, noble: Path, host: Path) -> None:
    (host / "vms" / "1").write_bytes(b"precious")
    failed = lading("fetch", "noble", "vms/1", "--json")
    told = record(failed)
    assert told["error"] == "no_handler_available"
    assert told["attempts"][0]["outcome"] == "refused"
    assert told["code"] == "occupied"
    assert all(told[part] in failed.stderr for part in ("reason", "advice"))


@pytest.mark.parametrize("arguments", [["fetch", "--json"], ["frob", "--json"], ["catalog", "add", "none", "--json"]])
def test_a_wrong_command_is_json_too_when_json_is_asked_for(lading: Lading, arguments: list[str]) -> None:
    failed = lading(*arguments)
    told = record(failed)
    assert (failed.returncode, told["error"], told["code"]) == (2, "usage", "usage")
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
    assert failed.stderr.splitlines() == [
        "lading: 2 images are named 'twin', name one by its id",
        "  found id-1, id-2",
        "  to compare them: lading catalog show ID",
        "  to remove one: lading catalog rm ID",
    ]


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
    assert lading("fetch", "noble", too_long).returncode == 11
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


def test_a_document_printed_by_a_cloud_works_in_the_catalog(lading: Lading, noble: Path, host: Path) -> None:
    document = record(lading("catalog", "show", "noble", "--json"))
    folder = host / "home" / ".local" / "share" / "lading" / "catalog"
    dropped = {**document, "id": "dropped", "name": "jammy", "visibility": "public", "checksum": None, "tags": ["a"]}
    (folder / "cloud.json").write_text(json.dumps(dropped))
    assert record(lading("catalog", "show", "jammy", "--json"))["visibility"] == "public"
    assert record(lading("fetch", "jammy", "vms/1", "--json"))["handler"] == "file"


def test_removing_an_image_from_the_catalog_keeps_its_bytes(lading: Lading, noble: Path) -> None:
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
    assert failed.returncode == 10
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


def in_shell(line: str, folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs the line, in which `lading` is the command."""
    function = f'lading() {{ {sys.executable} -m lading "$@"; }}; '
    return subprocess.run(
        ["bash", "-c", function + line], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", ["catalog ls", "catalog ls --json", "--help", "rm vms/1 --json"])
def test_output_that_cannot_be_written_is_an_error_of_one_line(
    noble: Path, host: Path, environment: dict[str, str], command: str
) -> None:
    done = in_shell(f"lading {command} > /dev/full", host, environment)
    assert done.returncode == 7
    assert done.stderr.splitlines()[-1] == "lading: the output cannot be written: No space left on device"
    assert len(messages(done)) <= 2
    assert in_shell("lading rm vms/1 2> /dev/full", host, environment).returncode == 6


def test_a_relative_path_in_a_deleted_folder_is_a_usage_error(
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


def test_rm_refuses_another_file_that_came_in_its_place_unless_forced(lading: Lading, noble: Path, host: Path) -> None:
    lading("fetch", "noble", "vms/1")
    (host / "vms" / "1").rename(host / "vms" / "kept")
    (host / "vms" / "1").write_bytes(b"precious")
    assert lading("rm", "vms/1").returncode == 5
    assert (host / "vms" / "1").read_bytes() == b"precious"
    assert lading("rm", "--force", "vms/1").returncode == 0
    assert os.listdir(host / "vms") == ["kept"]
