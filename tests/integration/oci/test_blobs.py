"""The handler's blobs: redirects to other hosts, ranges, tokens that expire, and where locations may lead."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from returns.result import Success
from tests.faulty_server import CUT, FaultyServer, Reply, busy, redirect
from tests.integration.oci.conftest import OciHost
from tests.integration.services.nginx import Nginx, nginx
from tests.integration.services.registry import Registry
from tests.packages import needs

from lading import (
    ANONYMOUS,
    Context,
    Digest,
    Image,
    ImageNotFound,
    Location,
    Mismatched,
    Scope,
    Unavailable,
    Unsupported,
)
from lading.adapters.catalogs.oci import OciCatalog
from lading.adapters.catalogs.oci_settings import OciCatalogSettings
from lading.adapters.handlers.oci import OciHandlerSettings
from lading.adapters.oci.reference import Reference

DATA = os.urandom((1 << 20) + 512)
HEX = hashlib.sha256(DATA).hexdigest()
DIGEST = Digest("sha256", HEX)
LOOPBACK = OciHandlerSettings(allowed_networks=("127.0.0.0/8",), allowed_ports=())
BLOB = f"/v2/vms/noble/blobs/sha256:{HEX}"


def image_at(server: FaultyServer, *, trusted: bool = True, digest: Digest | None = DIGEST) -> Image:
    url = f"oci://127.0.0.1:{server.port}/vms/noble@sha256:{HEX}"
    return Image("id", size=len(DATA), digest=digest, locations=[Location(url, trusted=trusted)])


# Redirects to a CDN.


@pytest.fixture
def cdn(private_registry: Registry, repository: str, tmp_path: Path) -> Iterator[Nginx]:
    """Stands before the registry, and redirects requests for blobs to itself under another name.

    There an Authorization is an error, as at an S3 that signs its URLs.
    """
    needs("nginx")
    (top := tmp_path / "nginx").mkdir()
    locations = f"""
        location /v2/ {{ proxy_pass {private_registry.url}; proxy_set_header Host $http_host; }}
        location ~ ^/v2/.+/blobs/(sha256:[0-9a-f]+)$ {{
            if ($http_authorization = "") {{ proxy_pass {private_registry.url}; }}
            return 307 http://localhost:$server_port/signed/$1?X-Amz-Signature=secret;
        }}
        location /signed/ {{
            alias {top}/served/;
            if ($http_authorization) {{ return 400; }}
        }}"""
    with nginx(top, locations=locations) as running:
        (running.folder / f"sha256:{HEX}").write_bytes(DATA)
        yield running


def test_a_blob_comes_from_a_redirect_without_the_authorization(
    cdn: Nginx, private_registry: Registry, repository: str, oci_host: OciHost
) -> None:
    private_registry.push_artifact(repository, DATA, "1")
    host = f"127.0.0.1:{cdn.port}"
    oci_host.settings = OciHandlerSettings(
        passwords={host: "carrier:registry-password"}, allowed_networks=("127.0.0.0/8",), allowed_ports=()
    )
    oci_host.fetch(f"oci://{host}/{repository}:1")
    assert oci_host.landed == DATA
    assert any("/signed/" in each.target and each.authorization is None for each in cdn.accesses())


def test_a_redirect_to_this_host_is_refused_although_the_registry_is_trusted(
    faulty_server: FaultyServer, oci_host: OciHost
) -> None:
    faulty_server.answer(BLOB, redirect("http://localhost:1/x"))
    refused = oci_host.fetch_image(image_at(faulty_server)).failure()
    assert isinstance(refused, Unavailable)
    assert "the server redirects to a forbidden place" in str(refused)


def test_a_token_goes_to_its_registry_only(faulty_server: FaultyServer, oci_host: OciHost) -> None:
    with FaultyServer() as other:
        oci_host.settings = LOOPBACK
        other.answer("/elsewhere", Reply(DATA))
        realm = faulty_server.url("/token")
        challenge = Reply(status=401, headers=[("WWW-Authenticate", f'Bearer realm="{realm}",service="s"')])
        faulty_server.answer("/token?scope=repository%3Avms%2Fnoble%3Apull&service=s", Reply(b'{"token": "t0ken"}'))
        faulty_server.answer(BLOB, challenge, redirect(other.url("/elsewhere")))
        assert isinstance(oci_host.fetch_image(image_at(faulty_server)), Success)
        assert faulty_server.requests_for(BLOB)[-1].headers["authorization"] == "Bearer t0ken"
        assert ["authorization" in each.headers for each in other.requests] == [False]


def test_the_challenge_of_a_redirects_server_is_not_answered(faulty_server: FaultyServer, oci_host: OciHost) -> None:
    """That server could name a token server of its own, and get the registry's password."""
    with FaultyServer() as other:
        registry = f"127.0.0.1:{faulty_server.port}"
        oci_host.settings = OciHandlerSettings(
            passwords={registry: "user:hunter2"}, allowed_networks=("127.0.0.0/8",), allowed_ports=()
        )
        challenge = ("WWW-Authenticate", f'Bearer realm="{other.url("/token")}"')
        other.answer("/elsewhere", Reply(status=401, headers=[challenge]))
        faulty_server.answer(BLOB, redirect(other.url("/elsewhere")))
        refused = oci_host.fetch_image(image_at(faulty_server)).failure()
        assert "hunter2" not in str(refused)
        assert {each.path for each in other.requests} == {"/elsewhere"}


# Downloads that break off.


def test_a_blob_that_breaks_off_resumes_with_a_fresh_token(faulty_server: FaultyServer, oci_host: OciHost) -> None:
    """The token expires during the download."""
    oci_host.settings = LOOPBACK
    challenge = Reply(status=401, headers=[("WWW-Authenticate", f'Bearer realm="{faulty_server.url("/token")}"')])
    path = "/token?scope=repository%3Avms%2Fnoble%3Apull"
    faulty_server.answer(path, *(Reply(json.dumps({"token": name}).encode()) for name in ("first", "second")))
    faulty_server.answer(BLOB, challenge, Reply(DATA, after=700_000, then=CUT), challenge, Reply(DATA))
    assert isinstance(oci_host.fetch_image(image_at(faulty_server)), Success)
    assert oci_host.landed == DATA
    sent = [(each.headers.get("authorization"), each.range) for each in faulty_server.requests_for(BLOB)]
    assert sent == [
        (None, None), ("Bearer first", None), ("Bearer first", "bytes=700000-"), ("Bearer second", "bytes=700000-"),
    ]  # fmt: skip


def test_a_busy_registry_is_asked_again(faulty_server: FaultyServer, oci_host: OciHost) -> None:
    faulty_server.answer(BLOB, busy(), busy(429), Reply(DATA))
    assert isinstance(oci_host.fetch_image(image_at(faulty_server)), Success)


# The digest.


@pytest.mark.parametrize("digest", [DIGEST, None], ids=["catalog's", "location's"])
def test_a_blob_with_another_digest_is_refused(
    faulty_server: FaultyServer, oci_host: OciHost, digest: Digest | None
) -> None:
    faulty_server.answer(BLOB, Reply(DATA[:-1] + bytes([DATA[-1] ^ 1])))
    refused = oci_host.fetch_image(image_at(faulty_server, digest=digest)).failure()
    assert isinstance(refused, Mismatched)


def test_the_locations_digest_verifies_an_image_without_one(faulty_server: FaultyServer, oci_host: OciHost) -> None:
    faulty_server.answer(BLOB, Reply(DATA))
    assert oci_host.fetch_image(image_at(faulty_server, digest=None)).unwrap().verified


# Where a location may lead.


def test_a_location_on_this_host_is_refused_unless_the_operator_named_it(
    faulty_server: FaultyServer, oci_host: OciHost
) -> None:
    """Else anybody who may set locations could make this host request its own services."""
    refused = oci_host.fetch_image(image_at(faulty_server, trusted=False)).failure()
    assert "[handlers.oci] allowed_hosts, allowed_ports and allowed_networks" in str(refused)
    assert faulty_server.requests == []


def test_a_registry_that_a_user_names_is_guarded(faulty_server: FaultyServer, oci_host: OciHost) -> None:
    """Only a request without a user is the operator's."""
    reference, user = f"127.0.0.1:{faulty_server.port}/vms/noble:1", Context("user")
    for settings in (OciCatalogSettings(), OciCatalogSettings("127.0.0.1:1")):
        catalog = OciCatalog(oci_host.registries(), settings)
        failure = catalog.find(f"oci://{reference}", user).failure()
        assert "[handlers.oci] allowed_hosts, allowed_ports and allowed_networks" in str(failure)
        image = image_at(faulty_server)
        image = replace(image, id=f"{image.locations[0]}")
        assert [each.trusted for each in catalog.locations(image, user).unwrap()] == [False]
        assert [each.trusted for each in catalog.locations(image, ANONYMOUS).unwrap()] == [True]
    assert faulty_server.requests == []
    own = OciCatalog(oci_host.registries(), OciCatalogSettings(f"127.0.0.1:{faulty_server.port}/vms"))
    assert isinstance(own.find("noble:1", user).failure(), ImageNotFound)
    assert [each.path for each in faulty_server.requests] == ["/v2/vms/noble/manifests/1"]


def test_an_insecure_registry_is_requested_by_http(faulty_server: FaultyServer, oci_host: OciHost) -> None:
    faulty_server.answer(BLOB, Reply(DATA))
    oci_host.settings = OciHandlerSettings(insecure=(f"127.0.0.1:{faulty_server.port}",))
    assert isinstance(oci_host.fetch_image(image_at(faulty_server, trusted=False)), Success)


@pytest.mark.parametrize(
    ("registry", "trusted", "server"),
    [
        ("registry.example", True, "https://registry.example"),
        ("127.0.0.1:5000", False, "https://127.0.0.1:5000"),
        ("127.0.0.1:5000", True, "http://127.0.0.1:5000"),
        ("[::1]:5000", True, "http://[::1]:5000"),
        ("localhost", True, "http://localhost"),
        ("localhost.example", True, "https://localhost.example"),
        ("registry.lan:5000", False, "http://registry.lan:5000"),
        ("registry.lan", False, "https://registry.lan"),
        ("docker.io", False, "https://registry-1.docker.io"),
    ],
)
def test_registries_are_requested_by_https(oci_host: OciHost, registry: str, trusted: bool, server: str) -> None:
    """But for those that the settings list, and for this host's own that the operator typed."""
    oci_host.settings = OciHandlerSettings(insecure=("registry.lan:5000",))
    named = Reference.of(f"oci://{registry}/vms/noble@{DIGEST}")
    assert oci_host.registries().blob(named, trusted=trusted).origin(0).url == f"{server}{BLOB}"


@pytest.mark.parametrize(
    "url",
    [
        "oci://registry.example/vms/noble:1.2",
        "oci://registry.example/vms/noble@md5:ab",
        "oci://registry.example/vms/../noble@sha256:" + HEX,
        "oci://registry.example/VMS@sha256:" + HEX,
        "oci://regi stry/vms@sha256:" + HEX,
        "oci://registry.example@sha256:" + HEX,
        "oci://registry.example:99999/vms@sha256:" + HEX,
        "oci://registry.example/vms@sha256:" + HEX + "?x=hunter2",
        "oci://user:hunter2@registry.example",
        "oci://user:hun\x00ter2@registry.example/a",
        "oci:registry.example/vms@sha256:" + HEX,
        "oci://***@registry.example/vms",
    ],
)
def test_what_is_no_location_of_a_blob_is_refused(oci_host: OciHost, url: str) -> None:
    refused = oci_host.fetch_image(Image("id", locations=[Location(url)])).failure()
    assert isinstance(refused, Unsupported)
    assert refused.scope is Scope.LOCATION
    assert "hun" not in str(refused)
