"""Opening what strangers name."""

import os
from pathlib import Path
from urllib.parse import quote

import pytest
from returns.result import Failure, Success

from lading import Location
from lading.adapters.stream.safe_open import absolute_path, local_paths, open_beneath, open_located, open_regular


@pytest.fixture
def allowed(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "noble.img").write_bytes(b"noble")
    (tmp_path / "secret").write_bytes(b"secret")
    return folder


def read(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def test_a_file_beneath_an_allowed_folder_is_opened(allowed: Path) -> None:
    opened = open_beneath([allowed.parent / "elsewhere", allowed], str(allowed / "deep" / "noble.img"))
    assert opened.map(read) == Success(b"noble")


def test_a_symlink_within_the_allowed_folder_is_followed(allowed: Path) -> None:
    (allowed / "link").symlink_to("deep/noble.img")
    assert open_beneath([allowed], str(allowed / "link")).map(read) == Success(b"noble")


def test_an_allowed_folder_may_itself_be_a_symlink(allowed: Path) -> None:
    alias = allowed.parent / "alias"
    alias.symlink_to(allowed)
    assert open_beneath([alias], str(alias / "deep" / "noble.img")).map(read) == Success(b"noble")


@pytest.mark.parametrize("path", ["../secret", "deep/../../secret", "out", "outer/secret"])
def test_nothing_outside_the_allowed_folder_is_opened(allowed: Path, path: str) -> None:
    (allowed / "out").symlink_to("../secret")
    (allowed / "outer").symlink_to("..")
    refused = open_beneath([allowed], f"{allowed}/{path}")
    assert isinstance(refused, Failure)
    assert "outside the allowed folders" in str(refused.failure())


def test_a_refusal_lists_the_allowed_folders(allowed: Path) -> None:
    outside = str(allowed.parent / "secret")
    assert open_beneath([allowed, Path("/srv")], outside).failure().expected == f"a file beneath {allowed}, /srv"
    assert open_beneath([], outside).failure().expected == "a file beneath none"


def test_a_folder_whose_name_only_begins_alike_is_outside(allowed: Path) -> None:
    sibling = allowed.with_name("images-of-others")
    sibling.mkdir()
    (sibling / "noble.img").write_bytes(b"other")
    assert isinstance(open_beneath([allowed], str(sibling / "noble.img")), Failure)


def test_a_symlink_swapped_in_after_the_check_is_not_followed(allowed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real path is computed, then the attacker acts: the walk must notice."""
    honest = os.path.realpath(allowed / "deep" / "noble.img")
    (allowed / "deep" / "noble.img").unlink()
    (allowed / "deep" / "noble.img").symlink_to(allowed.parent / "secret")
    real = {str(allowed): str(allowed)}
    monkeypatch.setattr(os.path, "realpath", lambda path: real.get(str(path), honest))
    assert isinstance(open_beneath([allowed], str(allowed / "deep" / "noble.img")), Failure)


def test_a_folder_swapped_for_a_symlink_after_the_check_is_not_followed(
    allowed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (allowed.parent / "noble.img").write_bytes(b"secret")
    honest = str(allowed / "deep" / "noble.img")
    (allowed / "deep").rename(allowed / "was-deep")
    (allowed / "deep").symlink_to(allowed.parent)
    monkeypatch.setattr(os.path, "realpath", str)
    assert isinstance(open_beneath([allowed], honest), Failure)


def test_only_regular_files_are_opened_and_a_fifo_does_not_make_it_wait(allowed: Path) -> None:
    os.mkfifo(allowed / "fifo")
    for name in ("fifo", "deep"):
        refused = open_beneath([allowed], str(allowed / name))
        assert isinstance(refused, Failure)
    assert isinstance(open_regular("/dev/zero"), Failure)
    assert isinstance(open_regular(str(allowed / "missing")), Failure)
    assert isinstance(open_regular("nul\0byte"), Failure)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///srv/noble.img", "/srv/noble.img"),
        ("FILE:///srv/noble.img", "/srv/noble.img"),
        ("filesystem:///srv/noble.img", "/srv/noble.img"),
        ("file://localhost/srv/noble.img", "/srv/noble.img"),
        ("file:///srv/100%25%20pure.img", "/srv/100% pure.img"),
        ("file:///srv/%ff.img", "/srv/\udcff.img"),
        ("file:/srv/noble.img", "/srv/noble.img"),
    ],
)
def test_a_file_url_names_a_path(url: str, path: str) -> None:
    assert local_paths(Location(url)).map(lambda paths: paths[-1]) == Success(path)


@pytest.mark.parametrize(
    "url", ["file://host/srv/noble.img", "file:noble.img", "file:///a%00b", "file://[x/a", "file:"]
)
def test_a_file_url_that_names_no_path_of_this_host_is_refused(url: str) -> None:
    assert isinstance(local_paths(Location(url)), Failure)


@pytest.mark.parametrize("name", ["a%41b.img", "100%.img", "a%2Fb.img", "%ff.img"])
def test_a_path_that_glance_wrote_is_taken_as_it_stands(allowed: Path, name: str) -> None:
    (allowed / name).write_bytes(b"as it stands")
    assert open_located([allowed], Location(f"file://{allowed}/{name}")).map(read) == Success(b"as it stands")


@pytest.mark.parametrize("name", ["aAb.img", "a b.img", "a?b.img", "100%25.img"])
def test_a_path_that_is_percent_encoded_is_decoded(allowed: Path, name: str) -> None:
    (allowed / name).write_bytes(b"decoded")
    assert open_located([allowed], Location(f"file://{allowed}/{quote(name)}")).map(read) == Success(b"decoded")


def test_of_two_files_that_a_url_may_mean_neither_is_opened(allowed: Path) -> None:
    (allowed / "a%41b.img").write_bytes(b"as it stands")
    (allowed / "aAb.img").write_bytes(b"decoded")
    descriptors = os.listdir("/proc/self/fd")
    refused = open_located([allowed], Location(f"file://{allowed}/a%41b.img"))
    assert "both exist" in str(refused.failure())
    assert os.listdir("/proc/self/fd") == descriptors


def test_one_file_under_both_names_is_opened(allowed: Path) -> None:
    (allowed / "a%41b.img").write_bytes(b"one")
    (allowed / "aAb.img").symlink_to("a%41b.img")
    assert open_located([allowed], Location(f"file://{allowed}/a%41b.img")).map(read) == Success(b"one")


def test_a_file_whose_encoded_name_may_not_be_opened_is_not_another(allowed: Path) -> None:
    (allowed / "a%41b.img").symlink_to("../secret")
    (allowed / "aAb.img").write_bytes(b"decoded")
    assert "both exist" in str(open_located([allowed], Location(f"file://{allowed}/a%41b.img")).failure())


@pytest.mark.parametrize("name", ["%2e%2e/secret", "deep/%2e%2e/%2e%2e/secret", "out%41", "%6fut"])
def test_neither_reading_of_a_url_leaves_the_allowed_folders(allowed: Path, name: str) -> None:
    (allowed / "out").symlink_to("../secret")
    (allowed / "outA").symlink_to("../secret")
    (allowed / "out%41").symlink_to("../secret")
    assert isinstance(open_located([allowed], Location(f"file://{allowed}/{name}")), Failure)


@pytest.fixture
def linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder; in it a link to `other/deep`, and two files `x`."""
    (tmp_path / "here").mkdir()
    (tmp_path / "other" / "deep").mkdir(parents=True)
    (tmp_path / "here" / "link").symlink_to("../other/deep")
    (tmp_path / "here" / "dangling").symlink_to("nowhere")
    for folder in ("here", "other"):
        (tmp_path / folder / "x").write_text(folder)
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


PATHS = ["link/../x", "./link/.././x", "../here/link/../x", "link/../deep/../x", "x", "../here//x", "link/../../here/x"]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_made_absolute_names_the_file_that_the_kernel_finds(linked: Path, path: str) -> None:
    made = absolute_path(path)
    assert os.path.isabs(made)
    assert ".." not in made.split("/")
    assert os.path.samefile(made, path)
    assert absolute_path(f"{linked}/{path}") == made


@pytest.mark.parametrize("path", ["missing/../x", "x/../x", "dangling/../x"])
def test_a_path_that_the_kernel_does_not_find_stays_one_that_it_does_not_find(linked: Path, path: str) -> None:
    assert not os.path.exists(path)
    assert not os.path.exists(absolute_path(path))


def test_a_symlink_that_nothing_leads_back_from_stays(linked: Path) -> None:
    assert absolute_path("link/x") == f"{linked}/link/x"
    assert absolute_path("link") == f"{linked}/link"
