"""The Glance catalog, and the dispatch with it, against real Glances and a real Keystone."""

import hashlib
import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from returns.result import Failure, Result, Success
from tests.faulty_server import BEFORE_THE_HEAD, STALL, FaultyServer, Reply
from tests.integration.services.fixtures import StartGlance, StartKeystone
from tests.integration.services.glance import Glance, token
from tests.integration.services.keystone import DEMO, NOVA, Keystone
from tests.integration.services.nginx import Nginx, nginx
from tests.packages import program, want

from lading import (
    AmbiguousImage,
    CatalogUnavailable,
    Context,
    Dispatcher,
    FetchRequest,
    FetchResult,
    Handler,
    ImageNotActive,
    ImageNotFound,
    ImageWithoutData,
)
from lading.adapters.catalogs.glance import GlanceCatalog
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.download import DownloadHandler
from lading.adapters.handlers.file import FileHandler
from lading.adapters.handlers.http import HttpHandler
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.openstack.cloud import connect_cloud
from lading.adapters.web.http import HttpOptions
from lading.ports.context import ANONYMOUS
from lading.ports.failures import LadingError

# keystoneauth's connection pools are closed when they are collected, and not before.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
DATA = os.urandom(2_000_003)
MEMBER = token("member", "reader")
SERVICE = token("service", "reader", "member")


@pytest.fixture(autouse=True)
def _no_cloud_of_the_tester(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("OS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))


def catalog_of(glance: Glance | str, given: str | None = MEMBER, *hosts: str) -> GlanceCatalog:
    """One at this endpoint, whose session has this token, as `auth_type: admin_token` gives it; or none at all."""
    from keystoneauth1 import noauth, session, token_endpoint  # noqa: PLC0415 - slow to load

    endpoint = glance if isinstance(glance, str) else glance.url
    auth = token_endpoint.Token(endpoint, given) if given else noauth.NoAuth(endpoint=endpoint)
    return GlanceCatalog.from_session(session.Session(auth), hosts)


def dispatcher(catalog: GlanceCatalog, *allowed: Path) -> Dispatcher:
    transfer = FileDestination(MemoryVerifiedFiles())
    handlers: list[Handler] = [
        FileHandler(allowed, transfer),
        HttpHandler(HttpOptions(), transfer, first_wait=0.01),
        DownloadHandler(catalog, transfer),
    ]
    return Dispatcher(handlers, catalog, MemoryAssociations())


def fetch(catalog: GlanceCatalog, image: str, target: Path, *allowed: Path) -> Result[FetchResult, LadingError]:
    return dispatcher(catalog, *allowed).fetch(FetchRequest(image, str(target)))


def downloads(glance: Glance, image: str) -> int:
    return sum(access.target.endswith("/file") for access in glance.accesses(image))


# The catalog.


def test_an_image_is_found_by_id_and_by_name_as_glance_describes_it(glance_open: Glance) -> None:
    made = glance_open.create(DATA, name="described by name", os_distro="ubuntu")
    catalog = catalog_of(glance_open)
    image = catalog.find(made["id"], ANONYMOUS).unwrap()
    assert catalog.find("described by name", ANONYMOUS) == Success(image)
    assert (image.size, image.disk_format, image.status) == (len(DATA), "raw", "active")
    assert image.digest is not None
    assert (image.digest.algorithm, image.digest.value) == ("sha512", hashlib.sha512(DATA).hexdigest())
    assert image.properties["os_distro"] == "ubuntu"


def test_an_ambiguous_name_lists_the_ids_and_an_unknown_one_is_not_found(glance_open: Glance) -> None:
    made = {glance_open.create(DATA, name="twins")["id"] for _ in range(2)}
    failure = catalog_of(glance_open).find("twins", ANONYMOUS).failure()
    assert isinstance(failure, AmbiguousImage)
    assert set(failure.ids) == made
    for reference in ("nobody", "no/body?", "x" * 300, "", "🐧:12", "155d900f-4e14-4e4c-a73d-069cbf4541e6"):
        assert isinstance(catalog_of(glance_open).find(reference, ANONYMOUS).failure(), ImageNotFound)


@pytest.mark.parametrize(
    "name",
    [
        "debian:12", "eq:debian:12", "in:a,b", "neq:x", ":", '"debian:12"', 'a "b": c', "a\\:b", 'a\\":b', "a,b",
        "50%:2", "trailing: ", " leading:", "ubuntu&name=x:1", "größe:日本", "2026-01-01T00:00:00+00:00", "1/2?#:3",
    ],
)  # fmt: skip
def test_a_name_may_have_any_character(glance_open: Glance, name: str) -> None:
    made = glance_open.create(DATA[:10], name=name)
    assert catalog_of(glance_open).find(name, ANONYMOUS).unwrap().id == made["id"]


def test_an_image_that_is_hidden_from_lists_is_found_by_its_name(glance_open: Glance) -> None:
    made = glance_open.create(DATA[:10], name="hidden by name", os_hidden=True)
    assert catalog_of(glance_open).find("hidden by name", ANONYMOUS).unwrap().id == made["id"]


def test_a_listed_image_goes_before_a_hidden_one(glance_open: Glance) -> None:
    glance_open.create(DATA[:10], name="renewed", os_hidden=True)
    newer = glance_open.create(DATA[:10], name="renewed")
    assert catalog_of(glance_open).find("renewed", ANONYMOUS).unwrap().id == newer["id"]


def test_what_others_offer_is_named_with_its_id_and_not_taken(glance_open: Glance) -> None:
    community = glance_open.create(DATA[:10], name="offered", visibility="community", owner="theirs")["id"]
    shared = glance_open.create(DATA[:10], name="offered", visibility="shared", owner="theirs")["id"]
    glance_open.ask("POST", f"/v2/images/{shared}/members", {"member": "somewhere"}).expect(200)
    catalog = catalog_of(glance_open)
    failure = catalog.find("offered", ANONYMOUS).failure()
    assert isinstance(failure, ImageNotFound)
    assert f"image {community} of project theirs is a community image" in failure.advice
    assert f"image {shared} of project theirs is shared with this project" in failure.advice
    for image_id in (community, shared):
        assert catalog.find(image_id, ANONYMOUS).unwrap().name == "offered"


def test_an_href_means_the_glance_that_it_names_if_that_may_be_named(
    glance_open: Glance, glance_hidden: Glance
) -> None:
    made = glance_hidden.create(DATA, name="elsewhere")
    href = f"{glance_hidden.url}/v2/images/{made['id']}"
    host = f"127.0.0.1:{glance_hidden.url.rpartition(':')[2]}"
    assert isinstance(catalog_of(glance_open).find(href, ANONYMOUS).failure(), CatalogUnavailable)
    catalog = catalog_of(glance_open, MEMBER, host)
    image = catalog.find(href, ANONYMOUS).unwrap()
    assert image.id == made["id"]
    stream = catalog.read(image, 0, ANONYMOUS).unwrap()
    assert stream.readinto(memoryview(bytearray(10))) == 10
    stream.close()


def test_locations_come_by_the_api_for_services_where_they_are_hidden_from_the_image(glance_hidden: Glance) -> None:
    made = glance_hidden.create(DATA)
    catalog = catalog_of(glance_hidden, SERVICE)
    image = catalog.find(made["id"], ANONYMOUS).unwrap()
    (location,) = catalog.locations(image, ANONYMOUS).unwrap()
    assert (location.scheme, location.metadata) == ("file", {"store": "first"})


def test_that_no_locations_are_visible_is_normal_and_asked_once(glance_hidden: Glance) -> None:
    catalog = catalog_of(glance_hidden, MEMBER)
    for _ in range(2):
        image = catalog.find(glance_hidden.create(DATA)["id"], ANONYMOUS).unwrap()
        assert catalog.locations(image, ANONYMOUS) == Success(())
    seen = glance_hidden.server.log.entries("/locations", at_least=1, where=lambda each: each.token == MEMBER)
    assert len(seen) == 1


def test_without_the_api_the_image_s_own_locations_count_then_its_direct_url(
    glance_open: Glance, start_glance: StartGlance
) -> None:
    for glance in (glance_open, start_glance(locations=False, direct_url=True)):
        catalog = catalog_of(glance, MEMBER)
        image = catalog.find(glance.create(DATA)["id"], ANONYMOUS).unwrap()
        (location,) = catalog.locations(image, ANONYMOUS).unwrap()
        assert location.url == f"file://{glance.stored(image.id)}"


def test_the_data_is_read_from_an_offset(glance_open: Glance) -> None:
    catalog = catalog_of(glance_open)
    image = catalog.find(glance_open.create(DATA)["id"], ANONYMOUS).unwrap()
    for offset in (0, 1, len(DATA) - 1, len(DATA)):
        stream = catalog.read(image, offset, ANONYMOUS).unwrap()
        found, buffer = bytearray(), memoryview(bytearray(1 << 20))
        while count := stream.readinto(buffer):
            found += buffer[:count]
        stream.close()
        assert bytes(found) == DATA[offset:]


def test_a_store_that_cannot_seek_is_read_from_its_start(glance_open: Glance, nginx: Nginx) -> None:
    (nginx.folder / "unseekable").write_bytes(DATA)
    made = glance_open.create(None, name="unseekable")
    glance_open.add_location(made["id"], nginx.url("unseekable"))
    catalog = catalog_of(glance_open)
    image = catalog.find(made["id"], ANONYMOUS).unwrap()
    stream = catalog.read(image, 1_000_000, ANONYMOUS).unwrap()
    buffer = memoryview(bytearray(100))
    count = stream.readinto(buffer)
    stream.close()
    assert count
    assert buffer[:count] == DATA[1_000_000 : 1_000_000 + count]


def test_all_images_are_listed_page_by_page(glance_hidden: Glance) -> None:
    made = {glance_hidden.create(DATA[:10], name=f"page {number}")["id"] for number in range(30)}
    listed = [image.id for image in catalog_of(glance_hidden).images()]
    assert made <= set(listed)
    assert len(listed) == len(set(listed))


@pytest.mark.skipif(program("nginx") is None, reason=want("nginx"))
def test_all_images_of_a_glance_under_a_path_are_listed(glance_hidden: Glance, tmp_path: Path) -> None:
    made = {glance_hidden.create(DATA[:10], name=f"proxied {number}")["id"] for number in range(30)}
    with nginx(tmp_path, proxied={"image": glance_hidden.url}) as front:
        listed = [image.id for image in catalog_of(front.url("image")).images()]
    assert made <= set(listed)
    assert len(listed) == len(set(listed))


def queued(glance: Glance) -> str:
    return str(glance.create(None)["id"])


def deactivated(glance: Glance) -> str:
    made = glance.create(DATA)["id"]
    glance.deactivate(made)
    return str(made)


@pytest.mark.parametrize(("make", "state"), [(queued, "queued"), (deactivated, "deactivated")])
def test_an_image_that_is_not_active_is_a_refusal_that_says_its_state(
    glance_open: Glance, tmp_path: Path, make: Callable[[Glance], str], state: str
) -> None:
    failure = fetch(catalog_of(glance_open), make(glance_open), tmp_path / "vm").failure()
    assert isinstance(failure, ImageNotActive)
    assert failure.status == state


def test_the_snapshot_of_a_volume_backed_server_is_refused(glance_open: Glance, tmp_path: Path) -> None:
    """As nova.compute.api.API.snapshot_volume_backed registers it."""
    device = {"boot_index": 0, "source_type": "snapshot", "destination_type": "volume", "snapshot_id": "8f0c"}
    made = glance_open.create(
        b"", block_device_mapping=json.dumps([device]), bdm_v2="True", root_device_name="/dev/vda"
    )
    assert (made["size"], made["os_hash_value"]) == (0, hashlib.sha512().hexdigest())
    failure = fetch(
        catalog_of(glance_open), made["id"], tmp_path / "vm", glance_open.stored(made["id"]).parent
    ).failure()
    assert isinstance(failure, ImageWithoutData)
    assert failure.disks == ("volume snapshot 8f0c",)
    assert not (tmp_path / "vm").exists()


@pytest.mark.parametrize(("spoil", "words"), [("lose", "204"), ("delete", "404"), ("deactivate", "403")])
def test_data_that_cannot_be_read_is_a_failure_that_says_why(glance_open: Glance, spoil: str, words: str) -> None:
    catalog = catalog_of(glance_open)
    image = catalog.find(glance_open.create(DATA)["id"], ANONYMOUS).unwrap()
    if spoil == "lose":
        glance_open.stored(image.id).unlink()
    else:
        getattr(glance_open, spoil)(image.id)
    assert words in str(catalog.read(image, 0, ANONYMOUS).failure())


def test_a_request_s_own_token_is_the_one_that_is_used(glance_open: Glance) -> None:
    made = glance_open.create(DATA, visibility="private", owner="theirs")["id"]
    theirs = Context(token=token("member", "reader", project="theirs"))
    catalog = catalog_of(glance_open, token("member", "reader", project="ours"))
    assert isinstance(catalog.find(made, ANONYMOUS).failure(), ImageNotFound)
    image = catalog.find(made, theirs).unwrap()
    catalog.read(image, 0, theirs).unwrap().close()
    assert isinstance(catalog.read(image, 0, ANONYMOUS), Failure)


def test_a_glance_that_is_not_there_is_a_failure_that_says_so(start_glance: StartGlance) -> None:
    glance = start_glance()
    catalog = catalog_of(glance)
    glance.stop()
    failure = catalog.find("noble", ANONYMOUS).failure()
    assert isinstance(failure, CatalogUnavailable)
    assert "connection" in str(failure)


# The dispatch.


def test_a_file_location_within_reach_is_copied_and_no_data_comes_through_glance(
    glance_open: Glance, tmp_path: Path
) -> None:
    made = glance_open.create(DATA)["id"]
    staged = fetch(catalog_of(glance_open), made, tmp_path / "vm", glance_open.stored(made).parent).unwrap()
    assert (staged.handler, staged.landing.verified) == ("file", True)
    assert (tmp_path / "vm").read_bytes() == DATA
    assert downloads(glance_open, made) == 0


def test_a_file_location_out_of_reach_is_downloaded(glance_open: Glance, tmp_path: Path) -> None:
    made = glance_open.create(DATA)["id"]
    staged = fetch(catalog_of(glance_open), made, tmp_path / "vm").unwrap()
    assert (staged.handler, staged.landing.verified) == ("download", True)
    assert (tmp_path / "vm").read_bytes() == DATA


def test_an_image_whose_locations_are_hidden_is_downloaded(glance_hidden: Glance, tmp_path: Path) -> None:
    made = glance_hidden.create(DATA)["id"]
    staged = fetch(catalog_of(glance_hidden), made, tmp_path / "vm").unwrap()
    assert [tried.handler for tried in staged.attempts] == ["download"]


def test_wrong_bytes_at_the_first_location_lead_to_the_next_and_never_show(glance_open: Glance, tmp_path: Path) -> None:
    made = glance_open.create(DATA)["id"]
    first = glance_open.stored(made)
    second = tmp_path / "second"
    second.write_bytes(DATA)
    glance_open.plant_location(made, f"file://{second}")
    glance_open.corrupt(made)
    staged = fetch(catalog_of(glance_open), made, tmp_path / "vm", first.parent, tmp_path).unwrap()
    assert [(tried.location and tried.location.url, tried.refusal is None) for tried in staged.attempts] == [
        (f"file://{first}", False),
        (f"file://{second}", True),
    ]
    assert (tmp_path / "vm").read_bytes() == DATA


def test_an_image_without_a_hash_lands_and_is_called_unverified(glance_open: Glance, tmp_path: Path) -> None:
    made = glance_open.create(DATA)["id"]
    glance_open.forget_hashes(made)
    staged = fetch(catalog_of(glance_open), made, tmp_path / "vm").unwrap()
    assert not staged.landing.verified


def test_a_download_goes_on_after_glance_crashed(start_glance: StartGlance, tmp_path: Path) -> None:
    glance = start_glance()
    big = DATA * 40
    made = glance.create(big)["id"]
    crashed: list[int] = []

    class Crash:
        def progress(self, done: int, total: int | None) -> None:
            if not crashed:
                crashed.append(done)
                glance.kill()
                glance.start()

    request = FetchRequest(made, str(tmp_path / "vm"), observer=Crash())
    assert isinstance(dispatcher(catalog_of(glance)).fetch(request), Success)
    assert (tmp_path / "vm").read_bytes() == big
    assert glance.server.log.entries(made, at_least=1, where=lambda each: each.range)


# Keystone.


def environment(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> GlanceCatalog:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return GlanceCatalog(lambda: connect_cloud(None))


def test_a_password_gets_a_token_and_the_endpoint(
    glance_keystone: Glance, keystone: Keystone, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = glance_keystone.create(DATA)["id"]
    catalog = environment(monkeypatch, keystone.variables(DEMO))
    assert fetch(catalog, made, tmp_path / "vm").unwrap().handler == "download"


def test_an_application_credential_does_too(
    glance_keystone: Glance, keystone: Keystone, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = glance_keystone.create(DATA)["id"]
    catalog = environment(monkeypatch, keystone.application_variables())
    assert isinstance(fetch(catalog, made, tmp_path / "vm"), Success)


def test_a_cloud_is_found_by_its_name_in_clouds_yaml(
    glance_keystone: Glance, keystone: Keystone, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = glance_keystone.create(DATA)["id"]
    variables = keystone.variables(DEMO)
    names = {
        "OS_AUTH_URL",
        "OS_USERNAME",
        "OS_PASSWORD",
        "OS_PROJECT_NAME",
        "OS_USER_DOMAIN_ID",
        "OS_PROJECT_DOMAIN_ID",
    }
    auth = "\n".join(
        f"      {name.removeprefix('OS_').lower()}: {value}" for name, value in variables.items() if name in names
    )
    region = variables.get("OS_REGION_NAME", "RegionOne")
    (tmp_path / "clouds.yaml").write_text(f"clouds:\n  gold:\n    region_name: {region}\n    auth:\n{auth}\n")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    catalog = GlanceCatalog(lambda: connect_cloud("gold"))
    assert isinstance(fetch(catalog, made, tmp_path / "vm"), Success)
    unknown = GlanceCatalog(lambda: connect_cloud("silver"))
    assert "silver" in str(unknown.find(made, ANONYMOUS).failure())


def test_a_wrong_password_is_a_failure_that_says_so(
    keystone: Keystone, glance_keystone: Glance, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = environment(monkeypatch, keystone.variables(DEMO) | {"OS_PASSWORD": "hunter2"})
    failure = catalog.find("noble", ANONYMOUS).failure()
    assert "credentials" in str(failure)
    assert "hunter2" not in str(failure)


def test_a_token_that_expires_on_the_way_is_renewed(
    start_keystone: StartKeystone, start_glance: StartGlance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keystone = start_keystone(expiration=8)
    glance = start_glance(locations=False, direct_url=False, keystone=keystone)
    keystone.point_image_endpoint(glance.url)
    made = glance.create(DATA)["id"]
    catalog = environment(monkeypatch, keystone.variables(DEMO))
    image = catalog.find(made, ANONYMOUS).unwrap()
    time.sleep(9)
    stream = catalog.read(image, 0, ANONYMOUS).unwrap()
    assert stream.readinto(memoryview(bytearray(10)))
    stream.close()
    assert replace(image, properties={}) == replace(catalog.find(made, ANONYMOUS).unwrap(), properties={})


def test_a_service_s_own_role_shows_it_the_locations(
    glance_keystone: Glance, keystone: Keystone, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = glance_keystone.create(DATA)["id"]
    catalog = environment(monkeypatch, keystone.variables(NOVA))
    image = catalog.find(made, ANONYMOUS).unwrap()
    assert [location.scheme for location in catalog.locations(image, ANONYMOUS).unwrap()] == ["file"]


# The command.


def test_the_command_fetches_from_a_cloud_by_its_name(glance_open: Glance, tmp_path: Path) -> None:
    made = glance_open.create(DATA, name="by command")
    auth = f"endpoint: {glance_open.url}, token: '{MEMBER}'"
    clouds = f"clouds: {{gold: {{auth_type: admin_token, auth: {{{auth}}}}}}}"
    (tmp_path / "clouds.yaml").write_text(clouds)
    named = {"OS_CLIENT_CONFIG_FILE": str(tmp_path / "clouds.yaml")}
    variables = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], **named}
    done = subprocess.run(
        [sys.executable, "-m", "lading", "fetch", "--os-cloud", "gold", "by command", str(tmp_path / "vm"), "--json"],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    told = json.loads(done.stdout)
    assert (told["image"], told["handler"], told["verified"]) == (made["id"], "download", True)
    assert (tmp_path / "vm").read_bytes() == DATA


def test_a_person_at_a_terminal_is_told_what_is_waited_for(faulty_server: FaultyServer, tmp_path: Path) -> None:
    faulty_server.answer("/v2/images/noble", Reply(after=BEFORE_THE_HEAD, then=STALL))
    auth = f"endpoint: '{faulty_server.url('')}', token: t"
    (tmp_path / "clouds.yaml").write_text(f"clouds: {{gold: {{auth_type: admin_token, auth: {{{auth}}}}}}}")
    terminal, its_end = pty.openpty()
    command = [sys.executable, "-m", "lading", "explain", "--os-cloud", "gold", "noble", str(tmp_path / "vm")]
    variables = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "OS_CLIENT_CONFIG_FILE": f"{tmp_path}/clouds.yaml"}
    with open(terminal, "rb", buffering=0) as screen, subprocess.Popen(command, env=variables, stderr=its_end) as run:
        os.close(its_end)
        shown = b""
        while b"waiting for" not in shown:  # it says so before it gives up
            shown += screen.read(1000)
        faulty_server.go_on()
        assert run.wait(60) == 7, "what it gets at last is no image"
    assert f"waiting for http://127.0.0.1:{faulty_server.port}".encode() in shown


def test_a_cloud_without_authentication_is_asked_without_credentials(
    glance_open: Glance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`auth_type: none`. This Glance wants one, and says so: a failure that says it too."""
    made = glance_open.create(DATA)["id"]
    (tmp_path / "clouds.yaml").write_text(
        f"clouds: {{open: {{auth_type: none, auth: {{endpoint: {glance_open.url}}}}}}}"
    )
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    failure = GlanceCatalog(lambda: connect_cloud("open")).find(made, ANONYMOUS).failure()
    assert "401" in str(failure)
    # What keystoneauth sends in a token's place.
    assert [access.token for access in glance_open.accesses(made, at_least=1)] == ["notused"]
