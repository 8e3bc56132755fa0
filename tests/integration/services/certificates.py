"""A certificate authority of one's own, and a certificate of it for loopback."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files."""

    authority: Path
    """What a client trusts."""
    server: Path
    """For 127.0.0.1 and localhost. It has no common name: etcd's gateway wants none in those of users."""
    key: Path
    client: Path
    """With a common name. Its key is the server's."""


def certificates(folder: Path) -> Certificates:
    """A new authority, a new server; good for a day."""
    issuing, serving = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = _name("lading tests")
    identifier = x509.SubjectKeyIdentifier.from_public_key(issuing.public_key())
    authority = (
        _builder(issuer, issuer, issuing.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_signs_only(), critical=True)
        .add_extension(identifier, critical=False)
        .sign(issuing, hashes.SHA256())
    )
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]
    written = Certificates(
        folder / "authority.pem", folder / "server.pem", folder / "server.key", folder / "client.pem"
    )
    for path, subject in (
        (written.server, _name("localhost", NameOID.ORGANIZATION_NAME)),
        (written.client, _name("client")),
    ):
        issued = (
            _builder(subject, issuer, serving.public_key())
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
            .sign(issuing, hashes.SHA256())
        )
        path.write_bytes(issued.public_bytes(serialization.Encoding.PEM))
    written.authority.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    written.key.write_bytes(
        serving.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return written


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )


def _signs_only() -> x509.KeyUsage:
    """Python 3.13 verifies strictly (RFC 5280): an authority must say that it signs certificates."""
    return x509.KeyUsage(
        key_cert_sign=True, crl_sign=True, digital_signature=False, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _name(text: str, kind: x509.ObjectIdentifier = NameOID.COMMON_NAME) -> x509.Name:
    return x509.Name([x509.NameAttribute(kind, text)])
