"""Handlers with bugs, and what is shown of their words."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from returns.result import Failure, Result, Success
from tests.strategies import TARGET
from tests.unit.dispatcher.pool import NOBLE, PLAIN, RECORDED, REQUEST, Pool, dispatcher, raises, store

from lading import (
    AttemptResult,
    Faulted,
    FetchRequest,
    HandlerRefused,
    Landing,
    NoHandlerAvailable,
    Refusal,
    StoreUnavailable,
    Unavailable,
    Work,
)


def answers_text(*_: object) -> Any:  # noqa: ANN401 - the bug that is meant
    return "done"


# Handlers with bugs.


def test_after_a_handler_that_raises_the_next_is_called() -> None:
    staged = dispatcher(Pool("buggy", fetches=raises), Pool()).fetch(REQUEST).unwrap()
    assert staged.attempts == (
        AttemptResult("buggy", PLAIN, Faulted("raised OSError; the debug log has more")),
        AttemptResult("pool", PLAIN),
    )


def test_a_handler_that_raises_without_a_location_is_faulted() -> None:
    failure = dispatcher(Pool(schemes=frozenset(), fetches=raises)).fetch(FetchRequest(target=TARGET)).failure()
    assert isinstance(failure, NoHandlerAvailable)
    assert failure.attempts == (AttemptResult("pool", None, Faulted("raised OSError; the debug log has more")),)


def test_the_debug_log_has_the_traceback_of_a_handlers_error(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "lading"):
        dispatcher(Pool("buggy", fetches=raises)).fetch(REQUEST)
    record = caplog.records[0]
    assert (record.levelname, record.getMessage()) == ("DEBUG", f"{TARGET}: handler buggy raised")
    assert record.exc_info is not None


def test_after_a_handler_that_answers_no_result_the_next_is_called() -> None:
    staged = dispatcher(Pool("buggy", fetches=answers_text), Pool()).fetch(REQUEST).unwrap()
    assert [type(each.refusal) for each in staged.attempts] == [Faulted, type(None)]
    assert "answered a str, which is no Landing" in str(staged.attempts[0])


@pytest.mark.parametrize("answer", [Success(None), Success("x"), Failure("x"), Failure(None)])
def test_a_handler_whose_result_holds_the_wrong_type_is_faulted(answer: Result[Any, Any]) -> None:
    staged = dispatcher(Pool("buggy", fetches=lambda _: answer), Pool()).fetch(REQUEST).unwrap()
    assert [type(each.refusal) for each in staged.attempts] == [Faulted, type(None)]
    pool, associations = Pool(moves=lambda _, __: answer, removes=lambda _: answer), store(RECORDED)
    asking = dispatcher(pool, associations=associations)
    assert isinstance(asking.move(TARGET, "/vms/2/disk").failure(), HandlerRefused)
    if answer != Success(None):
        assert "no refusal" in str(asking.remove(TARGET).failure())
    assert associations.get(TARGET) == Success(RECORDED)


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError


def test_an_exception_that_cannot_be_shown_is_a_fault_too() -> None:
    def raises(_: Work) -> Result[Landing, Refusal]:
        raise Unprintable

    assert "raised Unprintable" in str(dispatcher(Pool(fetches=raises)).fetch(REQUEST).failure())


@pytest.mark.parametrize("bug", [raises, answers_text])
def test_a_faulty_handler_refuses_to_remove_and_stays_associated(bug: Callable[..., Any]) -> None:
    associations = store(RECORDED)
    buggy = dispatcher(Pool(removes=bug, moves=bug), associations=associations)
    outcomes = [buggy.remove(TARGET).failure(), buggy.move(TARGET, "/vms/2/disk").failure()]
    assert [isinstance(each, HandlerRefused) and type(each.refusal) for each in outcomes] == [Faulted, Faulted]
    assert list(associations.list()) == [RECORDED]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_is_no_fault_of_the_handler(interrupt: type[BaseException]) -> None:
    def interrupted(_: Work) -> Result[Landing, Refusal]:
        raise interrupt

    with pytest.raises(interrupt):
        dispatcher(Pool(fetches=interrupted), Pool("next")).fetch(REQUEST)


# Catalogs with bugs.


def test_a_failure_that_cannot_be_shown_is_told_by_its_type() -> None:
    class Mute(StoreUnavailable):
        def __str__(self) -> str:
            raise ValueError

    def raises(_: Work) -> Result[Landing, Refusal]:
        raise Mute("s3cret")

    assert "pool pool://gold/noble: raised Mute; the debug log has more" in str(
        dispatcher(Pool(fetches=raises)).fetch(REQUEST).failure()
    )


def test_the_reason_of_a_refusal_shows_no_credentials() -> None:
    def refuses(_: Work) -> Result[Landing, Refusal]:
        return Failure(Unavailable("http://u:p@host/a?sig=b: HTTP 403", kept=3))

    refused = dispatcher(Pool(fetches=refuses)).fetch(REQUEST).failure()
    assert isinstance(refused, NoHandlerAvailable)
    assert refused.attempts[0].refusal == Unavailable("http://***@host/a?***: HTTP 403", kept=3)


def test_recorded_properties_of_an_image_have_no_credentials() -> None:
    associations = store()
    image = replace(NOBLE, properties={"copy_from": "http://u:p@host/a", "hw_disk_bus": "virtio"})
    dispatcher(Pool(), image=image, associations=associations).fetch(REQUEST).unwrap()
    recorded = associations.get(TARGET).unwrap()
    assert recorded is not None
    assert recorded.image is not None
    assert recorded.image.properties == {"copy_from": "http://***@host/a", "hw_disk_bus": "virtio"}
