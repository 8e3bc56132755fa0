"""The command line with a block device as its target."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.integration.conftest import Lading, messages, record
from tests.loop_devices import LoopDevice

MEBIBYTE = 1 << 20


def damaged(noble: Path) -> None:
    """Changes the image's last byte, which the catalog does not know."""
    with noble.open("r+b") as disk:
        disk.seek(-1, 2)
        disk.write(b"\1")


def test_a_device_is_fetched_shown_verified_and_removed(
    lading: Lading, noble: Path, make_loop: Callable[..., LoopDevice]
) -> None:
    device = make_loop(32 * MEBIBYTE)
    assert "copies" in lading("explain", "noble", device.path).stdout
    done = lading("fetch", "noble", device.path)
    assert done.returncode == 0, done.stderr
    assert device.content(noble.stat().st_size) == noble.read_bytes()
    shown = lading("show", device.path).stdout
    assert "only reading it tells" in shown
    assert f"loop:{device.file}" in shown
    assert lading("verify", device.path).stdout.startswith(f"{device.path}: intact")
    assert "is there already" in lading("fetch", "noble", device.path).stdout
    assert "its bytes stay" in lading("rm", device.path).stdout
    assert "to replace it: --force" in lading("fetch", "noble", device.path).stderr
    assert lading("fetch", "noble", device.path, "--force").returncode == 0
    assert "zeros" in lading("rm", "--wipe", device.path).stdout
    assert not any(device.content(MEBIBYTE))


def test_every_command_says_that_a_device_is_incomplete(
    lading: Lading, noble: Path, make_loop: Callable[..., LoopDevice]
) -> None:
    device = make_loop(32 * MEBIBYTE)
    damaged(noble)
    refused = lading("fetch", "noble", device.path)
    assert refused.returncode != 0
    assert "is incomplete now" in refused.stderr
    shown = lading("show", device.path)
    assert (shown.returncode, "incomplete" in shown.stdout) == (0, True)
    assert record(lading("show", "--json", device.path))["state"] == "incomplete"
    recovered = lading("recover", "--json")
    assert recovered.returncode != 0
    assert record(recovered)["outcome"] == "incomplete"
    assert "lading forget" in lading("recover").stdout
    assert "no longer recorded" in lading("rm", device.path).stdout
    gone = lading("show", device.path)
    assert messages(gone) != []
    assert json.loads(lading("recover", "--json").stdout or "null") is None


def test_a_device_with_content_needs_force_and_the_message_says_what_is_on_it(
    lading: Lading, noble: Path, make_loop: Callable[..., LoopDevice]
) -> None:
    assert noble.exists()
    device = make_loop(32 * MEBIBYTE)
    subprocess.run(["mkfs.ext4", "-q", "-L", "precious", device.path], check=True)
    for command in ("explain", "fetch"):
        done = lading(command, "noble", device.path)
        assert "ext4 labelled precious" in done.stdout + done.stderr
    assert lading("fetch", "noble", device.path, "--force").returncode == 0
