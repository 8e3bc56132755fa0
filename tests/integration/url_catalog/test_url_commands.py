"""Images by their URL and in remotes, as users of the command have them."""

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.faulty_server import STALL, FaultyServer, Reply
from tests.integration.conftest import Lading, record
from tests.integration.services.nginx import Nginx
from tests.integration.url_catalog.conftest import DATA, OTHER, SHA256

LIST = f"{SHA256}  noble.img\n"


def test_a_url_is_fetched_and_verified_by_the_file_beside_it(lading: Lading, nginx: Nginx, host: Path) -> None:
    folder = nginx.folder / "url-commands"
    folder.mkdir()
    (folder / "noble.img").write_bytes(DATA)
    (folder / "SHA256SUMS").write_text(LIST)
    url = nginx.url("url-commands/noble.img")
    fetched = lading("fetch", url, "vms/")
    assert (fetched.returncode, fetched.stderr) == (0, "")
    assert f"verified sha256 by {nginx.url('url-commands/SHA256SUMS')}" in fetched.stdout
    assert (host / "vms" / "noble.img").read_bytes() == DATA
    before = len(nginx.accesses())
    assert "is there already" in lading("fetch", url, "vms/noble.img").stdout
    assert len(nginx.accesses()) == before, "the record knows the URL"
    assert str(host / "vms" / "noble.img") in lading("who-has", url).stdout
    (folder / "SHA256SUMS").write_text(f"{OTHER}  noble.img\n")
    wrong = lading("fetch", url, "vms/2")
    assert (wrong.returncode, not (host / "vms" / "2").exists()) == (10, True)
    moved = lading("fetch", nginx.url("moved/url-commands/noble.img"), "vms/3", "--unverified", "--json")
    assert record(moved)["verified"] is False
    refused = lading("fetch", nginx.url("elsewhere/url-commands/noble.img"), "vms/4", "--unverified")
    assert (refused.returncode, "the server redirects to a forbidden place" in refused.stderr) == (7, True)


def test_what_the_options_say_of_a_url_holds(lading: Lading, server: FaultyServer, host: Path) -> None:
    url = server.url("/d/noble.img")
    plain = lading("fetch", url, "vms/1")
    assert ", unverified, because no digest of it is known: --checksum or --checksums names one" in plain.stdout
    given = lading("fetch", url, "vms/2", "--checksum", f"sha256:{SHA256}")
    assert "verified sha256, " in given.stdout
    wrong = lading("explain", url, "vms/2", "--checksum", f"sha256:{OTHER}", "--json")
    assert wrong.returncode == 5, "another image is at the target"
    forbidden = lading("fetch", url, "vms/3", LADING_LANDING__ALLOW_UNVERIFIED="false")
    assert (forbidden.returncode, "landing.allow_unverified is false" in forbidden.stderr) == (4, True)
    allowed = lading("fetch", url, "vms/3", "--unverified", LADING_LANDING__ALLOW_UNVERIFIED="false")
    assert allowed.returncode == 0
    with FaultyServer() as other:
        mirror = other.answer("/noble.img", Reply(DATA[::-1]))  # not in vms/ already
        server.answer("/d/noble.img", Reply(DATA, status=503))
        digest = hashlib.sha256(DATA[::-1]).hexdigest()
        mirrored = lading("fetch", url, "vms/4", "--mirror", mirror, "--checksum", f"sha256:{digest}", "--json")
        assert record(mirrored)["location"] == mirror
    for arguments in (["noble", "vms/5", "--unverified"], [url, "vms/5", "--checksum", "sha256:abc"]):
        refused = lading("fetch", *arguments)
        assert (refused.returncode, "Error: Invalid value for" in refused.stderr) == (2, True)
    assert sorted(os.listdir(host / "vms")) == ["1", "2", "3", "4"]


def test_a_remote_is_used_by_its_prefix_everywhere(lading: Lading, host: Path) -> None:
    image = host / "images" / "noble.img"
    image.write_bytes(bytes(4096))
    assert lading("catalog", "add", str(image), LADING_CATALOG__FOLDER=str(host / "lab")).returncode == 0
    remote = {"LADING_CATALOGS__LAB__KIND": "file", "LADING_CATALOGS__LAB__FOLDER": str(host / "lab")}
    assert "lab:noble" in lading("catalog", "ls", "lab:", **remote).stdout
    assert lading("catalog", "ls", **remote).stdout == ""
    shown = json.loads(lading("catalog", "show", "lab:noble", **remote).stdout)
    assert (shown["id"][:4], shown["name"]) == ("lab:", "lab:noble")
    assert record(lading("explain", "lab:noble", "vms/1", "--json", **remote))["handler"] == "file"
    assert lading("fetch", "lab:noble", "vms/", **remote).returncode == 0
    assert os.listdir(host / "vms") == ["noble.raw"]
    by_download = lading(
        "fetch", "lab:noble", "vms/2", "--json", LADING_HANDLERS__ORDER="download", LADING_LOCKS__KIND="memory",
        LADING_HANDLERS__FILE__ALLOWED_FOLDERS="", **remote,
    )  # fmt: skip
    assert record(by_download)["handler"] == "download"
    assert lading("fetch", "noble", "vms/noble.raw", **remote).returncode == 3, "that is the default catalog's"
    assert "vms/noble.raw is there already" in lading("fetch", "lab:noble", "vms/noble.raw", **remote).stdout
    held = lading("who-has", "lab:noble", **remote).stdout
    assert len(held.splitlines()) == 2
    missing = lading("fetch", "lab:jammy", "vms/3", **remote)
    assert "no image 'lab:jammy' in the catalog" in missing.stderr
    assert "to list the images: lading catalog ls lab:" in missing.stderr
    assert lading("catalog", "ls", "lap:", **remote).returncode == 2


def test_a_url_is_registered_and_its_name_passes_to_the_newer_image(
    lading: Lading, server: FaultyServer, host: Path
) -> None:
    url = server.url("/d/noble.img")
    server.answer("/d/SHA256SUMS", Reply(LIST.encode()))
    added = record(lading("catalog", "add", url, "--name", "noble", "--json"))
    assert (added["name"], added["os_hash_value"], added["size"]) == ("noble", SHA256, len(DATA))
    assert added["locations"] == [{"url": url, "metadata": {}}]
    assert [each.range for each in server.requests_for("/d/noble.img")] == ["bytes=0-0"], "it is not fetched"
    assert "is in the catalog already" in lading("catalog", "add", url, "--name", "noble").stdout
    newer = [url, "--name", "noble", "--checksum", f"sha256:{OTHER}"]
    assert lading("catalog", "add", *newer).returncode == 2
    assert "removed from the catalog" in lading("catalog", "add", *newer, "--replace").stdout
    assert lading("catalog", "add", url, "--replace").returncode == 0
    assert {json.loads(line)["name"] for line in lading("catalog", "ls", "--json").stdout.splitlines()} == {"noble"}
    refused = lading("fetch", "noble", "vms/1")
    assert "allowed_ports" in refused.stderr, "a location of a catalog is guarded"
    network = {"LADING_HANDLERS__HTTP__ALLOWED_NETWORKS": "127.0.0.1", "LADING_HANDLERS__HTTP__ALLOWED_PORTS": "[]"}
    assert "verified sha256" in lading("fetch", "noble", "vms/1", **network).stdout
    assert (host / "vms" / "1").read_bytes() == DATA
    assert lading("outdated").returncode == 0
    assert lading("catalog", "add", *newer, "--replace").returncode == 0
    told = lading("outdated")
    row = [str(host / "vms" / "1"), "noble", f"sha256:{SHA256[:12]}", f"sha256:{OTHER[:12]}"]
    assert (told.returncode, told.stdout) == (9, "\t".join(row) + "\n")


def test_targets_of_which_there_is_a_newer_image_are_listed(lading: Lading, server: FaultyServer, host: Path) -> None:
    url = server.url("/d/noble.img")
    server.answer("/d/SHA256SUMS", Reply(LIST.encode()))
    assert lading("fetch", url, "vms/1").returncode == 0
    current = lading("outdated")
    assert (current.returncode, current.stdout, current.stderr) == (0, "", "")
    server.answer("/d/SHA256SUMS", Reply(LIST.replace(SHA256, OTHER).encode()))
    told = lading("outdated")
    row = [str(host / "vms" / "1"), url, f"sha256:{SHA256[:12]}", f"sha256:{OTHER[:12]}"]
    assert (told.returncode, told.stdout) == (9, "\t".join(row) + "\n")
    assert record(lading("outdated", "--json"))["outdated"] is True
    server.answer("/d/SHA256SUMS", Reply(b"", status=503))
    unknown = lading("outdated")
    assert (unknown.returncode, unknown.stdout) == (7, "")
    assert "it cannot be told whether it is outdated: the checksum file" in unknown.stderr


def test_the_images_of_a_remote_are_listed_and_filtered(lading: Lading, host: Path) -> None:
    remote = {"LADING_CATALOGS__LAB__KIND": "file", "LADING_CATALOGS__LAB__FOLDER": str(host / "lab")}
    for name in ("noble", "jammy"):
        (host / "images" / name).write_bytes(bytes(512))
        added = lading("catalog", "add", f"images/{name}", LADING_CATALOG__FOLDER=str(host / "lab"))
        assert added.returncode == 0
    names = [line.split("\t")[1] for line in lading("images", "lab:", **remote).stdout.splitlines()]
    assert names == ["lab:jammy", "lab:noble"]
    found = record(lading("images", "lab:", "--filter", "NOB", "--json", **remote))
    assert record(lading("images", "lab:nob", "--json", **remote)) == found
    assert found["name"] == "lab:noble"
    assert lading("images", **remote).stdout == ""
    with FaultyServer() as web:
        web.answer("/d/noble.img", Reply(DATA))
        variables = {"LADING_CATALOGS__WEB__KIND": "url", "LADING_CATALOGS__WEB__MIRRORS": web.url("/")}
        assert lading("fetch", "web:d/noble.img", "vms/", **variables).returncode == 0
        assert os.listdir(host / "vms") == ["noble.img"]
        assert "is there already" in lading("fetch", "web:d/noble.img", "vms/noble.img", **variables).stdout
        assert lading("outdated", **variables).returncode == 0
    cannot = lading("images", "web:", LADING_CATALOGS__WEB__KIND="url")
    assert (cannot.returncode, "the remote web cannot be listed" in cannot.stderr) == (7, True)


def test_an_interrupted_fetch_is_resumed_from_its_url(
    lading: Lading, environment: dict[str, str], server: FaultyServer, host: Path
) -> None:
    data = DATA * 1000
    url = server.answer("/d/big.img", Reply(data), Reply(data, after=2 << 20, then=STALL), Reply(data))
    server.answer("/d/big.img.sha256", Reply(hashlib.sha256(data).hexdigest().encode()))
    command = [sys.executable, "-m", "lading", "fetch", url, "vms/1"]
    with subprocess.Popen(command, cwd=host, env=environment) as running:
        server.wait_stalled()
        part = host / "vms" / ".1.lading-part"
        while not part.exists() or part.stat().st_size < 2 << 20:
            assert running.poll() is None
            time.sleep(0.01)
        running.kill()
    recovered = lading("recover")
    assert (recovered.returncode, "is finished, from 2.0 MiB of partial data" in recovered.stdout) == (0, True)
    assert (host / "vms" / "1").read_bytes() == data
    (host / "vms" / "1").unlink()
    again = lading("fetch", url, "vms/1")
    assert "verified sha256" in again.stdout, "the recorded location is not trusted, the URL is"
