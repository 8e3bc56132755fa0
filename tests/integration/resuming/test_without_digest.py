"""Without a digest, partial data is resumed only on the word of the same server."""

import os
from dataclasses import replace
from typing import Any

import pytest
from tests.faulty_server import Reply, redirect
from tests.integration.resuming.host import (
    BREAKING_OFF,
    DATA,
    GONE,
    IMAGE,
    KEPT,
    ON_FROM_THERE,
    PROMISING_NOTHING,
    WHOLE,
    Host,
)

from lading import Image, NoHandlerAvailable, Unavailable
from lading.adapters.destinations.file import partial
from lading.adapters.destinations.file.destination import Rules


@pytest.fixture
def unpromised(host: Host) -> Host:
    host.image = PROMISING_NOTHING
    host.cut_off()
    return host


def test_without_a_digest_the_same_etag_resumes(unpromised: Host) -> None:
    unpromised.assert_landed(resumed=KEPT)
    assert unpromised.asked() == [ON_FROM_THERE]


def test_without_a_digest_another_etag_starts_over(unpromised: Host) -> None:
    unpromised.server.answer("/noble", Reply(DATA, etag='"2"'))
    unpromised.assert_landed(resumed=0)


def test_without_a_digest_a_missing_etag_starts_over(unpromised: Host) -> None:
    unpromised.server.answer("/noble", Reply(DATA, etag=None))
    unpromised.assert_landed(resumed=0)


def test_without_a_digest_data_behind_a_redirect_is_not_kept(host: Host) -> None:
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


def test_with_a_digest_another_location_resumes(host: Host) -> None:
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


def test_without_a_digest_an_unknown_start_of_the_host_starts_over(
    unpromised: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without /proc, say."""
    [intent] = unpromised.journal.list()
    part: Any = intent.notes["part"]
    unpromised.journal.note(intent.target, {**intent.notes, "part": {**part, "boot": None}}).unwrap()
    monkeypatch.setattr(partial, "boot_id", lambda: None)
    unpromised.assert_landed(resumed=0)
    assert unpromised.asked() == [None]


def test_with_a_digest_another_start_of_the_host_resumes(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.cut_off()
    monkeypatch.setattr(partial, "boot_id", lambda: "another")
    host.assert_landed(resumed=KEPT)


@pytest.mark.parametrize("etag", ['W/"1"', None], ids=["weak", "date"])
@pytest.mark.parametrize("image", [PROMISING_NOTHING, IMAGE], ids=["no digest", "digest"])
def test_without_a_digest_a_weak_etag_keeps_nothing(host: Host, image: Image, etag: str | None) -> None:
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


def test_without_verification_a_digest_does_not_allow_a_resume(host: Host) -> None:
    host.rules = Rules(verify=False)
    host.cut_off()
    host.server.answer("/noble", Reply(DATA, etag='"2"'))
    host.assert_landed(resumed=0)


def test_without_a_digest_data_of_the_catalog_starts_over(host: Host) -> None:
    """The catalog says nothing of the whole."""
    host.image, host.handler = PROMISING_NOTHING, "download"
    host.server.answer("/noble", BREAKING_OFF, GONE)
    host.fetch().failure()
    assert os.listdir(host.folder) == []
    host.server.answer("/noble", WHOLE)
    host.assert_landed(resumed=0)
