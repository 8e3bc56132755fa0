"""Whose bytes the file catalog reads: of files that were added, and of locations beneath allowed folders."""

import os
from pathlib import Path

import pytest
from returns.result import Failure
from tests.file_catalogs import Link, content, found, why_not, write

from lading import CatalogUnavailable, Image, ImageNotFound, Location
from lading.adapters.catalogs.file import FileCatalog
from lading.ports.context import ANONYMOUS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "catalog"
    path.mkdir()
    return path


def test_a_file_in_place_of_the_link_is_left_alone(folder: Path) -> None:
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


def test_an_image_without_locations_gets_those_of_its_document(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "noble").write_bytes(b"noble")
    write(folder / "x.json", id="a", locations=[{"url": f"file://{tmp_path}/noble"}])
    assert content(folder, Image("a"), [tmp_path]) == b"noble"


def test_a_file_that_was_added_goes_before_the_locations(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "located").write_bytes(b"located")
    (tmp_path / "vouched for").write_bytes(b"vouched for")
    image = Image("a", locations=[Location(f"file://{tmp_path}/located")])
    FileCatalog(folder).add(image, str(tmp_path / "vouched for")).unwrap()
    assert content(folder, image, [tmp_path]) == b"vouched for"


def test_a_location_is_read_where_the_added_file_is_gone(folder: Path, tmp_path: Path) -> None:
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


def test_an_image_without_file_and_locations_is_refused_in_words(folder: Path) -> None:
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
