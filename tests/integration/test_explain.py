"""`lading explain` tells what `fetch` would do, and does nothing."""

import os
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from tests.faulty_server import FaultyServer, Reply
from tests.integration.conftest import Lading, record

from lading import Association, Image, Location
from lading.adapters.sqlite.associations import FileAssociations
from lading.adapters.sqlite.database import Database


def test_explain_shows_every_attempt_with_its_reason_and_touches_nothing(
    lading: Lading, noble: Path, host: Path
) -> None:
    explained = lading("explain", "noble", "vms/1", LADING_HANDLERS__FILE__ALLOWED_FOLDERS="")
    assert explained.returncode == 0
    assert "✗ file file://" in explained.stdout
    assert "allowed_folders" in explained.stdout
    assert "✓ download  ← this one" in explained.stdout
    assert "GiB on the disk of" in explained.stdout
    assert "\nnetwork: not used\n" in explained.stdout
    told = record(lading("explain", "noble", "vms/1", "--json"))
    assert (told["handler"], told["attempts"][0]["would"]) == ("file", True)
    assert os.listdir(host / "vms") == []
    assert lading("ls").stdout == ""
    assert os.listdir(host / "home" / ".local" / "share" / "lading") == ["catalog"]


def test_explain_shows_attempts_that_cannot_help_only_with_all(lading: Lading, noble: Path) -> None:
    few, all_of_them = lading("explain", "noble", "vms/1"), lading("explain", "noble", "vms/1", "--all")
    assert "not shown, because it cannot help: 1 of the attempts; see --all" in few.stdout
    assert "✗ download file://" not in few.stdout
    assert "✗ download file://" in all_of_them.stdout
    assert "- http\n      makes no attempt: it takes http, https\n" in all_of_them.stdout
    told = record(lading("explain", "noble", "vms/1", "--json"))
    assert [each["handler"] for each in told["attempts"]] == ["file", "download", "download"]
    assert told["free_space"] > 0


def test_explain_names_the_servers_that_are_asked(lading: Lading, host: Path, faulty_server: FaultyServer) -> None:
    faulty_server.answer("/noble.img", Reply(bytes(1024)))
    url = faulty_server.url("/noble.img", userinfo="user:secret")
    explained = lading("explain", url, "vms/1", "--unverified").stdout
    assert f"network: {faulty_server.url('')}\n" in explained
    assert "downloads 1.0 KiB" in explained


def test_explain_says_by_its_exit_code_that_nothing_would_do(lading: Lading, noble: Path) -> None:
    noble.unlink()
    assert lading("explain", "noble", "vms/1").returncode == 4


def test_explain_exits_as_fetch_does_where_something_is_in_the_way(lading: Lading, noble: Path, host: Path) -> None:
    (host / "vms" / "1").write_bytes(b"precious")
    explained = lading("explain", "noble", "vms/1")
    assert explained.returncode == lading("fetch", "noble", "vms/1").returncode == 5
    assert explained.stdout.count("✗") == 1


def test_explain_shows_a_handler_that_raises_as_one_that_refuses(lading: Lading, noble: Path, host: Path) -> None:
    site = host / "site"
    (site / "clumsy-1.0.dist-info").mkdir(parents=True)
    (site / "clumsy-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: clumsy\nVersion: 1.0\n")
    (site / "clumsy-1.0.dist-info" / "entry_points.txt").write_text("[lading.handlers]\nclumsy = clumsy:Clumsy\n")
    (site / "clumsy.py").write_text(
        """
class Clumsy:
    name, schemes, is_local = "clumsy", frozenset({"file"}), True
    def __init__(self, setup): ...
    def preview(self, work): raise RuntimeError("dropped it")
"""
    )
    told = record(
        lading(
            "explain", "noble", "vms/1", "--json", PYTHONPATH=str(site), LADING_HANDLERS__ORDER="clumsy,file"
        )
    )  # fmt: skip
    assert told["attempts"][0]["would"] is False
    assert told["attempts"][0]["reason"] == "raised RuntimeError; the debug log has more"
    assert told["handler"] == "file"


def test_explain_calls_no_handler_for_a_location_without_credentials(lading: Lading, noble: Path, host: Path) -> None:
    image = record(lading("catalog", "show", "noble", "--json"))["id"]
    gone = Location("file://***@host/gone.img")
    with closing(Database(host / "home" / ".local" / "share" / "lading" / "associations.sqlite")) as database:
        association = Association(
            str(host / "vms" / "1"), "file", Image(image, "noble"), gone, datetime(2026, 1, 1, tzinfo=UTC)
        )
        FileAssociations(database).put(association).unwrap()
    first, second, *_ = record(lading("explain", "noble", "vms/1", "--json"))["attempts"]
    assert (first["would"], first["location"]) == (False, str(gone))
    assert first["reason"] == "its credentials are not recorded, and the catalog no longer has this location"
    assert second["would"]
