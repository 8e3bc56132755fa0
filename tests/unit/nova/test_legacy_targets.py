"""A LegacyHandler removes and moves what it fetched, and nothing else that has its name."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from returns.result import Failure, Result, Success
from tests.unit.nova.legacy_handlers import Asked, FileWritingHandler, ScriptedHandler, never
from tests.unit.nova.programs import NOON, recorded
from typing_extensions import override

from lading import (
    Association,
    Dispatcher,
    FetchRequest,
    HandlerRefused,
    Image,
    StoreUnavailable,
    TargetFailed,
    TargetInUse,
    TargetOccupied,
    TargetUnresolved,
)
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.memory.journal import MemoryJournal
from lading.adapters.nova import LegacyHandler
from lading.domain.recovery import Outcome, Recovered
from lading.ports.journal import Intent, Verb

NOBLE = Image("noble")


class Store(MemoryAssociations):
    """Records, unless it is told to fail."""

    fails = False

    @override
    def put(self, association: Association) -> Result[None, StoreUnavailable]:
        return Failure(StoreUnavailable("the disk is full")) if self.fails else super().put(association)


class CopyingHandler(FileWritingHandler):
    """Moves by copying, as to another file system."""

    @override
    def _do(self, asked: Asked) -> object:
        if asked.verb != "move":
            return super()._do(asked)
        shutil.copyfile(str(asked.arguments[3]), str(asked.arguments[4]))
        Path(str(asked.arguments[3])).unlink()
        return True


class FolderHandler(FileWritingHandler):
    """Makes a folder of each image."""

    @override
    def _do(self, asked: Asked) -> object:
        path = Path(str(asked.arguments[3]))
        path.mkdir() if asked.verb == "fetch" else path.rmdir()
        return True


class Host:
    """A folder of targets, and a Dispatcher with one handler of the original API."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.target, self.other = folder / "vms", folder / "vms" / "1", folder / "vms" / "2"
        self.folder.mkdir()
        self.associations, self.journal = Store(), MemoryJournal()
        self.files: ScriptedHandler = FileWritingHandler("driver")
        self.dispatcher = self.with_handler(self.files)

    def with_handler(self, handler: ScriptedHandler) -> Dispatcher:
        self.files = handler
        self.dispatcher = Dispatcher(
            [LegacyHandler("files", handler)], MemoryCatalog([NOBLE]), self.associations, journal=self.journal
        )
        return self.dispatcher

    def fetch(self) -> None:
        self.dispatcher.fetch(FetchRequest("noble", str(self.target))).unwrap()

    def interrupt(self, verb: Verb) -> None:
        """Leaves an operation in the journal, as a process does that is killed at once."""
        association = self.associations.get(str(self.target)).unwrap()
        self.journal.begin(Intent(str(self.target), verb, "files", NOON, NOBLE, recorded=association))

    def recover(self, *, give_up: bool = False) -> Recovered:
        [recovered] = self.dispatcher.recover(str(self.target), keep=False, give_up=give_up)
        return recovered

    @property
    def under_way(self) -> list[Intent]:
        return list(self.journal.list())

    @property
    def verbs(self) -> list[str]:
        return [asked.verb for asked in self.files.asked]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


Act = Callable[[Host], Result[Any, Any]]
ACTS: dict[str, Act] = {
    "remove": lambda host: host.dispatcher.remove(str(host.target)),
    "move": lambda host: host.dispatcher.move(str(host.target), str(host.other)),
}
EVEN_IF_IN_USE: dict[str, Act] = {
    "remove": lambda host: host.dispatcher.remove(str(host.target), even_if_in_use=True),
    "move": lambda host: host.dispatcher.move(str(host.target), str(host.other), even_if_in_use=True),
}
acting = pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)


def refusal(answer: Result[Any, Any]) -> object:
    failure = answer.failure()
    assert isinstance(failure, HandlerRefused)
    return failure.refusal


def replace_by_stranger(path: Path) -> None:
    """Puts another file at the path. Both exist for a moment, so that they have two inodes."""
    new = path.with_name("stranger")
    new.write_text("precious")
    os.replace(new, path)


class TestARecordedTarget:
    @acting
    def test_stays_recorded_while_its_folder_is_another_one(self, host: Host, act: Act) -> None:
        host.fetch()
        aside = host.folder.with_name("aside")
        host.folder.rename(aside)
        host.folder.mkdir()
        before = recorded(host.associations, str(host.target))
        assert isinstance(refusal(act(host)), TargetFailed)
        assert recorded(host.associations, str(host.target)) == before
        assert (host.verbs, host.under_way) == (["fetch"], [])
        host.folder.rmdir()
        aside.rename(host.folder)
        assert isinstance(act(host), Success)
        assert not host.target.exists()

    @acting
    def test_stays_recorded_while_its_folder_is_missing(self, host: Host, act: Act) -> None:
        host.fetch()
        host.folder.rename(host.folder.with_name("aside"))
        assert isinstance(refusal(act(host)), TargetFailed)
        assert recorded(host.associations, str(host.target)).handler == "files"

    @acting
    def test_is_not_the_file_that_took_its_name(self, host: Host, act: Act) -> None:
        host.fetch()
        replace_by_stranger(host.target)
        assert isinstance(refusal(act(host)), TargetOccupied)
        assert host.target.read_text() == "precious"
        assert recorded(host.associations, str(host.target)).handler == "files"

    def test_is_removed_by_its_name_with_force(self, host: Host) -> None:
        host.fetch()
        replace_by_stranger(host.target)
        host.dispatcher.remove(str(host.target), force=True).unwrap()
        assert not host.target.exists()

    @pytest.mark.parametrize("verb", ACTS)
    def test_is_left_alone_while_another_program_has_it_locked(self, host: Host, verb: str) -> None:
        host.fetch()
        with host.target.open() as disk:
            fcntl.flock(disk, fcntl.LOCK_EX)
            assert isinstance(refusal(ACTS[verb](host)), TargetInUse)
            assert host.target.read_text() == "noble"
            assert isinstance(EVEN_IF_IN_USE[verb](host), Success)
        assert not host.target.exists()

    @acting
    def test_is_the_same_file_after_a_guest_wrote_to_it(self, host: Host, act: Act) -> None:
        host.fetch()
        host.target.write_text("written by a guest")
        assert isinstance(act(host), Success)
        assert not host.target.exists()

    def test_that_was_changed_is_changed_after_a_move(self, host: Host) -> None:
        host.fetch()
        host.target.write_text("written by a guest")
        ACTS["move"](host).unwrap()
        again = host.dispatcher.fetch(FetchRequest("noble", str(host.other)))
        assert "was changed since it was fetched" in str(again.failure())

    def test_that_is_no_file_is_removed_by_its_handler(self, host: Host) -> None:
        host.with_handler(FolderHandler("driver"))
        host.fetch()
        assert recorded(host.associations, str(host.target)).fingerprint is None
        ACTS["remove"](host).unwrap()
        assert not host.target.exists()

    def test_is_moved_back_where_its_move_cannot_be_recorded(self, host: Host) -> None:
        host.fetch()
        host.associations.fails = True
        assert isinstance(ACTS["move"](host).failure(), StoreUnavailable)
        assert (host.target.exists(), host.other.exists()) == (True, False)

    def test_that_was_copied_stays_where_its_copy_cannot_be_recorded(
        self, host: Host, caplog: pytest.LogCaptureFixture
    ) -> None:
        host.with_handler(CopyingHandler("driver"))
        host.fetch()
        host.associations.fails = True
        assert isinstance(ACTS["move"](host).failure(), StoreUnavailable)
        assert (host.target.exists(), host.other.read_text()) == (False, "noble")
        assert f"{host.target} is at {host.other} now, but recorded nowhere" in caplog.text


class TestAnInterruptedOperation:
    def test_that_recorded_nothing_removes_no_file_by_its_name(self, host: Host) -> None:
        host.interrupt(Verb.FETCH)
        host.target.write_text("precious")
        recovered = host.recover()
        assert (recovered.outcome, host.target.read_text()) == (Outcome.UNRESOLVED, "precious")
        assert recovered.reason == (
            f"{host.target} exists, and nothing proves that the interrupted fetch made it; "
            f"to leave it there: lading forget {host.target}"
        )
        assert isinstance(host.dispatcher.fetch(FetchRequest("noble", str(host.target))).failure(), TargetUnresolved)
        assert host.recover(give_up=True).outcome is Outcome.ABANDONED
        assert (host.verbs, host.under_way, host.target.read_text()) == ([], [], "precious")

    def test_that_was_forgotten_leaves_the_file(self, host: Host) -> None:
        host.interrupt(Verb.FETCH)
        host.target.write_text("precious")
        host.dispatcher.forget(str(host.target)).unwrap()
        assert (host.under_way, host.target.read_text()) == ([], "precious")

    def test_that_left_nothing_is_undone(self, host: Host) -> None:
        host.interrupt(Verb.FETCH)
        assert host.recover().outcome is Outcome.UNDONE
        assert (host.verbs, host.under_way) == ([], [])

    def test_is_unresolved_while_its_folder_is_missing(self, host: Host) -> None:
        host.interrupt(Verb.FETCH)
        host.folder.rmdir()
        assert host.recover().outcome is Outcome.UNRESOLVED
        host.folder.mkdir()
        assert host.recover().outcome is Outcome.UNDONE

    def test_in_a_storage_removes_nothing_by_its_name(self, host: Host) -> None:
        host.with_handler(ScriptedHandler("driver"))
        host.interrupt(Verb.FETCH)
        recovered = host.recover()
        assert (recovered.outcome, host.verbs) == (Outcome.UNRESOLVED, [])
        assert f"to leave it there: lading forget {host.target}" in str(recovered.reason)

    def test_is_not_a_fetch_that_was_refused(self, host: Host) -> None:
        host.files.does = never
        host.dispatcher.fetch(FetchRequest("noble", str(host.target))).failure()
        assert host.under_way == []

    def test_whose_record_is_written_is_finished(self, host: Host) -> None:
        host.interrupt(Verb.FETCH)
        host.associations.put(Association(str(host.target), "files", NOBLE, None, NOON.replace(hour=13)))
        assert (host.recover().outcome, host.verbs) == (Outcome.FINISHED, [])

    def test_of_a_removal_leaves_the_file_that_came_later(self, host: Host) -> None:
        host.fetch()
        host.interrupt(Verb.REMOVE)
        replace_by_stranger(host.target)
        assert host.recover().outcome is Outcome.FINISHED
        assert host.associations.get(str(host.target)) == Success(None)
        assert host.target.read_text() == "precious"

    def test_of_a_removal_is_finished_where_the_file_is_gone(self, host: Host) -> None:
        host.fetch()
        host.interrupt(Verb.REMOVE)
        host.target.unlink()
        assert host.recover().outcome is Outcome.FINISHED
        assert host.associations.get(str(host.target)) == Success(None)

    def test_of_a_removal_waits_while_its_folder_is_another_one(self, host: Host) -> None:
        host.fetch()
        host.interrupt(Verb.REMOVE)
        host.folder.rename(host.folder.with_name("aside"))
        host.folder.mkdir()
        assert host.recover().outcome is Outcome.UNRESOLVED
        assert recorded(host.associations, str(host.target)).handler == "files"


def test_what_cannot_be_recorded_is_removed_by_its_fingerprint(host: Host) -> None:
    host.associations.fails = True
    assert isinstance(host.dispatcher.fetch(FetchRequest("noble", str(host.target))).failure(), StoreUnavailable)
    assert not host.target.exists()
    assert host.verbs == ["fetch", "remove"]
