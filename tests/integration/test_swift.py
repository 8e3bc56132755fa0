"""The swift handler against a real gateway of Ceph's, and a real Keystone."""

import hashlib
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest
from returns.result import Result, Success
from tests.integration.services.asking import ask
from tests.integration.services.fixtures import StartRgw
from tests.integration.services.glance import Glance, Stores
from tests.integration.services.keystone import ADMIN, DEMO, NOVA, Keystone, User
from tests.integration.services.rgw import KEY, SWIFT_KEY, Rgw

from lading import (
    Association,
    Context,
    Digest,
    Image,
    Landing,
    Location,
    Mismatched,
    Refusal,
    Unavailable,
    Unconfigured,
    Work,
)
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.s3 import S3Handler, S3HandlerSettings
from lading.adapters.handlers.swift import SwiftHandler, SwiftHandlerSettings
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.web import remote

DATA = os.urandom((13 << 20) + 5)
IMAGE = Image("id", size=len(DATA), disk_format="raw", digest=Digest("sha512", hashlib.sha512(DATA).hexdigest()))
PARTS = [DATA[: 5 << 20], DATA[5 << 20 : 9 << 20], DATA[9 << 20 :]]


@pytest.fixture
def container(rgw: Rgw) -> str:
    """With the image as `noble`."""
    name = rgw.bucket(f"swift-{uuid.uuid4()}")
    rgw.put(name, "noble", DATA)
    return name


@pytest.fixture
def account(rgw: Rgw, storage_keystone: Keystone) -> tuple[str, str]:
    """The URL of the account of ADMIN's project, and a container in it that has the image as `noble`."""
    url = f"{rgw.url}/swift/v1/AUTH_{storage_keystone.project_id(ADMIN.project)}"
    name = f"swift-{uuid.uuid4()}"
    known = {"X-Auth-Token": storage_keystone.token(ADMIN)}
    ask("PUT", f"{url}/{name}", b"", known).expect(201)
    ask("PUT", f"{url}/{name}/noble", DATA, known).expect(201)
    return url, name


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    """Nothing but what lands there is left."""
    yield tmp_path / "vm"
    assert set(os.listdir(tmp_path)) <= {"vm", "other"}


@pytest.fixture(autouse=True)
def _no_cloud(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in [name for name in os.environ if name.startswith("OS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))


def sign_in_by_environment(monkeypatch: pytest.MonkeyPatch, keystone: Keystone, user: User) -> None:
    for name, value in keystone.variables(user).items():
        monkeypatch.setenv(name, value)


def settings(*hosts: str, cloud: str | None = None, connections: int = 4) -> SwiftHandlerSettings:
    return SwiftHandlerSettings(
        cloud, hosts, connections=connections, connect_seconds=10, stall_seconds=10, first_byte_seconds=10
    )


def handler(settings: SwiftHandlerSettings) -> SwiftHandler:
    return SwiftHandler(settings, FileDestination(MemoryVerifiedFiles()), first_wait=0.01)


def fetch(
    settings: SwiftHandlerSettings, target: Path, url: str, *, token: str | None = None
) -> Result[Landing, Refusal]:
    work = Work(str(target), IMAGE, Location(url))
    return handler(settings).fetch(work if token is None else replace(work, context=Context(token=token)))


def test_it_is_fetched_moved_removed_and_fetched_again(rgw: Rgw, container: str, target: Path) -> None:
    carrier, location = handler(settings(rgw.host)), Location(rgw.swift_location(container, "noble"))
    work = Work(str(target), IMAGE, location)
    landing = carrier.fetch(work).unwrap()
    assert (landing.method, landing.verified, target.read_bytes()) == ("swift", True, DATA)
    recorded = landing.recorded_in(Association(str(target), "swift", IMAGE, location, datetime.now(UTC)))
    moved = carrier.move(replace(work, association=recorded), str(target.with_name("other"))).unwrap()
    assert os.listdir(target.parent) == ["other"]
    there = replace(work, target=str(target.with_name("other")), association=moved.recorded_in(recorded))
    assert carrier.verify(there).unwrap().digest == IMAGE.digest
    assert carrier.remove(there) == Success(None)
    assert carrier.fetch(work).unwrap().verified
    assert target.read_bytes() == DATA


@pytest.mark.parametrize("kind", ["static", "dynamic"])
@pytest.mark.parametrize("connections", [1, 4])
def test_large_objects_are_read(
    rgw: Rgw, target: Path, kind: str, connections: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_FAST", float("inf"))
    monkeypatch.setattr(remote, "_TRIAL", 1 << 20)
    container, since = rgw.bucket(f"swift-{uuid.uuid4()}"), rgw.log.mark()
    (rgw.put_static if kind == "static" else rgw.put_dynamic)(container, "noble", PARTS)
    location = rgw.swift_location(container, "noble")
    assert fetch(settings(rgw.host, connections=connections), target, location).unwrap().verified
    assert target.read_bytes() == DATA
    assert len(rgw.accesses(f"{container}/noble", since=since, at_least=connections)) >= connections


def test_an_object_that_is_gone_is_a_refusal(rgw: Rgw, container: str, target: Path) -> None:
    rgw.delete(container, "noble")
    refused = fetch(settings(rgw.host), target, rgw.swift_location(container, "noble")).failure()
    assert refused == Unavailable("HTTP 404 Not Found")
    assert not target.exists()


def test_corrupted_bytes_are_a_refusal(rgw: Rgw, container: str, target: Path) -> None:
    rgw.corrupt(container, "noble")
    refused = fetch(settings(rgw.host), target, rgw.swift_location(container, "noble")).failure()
    assert isinstance(refused, Mismatched)
    assert not target.exists()


def test_a_wrong_key_is_a_refusal_that_doesn_t_show_it(rgw: Rgw, container: str, target: Path) -> None:
    location = rgw.swift_location(container, "noble").replace(quote(SWIFT_KEY, safe=""), "wrong")
    refused = fetch(settings(rgw.host), target, location).failure()
    assert isinstance(refused, Unavailable)
    assert "not accepted" in str(refused)
    assert "wrong" not in str(refused)


@pytest.mark.parametrize("fault", ["freeze", "kill"])
def test_a_gateway_that_is_gone_is_a_refusal_in_bounded_time(start_rgw: StartRgw, target: Path, fault: str) -> None:
    rgw = start_rgw()
    container = rgw.bucket(f"swift-{uuid.uuid4()}")
    rgw.put(container, "noble", DATA)
    getattr(rgw, fault)()
    # A limit that is missing, or the default of half a minute, would take longer.
    since = time.monotonic()
    hasty = replace(settings(rgw.host), connect_seconds=2, stall_seconds=1)
    assert isinstance(fetch(hasty, target, rgw.swift_location(container, "noble")).failure(), Unavailable)
    assert time.monotonic() - since < 60
    assert not target.exists()
    rgw.kill()
    rgw.start()
    assert fetch(settings(rgw.host), target, rgw.swift_location(container, "noble")).unwrap().verified


# By Keystone.


def test_a_location_s_credentials_sign_in_at_its_keystone(
    storage_keystone: Keystone, account: tuple[str, str], target: Path
) -> None:
    host = storage_keystone.url.removeprefix("http://")
    user = quote(f"{ADMIN.project}:{ADMIN.name}", safe="")
    location = f"swift+http://{user}:{quote(ADMIN.password)}@{host}/v3/{account[1]}/noble"
    assert fetch(settings(host), target, location).unwrap().verified
    target.unlink()
    refused = fetch(settings(), target, location).failure()
    assert refused == Unavailable(
        "127.0.0.1 is not allowed for a sign-in; [handlers.swift] hosts lists those that are allowed"
    )
    wrong = fetch(settings(host), target, location.replace(quote(ADMIN.password), "wrong")).failure()
    assert "the credentials are not accepted" in str(wrong)


def test_a_location_without_credentials_is_read_by_the_cloud_s(
    storage_keystone: Keystone, account: tuple[str, str], target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"swift+{account[0]}/{account[1]}/noble"
    refused = fetch(settings(), target, url).failure()
    assert isinstance(refused, Unconfigured)
    assert "[handlers.swift] cloud" in str(refused)
    sign_in_by_environment(monkeypatch, storage_keystone, ADMIN)
    assert fetch(settings(), target, url).unwrap().verified
    target.unlink()
    elsewhere = fetch(settings(), target, "swift+http://127.0.0.1:1/v1/AUTH_x/c/o").failure()
    assert "not the cloud's own Swift; [handlers.swift] hosts" in str(elsewhere)


def test_the_cloud_of_the_settings_goes_before_a_location_s_credentials(
    storage_keystone: Keystone, account: tuple[str, str], target: Path, tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    clouds = tmp_path_factory.mktemp("clouds") / "clouds.yaml"
    clouds.write_text(
        f"""
clouds:
  gold:
    region_name: RegionOne
    auth: {{auth_url: "{storage_keystone.url}/v3", username: {ADMIN.name}, password: {ADMIN.password},
            project_name: {ADMIN.project}, user_domain_id: default, project_domain_id: default}}
"""
    )
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(clouds))
    location = f"swift://some%3Abody:key@elsewhere.example/v3/{account[1]}/noble"
    assert fetch(settings(cloud="gold"), target, location).unwrap().verified


def test_a_request_s_own_token_is_used_and_never_the_cloud_s_in_its_place(
    rgw: Rgw, storage_keystone: Keystone, account: tuple[str, str], target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"swift+{account[0]}/{account[1]}/noble"
    assert fetch(settings(rgw.host), target, url, token=storage_keystone.token(ADMIN)).unwrap().verified
    target.unlink()
    sign_in_by_environment(monkeypatch, storage_keystone, ADMIN)
    for hosts in ((), (rgw.host,)):
        for token in ("nonsense", storage_keystone.token(DEMO)):
            refused = fetch(settings(*hosts), target, url, token=token).failure()
            assert isinstance(refused, Unavailable)
            assert refused.reason.startswith("HTTP 40")
    assert fetch(settings(), target, url, token=storage_keystone.token(ADMIN)).unwrap().verified


def test_what_glance_itself_wrote_is_read_by_its_locations(
    glance_stores: Glance, stores: Stores, storage_keystone: Keystone, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = DATA[:100_000]
    image = replace(IMAGE, size=len(data), digest=Digest("sha512", hashlib.sha512(data).hexdigest()))
    made = glance_stores.create(data)["id"]
    glance_stores.copy_to(made, "s3", "swift_user", "swift_tenant")
    located = glance_stores.locations(made, token=storage_keystone.token(NOVA))
    known = settings(storage_keystone.url.removeprefix("http://"))
    sign_in_by_environment(monkeypatch, storage_keystone, ADMIN)
    amazon = S3Handler(
        S3HandlerSettings(stores.rgw.url, KEY.access, KEY.secret), FileDestination(MemoryVerifiedFiles())
    )
    for carrier, store in ((handler(known), "swift_user"), (handler(known), "swift_tenant"), (amazon, "s3")):
        assert carrier.fetch(Work(str(target), image, Location(located[store]))).unwrap().verified
        target.unlink()
