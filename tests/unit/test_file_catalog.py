"""What the file catalog does beyond the port: documents in a folder, and whose bytes it reads."""

import json
import logging
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from returns.result import Failure, Success

from lading import CatalogUnavailable, Digest, Image, ImageNotFound, Location
from lading.adapters.catalogs.file import FileCatalog
from lading.ports.context import ANONYMOUS
from lading.ports.failures import CatalogFailure

Link = Callable[[str, str], None]

# As a Glance 33 answers `GET /v2/images/{id}`.
PRINTED = {
    "name": "noble",
    "disk_format": "raw",
    "container_format": "bare",
    "visibility": "public",
    "size": 9,
    "virtual_size": 9,
    "status": "active",
    "checksum": "fbc9b7ed4b1a1e5e5bb8d8cd1ba8c9a1",
    "protected": False,
    "min_ram": 0,
    "min_disk": 0,
    "owner": "8f0c4b7d9b0a4d0e9f2b1c3d4e5f6a7b",
    "os_hidden": False,
    "os_hash_algo": "sha512",
    "os_hash_value": "ab" * 64,
    "id": "155d900f-4e14-4e4c-a73d-069cbf4541e6",
    "created_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-01-01T00:00:01Z",
    "locations": [{"url": "file:///var/lib/glance/images/155d900f", "metadata": {"store": "fast"}}],
    "tags": [],
    "self": "/v2/images/155d900f-4e14-4e4c-a73d-069cbf4541e6",
    "schema": "/v2/schemas/image",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "catalog"
    path.mkdir()
    return path


def write(path: Path, **document: object) -> Path:
    path.write_text(json.dumps(document))
    return path


def failure(folder: Path, reference: str) -> CatalogFailure:
    return FileCatalog(folder).find(reference, ANONYMOUS).failure()


def found(folder: Path, reference: str) -> Image:
    return FileCatalog(folder).find(reference, ANONYMOUS).unwrap()


def content(folder: Path, image: Image, allowed: Sequence[Path] = ()) -> bytes:
    stream, buffer = FileCatalog(folder, allowed).read(image, 0, ANONYMOUS).unwrap(), bytearray(100)
    count = stream.readinto(memoryview(buffer)) or 0
    stream.close()
    return bytes(buffer[:count])


def why_not(folder: Path, image: Image, allowed: Sequence[Path] = ()) -> str:
    return str(FileCatalog(folder, allowed).read(image, 0, ANONYMOUS).failure())


# Documents.


@pytest.mark.parametrize("name", ["printed.json", "155d900f-4e14-4e4c-a73d-069cbf4541e6.json", "no ble.json"])
def test_what_glance_printed_is_found_under_any_file_name(folder: Path, name: str) -> None:
    write(folder / name, **PRINTED)
    by_id, by_name = found(folder, str(PRINTED["id"])), found(folder, "noble")
    assert by_id == by_name
    assert by_id.locations == (Location("file:///var/lib/glance/images/155d900f", {"store": "fast"}),)
    assert by_id.properties["owner"] == PRINTED["owner"]


def test_a_folder_that_is_not_there_is_an_empty_catalog(tmp_path: Path) -> None:
    catalog = FileCatalog(tmp_path / "missing")
    assert list(catalog.images()) == []
    assert isinstance(catalog.find("noble", ANONYMOUS).failure(), ImageNotFound)
    assert catalog.discard("noble") == Success(None)
    assert not (tmp_path / "missing").exists()


def test_a_folder_that_is_a_file_is_unavailable_in_every_verb(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    catalog = FileCatalog(tmp_path / "file")
    for outcome in (catalog.find("a", ANONYMOUS), catalog.add(Image("a")), catalog.discard("a")):
        assert isinstance(outcome.failure(), CatalogUnavailable)
        assert str(tmp_path / "file") in str(outcome.failure())
    with pytest.raises(CatalogUnavailable, match="cannot be listed"):
        list(catalog.images())


def test_what_shows_not_and_what_is_no_json_file_is_no_document(folder: Path) -> None:
    for name in (".hidden.json", "a.json.bak", "a.txt", "json"):
        write(folder / name, id="a")
    assert list(FileCatalog(folder).images()) == []
    assert isinstance(failure(folder, "a"), ImageNotFound)


def test_a_document_that_is_a_symlink_is_followed(folder: Path, tmp_path: Path) -> None:
    (folder / "a.json").symlink_to(write(tmp_path / "elsewhere", id="a"))
    assert found(folder, "a") == Image("a")


BROKEN = {
    "empty": b"",
    "no JSON": b"{'id': 'a'}",
    "a list": b'[{"id": "a"}]',
    "a number": b"5",
    "not UTF-8": b'{"id": "\xff"}',
    "UTF-16": '{"id": "a"}'.encode("utf-16"),
    "no id": b'{"name": "a"}',
    "a wrong type": b'{"id": "a", "size": "big"}',
    "nested too deeply": b'{"id": "a", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a number of too many digits": b'{"id": "a", "size": ' + b"9" * 5000 + b"}",
    "not a number": b'{"id": "a", "x": NaN}',
    "an infinite number": b'{"id": "a", "x": [-Infinity]}',
    "a number beyond all bounds": b'{"id": "a", "x": 1e999}',
    "a size that no file has": b'{"id": "a", "size": 9223372036854775808}',
    "a size beyond a float's": b'{"id": "a", "size": 1' + b"0" * 309 + b"}",
    "a key twice": b'{"id": "a", "size": 5, "size": 6}',
    "a key twice, deeper": b'{"id": "a", "x": [{"y": 1, "y": 1}]}',
    "too large": b'{"id": "a", "x": "' + b" " * (1 << 20) + b'"}',
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_document_is_unavailable_when_it_is_the_one_asked_for(folder: Path, broken: bytes) -> None:
    (folder / "a.json").write_bytes(broken)
    outcome = failure(folder, "a")
    assert isinstance(outcome, CatalogUnavailable)
    assert f"{folder / 'a.json'} is not an image document: " in str(outcome)


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_document_is_left_out_of_searches_and_lists_with_a_warning(
    folder: Path, broken: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "broken.json").write_bytes(broken)
    write(folder / "printed.json", **PRINTED)
    assert found(folder, "noble").id == PRINTED["id"]
    assert [image.name for image in FileCatalog(folder).images()] == ["noble"]
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert all(str(folder / "broken.json") in record.getMessage() for record in caplog.records)


def test_a_dangling_link_and_a_folder_are_broken_documents(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "a.json").symlink_to("nowhere")
    (folder / "b.json").mkdir()
    assert "a.json" in str(failure(folder, "a"))
    assert "not a regular file" in str(failure(folder, "b"))
    assert list(FileCatalog(folder).images()) == []
    assert len(caplog.records) == 2


def test_a_fifo_is_no_document_and_nobody_waits_for_it(folder: Path) -> None:
    os.mkfifo(folder / "a.json")
    assert "not a regular file" in str(failure(folder, "a"))


def test_a_device_is_no_document(folder: Path) -> None:
    (folder / "a.json").symlink_to("/dev/zero")
    assert "not a regular file" in str(failure(folder, "a"))


def test_a_document_named_after_another_id_answers_for_its_own_only(folder: Path) -> None:
    write(folder / "a.json", id="b", name="a")
    write(folder / "c.json", id="a")
    assert found(folder, "a").id == "a"
    assert found(folder, "b").id == "b"
    assert isinstance(failure(folder, "c"), ImageNotFound)


def test_of_several_documents_with_an_id_the_one_named_after_it_counts(folder: Path) -> None:
    write(folder / "0.json", id="b", name="early")
    write(folder / "b.json", id="b", name="own")
    write(folder / "c.json", id="b", name="late")
    assert list(FileCatalog(folder).images()) == [found(folder, "b")] == [found(folder, "own")]
    assert isinstance(failure(folder, "late"), ImageNotFound)


def test_of_several_documents_with_an_id_and_other_names_the_first_counts(folder: Path) -> None:
    write(folder / "2.json", id="b", name="second")
    write(folder / "1.json", id="b", name="first")
    assert found(folder, "b").name == "first"


def test_an_id_that_is_no_file_name_is_found_by_a_search(folder: Path) -> None:
    write(folder / "a.json", id="../a")
    write(folder.parent / "a.json", id="../a", name="outside")
    assert found(folder, "../a") == Image("../a")


def test_locations_are_looked_up_for_an_image_that_comes_without_them(folder: Path) -> None:
    write(folder / "printed.json", **PRINTED)
    catalog = FileCatalog(folder)
    assert len(catalog.locations(Image(str(PRINTED["id"])), ANONYMOUS).unwrap()) == 1
    assert catalog.locations(Image("noble"), ANONYMOUS) == Success(())
    assert isinstance(catalog.locations(Image("gone"), ANONYMOUS).failure(), ImageNotFound)


# Taking in and letting go.


def test_a_document_that_was_added_is_named_after_its_id_and_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "catalog"
    FileCatalog(folder).add(Image("a", "noble"), "/img/noble").unwrap()
    assert stat.S_IMODE((folder / "a.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert os.readlink(folder / "a.data") == "/img/noble"
    assert sorted(os.listdir(folder)) == [".lock", "a.data", "a.json"]


def test_what_is_unknown_to_lading_is_kept_when_an_image_is_added_again(folder: Path) -> None:
    write(folder / "printed.json", **PRINTED)
    FileCatalog(folder).add(found(folder, "noble")).unwrap()
    assert json.loads((folder / f"{PRINTED['id']}.json").read_text()) == PRINTED


@pytest.mark.parametrize("image_id", ["../a", "a/b", "/etc/a", ".hidden", "a\0b", "x" * 251, "é" * 126, "\ud800"])
def test_an_image_whose_id_can_not_be_a_file_name_is_refused(folder: Path, image_id: str) -> None:
    outcome = FileCatalog(folder).add(Image(image_id))
    assert "its id cannot be a file name" in str(outcome.failure())
    assert os.listdir(folder) == []


@pytest.mark.parametrize(
    "image",
    [
        Image("a", size=-1),
        Image("a", properties={"x": float("nan")}),
        Image("a", properties={"x": object()}),
        Image("a", properties={"x": " " * (1 << 20)}),
    ],
    ids=["wrong", "not JSON", "an object", "too large"],
)
def test_an_image_whose_document_could_not_be_read_again_is_refused(folder: Path, image: Image) -> None:
    assert isinstance(FileCatalog(folder).add(image).failure(), CatalogUnavailable)
    assert os.listdir(folder) == []


def test_what_a_crash_left_behind_is_no_image_and_in_nobodys_way(folder: Path) -> None:
    (folder / ".new").write_text('{"id": ')
    assert list(FileCatalog(folder).images()) == []
    FileCatalog(folder).add(Image("a")).unwrap()
    assert sorted(os.listdir(folder)) == [".lock", "a.json"]


CRASHING = """
import os, sys
from pathlib import Path
from lading import Image
from lading.adapters.catalogs.file import FileCatalog

folder, data, step = sys.argv[1:]
countdown = int(step)

def crash(event, arguments):
    global countdown
    changes = event in {"open", "os.remove", "os.rename", "os.symlink"}
    if changes and folder in [os.path.dirname(str(each)) for each in arguments]:
        countdown -= 1
        if not countdown:
            os._exit(9)

catalog = FileCatalog(Path(folder))
sys.addaudithook(crash)
catalog.add(Image("a", "new"), data or None).unwrap()
"""


@pytest.mark.parametrize("data", ["new", ""])
def test_a_crash_at_any_step_leaves_no_image_with_another_ones_bytes(folder: Path, tmp_path: Path, data: str) -> None:
    for name in ("old", "new"):
        (tmp_path / name).write_text(name)
    catalog, states, code, step = FileCatalog(folder), [], 9, 0
    while code == 9:
        step += 1
        catalog.add(Image("a", "old"), str(tmp_path / "old")).unwrap()
        path = str(tmp_path / data) if data else ""
        code = subprocess.run([sys.executable, "-c", CRASHING, str(folder), path, str(step)], check=False).returncode
        readable = isinstance(catalog.read(Image("a"), 0, ANONYMOUS).map(lambda stream: stream.close()), Success)
        states.append((found(folder, "a").name, content(folder, Image("a")).decode() if readable else ""))
    assert code == 0
    assert set(states) == {("old", "old"), ("old", ""), ("new", ""), ("new", data)}


def test_an_image_that_can_not_be_written_leaves_the_old_one_readable(folder: Path) -> None:
    FileCatalog(folder).add(Image("a", "old")).unwrap()
    (folder / ".new").mkdir()
    outcome = FileCatalog(folder).add(Image("a", "new"))
    assert str(folder / ".new") in str(outcome.failure())
    assert found(folder, "a").name == "old"


def test_discarding_removes_the_document_under_whatever_name(folder: Path, tmp_path: Path) -> None:
    elsewhere = write(tmp_path / "elsewhere.json", id="a")
    (folder / "linked.json").symlink_to(elsewhere)
    for name in ("a.json", "0.json"):
        write(folder / name, id="a")
    write(folder / "other.json", id="b")
    FileCatalog(folder).discard("a").unwrap()
    assert sorted(os.listdir(folder)) == [".lock", "other.json"]
    assert elsewhere.exists()


def test_discarding_removes_a_broken_document_that_is_named_after_the_id(folder: Path) -> None:
    (folder / "a.json").write_text("{")
    (folder / "b.json").write_text("{")
    FileCatalog(folder).discard("a").unwrap()
    assert sorted(os.listdir(folder)) == [".lock", "b.json"]


def test_discarding_spares_a_document_of_another_id_that_is_named_after_this_one(folder: Path) -> None:
    write(folder / "a.json", id="b")
    FileCatalog(folder).discard("a").unwrap()
    assert found(folder, "b") == Image("b")


def test_bytes_put_in_the_links_place_are_neither_read_nor_replaced_nor_removed(folder: Path) -> None:
    (folder / "a.data").write_bytes(b"somebody's")
    catalog = FileCatalog(folder)
    assert "is not a symlink of this user" in str(catalog.add(Image("a"), "/img/noble").failure())
    catalog.add(Image("a")).unwrap()
    assert isinstance(catalog.read(Image("a"), 0, ANONYMOUS), Failure)
    catalog.discard("a").unwrap()
    assert (folder / "a.data").read_bytes() == b"somebody's"


@pytest.mark.parametrize("data", ["a\0b", "\ud800"])
def test_data_that_is_no_path_is_refused(folder: Path, data: str) -> None:
    assert isinstance(FileCatalog(folder).add(Image("a"), data).failure(), CatalogUnavailable)


# Bytes.


def test_bytes_at_a_location_are_read_beneath_an_allowed_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "no ble").write_bytes(b"noble")
    for scheme in ("file", "filesystem", "FILE"):
        image = Image("a", locations=[Location(f"{scheme}://{tmp_path}/images/no%20ble")])
        assert content(folder, image, [tmp_path / "images"]) == b"noble"


def test_the_first_location_that_can_be_read_is(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "second").write_bytes(b"second")
    urls = ("rbd://a/b/c/d", f"file://{tmp_path}/first", f"file://{tmp_path}/second", f"file://{tmp_path}/third")
    assert content(folder, Image("a", locations=[Location(url) for url in urls]), [tmp_path]) == b"second"


def test_locations_are_read_of_an_image_as_an_association_remembers_it(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "noble").write_bytes(b"noble")
    write(folder / "x.json", id="a", locations=[{"url": f"file://{tmp_path}/noble"}])
    assert content(folder, Image("a"), [tmp_path]) == b"noble"


def test_what_an_operator_vouched_for_goes_before_what_the_document_says(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "located").write_bytes(b"located")
    (tmp_path / "vouched for").write_bytes(b"vouched for")
    image = Image("a", locations=[Location(f"file://{tmp_path}/located")])
    FileCatalog(folder).add(image, str(tmp_path / "vouched for")).unwrap()
    assert content(folder, image, [tmp_path]) == b"vouched for"


def test_a_location_is_read_where_what_an_operator_vouched_for_is_gone(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "located").write_bytes(b"located")
    image = Image("a", locations=[Location(f"file://{tmp_path}/located")])
    FileCatalog(folder).add(image, str(tmp_path / "gone")).unwrap()
    assert content(folder, image, [tmp_path]) == b"located"


def test_a_link_made_by_hand_is_relative_to_the_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "noble").write_bytes(b"noble")
    (folder / "a.data").symlink_to("../noble")
    assert content(folder, Image("a")) == b"noble"


@pytest.fixture
def of_another(folder: Path, tmp_path: Path) -> Link:
    """Makes a link of another user in the folder, which others may write to."""
    if os.geteuid() != 0:
        pytest.skip("needs root to make a link of another user")
    folder.chmod(0o777)

    def link(name: str, target: str) -> None:
        (folder / name).symlink_to(target)
        os.chown(folder / name, 12345, 12345, follow_symlinks=False)

    return link


def test_a_link_of_another_user_is_not_followed(folder: Path, tmp_path: Path, of_another: Link) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    of_another("a.data", str(tmp_path / "secret"))
    write(folder / "a.json", id="a")
    assert "a link of another user (uid 12345)" in why_not(folder, found(folder, "a"), [folder])


def test_a_link_that_leads_to_one_of_another_user_is_not_followed(
    folder: Path, tmp_path: Path, of_another: Link
) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    of_another("theirs", str(tmp_path / "secret"))
    (folder / "a.data").symlink_to("theirs")
    write(folder / "a.json", id="a")
    assert "a link of another user" in why_not(folder, Image("a"))


def test_a_link_of_another_user_is_neither_replaced_nor_removed(folder: Path, tmp_path: Path, of_another: Link) -> None:
    of_another("a.data", str(tmp_path))
    catalog = FileCatalog(folder)
    assert "is not a symlink of this user" in str(catalog.add(Image("a"), "/img/noble").failure())
    catalog.add(Image("a")).unwrap()
    catalog.discard("a").unwrap()
    assert (folder / "a.data").is_symlink()


def test_a_document_by_a_link_of_another_user_is_none(folder: Path, tmp_path: Path, of_another: Link) -> None:
    of_another("a.json", str(write(tmp_path / "secret", id="a", name="secret")))
    assert list(FileCatalog(folder).images()) == []
    assert "a link of another user" in str(failure(folder, "a"))


@pytest.mark.parametrize(("mode", "is_read"), [(0o700, True), (0o755, True), (0o1777, False), (0o770, False)])
def test_a_document_with_other_names_is_read_where_only_its_owner_writes(
    folder: Path, tmp_path: Path, mode: int, *, is_read: bool
) -> None:
    (folder / "a.json").hardlink_to(write(tmp_path / "elsewhere", id="a"))
    folder.chmod(mode)
    assert [image.id for image in FileCatalog(folder).images()] == (["a"] if is_read else [])


def test_a_lock_that_is_a_link_makes_no_file_elsewhere(folder: Path, tmp_path: Path) -> None:
    (folder / ".lock").symlink_to(tmp_path / "made")
    assert isinstance(FileCatalog(folder).add(Image("a")).failure(), CatalogUnavailable)
    assert not (tmp_path / "made").exists()


def test_links_that_go_round_are_no_file(folder: Path) -> None:
    (folder / "a.data").symlink_to("b")
    (folder / "b").symlink_to("a.data")
    write(folder / "a.json", id="a")
    assert "symbolic links" in why_not(folder, Image("a"))


def test_no_link_is_looked_for_outside_the_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "noble").write_bytes(b"noble")
    (tmp_path / "a.data").symlink_to("noble")
    write(folder / "x.json", id="../a")
    assert "no file was registered with it" in why_not(folder, Image("../a"))
    FileCatalog(folder).discard("../a").unwrap()
    assert (tmp_path / "a.data").is_symlink()


def test_a_location_outside_the_allowed_folders_is_not_read(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "escape").symlink_to(tmp_path / "secret")
    (tmp_path / "secret").write_bytes(b"secret")
    for path in ("secret", "images/../secret", "images/escape", "images/%2e%2e/secret"):
        image = Image("a", locations=[Location(f"file://{tmp_path}/{path}")])
        assert "outside the allowed folders" in why_not(folder, image, [tmp_path / "images"])


def test_a_refusal_says_for_each_location_why_and_which_setting_to_add(folder: Path, tmp_path: Path) -> None:
    image = Image("a", locations=[Location(f"file://{tmp_path}/noble"), Location("http://me:hush@host/noble?sig=hush")])
    told = why_not(folder, image)
    assert "image 'a'" in told
    assert "no file was registered with it" in told
    assert f"{tmp_path}/noble" in told
    assert "[handlers.file] allowed_folders" in told
    assert "http://***@host/noble?*** is not a file of this host" in told
    assert "hush" not in told


def test_that_an_image_has_neither_file_nor_location_is_said(folder: Path) -> None:
    write(folder / "x.json", id="a")
    assert why_not(folder, Image("a")).endswith("no file was registered with it; it has no locations")


def test_the_bytes_of_an_image_that_is_not_there_are_not_found(folder: Path) -> None:
    assert isinstance(FileCatalog(folder).read(Image("a"), 0, ANONYMOUS).failure(), ImageNotFound)


@pytest.mark.parametrize("offset", [-1, 1 << 70])
def test_an_offset_that_no_file_has_is_a_failure(folder: Path, tmp_path: Path, offset: int) -> None:
    (tmp_path / "noble").write_bytes(b"noble")
    FileCatalog(folder).add(Image("a"), str(tmp_path / "noble")).unwrap()
    assert isinstance(FileCatalog(folder).read(Image("a"), offset, ANONYMOUS).failure(), CatalogUnavailable)


def test_closing_the_stream_closes_its_descriptor(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "noble").write_bytes(b"noble")
    FileCatalog(folder).add(Image("a"), str(tmp_path / "noble")).unwrap()
    before = os.listdir("/dev/fd")
    stream = FileCatalog(folder).read(Image("a"), 2, ANONYMOUS).unwrap()
    assert len(os.listdir("/dev/fd")) == len(before) + 1
    stream.close()
    assert len(os.listdir("/dev/fd")) == len(before)


def test_what_the_client_nests_under_properties_is_found_too(folder: Path) -> None:
    printed = {"os_hash_algo": "sha512", "os_hash_value": "ab", "os_distro": "ubuntu", "id": "never"}
    write(folder / "client.json", id="a", name="noble", properties=printed)
    image = found(folder, "noble")
    assert (image.id, image.digest, image.properties) == ("a", Digest("sha512", "ab"), {"os_distro": "ubuntu"})
