"""What the file catalog does beyond the port: documents in a folder."""

import json
import logging
import os
import stat
from pathlib import Path

import pytest
from returns.result import Success
from tests.file_catalogs import Link, failure, found, write

from lading import CatalogUnavailable, Digest, Image, ImageNotFound, Location
from lading.adapters.catalogs.file import FileCatalog
from lading.ports.context import ANONYMOUS

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


def test_hidden_files_and_those_that_are_no_json_are_no_documents(folder: Path) -> None:
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
def test_searches_and_lists_skip_a_broken_document_with_a_warning(
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


def test_of_several_documents_with_an_id_the_first_name_counts(folder: Path) -> None:
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


def test_an_added_document_is_named_after_its_id_and_is_private(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "catalog"
    FileCatalog(folder).add(Image("a", "noble"), "/img/noble").unwrap()
    assert stat.S_IMODE((folder / "a.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert os.readlink(folder / "a.data") == "/img/noble"
    assert sorted(os.listdir(folder)) == [".lock", "a.data", "a.json"]


def test_unknown_fields_are_kept_when_an_image_is_added_again(folder: Path) -> None:
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


def test_what_a_crash_left_is_no_image_and_blocks_nothing(folder: Path) -> None:
    (folder / ".new").write_text('{"id": ')
    assert list(FileCatalog(folder).images()) == []
    FileCatalog(folder).add(Image("a")).unwrap()
    assert sorted(os.listdir(folder)) == [".lock", "a.json"]


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


def test_discarding_removes_a_broken_document_of_that_name(folder: Path) -> None:
    (folder / "a.json").write_text("{")
    (folder / "b.json").write_text("{")
    FileCatalog(folder).discard("a").unwrap()
    assert sorted(os.listdir(folder)) == [".lock", "b.json"]


def test_discarding_keeps_a_document_of_another_id(folder: Path) -> None:
    write(folder / "a.json", id="b")
    FileCatalog(folder).discard("a").unwrap()
    assert found(folder, "b") == Image("b")


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


def test_a_document_by_a_link_of_another_user_is_none(folder: Path, tmp_path: Path, of_another: Link) -> None:
    of_another("a.json", str(write(tmp_path / "secret", id="a", name="secret")))
    assert list(FileCatalog(folder).images()) == []
    assert "a link of another user" in str(failure(folder, "a"))


@pytest.mark.parametrize(("mode", "is_read"), [(0o700, True), (0o755, True), (0o1777, False), (0o770, False)])
def test_a_hard_link_is_read_only_in_a_folder_of_one_writer(
    folder: Path, tmp_path: Path, mode: int, *, is_read: bool
) -> None:
    (folder / "a.json").hardlink_to(write(tmp_path / "elsewhere", id="a"))
    folder.chmod(mode)
    assert [image.id for image in FileCatalog(folder).images()] == (["a"] if is_read else [])


def test_a_lock_that_is_a_link_makes_no_file_elsewhere(folder: Path, tmp_path: Path) -> None:
    (folder / ".lock").symlink_to(tmp_path / "made")
    assert isinstance(FileCatalog(folder).add(Image("a")).failure(), CatalogUnavailable)
    assert not (tmp_path / "made").exists()


def test_what_the_client_nests_under_properties_is_found_too(folder: Path) -> None:
    printed = {"os_hash_algo": "sha512", "os_hash_value": "ab", "os_distro": "ubuntu", "id": "never"}
    write(folder / "client.json", id="a", name="noble", properties=printed)
    image = found(folder, "noble")
    assert (image.id, image.digest, image.properties) == ("a", Digest("sha512", "ab"), {"os_distro": "ubuntu"})
