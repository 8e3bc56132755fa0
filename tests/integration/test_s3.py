"""The s3 handler against a real gateway of Ceph's."""

import hashlib
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from returns.result import Result, Success
from tests.integration.services.fixtures import StartRgw
from tests.integration.services.rgw import KEY, Rgw, S3Key

from lading import Association, Digest, Image, Landing, Location, Mismatched, Refusal, Unavailable, Work
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.s3 import S3Handler, S3HandlerSettings
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.web import remote

DATA = os.urandom((13 << 20) + 5)
IMAGE = Image("id", size=len(DATA), disk_format="raw", digest=Digest("sha512", hashlib.sha512(DATA).hexdigest()))


@pytest.fixture
def bucket(rgw: Rgw) -> str:
    """With the image as `noble`."""
    name = rgw.bucket(f"s3-{uuid.uuid4()}")
    rgw.put(name, "noble", DATA)
    return name


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    """Nothing but what lands there is left."""
    yield tmp_path / "vm"
    assert set(os.listdir(tmp_path)) <= {"vm", "other"}


def settings(rgw: Rgw, key: S3Key | None = KEY, **options: float) -> S3HandlerSettings:
    known = S3HandlerSettings(endpoint=rgw.url, connect_seconds=10, stall_seconds=10, first_byte_seconds=10)
    if key is not None:
        known = replace(known, access_key=key.access, secret_key=key.secret)
    return replace(known, **options)  # type: ignore[arg-type]


def handler(settings: S3HandlerSettings) -> S3Handler:
    return S3Handler(settings, FileDestination(MemoryVerifiedFiles()), first_wait=0.01)


def fetch(settings: S3HandlerSettings, target: Path, *urls: str, image: Image = IMAGE) -> Result[Landing, Refusal]:
    locations = [Location(url) for url in urls]
    return handler(settings).fetch(Work(str(target), replace(image, locations=locations), locations[0]))


def test_it_is_fetched_moved_removed_and_fetched_again(rgw: Rgw, bucket: str, target: Path) -> None:
    carrier, location = handler(settings(rgw)), Location(rgw.s3_location(bucket, "noble"))
    work = Work(str(target), IMAGE, location)
    landing = carrier.fetch(work).unwrap()
    assert (landing.verified, target.read_bytes()) == (True, DATA)
    recorded = landing.recorded_in(Association(str(target), "s3", IMAGE, location, datetime.now(UTC)))
    moved = carrier.move(replace(work, association=recorded), str(target.with_name("other"))).unwrap()
    assert os.listdir(target.parent) == ["other"]
    there = replace(work, target=str(target.with_name("other")), association=moved.recorded_in(recorded))
    assert carrier.verify(there).unwrap().digest == IMAGE.digest
    assert carrier.remove(there) == Success(None)
    assert carrier.fetch(work).unwrap().verified
    assert target.read_bytes() == DATA


@pytest.mark.parametrize("form", ["old", "new", "public"])
def test_locations_of_each_form_are_read(rgw: Rgw, bucket: str, target: Path, form: str) -> None:
    location, known = rgw.s3_location(bucket, "noble"), settings(rgw)
    if form == "old":
        location, known = rgw.s3_location(bucket, "noble", KEY), settings(rgw, None)
    if form == "public":
        name = rgw.bucket(f"public-{uuid.uuid4()}", public=True)
        location, known = rgw.put(name, "a folder/ü+%20", DATA), settings(rgw, None)
    assert fetch(known, target, location).unwrap().verified


def test_several_connections_read_ranges(rgw: Rgw, bucket: str, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_FAST", float("inf"))
    monkeypatch.setattr(remote, "_TRIAL", 1 << 20)
    since = rgw.log.mark()
    assert fetch(settings(rgw, connections=4), target, rgw.s3_location(bucket, "noble")).unwrap().verified
    seen = rgw.accesses(bucket, since=since, at_least=4)
    assert {each.status for each in seen} <= {200, 206}
    assert not any("Signature" in each.target for each in seen)


def test_an_object_that_is_gone_is_a_refusal(rgw: Rgw, bucket: str, target: Path) -> None:
    rgw.delete(bucket, "noble")
    refused = fetch(settings(rgw), target, rgw.s3_location(bucket, "noble")).failure()
    assert refused == Unavailable("HTTP 404 Not Found")
    assert not target.exists()


def test_corrupted_bytes_are_a_refusal(rgw: Rgw, bucket: str, target: Path) -> None:
    rgw.corrupt(bucket, "noble")
    assert isinstance(fetch(settings(rgw), target, rgw.s3_location(bucket, "noble")).failure(), Mismatched)
    assert not target.exists()


def test_a_revoked_key_is_a_refusal_that_doesn_t_show_it(rgw: Rgw, bucket: str, target: Path) -> None:
    key = rgw.add_key(S3Key(f"K{uuid.uuid4().hex}", "to/be+revoked"))
    old = rgw.s3_location(bucket, "noble", key)
    assert fetch(settings(rgw, None), target, old).unwrap().verified
    target.unlink()
    rgw.revoke(key)
    for refused in (
        fetch(settings(rgw, None), target, old).failure(),
        fetch(settings(rgw, S3Key(KEY.access, "an/other")), target, old).failure(),
        fetch(settings(rgw, None), target, rgw.s3_location(bucket, "noble")).failure(),
    ):
        assert isinstance(refused, Unavailable)
        assert str(refused).startswith("HTTP 403 Forbidden; ")
        assert not any(secret in str(refused) for secret in (key.access, "revoked", "other"))
    assert not target.exists()


def test_the_last_attempt_comes_back_to_a_mirror(rgw: Rgw, bucket: str, target: Path) -> None:
    locations = [Location(rgw.s3_location(bucket, name)) for name in ("noble", "none")]
    work = Work(str(target), replace(IMAGE, locations=locations), locations[1])
    assert handler(settings(rgw)).fetch(work).unwrap().verified


@pytest.mark.parametrize("fault", ["freeze", "kill"])
def test_a_gateway_that_is_gone_is_a_refusal_in_bounded_time(start_rgw: StartRgw, target: Path, fault: str) -> None:
    rgw = start_rgw()
    location = rgw.put(rgw.bucket(f"s3-{uuid.uuid4()}"), "noble", DATA)
    known = settings(rgw)
    getattr(rgw, fault)()
    # A limit that is missing, or the default of half a minute, would take longer.
    since = time.monotonic()
    hasty = replace(known, connect_seconds=2, stall_seconds=1)
    assert isinstance(fetch(hasty, target, location).failure(), Unavailable)
    assert time.monotonic() - since < 60
    assert not target.exists()
    rgw.kill()
    rgw.start()
    assert fetch(known, target, location).unwrap().verified
