"""The Handler contract, over every built-in handler and a third party's, each with a rig of its own."""

from pathlib import Path

import pytest
from returns.result import Failure

from lading import Image, Location, Scope, Work
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.download import DownloadHandler
from lading.adapters.handlers.file import FileHandler
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.sdk.contracts import HandlerContract, HandlerRig

pytestmark = pytest.mark.xdist_group("ceph")


class TestHandlers(HandlerContract):
    @pytest.fixture(
        params=[
            "file",
            "download",
            "http",
            "rbd",
            "rbd-pool",
            "s3",
            "oci",
            "swift",
            "cinder",
            "cinder-volume",
            "shelf",
            "shelf-clone",
            "file-device",
            "download-device",
            "http-device",
            "shelf-device",
        ]
    )
    def rig(self, request: pytest.FixtureRequest) -> HandlerRig:
        found: HandlerRig = request.getfixturevalue(f"{request.param.replace('-', '_')}_rig")
        return found


def test_the_download_declines_locations_and_images_that_are_not_named(tmp_path: Path) -> None:
    handler = DownloadHandler(MemoryCatalog(), FileDestination(MemoryVerifiedFiles()))
    target = str(tmp_path / "vm")
    for work in (Work(target, Image("id"), Location("file:///noble.img")), Work(target)):
        assert handler.fetch(work).failure().scope is Scope.LOCATION


def test_the_file_handler_with_no_folder_allowed_says_which_setting_to_add(tmp_path: Path) -> None:
    handler = FileHandler([], FileDestination(MemoryVerifiedFiles()))
    refused = handler.fetch(Work(str(tmp_path / "vm"), Image("id"), Location("file:///noble.img"))).failure()
    assert refused.scope is Scope.HANDLER
    assert "[handlers.file] allowed_folders" in str(refused)


def test_the_file_handler_carries_nothing_that_has_no_location(tmp_path: Path) -> None:
    handler = FileHandler([tmp_path], FileDestination(MemoryVerifiedFiles()))
    assert isinstance(handler.fetch(Work(str(tmp_path / "vm"), Image("id"))), Failure)
