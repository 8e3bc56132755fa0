"""Reports on targets: the handler's, or else that of files; and what a verification and a proof make of them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from returns.result import Failure, Result, Success
from tests.reference import RecordingCatalog, ScriptedHandler, Spec
from tests.strategies import HUSH, IMAGE, LANDED_AT, TARGET, urls_with_secrets

from lading import (
    Association,
    Check,
    Context,
    Digest,
    Dispatcher,
    Fingerprint,
    HandlerRefused,
    Landing,
    Location,
    Mismatched,
    NotAssociated,
    Refusal,
    Report,
    State,
    StoreUnavailable,
    SupportsReport,
    Unavailable,
    Unsupported,
    Work,
)
from lading.adapters.memory.associations import MemoryAssociations

Answer = Result[Report, Refusal]
PRINT = Fingerprint(1, 2, 10, 3, 4)
CLONE = Association(TARGET, "pool", IMAGE, Location("pool://gold/noble"), LANDED_AT, identity="clone-1")
FILE = replace(CLONE, identity=None, fingerprint=PRINT)
DIGEST = Digest("sha256", "ab" * 32)


@dataclass
class Reporter:
    """Reports as it is told."""

    answers: Callable[[Work], Any]

    def report(self, work: Work) -> Answer:
        answer: Answer = self.answers(work)
        return answer


class Pool(ScriptedHandler):
    """A handler without optional methods."""

    def __init__(self) -> None:
        super().__init__(Spec("pool", frozenset({"pool"})), [], iter(()))


class ReportingPool(Pool):
    """A handler that reports and verifies as it is told."""

    def __init__(
        self,
        reports: Callable[[Work], Any] = lambda _: Success(Report(State.INTACT)),
        verifies: Callable[[Work], Any] = lambda _: Success(Landing()),
    ) -> None:
        super().__init__()
        self.reports, self.verifies = reports, verifies

    def report(self, work: Work) -> Answer:
        answer: Answer = self.reports(work)
        return answer

    def verify(self, work: Work) -> Result[Landing, Refusal]:
        answer: Result[Landing, Refusal] = self.verifies(work)
        return answer


def found(state: State, **details: str) -> Callable[[Work], Answer]:
    return lambda _: Success(Report(state, details))


def refused(refusal: Refusal) -> Callable[[Work], Result[Any, Refusal]]:
    return lambda _: Failure(refusal)


def raises(_: Work) -> Answer:
    raise OSError("no route to pool")


def dispatcher(*handlers: Pool, recorded: Association = CLONE, files: SupportsReport | None = None) -> Dispatcher:
    store = MemoryAssociations()
    store.put(recorded)
    return Dispatcher(handlers, RecordingCatalog([IMAGE], []), store, files=files)


def test_the_associated_handler_reports_on_its_target() -> None:
    asked: list[Work] = []

    def reports(work: Work) -> Answer:
        asked.append(work)
        return Success(Report(State.DETACHED, {"volume": "1"}))

    caller = Context("u")
    outcome = dispatcher(ReportingPool(reports)).report(f" {TARGET}\n", caller)
    assert outcome == Success(Report(State.DETACHED, {"volume": "1"}))
    assert asked == [Work(TARGET, IMAGE, CLONE.location, caller, CLONE)]


@pytest.mark.parametrize("target", ["/vms/9/disk", "", " "])
def test_a_target_without_an_association_has_no_report(target: str) -> None:
    assert isinstance(dispatcher(ReportingPool()).report(target).failure(), NotAssociated)


def test_a_report_fails_with_the_store() -> None:
    class Broken(MemoryAssociations):
        def get(self, target: str) -> Result[Association | None, StoreUnavailable]:
            return Failure(StoreUnavailable("the disk is full"))

    failure = Dispatcher([], RecordingCatalog([], []), Broken()).report(TARGET).failure()
    assert str(failure) == "the disk is full"


@pytest.mark.parametrize("handlers", [[], [Pool()], [ReportingPool(refused(Unsupported("only clones")))]])
def test_files_report_where_the_handler_cannot(handlers: list[Pool]) -> None:
    files = Reporter(found(State.CHANGED))
    assert dispatcher(*handlers, recorded=FILE, files=files).report(TARGET) == Success(Report(State.CHANGED))


def test_the_handlers_own_report_on_a_file_comes_first() -> None:
    files = Reporter(found(State.CHANGED))
    assert dispatcher(ReportingPool(), recorded=FILE, files=files).report(TARGET) == Success(Report(State.INTACT))


@pytest.mark.parametrize("handlers", [[], [Pool()]])
@pytest.mark.parametrize(("recorded", "files"), [(CLONE, Reporter(found(State.INTACT))), (FILE, None)])
def test_a_state_that_nothing_reports_is_unknown(
    handlers: list[Pool], recorded: Association, files: Reporter | None
) -> None:
    assert dispatcher(*handlers, recorded=recorded, files=files).report(TARGET) == Success(Report(State.UNKNOWN))


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        (refused(Unavailable("no http://u:p@host")), "no http://***@host"),
        (raises, "raised OSError; the debug log has more"),
        (lambda _: None, "answered a NoneType, which is no Report and no refusal"),
        (lambda _: Success("intact"), "answered a str, which is no Report and no refusal"),
    ],
)
def test_a_report_that_fails_is_unknown_with_the_reason(answers: Callable[[Work], Any], why: str) -> None:
    unknown = Success(Report(State.UNKNOWN, {"why": why}))
    assert dispatcher(ReportingPool(answers)).report(TARGET) == unknown
    files = dispatcher(ReportingPool(refused(Unsupported("no"))), recorded=FILE, files=Reporter(answers))
    assert files.report(TARGET) == unknown


@given(urls_with_secrets())
def test_the_details_of_a_report_show_no_secret(url: str) -> None:
    assert HUSH not in str(dispatcher(ReportingPool(found(State.INTACT, parent=url))).report(TARGET))


# What a verification finds.


@given(st.sampled_from(State))
def test_a_changed_target_is_missing_where_its_report_says_so_and_else_changed(state: State) -> None:
    pool = ReportingPool(found(state), refused(Mismatched("its digest differs")))
    failure = dispatcher(pool).verify(TARGET).failure()
    assert isinstance(failure, HandlerRefused)
    assert failure.state is (State.MISSING if state is State.MISSING else State.CHANGED)


@pytest.mark.parametrize("pool", [Pool(), ReportingPool(verifies=refused(Unavailable("the pool is away")))])
def test_a_target_that_cannot_be_verified_has_no_state(pool: Pool) -> None:
    failure = dispatcher(pool).verify(TARGET).failure()
    assert isinstance(failure, HandlerRefused)
    assert failure.state is None


# What is proven of a record of doubtful origin.


def proven(association: Association, *handlers: Pool) -> Association | None:
    """By a Dispatcher whose store must not be read."""

    class Unread(MemoryAssociations):
        def get(self, target: str) -> Any:  # noqa: ANN401 - it is never called
            raise AssertionError

    return Dispatcher(handlers, RecordingCatalog([], []), Unread(), clock=lambda: LANDED_AT).proven(association)


@pytest.mark.parametrize(
    ("association", "landing"),
    [
        (CLONE, Landing(identity="clone-1")),
        (CLONE, Landing(digest=DIGEST, fingerprint=PRINT)),
        (FILE, Landing(fingerprint=PRINT)),
        (FILE, Landing(digest=DIGEST, fingerprint=PRINT._replace(inode=9))),
    ],
)
def test_a_target_with_its_digest_or_its_untouched_file_is_proven(association: Association, landing: Landing) -> None:
    pool = ReportingPool(verifies=lambda _: Success(landing))
    check = Check(State.INTACT, LANDED_AT) if landing.digest else None
    assert proven(association, pool) == replace(landing.recorded_in(association), checked=check)


@pytest.mark.parametrize(
    ("association", "landing"),
    [
        (CLONE, Landing(fingerprint=PRINT)),
        (FILE, Landing()),
        (FILE, Landing(fingerprint=PRINT._replace(mtime_ns=9))),
    ],
)
def test_a_target_without_a_digest_that_was_touched_is_not_proven(association: Association, landing: Landing) -> None:
    assert proven(association, ReportingPool(verifies=lambda _: Success(landing))) is None


@pytest.mark.parametrize("handlers", [[], [Pool()], [ReportingPool(verifies=refused(Mismatched("it is gone")))]])
def test_a_target_that_no_handler_verifies_is_not_proven(handlers: list[Pool]) -> None:
    assert proven(CLONE, *handlers) is None
