"""Handlers re-establish what a restart lost: once, before the first operation that may need it."""

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.reference import Event, RecordingCatalog, ScriptedHandler, Spec
from tests.strategies import IMAGE, LANDED_AT, TARGET

from lading import Association, Dispatcher, FetchRequest, Handler, Intent, StoreUnavailable, Verb
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.memory.journal import MemoryJournal

GUARD = 30.0
"""Seconds after which something hangs."""


class Mount(ScriptedHandler):
    """Does as it is told when it is prepared."""

    def __init__(self, prepares: Callable[[Iterable[Association]], object], events: list[Event] | None = None) -> None:
        super().__init__(Spec("mount", frozenset()), [] if events is None else events, iter(()))
        self.prepares = prepares

    def prepare(self, associations: Iterable[Association]) -> None:
        self.prepares(associations)


def dispatcher(*handlers: Handler, associations: Iterable[Association] = ()) -> Dispatcher:
    store = MemoryAssociations()
    for each in associations:
        store.put(each)
    return Dispatcher(handlers, RecordingCatalog([IMAGE], []), store)


def test_a_handler_with_nothing_to_prepare_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    dispatcher(ScriptedHandler(Spec("file", None), [], iter(()))).prepare()
    assert caplog.messages == []


def test_a_handler_is_prepared_with_its_own_associations() -> None:
    offered: list[Association] = []
    mine, other = (Association(f"/vms/{name}", name, IMAGE, None, LANDED_AT) for name in ("mount", "file"))
    dispatcher(Mount(offered.extend), associations=[mine, other]).prepare()
    assert offered == [mine]


def test_the_trace_of_a_failed_preparation_is_in_the_debug_log(caplog: pytest.LogCaptureFixture) -> None:
    def fails(_: object) -> None:
        raise OSError("no device")

    with caplog.at_level(logging.DEBUG, "lading"):
        dispatcher(Mount(fails)).prepare()
    debug, warning = caplog.records
    assert (debug.levelname, debug.exc_info is not None) == ("DEBUG", True)
    assert warning.getMessage() == "handler mount could not be prepared: raised OSError; the debug log has more"


def test_a_store_that_fails_is_reported_by_the_operation_that_needs_it(caplog: pytest.LogCaptureFixture) -> None:
    def fails(_: object) -> None:
        raise StoreUnavailable("the disk is full")

    with caplog.at_level(logging.INFO, "lading"):
        dispatcher(Mount(fails)).prepare()
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("INFO", "handler mount is not prepared: the disk is full")
    ]


def test_handlers_are_prepared_before_an_interrupted_operation_is_recovered() -> None:
    events: list[Event] = []
    mount, journal = Mount(lambda _: events.append(("prepare",)), events), MemoryJournal()
    journal.begin(Intent(TARGET, Verb.FETCH, "mount", LANDED_AT))
    recovering = Dispatcher([mount], RecordingCatalog([], []), MemoryAssociations(), journal=journal).recover()
    assert events == []
    next(recovering)
    assert events == [("prepare",), ("remove", "mount", TARGET)]


def test_an_operation_waits_for_the_thread_that_prepares() -> None:
    begun, may_end = threading.Event(), threading.Event()

    def prepares(_: object) -> None:
        begun.set()
        assert may_end.wait(GUARD)

    slow = dispatcher(Mount(prepares))
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(slow.prepare)
        assert begun.wait(GUARD)
        second = threads.submit(slow.fetch, FetchRequest(IMAGE.id, TARGET))
        assert not second.done()
        may_end.set()
        first.result(GUARD)
        second.result(GUARD)


def test_a_handler_that_uses_the_dispatcher_while_it_is_prepared_does_not_hang() -> None:
    mount = Mount(lambda _: mounting.remove(TARGET))
    mounting = dispatcher(mount)
    with ThreadPoolExecutor(1) as thread:
        thread.submit(mounting.prepare).result(GUARD)
