"""Paths by people who want this host to read what they cannot: nothing outside the allowed folders is read."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.hostile_locations import BYTES, LONG, TRANSFER, Network

from lading import Unavailable
from lading.adapters.handlers.file import FileHandler
from lading.adapters.stream.safe_open import open_beneath


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "vms").mkdir()
    return tmp_path / "vms" / "1"


@pytest.fixture(autouse=True)
def _nothing_is_left(target: Path) -> Iterator[None]:
    before = len(os.listdir("/dev/fd"))
    yield
    assert [name for name in os.listdir(target.parent) if name != "1"] == []
    assert len(os.listdir("/dev/fd")) <= before


@pytest.fixture
def allowed(tmp_path: Path) -> Path:
    """A folder of images, with links out of it, and a secret beside it."""
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "noble.img").write_bytes(BYTES)
    (tmp_path / "secret").write_bytes(b"hush!")
    for name, there in {
        "out": "../secret",
        "absolute": str(tmp_path / "secret"),
        "up": "..",
        "chain": "out",
        "loop": "loop",
        "memory": "/proc/self/mem",
        "zero": "/dev/zero",
        "input": "/dev/stdin",
    }.items():
        (folder / name).symlink_to(there)
    (folder / "folder").mkdir()
    os.mkfifo(folder / "fifo")
    return folder


OUTSIDE = "outside the allowed folders"
GONE = "cannot be opened"
FILES = {
    "any file": ("file:///etc/shadow", OUTSIDE),
    "any file by the other name": ("filesystem:///etc/shadow", OUTSIDE),
    "a scheme in upper case": ("FILE:///etc/shadow", OUTSIDE),
    "two slashes": ("file:////etc/shadow", OUTSIDE),
    "a file of another host": ("file://good.example{allowed}/noble.img", "another host"),
    "a file of this host by its address": ("file://127.0.0.1{allowed}/noble.img", "another host"),
    "a folder as a host": ("file://..{allowed}/noble.img", "another host"),
    "userinfo": ("file://me@localhost{allowed}/noble.img", "another host"),
    "brackets left open": ("file://[{allowed}/noble.img", "no URL"),
    "no absolute path": ("file:noble.img", "no absolute path"),
    "up": ("file://{allowed}/../secret", OUTSIDE),
    "up and down": ("file://{allowed}/folder/../../images/../secret", OUTSIDE),
    "encoded dots": ("file://{allowed}/%2e%2e/secret", OUTSIDE),
    "an encoded slash": ("file://{allowed}/..%2fsecret", OUTSIDE),
    "encoded twice": ("file://{allowed}/%252e%252e%252fsecret", GONE),
    "more dots": ("file://{allowed}/....//secret", GONE),
    "a backslash": ("file://{allowed}/..\\secret", GONE),
    "a leader of two dots": ("file://{allowed}/\u2025/secret", GONE),
    "dots in more bytes than they need": ("file://{allowed}/%c0%ae%c0%ae/secret", GONE),
    "a folder whose name begins alike": ("file://{allowed}-of-others/noble.img", OUTSIDE),
    "the allowed folder itself": ("file://{allowed}", OUTSIDE),
    "a link out": ("file://{allowed}/out", OUTSIDE),
    "an absolute link out": ("file://{allowed}/absolute", OUTSIDE),
    "a link to a link out": ("file://{allowed}/chain", OUTSIDE),
    "through a link out": ("file://{allowed}/up/secret", OUTSIDE),
    "a link to itself": ("file://{allowed}/loop", GONE),
    "a link to this process's memory": ("file://{allowed}/memory", OUTSIDE),
    "a link to a device": ("file://{allowed}/zero", OUTSIDE),
    "a link to standard input": ("file://{allowed}/input", OUTSIDE),
    "this process's memory": ("file:///proc/self/mem", OUTSIDE),
    "this process's environment": ("file:///proc/self/environ", OUTSIDE),
    "the root as this process sees it": (Path("/proc/self/root", "etc/shadow").as_uri(), OUTSIDE),
    "a device that never ends": ("file:///dev/zero", OUTSIDE),
    "a pipe that nobody writes to": ("file://{allowed}/fifo", "not a regular file"),
    "a folder": ("file://{allowed}/folder", "not a regular file"),
    "an encoded NUL": ("file://{allowed}/noble.img%00.png", "no absolute path"),
    "a NUL": ("file://{allowed}/noble.img\0.png", "no absolute path"),
    "a name that is too long": ("file://{allowed}/" + 300 * "a", GONE),
    "a path that is too long": ("file://{allowed}" + 2500 * "/a", GONE),
    "a URL that is too long": (f"file:///{LONG}", "more than 8192"),
    "a file that isn't there": ("file://{allowed}/missing", GONE),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_file_outside_the_allowed_folders_is_not_read(
    network: Network, allowed: Path, target: Path, name: str
) -> None:
    url, word = FILES[name]
    refused = network.fetch(FileHandler([allowed], TRANSFER), target, url.format(allowed=allowed)).failure()
    assert isinstance(refused, Unavailable)
    assert word in str(refused)
    assert network.looked_up == []
    assert not target.exists()


@pytest.mark.parametrize("name", ["zero", "null", "tty", "fd"])
def test_a_device_is_not_read_where_its_folder_is_allowed(network: Network, target: Path, name: str) -> None:
    refused = network.fetch(FileHandler([Path("/dev")], TRANSFER), target, f"file:///dev/{name}").failure()
    assert isinstance(refused, Unavailable)


def _swap_file(folder: Path, turn: int) -> None:
    new = folder / "new"
    new.symlink_to("../secret") if turn % 2 else new.write_bytes(BYTES)
    new.replace(folder / "swapped")


def _swap_folder(folder: Path, turn: int) -> None:
    """`inner` is a folder with an image, and then a link to one with a secret."""
    (folder / "inner").rename(folder / "was") if turn % 2 else (folder / "inner").unlink()
    (folder / "inner").symlink_to("../others") if turn % 2 else (folder / "was").rename(folder / "inner")


@pytest.mark.parametrize(("swap", "path"), [(_swap_file, "swapped"), (_swap_folder, "inner/swapped")])
def test_a_link_that_comes_and_goes_while_it_is_opened_never_leads_out(
    tmp_path: Path, allowed: Path, swap: Callable[[Path, int], None], path: str
) -> None:
    for folder, content in ((allowed / "inner", BYTES), (tmp_path / "others", b"hush!")):
        folder.mkdir()
        (folder / "swapped").write_bytes(content)
    ends = threading.Event()

    def swap_on() -> None:
        turn = 1
        while not ends.is_set() or turn % 2 == 0:
            swap(allowed, turn)
            turn += 1

    swapping = threading.Thread(target=swap_on)
    swapping.start()
    try:
        found = [open_beneath([allowed], str(allowed / path)).map(_read).value_or(None) for _ in range(300)]
    finally:
        ends.set()
        swapping.join()
    assert set(found) <= {BYTES, None}


def _read(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as file:
        return file.read()
