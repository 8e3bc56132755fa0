"""Targets of the host that hold the image already are copied."""

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import pytest
from returns.result import Result, Success
from tests.integration.resuming.host import (
    DATA,
    GONE,
    IMAGE,
    KEPT,
    PROMISING_NOTHING,
    Host,
    ServedCatalog,
    a_byte_more,
    a_changed_byte,
    a_symlink_there,
    replaced,
)
from typing_extensions import override

from lading import Association, Context, Digest, Dispatcher, FetchRequest, Landing, Location, Work
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.codec.sizes import size_text
from lading.adapters.destinations.file.destination import FileDestination, Rules
from lading.adapters.handlers.download import DownloadHandler
from lading.adapters.handlers.http import HttpHandler
from lading.adapters.memory.locks import MemoryLocks
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.sqlite.journal import FileJournal
from lading.adapters.web.http import HttpOptions
from lading.ports.failures import StoreUnavailable
from lading.ports.journal import Intent, Verb
from lading.ports.observer import NullObserver

GUARD = 180.0
"""Seconds after which something hangs."""


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


def test_a_preview_tells_that_the_first_target_would_be_copied(fetched: Host) -> None:
    fetched.server.answer("/noble", GONE)
    [previewed] = fetched.dispatcher.preview(FetchRequest("id", str(fetched.folder / "second")))
    told = f"copies {size_text(len(DATA))} from {fetched.target}, which is this image; no network"
    assert previewed.outcome == Success(told)
    assert os.listdir(fetched.folder) == ["vm"]
    fetched.fetch(fetched.folder / "second").unwrap()
    assert fetched.asked() == [None]


def test_a_copy_is_not_recorded_with_a_location_that_was_not_read(fetched: Host) -> None:
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


def test_an_interrupted_copy_is_recorded_as_that_copy(fetched: Host) -> None:
    second, image = fetched.folder / "second", replace(IMAGE, locations=[Location(fetched.url)])
    begun = Intent(str(second), Verb.FETCH, "http", datetime.now(UTC), IMAGE, Location(fetched.url))
    fetched.journal.begin(begun)
    fetched.http.fetch(Work(str(second), image, Location(fetched.url), intent=begun)).unwrap()
    assert fetched.fetch(second).unwrap().landing.present
    recorded = fetched.associations.get(str(second)).unwrap()
    assert isinstance(recorded, Association)
    assert recorded.copied_from == str(fetched.target)


@pytest.mark.parametrize("change", [a_changed_byte, a_byte_more, Path.unlink, replaced, a_symlink_there])
def test_a_second_target_is_not_copied_from_a_changed_one(fetched: Host, change: Callable[[Path], None]) -> None:
    change(fetched.target)
    fetched.fetch(fetched.folder / "second").unwrap()
    assert (fetched.folder / "second").read_bytes() == DATA
    assert fetched.asked() == [None, None]


def test_a_second_target_is_not_copied_from_one_without_a_digest(host: Host) -> None:
    host.image = PROMISING_NOTHING
    for name in ("first", "second"):
        host.fetch(host.folder / name).unwrap()
    assert host.asked() == [None, None]


def test_a_target_of_another_image_with_the_same_name_is_not_copied(fetched: Host) -> None:
    """Ids may be given again (OSSN-0075), and digests be of another kind."""
    fetched.image = replace(IMAGE, digest=Digest("sha512", hashlib.sha512(DATA).hexdigest()))
    fetched.fetch(fetched.folder / "second").unwrap()
    assert fetched.asked() == [None, None]


def test_an_image_of_another_catalog_with_the_same_digest_is_copied(fetched: Host) -> None:
    fetched.image = replace(IMAGE, id="lab:noble", disk_format=None)
    second = fetched.fetch(fetched.folder / "second").unwrap()
    assert (second.landing.copied_from, second.landing.verified) == (str(fetched.target), True)
    assert fetched.asked() == [None]
    assert [each.image for each in fetched.associations.list(image_id="lab:noble")] == [fetched.image]


def test_a_user_gets_no_copy_of_an_image_by_its_digest_alone(fetched: Host) -> None:
    fetched.image = replace(IMAGE, id="lab:noble")
    request = FetchRequest("lab:noble", str(fetched.folder / "second"), context=Context("user"))
    assert fetched.dispatcher.fetch(request).unwrap().landing.copied_from is None
    assert fetched.asked() == [None, None]


def test_an_image_of_another_catalog_with_a_weak_digest_is_not_copied(host: Host) -> None:
    for name in ("first", "second"):
        host.image = replace(IMAGE, id=name, digest=None, checksum=hashlib.md5(DATA, usedforsecurity=False).hexdigest())
        host.fetch(host.folder / name).unwrap()
    assert host.asked() == [None, None]


def test_a_target_that_was_not_verified_is_not_copied_for_another_catalog(host: Host) -> None:
    host.rules = Rules(verify=False)
    for name in ("first", "second"):
        host.image = replace(IMAGE, id=name)
        host.fetch(host.folder / name).unwrap()
    assert host.asked() == [None, None]


def test_of_two_catalogs_fetches_at_once_one_downloads(host: Host) -> None:
    locks = MemoryLocks()
    files = FileDestination(MemoryVerifiedFiles(), journal=host.journal, locks=locks, associations=host.associations)
    handler = HttpHandler(HttpOptions(5, 5), files, connections=1, first_wait=0.001)
    images = [replace(IMAGE, id=name, locations=[Location(host.url)]) for name in ("one:noble", "two:noble")]
    catalog = MemoryCatalog(images)
    dispatcher = Dispatcher([handler], catalog, host.associations, journal=host.journal, locks=locks)
    with ThreadPoolExecutor(2) as threads:
        requests = [FetchRequest(each.id, str(host.folder / each.id)) for each in images]
        landings = [each.unwrap().landing for each in threads.map(dispatcher.fetch, requests, timeout=GUARD)]
    assert sorted(landing.method == "http" for landing in landings) == [False, True]
    assert host.asked() == [None]


def test_a_second_target_is_copied_from_an_unrecorded_first_one(host: Host) -> None:
    image = replace(IMAGE, locations=[Location(host.url)])
    begun = Intent(str(host.target), Verb.FETCH, "http", datetime.now(UTC), IMAGE, Location(host.url))
    host.journal.begin(begun)
    host.http.fetch(Work(str(host.target), image, Location(host.url), intent=begun)).unwrap()
    assert list(host.associations.list()) == []
    host.fetch(host.folder / "second").unwrap()
    assert host.asked() == [None]


def test_the_next_fetch_records_what_landed_unrecorded(host: Host) -> None:
    test_a_second_target_is_copied_from_an_unrecorded_first_one(host)
    assert host.fetch().unwrap().landing.present
    recorded = host.associations.get(str(host.target)).unwrap()
    assert isinstance(recorded, Association)
    assert (recorded.digest, recorded.verified, recorded.image) == (IMAGE.digest, True, IMAGE)
    assert host.asked() == []


def test_one_of_several_fetches_at_once_downloads_the_image(host: Host) -> None:
    dispatcher = host.dispatcher

    def fetch(number: int) -> Landing:
        return dispatcher.fetch(FetchRequest("id", str(host.folder / str(number)))).unwrap().landing

    with ThreadPoolExecutor(4) as threads:
        landings = list(threads.map(fetch, range(4), timeout=GUARD))
    assert sorted(landing.method == "http" for landing in landings) == [False, False, False, True]
    assert {(host.folder / str(number)).read_bytes() for number in range(4)} == {DATA}
    assert host.asked() == [None]


def test_a_fetch_that_waits_shows_the_progress_of_the_other_one(host: Host) -> None:
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
    assert re.fullmatch(r"another operation, which fetches the same image \([0-3]\.0 of 3\.0 MiB\)", second.reason)


def test_partial_data_of_another_image_goes_before_the_notes_change(host: Host) -> None:
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
