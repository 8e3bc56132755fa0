"""Registries that answer with nonsense, with too much, or with what was not asked for."""

import hashlib
import json

import pytest
from tests.faulty_server import GARBAGE, LONG_HEADERS, Drip, FaultyServer, Reply, chunked, redirect
from tests.integration.oci.conftest import OciHost
from tests.integration.services.registry import EMPTY, OCI_INDEX, OCI_MANIFEST

from lading import CatalogUnavailable
from lading.adapters.handlers.oci import OciHandlerSettings
from lading.adapters.oci import registry
from lading.adapters.oci.reference import Reference
from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.web.http import HttpRefused
from lading.adapters.web.network import DIRECT

DIGEST = f"sha256:{'ab' * 32}"
MANIFEST = "/v2/vms/noble/manifests/1"


def typed(content: bytes, media_type: str = OCI_MANIFEST) -> Reply:
    return Reply(content, headers=[("Content-Type", media_type)])


def manifest(**more: object) -> bytes:
    layer = {"mediaType": "application/octet-stream", "digest": DIGEST, "size": 1}
    return json.dumps({"schemaVersion": 2, "layers": [layer], **more}).encode()


def layer(**more: object) -> bytes:
    return manifest(layers=[{"mediaType": "application/octet-stream", "digest": DIGEST, "size": 1, **more}])


TITLED = {
    "mediaType": "application/octet-stream", "digest": DIGEST, "size": 1,
    "annotations": {"org.opencontainers.image.title": "\x1b[31m" + "x" * 5000},
}  # fmt: skip


def failure(server: FaultyServer, host: OciHost, reference: str = ":1") -> str:
    found = host.find(f"oci://127.0.0.1:{server.port}/vms/noble{reference}").failure()
    assert isinstance(found, CatalogUnavailable)
    assert len(str(found)) < 2000
    assert str(found).isprintable()
    return str(found)


def test_a_manifest_that_is_not_the_one_asked_for_is_refused(faulty_server: FaultyServer, oci_host: OciHost) -> None:
    """Whatever the header says: the digest is of the bytes."""
    reply = Reply(manifest(), headers=[("Content-Type", OCI_MANIFEST), ("Docker-Content-Digest", DIGEST)])
    faulty_server.answer(f"/v2/vms/noble/manifests/{DIGEST}", reply)
    assert "expected sha256:abababababab…, got sha256:" in failure(faulty_server, oci_host, f"@{DIGEST}")


def test_an_index_cannot_name_a_manifest_and_give_another(faulty_server: FaultyServer, oci_host: OciHost) -> None:
    entry = {"mediaType": OCI_MANIFEST, "digest": DIGEST, "size": 1}
    faulty_server.answer(MANIFEST, typed(json.dumps({"manifests": [entry]}).encode(), OCI_INDEX))
    faulty_server.answer(f"/v2/vms/noble/manifests/{DIGEST}", typed(manifest()))
    assert "its manifest is not the one that was asked for" in failure(faulty_server, oci_host)


def test_an_index_of_indexes_is_refused(faulty_server: FaultyServer, oci_host: OciHost) -> None:
    inner = json.dumps({"manifests": []}).encode()
    digest = f"sha256:{hashlib.sha256(inner).hexdigest()}"
    entry = {"mediaType": OCI_INDEX, "digest": digest, "size": len(inner)}
    faulty_server.answer(MANIFEST, typed(json.dumps({"manifests": [entry]}).encode(), OCI_INDEX))
    faulty_server.answer(f"/v2/vms/noble/manifests/{digest}", typed(inner, OCI_INDEX))
    assert "its index names another index" in failure(faulty_server, oci_host)


def test_an_endless_manifest_is_not_read_to_its_end(faulty_server: FaultyServer, oci_host: OciHost) -> None:
    head = chunked(b"{").replace(b"200 OK\r\n", f"200 OK\r\nContent-Type: {OCI_MANIFEST}\r\n".encode())
    faulty_server.answer(MANIFEST, Drip(head, b"10000\r\n" + b" " * 65536 + b"\r\n", seconds=0))
    assert "its answer has more than 4 MiB" in failure(faulty_server, oci_host)


def test_a_manifest_that_drips_is_given_up(
    faulty_server: FaultyServer, oci_host: OciHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slowly enough to take an hour, and too fast for a stall."""
    monkeypatch.setattr(registry, "_SECONDS", 0.0)
    faulty_server.answer(MANIFEST, Drip(chunked(b"{"), b"1\r\n \r\n", seconds=0))
    assert "its answer takes longer than 0 seconds" in failure(faulty_server, oci_host)


def test_a_layer_that_stands_for_none_is_no_disk(faulty_server: FaultyServer, oci_host: OciHost) -> None:
    faulty_server.answer(MANIFEST, typed(layer(mediaType=EMPTY, size=2)))
    assert "it has no layer with a disk image" in failure(faulty_server, oci_host)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"[" * 200_000, "it is nested too deeply"),
        (b"[]", "its manifest is no JSON object"),
        (b"{}", "its manifest lists nothing"),
        (manifest(layers={}), "its manifest lists nothing"),
        (manifest(layers=[]), "it has no layer with a disk image"),
        (manifest(layers=["x"]), "a descriptor without a size"),
        (layer(size=-1), "a descriptor without a size"),
        (layer(size=1 << 64), "a descriptor without a size"),
        (layer(size=True), "a descriptor without a size"),
        (layer(mediaType=7), "a descriptor without a type"),
        (layer(digest="sha256:../../x"), "its digest is not sha256:… or sha512:…"),
        (layer(digest="md5:" + "a" * 32), "its digest is not sha256:… or sha512:…"),
        (manifest(layers=[TITLED] * 300), "it has 300 layers"),
    ],
)  # fmt: skip
def test_a_manifest_that_makes_no_sense_is_refused(
    faulty_server: FaultyServer, oci_host: OciHost, content: bytes, expected: str
) -> None:
    faulty_server.answer(MANIFEST, typed(content))
    assert expected in failure(faulty_server, oci_host)


@pytest.mark.parametrize("media_type", ["text/html", "application/vnd.docker.distribution.manifest.v1+prettyjws"])
def test_another_type_of_document_is_refused(faulty_server: FaultyServer, oci_host: OciHost, media_type: str) -> None:
    faulty_server.answer(MANIFEST, typed(manifest(), media_type))
    assert f"its manifest is of another type: {media_type}" in failure(faulty_server, oci_host)


def test_the_documents_own_type_counts_where_the_server_sends_another(
    faulty_server: FaultyServer, oci_host: OciHost
) -> None:
    faulty_server.answer(MANIFEST, typed(manifest(mediaType=OCI_MANIFEST), "application/json; charset=utf-8"))
    assert oci_host.find(f"oci://127.0.0.1:{faulty_server.port}/vms/noble:1").unwrap().size == 1


@pytest.mark.parametrize("answer", [GARBAGE, LONG_HEADERS, redirect("file:///etc/passwd"), redirect("//[::1")])
def test_an_answer_that_is_none_is_a_failure(
    faulty_server: FaultyServer, oci_host: OciHost, answer: Reply | bytes
) -> None:
    faulty_server.answer(MANIFEST, answer)
    assert "cannot be read" in failure(faulty_server, oci_host)


@pytest.mark.parametrize(
    "challenge",
    [
        "",
        "Negotiate",
        "Bearer",
        'Bearer realm="ftp://auth.example/token"',
        'Bearer realm="https://127.0.0.1:1/token"',
        'Bearer realm="https://169.254.169.254/token"',
        "Bearer realm=" + '"' * 20_000,
        "Bearer " + "a=b," * 10_000,
        "Bearer " + "a" * 60_000,
        'Basic realm="x"',
    ],
)
def test_a_challenge_that_cannot_be_answered_is_a_failure(
    faulty_server: FaultyServer, oci_host: OciHost, challenge: str
) -> None:
    faulty_server.answer(MANIFEST, Reply(status=401, headers=[("WWW-Authenticate", challenge)]))
    assert "cannot be read" in failure(faulty_server, oci_host)
    assert {each.path for each in faulty_server.requests} == {MANIFEST}


def test_an_https_registrys_token_server_must_have_tls() -> None:
    """The rule itself: a registry by TLS needs a certificate, which is not what this is about."""
    refused = HttpRefused(401)
    refused.challenges = ('Bearer realm="http://auth.example/token"',)
    named = Reference.of(f"oci://registry.example/a@{DIGEST}")
    mirrors = OciHandlerSettings().registries(DIRECT).blob(named, trusted=False)
    with pytest.raises(SourceBroken, match="is one without TLS"):
        mirrors.renew(mirrors.origin(0), refused)
