"""An image, as a catalog describes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Self

from lading.ports.location import Location
from lading.ports.redaction import redacted_values

__all__ = ["GIVEN", "UNPROVEN", "Digest", "Image", "Proof", "Signature", "Signer"]


@dataclass(frozen=True, slots=True)
class Digest:
    """A digest of an image's bytes.

    `algorithm` is a name that `hashlib.new` takes (Glance's `os_hash_algo`), `value` the hex digest; both lower-case.

    >>> str(Digest("SHA256", "AB12"))
    'sha256:ab12'
    """

    algorithm: str
    value: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "algorithm", self.algorithm.lower())
        object.__setattr__(self, "value", self.value.lower())

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.value}"


@dataclass(frozen=True, slots=True)
class Signer:
    """The key whose signature counted."""

    key: str
    """The fingerprint of an OpenPGP key, the id and subject of a certificate."""
    found_in: str
    """The keyring, or the trusted certificates: paths or ids."""
    tool: str
    """The program that verified the signature."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A detached OpenPGP signature over the bytes of an image as shipped."""

    value: str
    """In base64."""
    keyrings: tuple[str, ...]
    """Paths of the keyrings, one of which must have the key."""
    url: str
    """Where it was found, for messages."""


GIVEN: Final = "given"
"""The origin of a digest that the request has."""


@dataclass(frozen=True, slots=True)
class Proof:
    """The evidence that lading found for an image. No document that others write sets it."""

    digest_from: str | None = None
    """The URL of the document that has the digest; GIVEN: the request has it; None: the catalog itself has it."""
    signed_by: Signer | None = None
    """The key that signed that document."""
    signature: Signature | None = None
    """A signature that is still to be verified: the bytes land only if it counts."""


UNPROVEN: Final = Proof()
"""The proof of an image of which only its catalog says anything."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image as a catalog describes it. Unknown fields are None."""

    id: str
    name: str | None = None
    size: int | None = None
    """Bytes."""
    disk_format: str | None = None
    """`raw`, `qcow2`, `vmdk`, `iso`, …, as Glance names them."""
    container_format: str | None = None
    digest: Digest | None = None
    """Glance's `os_hash_algo` and `os_hash_value`."""
    checksum: str | None = None
    """Glance's legacy MD5, hex."""
    content_digest: Digest | None = None
    """Of the disk in a packed image: decompressed, taken out of its archive."""
    content_size: int | None = None
    """Bytes of the disk in a packed image."""
    status: str = "active"
    locations: Sequence[Location] = ()
    """In the catalog's order; kept as a tuple."""
    properties: Mapping[str, object] = field(default_factory=dict, hash=False)
    """All other fields of the catalog, as JSON values. A durable store refuses other values."""
    proof: Proof = UNPROVEN

    def __post_init__(self) -> None:
        object.__setattr__(self, "locations", tuple(self.locations))

    @property
    def expected_digest(self) -> Digest | None:
        """The strongest digest that the catalog has: the multihash, else the MD5, else None."""
        if self.digest is not None:
            return self.digest
        return Digest("md5", self.checksum) if self.checksum else None

    def redacted(self) -> Self:
        """The image as it may be stored: without locations, and with the credentials in its properties masked.

        >>> Image("a", locations=[Location("file:///a")], properties={"copy_from": "http://u:p@host/a"}).redacted()
        Image(id='a', ..., locations=(), properties={'copy_from': 'http://***@host/a'}, ...)
        """
        return replace(self, locations=(), properties=redacted_values(self.properties))
