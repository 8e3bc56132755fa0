"""Registries that want credentials: passwords, tokens, the files of podman and docker, and what is sent to whom."""

import base64
import json
import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from tests.faulty_server import Reply
from tests.integration.oci.conftest import OciHost
from tests.integration.services.registry import PASSWORD, USER, Registry

from lading import CatalogUnavailable
from lading.adapters.catalogs.oci_settings import OciCatalogSettings
from lading.adapters.handlers.oci import OciHandlerSettings
from lading.adapters.oci.reference import Reference
from lading.adapters.web.http import HttpRefused

DATA = os.urandom((1 << 20) + 512)
BASIC = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


def auth_file(path: Path, **keys: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(keys))
    return path


def give_token(registry: Registry, repository: str, *first: Reply, key: str = "token") -> None:
    """The token server answers requests for the repository, after those first answers."""
    answer = {key: registry.signer.token(repository, "pull"), "expires_in": 300}
    registry.realm.answer(registry.token_path(repository), *first, Reply(json.dumps(answer).encode()))


def only_passwords(registry: Registry) -> OciHandlerSettings:
    return OciHandlerSettings(
        passwords={registry.host: f"{USER}:{PASSWORD}"}, allowed_networks=("127.0.0.0/8",), allowed_ports=()
    )


# Passwords.


def test_without_credentials_the_failure_names_the_files_searched(
    private_registry: Registry, repository: str, oci_host: OciHost
) -> None:
    failure = oci_host.failure(f"oci://{private_registry.host}/{repository}:1")
    assert f"{private_registry.host} wants credentials, and none were found in " in failure
    assert ".docker/config.json" in failure


@pytest.mark.parametrize("place", ["host", "repository"])
def test_a_password_in_the_settings_is_used(
    private_registry: Registry, repository: str, oci_host: OciHost, place: str
) -> None:
    private_registry.push_artifact(repository, DATA, "1")
    key = private_registry.host if place == "host" else f"{private_registry.host}/{repository}"
    oci_host.settings = OciHandlerSettings(passwords={key: f"{USER}:{PASSWORD}"})
    oci_host.fetch(f"oci://{private_registry.host}/{repository}:1")
    assert oci_host.landed == DATA


def test_a_wrong_password_is_refused_and_not_shown(
    private_registry: Registry, repository: str, oci_host: OciHost
) -> None:
    oci_host.settings = OciHandlerSettings(passwords={private_registry.host: f"{USER}:hunter2"})
    failure = oci_host.failure(f"oci://{private_registry.host}/{repository}:1")
    assert "HTTP 401" in failure
    assert "hunter2" not in failure + repr(oci_host.settings)


def test_the_catalogs_own_password_reaches_the_handler_and_no_message(
    private_registry: Registry, repository: str, oci_host: OciHost
) -> None:
    private_registry.push_artifact(repository, DATA, "1")
    oci_host.catalog_settings = OciCatalogSettings(f"{private_registry.host}/vms", username=USER, password=PASSWORD)
    image = oci_host.find(f"{repository.removeprefix('vms/')}:1").unwrap()
    assert oci_host.fetch_image(image).unwrap().verified
    assert PASSWORD in image.locations[0].url
    assert PASSWORD not in repr(image) + repr(oci_host.catalog_settings)
    assert str(image.locations[0]) == f"oci://***@{private_registry.host}/{repository}@{image.digest}"


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("REGISTRY_AUTH_FILE", ""),
        ("XDG_RUNTIME_DIR", "containers/auth.json"),
        ("XDG_CONFIG_HOME", "containers/auth.json"),
        ("DOCKER_CONFIG", "config.json"),
        ("HOME", ".docker/config.json"),
        ("HOME", ".config/containers/auth.json"),
    ],
)
def test_logins_of_podman_and_docker_are_found(
    private_registry: Registry, repository: str, oci_host: OciHost, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, variable: str, name: str,
) -> None:  # fmt: skip
    private_registry.push_artifact(repository, DATA, "1")
    path = auth_file(tmp_path / "logins" / name if name else tmp_path / "logins.json",
                     auths={private_registry.host: {"auth": BASIC}})  # fmt: skip
    monkeypatch.setenv(variable, str(tmp_path / "logins") if name else str(path))
    oci_host.fetch(f"oci://{private_registry.host}/{repository}:1")
    assert oci_host.landed == DATA


def test_the_longest_key_of_a_file_counts(
    private_registry: Registry, repository: str, oci_host: OciHost, tmp_path: Path
) -> None:
    private_registry.push_artifact(repository, DATA, "1")
    host, wrong = private_registry.host, base64.b64encode(b"other:word").decode()
    path = auth_file(tmp_path / "auth.json", auths={host: {"auth": wrong}, f"{host}/vms": {"auth": BASIC}})
    oci_host.settings = OciHandlerSettings(auth_file=path)
    assert oci_host.find(f"oci://{host}/{repository}:1").unwrap().size == len(DATA)


@pytest.mark.parametrize(
    ("content", "expected"),
    [("{", "expected a JSON object"), ("[]", "expected a JSON object"), ("{" * 100_000, "expected a JSON object")],
)
def test_a_file_that_is_no_list_of_logins_is_named(
    private_registry: Registry, repository: str, oci_host: OciHost, tmp_path: Path, content: str, expected: str
) -> None:
    path = tmp_path / "auth.json"
    path.write_text(content)
    oci_host.settings = OciHandlerSettings(auth_file=path)
    failure = oci_host.failure(f"oci://{private_registry.host}/{repository}:1")
    assert str(path) in failure
    assert expected in failure


# Helpers.


def helper(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "docker-credential-tests"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.mark.parametrize("key", ["credHelpers", "credsStore"])
def test_a_helper_gives_the_credentials(
    private_registry: Registry, repository: str, oci_host: OciHost, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, key: str,
) -> None:  # fmt: skip
    private_registry.push_artifact(repository, DATA, "1")
    answer = json.dumps({"ServerURL": "x", "Username": USER, "Secret": PASSWORD})
    helper(tmp_path, f"[ $1 = get ] && [ \"$(cat)\" = {private_registry.host} ] && echo '{answer}'", monkeypatch)
    value = {private_registry.host: "tests"} if key == "credHelpers" else "tests"
    oci_host.settings = OciHandlerSettings(auth_file=auth_file(tmp_path / "auth.json", **{key: value}))
    oci_host.fetch(f"oci://{private_registry.host}/{repository}:1")
    assert oci_host.landed == DATA


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo credentials not found in native keychain; exit 1", "none were found"),
        ("echo broken; exit 3", "docker-credential-tests gives no credentials"),
        ("cat /dev/zero", "docker-credential-tests gives no credentials"),
        ("echo '[]'", "docker-credential-tests gives no credentials"),
    ],
)
def test_a_helper_that_fails_is_named(
    private_registry: Registry, repository: str, oci_host: OciHost, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, script: str, expected: str,
) -> None:  # fmt: skip
    helper(tmp_path, script, monkeypatch)
    path = auth_file(tmp_path / "auth.json", credHelpers={private_registry.host: "tests"})
    oci_host.settings = OciHandlerSettings(auth_file=path)
    assert expected in oci_host.failure(f"oci://{private_registry.host}/{repository}:1")


@pytest.mark.parametrize("name", ["../sh", "absent", 7])
def test_a_helper_that_is_no_program_is_refused(
    private_registry: Registry, repository: str, oci_host: OciHost, tmp_path: Path, name: object
) -> None:
    path = auth_file(tmp_path / "auth.json", credHelpers={private_registry.host: name})
    oci_host.settings = OciHandlerSettings(auth_file=path)
    assert str(path) in oci_host.failure(f"oci://{private_registry.host}/{repository}:1")


# Tokens.


@pytest.fixture
def token_host(token_registry: Registry, oci_host: OciHost) -> OciHost:
    """A host that may use the token server of the tests, which is another one than the registry."""
    return replace(oci_host, settings=only_passwords(token_registry))


@pytest.mark.parametrize("key", ["token", "access_token"])
def test_a_token_is_fetched_with_the_password_and_sent(
    token_registry: Registry, repository: str, token_host: OciHost, key: str
) -> None:
    token_registry.push_artifact(repository, DATA, "1")
    give_token(token_registry, repository, key=key)
    token_host.fetch(f"oci://{token_registry.host}/{repository}:1")
    assert token_host.landed == DATA
    requests = token_registry.realm.requests_for(token_registry.token_path(repository))
    assert {each.headers["authorization"] for each in requests} == {f"Basic {BASIC}"}
    assert len(requests) == 2, "one for the catalog's requests, one for the handler's"


def test_without_a_password_the_token_is_anonymous(
    token_registry: Registry, repository: str, token_host: OciHost
) -> None:
    token_registry.push_artifact(repository, DATA, "1")
    give_token(token_registry, repository)
    token_host.settings = replace(token_host.settings, passwords={})
    assert token_host.find(f"oci://{token_registry.host}/{repository}:1").unwrap().size == len(DATA)
    (request,) = token_registry.realm.requests_for(token_registry.token_path(repository))
    assert "authorization" not in request.headers


def test_an_identity_token_is_posted(
    token_registry: Registry, repository: str, token_host: OciHost, tmp_path: Path
) -> None:
    token_registry.push_artifact(repository, DATA, "1")
    answer = json.dumps({"access_token": token_registry.signer.token(repository, "pull")}).encode()
    token_registry.realm.answer("/token", Reply(answer))
    path = auth_file(tmp_path / "auth.json", auths={token_registry.host: {"identitytoken": "identity"}})
    token_host.settings = replace(token_host.settings, passwords={}, auth_file=path)
    token_host.fetch(f"oci://{token_registry.host}/{repository}:1")
    request = token_registry.realm.requests_for("/token")[-1]
    assert request.method == "POST"
    assert parse_qs(request.body.decode()) == {
        "grant_type": ["refresh_token"],
        "refresh_token": ["identity"],
        "client_id": ["lading"],
        "service": ["lading-registry"],
        "scope": [f"repository:{repository}:pull"],
    }


def test_a_form_with_an_identity_token_follows_no_redirect(
    token_registry: Registry, repository: str, token_host: OciHost, tmp_path: Path
) -> None:
    token_registry.realm.answer("/token", Reply(status=307, headers=[("Location", "/other")]))
    path = auth_file(tmp_path / "auth.json", auths={token_registry.host: {"identitytoken": "identity"}})
    token_host.settings = replace(token_host.settings, passwords={}, auth_file=path)
    assert "the server redirects a form" in token_host.failure(f"oci://{token_registry.host}/{repository}:1")
    assert token_registry.realm.requests_for("/other") == []


def test_a_token_that_is_refused_is_replaced(token_registry: Registry, repository: str, token_host: OciHost) -> None:
    """The registry answers insufficient_scope to a token of another repository, and names the scope that it wants."""
    token_registry.push_artifact(repository, DATA, "1")
    other = json.dumps({"token": token_registry.signer.token("another/repository", "pull")}).encode()
    give_token(token_registry, repository, Reply(other))
    registries = token_host.registries()
    named = Reference.of(f"oci://{token_registry.host}/{repository}:1")
    with pytest.raises(HttpRefused, match="401"):
        registries.manifest(named, trusted=True)
    assert registries.manifest(named, trusted=True).manifest.entries[0].size == len(DATA)


@pytest.mark.parametrize(
    "answer",
    [b"", b"[]", b"{}", b'{"token": 7}', b'{"token": "a\\r\\nb"}', b"[" * 100_000, b'{"token": "' + b"x" * (2 << 20)],
)
def test_a_token_server_without_a_token_is_refused(
    token_registry: Registry, repository: str, token_host: OciHost, answer: bytes
) -> None:
    token_registry.realm.answer(token_registry.token_path(repository), Reply(answer))
    failure = token_host.find(f"oci://{token_registry.host}/{repository}:1").failure()
    assert isinstance(failure, CatalogUnavailable)
    assert f"the token server of {token_registry.host}" in str(failure)
    assert PASSWORD not in str(failure)


def test_a_token_server_that_is_not_allowed_gets_nothing(
    token_registry: Registry, repository: str, token_host: OciHost
) -> None:
    """The operator named the registry, and not the servers that it names."""
    before = len(token_registry.realm.requests)
    token_host.settings = replace(token_host.settings, allowed_ports=(443,))
    failure = token_host.failure(f"oci://{token_registry.host}/{repository}:1")
    assert "[handlers.oci] allowed_hosts, allowed_ports and allowed_networks" in failure
    assert len(token_registry.realm.requests) == before
