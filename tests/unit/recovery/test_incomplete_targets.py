"""A target that a fetch has left incomplete stays in the journal, until something ends that."""

from dataclasses import dataclass, field, replace

import pytest
from returns.result import Failure, Result, Success
from tests.strategies import LANDED_AT, TARGET
from tests.unit.recovery.host import (
    BARE,
    FETCHING,
    PLAIN,
    RECORDED,
    REQUEST,
    WHOLE,
    CarefulPool,
    Host,
    answers,
    occupied,
)

from lading import Association, HandlerRefused, Landing, NotAssociated, Refusal, Unavailable, Work
from lading.domain.handler import PartialData, Report
from lading.domain.recovery import Outcome, Recovered
from lading.ports.association import State

BEGUN = replace(FETCHING, notes={"device": "loop0"})
LEFT = answers(PartialData(incomplete=True))
RESUMABLE = answers(PartialData(5, incomplete=True))


@dataclass
class ReportingPool(CarefulPool):
    """One that reports the state it is told."""

    state: State = State.INCOMPLETE
    reported: list[Work] = field(default_factory=list)

    def report(self, work: Work) -> Result[Report, Refusal]:
        self.reported.append(work)
        return Success(Report(self.state))


@pytest.mark.parametrize(("recovers", "kept"), [(LEFT, 0), (RESUMABLE, 5)])
def test_it_stays_in_the_journal(host: Host, recovers: object, kept: int) -> None:
    pool = CarefulPool(recovers=recovers)  # type: ignore[arg-type]
    (found,) = host.cut_off(BEGUN).dispatcher(pool).recover()
    assert found == Recovered(BEGUN, Outcome.INCOMPLETE, kept=kept)
    assert (found.is_open, found.can_resume) == (True, kept > 0)
    assert host.under_way == [BEGUN]


def test_only_partial_data_that_is_there_can_be_resumed() -> None:
    assert Recovered(BEGUN, Outcome.KEPT, kept=5).can_resume
    assert not Recovered(BEGUN, Outcome.FINISHED, kept=5).can_resume


def test_the_record_of_what_it_held_before_is_removed(host: Host) -> None:
    host.recorded(RECORDED).cut_off(replace(BEGUN, force=True, recorded=RECORDED))
    list(host.dispatcher(CarefulPool(recovers=LEFT)).recover())
    assert host.known == []


def test_a_record_of_another_host_since_stays(host: Host) -> None:
    host.recorded(RECORDED).cut_off(replace(BEGUN, force=True))
    list(host.dispatcher(CarefulPool(recovers=LEFT)).recover())
    assert host.known == [RECORDED]


def test_a_fetch_to_it_ends_that(host: Host) -> None:
    pool = CarefulPool(fetches=answers(WHOLE), recovers=LEFT)
    host.cut_off(BEGUN).dispatcher(pool).fetch(REQUEST).unwrap()
    assert host.under_way == []
    assert [each.target for each in host.known] == [TARGET]


def test_a_refused_fetch_leaves_the_journal_as_the_handler_noted(host: Host) -> None:
    def fetch(work: Work) -> Result[Landing, Refusal]:
        host.journal.note(work.target, {"device": "loop0", "flushed": 7})
        return Failure(Unavailable("it broke off"))

    host.cut_off(BEGUN).dispatcher(CarefulPool(fetches=fetch, recovers=LEFT)).fetch(REQUEST)
    assert host.under_way == [replace(BEGUN, notes={"device": "loop0", "flushed": 7})]


@pytest.mark.parametrize("wipe", [False, True])
def test_its_removal_ends_that(host: Host, *, wipe: bool) -> None:
    pool = CarefulPool(recovers=LEFT)
    removed = host.cut_off(BEGUN).dispatcher(pool).remove(TARGET, wipe=wipe).unwrap()
    assert removed == Association(TARGET, "pool", BARE, PLAIN, LANDED_AT)
    assert host.under_way == []
    assert [(work.wipe, work.intent, work.association) for verb, work in pool.asked if verb == "remove"] == [
        (wipe, None, None)
    ]


def test_a_refused_removal_leaves_it_incomplete(host: Host) -> None:
    pool = CarefulPool(recovers=LEFT, removes=occupied)
    failure = host.cut_off(BEGUN).dispatcher(pool).remove(TARGET).failure()
    assert isinstance(failure, HandlerRefused)
    assert host.under_way == [BEGUN]


def test_nothing_else_can_be_done_with_it(host: Host) -> None:
    dispatcher = host.cut_off(BEGUN).dispatcher(CarefulPool(recovers=LEFT))
    assert isinstance(dispatcher.verify(TARGET).failure(), NotAssociated)
    assert isinstance(dispatcher.move(TARGET, "/vms/2").failure(), NotAssociated)
    assert host.under_way == [BEGUN]


def test_it_can_be_given_up(host: Host) -> None:
    pool = CarefulPool(recovers=LEFT)
    (found,) = host.cut_off(BEGUN).dispatcher(pool).recover(TARGET, keep=False, give_up=True)
    assert found.outcome is Outcome.ABANDONED
    assert host.under_way == []


def test_a_report_tells_of_it_though_nothing_is_recorded(host: Host) -> None:
    pool = ReportingPool()
    assert host.cut_off(BEGUN).dispatcher(pool).report(TARGET).unwrap().state is State.INCOMPLETE
    assert [(work.association, work.intent) for work in pool.reported] == [(None, BEGUN)]


def test_a_report_on_a_record_tells_the_handler_of_the_fetch(host: Host) -> None:
    pool = ReportingPool()
    host.recorded(RECORDED).cut_off(BEGUN).dispatcher(pool).report(TARGET).unwrap()
    assert [(work.association, work.intent) for work in pool.reported] == [(RECORDED, BEGUN)]


def test_partial_data_elsewhere_makes_no_report(host: Host) -> None:
    dispatcher = host.cut_off(BEGUN).dispatcher(ReportingPool(state=State.UNKNOWN))
    assert isinstance(dispatcher.report(TARGET).failure(), NotAssociated)
