"""Certificates in a Barbican, played by a server that answers as its API says."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from tests.certificates import Authority, Signing
from tests.faulty_server import FaultyServer, Reply
from tests.integration.signatures.conftest import DATA, Images, MakeSettings

import lading
from lading import NoHandlerAvailable, SettingsError

# keystoneauth's connection pools are closed when they are collected, and not before.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def barbican(faulty_server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FaultyServer:
    endpoint = faulty_server.url("/key-manager/v1/")
    cloud = f"{{auth_type: admin_token, auth: {{endpoint: '{endpoint}', token: hush}}}}"
    (tmp_path / "clouds.yaml").write_text(f"clouds: {{gold: {cloud}}}")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    return faulty_server


def store(barbican: FaultyServer, signing: Signing, content: bytes | None = None) -> None:
    described = {"name": "signer", "content_types": {"default": "application/octet-stream"}}
    path = f"/key-manager/v1/secrets/{signing.id}"
    barbican.answer(path, Reply(json.dumps(described).encode()))
    barbican.answer(f"{path}/payload", Reply(content or signing.certificate.public_bytes(Encoding.PEM)))


def test_the_certificate_is_read_from_the_cloud_s_barbican(
    barbican: FaultyServer, images: Images, make_settings: MakeSettings, signing: Signing, tmp_path: Path
) -> None:
    store(barbican, signing)
    settings = make_settings(certificates=None, key_manager="gold", require_signature=True)
    fetched = lading.fetch(images.add(signing.properties(DATA)), tmp_path / "1", settings=settings)
    assert fetched.landing.signed_by is not None
    assert fetched.landing.signed_by.found_in == str(tmp_path / "authority.pem")
    payload = barbican.requests_for(f"/key-manager/v1/secrets/{signing.id}/payload")
    assert (payload[0].headers["accept"], payload[0].headers["x-auth-token"]) == ("application/octet-stream", "hush")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "which is not in the Barbican of the cloud gold"),
        (b"nonsense", "is no X.509 certificate in PEM or DER"),
        (b"stranger", "no authority in .* has issued it"),
    ],
)
def test_a_certificate_that_is_missing_or_not_trusted_is_refused(
    barbican: FaultyServer, images: Images, make_settings: MakeSettings, signing: Signing, tmp_path: Path,
    content: bytes, told: str,
) -> None:  # fmt: skip
    if content == b"stranger":
        content = Authority.make().issue(signing.id).certificate.public_bytes(Encoding.PEM)
    if content:
        store(barbican, signing, content)
    settings = make_settings(certificates=None, key_manager="gold")
    with pytest.raises(NoHandlerAvailable, match=told):
        lading.fetch(images.add(signing.properties(DATA)), tmp_path / "1", settings=settings)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Reply(b"", status=403), "Barbican answers with HTTP 403"),
        (Reply(b"no JSON"), "Barbican answers with what is no JSON"),
    ],
)
def test_a_barbican_that_cannot_be_read_is_a_refusal(
    barbican: FaultyServer, images: Images, make_settings: MakeSettings, signing: Signing, tmp_path: Path,
    answer: Reply, told: str,
) -> None:  # fmt: skip
    barbican.answer(f"/key-manager/v1/secrets/{signing.id}", answer)
    settings = make_settings(certificates=None, key_manager="gold")
    with pytest.raises(NoHandlerAvailable, match=f"the Barbican of the cloud gold cannot be read: {told}"):
        lading.fetch(images.add(signing.properties(DATA)), tmp_path / "1", settings=settings)


def test_settings_that_do_not_fit_together_are_refused(make_settings: MakeSettings) -> None:
    for landing, told in (
        ({"key_manager": "gold"}, "certificates, key_manager: expected one of them"),
        ({"certificates": None}, "trusted_certificates: expected with certificates, or with key_manager"),
        (
            {"certificates": None, "key_manager": "gold", "trusted_certificates": None},
            "trusted_certificates: expected with key_manager: each user can store certificates there",
        ),
    ):
        with pytest.raises(SettingsError, match=told):
            make_settings(**landing)
