"""Clones of signed images: a clone's bytes are not read, so that only a signed digest can prove them."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from returns.result import Failure
from tests.memory_storage import DATA, MemoryStorage

from lading import Digest, Image, Location, Proof, Signature, Signer, Unavailable, Unsupported, Work
from lading.adapters.destinations.clone.destination import CloneDestination
from lading.adapters.destinations.destination import SourceOpener
from lading.adapters.destinations.rules import Rules
from lading.adapters.memory.journal import MemoryJournal
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.signatures.certificates import CertificateFolder, Certificates
from lading.ports.verified_files import StoredVersion

DIGEST = Digest("sha256", hashlib.sha256(DATA).hexdigest())
VERSION = StoredVersion("mem:noble@1", len(DATA))
SIGNER = Signer("AB12", "/keys.gpg", "gpgv")
IMAGE = Image("noble", size=len(DATA), disk_format="raw", digest=DIGEST)
OPENER = SourceOpener(lambda _: Failure(Unavailable("a clone is not read")))
CERTIFICATES = Certificates(CertificateFolder(Path("/certificates")))
PROPERTIES = dict.fromkeys(
    ("img_signature", "img_signature_hash_method", "img_signature_key_type", "img_signature_certificate_uuid"), "a"
)


def clones(rules: Rules, *, is_verified: bool = True) -> CloneDestination:
    verified = MemoryVerifiedFiles()
    if is_verified:
        verified.remember(VERSION, DIGEST)
    return CloneDestination(MemoryStorage(version=VERSION), MemoryJournal(), rules, verified)


def work(image: Image) -> Work:
    return Work("mem:1", image, Location("mem://noble"))


def test_a_clone_of_a_signed_digest_is_proven_where_its_bytes_were_verified_before() -> None:
    image = replace(IMAGE, proof=Proof("https://host/SHA256SUMS", SIGNER))
    landing = clones(Rules(require_signature=True)).fetch(work(image), OPENER).unwrap()
    assert (landing.verified, landing.signed_by) == (True, SIGNER)
    unread = clones(Rules(), is_verified=False).fetch(work(image), OPENER).unwrap()
    assert (unread.verified, unread.signed_by) == (False, None)
    refused = clones(Rules(require_signature=True), is_verified=False).fetch(work(image), OPENER).failure()
    assert isinstance(refused, Unsupported)
    assert "a clone's bytes are not read" in refused.reason


@pytest.mark.parametrize(
    ("image", "rules"),
    [
        (IMAGE, Rules(require_signature=True)),
        (replace(IMAGE, proof=Proof(signature=Signature("", ("/keys.gpg",), "https://host/noble.sig"))), Rules()),
        (replace(IMAGE, properties=PROPERTIES), Rules(certificates=CERTIFICATES)),
    ],
    ids=["required", "OpenPGP", "Glance's"],
)  # fmt: skip
def test_an_image_whose_bytes_must_be_verified_is_not_cloned(image: Image, rules: Rules) -> None:
    destination = clones(rules)
    for outcome in (destination.fetch(work(image), OPENER), destination.preview(work(image), OPENER)):
        assert "no signature of them can be verified, and one must count" in outcome.failure().reason
