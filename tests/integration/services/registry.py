"""A real registry: Debian's docker-registry, filled by plain HTTP."""

import base64
import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal, NamedTuple
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID
from tests.faulty_server import FaultyServer
from tests.integration.services.asking import ask, responds
from tests.integration.services.running import LOOPBACK, Process, free_port
from tests.packages import program, want

USER: Final = "carrier"
PASSWORD: Final = "registry-password"  # noqa: S105 - of a registry on loopback
_HASH: Final = "$2b$05$abcdefghijklmnopqrstuux7DVfxfgfXTmp/9Tsk6HzX2QQGjxePG"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
EMPTY: Final = "application/vnd.oci.empty.v1+json"
Auth = Literal["htpasswd", "token"]


class Pushed(NamedTuple):
    """A blob or a manifest, as a descriptor."""

    digest: str
    size: int
    media_type: str

    def descriptor(self, **more: object) -> dict[str, object]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size, **more}


class Signer:
    """Signs the tokens of a registry's token server."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(65537, 2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lading tests' tokens")])
        now = datetime.now(UTC)
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def bundle(self) -> bytes:
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def token(self, repository: str, *actions: str) -> str:
        """A token that lets its owner do that in the repository, for ten minutes."""
        chain = [base64.b64encode(self._certificate.public_bytes(serialization.Encoding.DER)).decode()]
        now = int(time.time())
        claims = {
            "iss": "lading-tests", "sub": USER, "aud": "lading-registry", "exp": now + 600, "nbf": now - 60, "iat": now,
            "jti": str(now), "access": [{"type": "repository", "name": repository, "actions": actions}],
        }  # fmt: skip
        signed = ".".join(_packed(json.dumps(each).encode()) for each in ({"alg": "RS256", "x5c": chain}, claims))
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_packed(signature)}"


@dataclass(frozen=True, slots=True)
class Registry:
    """A running registry. Tests use repositories of their own."""

    process: Process
    port: int
    auth: Auth | None
    realm: FaultyServer
    """Plays the token server, at `/token`, for the registry with tokens."""
    signer: Signer

    @property
    def host(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def push_blob(self, repository: str, data: bytes, media_type: str = "application/octet-stream") -> Pushed:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        headers = self._headers(repository)
        begun = ask("POST", f"{self.url}/v2/{repository}/blobs/uploads/", b"", headers).expect(202)
        place = begun.headers["location"]
        joint = "&" if "?" in place else "?"
        octets = {**headers, "Content-Type": "application/octet-stream"}
        ask("PUT", f"{place}{joint}digest={digest}", data, octets).expect(201)
        return Pushed(digest, len(data), media_type)

    def push_manifest(
        self, repository: str, document: Mapping[str, object], tag: str | None = None, media_type: str = OCI_MANIFEST
    ) -> Pushed:
        content = json.dumps(document).encode()
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        headers = {**self._headers(repository), "Content-Type": media_type}
        ask("PUT", f"{self.url}/v2/{repository}/manifests/{tag or digest}", content, headers).expect(201)
        return Pushed(digest, len(content), media_type)

    def push_artifact(
        self, repository: str, data: bytes, tag: str | None = None, *, title: str | None = None
    ) -> Pushed:
        """A single-blob artifact, as ORAS publishes it. Without a mediaType, as skopeo writes it."""
        layer = self.push_blob(repository, data)
        config = self.push_blob(repository, b"{}", EMPTY)
        named = {"annotations": {"org.opencontainers.image.title": title}} if title else {}
        document = {
            "schemaVersion": 2,
            "artifactType": "application/vnd.example.disk",
            "config": config.descriptor(),
            "layers": [layer.descriptor(**named)],
        }
        return self.push_manifest(repository, document, tag)

    def push_index(self, repository: str, entries: Sequence[Mapping[str, object]], tag: str) -> Pushed:
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
        return self.push_manifest(repository, document, tag, OCI_INDEX)

    def delete_blob(self, repository: str, digest: str) -> None:
        ask("DELETE", f"{self.url}/v2/{repository}/blobs/{digest}", None, self._headers(repository)).expect(202)

    def token_path(self, repository: str) -> str:
        """The path and query of a request for a token that lets its owner read the repository."""
        scope = quote(f"repository:{repository}:pull", safe="")
        return f"/token?scope={scope}&service=lading-registry"

    def _headers(self, repository: str) -> Mapping[str, str]:
        if self.auth == "htpasswd":
            return {"Authorization": f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"}
        if self.auth == "token":
            return {"Authorization": f"Bearer {self.signer.token(repository, 'pull', 'push', 'delete')}"}
        return {}


@contextmanager
def registry(top: Path, realm: FaultyServer, auth: Auth | None = None) -> Iterator[Registry]:
    """A registry that writes into this new folder only."""
    found = program("docker-registry")
    assert found is not None, want("docker-registry")
    port, signer = free_port(), Signer()
    running = Registry(Process([found, "serve", "config.yml"], top, [port]), port, auth, realm, signer)
    (top / "users").write_text(f"{USER}:{_HASH}\n")
    (top / "tokens.pem").write_bytes(signer.bundle)
    settings: dict[str, object] = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(top / "stored")}, "delete": {"enabled": True}},
        "http": {"addr": running.host, "secret": "lading"},
    }
    if auth == "htpasswd":
        settings["auth"] = {"htpasswd": {"realm": "lading tests", "path": str(top / "users")}}
    if auth == "token":
        settings["auth"] = {
            "token": {
                "realm": realm.url("/token"),
                "service": "lading-registry",
                "issuer": "lading-tests",
                "rootcertbundle": str(top / "tokens.pem"),
            }
        }
    (top / "config.yml").write_text(json.dumps(settings))  # JSON is YAML
    try:
        running.process.start(lambda: responds(f"{running.url}/v2/", 200, 401))
        yield running
    finally:
        running.process.kill()


def _packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
