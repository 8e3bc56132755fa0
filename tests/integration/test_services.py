"""The services that tests start do what their fixtures say, and Glance behaves as its adapters count on."""

import hashlib
import os
import random
import socket
import ssl
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.integration.services.asking import AGENT, Answer, ask
from tests.integration.services.cache import Cache
from tests.integration.services.fixtures import StartGlance, StartKeystone
from tests.integration.services.glance import Glance, token
from tests.integration.services.keystone import DEMO, NOVA, SERVICE, Keystone
from tests.integration.services.nginx import Nginx
from tests.integration.services.running import Process, StartError
from tests.packages import needs

ROOT = Path(__file__).parents[2]
DATA = random.Random("services").randbytes(100_000)
"""More than one of the 64 KiB pieces in which Glance reads its stores."""
READER = token("reader")
"""Sees images."""
MEMBER = token("member", "reader")
"""Also gets their data."""
MALFORMED = "no token"
CLIENT = {"User-Agent": "a client"}
"""Unlike the fixtures' own requests, a client's are in the access logs."""


def mirrored(nginx: Nginx, tmp_path: Path, data: bytes = DATA) -> str:
    """A file of the test's own on the mirror: its name."""
    name = f"{tmp_path.name}.img"
    (nginx.folder / name).write_bytes(data)
    return name


def locations(answer: Answer) -> list[Any]:
    found: list[Any] = answer.expect(200).json()
    return found


# What they are made of


def test_what_fails_half_way_is_not_kept(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise RuntimeError

    kept = Cache(tmp_path / "cache")
    with pytest.raises(RuntimeError):
        kept.folder("venv", fail)
    assert os.listdir(kept.top) == ["venv.lock"]
    (kept.top / "venv.part-killed").mkdir()
    assert os.listdir(kept.folder("venv", lambda folder: (folder / "whole").touch())) == ["whole"]
    assert sorted(os.listdir(kept.top)) == ["venv", "venv.lock"]


def test_what_several_want_at_once_is_made_once(tmp_path: Path) -> None:
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        time.sleep(0.05)

    with ThreadPoolExecutor(4) as several:
        wanted = [several.submit(Cache(tmp_path).folder, "venv", make) for _ in range(4)]
    assert {each.result() for each in wanted} == {tmp_path / "venv"}
    assert len(made) == 1


@pytest.mark.parametrize(
    ("program", "reason"), [("exit 7", "exited with code 7"), ("exec sleep 60", "not ready after 0.2 s")]
)
def test_a_service_that_does_not_come_up_says_what_it_wrote(tmp_path: Path, program: str, reason: str) -> None:
    service = Process(["sh", "-c", f"echo no such option; {program}"], tmp_path, [])

    def never() -> bool:
        """Answers when the program has come as far as it comes."""
        wait_until(lambda: "no such option" in service.log.read_text() and (program != "exit 7" or has_ended(service)))
        return False

    with pytest.raises(StartError, match=f"(?s){reason}.*no such option"):
        service.start(never, 0.2)
    assert service.running is None


def test_a_service_ends_when_what_started_it_is_killed(tmp_path: Path) -> None:
    program = f"""
import time
from pathlib import Path
from tests.integration.services.running import Process
service = Process(["sh", "-c", "echo up; exec sleep 60"], Path({str(tmp_path)!r}), [])
service.start(lambda: "up" in service.log.read_text())
print(service.running.pid, flush=True)
time.sleep(60)
"""
    needs("setpriv")
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        service = int(run.stdout.readline())
        run.kill()
    wait_until(lambda: not _is_running(service))


def wait_until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def has_ended(service: Process) -> bool:
    return service.running is not None and service.running.poll() is not None


def _is_running(process: int) -> bool:
    """Whether it is there, and not as a zombie."""
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


# Glance


def test_an_image_with_data_is_active_hashed_and_located_in_its_store(glance_open: Glance) -> None:
    image = glance_open.create(DATA, store="second", name="noble", os_version="24.04")
    assert (image["status"], image["size"], image["name"], image["os_version"]) == ("active", 100_000, "noble", "24.04")
    assert (image["os_hash_algo"], image["os_hash_value"]) == ("sha512", hashlib.sha512(DATA).hexdigest())
    assert image["checksum"] == hashlib.md5(DATA, usedforsecurity=False).hexdigest()
    url = f"file://{glance_open.stored(image['id'], 'second')}"
    assert image["locations"] == [{"url": url, "metadata": {"store": "second"}}]
    assert image["direct_url"] == url
    assert glance_open.stored(image["id"], "second").read_bytes() == DATA


def test_where_locations_are_hidden_an_image_names_none(glance_hidden: Glance) -> None:
    image = glance_hidden.create(DATA)
    assert image["status"] == "active"
    assert not {"locations", "direct_url"} & image.keys()


@pytest.mark.parametrize("fixture", ["glance_open", "glance_hidden"])
@pytest.mark.parametrize(
    ("roles", "status"), [(["service"], 200), (["admin"], 200), (["member", "reader"], 403), (["reader"], 403)]
)
def test_locations_are_for_services_and_administrators(
    request: pytest.FixtureRequest, fixture: str, roles: list[str], status: int
) -> None:
    glance: Glance = request.getfixturevalue(fixture)
    image = glance.create(DATA)
    answer = glance.ask("GET", f"/v2/images/{image['id']}/locations", token=token(*roles))
    assert answer.status == status
    if status == 200:
        url = f"file://{glance.stored(image['id'])}"
        assert locations(answer) == [{"url": url, "metadata": {"store": "first"}}]


@pytest.mark.parametrize(
    ("wanted", "status", "told", "expected"),
    [
        ("bytes=0-9", 206, "bytes 0-9/100000", DATA[:10]),
        ("bytes=99990-", 206, "bytes 99990-99999/100000", DATA[99990:]),
        ("bytes=-10", 206, "bytes 99990-99999/100000", DATA[99990:]),
        ("bytes=65530-65549", 206, "bytes 65530-65549/100000", DATA[65530:65550]),
        ("bytes=99990-200000", 206, "bytes 99990-99999/100000", DATA[99990:]),
        ("bytes=100000-", 416, None, None),
        ("bytes=0-9,20-29", 400, None, None),
        (None, 200, None, DATA),
    ],
)
def test_the_file_store_takes_one_range(
    glance_open: Glance, wanted: str | None, status: int, told: str | None, expected: bytes | None
) -> None:
    image = glance_open.create(DATA)
    headers = {"Range": wanted} if wanted else {}
    answer = glance_open.ask("GET", f"/v2/images/{image['id']}/file", token=MEMBER, headers=headers)
    assert (answer.status, answer.headers.get("content-range")) == (status, told)
    if expected is not None:
        assert answer.body == expected
        assert answer.headers["content-length"] == str(len(expected))


def test_an_http_location_is_read_through_glance_but_not_by_range(
    glance_open: Glance, nginx: Nginx, tmp_path: Path
) -> None:
    image = glance_open.create()
    assert image["status"] == "queued"
    url = nginx.url(mirrored(nginx, tmp_path))
    glance_open.add_location(image["id"], url)
    shown = glance_open.show(image["id"])
    assert (shown["status"], shown["size"], shown["os_hash_value"], shown["checksum"]) == (
        "active",
        100_000,
        None,
        None,
    )
    assert shown["locations"] == [{"url": url, "metadata": {"store": "web"}}]
    path = f"/v2/images/{image['id']}/file"
    assert glance_open.ask("GET", path, token=MEMBER).body == DATA
    assert glance_open.ask("GET", path, token=MEMBER, headers={"Range": "bytes=5-9"}).status == 400


def test_an_http_location_can_come_with_its_hashes(glance_open: Glance, nginx: Nginx, tmp_path: Path) -> None:
    image = glance_open.create()
    hashes = {"checksum": hashlib.md5(DATA, usedforsecurity=False).hexdigest(), "os_hash_algo": "sha512"}
    hashes["os_hash_value"] = hashlib.sha512(DATA).hexdigest()
    glance_open.add_location(image["id"], nginx.url(mirrored(nginx, tmp_path)), **hashes)
    assert hashes.items() <= glance_open.show(image["id"]).items()


def test_where_locations_are_hidden_one_can_still_be_added(glance_hidden: Glance, nginx: Nginx, tmp_path: Path) -> None:
    image = glance_hidden.create()
    url = nginx.url(mirrored(nginx, tmp_path))
    glance_hidden.add_location(image["id"], url)
    answer = glance_hidden.ask("GET", f"/v2/images/{image['id']}/locations", token=token("service", "reader"))
    assert [each["url"] for each in locations(answer)] == [url]


def test_a_second_location_comes_after_the_first(glance_open: Glance, nginx: Nginx, tmp_path: Path) -> None:
    image = glance_open.create(DATA)
    url = nginx.url(mirrored(nginx, tmp_path))
    glance_open.add_location(image["id"], url)
    shown = glance_open.show(image["id"])["locations"]
    assert [each["metadata"]["store"] for each in shown] == ["first", "web"]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rbd://fsid/pool/image/snap", None),
        ("file:///dev/zero", None),
        ("http://user:secret@host/noble.img?signature=secret", None),
        ("swift+https://account:user:key@auth/v3/container/object", None),
        ("cinder://store/volume", None),
        ("s3://KEY:se/cret@host/bucket/key", "s3://host/bucket/key"),  # of these credentials Glance keeps silent
        ("anything", None),
    ],
)
def test_a_location_can_be_planted_that_glance_would_not_take(glance_open: Glance, url: str, shown: str | None) -> None:
    image = glance_open.create()
    glance_open.plant_location(image["id"], url, {"store": "elsewhere"})
    answer = glance_open.ask("GET", f"/v2/images/{image['id']}/locations", token=token("service", "reader"))
    store = "web" if url.startswith("http") else "elsewhere"  # Glance corrects it for stores that it has
    assert locations(answer) == [{"url": shown or url, "metadata": {"store": store}}]


def test_a_reader_sees_an_image_but_gets_no_data(glance_open: Glance) -> None:
    image = glance_open.create(DATA)
    for roles, status in ((["reader"], 403), (["service", "reader"], 403), (["member", "reader"], 200)):
        assert glance_open.ask("GET", f"/v2/images/{image['id']}", token=token(*roles)).status == 200
        assert glance_open.ask("GET", f"/v2/images/{image['id']}/file", token=token(*roles)).status == status


def test_an_image_without_data_has_no_content(glance_open: Glance) -> None:
    image = glance_open.create()
    assert glance_open.ask("GET", f"/v2/images/{image['id']}/file", token=MEMBER).status == 204


def test_a_deactivated_image_s_data_are_forbidden_until_it_is_reactivated(glance_open: Glance) -> None:
    image = glance_open.create(DATA)
    path = f"/v2/images/{image['id']}/file"
    glance_open.deactivate(image["id"])
    assert glance_open.show(image["id"])["status"] == "deactivated"
    assert glance_open.ask("GET", path, token=MEMBER).status == 403
    glance_open.reactivate(image["id"])
    assert glance_open.ask("GET", path, token=MEMBER).status == 200


def test_a_deleted_image_and_another_s_private_one_are_not_found(glance_open: Glance) -> None:
    image, private = glance_open.create(DATA), glance_open.create(DATA, visibility="private", owner="others")
    glance_open.delete(image["id"])
    for gone in (image["id"], private["id"]):
        for path in (f"/v2/images/{gone}", f"/v2/images/{gone}/file"):
            assert glance_open.ask("GET", path, token=MEMBER).status == 404


def test_without_a_token_nothing_is_told(glance_open: Glance) -> None:
    assert glance_open.ask("GET", "/v2/images", token=MALFORMED).status == 401


def test_several_images_can_have_one_name(glance_open: Glance, tmp_path: Path) -> None:
    ids = {glance_open.create(name=tmp_path.name)["id"] for _ in range(2)}
    found = glance_open.ask("GET", f"/v2/images?name={urllib.parse.quote(tmp_path.name)}", token=READER).json()
    assert {each["id"] for each in found["images"]} == ids


def test_what_a_store_keeps_can_be_corrupted_and_lost(glance_open: Glance) -> None:
    image = glance_open.create(DATA)
    glance_open.corrupt(image["id"])
    path = f"/v2/images/{image['id']}/file"
    body = glance_open.ask("GET", path, token=MEMBER).body
    assert (len(body), sum(a != b for a, b in zip(body, DATA, strict=True))) == (len(DATA), 1)
    glance_open.stored(image["id"]).unlink()
    assert glance_open.ask("GET", path, token=MEMBER).status == 204


def test_an_image_can_be_described_wrongly(glance_open: Glance) -> None:
    image = glance_open.create(DATA)
    glance_open.forget_hashes(image["id"])
    glance_open.set_size(image["id"], 0)
    shown = glance_open.show(image["id"])
    assert (shown["checksum"], shown["os_hash_algo"], shown["os_hash_value"], shown["size"]) == (None, None, None, 0)
    glance_open.set_hashes(image["id"], checksum=None, algorithm="sha256", value="0" * 64)
    assert glance_open.show(image["id"])["os_hash_value"] == "0" * 64


def test_the_access_log_tells_what_a_client_asked_and_got(glance_open: Glance) -> None:
    image = glance_open.create(DATA)
    path = f"/v2/images/{image['id']}/file"
    glance_open.ask("GET", path, token=MEMBER, headers=CLIENT | {"Range": "bytes=10-19"})
    glance_open.ask("GET", path, token=MEMBER)
    (seen,) = glance_open.accesses(image["id"], at_least=1)
    assert (seen.method, seen.target, seen.status, seen.sent, seen.range) == ("GET", path, 206, 10, "bytes=10-19")
    assert (seen.token, seen.authorization, seen.agent) == (MEMBER, None, "a client")
    assert AGENT not in {each.agent for each in glance_open.accesses()}


def test_a_glance_can_crash_and_come_back_and_freeze_and_stop(start_glance: StartGlance) -> None:
    glance = start_glance(locations=False, direct_url=True)
    image = glance.create(DATA)
    assert "direct_url" in image
    glance.kill()
    with pytest.raises(ConnectionRefusedError):
        glance.show(image["id"])
    glance.start()
    assert glance.show(image["id"]) == image
    glance.freeze()
    with socket.create_connection(("127.0.0.1", glance.server.port), timeout=0.2) as connection:
        connection.sendall(b"GET /healthcheck HTTP/1.0\r\n\r\n")
        with pytest.raises(TimeoutError):
            connection.recv(1)
        glance.thaw()
        connection.settimeout(60)
        assert connection.recv(1) == b"H"
    glance.stop()
    with pytest.raises(ConnectionRefusedError):
        glance.show(image["id"])


# Keystone


def test_glance_takes_keystone_s_tokens(glance_keystone: Glance, keystone: Keystone) -> None:
    image = glance_keystone.create(DATA)
    path = f"/v2/images/{image['id']}"
    assert glance_keystone.ask("GET", path, token=MALFORMED).status == 401
    for user, data, located in ((DEMO, 200, 403), (NOVA, 403, 200)):
        theirs = keystone.token(user)
        assert glance_keystone.ask("GET", f"{path}/file", token=theirs).status == data
        assert glance_keystone.ask("GET", f"{path}/locations", token=theirs).status == located


def test_the_catalog_names_this_glance_and_the_application_credential_is_demo_s(
    glance_keystone: Glance, keystone: Keystone
) -> None:
    told = keystone.application_variables()
    credential = {
        "id": told["OS_APPLICATION_CREDENTIAL_ID"],
        "secret": told["OS_APPLICATION_CREDENTIAL_SECRET"],
    }
    methods = {"methods": ["application_credential"], "application_credential": credential}
    granted = keystone.ask("POST", "/auth/tokens", {"auth": {"identity": methods}}, headers=CLIENT).expect(201).json()
    assert granted["token"]["user"]["name"] == DEMO.name
    assert {each["name"] for each in granted["token"]["roles"]} == set(DEMO.roles)
    endpoints = {each["type"]: {one["url"] for one in each["endpoints"]} for each in granted["token"]["catalog"]}
    assert endpoints == {"image": {glance_keystone.url}, "identity": {f"{keystone.url}/v3"}}
    assert keystone.log.entries("/v3/auth/tokens", at_least=1, where=lambda each: each.agent == "a client")


def test_a_user_has_the_roles_of_their_project(keystone: Keystone) -> None:
    shown = keystone.ask("GET", "/auth/tokens", headers={"X-Subject-Token": keystone.token(NOVA)}).json()["token"]
    assert shown["project"]["name"] == SERVICE
    assert set(NOVA.roles) == {each["name"] for each in shown["roles"]}


def test_tokens_can_be_made_to_expire_soon(start_keystone: StartKeystone) -> None:
    hasty = start_keystone(expiration=4)
    theirs = hasty.token(DEMO)
    assert hasty.ask("GET", "/auth/projects", token=theirs).status == 200
    wait_until(lambda: hasty.ask("GET", "/auth/projects", token=theirs).status == 401)


# nginx


def test_nginx_serves_files_whole_and_by_range(nginx: Nginx, tmp_path: Path) -> None:
    name = mirrored(nginx, tmp_path)
    assert ask("GET", nginx.url(name), headers=CLIENT).expect(200).body == DATA
    part = ask("GET", nginx.url(name), headers=CLIENT | {"Range": "bytes=10-19"}).expect(206)
    assert (part.body, part.headers["content-range"]) == (DATA[10:20], "bytes 10-19/100000")
    assert part.headers["etag"]
    assert ask("GET", nginx.url(name), headers=CLIENT | {"Range": "bytes=100000-"}).status == 416
    seen = nginx.accesses(name, at_least=3)
    assert [(each.status, each.range) for each in seen] == [
        (200, None), (206, "bytes=10-19"), (416, "bytes=100000-"),
    ]  # fmt: skip
    assert [each.sent for each in seen[:2]] == [100_000, 10]


def test_nginx_has_tls_from_an_authority_of_its_own(nginx: Nginx, tmp_path: Path) -> None:
    name = mirrored(nginx, tmp_path)
    trusting = ssl.create_default_context(cafile=str(nginx.certificates.authority))
    for host in ("127.0.0.1", "localhost"):
        assert ask("GET", nginx.url(name, tls=True, host=host), tls=trusting).body == DATA
    with pytest.raises(ssl.SSLCertVerificationError):
        ask("GET", nginx.url(name, tls=True))


def test_nginx_asks_for_credentials(nginx: Nginx, tmp_path: Path) -> None:
    url = nginx.url("private/" + mirrored(nginx, tmp_path))
    assert ask("GET", url).status == 401
    assert ask("GET", url, headers={"Authorization": nginx.credentials.basic}).expect(200).body == DATA


def test_nginx_redirects_here_elsewhere_and_in_a_circle(nginx: Nginx, tmp_path: Path) -> None:
    name = mirrored(nginx, tmp_path)
    for prefix, target in (
        ("moved/", nginx.url(name)),
        ("elsewhere/", nginx.url(name, host="localhost")),
        ("looping/", nginx.url("looping/" + name)),
    ):
        answer = ask("GET", nginx.url(prefix + name)).expect(302)
        assert answer.headers["location"] == target


def test_nginx_can_ignore_ranges_and_be_slow(nginx: Nginx, tmp_path: Path) -> None:
    name = mirrored(nginx, tmp_path, DATA * 2)
    whole = ask("GET", nginx.url("whole/" + name), headers={"Range": "bytes=10-19"})
    assert (whole.status, len(whole.body)) == (200, 200_000)
    since = time.monotonic()
    assert ask("GET", nginx.url("slow/" + name)).body == DATA * 2
    assert time.monotonic() - since > 0.8 * (200_000 - nginx.rate) / nginx.rate


def test_the_authority_is_one_by_strict_rules(nginx: Nginx) -> None:
    strict = ssl.create_default_context(cafile=str(nginx.certificates.authority))
    strict.verify_flags |= ssl.VERIFY_X509_STRICT
    assert ask("GET", nginx.url("ready", tls=True), tls=strict).status == 204
