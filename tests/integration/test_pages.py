"""The commands of the tutorial, the how-tos and the README work as they are typed, and print what the pages show."""

import hashlib
import json
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.images import qcow2
from tests.integration.conftest import Lading
from tests.integration.services.nginx import Nginx
from tests.packages import needs
from tests.pages import ROOT, Host, run_page

UBUNTU = "https://cloud-images.ubuntu.com/"
NOBLE = "noble/current/noble-server-cloudimg-amd64.img"


@pytest.fixture(scope="module")
def vendor(nginx: Nginx, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a server with an image as Ubuntu publishes it: a qcow2 of 1 GiB with little in it."""
    needs("qemu-img")
    disk = tmp_path_factory.mktemp("disk") / "disk.raw"
    with disk.open("wb") as file:
        file.write(bytes(510) + b"\x55\xaa" + random.Random(24).randbytes(1 << 20))
        file.truncate(1 << 30)
    image = nginx.folder / "ubuntu" / NOBLE
    image.parent.mkdir(parents=True)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", disk, image], check=True)
    digest = hashlib.sha256(image.read_bytes()).hexdigest()
    (image.parent / "SHA256SUMS").write_text(f"{digest} *{image.name}\n")
    plain = nginx.folder / "ubuntu" / "plain"
    plain.mkdir()
    (plain / "disk.img").write_bytes(bytes(4096))
    (plain / "page.img").write_bytes(b"<!DOCTYPE html><html><head><title>Sign in</title></head></html>")
    (plain / "backed.img").write_bytes(qcow2(backing=b"/etc/shadow"))
    return nginx.url("ubuntu/")


@pytest.fixture
def you(tmp_path: Path, vendor: str) -> Host:
    """Your host."""
    return Host(tmp_path, {UBUNTU: vendor})


@pytest.mark.parametrize("name", [
    "README.md", "docs/tutorial.md", "docs/troubleshooting.md", "docs/how-to/libvirt.md", "docs/how-to/ci-farm.md",
    "docs/how-to/embedding.md",
])  # fmt: skip
def test_a_page_s_commands_print_what_it_shows(name: str, you: Host) -> None:
    run_page(ROOT / name, you)


def test_what_is_carried_into_an_air_gap_is_fetched_there(you: Host) -> None:
    page = ROOT / "docs" / "how-to" / "air-gap.md"
    run_page(page, you, "On a host with the network")
    for folder in ("etc", "home", "vms"):  # the second host has only what was carried
        shutil.rmtree(you.root / folder)
    run_page(page, Host(you.root), "On the hosts without it")


def test_the_document_that_the_page_shows_is_an_image_of_the_default_catalog(host: Path, lading: Lading) -> None:
    (block,) = re.findall(r"```json\n(.*?)```", (ROOT / "docs" / "remotes.md").read_text(), re.DOTALL)
    catalog = host / "home" / ".local" / "share" / "lading" / "catalog"
    catalog.mkdir(parents=True)
    (catalog / "noble-web.json").write_text(block)
    shown = json.loads(lading("catalog", "show", "noble-web").stdout)
    (location,) = shown.pop("locations")
    expected = json.loads(block)
    assert [location["url"]] == [each["url"] for each in expected.pop("locations")]
    assert {key: value for key, value in shown.items() if value is not None} == expected
