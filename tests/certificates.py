"""Certificates, and signatures of images as Glance has them, made in the tests."""

import datetime as dt
from base64 import b64encode
from pathlib import Path
from typing import Final, NamedTuple, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

__all__ = ["Authority", "Signing"]

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | dsa.DSAPrivateKey | ed25519.Ed25519PrivateKey
_NOW: Final = dt.datetime.now(dt.UTC)
_HASHES: Final = {
    "SHA-224": hashes.SHA224(), "SHA-256": hashes.SHA256(), "SHA-384": hashes.SHA384(), "SHA-512": hashes.SHA512(),
}  # fmt: skip


class Signing(NamedTuple):
    """A key with its certificate."""

    id: str
    key: PrivateKey
    certificate: x509.Certificate

    def properties(self, data: bytes, hash_method: str = "SHA-256") -> dict[str, str]:
        """The properties of a signed image."""
        method = _HASHES[hash_method]
        if isinstance(self.key, rsa.RSAPrivateKey):
            kind = "RSA-PSS"
            signature = self.key.sign(data, padding.PSS(padding.MGF1(method), padding.PSS.MAX_LENGTH), method)
        elif isinstance(self.key, dsa.DSAPrivateKey):
            kind, signature = "DSA", self.key.sign(data, method)
        else:
            assert isinstance(self.key, ec.EllipticCurvePrivateKey)
            kind, signature = f"ECC_{self.key.curve.name.upper()}", self.key.sign(data, ec.ECDSA(method))
        return {
            "img_signature": b64encode(signature).decode(),
            "img_signature_hash_method": hash_method,
            "img_signature_key_type": kind,
            "img_signature_certificate_uuid": self.id,
        }

    def write(self, folder: Path, suffix: str = ".pem") -> Path:
        """Writes the certificate, in DER where the suffix says so."""
        folder.mkdir(exist_ok=True)
        path = folder / f"{self.id}{suffix}"
        path.write_bytes(self.certificate.public_bytes(Encoding.DER if suffix == ".der" else Encoding.PEM))
        return path


class Authority(NamedTuple):
    """An authority that issues certificates."""

    own: Signing

    @classmethod
    def make(cls, name: str = "authority", key: PrivateKey | None = None) -> Self:
        key = key or ec.generate_private_key(ec.SECP384R1())
        usage = x509.KeyUsage(
            digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        builder = _builder(name, name, key).add_extension(usage, critical=True)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        return cls(Signing(name, key, builder.sign(key, _hash_of(key))))

    def issue(self, name: str, key: PrivateKey | None = None, *, days: int = 30) -> Signing:
        """A certificate that is valid for so many days from yesterday on; negative: that has expired."""
        key = key or ec.generate_private_key(ec.SECP384R1())
        builder = _builder(name, self.own.id, key, days=days)
        return Signing(name, key, builder.sign(self.own.key, _hash_of(self.own.key)))


def _hash_of(key: PrivateKey) -> hashes.SHA256 | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def _builder(name: str, issuer: str, key: PrivateKey, *, days: int = 30) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOW - dt.timedelta(days=max(1, 2 - days)))
        .not_valid_after(_NOW + dt.timedelta(days=days))
    )
