"""Images through a real squid, which alone knows the servers' names: from a cloud, S3, Swift and web servers."""

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from returns.result import Result, Success
from tests.integration.conftest import Lading
from tests.integration.services.glance import Glance, token
from tests.integration.services.nginx import Nginx
from tests.integration.services.registry import Registry
from tests.integration.services.rgw import KEY, Rgw
from tests.integration.services.squid import Squid
from tests.streams import ubuntu_tree

from lading import ANONYMOUS, Digest, Image, Landing, Location, Refusal, Work
from lading.adapters.catalogs.oci import OciCatalog
from lading.adapters.catalogs.simplestreams.catalog import SimplestreamsCatalog
from lading.adapters.catalogs.simplestreams.settings import SimplestreamsCatalogSettings
from lading.adapters.catalogs.url import UrlCatalog
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.http import HttpHandler
from lading.adapters.handlers.oci import OciHandler, OciHandlerSettings
from lading.adapters.handlers.s3 import S3Handler, S3HandlerSettings
from lading.adapters.handlers.swift import SwiftHandler, SwiftHandlerSettings
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.web.http import HttpOptions
from lading.adapters.web.network import Named, NetworkPolicy

DATA = os.urandom((2 << 20) + 5)
IMAGE = Image("id", size=len(DATA), disk_format="raw", digest=Digest("sha512", hashlib.sha512(DATA).hexdigest()))


@pytest.fixture(params=["squid", "private_squid"])
def proxy(request: pytest.FixtureRequest) -> Squid:
    """One for anybody, and one that wants credentials."""
    running: Squid = request.getfixturevalue(request.param)
    return running


def served(nginx: Nginx, tmp_path: Path) -> str:
    """A file of the test's own that nginx serves."""
    name = f"{tmp_path.name}.img"
    (nginx.folder / name).write_bytes(DATA)
    return name


def variables(proxy: Squid) -> Mapping[str, str]:
    return {"http_proxy": proxy.url, "https_proxy": proxy.url}


def fetch(handler: HttpHandler | S3Handler | SwiftHandler, target: Path, url: str) -> Result[Landing, Refusal]:
    return handler.fetch(Work(str(target), IMAGE, Location(url)))


def http(policy: NetworkPolicy) -> HttpHandler:
    return HttpHandler(HttpOptions(5, 5, policy), FileDestination(MemoryVerifiedFiles()), first_wait=0.01)


def test_an_http_url_comes_through_it(nginx: Nginx, proxy: Squid, tmp_path: Path) -> None:
    name = served(nginx, tmp_path)
    url = nginx.url(name, host="images.example")
    assert isinstance(fetch(http(NetworkPolicy.of(variables(proxy))), tmp_path / "vm", url), Success)
    assert (tmp_path / "vm").read_bytes() == DATA
    assert {(each.method, each.target) for each in proxy.requests(name, at_least=1)} == {("GET", url)}


def test_an_https_url_comes_through_it_and_is_verified(nginx: Nginx, proxy: Squid, tmp_path: Path) -> None:
    url = nginx.url(served(nginx, tmp_path), tls=True)
    trusting = NetworkPolicy.of({**variables(proxy), "REQUESTS_CA_BUNDLE": str(nginx.certificates.authority)})
    assert isinstance(fetch(http(trusting), tmp_path / "vm", url), Success)
    assert (tmp_path / "vm").read_bytes() == DATA
    server = f"127.0.0.1:{nginx.tls_port}"
    assert ("CONNECT", server) in {(each.method, each.target) for each in proxy.requests(server, at_least=1)}
    refused = fetch(http(NetworkPolicy.of(variables(proxy))), tmp_path / "other", url).failure()
    assert "certificate verify failed" in str(refused)


def test_a_url_and_its_checksum_file_come_through_it(nginx: Nginx, proxy: Squid, tmp_path: Path) -> None:
    name = served(nginx, tmp_path)
    (nginx.folder / f"{name}.sha512").write_text(f"{hashlib.sha512(DATA).hexdigest()}  {name}\n")
    url = nginx.url(name, host="images.example")
    policy = NetworkPolicy.of(variables(proxy))
    image = UrlCatalog(HttpOptions(5, 5, policy)).find(url, ANONYMOUS).unwrap()
    assert (image.size, image.digest) == (len(DATA), IMAGE.digest)
    assert isinstance(http(policy).fetch(Work(str(tmp_path / "vm"), image, image.locations[0])), Success)
    assert len(proxy.requests(name, at_least=3)) >= 3


def test_simplestreams_come_through_it(nginx: Nginx, proxy: Squid, tmp_path: Path) -> None:
    for path, content in ubuntu_tree().items():
        (nginx.folder / tmp_path.name / path).parent.mkdir(parents=True, exist_ok=True)
        (nginx.folder / tmp_path.name / path).write_bytes(content)
    url = nginx.url(f"{tmp_path.name}/", host="images.example")
    policy = NetworkPolicy.of(variables(proxy))
    settings = SimplestreamsCatalogSettings(url, tmp_path / "cache", architecture="amd64")
    found = SimplestreamsCatalog(settings, HttpOptions(5, 5, policy)).find("noble", ANONYMOUS).unwrap()
    image = replace(found, disk_format="raw")
    assert isinstance(http(policy).fetch(Work(str(tmp_path / "vm"), image, image.locations[0])), Success)
    assert len(proxy.requests(url, at_least=3)) >= 3


def test_an_image_in_a_registry_comes_through_it(registry: Registry, proxy: Squid, tmp_path: Path) -> None:
    repository = f"proxies/{tmp_path.name.replace('_', '-').lower()}-x"
    registry.push_artifact(repository, DATA, "1")
    host = f"images.example:{registry.port}"
    settings = OciHandlerSettings(insecure=(host,))
    registries = settings.registries(NetworkPolicy.of(variables(proxy)), first_wait=0.01)
    image = OciCatalog(registries).find(f"oci://{host}/{repository}:1", ANONYMOUS).unwrap()
    handler = OciHandler(registries, FileDestination(MemoryVerifiedFiles()))
    assert isinstance(handler.fetch(Work(str(tmp_path / "vm"), image, image.locations[0])), Success)
    assert (tmp_path / "vm").read_bytes() == DATA
    assert len(proxy.requests(repository, at_least=2)) >= 2


def test_without_credentials_a_private_proxy_is_told_of(nginx: Nginx, private_squid: Squid, tmp_path: Path) -> None:
    open_url = f"http://127.0.0.1:{private_squid.port}"
    policy = NetworkPolicy.of({"http_proxy": open_url, "https_proxy": open_url})
    for tls in (False, True):
        refused = fetch(http(policy), tmp_path / "vm", nginx.url(served(nginx, tmp_path), tls=tls)).failure()
        assert "wants credentials" in str(refused)


def test_a_server_that_it_forbids_is_a_refusal(squid: Squid, tmp_path: Path) -> None:
    refused = fetch(http(NetworkPolicy.of(variables(squid))), tmp_path / "vm", "https://forbidden.example/x").failure()
    told = f"the proxy 127.0.0.1:{squid.port} refuses to connect to forbidden.example:443: HTTP 403 Forbidden"
    assert refused.reason == told


@pytest.fixture
def in_cloud(glance_open: Glance, host: Path, lading: Lading) -> Callable[..., dict[str, object]]:
    """Fetches an image of a cloud whose name only the proxy knows, by the command: what it tells."""
    made = glance_open.create(DATA)["id"]
    endpoint = f"http://cloud.example:{glance_open.url.rpartition(':')[2]}"
    auth = f"endpoint: '{endpoint}', token: '{token('member', 'reader')}'"
    (host / "clouds.yaml").write_text(f"clouds: {{gold: {{auth_type: admin_token, auth: {{{auth}}}}}}}")

    def run(**given: str) -> dict[str, object]:
        done = lading(
            "fetch", "--os-cloud", "gold", made, "vms/1", "--json",
            OS_CLIENT_CONFIG_FILE=str(host / "clouds.yaml"), PYTHONWARNINGS="default", **given,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        told: dict[str, object] = json.loads(done.stdout)
        return told

    return run


def test_a_cloud_s_api_and_data_come_through_it(
    in_cloud: Callable[..., dict[str, object]], proxy: Squid, host: Path
) -> None:
    told = in_cloud(**variables(proxy))
    assert (told["handler"], told["verified"]) == ("download", True)
    assert (host / "vms" / "1").read_bytes() == DATA
    assert {each.method for each in proxy.requests(str(told["image"]), at_least=2)} == {"GET"}
    assert any(each.target.endswith("/file") for each in proxy.requests(str(told["image"])))


def test_a_proxy_in_the_settings_goes_before_the_variables(
    in_cloud: Callable[..., dict[str, object]], squid: Squid
) -> None:
    told = in_cloud(http_proxy="http://127.0.0.1:1", LADING_NETWORK__PROXY=squid.url)
    assert squid.requests(str(told["image"]), at_least=2)


def test_a_signed_request_for_an_object_in_s3_comes_through_it(rgw: Rgw, proxy: Squid, tmp_path: Path) -> None:
    bucket = rgw.bucket(f"proxies-{uuid.uuid4()}")
    rgw.put(bucket, tmp_path.name, DATA)
    policy = NetworkPolicy.of(variables(proxy))
    endpoint = f"http://images.example:{rgw.url.rpartition(':')[2]}"
    settings = S3HandlerSettings(endpoint, KEY.access, KEY.secret)
    handler = S3Handler(settings, FileDestination(MemoryVerifiedFiles()), network=policy, first_wait=0.01)
    assert isinstance(fetch(handler, tmp_path / "vm", f"s3://images.example/{bucket}/{tmp_path.name}"), Success)
    assert proxy.requests(tmp_path.name, at_least=1)


def test_signing_in_to_swift_and_the_object_come_through_it(rgw: Rgw, proxy: Squid, tmp_path: Path) -> None:
    container = rgw.bucket(f"proxies-{uuid.uuid4()}")
    rgw.put(container, tmp_path.name, DATA)
    server = f"images.example:{rgw.url.rpartition(':')[2]}"
    location = rgw.swift_location(container, tmp_path.name).replace(rgw.host, server)
    policy = NetworkPolicy.of(variables(proxy))
    settings = SwiftHandlerSettings(hosts=(server,))
    handler = SwiftHandler(settings, FileDestination(MemoryVerifiedFiles()), network=policy, first_wait=0.01)
    assert isinstance(fetch(handler, tmp_path / "vm", location), Success)
    assert proxy.requests(tmp_path.name, at_least=1)
    assert proxy.requests(f"{server}/auth", at_least=1)


def test_the_certificates_of_a_handler_go_before_all_others(nginx: Nginx, tmp_path: Path) -> None:
    policy = NetworkPolicy.of(
        {"REQUESTS_CA_BUNDLE": "/no/such.pem"}, ca_file=Named(str(nginx.certificates.authority), "x")
    )
    assert isinstance(fetch(http(policy), tmp_path / "vm", nginx.url(served(nginx, tmp_path), tls=True)), Success)
