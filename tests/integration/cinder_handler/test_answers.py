"""What Cinder answers, and volumes in use by others."""

import logging
from dataclasses import replace

import pytest
from keystoneauth1.adapter import Adapter
from keystoneauth1.session import Session
from keystoneauth1.token_endpoint import Token
from tests.faulty_server import FaultyServer, redirect
from tests.integration.cinder_handler.stand_in import GIBIBYTE, StandIn, recorded, volume

from lading import Scope, Work
from lading.adapters.handlers.cinder.api import Cinder
from lading.adapters.handlers.cinder.handler import CinderHandler
from lading.adapters.stream.errors import Refused
from lading.domain.refusals import Mismatched, TargetOccupied, Unavailable
from lading.sdk.contracts import IMAGE


@pytest.mark.parametrize("status", ["error", "awaiting-transfer", "deleting"])
def test_a_volume_in_the_wrong_state_is_refused_with_its_state(
    cinder: StandIn, handler: CinderHandler, work: Work, status: str
) -> None:
    cinder.volumes[volume(work)]["status"] = status
    refused = handler.fetch(work).failure()
    assert isinstance(refused, Unavailable)
    assert f"is {status}; expected available" in str(refused)


def test_a_volume_that_stays_busy_is_given_up_in_time(cinder: StandIn, handler: CinderHandler, work: Work) -> None:
    cinder.volumes[volume(work)]["status"] = "attaching"
    assert "still attaching after 2 s" in str(handler.fetch(work).failure())


def test_a_clone_that_fails_is_removed(cinder: StandIn, handler: CinderHandler, cloning: Work) -> None:
    put = cinder.put
    cinder.put = lambda data, **fields: put(data, **{**fields, "status": "error"})  # type: ignore[method-assign]
    assert "is error" in str(handler.fetch(cloning).failure())
    assert list(cinder.volumes) == [volume(cloning)]


@pytest.mark.parametrize(
    ("instead", "told"),
    [
        ((401, {}), "does not accept the credentials"),
        ((403, {}), "may not do that"),
        ((500, {"computeFault": {"message": "token=hunter2"}}), "HTTP 500"),
        ((200, b"<html>"), "is it a Cinder?"),
        ((200, {}), "is it a Cinder?"),
        ((200, {"volume": {"id": 1}}), "is it a Cinder?"),
        ((200, {"volume": "x"}), "is it a Cinder?"),
    ],
)
def test_useless_answers_are_refusals(
    cinder: StandIn, handler: CinderHandler, work: Work, instead: tuple[int, object], told: str
) -> None:
    cinder.instead["GET", "/volumes/.*"] = instead
    refused = handler.fetch(work).failure()
    assert told in str(refused)
    assert refused.scope is Scope.LOCATION
    assert "hunter2" not in str(refused)


@pytest.mark.parametrize("verb", [("PUT", "/attachments/.*"), ("POST", "/attachments/.*")])
def test_no_volume_stays_attached_after_any_failure(
    cinder: StandIn, handler: CinderHandler, work: Work, cloning: Work, verb: tuple[str, str]
) -> None:
    cinder.instead[verb] = (500, {})
    for each in (work, cloning):
        assert "HTTP 500" in str(handler.fetch(each).failure())
    assert (list(cinder.volumes), cinder.attachments) == ([volume(work)], {})


def test_a_volume_that_cannot_be_detached_is_named_in_a_warning(
    cinder: StandIn, handler: CinderHandler, work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    cinder.instead["DELETE", "/attachments/.*"] = (500, {})
    with caplog.at_level(logging.WARNING):
        assert handler.fetch(work).unwrap().verified
    assert f"volume {volume(work)} may stay attached to this host" in caplog.text


def test_a_volume_smaller_than_its_image_is_a_mismatch(handler: CinderHandler, work: Work, cloning: Work) -> None:
    large = replace(IMAGE, size=GIBIBYTE + 1)
    for each in (work, cloning):
        assert isinstance(handler.fetch(replace(each, image=large)).failure(), Mismatched)


def test_without_a_size_in_the_catalog_the_one_of_glance_counts(
    cinder: StandIn, handler: CinderHandler, work: Work
) -> None:
    cinder.volumes[volume(work)]["metadata"] = {"image_size": "1000"}
    image = replace(IMAGE, size=0, digest=None)
    assert handler.fetch(replace(work, image=image)).unwrap().size == 1000


def test_no_token_is_sent_where_a_redirect_leads() -> None:
    with FaultyServer() as server, FaultyServer() as other:
        server.answer("/volumes/1", redirect(other.url("/volumes/1"), 307))
        with pytest.raises(Refused, match="HTTP 307"):
            Cinder(lambda: Adapter(Session(Token(server.url(""), "secret")), "block-storage"), 5).known("1")
        assert other.requests == []


def test_all_pages_of_a_list_are_read(cinder: StandIn, handler: CinderHandler, cloning: Work) -> None:
    works = [recorded(handler, replace(cloning, target=f"cinder:vm-{number}")) for number in range(3)]
    cinder.page = 1
    cinder.asked.clear()
    handler.prepare([each.association for each in works if each.association])
    assert cinder.asked == [("GET", "/volumes/detail")] * 3


TAKEN = {"attachment_id": "a", "device": "/dev/vdb", "host_name": None, "server_id": "vm"}


def test_a_volume_that_can_be_shared_is_attached_beside_others(
    cinder: StandIn, handler: CinderHandler, work: Work
) -> None:
    cinder.volumes[volume(work)].update(status="in-use", multiattach=True, attachments=[TAKEN])
    assert handler.fetch(work).unwrap().verified
    assert cinder.volumes[volume(work)]["attachments"] == [TAKEN]
    assert ("POST", "/volumes") not in cinder.asked


def test_a_volume_in_use_without_a_clone_is_refused_with_its_user(
    cinder: StandIn, handler: CinderHandler, work: Work
) -> None:
    cinder.volumes[volume(work)].update(status="in-use", attachments=[TAKEN])
    cinder.instead["POST", "/volumes"] = (500, {})
    refused = handler.fetch(work).failure()
    assert isinstance(refused, Unavailable)
    assert f"volume {volume(work)} is in-use, attached to server vm, and cannot be cloned" in str(refused)


def test_a_volume_released_meanwhile_is_attached(
    cinder: StandIn, handler: CinderHandler, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, late = cinder.answer, ["once"]

    def answer_late(method: str, target: str, body: object) -> tuple[int, object]:
        if late and (method, target) == ("POST", "/attachments"):
            late.clear()
            return 400, {}
        return answer(method, target, body)

    monkeypatch.setattr(cinder, "answer", answer_late)
    assert handler.fetch(work).unwrap().verified
    assert ("POST", "/volumes") not in cinder.asked


@pytest.mark.parametrize("status", ["reserved", "in-use", "uploading"])
def test_force_does_not_replace_a_volume_in_use(
    cinder: StandIn, handler: CinderHandler, cloning: Work, status: str
) -> None:
    other = cinder.put(b"precious", name="vm-1", status=status)
    refused = handler.fetch(replace(cloning, force=True)).failure()
    assert isinstance(refused, TargetOccupied)
    assert refused.reason == f"cinder:vm-1 is {status}, and cannot be replaced"
    assert set(cinder.volumes) == {volume(cloning), other}
