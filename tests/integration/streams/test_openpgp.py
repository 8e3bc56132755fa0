"""OpenPGP signatures by real keys, verified by gpgv and by sqv."""

import os
import re
from pathlib import Path

import pytest
from tests.openpgp import Key, Keys

from lading.adapters.formats.conversion.sandbox import Tool
from lading.adapters.signatures import openpgp
from lading.adapters.signatures.openpgp import split_clear_signed, verify_clear_signed, verify_detached
from lading.adapters.stream.errors import Refused
from lading.domain.refusals import Mismatched, Unconfigured

DATA = b"0123  noble.img\n"
LINES = b"first \t\n- dash\n-----BEGIN nothing\n\nlast"


@pytest.fixture(params=["gpgv", "sqv"])
def tool(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name: str = request.param
    if name == "sqv":
        monkeypatch.setattr(openpgp, "_GPGV", Tool("no-gpgv", "gpgv", "gnupg2"))
    return name


def refusal(signature: bytes, *keyrings: Path, data: bytes = DATA) -> str:
    with pytest.raises(Refused) as refused:
        verify_detached(data, signature, keyrings, "SHA256SUMS")
    assert isinstance(refused.value.refusal, Mismatched)
    return str(refused.value)


def test_a_detached_signature_names_its_key(tool: str, keys: Keys, vendor: Key) -> None:
    assert verify_detached(DATA, keys.sign(DATA, vendor), [vendor.keyring], "SHA256SUMS").key == vendor.fingerprint


def test_a_file_is_verified_from_its_start_by_its_descriptor(
    tool: str, keys: Keys, vendor: Key, tmp_path: Path
) -> None:
    (tmp_path / "image").write_bytes(DATA * 10000)
    signature = keys.sign(DATA * 10000, vendor)
    with (tmp_path / "image").open("rb") as file:
        file.seek(5)
        assert verify_detached(file.fileno(), signature, [vendor.keyring], "image").key == vendor.fingerprint
        assert file.tell() == 5


def test_armored_keyrings_and_signatures_are_read(tool: str, keys: Keys, vendor: Key, stranger: Key) -> None:
    armored = keys.export("vendor", "vendor.asc", "--armor")
    both = armored.with_name("both.asc")
    both.write_bytes(keys.export("stranger", "stranger.asc", "--armor").read_bytes() + armored.read_bytes())
    signature = keys.sign(DATA, vendor, options=("--armor",))
    for keyrings in ([armored], [both], [stranger.keyring, armored]):
        assert verify_detached(DATA, signature, keyrings, "SHA256SUMS").key == vendor.fingerprint


def test_changed_data_is_refused(tool: str, keys: Keys, vendor: Key) -> None:
    reason = refusal(keys.sign(DATA, vendor), vendor.keyring, data=DATA + b"x")
    assert reason.startswith("SHA256SUMS: ")
    assert str(vendor.keyring) in reason
    if tool == "gpgv":
        assert f"the key {vendor.fingerprint[-16:]} does not match: the file was changed" in reason


def test_a_key_that_no_keyring_has_is_refused_and_named(tool: str, keys: Keys, vendor: Key, stranger: Key) -> None:
    reason = refusal(keys.sign(DATA, stranger), vendor.keyring)
    if tool == "gpgv":
        assert f"it is signed by the key {stranger.fingerprint}, which no keyring has" in reason


def test_an_expired_key_is_refused(keys: Keys) -> None:
    expired = keys.make("expired", is_expired=True)
    reason = refusal(keys.sign_long_ago(DATA, expired), expired.keyring)
    assert f"the key {expired.fingerprint[-16:]} has expired" in reason


def test_a_revoked_key_is_refused(tool: str, keys: Keys) -> None:
    revoked = keys.make(f"revoked by {tool}")
    signature = keys.sign(DATA, revoked)
    keys.revoke(revoked)
    reason = refusal(signature, revoked.keyring)
    if tool == "gpgv":
        assert f"the key {revoked.fingerprint[-16:]} is revoked" in reason


def test_a_signature_with_sha1_is_refused(tool: str, keys: Keys, vendor: Key) -> None:
    reason = refusal(keys.sign(DATA, vendor, options=("--digest-algo", "SHA1")), vendor.keyring)
    if tool == "gpgv":
        assert f"the key {vendor.fingerprint} signed it with SHA-1, which can be forged" in reason


def test_an_old_key_that_is_bound_to_its_name_with_sha1_counts(keys: Keys) -> None:
    old = keys.make("old", binding="SHA1")
    assert verify_detached(DATA, keys.sign(DATA, old), [old.keyring], "SHA256SUMS").key == old.fingerprint


def test_one_good_signature_of_two_is_enough(tool: str, keys: Keys, vendor: Key, stranger: Key) -> None:
    for signers in ((vendor, stranger), (stranger, vendor)):
        signature = keys.sign(DATA, *signers)
        assert verify_detached(DATA, signature, [vendor.keyring], "SHA256SUMS").key == vendor.fingerprint


@pytest.mark.parametrize("signature", [b"", b"nonsense", b"\x89\x02", b"-----BEGIN PGP SIGNATURE-----\n\nAAAA\n"])
def test_what_is_no_signature_is_refused(tool: str, vendor: Key, signature: bytes) -> None:
    assert re.match(r"SHA256SUMS: (there is no signature|sqv finds no valid)", refusal(signature, vendor.keyring))


def test_a_public_key_in_place_of_the_signature_is_refused(tool: str, vendor: Key) -> None:
    refusal(vendor.keyring.read_bytes(), vendor.keyring)


def test_without_a_keyring_nothing_is_verified(keys: Keys, vendor: Key) -> None:
    assert "keyring: none" in refusal(keys.sign(DATA, vendor))


def test_a_clear_signed_text_is_exactly_what_was_signed(tool: str, keys: Keys, vendor: Key) -> None:
    document = keys.clear_sign(LINES, vendor)
    signed = verify_clear_signed(document, [vendor.keyring], "index.sjson")
    assert signed.text == b"first\n- dash\n-----BEGIN nothing\n\nlast"
    assert signed.signer.key == vendor.fingerprint


def test_text_around_the_signed_block_is_left_out(tool: str, keys: Keys, vendor: Key) -> None:
    document = b"0000  evil.img\n\n" + keys.clear_sign(DATA, vendor) + b"\n0000  evil.img\n"
    assert verify_clear_signed(document, [vendor.keyring], "SUMS").text == b"0123  noble.img"


def test_line_ends_of_other_systems_are_no_change(tool: str, keys: Keys, vendor: Key) -> None:
    document = keys.clear_sign(LINES, vendor).replace(b"\n", b"\r\n")
    assert verify_clear_signed(document, [vendor.keyring], "SUMS").text.startswith(b"first\n- dash\n")


def test_a_changed_clear_signed_text_is_refused(tool: str, keys: Keys, vendor: Key) -> None:
    document = keys.clear_sign(DATA, vendor).replace(b"0123", b"0124")
    with pytest.raises(Refused, match="SUMS: "):
        verify_clear_signed(document, [vendor.keyring], "SUMS")


def test_a_line_added_to_the_signed_block_is_refused(tool: str, keys: Keys, vendor: Key) -> None:
    document = keys.clear_sign(DATA, vendor).replace(b"0123", b"0000  evil.img\n0123")
    with pytest.raises(Refused, match="SUMS: "):
        verify_clear_signed(document, [vendor.keyring], "SUMS")


def test_headers_of_the_signed_block_are_not_its_text(keys: Keys, vendor: Key) -> None:
    document = keys.clear_sign(DATA, vendor).replace(b"Hash: ", b"Comment: 0000  evil.img\nHash: ")
    assert verify_clear_signed(document, [vendor.keyring], "SUMS").text == b"0123  noble.img"


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"plain\n",
        b"-----BEGIN PGP SIGNED MESSAGE-----\n",
        b"-----BEGIN PGP SIGNED MESSAGE-----\n\ntext\n",
        b"-----BEGIN PGP SIGNED MESSAGE-----\n\ntext\n-----BEGIN PGP SIGNATURE-----\n",
        b"-----END PGP SIGNATURE-----\n-----BEGIN PGP SIGNATURE-----\n-----BEGIN PGP SIGNED MESSAGE-----\n\n",
        b"-----BEGIN PGP SIGNED MESSAGE-----\n\n" * 50000 + b" " * 500000,
    ],
)
def test_what_is_not_clear_signed_is_refused(document: bytes) -> None:
    with pytest.raises(Refused, match="SUMS is not clear-signed"):
        split_clear_signed(document, "SUMS")


def test_a_missing_tool_is_one_line_that_names_the_package(
    keys: Keys, vendor: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tool, "is_installed", False)
    with pytest.raises(
        Refused, match=r"^neither gpgv nor sqv is installed: install gpgv \(Debian, Ubuntu\)"
    ) as refused:
        verify_detached(DATA, b"", [vendor.keyring], "SUMS")
    assert isinstance(refused.value.refusal, Unconfigured)


@pytest.mark.parametrize("content", [None, b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n\x00!\n", b"x" * (17 << 20)])
def test_a_keyring_that_cannot_be_read_is_named(vendor: Key, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "keyring"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Refused, match=f"the keyring {path} ") as refused:
        verify_detached(DATA, b"", [path], "SUMS")
    assert isinstance(refused.value.refusal, Unconfigured)


def test_no_descriptor_stays_open(keys: Keys, vendor: Key) -> None:
    before = os.listdir("/proc/self/fd")
    verify_detached(DATA, keys.sign(DATA, vendor), [vendor.keyring], "SUMS")
    refusal(b"", vendor.keyring)
    assert os.listdir("/proc/self/fd") == before
