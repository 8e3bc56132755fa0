"""Failures name the thing, survive pickling, and say what else they rule out."""

import copy
import pickle
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.strategies import TARGET

from lading import (
    AmbiguousDigest,
    AmbiguousImage,
    AttemptResult,
    CatalogUnavailable,
    Faulted,
    HandlerNotLoaded,
    HandlerRefused,
    ImageNotActive,
    ImageNotFound,
    ImageUnproven,
    ImageWithoutData,
    LadingError,
    Location,
    LockLost,
    Mismatched,
    NoHandlerAvailable,
    NoImageData,
    NotAssociated,
    NotHeld,
    Refusal,
    Scope,
    SettingsError,
    State,
    StoreUnavailable,
    TargetFailed,
    TargetFull,
    TargetInUse,
    TargetOccupied,
    TargetUnresolved,
    Unavailable,
    Unconfigured,
    Unsettled,
    Unsupported,
)
from lading.ports.journal import Verb

FORBIDDEN = AttemptResult("download", Location("http://user:word@host/noble"), Unavailable("HTTP 403"))
OUTSIDE = AttemptResult("file", None, Unsupported("/img is outside the allowed folders"))
FULL = AttemptResult("download", None, TargetFailed("the disk is full"))

FAILURES = [
    (ImageNotFound("noble", "Glance"), "no image 'noble' in Glance"),
    (ImageNotFound("noble", "Glance", "image 2 is shared"), "no image 'noble' in Glance; image 2 is shared"),
    (HandlerRefused(TARGET, "file", Mismatched("it is gone"), State.MISSING), f"{TARGET}: file: it is gone"),
    (AmbiguousImage("noble", ("1", "2")), "2 images match 'noble', name one by its id: 1, 2"),
    (ImageNotActive("1", "queued"), "image 1 is queued; only an active image can be fetched"),
    (
        ImageWithoutData("1", ("volume snapshot 8f", "volume 9a")),
        (
            "image 1 has no data of its own: it is the snapshot of a server that boots from a volume:"
            " found its data in volume snapshot 8f, volume 9a; make an image of that:"
            " openstack volume create --snapshot 8f VOLUME; openstack image create --volume VOLUME IMAGE"
        ),
    ),
    (
        ImageWithoutData("1", ()),
        (
            "image 1 has no data of its own: it is the snapshot of a server that boots from a volume:"
            " found its data in volumes that its block_device_mapping should name; make an image of that:"
            " openstack volume create --snapshot SNAPSHOT VOLUME; openstack image create --volume VOLUME IMAGE"
        ),
    ),
    (CatalogUnavailable("Glance: HTTP 503"), "Glance: HTTP 503"),
    (ImageUnproven("it is not signed"), "it is not signed"),
    (NoImageData("its catalog gives no data"), "its catalog gives no data"),
    (StoreUnavailable("associations.db: disk I/O error"), "associations.db: disk I/O error"),
    (LockLost("the lock is lost"), "the lock is lost"),
    (NotAssociated(TARGET), f"nothing is recorded for {TARGET}"),
    (NotAssociated(""), "nothing is recorded for a blank target"),
    (NotHeld("noble"), "no recorded target holds the image 'noble'"),
    (
        AmbiguousDigest("sha512:ab", ("sha512:ab1", "sha512:ab2")),
        "several digests begin with sha512:ab, give more of its digits: sha512:ab1, sha512:ab2, …",
    ),
    (
        HandlerNotLoaded(TARGET, "rbd", ("file", "download")),
        f"{TARGET} was put there by the handler 'rbd', which is not loaded (loaded: file, download)",
    ),
    (
        HandlerNotLoaded(TARGET, "rbd", ()),
        f"{TARGET} was put there by the handler 'rbd', which is not loaded (loaded: none)",
    ),
    (HandlerRefused(TARGET, "rbd", Unavailable("no quorum")), f"{TARGET}: rbd: no quorum"),
    (
        TargetUnresolved(TARGET, Verb.FETCH, None, "no quorum"),
        f"nothing was begun: the interrupted fetch of {TARGET} is unresolved: no quorum",
    ),
    (
        TargetUnresolved(TARGET, Verb.MOVE, "rbd:vms/2", "no quorum"),
        f"nothing was begun: the interrupted move of {TARGET} to rbd:vms/2 is unresolved: no quorum",
    ),
    (
        NoHandlerAvailable("noble", TARGET, (OUTSIDE, FORBIDDEN)),
        (
            f"no handler took image noble for {TARGET}: file: /img is outside the allowed folders;"
            " download http://***@host/noble: HTTP 403"
        ),
    ),
    (
        NoHandlerAvailable("noble", TARGET, ()),
        f"no handler took image noble for {TARGET}: none takes any of its locations, none works without a location",
    ),
    (
        NoHandlerAvailable(None, TARGET, (FULL,)),
        f"no handler took a request that names no image for {TARGET}: download: the disk is full",
    ),
    (
        SettingsError("lading.toml: landing.mode: expected three octal digits"),
        "lading.toml: landing.mode: expected three octal digits",
    ),
]


@pytest.mark.parametrize(("failure", "text"), FAILURES)
def test_a_failure_names_the_thing(failure: LadingError, text: str) -> None:
    assert str(failure) == text


@pytest.mark.parametrize("failure", [failure for failure, _ in FAILURES])
def test_a_failure_survives_pickling_and_copying(failure: LadingError) -> None:
    pickled: LadingError = pickle.loads(pickle.dumps(failure))  # noqa: S301 - its own pickle
    for again in (pickled, copy.copy(failure), copy.deepcopy(failure)):
        assert (type(again), again.args, vars(again)) == (type(failure), failure.args, vars(failure))
        assert str(again) == str(failure)


def test_a_failure_made_with_keywords_survives_pickling_too() -> None:
    failure = ImageNotFound(reference="noble", catalog="Glance")
    assert str(pickle.loads(pickle.dumps(failure))) == str(failure)  # noqa: S301 - its own pickle


@pytest.mark.parametrize("failure", [failure for failure, _ in FAILURES])
def test_a_failure_can_be_raised_and_then_has_its_traceback(failure: LadingError) -> None:
    with pytest.raises(LadingError) as raised:
        raise failure
    assert raised.value is failure
    assert failure.__traceback__ is not None


def _leaves(kind: type[LadingError]) -> Iterator[type[LadingError]]:
    """All subclasses but the private bases."""
    for each in kind.__subclasses__():
        if not each.__name__.startswith("_"):
            yield each
        yield from _leaves(each)


def test_every_failure_is_tried_here() -> None:
    floors = {kind for kind in _leaves(LadingError) if not kind.__module__.startswith("lading.adapters")}
    assert {type(failure) for failure, _ in FAILURES} == floors


def test_failures_are_equal_only_to_themselves() -> None:
    assert NotAssociated(TARGET) != NotAssociated(TARGET)


def test_of_a_handler_that_goes_without_a_location_only_that_turn_is_told() -> None:
    declined = AttemptResult("file", Location("rbd://1"), Unsupported("needs no location"))
    failure = NoHandlerAvailable("noble", TARGET, (declined, FORBIDDEN, OUTSIDE))
    assert str(failure) == str(NoHandlerAvailable("noble", TARGET, (FORBIDDEN, OUTSIDE)))
    assert failure.attempts == (declined, FORBIDDEN, OUTSIDE)


# Refusals.


@pytest.mark.parametrize(
    ("refusal", "scope"),
    [
        (Unsupported("no"), Scope.LOCATION),
        (Unavailable("no"), Scope.LOCATION),
        (Mismatched("no"), Scope.LOCATION),
        (Unsettled(), Scope.LOCATION),
        (Unconfigured("no"), Scope.HANDLER),
        (Faulted("no"), Scope.HANDLER),
        (TargetOccupied("no"), Scope.REQUEST),
        (TargetFailed("no"), Scope.REQUEST),
        (TargetInUse("no"), Scope.REQUEST),
    ],
)
def test_a_refusal_rules_out_what_its_scope_says(refusal: Refusal, scope: Scope) -> None:
    assert refusal.scope is scope


def test_what_was_tried_is_told_with_its_reason_or_as_done() -> None:
    assert [str(OUTSIDE), str(AttemptResult("file", Location("file:///noble")))] == [
        "file: /img is outside the allowed folders",
        "file file:///noble: done",
    ]


# What was decisive.


WRONG = AttemptResult("http", Location("http://host/noble"), Mismatched("digest mismatch"))
UNREAD = AttemptResult("rbd", None, Unconfigured("no keyring"))


@pytest.mark.parametrize(
    ("attempts", "decisive"),
    [
        ((), None),
        ((AttemptResult("file", None),), None),
        ((OUTSIDE, FORBIDDEN), FORBIDDEN),
        ((FORBIDDEN, FULL), FULL),
        ((FORBIDDEN, WRONG, UNREAD), WRONG),
        ((UNREAD, FORBIDDEN), FORBIDDEN),
        ((OUTSIDE, UNREAD), UNREAD),
        ((WRONG, replace(WRONG, handler="s3")), WRONG),
    ],
)
def test_the_decisive_attempt_stopped_the_request_or_came_closest(
    attempts: tuple[AttemptResult, ...], decisive: AttemptResult | None
) -> None:
    failure = NoHandlerAvailable("noble", TARGET, attempts)
    assert failure.decisive_attempt == decisive
    assert failure.decisive == (decisive.refusal if decisive else None)


# Explanations.


def test_an_explanation_of_a_fetch_is_the_decisive_refusal_with_its_place() -> None:
    wrong = Mismatched("digest mismatch", expected="md5:a", found="md5:b", advice="fetch it again")
    failure = NoHandlerAvailable("noble", TARGET, (AttemptResult("http", Location("http://u:p@h/x"), wrong), OUTSIDE))
    explained = failure.explanation
    assert (explained.reason, explained.place) == ("digest mismatch", "http://***@h/x (handler http)")
    assert (explained.difference, explained.advice) == ("expected md5:a, found md5:b", "fetch it again")


def test_an_explanation_keeps_a_place_that_the_refusal_names() -> None:
    refused = AttemptResult("rbd", None, Mismatched("size mismatch", place="images/noble"))
    assert NoHandlerAvailable("noble", TARGET, (refused,)).explanation.place == "(handler rbd): images/noble"


def test_an_explanation_about_the_target_names_no_location() -> None:
    full = AttemptResult("http", Location("http://h/x"), TargetFull("too little space"))
    assert NoHandlerAvailable("noble", TARGET, (full,)).explanation == full.refusal


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("no quorum", f"{TARGET}: no quorum"),
        (f"{TARGET} is in use", f"{TARGET} is in use"),
        ("the folder /vms/2 does not exist", "the folder /vms/2 does not exist"),
    ],
)
def test_an_explanation_names_the_target_once(reason: str, told: str) -> None:
    assert HandlerRefused(TARGET, "rbd", Unavailable(reason)).explanation.reason == told


@pytest.mark.parametrize("failure", [failure for failure, _ in FAILURES])
def test_every_failure_has_an_explanation_and_a_code(failure: LadingError) -> None:
    assert failure.explanation.reason
    assert re.fullmatch("[a-z]+(_[a-z]+)*", failure.code)


def test_an_advice_follows_the_reason_on_one_line() -> None:
    assert str(CatalogUnavailable("HTTP 401", place="gold", advice="sign in")) == "gold: HTTP 401; sign in"


def test_of_thousands_of_attempts_a_message_tells_the_first() -> None:
    attempts = tuple(
        AttemptResult("http", Location(f"http://host/{number}"), Unavailable("gone")) for number in range(4000)
    )
    text = str(NoHandlerAvailable("noble", TARGET, attempts))
    assert text.endswith("http http://host/19: gone; and 3980 more")
