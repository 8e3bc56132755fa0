"""The Handler contract, over every built-in handler."""

import hashlib
import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from returns.result import Failure, Success

from lading import Association, Digest, Handler, Image, Location, Scope, TargetOccupied, Work
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.handlers.download import DownloadHandler
from lading.adapters.handlers.file import FileHandler
from lading.adapters.transfer.transfer import Transfer
from lading.adapters.verifications.memory import MemoryVerifiedFiles
from lading.domain.handler import Foresighted

DATA = os.urandom(100_000)
NOW = datetime.now(UTC)


@dataclass
class Bench:
    """A handler, a piece of work that it can do, and what takes its source away."""

    handler: Handler
    work: Work
    source: Path

    @property
    def target(self) -> Path:
        return Path(self.work.target)


@pytest.fixture(params=["file", "download"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    source = tmp_path / "images" / "noble.img"
    source.parent.mkdir()
    source.write_bytes(DATA)
    (tmp_path / "vms").mkdir()
    digest = Digest("sha256", hashlib.sha256(DATA).hexdigest())
    image = Image("id", size=len(DATA), disk_format="raw", digest=digest)
    work = Work(str(tmp_path / "vms" / "1"), image)
    transfer = Transfer(MemoryVerifiedFiles())
    if request.param == "file":
        return Bench(
            FileHandler([source.parent], transfer), replace(work, location=Location(f"file://{source}")), source
        )
    catalog = MemoryCatalog()
    catalog.add(image, data=str(source))
    return Bench(DownloadHandler(catalog, transfer), work, source)


def test_it_fetches_the_image_to_the_target(bench: Bench) -> None:
    landing = bench.handler.fetch(bench.work).unwrap()
    assert bench.target.read_bytes() == DATA
    assert (landing.size, landing.verified) == (len(DATA), True)


def test_after_a_refusal_nothing_is_left_behind(bench: Bench) -> None:
    bench.source.unlink()
    assert isinstance(bench.handler.fetch(bench.work), Failure)
    assert os.listdir(bench.target.parent) == []


def test_a_source_that_is_gone_is_a_refusal_of_the_location(bench: Bench) -> None:
    bench.source.unlink()
    assert bench.handler.fetch(bench.work).failure().scope is Scope.LOCATION


def test_what_is_at_the_target_stays_unless_forced(bench: Bench) -> None:
    bench.target.write_bytes(b"precious")
    assert isinstance(bench.handler.fetch(bench.work).failure(), TargetOccupied)
    assert bench.target.read_bytes() == b"precious"
    assert isinstance(bench.handler.fetch(replace(bench.work, force=True)), Success)
    assert bench.target.read_bytes() == DATA


def test_it_removes_what_it_fetched_and_what_is_gone_is_a_success(bench: Bench) -> None:
    bench.handler.fetch(bench.work)
    assert bench.handler.remove(bench.work) == Success(None)
    assert not bench.target.exists()
    assert bench.handler.remove(bench.work) == Success(None)


def test_it_moves_what_it_fetched(bench: Bench) -> None:
    bench.handler.fetch(bench.work)
    assert isinstance(bench.handler.move(bench.work, f"{bench.target}-moved"), Success)
    assert os.listdir(bench.target.parent) == ["1-moved"]


def test_it_moves_nothing_onto_something_else(bench: Bench) -> None:
    bench.handler.fetch(bench.work)
    taken = bench.target.with_name("taken")
    taken.write_bytes(b"precious")
    assert isinstance(bench.handler.move(bench.work, str(taken)), Failure)
    assert taken.read_bytes() == b"precious"
    assert bench.target.read_bytes() == DATA


def test_what_it_foresees_is_what_comes_to_pass(bench: Bench) -> None:
    assert isinstance(bench.handler, Foresighted)
    assert isinstance(bench.handler.foresee(bench.work), Success)
    assert os.listdir(bench.target.parent) == []
    bench.target.write_bytes(b"precious")
    assert bench.handler.foresee(bench.work).failure() == bench.handler.fetch(bench.work).failure()
    bench.target.unlink()
    bench.source.unlink()
    assert bench.handler.foresee(bench.work).failure() == bench.handler.fetch(bench.work).failure()


def test_it_foresees_that_the_image_is_there_already(bench: Bench) -> None:
    landing = bench.handler.fetch(bench.work).unwrap()
    recorded = Association(
        bench.work.target, bench.handler.name, bench.work.image, bench.work.location, NOW, landing.method,
        landing.size, landing.digest, landing.verified, landing.fingerprint,
    )  # fmt: skip
    assert isinstance(bench.handler, Foresighted)
    assert bench.handler.foresee(replace(bench.work, association=recorded)) == Success("is there already")


def test_a_work_that_names_no_target_is_refused(bench: Bench) -> None:
    assert isinstance(bench.handler.fetch(replace(bench.work, target="")), Failure)


def test_the_download_declines_locations_and_images_that_are_not_named(tmp_path: Path) -> None:
    handler = DownloadHandler(MemoryCatalog(), Transfer(MemoryVerifiedFiles()))
    target = str(tmp_path / "vm")
    for work in (Work(target, Image("id"), Location("file:///noble.img")), Work(target)):
        assert handler.fetch(work).failure().scope is Scope.LOCATION


def test_the_file_handler_with_no_folder_allowed_says_which_setting_to_add(tmp_path: Path) -> None:
    handler = FileHandler([], Transfer(MemoryVerifiedFiles()))
    refused = handler.fetch(Work(str(tmp_path / "vm"), Image("id"), Location("file:///noble.img"))).failure()
    assert refused.scope is Scope.HANDLER
    assert "[handlers.file] allowed_folders" in refused.reason


def test_the_file_handler_carries_nothing_that_has_no_location(tmp_path: Path) -> None:
    handler = FileHandler([tmp_path], Transfer(MemoryVerifiedFiles()))
    assert isinstance(handler.fetch(Work(str(tmp_path / "vm"), Image("id"))), Failure)
