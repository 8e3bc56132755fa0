"""Errors as a person sees them: four lines at most, the decisive reason first, with a command that helps."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faulty_server import BEFORE_THE_HEAD, STALL, FaultyServer, Reply
from tests.integration.conftest import Lading, record, tmpfs

MEBIBYTE = 1 << 20
DATA = os.urandom(4 * MEBIBYTE)
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def jammy(host: Path, lading: Lading) -> Path:
    """An image of 2 MiB in the catalog, under the name jammy."""
    path = host / "images" / "jammy.img"
    path.write_bytes(DATA[: 2 * MEBIBYTE])
    assert lading("catalog", "add", str(path)).returncode == 0
    return path


def test_a_wrong_digest(lading: Lading, jammy: Path, host: Path) -> None:
    expected = hashlib.sha512(jammy.read_bytes()).hexdigest()
    with jammy.open("r+b") as disk:
        disk.write(b"tampered")
    found = hashlib.sha512(jammy.read_bytes()).hexdigest()
    failed = lading("fetch", "jammy", "vms/1")
    assert (failed.returncode, failed.stderr.splitlines()) == (
        10,
        [
            f"lading: digest mismatch, nothing was written to {host}/vms/1",
            f"  file://{jammy} (handler file)",
            f"  expected sha512:{expected[:12]}…, found sha512:{found[:12]}…",
            f"  if the file is a newer image: lading catalog add --replace {jammy}",
        ],
    )
    assert f"expected sha512:{expected}, found sha512:{found}" in lading("fetch", "jammy", "vms/1", "--full").stderr
    told = record(lading("fetch", "jammy", "vms/1", "--json"))
    assert (told["error"], told["code"]) == ("no_handler_available", "mismatched")
    assert (told["expected"], told["found"]) == (f"sha512:{expected}", f"sha512:{found}")
    assert told["advice"] == f"if the file is a newer image: lading catalog add --replace {jammy}"
    assert [each["code"] for each in told["attempts"]] == ["mismatched", "unsupported", "mismatched"]
    explained = record(lading("explain", "jammy", "vms/none/1", "--json"))
    assert [each["code"] for each in explained["attempts"]] == ["target_failed"]


def test_a_full_disk(lading: Lading, jammy: Path, host: Path) -> None:
    with tmpfs(host / "small", "size=1m") as disk:
        failed = lading("fetch", "jammy", "small/1", "--json")
    assert (failed.returncode, failed.stderr.splitlines()) == (
        11,
        [
            f"lading: too little free space for {disk}/1",
            f"  expected 2.0 MiB free on the disk of {disk}, found 1.0 MiB",
            "  for an image that is mostly zeros, which take no space: [landing] require_space = false",
        ],
    )
    assert record(failed)["code"] == "disk_full"


def test_a_read_only_folder(lading: Lading, jammy: Path, host: Path) -> None:
    with tmpfs(host / "read-only", "ro,size=1m") as disk:
        failed = lading("fetch", "jammy", "read-only/1", "--json")
    assert failed.stderr == f"lading: the folder {disk} is on a read-only file system\n"
    assert (failed.returncode, record(failed)["code"]) == (11, "not_writable")


def test_a_folder_that_this_user_may_not_write(jammy: Path, host: Path, environment: dict[str, str]) -> None:
    (host / "vms").chmod(0o555)
    if os.geteuid() == 0:
        os.chown(host / "vms", 65534, 65534)
    without_privileges = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    failed = subprocess.run(
        [*without_privileges, sys.executable, "-m", "lading", "fetch", "jammy", "vms/1"],
        cwd=host, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    first, second = failed.stderr.splitlines()
    assert failed.returncode == 11
    assert first == f"lading: the folder {host}/vms cannot be written: Permission denied"
    assert second.startswith(f"  expected write permission for uid {os.geteuid()}, found dr-xr-xr-x of uid ")


def test_a_missing_folder(lading: Lading, jammy: Path, host: Path) -> None:
    failed = lading("fetch", "jammy", "vms/none/1")
    lines = [f"lading: the folder {host}/vms/none does not exist", f"  mkdir -p {host}/vms/none"]
    assert (failed.returncode, failed.stderr.splitlines()) == (11, lines)


def test_something_at_the_target(lading: Lading, jammy: Path, host: Path) -> None:
    (host / "vms" / "1").write_bytes(b"precious")
    failed = lading("fetch", "jammy", "vms/1", "--json")
    lines = [f"lading: {host}/vms/1 exists, and lading has no record of it", "  to replace it: --force"]
    assert (failed.returncode, failed.stderr.splitlines()) == (5, lines)
    assert record(failed)["code"] == "occupied"


def test_an_unknown_image(lading: Lading, jammy: Path, host: Path) -> None:
    failed = lading("fetch", "nothing", "vms/1", "--json")
    assert failed.returncode == 3
    assert failed.stderr.splitlines() == [
        f"lading: no image 'nothing' in the catalog {host}/home/.local/share/lading/catalog",
        "  to list the images: lading catalog ls",
    ]
    assert record(failed)["code"] == record(failed)["error"] == "image_not_found"


def test_an_unknown_cloud(lading: Lading, host: Path) -> None:
    clouds = host / "clouds.yaml"
    clouds.write_text("clouds: {silver: {auth: {auth_url: 'http://127.0.0.1:1/v3', username: me, password: p}}}")
    failed = lading("fetch", "noble", "vms/1", "--os-cloud", "silvr")
    assert failed.returncode == 2
    assert failed.stderr.splitlines() == [
        "lading: there is no cloud 'silvr'",
        f"  {clouds}",
        "  found the clouds silver",
        "  did you mean silver?",
    ]


def test_a_cloud_that_cannot_be_reached(lading: Lading, host: Path) -> None:
    clouds = host / "clouds.yaml"
    clouds.write_text("clouds: {silver: {auth: {auth_url: 'http://127.0.0.1:1/v3', username: me, password: hush}}}")
    failed = lading("fetch", "noble", "vms/1", "--os-cloud", "silver", PYTHONWARNINGS="ignore")
    assert failed.returncode == 7
    assert failed.stderr.splitlines() == [
        "lading: Glance cannot be found: there is no connection to http://127.0.0.1:1: Connection refused",
        f"  http://127.0.0.1:1/v3, user me, set by {clouds}: clouds.silver",
    ]


def test_a_server_that_cannot_be_reached(lading: Lading) -> None:
    failed = lading("fetch", "http://127.0.0.1:1/noble.img", "vms/1", "--unverified")
    assert failed.returncode == 7
    assert failed.stderr == "lading: http://127.0.0.1:1/noble.img: 127.0.0.1:1 cannot be reached: Connection refused\n"


@pytest.mark.parametrize("name", ["http", "oci", "s3", "swift"])
def test_certificates_of_a_handler_that_cannot_be_read(lading: Lading, name: str) -> None:
    told = f"[handlers.{name}] ca_file: /no/ca.pem cannot be read: No such file or directory"
    listed = lading("handlers", "--json", **{f"LADING_HANDLERS__{name.upper()}__CA_FILE": "/no/ca.pem"})
    [found] = [each for each in map(json.loads, listed.stdout.splitlines()) if each["name"] == name]
    assert (found["state"], found["reason"]) == ("skipped", told)


@pytest.mark.parametrize(("name", "scheme"), [("http", "https"), ("oci", "oci")])
def test_certificates_for_a_catalog_that_cannot_be_read(lading: Lading, name: str, scheme: str) -> None:
    told = f"[handlers.{name}] ca_file: /no/ca.pem cannot be read: No such file or directory"
    variables = {f"LADING_HANDLERS__{name.upper()}__CA_FILE": "/no/ca.pem"}
    failed = lading("fetch", f"{scheme}://127.0.0.1:1/noble", "vms/1", **variables)
    assert (failed.returncode, failed.stderr.splitlines()) == (
        2,
        [f"lading: WARNING: handler {name} is skipped: {told}", f"lading: {told}"],
    )


def test_certificates_of_the_network_that_cannot_be_read(lading: Lading) -> None:
    url = "https://127.0.0.1:1/noble.img"
    failed = lading("fetch", url, "vms/1", "--unverified", LADING_NETWORK__CA_FILE="/no/ca.pem")
    told = "LADING_NETWORK__CA_FILE: network.ca_file: /no/ca.pem cannot be read: No such file or directory"
    assert failed.stderr == f"lading: {url}: {told}\n"


def test_a_server_that_never_begins(lading: Lading, host: Path, faulty_server: FaultyServer) -> None:
    url = faulty_server.answer("/noble.img", Reply(DATA), Reply(DATA, after=BEFORE_THE_HEAD, then=STALL))
    variables = {"LADING_HANDLERS__HTTP__FIRST_BYTE_SECONDS": "0.2"}
    failed = lading("fetch", url, "vms/1", "--unverified", **variables)
    assert "the server sent nothing for 0.2 seconds" in failed.stderr


def begin(host: Path, environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "lading", *arguments],
        cwd=host, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("number", "word"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "ended by SIGTERM")], ids=["INT", "TERM"]
)
def test_an_interrupted_download(
    lading: Lading, host: Path, environment: dict[str, str], number: signal.Signals, word: str
) -> None:
    with FaultyServer() as server:
        url = server.answer("/noble.img", Reply(DATA, after=3 * MEBIBYTE, then=STALL))
        fetching = begin(host, environment, "fetch", url, "vms/1", "--checksum", f"sha256:{SHA256}", "--json")
        part = host / "vms" / ".1.lading-part"
        wait_until(lambda: part.exists() and part.stat().st_size >= 3 * MEBIBYTE)
        fetching.send_signal(number)
        stdout, stderr = fetching.communicate(timeout=120)
        server.answer("/noble.img", Reply(DATA))
        resumed = lading("fetch", url, "vms/1", "--checksum", f"sha256:{SHA256}", "--json")
    assert fetching.returncode == 128 + number
    assert stderr.splitlines() == [
        f"lading: {word}",
        "  3.0 MiB of 4.0 MiB are kept",
        "  to resume: repeat the command",
        f"  to discard: lading recover --discard {host}/vms/1",
    ]
    assert '"error": "interrupted"' in stdout
    assert "3.0 MiB of 4.0 MiB are kept" in stdout
    assert record(resumed)["resumed"] == 3 * MEBIBYTE
    assert (host / "vms" / "1").read_bytes() == DATA
