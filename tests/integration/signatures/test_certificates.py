"""Images that are signed as Glance's are, verified with certificates in files."""

import lzma
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from tests.certificates import Authority, PrivateKey, Signing
from tests.faulty_server import FaultyServer, Reply
from tests.integration.signatures.conftest import DATA, Images, MakeSettings

import lading
from lading import FetchRequest, NoHandlerAvailable, Signer
from lading.adapters.container import open_container
from lading.adapters.signatures import certificates


@pytest.mark.parametrize(
    ("key", "hash_method", "suffix"),
    [
        (rsa.generate_private_key(65537, 2048), "SHA-256", ".pem"),
        (ec.generate_private_key(ec.SECP384R1()), "SHA-384", ".crt"),
        (ec.generate_private_key(ec.SECP521R1()), "SHA-512", ".der"),
        (dsa.generate_private_key(2048), "SHA-224", ".cer"),
    ],
    ids=["RSA-PSS", "P-384", "P-521", "DSA"],
)
def test_a_signed_image_is_verified_by_each_kind_of_key(
    images: Images, make_settings: MakeSettings, authority: Authority, tmp_path: Path, key: PrivateKey,
    hash_method: str, suffix: str,
) -> None:  # fmt: skip
    signing = authority.issue("signer-1", key)
    signing.write(tmp_path / "certificates", suffix)
    image = images.add(signing.properties(DATA, hash_method))
    fetched = lading.fetch(image, tmp_path / "1", settings=make_settings(require_signature=True))
    trusted = str(tmp_path / "authority.pem")
    assert fetched.landing.signed_by == Signer("signer-1 (CN=signer-1)", trusted, "cursive")
    assert fetched.landing.verified
    assert (tmp_path / "1").read_bytes() == DATA


def test_explain_names_the_certificates_that_the_signature_needs(
    images: Images, make_settings: MakeSettings, signing: Signing, tmp_path: Path
) -> None:
    request = FetchRequest(images.add(signing.properties(DATA)), str(tmp_path / "1"))
    for settings, told in (
        (make_settings(), f", verifies its signature with the keys in {tmp_path}/authority.pem"),
        (make_settings(certificates=None, trusted_certificates=None), ""),
    ):
        preview, *_ = open_container(settings).dispatcher().preview(request)
        assert preview.reason == f"clones or copies 293.0 KiB{told}"


@pytest.mark.parametrize(
    ("flaw", "told"),
    [
        ({"img_signature_certificate_uuid": "other"}, "it is signed by the certificate other, which is not in"),
        ({"img_signature_certificate_uuid": "../authority"}, "the certificate '../authority', which is not in"),
        ({"img_signature_key_type": "RSA-PSS"}, "img_signature_key_type is RSA-PSS, which the certificate"),
        ({"img_signature_key_type": "ROT13"}, "cannot be verified: .*Invalid signature key type: ROT13"),
        ({"img_signature_hash_method": "MD5"}, "cannot be verified: .*Invalid signature hash method: MD5"),
        ({"img_signature": "A"}, "cannot be verified: .*base64"),
        ({"img_signature": ""}, "img_signature is empty"),
        ({"img_signature": "AAAA"}, "its bytes are not those that the certificate .* signed: the image or its"),
    ],
)
def test_a_signature_that_does_not_count_is_refused(
    images: Images, make_settings: MakeSettings, signing: Signing, tmp_path: Path, flaw: dict[str, str], told: str
) -> None:
    image = images.add({**signing.properties(DATA), **flaw})
    with pytest.raises(NoHandlerAvailable, match=told):
        lading.fetch(image, tmp_path / "vm.img", settings=make_settings())
    assert not (tmp_path / "vm.img").exists()


def test_other_bytes_than_the_signed_ones_are_refused_before_they_are_published(
    images: Images, make_settings: MakeSettings, signing: Signing, faulty_server: FaultyServer, tmp_path: Path
) -> None:
    changed = DATA[:-1] + b"x"
    url = faulty_server.answer("/noble.img", Reply(changed))
    for location in (None, url):
        image = images.add(signing.properties(DATA), changed, location)
        with pytest.raises(NoHandlerAvailable, match="its bytes are not those that the certificate"):
            lading.fetch(image, tmp_path / "vm.img", settings=make_settings())
        assert not (tmp_path / "vm.img").exists()


@pytest.mark.parametrize(
    ("certificate", "told"),
    [
        ("expired", "The certificate is outside its valid date range"),
        ("stranger", "no authority in .*authority.pem has issued it"),
        ("garbage", "the certificate signer is no X.509 certificate in PEM or DER"),
        ("self-signed", "no authority in .*signer.pem has issued it"),
    ],
)
def test_a_certificate_that_is_not_trusted_is_refused(
    images: Images, make_settings: MakeSettings, authority: Authority, tmp_path: Path, certificate: str, told: str
) -> None:
    issuer = Authority.make() if certificate == "stranger" else authority
    signer = issuer.issue("signer", days=-1 if certificate == "expired" else 30)
    path = signer.write(tmp_path / "certificates")
    if certificate == "garbage":
        path.write_bytes(b"nonsense")
    trusted = {"trusted_certificates": [str(path)]} if certificate == "self-signed" else {}
    image = images.add(signer.properties(DATA))
    with pytest.raises(NoHandlerAvailable, match=told):
        lading.fetch(image, tmp_path / "vm.img", settings=make_settings(**trusted))


def test_keys_that_cursive_does_not_know_are_refused(
    images: Images, make_settings: MakeSettings, authority: Authority, tmp_path: Path
) -> None:
    properties = authority.issue("signer").properties(DATA)
    issued = authority.issue("signer", ed25519.Ed25519PrivateKey.generate())
    issued.write(tmp_path / "certificates")
    image, settings = images.add(properties), make_settings()
    with pytest.raises(NoHandlerAvailable, match="img_signature_key_type is ECC_SECP384R1, which the certificate"):
        lading.fetch(image, tmp_path / "1", settings=settings)
    other = Authority.make("authority", ed25519.Ed25519PrivateKey.generate())
    other.own.write(tmp_path)
    other.issue("signer").write(tmp_path / "certificates")
    with pytest.raises(NoHandlerAvailable, match=r"no authority in .*authority\.pem has issued it"):
        lading.fetch(image, tmp_path / "1", settings=settings)


def test_without_authorities_each_certificate_of_the_folder_is_trusted(
    images: Images, make_settings: MakeSettings, authority: Authority, tmp_path: Path
) -> None:
    settings = make_settings(trusted_certificates=None)
    signer = authority.issue("signer")
    signer.write(tmp_path / "certificates")
    fetched = lading.fetch(images.add(signer.properties(DATA)), tmp_path / "1", settings=settings)
    assert fetched.landing.signed_by == Signer("signer (CN=signer)", str(tmp_path / "certificates"), "cursive")
    expired = authority.issue("signer", days=-1)
    expired.write(tmp_path / "certificates")
    with pytest.raises(NoHandlerAvailable, match="outside its valid date range"):
        lading.fetch(images.add(expired.properties(DATA)), tmp_path / "2", settings=settings)


def test_a_signature_can_be_demanded_of_each_image(
    images: Images, make_settings: MakeSettings, signing: Signing, tmp_path: Path
) -> None:
    unsigned = images.add({})
    assert lading.fetch(unsigned, tmp_path / "1", settings=make_settings()).landing.signed_by is None
    told = "no signature of it can be verified, and landing.require_signature is true"
    with pytest.raises(NoHandlerAvailable, match=told):
        lading.fetch(unsigned, tmp_path / "2", settings=make_settings(require_signature=True))
    signed = images.add(signing.properties(DATA))
    nowhere = make_settings(require_signature=True, certificates=None, trusted_certificates=None)
    with pytest.raises(NoHandlerAvailable, match=told):
        lading.fetch(signed, tmp_path / "2", settings=nowhere)
    assert lading.fetch(signed, tmp_path / "2", settings=make_settings(require_signature=True)).landing.signed_by


def test_the_bytes_of_a_local_file_are_read_each_time(
    images: Images, make_settings: MakeSettings, signing: Signing, tmp_path: Path
) -> None:
    """Their digest may be known from before: it proves no signature."""
    image, settings = images.add({}), make_settings(verify=True)
    for name in ("1", "2"):
        lading.fetch(image, tmp_path / name, settings=settings)
    wrong = images.add({**signing.properties(DATA), "img_signature": "AAAA"})
    assert wrong == image
    with pytest.raises(NoHandlerAvailable, match="its bytes are not those"):
        lading.fetch(wrong, tmp_path / "3", settings=settings)


def test_a_packed_image_is_verified_as_shipped_and_copied_afterwards(
    images: Images, make_settings: MakeSettings, signing: Signing, faulty_server: FaultyServer, authority: Authority,
    tmp_path: Path,
) -> None:  # fmt: skip
    packed = lzma.compress(DATA)
    url = faulty_server.answer("/noble.img.xz", Reply(packed))
    image, settings = images.add(signing.properties(packed), packed, url), make_settings(require_signature=True)
    first = lading.fetch(image, tmp_path / "1", settings=settings, format="raw")
    assert (tmp_path / "1").read_bytes() == DATA
    assert first.landing.signed_by is not None
    requests = len(faulty_server.requests)
    copied = lading.fetch(image, tmp_path / "2", settings=settings, format="raw")
    assert (copied.landing.copied_from, copied.landing.signed_by) == (str(tmp_path / "1"), first.landing.signed_by)
    assert len(faulty_server.requests) == requests
    # Whoever trusts another authority does not take what the first one vouched for.
    other = Authority.make("other")
    trusted = [str(other.own.write(tmp_path))]
    with pytest.raises(NoHandlerAvailable, match=r"no authority in .*other\.pem has issued it"):
        lading.fetch(image, tmp_path / "3", settings=make_settings(trusted_certificates=trusted), format="raw")
    recorded = open_container(settings).associations().get(str(tmp_path / "1")).unwrap()
    assert recorded is not None
    assert recorded.signed_by == first.landing.signed_by


def test_without_cursive_a_signed_image_is_refused_with_advice(
    images: Images, make_settings: MakeSettings, signing: Signing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "find_spec", lambda _: None)
    with pytest.raises(NoHandlerAvailable, match=r"cursive is not installed.*pip install 'lading\[signatures\]'"):
        lading.fetch(images.add(signing.properties(DATA)), tmp_path / "1", settings=make_settings())


def test_a_catalog_s_policy_demands_the_properties(
    images: Images, make_settings: MakeSettings, signing: Signing, tmp_path: Path
) -> None:
    settings = make_settings("signature")
    with pytest.raises(lading.ImageUnproven, match="no trusted key has signed it, and "):
        lading.fetch(images.add({}), tmp_path / "1", settings=settings)
    lading.fetch(images.add(signing.properties(DATA)), tmp_path / "1", settings=settings)
    with pytest.raises(lading.SettingsError, match=r'catalog: policy = "signature" needs \[landing\] certificates'):
        make_settings("signature", certificates=None, trusted_certificates=None)
