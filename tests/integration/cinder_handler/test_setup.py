"""What the handler needs, costs and declines."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from returns.result import Success
from tests.integration.cinder_handler.stand_in import HOST, NOW, StandIn, recorded, volume

from lading import Association, Location, Work
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.codec.sizes import size_text
from lading.adapters.config.table import Table
from lading.adapters.destinations.clone.target_state import part_of
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.cinder import attachments, names
from lading.adapters.handlers.cinder import handler as cinder_module
from lading.adapters.handlers.cinder.handler import CinderHandler
from lading.adapters.handlers.cinder.names import is_left_over, permanent_mark, process_mark, volume_target
from lading.adapters.handlers.setup import HandlerSetup
from lading.adapters.memory.journal import MemoryJournal
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.domain.cost import Cost
from lading.domain.refusals import Unconfigured, Unsupported
from lading.ports.association import State
from lading.sdk.contracts import DATA, IMAGE

# What is not asked


def test_without_volumes_nothing_is_called_and_nothing_loaded(
    cinder: StandIn, handler: CinderHandler, work: Work
) -> None:
    handler.prepare([Association(work.target, "cinder", IMAGE, work.location, NOW)])
    assert cinder.asked == []
    code = """import sys
from lading.adapters.handlers.cinder.handler import CinderHandler
print(*{each.partition(".")[0] for each in sys.modules} & {"os_brick", "keystoneauth1", "openstack", "requests"})"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_a_preview_attaches_and_makes_nothing(
    cinder: StandIn, handler: CinderHandler, work: Work, cloning: Work
) -> None:
    assert handler.preview(work) == Success(f"attaches the volume and reads {size_text(len(DATA))}")
    assert handler.preview(cloning) == Success(f"clones volume {volume(work)} to one of 1 GiB, and attaches that")
    assert {method for method, _ in cinder.asked} == {"GET"}


def test_loading_os_brick_leaves_forking_as_it_was(handler: CinderHandler, work: Work) -> None:
    assert isinstance(handler.fetch(work), Success)
    subprocess.run(["true"], check=True)
    if (child := os.fork()) == 0:
        os._exit(0)  # eventlet would have warned, which is an error here
    os.waitpid(child, 0)


# What it is told


def test_without_its_packages_an_error_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cinder_module, "find_spec", lambda _: None)
    setup = HandlerSetup(Table({}), FileDestination(MemoryVerifiedFiles()), MemoryCatalog(), MemoryJournal())
    with pytest.raises(ModuleNotFoundError, match=r"os-brick .*pip install 'lading\[cinder\]'"):
        CinderHandler.from_setup(setup)


def test_without_a_cloud_an_error_says_where_to_name_one(
    work: Work, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [each for each in os.environ if each.startswith("OS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    setup = HandlerSetup(
        Table({"cloud": "nowhere"}), FileDestination(MemoryVerifiedFiles()), MemoryCatalog(), MemoryJournal()
    )
    refused = CinderHandler.from_setup(setup).fetch(work).failure()
    assert isinstance(refused, Unconfigured)
    assert "[handlers.cinder] cloud" in str(refused)


def test_the_cost_is_a_clone_or_the_network_of_the_storage(handler: CinderHandler) -> None:
    assert handler.cost("cinder:vm") is Cost.CLONE
    assert handler.cost("/vms/1") is handler.cost("") is Cost.STORAGE_NETWORK


@pytest.mark.parametrize(
    "url", ["cinder://", "cinder://noble", "cinder://a/b/0b2e7a4c-2f58-4c7a-9d0f-5c0a6a2f8d11", "cinder:///x/../y"]
)
def test_locations_that_name_no_volume_are_declined(handler: CinderHandler, work: Work, url: str) -> None:
    for target in (work.target, "cinder:vm"):
        refused = handler.fetch(replace(work, target=target, location=Location(url))).failure()
        assert isinstance(refused, Unsupported)
        assert "names no volume" in str(refused)


@pytest.mark.parametrize("target", ["cinder:", "cinder: vm", "cinder://vm", f"cinder:{'x' * 250}"])
def test_targets_that_name_no_volume_are_declined(handler: CinderHandler, work: Work, target: str) -> None:
    assert isinstance(volume_target(target).failure(), Unsupported)
    assert isinstance(handler.fetch(replace(work, target=target)).failure(), Unsupported)


def test_targets_with_the_name_of_an_unfinished_clone_are_declined(
    cinder: StandIn, handler: CinderHandler, cloning: Work
) -> None:
    reserved = replace(cloning, target=part_of(cloning.target), force=True)
    for refused in (
        handler.fetch(reserved),
        handler.preview(reserved),
        handler.remove(reserved),
        handler.move(reserved, "cinder:vm-2"),
        handler.move(cloning, reserved.target),
    ):
        assert isinstance(refused.failure(), Unsupported)
        assert str(refused.failure()).startswith("cinder:vm-1.lading-part has a name that lading reserves")
    assert cinder.asked == []


def test_a_mark_tells_whether_its_process_is_gone() -> None:
    mark, here = process_mark(HOST), str(os.getpid())
    assert not is_left_over(mark, HOST)
    assert is_left_over(mark.replace(here, "1"), HOST)  # another process has that number
    assert is_left_over(mark.replace(here, "4194305"), HOST)  # more than there can be
    assert not is_left_over(mark.replace(here, "1"), "compute-2")
    assert not is_left_over(mark.replace(here, "1"), "compute")
    for other in (permanent_mark(HOST), "/dev/vdb", "", f"lading {HOST} x y"):
        assert not is_left_over(other, HOST)


def test_where_processes_cannot_be_told_apart_none_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    mark = process_mark(HOST)
    monkeypatch.setattr(names, "boot_id", lambda: None)
    assert not is_left_over(mark, HOST)
    assert not is_left_over(mark.replace(str(os.getpid()), "4194305"), HOST)


@pytest.mark.parametrize("start", ["another start", ""])
def test_an_unknown_start_of_the_host_is_another_one(
    handler: CinderHandler, cloning: Work, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    monkeypatch.setattr(attachments, "boot", lambda: "")
    work = recorded(handler, cloning)
    monkeypatch.setattr(attachments, "boot", lambda: start)
    assert handler.report(work).unwrap().state is State.DETACHED
