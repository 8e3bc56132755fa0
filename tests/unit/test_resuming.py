"""What came before a fetch was cut off is not brought again, if it can be trusted; nor what the host has already."""

import fcntl
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from returns.result import Result, Success
from tests.faults import CUT, Faults, Reply, redirect
from typing_extensions import override

from lading import (
    Association,
    Context,
    Digest,
    Dispatcher,
    FetchRequest,
    FetchResult,
    HandlerRefused,
    Image,
    Landing,
    Location,
    Mismatched,
    NoHandlerAvailable,
    NotAssociated,
    TargetFailed,
    TargetOccupied,
    Unavailable,
    Unsupported,
    Work,
)
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.destinations.file import partial
from lading.adapters.destinations.file.destination import FileDestination, Rules
from lading.adapters.destinations.file.partial import part_path
from lading.adapters.handlers.download import DownloadHandler
from lading.adapters.handlers.http import HttpHandler
from lading.adapters.memory.locks import MemoryLocks
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.sqlite.associations import FileAssociations
from lading.adapters.sqlite.database import Database
from lading.adapters.sqlite.journal import FileJournal
from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.web.http import HttpOptions, Origin
from lading.adapters.web.mirrors import Mirrors
from lading.adapters.web.remote import RemoteStream
from lading.domain.failures import FetchFailure
from lading.domain.recovery import Outcome
from lading.ports.catalog import ByteStream
from lading.ports.failures import CatalogFailure, CatalogUnavailable, StoreUnavailable
from lading.ports.journal import Intent, Verb
from lading.ports.observer import NullObserver, Observer

MEBIBYTE = 1 << 20
DATA = os.urandom(3 * MEBIBYTE + 17)
IMAGE = Image("id", size=len(DATA), disk_format="raw", digest=Digest("sha256", hashlib.sha256(DATA).hexdigest()))
PROMISING_NOTHING = replace(IMAGE, digest=None)
WHOLE = Reply(DATA)
GONE = Reply(b"", status=404)
KEPT = 2 * MEBIBYTE
BREAKING_OFF = Reply(DATA, after=KEPT + 5, then=CUT)
ON_FROM_THERE = f"bytes={KEPT}-"
GUARD = 30.0
"""Seconds after which something hangs."""


class ServedCatalog(MemoryCatalog):
    """Gives the image's data from a server, as Glance does."""

    def __init__(self, image: Image, url: str) -> None:
        super().__init__([image])
        self._url = url

    def read(self, image: Image, offset: int, context: Context) -> Result[ByteStream, CatalogFailure]:
        stream = RemoteStream(Mirrors([Origin(self._url)], HttpOptions(), first_wait=0.001), offset)
        try:
            stream.open()
        except SourceBroken as broken:
            return Result.from_failure(CatalogUnavailable(str(broken)))
        return Success(stream)


@dataclass
class Host:
    """A host: its database, its folder of targets, a server that has the image; each fetch is by a new process."""

    folder: Path
    server: Faults
    database: Database
    url: str
    image: Image = IMAGE
    handler: str = "http"
    rules: Rules = field(default_factory=Rules)
    seen: int = 0
    """Requests that `asked` has told of."""

    def __post_init__(self) -> None:
        self.journal, self.associations = FileJournal(self.database), FileAssociations(self.database)

    @property
    def target(self) -> Path:
        return self.folder / "vm"

    @property
    def part(self) -> Path:
        return Path(part_path(str(self.target)))

    @property
    def transfer(self) -> FileDestination:
        return FileDestination(
            MemoryVerifiedFiles(),
            self.rules,
            journal=self.journal,
            locks=MemoryLocks(),
            associations=self.associations,
        )

    @property
    def http(self) -> HttpHandler:
        return HttpHandler(HttpOptions(5, 5), self.transfer, connections=1, first_wait=0.001)

    @property
    def dispatcher(self) -> Dispatcher:
        image = replace(self.image, locations=[Location(self.url)] if self.handler == "http" else [])
        catalog = ServedCatalog(image, self.url)
        handler = self.http if self.handler == "http" else DownloadHandler(catalog, self.transfer)
        # Loaded is the other one too: of an image without locations it is asked nothing.
        handlers = [handler, self.http] if self.handler == "download" else [handler]
        return Dispatcher(handlers, catalog, self.associations, journal=self.journal, locks=MemoryLocks())

    def fetch(
        self, target: Path | None = None, observer: Observer | None = None, *, force: bool = False
    ) -> Result[FetchResult, FetchFailure]:
        request = FetchRequest(
            self.image.id, str(target or self.target), force=force, observer=observer or NullObserver()
        )
        return self.dispatcher.fetch(request)

    def cut_off(self) -> None:
        """A fetch that the server breaks off for good, after a bit more than KEPT."""
        self.server.answer("/noble", BREAKING_OFF, GONE)
        failure = self.fetch().failure()
        assert isinstance(failure, NoHandlerAvailable)
        refusal = failure.attempts[-1].refusal
        assert isinstance(refusal, Unavailable)
        assert refusal.kept == KEPT
        assert self.part.stat().st_size >= KEPT
        self.server.answer("/noble", WHOLE)
        self.asked()

    def asked(self) -> list[str | None]:
        """The ranges of the requests since this was last asked."""
        requests = self.server.requests
        new, self.seen = requests[self.seen :], len(requests)
        return [each.range for each in new]

    def assert_landed(self, *, resumed: int, outcome: Result[FetchResult, FetchFailure] | None = None) -> None:
        staged = (outcome or self.fetch()).unwrap()
        assert (staged.landing.resumed, staged.landing.size) == (resumed, len(DATA))
        assert self.target.read_bytes() == DATA
        self.assert_nothing_is_left()

    def assert_nothing_is_left(self) -> None:
        assert list(self.journal.list()) == []
        assert not os.path.lexists(self.part)


@pytest.fixture
def host(tmp_path: Path, faults: Faults) -> Iterator[Host]:
    (tmp_path / "vms").mkdir()
    with closing(Database(tmp_path / "lading.db")) as database:
        yield Host(tmp_path / "vms", faults, database, faults.answer("/noble", WHOLE))


@pytest.fixture(params=["http", "download"])
def either(request: pytest.FixtureRequest, host: Host) -> Host:
    """By either handler that brings images from afar."""
    host.handler = request.param
    return host


class Interrupt:
    """An observer that presses Ctrl-C when as much has come as is to be kept."""

    def progress(self, done: int, total: int | None) -> None:
        if done >= KEPT:
            raise KeyboardInterrupt


# Going on.


def test_what_the_server_broke_off_goes_on_from_what_is_kept(either: Host) -> None:
    either.cut_off()
    assert either.part.stat().st_mode & 0o7777 == 0o600
    assert not either.target.exists()
    either.assert_landed(resumed=KEPT)
    assert either.asked() == [ON_FROM_THERE]


def test_what_was_interrupted_goes_on_from_what_is_kept(either: Host) -> None:
    with pytest.raises(KeyboardInterrupt):
        either.fetch(observer=Interrupt())
    assert either.asked() == [None]
    assert [each.verb for each in either.journal.list()] == [Verb.FETCH]
    either.assert_landed(resumed=KEPT)
    assert either.asked() == [ON_FROM_THERE]


def test_it_may_be_cut_off_again_and_again(either: Host) -> None:
    either.server.answer("/noble", Reply(DATA, after=MEBIBYTE + 5, then=CUT), GONE)
    either.fetch().failure()
    either.asked()
    either.server.answer("/noble", Reply(DATA, after=MEBIBYTE + 5, then=CUT), GONE)
    either.fetch().failure()
    assert either.asked()[0] == f"bytes={MEBIBYTE}-"
    either.server.answer("/noble", WHOLE)
    either.assert_landed(resumed=KEPT)
    assert either.asked() == [ON_FROM_THERE]


def test_a_try_in_vain_leaves_what_is_kept(either: Host) -> None:
    either.cut_off()
    either.server.answer("/noble", GONE)
    either.fetch().failure()
    either.server.answer("/noble", WHOLE)
    either.asked()
    either.assert_landed(resumed=KEPT)
    assert either.asked() == [ON_FROM_THERE]


def test_what_one_handler_kept_another_goes_on_from(host: Host) -> None:
    host.cut_off()
    host.handler = "download"
    host.assert_landed(resumed=KEPT)


def test_what_was_forced_goes_on_forced(either: Host) -> None:
    either.target.write_bytes(b"precious")
    either.server.answer("/noble", BREAKING_OFF, GONE)
    either.fetch(force=True).failure()
    assert either.target.read_bytes() == b"precious"
    either.server.answer("/noble", WHOLE)
    either.assert_landed(resumed=KEPT, outcome=either.fetch(force=True))


def test_recovery_that_is_not_to_keep_it_removes_it(either: Host) -> None:
    either.cut_off()
    [found] = either.dispatcher.recover(keep=True)
    assert (found.outcome, found.kept) == (Outcome.KEPT, KEPT)
    assert either.part.exists()
    [found] = either.dispatcher.recover(keep=False)
    assert found.outcome is Outcome.UNDONE
    assert os.listdir(either.folder) == []
    either.assert_nothing_is_left()


def test_removing_what_is_not_recorded_keeps_what_can_be_resumed(either: Host) -> None:
    either.cut_off()
    assert isinstance(either.dispatcher.remove(str(either.target)).failure(), NotAssociated)
    assert os.listdir(either.folder) == [".vm.lading-part"]


def test_too_little_to_keep_is_not_kept(either: Host) -> None:
    either.server.answer("/noble", Reply(DATA, after=MEBIBYTE - 1, then=CUT), GONE)
    failure = either.fetch().failure()
    assert isinstance(failure, NoHandlerAvailable)
    assert [each.refusal.kept for each in failure.attempts if isinstance(each.refusal, Unavailable)][-1:] == [0]
    assert os.listdir(either.folder) == []
    either.assert_nothing_is_left()


def test_something_is_always_left_to_ask_for(host: Host) -> None:
    """So that the server tells whether it still has the same."""
    data = DATA[:KEPT]
    host.image = replace(IMAGE, size=KEPT, digest=Digest("sha256", hashlib.sha256(data).hexdigest()))
    host.server.answer("/noble", Reply(data))
    with pytest.raises(KeyboardInterrupt):
        host.fetch(observer=Interrupt())
    host.asked()
    assert host.fetch().unwrap().landing.resumed == MEBIBYTE
    assert host.asked() == [f"bytes={MEBIBYTE}-"]
    assert host.target.read_bytes() == data


# Starting over.


def test_a_server_that_has_another_image_now_is_read_from_the_start(host: Host) -> None:
    """Another one than the catalog has a digest of, at first: it is the digest that tells, not the ETag."""
    host.server.answer("/noble", Reply(os.urandom(len(DATA)), after=KEPT + 5, then=CUT), GONE)
    host.fetch().failure()
    host.server.answer("/noble", Reply(DATA, etag='"2"'))
    host.asked()
    host.assert_landed(resumed=0)
    assert host.asked() == [ON_FROM_THERE, None]


def test_with_a_digest_another_etag_still_resumes(host: Host) -> None:
    host.cut_off()
    host.server.answer("/noble", Reply(DATA, etag='"2"', modified=None))
    host.assert_landed(resumed=KEPT)
    assert host.asked() == [ON_FROM_THERE]


def test_a_server_that_ignores_ranges_is_read_from_the_start(host: Host) -> None:
    host.cut_off()
    host.server.answer("/noble", Reply(DATA, ranges=False))
    host.assert_landed(resumed=0)
    assert host.asked() == [ON_FROM_THERE]


def test_a_server_that_refuses_ranges_is_read_from_the_start(host: Host) -> None:
    host.cut_off()
    host.server.answer("/noble", Reply(b"no", status=416), WHOLE)
    host.assert_landed(resumed=0)
    assert host.asked() == [ON_FROM_THERE, None]


def test_when_what_is_kept_is_wrong_it_starts_over_once(either: Host) -> None:
    either.cut_off()
    with either.part.open("r+b") as part:
        part.write(bytes([DATA[0] ^ 1]))
    either.assert_landed(resumed=0)
    assert either.asked() == [ON_FROM_THERE, None]


def test_when_the_server_s_bytes_are_wrong_too_it_is_refused_and_nothing_is_left(either: Host) -> None:
    either.cut_off()
    either.server.answer("/noble", Reply(bytes(len(DATA))))
    failure = either.fetch().failure()
    assert isinstance(failure, NoHandlerAvailable)
    assert isinstance(failure.attempts[-1].refusal, Mismatched)
    assert either.asked() == [ON_FROM_THERE, None]
    assert os.listdir(either.folder) == []
    either.assert_nothing_is_left()


@pytest.mark.parametrize(
    "change",
    [
        lambda image: replace(image, id="another"),
        lambda image: replace(image, digest=Digest("sha512", hashlib.sha512(DATA).hexdigest())),
    ],
    ids=["id", "digest"],
)
def test_another_image_is_fetched_from_the_start(either: Host, change: Callable[[Image], Image]) -> None:
    either.cut_off()
    either.image = change(IMAGE)
    either.assert_landed(resumed=0)
    assert either.asked() == [None]


def test_an_image_that_is_smaller_than_what_is_kept_is_fetched_from_the_start(host: Host) -> None:
    host.image = replace(PROMISING_NOTHING, size=None)
    host.cut_off()
    host.image = replace(PROMISING_NOTHING, size=MEBIBYTE + 5)
    host.server.answer("/noble", Reply(DATA[: MEBIBYTE + 5], etag='"2"'))
    staged = host.fetch().unwrap()
    assert (staged.landing.resumed, host.target.read_bytes()) == (0, DATA[: MEBIBYTE + 5])
    host.assert_nothing_is_left()


# What nobody promises a digest of.


@pytest.fixture
def unpromised(host: Host) -> Host:
    host.image = PROMISING_NOTHING
    host.cut_off()
    return host


def test_without_a_digest_the_word_of_the_same_server_is_enough(unpromised: Host) -> None:
    unpromised.assert_landed(resumed=KEPT)
    assert unpromised.asked() == [ON_FROM_THERE]


def test_without_a_digest_another_state_of_it_starts_over(unpromised: Host) -> None:
    unpromised.server.answer("/noble", Reply(DATA, etag='"2"'))
    unpromised.assert_landed(resumed=0)


def test_without_a_digest_a_missing_etag_starts_over(unpromised: Host) -> None:
    unpromised.server.answer("/noble", Reply(DATA, etag=None))
    unpromised.assert_landed(resumed=0)


def test_without_a_digest_what_a_redirect_led_to_is_not_kept(host: Host) -> None:
    """It may lead elsewhere the next time, where the same ETag stands for other bytes."""
    host.image = PROMISING_NOTHING
    host.server.answer("/there", BREAKING_OFF, GONE)
    host.server.answer("/noble", redirect(host.server.url("/there", host="localhost")))
    host.fetch().failure()
    assert not host.part.exists()


def test_without_a_digest_another_location_starts_over(unpromised: Host) -> None:
    unpromised.url = unpromised.server.answer("/other", WHOLE)
    unpromised.assert_landed(resumed=0)
    assert unpromised.asked() == [None]


def test_with_a_digest_another_location_goes_on(host: Host) -> None:
    host.cut_off()
    host.url = host.server.answer("/other", Reply(DATA, etag='"2"'))
    host.assert_landed(resumed=KEPT)
    assert host.asked() == [ON_FROM_THERE]


def test_without_a_digest_another_start_of_the_host_starts_over(
    unpromised: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partial, "boot_id", lambda: "another")
    unpromised.assert_landed(resumed=0)
    assert unpromised.asked() == [None]


def test_a_start_of_the_host_that_is_not_known_is_no_start(unpromised: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without /proc, say."""
    [intent] = unpromised.journal.list()
    part: Any = intent.notes["part"]
    unpromised.journal.note(intent.target, {**intent.notes, "part": {**part, "boot": None}}).unwrap()
    monkeypatch.setattr(partial, "boot_id", lambda: None)
    unpromised.assert_landed(resumed=0)
    assert unpromised.asked() == [None]


def test_with_a_digest_another_start_of_the_host_goes_on(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.cut_off()
    monkeypatch.setattr(partial, "boot_id", lambda: "another")
    host.assert_landed(resumed=KEPT)


@pytest.mark.parametrize("etag", ['W/"1"', None], ids=["weak", "date"])
@pytest.mark.parametrize("image", [PROMISING_NOTHING, IMAGE], ids=["no digest", "digest"])
def test_without_a_digest_a_weak_word_is_not_enough_to_keep_anything(
    host: Host, image: Image, etag: str | None
) -> None:
    """An ETag that says it is weak, and a date, which tells no two states within one second apart (RFC 9110, 8.8)."""
    host.image = image
    host.server.answer("/noble", replace(BREAKING_OFF, etag=etag), GONE)
    failure = host.fetch().failure()
    assert isinstance(failure, NoHandlerAvailable)
    kept = KEPT if image.digest else 0
    assert [each.refusal.kept for each in failure.attempts if isinstance(each.refusal, Unavailable)] == [kept]
    assert host.part.exists() == bool(kept)
    host.server.answer("/noble", replace(WHOLE, etag=etag))
    host.assert_landed(resumed=kept)


def test_what_is_not_to_be_verified_needs_the_server_s_word_though_there_is_a_digest(host: Host) -> None:
    host.rules = Rules(verify=False)
    host.cut_off()
    host.server.answer("/noble", Reply(DATA, etag='"2"'))
    host.assert_landed(resumed=0)


def test_without_a_digest_the_catalog_s_own_data_is_fetched_from_the_start(host: Host) -> None:
    """The catalog says nothing of the whole."""
    host.image, host.handler = PROMISING_NOTHING, "download"
    host.server.answer("/noble", BREAKING_OFF, GONE)
    host.fetch().failure()
    assert os.listdir(host.folder) == []
    host.server.answer("/noble", WHOLE)
    host.assert_landed(resumed=0)


# Files in the place of what is kept.


def a_symlink(part: Path, victim: Path) -> None:
    part.symlink_to(victim)


def a_hard_link(part: Path, victim: Path) -> None:
    part.hardlink_to(victim)


def a_fifo(part: Path, victim: Path) -> None:
    os.mkfifo(part)


def a_file(part: Path, victim: Path) -> None:
    part.write_bytes(victim.read_bytes())


def a_folder(part: Path, victim: Path) -> None:
    (part / victim.name).mkdir(parents=True)


@pytest.mark.parametrize("put", [a_symlink, a_hard_link, a_fifo, a_file, a_folder])
def test_what_somebody_put_in_its_place_is_not_touched(
    either: Host, tmp_path: Path, put: Callable[[Path, Path], None]
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(bytes(KEPT))
    either.cut_off()
    either.part.unlink()
    put(either.part, victim)
    mode, links = os.lstat(either.part).st_mode, victim.stat().st_nlink
    failure = either.fetch().failure()
    assert isinstance(failure, NoHandlerAvailable)
    assert isinstance(failure.decisive, TargetOccupied)
    assert f"{either.part} is in the way" in failure.decisive.reason
    assert (os.lstat(either.part).st_mode, victim.stat().st_nlink) == (mode, links)
    assert victim.read_bytes() == bytes(KEPT)
    assert not either.target.exists()
    assert list(either.journal.list()) == []


@contextmanager
def claimed(part: Path) -> Iterator[None]:
    """As by another process that writes to it."""
    with part.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_a_part_that_another_process_writes_to_is_left_to_it(either: Host) -> None:
    either.part.write_bytes(bytes(KEPT))
    with claimed(either.part):
        failure = either.fetch().failure()
        assert isinstance(failure, NoHandlerAvailable)
        assert "fetching to it" in str(failure)
        assert either.part.read_bytes() == bytes(KEPT)


def test_what_another_process_resumes_is_not_discarded(either: Host) -> None:
    either.cut_off()
    with claimed(either.part):
        [found] = either.dispatcher.recover(keep=False)
        assert found.outcome is Outcome.UNRESOLVED
        assert "fetching to it" in str(found.reason)
        assert either.part.exists()
    [found] = either.dispatcher.recover(keep=False)
    assert found.outcome is Outcome.UNDONE
    either.assert_nothing_is_left()


def test_another_user_s_file_is_not_gone_on_with(either: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    either.cut_off()
    monkeypatch.setattr(os, "geteuid", lambda: either.part.parent.stat().st_uid + 1)
    either.assert_landed(resumed=0)
    assert either.asked() == [None]


def test_a_file_that_is_not_noted_is_neither_resumed_nor_removed(either: Host) -> None:
    """Of another program, or of another journal."""
    either.part.write_bytes(DATA[:KEPT])
    failure = either.fetch().failure()
    assert isinstance(failure, NoHandlerAvailable)
    assert isinstance(failure.decisive, TargetOccupied)
    assert either.part.read_bytes() == DATA[:KEPT]
    either.part.unlink()
    either.assert_landed(resumed=0)


def test_a_temporary_file_that_another_process_writes_to_is_not_touched(either: Host) -> None:
    """A target may be known to two journals."""
    with either.part.open("w+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        failure = either.fetch().failure()
        assert isinstance(failure, NoHandlerAvailable)
        assert isinstance(failure.decisive, TargetFailed)
        assert failure.decisive.reason == f"{either.target} cannot be written: another process is fetching to it"
        assert either.part.exists()
    assert list(either.journal.list()) == []


def test_a_target_with_the_name_of_a_temporary_file_is_refused(either: Host) -> None:
    failure = either.fetch(either.part).failure()
    assert isinstance(failure, NoHandlerAvailable)
    assert isinstance(failure.decisive, TargetFailed)
    assert "choose another name" in failure.decisive.reason
    either.fetch().unwrap()
    moved = either.dispatcher.move(str(either.target), str(either.part)).failure()
    assert isinstance(moved, HandlerRefused)
    assert either.target.read_bytes() == DATA
    assert os.listdir(either.folder) == [either.target.name]


def test_what_an_earlier_version_kept_goes_on(either: Host) -> None:
    """It noted that a file is kept, and not which."""
    either.cut_off()
    [intent] = either.journal.list()
    notes = {key: note for key, note in intent.notes.items() if key == "part"}
    either.journal.note(intent.target, notes).unwrap()
    either.assert_landed(resumed=KEPT)


# Verifying.


@pytest.fixture
def fetched(host: Host) -> Host:
    host.fetch().unwrap()
    return host


def test_what_is_intact_is_found_so(fetched: Host) -> None:
    [recorded] = fetched.associations.list()
    assert fetched.dispatcher.verify(str(fetched.target)) == Success(recorded)


def test_what_was_only_touched_is_intact_and_recorded_as_it_is_now(fetched: Host) -> None:
    os.utime(fetched.target, (1, 1))
    verified = fetched.dispatcher.verify(str(fetched.target)).unwrap()
    assert verified.fingerprint is not None
    assert verified.fingerprint.mtime_ns == 10**9
    assert list(fetched.associations.list()) == [verified]
    assert fetched.fetch().unwrap().landing.present


def a_changed_byte(target: Path) -> None:
    with target.open("r+b") as disk:
        disk.seek(MEBIBYTE)
        disk.write(bytes([DATA[MEBIBYTE] ^ 1]))


def a_byte_more(target: Path) -> None:
    with target.open("ab") as disk:
        disk.write(b"x")


def replaced(target: Path) -> None:
    target.rename(target.with_name("kept"))
    target.write_bytes(DATA)


def a_symlink_there(target: Path) -> None:
    target.rename(target.with_name("kept"))
    target.symlink_to("kept")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (a_changed_byte, "its digest is sha256:"),
        (a_byte_more, f"it has {len(DATA) + 1} bytes, and had {len(DATA)}"),
        (Path.unlink, "is gone"),
        (replaced, "is another file than the one that was fetched"),
        (a_symlink_there, "is no longer a file"),
    ],
    ids=["byte", "size", "gone", "replaced", "symlink"],
)
def test_what_has_changed_is_told(fetched: Host, change: Callable[[Path], None], words: str) -> None:
    [recorded] = fetched.associations.list()
    change(fetched.target)
    refusal = fetched.transfer.verify(Work(str(fetched.target), association=recorded)).failure()
    assert isinstance(refusal, Mismatched)
    assert words in refusal.reason
    assert list(fetched.associations.list()) == [recorded]


def test_without_a_digest_what_can_be_told_is_told(host: Host) -> None:
    host.image = PROMISING_NOTHING
    host.fetch().unwrap()
    assert host.dispatcher.verify(str(host.target)).unwrap().digest is None
    a_changed_byte(host.target)
    assert host.dispatcher.verify(str(host.target)).unwrap().digest is None
    a_byte_more(host.target)
    assert "bytes, and had" in str(host.dispatcher.verify(str(host.target)).failure())


def test_what_landed_unverified_is_verified_now(host: Host) -> None:
    host.rules = Rules(verify=False)
    assert host.fetch().unwrap().landing.digest is None
    assert host.dispatcher.verify(str(host.target)).unwrap().digest == IMAGE.digest


def test_what_nothing_is_recorded_of_cannot_be_verified(host: Host) -> None:
    assert isinstance(host.transfer.verify(Work(str(host.target))).failure(), Unsupported)


# What the host has already.


def test_a_second_target_is_copied_from_the_first(fetched: Host) -> None:
    staged = fetched.fetch(fetched.folder / "second").unwrap()
    assert staged.landing.method in {"copy", "reflink"}
    assert staged.landing.verified
    assert staged.landing.copied_from == str(fetched.target)
    recorded = fetched.associations.get(str(fetched.folder / "second")).unwrap()
    assert isinstance(recorded, Association)
    assert recorded.copied_from == str(fetched.target)
    assert (fetched.folder / "second").read_bytes() == DATA
    assert fetched.asked() == [None]


def test_that_a_second_target_would_be_copied_from_the_first_is_foreseen(fetched: Host) -> None:
    fetched.server.answer("/noble", GONE)
    [previewed] = fetched.dispatcher.preview(FetchRequest("id", str(fetched.folder / "second")))
    told = f"copies {len(DATA)} bytes from {fetched.target}, which is this image"
    assert previewed.outcome == Success(told)
    assert os.listdir(fetched.folder) == ["vm"]
    fetched.fetch(fetched.folder / "second").unwrap()
    assert fetched.asked() == [None]


def test_what_is_copied_is_not_said_to_be_of_a_location_that_was_not_read(fetched: Host) -> None:
    """A handler that declines a location does so also where the host has the image already."""
    transfer, location = fetched.transfer, Location("file:///elsewhere/noble.img")
    catalog = ServedCatalog(replace(IMAGE, locations=[location]), fetched.url)
    download = Dispatcher([DownloadHandler(catalog, transfer)], catalog, fetched.associations, journal=fetched.journal)
    request = FetchRequest("id", str(fetched.folder / "second"))
    previewed = download.preview(request)
    staged = download.fetch(request).unwrap()
    assert [(each.location, each.would) for each in previewed] == [(location, False), (None, True)]
    assert [(each.location, each.refusal is None) for each in staged.attempts] == [(location, False), (None, True)]
    assert (staged.location, staged.landing.copied_from) == (None, str(fetched.target))


def test_what_landed_as_a_copy_and_was_cut_off_is_recorded_as_that_copy(fetched: Host) -> None:
    second, image = fetched.folder / "second", replace(IMAGE, locations=[Location(fetched.url)])
    begun = Intent(str(second), Verb.FETCH, "http", datetime.now(UTC), IMAGE, Location(fetched.url))
    fetched.journal.begin(begun)
    fetched.http.fetch(Work(str(second), image, Location(fetched.url), intent=begun)).unwrap()
    assert fetched.fetch(second).unwrap().landing.present
    recorded = fetched.associations.get(str(second)).unwrap()
    assert isinstance(recorded, Association)
    assert recorded.copied_from == str(fetched.target)


@pytest.mark.parametrize("change", [a_changed_byte, a_byte_more, Path.unlink, replaced, a_symlink_there])
def test_a_second_target_is_not_copied_from_what_has_changed(fetched: Host, change: Callable[[Path], None]) -> None:
    change(fetched.target)
    fetched.fetch(fetched.folder / "second").unwrap()
    assert (fetched.folder / "second").read_bytes() == DATA
    assert fetched.asked() == [None, None]


def test_a_second_target_is_not_copied_from_what_no_digest_tells(host: Host) -> None:
    host.image = PROMISING_NOTHING
    for name in ("first", "second"):
        host.fetch(host.folder / name).unwrap()
    assert host.asked() == [None, None]


def test_a_second_target_is_not_copied_from_another_image_of_the_same_name(fetched: Host) -> None:
    """Ids may be given again (OSSN-0075), and digests be of another kind."""
    fetched.image = replace(IMAGE, digest=Digest("sha512", hashlib.sha512(DATA).hexdigest()))
    fetched.fetch(fetched.folder / "second").unwrap()
    assert fetched.asked() == [None, None]


def test_a_second_target_is_copied_from_a_first_that_is_not_recorded_yet(host: Host) -> None:
    image = replace(IMAGE, locations=[Location(host.url)])
    begun = Intent(str(host.target), Verb.FETCH, "http", datetime.now(UTC), IMAGE, Location(host.url))
    host.journal.begin(begun)
    host.http.fetch(Work(str(host.target), image, Location(host.url), intent=begun)).unwrap()
    assert list(host.associations.list()) == []
    host.fetch(host.folder / "second").unwrap()
    assert host.asked() == [None]


def test_what_landed_and_was_not_recorded_is_found_and_recorded_by_the_next_fetch(host: Host) -> None:
    test_a_second_target_is_copied_from_a_first_that_is_not_recorded_yet(host)
    assert host.fetch().unwrap().landing.present
    recorded = host.associations.get(str(host.target)).unwrap()
    assert isinstance(recorded, Association)
    assert (recorded.digest, recorded.verified, recorded.image) == (IMAGE.digest, True, IMAGE)
    assert host.asked() == []


def test_of_several_that_want_it_at_once_one_brings_it(host: Host) -> None:
    dispatcher = host.dispatcher

    def fetch(number: int) -> Landing:
        return dispatcher.fetch(FetchRequest("id", str(host.folder / str(number)))).unwrap().landing

    with ThreadPoolExecutor(4) as threads:
        landings = list(threads.map(fetch, range(4), timeout=GUARD))
    assert sorted(landing.method == "http" for landing in landings) == [False, False, False, True]
    assert {(host.folder / str(number)).read_bytes() for number in range(4)} == {DATA}
    assert host.asked() == [None]


def test_whoever_waits_for_an_image_is_told_how_much_of_it_has_come(host: Host) -> None:
    dispatcher, began, told = host.dispatcher, Event(), Event()

    class First:
        def progress(self, done: int, total: int | None) -> None:
            if done >= KEPT:
                began.set()
                assert told.wait(GUARD)

    class Second(NullObserver):
        reason = ""

        def waiting(self, reason: str) -> None:
            self.reason = reason
            told.set()

    with ThreadPoolExecutor(2) as threads:
        second = Second()
        bringing = threads.submit(dispatcher.fetch, FetchRequest("id", str(host.target), observer=First()))
        assert began.wait(GUARD)
        waiting = threads.submit(dispatcher.fetch, FetchRequest("id", f"{host.target}-2", observer=second))
        assert bringing.result(GUARD).unwrap().landing.method == "http"
        assert waiting.result(GUARD).unwrap().landing.method in {"copy", "reflink"}
    # How much of what was read is written by then depends on the threads.
    assert re.fullmatch(r"another operation, which fetches the same image \([0-3]/3 MiB\)", second.reason)


def test_what_is_kept_of_another_image_is_gone_before_it_is_noted_whose_bytes_are_there(host: Host) -> None:
    """Killed in between, the next fetch would take it for its own."""
    host.cut_off()

    class Ending(FileJournal):
        """Writes down what is about to come, and that is the last thing that the process does."""

        @override
        def note(self, target: str, notes: Mapping[str, object]) -> Result[None, StoreUnavailable]:
            super().note(target, notes).unwrap()
            raise SystemExit

    real, host.journal = host.journal, Ending(host.database)
    host.image = replace(host.image, id="another", digest=None)
    with pytest.raises(SystemExit):
        host.fetch()
    host.journal = real
    host.assert_landed(resumed=0)
