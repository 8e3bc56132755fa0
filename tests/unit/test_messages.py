"""Messages of failures to a person: few lines, the decisive reason first."""

import pytest
from tests.strategies import TARGET

from lading import (
    AttemptResult,
    Forbidden,
    HandlerRefused,
    ImageNotFound,
    LadingError,
    Location,
    Mismatched,
    NoHandlerAvailable,
    TargetFailed,
    TargetFull,
    TargetInUse,
    TargetUnresolved,
    Unavailable,
    Unconfigured,
    Unsupported,
)
from lading.adapters.cli.exits import Exit, exit_code
from lading.adapters.cli.messages import message_lines
from lading.ports.journal import Verb

NOBLE = Location("file:///srv/noble.img")
WRONG = Mismatched("digest mismatch", expected="sha512:" + "6" * 128, found="sha512:" + "1" * 128)


def refused(*attempts: AttemptResult, target: str = TARGET) -> NoHandlerAvailable:
    return NoHandlerAvailable("noble", target, attempts)


def test_a_wrong_digest_is_told_in_four_lines() -> None:
    failure = refused(AttemptResult("rbd", NOBLE, Unsupported("no")), AttemptResult("file", NOBLE, WRONG))
    assert message_lines(failure, ["lading catalog add --replace /srv/noble.img", "more"]) == [
        f"digest mismatch, nothing was written to {TARGET}",
        "file:///srv/noble.img (handler file)",
        "expected sha512:666666666666…, found sha512:111111111111…",
        "lading catalog add --replace /srv/noble.img",
    ]
    assert "6" * 128 in message_lines(failure, full=True)[2]


def test_other_attempts_are_mentioned_where_they_failed_for_other_reasons() -> None:
    away = AttemptResult("http", Location("http://a/noble"), Unavailable("HTTP 404 Not Found"))
    unset = AttemptResult("file", NOBLE, Unconfigured("no folder is allowed"))
    more = "; more attempts failed, -v shows them"
    assert message_lines(refused(unset, away))[1] == f"http://a/noble (handler http){more}"
    assert more not in message_lines(refused(away, away))[1]


def test_a_refusal_about_the_target_names_no_location() -> None:
    full = TargetFull(f"too little free space for {TARGET}", expected="2.0 MiB", found="1.0 MiB", advice="free some")
    failure = refused(AttemptResult("http", NOBLE, Unavailable("no")), AttemptResult("file", NOBLE, full))
    assert message_lines(failure) == [full.reason, "expected 2.0 MiB, found 1.0 MiB", "free some"]


def test_partial_data_is_told_with_the_way_to_resume_it() -> None:
    broken = AttemptResult("http", NOBLE, Unavailable("the connection broke off at byte 5", kept=3 << 20))
    assert message_lines(refused(broken))[2] == (
        f"3.0 MiB are kept: repeat the command to resume, or discard them: lading recover --discard {TARGET}"
    )


@pytest.mark.parametrize("target", ["rbd:vms/1", "/dev/vg0/vm1", ""])
def test_what_other_targets_have_is_not_claimed(target: str) -> None:
    assert message_lines(refused(AttemptResult("rbd", None, WRONG), target=target))[0] == "digest mismatch"


def test_what_follows_a_semicolon_is_advice() -> None:
    """As in the reasons of other packages' handlers."""
    barred = AttemptResult("http", Location("http://a/noble"), Forbidden("a is not allowed; allowed_hosts lists hosts"))
    assert message_lines(refused(barred)) == [
        f"a is not allowed, nothing was written to {TARGET}",
        "http://a/noble (handler http)",
        "allowed_hosts lists hosts",
    ]


def test_an_image_without_attempts_has_one_line() -> None:
    assert len(message_lines(refused())) == 1


def test_an_unresolved_operation_is_told_with_its_reason_and_the_command() -> None:
    failure = TargetUnresolved(TARGET, Verb.FETCH, None, "no quorum")
    lines = message_lines(failure, ["lading recover --discard 1"])
    assert lines == [str(failure).removesuffix(": no quorum"), "no quorum", "lading recover --discard 1"]


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (ImageNotFound("noble", "Glance"), Exit.IMAGE_NOT_FOUND),
        (refused(), Exit.NO_HANDLER),
        (refused(AttemptResult("file", NOBLE, Forbidden("HTTP 403"))), Exit.NO_HANDLER),
        (refused(AttemptResult("file", NOBLE, WRONG)), Exit.BAD_IMAGE),
        (refused(AttemptResult("file", NOBLE, TargetFull("full"))), Exit.NOT_WRITABLE),
        (refused(AttemptResult("file", NOBLE, TargetInUse("in use"))), Exit.TARGET_CONFLICT),
        (HandlerRefused(TARGET, "file", TargetFull("full")), Exit.NOT_WRITABLE),
        (HandlerRefused(TARGET, "file", TargetFailed("is its file system not mounted?")), Exit.FAILED),
        (HandlerRefused(TARGET, "file", Unavailable("away")), Exit.FAILED),
    ],
)
def test_the_exit_code_is_that_of_the_decisive_refusal(failure: LadingError, code: Exit) -> None:
    assert exit_code(failure) is code
