"""The Handler contract, over every built-in handler, at a place of its own."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from returns.result import Failure, Success
from tests.rigs.rig import DATA, Bench

from lading import Association, Image, Location, Scope, TargetOccupied, Work
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.download import DownloadHandler
from lading.adapters.handlers.file import FileHandler
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.domain.cost import cost_of
from lading.domain.handler import SupportsPreview

NOW = datetime.now(UTC)


@pytest.fixture(
    params=[
        "file",
        "download",
        "http",
        "rbd",
        "rbd-pool",
        "s3",
        "swift",
        "cinder",
        "cinder-volume",
        "shelf",
        "shelf-clone",
    ]
)
def bench(request: pytest.FixtureRequest) -> Bench:
    found: Bench = request.getfixturevalue(f"{request.param.replace('-', '_')}_bench")
    return found


def test_it_fetches_the_image_to_the_target(bench: Bench) -> None:
    landing = bench.handler.fetch(bench.work).unwrap()
    assert bench.place.content("1") == DATA
    assert (landing.size, landing.verified) == (bench.size, bench.verifies)
    assert bench.place.names() == ["1"]


def test_after_a_refusal_nothing_is_left_behind(bench: Bench) -> None:
    bench.lose_source()
    assert isinstance(bench.handler.fetch(bench.work), Failure)
    assert bench.place.names() == []


def test_a_source_that_is_gone_is_a_refusal_of_the_location(bench: Bench) -> None:
    bench.lose_source()
    assert bench.handler.fetch(bench.work).failure().scope is Scope.LOCATION


def test_what_is_at_the_target_stays_unless_forced(bench: Bench) -> None:
    bench.place.occupy("1", b"precious")
    assert isinstance(bench.handler.fetch(bench.work).failure(), TargetOccupied)
    assert bench.place.content("1") == b"precious"
    assert isinstance(bench.handler.fetch(replace(bench.work, force=True)), Success)
    assert bench.place.content("1") == DATA
    assert bench.place.names() == ["1"]


def test_it_removes_what_it_fetched_and_what_is_gone_is_a_success(bench: Bench) -> None:
    recorded = fetched(bench)
    assert bench.handler.remove(recorded) == Success(None)
    assert bench.place.names() == []
    assert bench.handler.remove(recorded) == Success(None)


def test_it_moves_what_it_fetched(bench: Bench) -> None:
    recorded = fetched(bench)
    assert isinstance(bench.handler.move(recorded, bench.place.target("2")), Success)
    assert bench.place.names() == ["2"]
    assert bench.place.content("2") == DATA


def test_it_moves_nothing_onto_something_else(bench: Bench) -> None:
    recorded = fetched(bench)
    bench.place.occupy("taken", b"precious")
    assert isinstance(bench.handler.move(recorded, bench.place.target("taken")), Failure)
    assert bench.place.content("taken") == b"precious"
    assert bench.place.content("1") == DATA


def test_what_it_foresees_is_what_comes_to_pass(bench: Bench) -> None:
    assert isinstance(bench.handler, SupportsPreview)
    assert isinstance(bench.handler.preview(bench.work), Success)
    assert bench.place.names() == []
    bench.place.occupy("1", b"precious")
    assert bench.handler.preview(bench.work).failure() == bench.handler.fetch(bench.work).failure()
    bench.place.clear("1")
    bench.lose_source()
    assert bench.handler.preview(bench.work).failure() == bench.handler.fetch(bench.work).failure()


def test_it_foresees_that_the_image_is_there_already(bench: Bench) -> None:
    assert isinstance(bench.handler, SupportsPreview)
    assert bench.handler.preview(fetched(bench)) == Success("is there already")


def test_fetching_again_what_is_there_moves_nothing(bench: Bench) -> None:
    assert bench.handler.fetch(fetched(bench)).unwrap().present


def test_it_tells_what_it_costs(bench: Bench) -> None:
    assert cost_of(bench.handler, bench.work.target) is not None


def fetched(bench: Bench) -> Work:
    """The work, done and recorded."""
    landing = bench.handler.fetch(bench.work).unwrap()
    blank = Association(bench.work.target, bench.handler.name, bench.work.image, bench.work.location, NOW)
    return replace(bench.work, association=landing.recorded_in(blank))


def test_a_work_that_names_no_target_is_refused(bench: Bench) -> None:
    assert isinstance(bench.handler.fetch(replace(bench.work, target="")), Failure)


def test_the_download_declines_locations_and_images_that_are_not_named(tmp_path: Path) -> None:
    handler = DownloadHandler(MemoryCatalog(), FileDestination(MemoryVerifiedFiles()))
    target = str(tmp_path / "vm")
    for work in (Work(target, Image("id"), Location("file:///noble.img")), Work(target)):
        assert handler.fetch(work).failure().scope is Scope.LOCATION


def test_the_file_handler_with_no_folder_allowed_says_which_setting_to_add(tmp_path: Path) -> None:
    handler = FileHandler([], FileDestination(MemoryVerifiedFiles()))
    refused = handler.fetch(Work(str(tmp_path / "vm"), Image("id"), Location("file:///noble.img"))).failure()
    assert refused.scope is Scope.HANDLER
    assert "[handlers.file] allowed_folders" in refused.reason


def test_the_file_handler_carries_nothing_that_has_no_location(tmp_path: Path) -> None:
    handler = FileHandler([tmp_path], FileDestination(MemoryVerifiedFiles()))
    assert isinstance(handler.fetch(Work(str(tmp_path / "vm"), Image("id"))), Failure)
