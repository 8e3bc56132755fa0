"""Signatures of Glance's images, verified with X.509 certificates by OpenStack's cursive.

https://docs.openstack.org/glance/latest/user/signature.html
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from lading.adapters.stream.errors import Refused, error_text
from lading.domain.refusals import Mismatched, Unconfigured, Unsupported
from lading.ports.image import Image, Signer

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

__all__ = ["CertificateFolder", "CertificateSource", "Certificates", "has_properties"]

_SIGNATURE: Final = "img_signature"
_HASH: Final = "img_signature_hash_method"
_KEY_TYPE: Final = "img_signature_key_type"
_CERTIFICATE: Final = "img_signature_certificate_uuid"
_PROPERTIES: Final = (_SIGNATURE, _HASH, _KEY_TYPE, _CERTIFICATE)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SUFFIXES: Final = (".pem", ".crt", ".cer", ".der")
_SHOWN: Final = 40
_LARGEST: Final = 1 << 20
_PEM: Final = b"-----BEGIN CERTIFICATE-----"


def has_properties(image: Image) -> bool:
    """Tells whether the image is signed as Glance's images are."""
    return all(isinstance(image.properties.get(each), str) for each in _PROPERTIES)


class CertificateSource(Protocol):
    """Where the certificates of signers are. Its text is its name, for messages."""

    def read(self, name: str) -> bytes | None:
        """The certificate with this id, in PEM or DER; None: there is none. Raises Refused."""
        ...


@dataclass(frozen=True, slots=True)
class CertificateFolder:
    """A folder with certificates, each in a file ID.pem, .crt, .cer or .der."""

    folder: Path

    def __str__(self) -> str:
        return str(self.folder)

    def read(self, name: str) -> bytes | None:
        for suffix in _SUFFIXES:
            path = self.folder / f"{name}{suffix}"
            if path.is_file():
                return _content(path)
        return None


@dataclass(frozen=True, slots=True)
class Certificates:
    """The certificates of those who sign images."""

    source: CertificateSource
    trusted: Sequence[Path] = ()
    """Files of the authorities that must have issued them; none: each certificate that is read is trusted."""

    @property
    def found_in(self) -> str:
        """The files of the authorities, or the source where each certificate is trusted."""
        return ", ".join(map(str, self.trusted)) or str(self.source)

    def check(self, image: Image) -> "CertifiedCheck":
        """The check of the image's bytes, by its properties.

        Raises Refused: Unsupported where the certificate is not trusted, has expired, or does not fit the signature;
        Unconfigured where cursive is not installed.
        """
        if find_spec("cursive") is None:
            install = "pip install 'lading[signatures]'"
            raise Refused(Unconfigured(f"cursive is not installed, which verifies its signature: {install}"))
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - loaded with cursive
        from cursive import signature_utils  # noqa: PLC0415 - of an optional package, and slow to load
        from cursive.exception import SignatureVerificationError  # noqa: PLC0415

        signature, hash_method, key_type, name = (str(image.properties[each]) for each in _PROPERTIES)
        certificate = _parsed(self._read(name), f"the certificate {name}")
        try:
            self._check_chain(certificate)
            kind = signature_utils.SignatureKeyType.lookup(key_type)
            key = certificate.public_key()
            if not isinstance(key, kind.public_key_type):
                raise Refused(Unsupported(f"{_KEY_TYPE} is {key_type}, which the certificate {name} has no key of"))
            value, method = signature_utils.get_signature(signature), signature_utils.get_hash_method(hash_method)
            verifier = kind.create_verifier(value, method, key)
        except (SignatureVerificationError, UnsupportedAlgorithm, ValueError) as error:
            raise Refused(
                Unsupported(f"its signature by the certificate {name} cannot be verified: {error}")
            ) from error
        if verifier is None:
            raise Refused(Unsupported(f"{_SIGNATURE} is empty"))
        subject = certificate.subject.rfc4514_string()
        return CertifiedCheck(verifier, Signer(f"{name} ({subject})", self.found_in, "cursive"))

    def _read(self, name: str) -> bytes:
        """The certificate with this id. Raises Refused."""
        # The image's owner has chosen the id.
        is_id = _NAME.fullmatch(name) is not None
        content = self.source.read(name) if is_id else None
        if content is None:
            shown = name if is_id else ascii(name[:_SHOWN])
            raise Refused(Unsupported(f"it is signed by the certificate {shown}, which is not in {self.source}"))
        return content

    def _check_chain(self, certificate: "Certificate") -> None:
        """Raises cursive's SignatureVerificationError, and Refused."""
        from cursive import certificate_utils  # noqa: PLC0415
        from cursive.exception import SignatureVerificationError  # noqa: PLC0415

        authorities = [(str(path), _parsed(_content(path), str(path))) for path in self.trusted]
        context = certificate_utils.CertificateVerificationContext(authorities)
        context.update(certificate)  # its dates
        if not authorities:
            return
        try:
            context.verify()
        except (SignatureVerificationError, TypeError, AttributeError) as error:  # the last ones for Ed25519
            names = ", ".join(map(str, self.trusted))
            raise SignatureVerificationError(f"no authority in {names} has issued it: {error}") from error


class CertifiedCheck:
    """Hashes an image's bytes, and verifies its signature: a SignatureCheck."""

    def __init__(self, verifier: Any, signer: Signer) -> None:  # noqa: ANN401 - cursive has no types
        self._verifier = verifier
        self._signer = signer

    def take(self, data: memoryview) -> None:
        self._verifier.update(data)

    def signer(self) -> Signer:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - likewise

        try:
            self._verifier.verify()
        except InvalidSignature:
            key = self._signer.key
            reason = (
                f"its bytes are not those that the certificate {key} signed: the image or its {_SIGNATURE} was changed"
            )
            raise Refused(Mismatched(reason)) from None
        return self._signer

    def close(self) -> None: ...


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST)
    except OSError as error:
        raise Refused(Unconfigured(f"the certificate {path} cannot be read: {error_text(error)}")) from error


def _parsed(content: bytes, name: str) -> "Certificate":
    from cryptography import x509  # noqa: PLC0415 - loaded with cursive

    try:
        return x509.load_pem_x509_certificate(content) if _PEM in content else x509.load_der_x509_certificate(content)
    except ValueError as error:
        raise Refused(Unconfigured(f"{name} is no X.509 certificate in PEM or DER")) from error
