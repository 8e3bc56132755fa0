"""Clouds as clouds.yaml and `OS_*` describe them: mistakes are told with their place, certificates hold for all."""

import json
import logging
import os
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
from keystoneauth1.session import Session
from keystoneauth1.token_endpoint import Token
from requests import Session as Requests
from tests.faulty_server import BEFORE_THE_HEAD, STALL, FaultyServer, Reply, busy
from tests.integration.services.certificates import Certificates, certificates
from tests.proxies import Proxy, TlsFront

from lading.adapters.catalogs.glance import GlanceCatalog
from lading.adapters.openstack.cloud import connect_cloud
from lading.adapters.openstack.transport import Limits
from lading.adapters.web.network import DIRECT, NetworkPolicy
from lading.ports.context import ANONYMOUS
from lading.ports.failures import SettingsError

# keystoneauth's connection pools are closed when they are collected, and not before.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
DATA = b"noble" * 1000
HIDDEN = "hunter2"
LOGIN = f"auth: {{auth_url: 'http://127.0.0.1:1/v3', username: me, password: {HIDDEN}, project_name: p}}"


@pytest.fixture(autouse=True)
def _no_cloud_of_the_tester(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [*(name for name in os.environ if name.startswith("OS_")), "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))


def configure(folder: Path, text: str, name: str = "clouds.yaml") -> None:
    (folder / name).write_text(text)


def fault(cloud: str | None = "gold") -> str:
    with pytest.raises(SettingsError) as raised:
        connect_cloud(cloud)
    assert HIDDEN not in str(raised.value)
    return str(raised.value)


# Mistakes.

MISTAKES: Mapping[str, tuple[str, str]] = {
    "a certificate that is not there": (f"{{cacert: /no/ca.pem, {LOGIN}}}", ".cacert: /no/ca.pem cannot be read"),
    "a client's certificate that is not there": (f"{{cert: /no/c.pem, {LOGIN}}}", ".cert: /no/c.pem cannot be read"),
    "its key": (f"{{cert: '{__file__}', key: /no/c.key, {LOGIN}}}", ".key: /no/c.key cannot be read"),
    "a certificate that is none": (
        f"{{cacert: '{__file__}', {LOGIN}}}",
        f"{__file__} holds no certificate in PEM form",
    ),
    "a certificate that is a list": (f"{{cacert: [a], {LOGIN}}}", ".cacert: expected the path of a PEM file"),
    "verify as a text": (f"{{verify: 'False', {LOGIN}}}", ".verify: expected true or false, without quotes, got 'Fal"),
    "a time that is none": (f"{{api_timeout: soon, {LOGIN}}}", ".api_timeout: expected a number of seconds, got 'soo"),
    "no time at all": (f"{{api_timeout: 0, {LOGIN}}}", ".api_timeout: expected a number of seconds, got 0"),
    "a URL only": ("{auth: {auth_url: 'http://127.0.0.1:1/v3'}}", ".auth.username: missing"),
    "no password": ("{auth: {auth_url: 'http://127.0.0.1:1/v3', username: me}}", ".auth.password: missing"),
    "nothing": ("{}", ".auth.auth_url: missing"),
    "no settings": ("", ": expected a mapping of settings"),
    "a text": ("yes", ": expected a mapping of settings"),
    "credentials that are a text": (f"{{auth: {HIDDEN}}}", ".auth: expected a mapping"),
    "an unknown credential": (f"{{auth: {{auth_url: 'http://x', passwrd: {HIDDEN}}}}}", ".auth.passwrd: unknown key"),
    "an unknown way to sign in": ("{auth_type: magic, auth: {auth_url: 'http://x'}}", ".auth_type: 'magic' is none"),
    "a URL that is a number": ("{auth: {auth_url: 5, username: me, password: p}}", ".auth.auth_url: expected a URL"),
    "a URL without a scheme": (
        "{auth: {auth_url: 'keystone:5000', username: me, password: p}}",
        ".auth.auth_url: expected a URL",
    ),
    "an endpoint without a scheme": (
        "{auth_type: admin_token, auth: {endpoint: 'glance:9292', token: t}}",
        ".auth.endpoint: expected a URL",
    ),
    "a brace": (f"{{cacert: '{{mine}}', {LOGIN}}}", ".cacert: a `{` is written `{{` here"),
}


@pytest.mark.parametrize(("settings", "told"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_in_clouds_yaml_is_told_with_file_and_setting(tmp_path: Path, settings: str, told: str) -> None:
    configure(tmp_path, f"clouds: {{gold: {settings}}}")
    assert f"{tmp_path}/clouds.yaml: clouds.gold" in fault()
    assert told in fault()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"clouds: {{gold: {{auth: {{password: {HIDDEN}", "is no YAML, line 1, column"),
        (f"password: '{HIDDEN}", "is no YAML, line 1, column"),
        ("- gold", "expected a mapping with `clouds:`"),
        ("cloud: {}", "clouds: expected a mapping of clouds by name"),
        ("clouds:", "clouds: expected a mapping of clouds by name"),
        ("clouds: [gold]", "clouds: expected a mapping of clouds by name"),
        ("clouds: {silver: {}}", "there is no cloud 'gold': found the clouds silver"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, text: str, told: str) -> None:
    configure(tmp_path, text)
    assert f"{tmp_path}/clouds.yaml: {told}" in fault()


def test_a_file_that_is_not_there_is_named_with_its_variable(tmp_path: Path) -> None:
    assert f"OS_CLIENT_CONFIG_FILE: {tmp_path}/clouds.yaml: there is no such file" in fault()


def test_a_file_that_cannot_be_looked_at_is_named_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / ("x" * 256)))
    assert "x: there is no such file, or it cannot be looked at" in fault()


def test_a_mistake_in_secure_yaml_is_told_with_that_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(tmp_path, "clouds: {gold: {auth: {auth_url: 'http://127.0.0.1:1/v3', username: me}}}")
    configure(tmp_path, f"clouds: {{gold: [{HIDDEN}]}}", "secure.yaml")
    monkeypatch.setenv("OS_CLIENT_SECURE_FILE", str(tmp_path / "secure.yaml"))
    assert f"{tmp_path}/secure.yaml: clouds.gold: expected a mapping" in fault()
    configure(tmp_path, f"clouds: {{gold: {{auth: {{password: {HIDDEN}}}}}}}", "secure.yaml")
    assert connect_cloud("gold")


def test_an_unknown_cloud_is_told_with_the_file_and_the_known_ones(tmp_path: Path) -> None:
    configure(tmp_path, f"clouds: {{silver: {{{LOGIN}}}, golden: {{{LOGIN}}}}}")
    with pytest.raises(SettingsError) as raised:
        connect_cloud("gold")
    explained = raised.value.explanation
    assert (explained.reason, explained.place) == ("there is no cloud 'gold'", f"{tmp_path}/clouds.yaml")
    assert (explained.found, explained.advice) == ("the clouds golden, silver", "did you mean golden?")


def test_without_a_clouds_yaml_the_searched_files_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OS_CLIENT_CONFIG_FILE", raising=False)
    monkeypatch.setattr("openstack.config.loader.CONFIG_FILES", [f"{tmp_path}/{each}/clouds.yaml" for each in "ab"])
    told = fault("gold")
    assert f"searched: {tmp_path}/a/clouds.yaml, {tmp_path}/b/clouds.yaml" in told
    assert "OS_CLIENT_CONFIG_FILE names a file elsewhere" in told


def test_credentials_that_are_not_accepted_are_told_with_user_and_url(tmp_path: Path) -> None:
    with FaultyServer() as keystone:
        url = keystone.answer("/v3/auth/tokens", Reply(b"{}", status=401)).removesuffix("/auth/tokens")
        configure(
            tmp_path,
            f"clouds: {{gold: {{auth: {{auth_url: '{url}', username: me, password: {HIDDEN}, project_name: demo,"
            " user_domain_name: d, project_domain_name: d}}}",
        )
        failure = GlanceCatalog(lambda: connect_cloud("gold", network=DIRECT)).find("noble", ANONYMOUS).failure()
    assert "does not accept the credentials" in failure.explanation.reason
    assert failure.explanation.place == f"{url}, user me, project demo, set by {tmp_path}/clouds.yaml: clouds.gold"
    assert HIDDEN not in str(failure)


def test_that_no_cloud_is_named_at_all_is_said(tmp_path: Path) -> None:
    configure(tmp_path, "clouds: {}")
    assert "no cloud is named: expected OS_CLOUD, a cloud in the settings, or OS_AUTH_URL, found none" in fault(None)


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"OS_CACERT": "/no/ca.pem"}, "OS_CACERT: /no/ca.pem cannot be read: No such file or directory"),
        ({"OS_API_TIMEOUT": "soon"}, "OS_API_TIMEOUT: expected a number of seconds, got 'soon'"),
        ({"OS_PASSWORD": ""}, "OS_PASSWORD: missing"),
    ],
)
def test_a_mistake_in_a_variable_is_told_with_its_name(
    monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str], told: str
) -> None:
    monkeypatch.delenv("OS_CLIENT_CONFIG_FILE")
    given = {"OS_AUTH_URL": "http://127.0.0.1:1/v3", "OS_USERNAME": "me", "OS_PASSWORD": HIDDEN, **variables}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert told in fault(None)


def test_the_clouds_of_one_process_share_no_credentials(tmp_path: Path) -> None:
    configure(tmp_path, f"clouds: {{gold: {{{LOGIN}}}}}")
    connect_cloud("gold")
    configure(tmp_path, "clouds: {gold: {auth: {auth_url: 'http://127.0.0.1:1/v3', username: me}}}")
    assert ".auth.password: missing" in fault()


# Certificates and proxies: the API's are the data's.


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    """Answers as a Glance with one image."""
    with FaultyServer() as running:
        image = {"id": "noble", "status": "active", "size": len(DATA), "disk_format": "raw"}
        running.answer("/v2/images/noble", Reply(json.dumps(image).encode()))
        running.answer("/v2/images/noble/file", Reply(DATA))
        yield running


def serving(trusted: Certificates, *, asks_for_one: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusted.server, trusted.key)
    if asks_for_one:
        context.load_verify_locations(trusted.authority)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def cloud(folder: Path, url: str, settings: str = "") -> None:
    configure(folder, f"clouds: {{gold: {{auth_type: admin_token, auth: {{endpoint: '{url}', token: t}}{settings}}}}}")


def read(network: NetworkPolicy | None = None, catalog: GlanceCatalog | None = None) -> bytes:
    """The image's data, by the catalog alone, by default that of the cloud. Raises its failures."""
    catalog = catalog or GlanceCatalog(lambda: connect_cloud("gold", network=network))
    image = catalog.find("noble", ANONYMOUS).unwrap()
    stream = catalog.read(image, 0, ANONYMOUS).unwrap()
    data, buffer = b"", bytearray(1 << 16)
    while count := stream.readinto(memoryview(buffer)):
        data += buffer[:count]
    stream.close()
    return data


def test_a_server_that_nobody_vouches_for_is_refused(
    server: FaultyServer, trusted: Certificates, tmp_path: Path
) -> None:
    with TlsFront(server.port, serving(trusted)) as front:
        cloud(tmp_path, f"https://127.0.0.1:{front.port}")
        catalog = GlanceCatalog(lambda: connect_cloud("gold"))
        assert "certificate verify failed" in str(catalog.find("noble", ANONYMOUS).failure())
    assert server.requests == []


@pytest.mark.parametrize("settings", ["cacert: {authority}", "verify: false", "insecure: true"])
def test_what_the_cloud_says_of_certificates_holds_for_the_data(
    server: FaultyServer, trusted: Certificates, tmp_path: Path, settings: str
) -> None:
    with TlsFront(server.port, serving(trusted)) as front:
        cloud(tmp_path, f"https://127.0.0.1:{front.port}", f", {settings.format(authority=trusted.authority)}")
        assert read() == DATA


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_what_the_variables_say_of_certificates_holds_for_the_data(
    server: FaultyServer, trusted: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(trusted.authority))
    with TlsFront(server.port, serving(trusted)) as front:
        cloud(tmp_path, f"https://127.0.0.1:{front.port}")
        assert read() == DATA


def test_the_client_shows_its_certificate_for_the_data_too(
    server: FaultyServer, trusted: Certificates, tmp_path: Path
) -> None:
    with TlsFront(server.port, serving(trusted, asks_for_one=True)) as front:
        shown = f", cacert: {trusted.authority}, cert: {trusted.server}, key: {trusted.key}"
        cloud(tmp_path, f"https://127.0.0.1:{front.port}", shown)
        assert read() == DATA


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_proxy_of_the_api_is_that_of_the_data(
    server: FaultyServer, trusted: Certificates, tmp_path: Path, scheme: str
) -> None:
    with TlsFront(server.port, serving(trusted)) as front:
        port = front.port if scheme == "https" else server.port
        with Proxy({"localhost": port}) as proxy:
            cloud(tmp_path, f"{scheme}://localhost:1", f", cacert: {trusted.authority}")
            assert read(NetworkPolicy.of({f"{scheme}_proxy": proxy.url("me:hush")})) == DATA
            methods = {asked.method for asked in proxy.asked}
            assert methods == {"CONNECT" if scheme == "https" else "GET"}
            assert len(proxy.asked) == 2
            assert {asked.headers["proxy-authorization"] for asked in proxy.asked} == {"Basic bWU6aHVzaA=="}
    assert not any("proxy-authorization" in request.headers for request in server.requests)


def test_a_service_s_own_session_says_how_its_data_is_reached(
    server: FaultyServer, trusted: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    with TlsFront(server.port, serving(trusted)) as front, Proxy({"localhost": front.port}) as proxy:
        plain = Requests()
        plain.trust_env = False
        plain.proxies = {"https": proxy.url()}
        auth = Token("https://localhost:1", "t")
        catalog = GlanceCatalog.from_session(Session(auth, plain, verify=str(trusted.authority)))
        assert read(catalog=catalog) == DATA
        assert [asked.method for asked in proxy.asked] == ["CONNECT", "CONNECT"]


def test_what_no_proxy_lists_is_asked_directly_by_both(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.0/8")
    cloud(tmp_path, server.url(""))
    assert read() == DATA


def test_a_proxy_that_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    with Proxy({}, b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n") as proxy:
        cloud(tmp_path, "https://localhost:1")
        network = NetworkPolicy.of({"https_proxy": proxy.url(f"me:{HIDDEN}")})
        catalog = GlanceCatalog(lambda: connect_cloud("gold", network=network))
        told = str(catalog.find("noble", ANONYMOUS).failure())
        assert len(proxy.asked) == 1
    assert "407 Proxy Authentication Required" in told
    assert HIDDEN not in told


# Limits.


@pytest.fixture
def _no_endless_wait(server: FaultyServer) -> Iterator[None]:
    """Ends a client's wait after a minute, for one that sets no limit itself."""
    guard = threading.Timer(60, server.go_on)
    guard.start()
    yield
    guard.cancel()
    guard.join()


def test_a_server_that_never_answers_is_given_up(server: FaultyServer, tmp_path: Path) -> None:
    server.answer("/v2/images/noble", Reply(b"", after=BEFORE_THE_HEAD, then=STALL))
    cloud(tmp_path, server.url(""))
    catalog = GlanceCatalog(lambda: connect_cloud("gold", network=DIRECT, limits=Limits(5, 0.2)))
    told = str(catalog.find("noble", ANONYMOUS).failure())
    assert "timed out; api_timeout in clouds.yaml, or OS_API_TIMEOUT, is how many seconds that may take" in told
    assert len(server.requests) <= 1


@pytest.mark.usefixtures("_no_endless_wait")
@pytest.mark.parametrize(
    ("settings", "limits"), [("", Limits(5, 0.2)), (", api_timeout: 0.2", None)], ids=["limits", "api_timeout"]
)
def test_a_keystone_that_never_answers_is_given_up_and_named(
    server: FaultyServer, tmp_path: Path, settings: str, limits: Limits | None
) -> None:
    url = server.answer("/v3/auth/tokens", Reply(b"", after=BEFORE_THE_HEAD, then=STALL))
    sign_in = LOGIN.replace("http://127.0.0.1:1/v3", server.url("/v3"))
    configure(tmp_path, f"clouds: {{gold: {{{sign_in}{settings}}}}}")
    catalog = GlanceCatalog(lambda: connect_cloud("gold", network=DIRECT, limits=limits))
    told = str(catalog.find("noble", ANONYMOUS).failure())
    assert f"{url} timed out; api_timeout in clouds.yaml, or OS_API_TIMEOUT, is how many seconds that may take" in told
    assert HIDDEN not in told


def test_a_second_try_is_told(server: FaultyServer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "lading.waiting")
    good = Reply(json.dumps({"id": "noble", "status": "active"}).encode())
    server.answer("/v2/images/noble", busy(503, retry_after=0), good)
    cloud(tmp_path, server.url(""))
    assert GlanceCatalog(lambda: connect_cloud("gold", network=DIRECT)).find("noble", ANONYMOUS).unwrap().id == "noble"
    assert f"waiting for Glance at http://127.0.0.1:{server.port}, try 2" in caplog.messages


@pytest.mark.parametrize("retry_after", [0, 30])
def test_a_retry_after_lengthens_the_backoff_and_never_shortens_it(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, retry_after: int
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("lading.adapters.openstack.cloud.time", SimpleNamespace(sleep=waited.append))
    server.answer("/v2/images/noble", busy(retry_after=retry_after))
    cloud(tmp_path, server.url(""))
    failure = GlanceCatalog(lambda: connect_cloud("gold", network=DIRECT)).find("noble", ANONYMOUS).failure()
    assert "HTTP 503" in str(failure)
    assert len(waited) == 4
    assert all(seconds > 0 and seconds >= retry_after for seconds in waited)


def test_a_server_that_takes_no_connection_is_given_up(tmp_path: Path) -> None:
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for each in (first, second):  # the queue is full then, and the system ignores whoever comes next
            each.settimeout(0)
            each.connect_ex(full.getsockname())
        cloud(tmp_path, f"http://127.0.0.1:{full.getsockname()[1]}")
        catalog = GlanceCatalog(lambda: connect_cloud("gold", network=DIRECT, limits=Limits(0.2, 60)))
        assert "timed out" in str(catalog.find("noble", ANONYMOUS).failure())


def test_the_cloud_s_own_limit_goes_before_lading_s(server: FaultyServer, tmp_path: Path) -> None:
    server.answer("/v2/images/noble", Reply(b"", after=BEFORE_THE_HEAD, then=STALL))
    cloud(tmp_path, server.url(""), ", api_timeout: 0.2")
    catalog = GlanceCatalog(lambda: connect_cloud("gold", network=DIRECT))
    assert "timed out" in str(catalog.find("noble", ANONYMOUS).failure())


def test_a_cloud_has_limits_by_default(server: FaultyServer, tmp_path: Path) -> None:
    cloud(tmp_path, server.url(""))
    adapter = connect_cloud("gold").session.session.get_adapter("https://x")
    assert vars(adapter)["_limits"] == (10.0, 30.0)
