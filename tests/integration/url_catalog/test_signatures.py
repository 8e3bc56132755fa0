"""Signatures beside checksum files and images: each flaw has its named answer."""

import logging
from pathlib import Path

import pytest
from returns.result import Failure
from tests.faulty_server import FaultyServer, Reply, busy
from tests.integration.conftest import Lading, record
from tests.integration.url_catalog.conftest import DATA, OTHER, SHA256, failure, found
from tests.openpgp import Key, Keys

import lading as library
from lading import Context, Image, ImageNotFound, ImageUnproven, SettingsError
from lading.adapters.catalogs import url
from lading.adapters.catalogs.url_reference import UrlReference, with_options
from lading.adapters.config.settings import Settings, read_settings
from lading.adapters.container import open_container
from lading.adapters.signatures.vendor_keyrings import installed_keyrings
from lading.adapters.web.http import HttpOptions
from lading.ports.failures import CatalogFailure

LIST = f"{SHA256}  noble.img\n".encode()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings({"catalog": {"kind": "memory"}}, {"HOME": str(tmp_path / "home")})


def signed_by(server: FaultyServer, *keys: Key) -> Image:
    return found(with_options(server.url("/d/noble.img"), keyrings=[str(key.keyring) for key in keys]))


def refusal(server: FaultyServer, *keys: Key) -> CatalogFailure:
    return failure(with_options(server.url("/d/noble.img"), keyrings=[str(key.keyring) for key in keys]))


@pytest.mark.parametrize("suffix", [".gpg", ".asc", ".sig", ".sign"])
def test_a_detached_signature_is_found_by_its_usual_names(
    server: FaultyServer, keys: Keys, vendor: Key, stranger: Key, suffix: str
) -> None:
    server.answer("/d/SHA256SUMS", Reply(LIST))
    server.answer(f"/d/SHA256SUMS{suffix}", Reply(keys.sign(LIST, vendor)))
    image = signed_by(server, stranger, vendor)
    assert image.proof.signed_by is not None
    assert image.proof.signed_by.key == vendor.fingerprint
    assert image.proof.signed_by.found_in == f"{stranger.keyring}, {vendor.keyring}"
    assert image.proof.signature is None


def test_only_the_signed_text_of_a_clear_signed_file_is_read(server: FaultyServer, keys: Keys, vendor: Key) -> None:
    server.answer("/d/SHA256SUMS", Reply(f"{OTHER}  noble.img\n".encode() + keys.clear_sign(LIST, vendor)))
    image = signed_by(server, vendor)
    assert (str(image.digest), image.proof.signed_by) == (f"sha256:{SHA256}", vendor.signer)
    inside = keys.clear_sign(f"{OTHER}  jammy.img\n".encode(), vendor)
    server.answer("/d/SHA256SUMS", Reply(inside.replace(b"jammy.img", b"noble.img")))
    assert "does not match: the file was changed after it was signed" in str(refusal(server, vendor))


def test_a_key_that_is_strange_expired_or_revoked_is_named(
    server: FaultyServer, keys: Keys, vendor: Key, stranger: Key
) -> None:
    sums = server.answer("/d/SHA256SUMS", Reply(LIST))
    expired, revoked = keys.make("expired vendor", is_expired=True), keys.make("revoked vendor")
    by_revoked = keys.sign(LIST, revoked)
    keys.revoke(revoked)
    for signature, keyring, told in (
        (keys.sign(LIST, stranger), vendor, f"it is signed by the key {stranger.fingerprint}, which no keyring has"),
        (keys.sign_long_ago(LIST, expired), expired, f"the key {expired.fingerprint[-16:]} has expired"),
        (by_revoked, revoked, f"the key {revoked.fingerprint[-16:]} is revoked"),
        (keys.sign(LIST + b"x", vendor), vendor, f"the key {vendor.fingerprint[-16:]} does not match"),
        (b"nonsense", vendor, "there is no signature"),
        (keys.sign(LIST, vendor, options=("--digest-algo", "SHA1")), vendor, "with SHA-1, which can be forged"),
    ):
        server.answer("/d/SHA256SUMS.gpg", Reply(signature))
        outcome = refusal(server, keyring)
        assert isinstance(outcome, ImageUnproven), told
        assert str(outcome).startswith(f"{sums}: ")
        assert told in str(outcome)
        assert f"(keyring: {keyring.keyring}); if the publisher has a new key, --keyring names" in str(outcome)


def test_without_a_keyring_no_signature_is_requested(server: FaultyServer, keys: Keys, vendor: Key) -> None:
    server.answer("/d/SHA256SUMS", Reply(LIST))
    image = found(server.url("/d/noble.img"))
    assert image.proof.signed_by is None
    assert [each.path for each in server.requests] == ["/d/noble.img", "/d/SHA256SUMS"]


def test_a_signature_that_cannot_be_read_now_is_a_failure(server: FaultyServer, vendor: Key) -> None:
    server.answer("/d/SHA256SUMS", Reply(LIST))
    signature = server.answer("/d/SHA256SUMS.gpg", busy())
    assert f"the signature {signature} cannot be read: HTTP 503" in str(refusal(server, vendor))
    server.answer("/d/SHA256SUMS.gpg", Reply(bytes(2 << 20)))
    assert "it has more than 1 MiB" in str(refusal(server, vendor))
    server.answer("/d/SHA256SUMS.gpg", Reply(b"<html>There is no such page.</html>"))
    assert "is not signed: no signature is beside it, and none beside its checksum file" in str(refusal(server, vendor))


def test_a_checksum_file_elsewhere_must_be_signed_too(
    server: FaultyServer, keys: Keys, vendor: Key, stranger: Key
) -> None:
    with FaultyServer() as other:
        sums = other.answer("/SHA256SUMS", Reply(LIST))
        other.answer("/SHA256SUMS.gpg", Reply(keys.sign(LIST, stranger)))
        reference = with_options(server.url("/d/noble.img"), checksums=sums, keyrings=[str(vendor.keyring)])
        assert str(failure(reference)).startswith(f"{sums}: it is signed by the key {stranger.fingerprint}")


def test_a_signed_list_of_an_older_image_does_not_pass_off_the_newer_one(
    server: FaultyServer, keys: Keys, vendor: Key, settings: Settings, tmp_path: Path
) -> None:
    older = f"{OTHER}  noble.img\n".encode()
    server.answer("/d/SHA256SUMS", Reply(older))
    server.answer("/d/SHA256SUMS.gpg", Reply(keys.sign(older, vendor)))
    with pytest.raises(library.NoHandlerAvailable, match="digest mismatch"):
        library.fetch(server.url("/d/noble.img"), tmp_path / "1", keyrings=(vendor.keyring,), settings=settings)


def test_a_given_digest_is_confirmed_by_a_signed_checksum_file(server: FaultyServer, keys: Keys, vendor: Key) -> None:
    server.answer("/d/SHA256SUMS", Reply(LIST))
    server.answer("/d/SHA256SUMS.gpg", Reply(keys.sign(LIST, vendor)))
    image = signed_by(server, vendor)
    again = found(f"{image.id}&keyring={vendor.keyring}")
    assert (again.id, again.proof) == (image.id, image.proof)
    other = failure(f"{server.url('/d/noble.img')}#sha256={OTHER}&keyring={vendor.keyring}")
    assert "is not signed" in str(other)


def test_a_given_digest_and_a_keyring_need_the_image_s_own_signature(
    server: FaultyServer, keys: Keys, vendor: Key
) -> None:
    reference = with_options(server.url("/d/noble.img"), checksum=f"sha256:{SHA256}", keyrings=[str(vendor.keyring)])
    assert isinstance(failure(reference), ImageUnproven)
    signature = server.answer("/d/noble.img.asc", Reply(keys.sign(DATA, vendor, options=("--armor",))))
    proof = found(reference).proof
    assert proof.signature is not None
    assert (proof.digest_from, proof.signature.url) == ("given", signature)


def test_explain_names_the_keyring_that_the_image_s_own_signature_needs(
    server: FaultyServer, keys: Keys, vendor: Key, lading: Lading
) -> None:
    server.answer("/d/noble.img.asc", Reply(keys.sign(DATA, vendor, options=("--armor",))))
    keyring = str(vendor.keyring)
    explained = record(lading("explain", server.url("/d/noble.img"), "vms/1", "--keyring", keyring, "--json"))
    (chosen,) = (each for each in explained["attempts"] if each["would"])
    assert chosen["reason"].endswith(f", verifies its signature with the keys in {keyring}")


@pytest.mark.parametrize("flaw", ["changed", "expired", "no keyring"])
def test_an_image_whose_own_signature_does_not_count_is_refused(
    server: FaultyServer, keys: Keys, vendor: Key, settings: Settings, tmp_path: Path, flaw: str
) -> None:
    key = keys.make("expired signer", is_expired=True) if flaw == "expired" else vendor
    signature = keys.sign_long_ago(DATA, key) if flaw == "expired" else keys.sign(DATA[:-1], key)
    server.answer("/d/noble.img.sig", Reply(signature))
    keyring = tmp_path / "none.gpg" if flaw == "no keyring" else key.keyring
    told = {"changed": "does not match", "expired": "has expired", "no keyring": "cannot be read: No such file"}[flaw]
    (tmp_path / "vm").mkdir()
    with pytest.raises(library.NoHandlerAvailable, match=told):
        library.fetch(server.url("/d/noble.img"), tmp_path / "vm" / "1", keyrings=(keyring,), settings=settings)
    assert list((tmp_path / "vm").iterdir()) == []


def test_a_large_image_is_verified_while_it_comes(
    server: FaultyServer, keys: Keys, vendor: Key, settings: Settings, tmp_path: Path
) -> None:
    data = DATA * 1400 + bytes(3 << 20)
    server.answer("/d/noble.img", Reply(data))
    server.answer("/d/noble.img.sig", Reply(keys.sign(data, vendor)))
    fetched = library.fetch(
        server.url("/d/noble.img"), tmp_path / "1", keyrings=(vendor.keyring,), settings=settings, format="qcow2"
    )
    assert (fetched.landing.signed_by, fetched.landing.verified) == (vendor.signer, False)
    recorded = open_container(settings).associations().get(str(tmp_path / "1")).unwrap()
    assert recorded is not None
    assert recorded.signed_by == vendor.signer


def test_a_user_names_no_keyring_and_nobody_one_beside_unverified(server: FaultyServer, vendor: Key) -> None:
    reference = with_options(server.url("/d/noble.img"), keyrings=[str(vendor.keyring)])
    catalog = url.UrlCatalog(HttpOptions(), [server.url("/")])
    outcome = catalog.find(reference, Context("user")).failure()
    assert isinstance(outcome, ImageNotFound)
    assert "#keyring is for the operator" in str(outcome)
    with pytest.raises(ValueError, match="contradict each other"):
        UrlReference.of(f"{reference}&unverified")


def test_the_keyring_of_a_vendor_s_package_is_used(
    server: FaultyServer, keys: Keys, vendor: Key, stranger: Key, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keyring = tmp_path / "usr/share/keyrings/ubuntu-cloudimage-keyring.gpg"
    keyring.parent.mkdir(parents=True)
    assert installed_keyrings("cloud-images.ubuntu.com", tmp_path) == ()
    keyring.write_bytes(vendor.keyring.read_bytes())
    assert installed_keyrings("Cloud-Images.ubuntu.com", tmp_path) == (keyring,)
    assert installed_keyrings("ubuntu.com.evil.example", tmp_path) == ()
    monkeypatch.setattr(url, "installed_keyrings", lambda _: (keyring,))
    assert found(server.url("/d/noble.img")).proof.signed_by is None, "nothing is signed"
    server.answer("/d/SHA256SUMS", Reply(LIST))
    assert found(server.url("/d/noble.img")).proof.signed_by is None, "nothing is signed"
    server.answer("/d/SHA256SUMS.gpg", Reply(keys.sign(LIST, stranger)))
    assert isinstance(failure(server.url("/d/noble.img")), ImageUnproven)
    assert found(f"{server.url('/d/noble.img')}#unverified").digest is None
    server.answer("/d/SHA256SUMS.gpg", Reply(keys.sign(LIST, vendor)))
    signer = found(server.url("/d/noble.img")).proof.signed_by
    assert signer is not None
    assert (signer.key, signer.found_in) == (vendor.fingerprint, str(keyring))


def test_without_a_tool_only_a_named_keyring_stops_a_fetch(
    server: FaultyServer, keys: Keys, vendor: Key, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server.answer("/d/SHA256SUMS", Reply(LIST))
    server.answer("/d/SHA256SUMS.gpg", Reply(keys.sign(LIST, vendor)))
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("lading.adapters.formats.conversion.sandbox._SYSTEM_PATH", ())
    outcome = refusal(server, vendor)
    assert isinstance(outcome, SettingsError)
    assert "neither gpgv nor sqv is installed" in str(outcome)
    monkeypatch.setattr(url, "installed_keyrings", lambda _: (vendor.keyring,))
    with caplog.at_level(logging.WARNING):
        assert found(server.url("/d/noble.img")).proof.signed_by is None
    assert "is not verified: neither gpgv nor sqv" in caplog.text


@pytest.mark.parametrize(
    ("policy", "files", "told"),
    [
        ("checksum", {}, 'it has no checksum, and [catalogs.web] policy is "checksum"'),
        ("checksum", {"SHA256SUMS": LIST}, None),
        ("none", {}, None),
    ],
)  # fmt: skip
def test_a_remote_s_policy_decides_what_an_image_must_have(
    server: FaultyServer, tmp_path: Path, policy: str, files: dict[str, bytes], told: str | None
) -> None:
    for name, content in files.items():
        server.answer(f"/d/{name}", Reply(content))
    remote = {"kind": "url", "mirrors": [server.url("/d")], "policy": policy}
    settings = read_settings({"catalog": {"kind": "memory"}, "catalogs": {"web": remote}}, {"HOME": str(tmp_path)})
    outcome = open_container(settings).catalog().find("web:noble.img", Context())
    failed = str(outcome.failure()) if isinstance(outcome, Failure) else ""
    assert failed.startswith("image web:noble.img#") is failed.endswith(told or "it succeeds")
    assert bool(failed) is bool(told)


def test_a_remote_s_keyring_and_what_show_tells_of_it(
    lading: Lading, server: FaultyServer, keys: Keys, vendor: Key, host: Path
) -> None:
    sums = server.answer("/d/SHA256SUMS", Reply(LIST))
    remote = {
        "LADING_CATALOGS__WEB__KIND": "url",
        "LADING_CATALOGS__WEB__MIRRORS": server.url("/d"),
        "LADING_CATALOGS__WEB__KEYRING": str(vendor.keyring),
    }
    unsigned = lading("fetch", "web:noble.img", "vms/1", **remote)
    assert "is not signed: no signature is beside it" in unsigned.stderr
    server.answer("/d/SHA256SUMS.gpg", Reply(keys.sign(LIST, vendor)))
    fetched = lading("fetch", "web:noble.img", "vms/1", LADING_LANDING__REQUIRE_SIGNATURE="true", **remote)
    told = f"verified sha256 by {sums}, signed by {vendor.fingerprint} in {vendor.keyring} (gpgv)"
    assert told in fetched.stdout
    assert f"proof:     {told}" in lading("show", "vms/1", **remote).stdout
    shown = record(lading("show", "vms/1", "--json", **remote))
    assert (shown["digest_from"], shown["verified"]) == (sums, True)
    assert shown["signed_by"] == {"key": vendor.fingerprint, "found_in": str(vendor.keyring), "tool": "gpgv"}
    plain = [server.url("/d/noble.img"), "vms/2"]
    refused = lading("fetch", *plain, LADING_LANDING__REQUIRE_SIGNATURE="true")
    assert "no signature of it can be verified, and landing.require_signature is true" in refused.stderr
    unchecked = lading("fetch", *plain)
    assert f"verified sha256 by {sums}, no signature was checked: --keyring FILE checks it, " in unchecked.stdout
    assert lading("fetch", *plain, "--force", "--keyring", str(vendor.keyring)).returncode == 0


def test_the_signature_of_a_registered_url_is_verified_when_it_is_fetched(
    lading: Lading, server: FaultyServer, keys: Keys, vendor: Key
) -> None:
    server.answer("/d/noble.img.SHA256", Reply(LIST))
    server.answer("/d/noble.img.sig", Reply(keys.sign(DATA, vendor)))
    network = {"LADING_HANDLERS__HTTP__ALLOWED_NETWORKS": "127.0.0.1", "LADING_HANDLERS__HTTP__ALLOWED_PORTS": "[]"}
    added = lading("catalog", "add", server.url("/d/noble.img"), "--name", "noble", "--keyring", str(vendor.keyring))
    assert added.returncode == 0
    fetched = lading("fetch", "noble", "vms/1", LADING_LANDING__REQUIRE_SIGNATURE="true", **network)
    assert f"signed by {vendor.fingerprint} in {vendor.keyring} (gpgv)" in fetched.stdout
    server.answer("/d/noble.img.sig", Reply(keys.sign(DATA[1:], vendor)))
    lading("catalog", "add", server.url("/d/noble.img"), "--name", "wrong", "--keyring", str(vendor.keyring))
    refused = lading("fetch", "wrong", "vms/2", **network)
    assert "noble.img.sig: the signature by the key" in refused.stderr


def test_a_resumed_image_is_verified_from_its_first_byte(
    server: FaultyServer, keys: Keys, vendor: Key, settings: Settings, tmp_path: Path
) -> None:
    data = DATA * 1000
    server.answer("/d/noble.img.sig", Reply(keys.sign(data, vendor)))
    url = server.url("/d/noble.img")
    server.answer("/d/noble.img", Reply(data), Reply(data, after=2 << 20), Reply(b"", status=403))
    keyrings = (vendor.keyring,)
    with pytest.raises(library.NoHandlerAvailable):
        library.fetch(url, tmp_path / "1", keyrings=keyrings, settings=settings)
    server.answer("/d/noble.img", Reply(data))
    resumed = library.fetch(url, tmp_path / "1", keyrings=keyrings, settings=settings)
    assert resumed.landing.resumed > 0
    assert resumed.landing.signed_by == vendor.signer
