"""A second fetch of an image copies from a target of this host, if that is unchanged and fits."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from pathlib import Path

import pytest
from tests.disk.forking import Forks
from tests.faulty_server import FaultyServer
from tests.integration.chain.host import DISK, GROWN, ChainHost, Images, plain_content
from tests.packages import needs

MADE = [
    ("qcow2", "", "--format raw"),
    ("qcow2", "xz", "--format raw"),
    ("raw", "zip", ""),
    ("raw", "gz", f"--size {GROWN} --format qcow2"),
    ("raw", "", f"--size {GROWN} --fix-gpt"),
    ("qcow2", "", ""),
    ("qcow2", "", "--format raw --preallocation falloc"),
    ("raw", "xz", f"--format qcow2 --preallocation full --size {GROWN}"),
]


def second(host: ChainHost, options: str) -> dict[str, object]:
    return host.fetch("noble", *options.split(), order="http", target=host.vms / "2")


@pytest.fixture
def first(chain_host: ChainHost, images: Images) -> ChainHost:
    """A host that has a qcow2 as raw."""
    chain_host.add("noble", images.packed("qcow2", "xz"))
    chain_host.fetch("noble", "--format", "raw", order="http")
    return chain_host


@pytest.mark.parametrize(("kind", "packing", "options"), MADE)
def test_the_same_image_in_the_same_form_is_copied(
    chain_host: ChainHost, images: Images, kind: str, packing: str, options: str
) -> None:
    chain_host.add("noble", images.packed(kind, packing))
    made = chain_host.fetch("noble", *options.split(), order="http")
    requests = chain_host.asked("noble")
    explained = chain_host.run("explain", "noble", str(chain_host.vms / "2"), *options.split(), order="http")
    assert f"from {chain_host.target}, which is this image" in explained.stdout
    copied = second(chain_host, options)
    assert chain_host.asked("noble") == requests
    assert (copied["copied_from"], copied["method"]) == (str(chain_host.target), "copy")
    same = ("size", "digest", "format", "virtual_size", "shipped", "converted_by", "verified")
    assert [copied[each] for each in same] == [made[each] for each in same]
    assert (chain_host.vms / "2").read_bytes() == chain_host.target.read_bytes()
    if "falloc" in options or "full" in options:
        assert (chain_host.vms / "2").stat().st_blocks * 512 >= (chain_host.vms / "2").stat().st_size
    chain_host.assert_whole(names=["2", "vm"])


def test_a_made_target_is_cloned_where_the_file_system_clones(
    tmp_path: Path, reflinking: Path, forks: Sequence[Forks], faulty_server: FaultyServer, images: Images
) -> None:
    needs("qemu-img")
    folder = reflinking / tmp_path.name
    host = ChainHost(tmp_path, forks[0], faulty_server, folder)
    host.add("noble", images.packed("qcow2", "xz"))
    host.fetch("noble", "--format", "raw", order="http")
    copied = second(host, "--format raw")
    assert (copied["copied_from"], copied["method"]) == (str(host.target), "reflink")
    assert (host.vms / "2").read_bytes() == DISK
    host.assert_whole(names=["2", "vm"])


@pytest.mark.parametrize(
    ("described", "is_copied"),
    [({}, True), ({"disk_format": "qcow2"}, True), ({"disk_format": "vmdk"}, False), ({"img_signature": "ab"}, False)],
)
def test_a_made_target_is_copied_for_another_catalog_only_if_its_image_is_described_so(
    first: ChainHost, images: Images, described: dict[str, str], *, is_copied: bool
) -> None:
    first.add("other", images.packed("qcow2", "xz"), **described)
    if is_copied:
        copied = first.fetch("other", "--format", "raw", order="http", target=first.vms / "2")
        assert copied["copied_from"] == str(first.target)
        assert not first.asked("other")
    else:
        first.run("fetch", "other", str(first.vms / "2"), "--format", "raw", order="http")
        assert first.asked("other")


def test_of_two_at_once_one_downloads(chain_host: ChainHost, images: Images, forks: Sequence[Forks]) -> None:
    chain_host.add("noble", images.packed("qcow2", "xz"))
    other = copy(chain_host)
    other.forks = forks[-1]
    with ThreadPoolExecutor(2) as pool:
        fetches = [
            pool.submit(host.fetch, "noble", "--format", "raw", order="http", target=host.vms / name)
            for host, name in ((chain_host, "1"), (other, "2"))
        ]
    copied = sorted(bool(each.result()["copied_from"]) for each in fetches)
    assert copied == [False, True] or len(forks) == 1
    assert len(chain_host.asked("noble")) == 1
    chain_host.assert_whole(names=["1", "2"])


def test_an_image_in_another_form_is_made_of_a_target_as_shipped(chain_host: ChainHost, images: Images) -> None:
    chain_host.add("noble", images.packed("qcow2", ""))
    chain_host.fetch("noble", order="http")
    requests = chain_host.asked("noble")
    copied = second(chain_host, f"--format raw --size {GROWN}")
    assert chain_host.asked("noble") == requests
    assert (copied["copied_from"], copied["format"], copied["verified"]) == (str(chain_host.target), "raw", True)
    assert (chain_host.vms / "2").read_bytes() == DISK + bytes(GROWN - len(DISK))
    chain_host.assert_whole(names=["2", "vm"])


@pytest.mark.parametrize("options", ["", "--format qcow2", f"--format raw --size {GROWN}", "--format raw --fix-gpt"])
def test_an_image_in_another_form_than_a_made_target_is_downloaded(first: ChainHost, options: str) -> None:
    requests = first.asked("noble")
    assert second(first, options)["copied_from"] is None
    assert len(first.asked("noble")) > len(requests)
    first.assert_whole(names=["2", "vm"])


@pytest.mark.parametrize("options", ["--format raw", f"--format raw --size {GROWN}"])
def test_a_target_that_a_guest_wrote_to_is_never_copied(first: ChainHost, options: str) -> None:
    with first.target.open("r+b") as disk:
        disk.write(b"guest")
    assert second(first, options)["copied_from"] is None
    assert plain_content(first.vms / "2", "raw")[:100] == DISK[:100]


def test_a_copy_is_refused_where_its_disk_is_larger_than_allowed(first: ChainHost) -> None:
    first.settings["LADING_LANDING__MAX_SIZE"] = str(len(DISK) - 1)
    done = first.run("fetch", "noble", str(first.vms / "2"), "--format", "raw", order="http")
    assert (done.returncode, "[landing] max_size and max_unpacked are the limits" in done.stderr) == (4, True), (
        done.stderr
    )


def test_what_was_not_verified_is_not_copied_as_verified(chain_host: ChainHost, images: Images) -> None:
    chain_host.add("noble", images.packed("qcow2", "xz"))
    chain_host.settings["LADING_LANDING__VERIFY"] = "false"
    assert chain_host.fetch("noble", "--format", "raw", order="http")["verified"] is False
    del chain_host.settings["LADING_LANDING__VERIFY"]
    copied = second(chain_host, "--format raw")
    assert (copied["verified"], copied["copied_from"]) == (True, None)


def test_a_target_in_the_same_form_is_there_already_and_another_form_is_a_conflict(first: ChainHost) -> None:
    requests = first.asked("noble")
    assert first.fetch("noble", "--format", "raw", order="http")["present"] is True
    for options in ([], ["--format", "qcow2"], ["--format", "raw", "--size", str(GROWN)]):
        done = first.run("fetch", "noble", str(first.target), *options, order="http")
        assert (done.returncode, "holds the image in another form" in done.stderr) == (5, True), done.stderr
        explained = first.run("explain", "noble", str(first.target), *options, order="http")
        assert explained.returncode == 5
    assert first.asked("noble") == requests
    forced = first.fetch("noble", "--format", "qcow2", "--force", order="http")
    assert forced["format"] == "qcow2"
    first.assert_whole()


def test_a_verified_target_is_still_in_its_form(first: ChainHost) -> None:
    assert first.run("verify", str(first.target), order="http").returncode == 0
    assert first.fetch("noble", "--format", "raw", order="http")["present"] is True
    moved = first.vms / "moved"
    assert first.run("mv", str(first.target), str(moved), order="http").returncode == 0
    assert first.fetch("noble", "--format", "raw", order="http", target=moved)["present"] is True
    facts = first.recorded(moved)
    assert (facts["format"], facts["virtual_size"], bool(facts["shipped"])) == ("raw", len(DISK), True)


# The setting.


def test_the_format_in_the_settings_is_the_default(chain_host: ChainHost, images: Images) -> None:
    chain_host.add("noble", images.packed("qcow2", "gz"))
    chain_host.settings["LADING_LANDING__FORMAT"] = "raw"
    assert chain_host.fetch("noble")["format"] == "raw"
    assert chain_host.fetch("noble", "--format", "raw")["present"] is True
    assert chain_host.fetch("noble", "--format", "qcow2", target=chain_host.vms / "2")["format"] == "qcow2"
    chain_host.assert_whole(names=["2", "vm"])


@pytest.mark.parametrize("disk_format", ["ari", "aki"])
@pytest.mark.parametrize("packing", ["", "gz"])
def test_kernels_and_ram_disks_are_never_touched(
    chain_host: ChainHost, images: Images, disk_format: str, packing: str
) -> None:
    data = images.packed("raw", packing)
    chain_host.settings["LADING_LANDING__FORMAT"] = "qcow2"
    chain_host.add("noble", data, disk_format=disk_format, container_format=disk_format)
    assert chain_host.fetch("noble", order="http")["shipped"] is None
    assert chain_host.target.read_bytes() == data
    chain_host.assert_whole()
