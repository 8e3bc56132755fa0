"""How servers are reached and trusted: settings over variables, and the variables as curl and requests take them."""

import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lading.adapters.config.settings import read_settings
from lading.adapters.web.network import DIRECT, Named, NetworkPolicy, Proxy
from lading.ports.failures import SettingsError

PROXY = "http://proxy.example:3128"


def asked(environ: dict[str, str], scheme: str, host: str = "images.example", port: int = 80) -> str | None:
    proxy = NetworkPolicy.of(environ).proxy_for(scheme, host, port)
    return str(proxy) if proxy else None


@pytest.mark.parametrize(
    ("environ", "http", "https"),
    [
        ({}, None, None),
        ({"http_proxy": "a:1"}, "a:1", None),
        ({"https_proxy": "a:1"}, None, "a:1"),
        ({"all_proxy": "a:1"}, "a:1", "a:1"),
        ({"HTTP_PROXY": "a:1", "HTTPS_PROXY": "b:2"}, "a:1", "b:2"),
        ({"http_proxy": "a:1", "HTTP_PROXY": "b:2"}, "a:1", None),
        ({"http_proxy": "", "HTTP_PROXY": "b:2"}, None, None),
        ({"ALL_PROXY": "a:1", "https_proxy": "b:2"}, "a:1", "b:2"),
        # A web server hands a client's header to a CGI program like this.
        ({"HTTP_PROXY": "evil:1", "REQUEST_METHOD": "GET"}, None, None),
        ({"http_proxy": "a:1", "HTTP_PROXY": "evil:1", "REQUEST_METHOD": "GET"}, "a:1", None),
        ({"http_proxy": PROXY}, "proxy.example:3128", None),
        ({"http_proxy": "http://proxy.example/"}, "proxy.example:80", None),
        ({"http_proxy": "http://[fd00::1]:3128"}, "[fd00::1]:3128", None),
    ],
)
def test_the_variables_name_a_proxy_for_each_scheme(
    environ: dict[str, str], http: str | None, https: str | None
) -> None:
    assert (asked(environ, "http"), asked(environ, "https")) == (http, https)


@pytest.mark.parametrize(
    ("no_proxy", "host", "port"),
    [
        ("*", "images.example", 80),
        ("images.example", "images.example", 80),
        ("example", "images.example", 80),
        (".example", "images.example", 80),
        (".images.example", "images.example", 80),
        ("*.example", "images.example", 80),
        ("IMAGES.example.", "images.EXAMPLE", 80),
        ("other, images.example", "images.example", 80),
        ("other images.example", "images.example", 80),
        ("images.example:8080", "images.example", 8080),
        ("10.0.0.1", "10.0.0.1", 80),
        ("10.0.0.1:80", "10.0.0.1", 80),
        ("10.0.0.0/8", "10.1.2.3", 80),
        ("10.0.0.1/8", "10.1.2.3", 80),
        ("fd00::/8", "fd12::1", 80),
        ("[fd12::1]", "fd12::1", 80),
        ("[fd12::1]:80", "fd12::1", 80),
        ("fd12:0::1", "[fd12::1]", 80),
    ],
)
def test_what_no_proxy_lists_is_asked_directly(no_proxy: str, host: str, port: int) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        assert asked({"http_proxy": PROXY, name: no_proxy}, "http", host, port) is None


@pytest.mark.parametrize(
    ("no_proxy", "host", "port"),
    [
        ("", "images.example", 80),
        (" , ", "images.example", 80),
        (".", "images.example", 80),
        ("mages.example", "images.example", 80),
        ("images.example", "images.example.evil.example", 80),
        ("images.example:8080", "images.example", 80),
        ("10.0.0.0/8", "11.0.0.1", 80),
        ("10.0.0.0/8", "10.example", 80),
        ("10.0.0.1:8080", "10.0.0.1", 80),
        ("0.0.1", "10.0.0.1", 80),
        ("10.0.0.0/99", "10.0.0.1", 80),
        ("0.0.0.0/0", "fd00::1", 80),
        ("localhost", "127.0.0.1", 80),
    ],
)
def test_what_no_proxy_does_not_list_is_asked_of_the_proxy(no_proxy: str, host: str, port: int) -> None:
    assert asked({"http_proxy": PROXY, "no_proxy": no_proxy}, "http", host, port) == "proxy.example:3128"


@pytest.mark.parametrize(
    "url",
    ["https://me:hush@proxy.example", "socks5h://me:hush@proxy.example:1080", "http://", "proxy.example:99999", "a b"],
)
def test_a_proxy_that_cannot_be_used_is_named_by_its_variable(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^all_proxy: expected http://HOST:PORT") as raised:
        asked({"all_proxy": url}, "http")
    assert "hush" not in str(raised.value)
    assert asked({"all_proxy": url, "no_proxy": "*"}, "http") is None, "what is not used need not be right"


@example("proxy", "a:" + "9" * 5000)
@given(st.text(max_size=30), st.text(max_size=30))
def test_no_text_of_a_variable_is_an_error_that_shows_it(url: str, exempt: str) -> None:
    policy = NetworkPolicy.of({"http_proxy": f"http://me:hush@{url}", "no_proxy": exempt})
    with suppress(SettingsError):
        assert "hush" not in str(policy.proxy_for("http", "images.example", 80))
        policy.proxy_for("http", "10.0.0.1", 80)


def test_settings_go_before_the_variables() -> None:
    document = {"network": {"proxy": "set.example:1", "no_proxy": ["10.0.0.0/8"], "ca_file": "/set.pem"}}
    environ = {"http_proxy": PROXY, "no_proxy": "images.example", "REQUESTS_CA_BUNDLE": "/variable.pem"}
    policy = read_settings(document, {"HOME": "/home/me", **environ}).network
    assert str(policy.proxy_for("http", "images.example", 80)) == "set.example:1"
    assert policy.proxy_for("https", "10.0.0.1", 443) is None
    assert policy.ca_file == Named("/set.pem", "network.ca_file")
    left = read_settings({}, {"HOME": "/home/me", **environ}).network
    assert left == NetworkPolicy.of(environ)


def test_a_proxy_in_the_settings_is_checked_when_they_are_read() -> None:
    url = "socks5://me:hush@proxy.example"
    for document, environ, place in (
        ({"network": {"proxy": url}}, {}, "network.proxy"),
        ({}, {"LADING_NETWORK__PROXY": url}, "LADING_NETWORK__PROXY: network.proxy"),
    ):
        with pytest.raises(SettingsError) as raised:
            read_settings(document, {"HOME": "/home/me", **environ})
        assert str(raised.value).startswith(f"{place}: expected http://HOST:PORT")
        assert "hush" not in str(raised.value)


def test_no_repr_shows_the_credentials_of_a_proxy() -> None:
    policy = NetworkPolicy.of({"http_proxy": "http://me:hush@proxy.example:3128"})
    proxy = policy.proxy_for("http", "images.example", 80)
    assert proxy is not None
    assert proxy.headers == {"Proxy-Authorization": "Basic bWU6aHVzaA=="}
    assert "hush" not in f"{policy!r} {proxy!r} {proxy}"


def test_credentials_of_a_proxy_are_percent_decoded() -> None:
    proxy = Proxy.of(Named("http://me:p%40ss%3aword@proxy.example", "http_proxy"))
    assert proxy.headers == {"Proxy-Authorization": "Basic bWU6cEBzczp3b3Jk"}
    assert Proxy.of(Named("proxy.example", "http_proxy")).headers == {}


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({"REQUESTS_CA_BUNDLE": "/a", "CURL_CA_BUNDLE": "/b", "SSL_CERT_FILE": "/c"}, "REQUESTS_CA_BUNDLE"),
        ({"REQUESTS_CA_BUNDLE": "", "CURL_CA_BUNDLE": "/b", "SSL_CERT_FILE": "/c"}, "CURL_CA_BUNDLE"),
        ({"SSL_CERT_FILE": "/c"}, "SSL_CERT_FILE"),
    ],
)
def test_the_variables_name_the_certificates_to_trust(environ: dict[str, str], place: str) -> None:
    ca_file = NetworkPolicy.of(environ).ca_file
    assert ca_file is not None
    assert (ca_file.place, ca_file.text) == (place, environ[place])


def test_certificates_that_cannot_be_used_are_named_with_their_setting(tmp_path: Path) -> None:
    (tmp_path / "nonsense.pem").write_text("nonsense")
    certificate, key, locked = tmp_path / "one.pem", tmp_path / "one.key", tmp_path / "locked.key"
    openssl = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/CN=x"]
    made = [*openssl, "-keyout", str(key), "-out", str(certificate), "-noenc"]
    subprocess.run(made, check=True, capture_output=True)
    subprocess.run(
        ["openssl", "ec", "-in", str(key), "-aes256", "-passout", "pass:hush", "-out", str(locked)],
        check=True,
        capture_output=True,
    )

    def fault(ca: str | None = None, certificate: Path | None = None, key: Path | None = None) -> str:
        policy = NetworkPolicy(
            ca_file=Named(str(tmp_path / ca), "ca_file") if ca else None,
            certificate=Named(str(certificate), "cert") if certificate else None,
            key=Named(str(key), "key") if key else None,
        )
        with pytest.raises(SettingsError) as raised:
            policy.tls_context()
        return str(raised.value)

    assert fault("missing.pem") == f"ca_file: {tmp_path}/missing.pem cannot be read: No such file or directory"
    assert fault("nonsense.pem") == f"ca_file: {tmp_path}/nonsense.pem holds no certificate in PEM form"
    assert fault(certificate=tmp_path / "x").startswith(f"cert: {tmp_path}/x cannot be read")
    assert fault(certificate=certificate, key=tmp_path / "x").startswith(f"key: {tmp_path}/x cannot be read")
    for other in (None, certificate, locked):
        assert "is no certificate in PEM form with the key" in fault(certificate=certificate, key=other)
    assert NetworkPolicy(certificate=Named(str(certificate), "cert"), key=Named(str(key), "key")).tls_context()
    assert NetworkPolicy(ca_file=Named(str(tmp_path), "ca_file")).tls_context(), "a folder, as OpenSSL has it"


def test_the_certificates_are_read_once() -> None:
    assert DIRECT.tls_context() is NetworkPolicy().tls_context()
