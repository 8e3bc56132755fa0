"""The check of the signature that an image has over its bytes."""

from lading.adapters.formats.audit import SignatureCheck
from lading.adapters.signatures.certificates import Certificates, has_properties
from lading.ports.image import Image

__all__ = ["check_of", "trusted_by"]


def check_of(image: Image | None, certificates: Certificates | None) -> SignatureCheck | None:
    """The check of the image's bytes; None: it has no signature over them that can be verified here.

    Raises Refused where it has one, and its certificate is not trusted or cannot be read.
    """
    if image is None:
        return None
    if image.proof.signature is not None:
        from lading.adapters.signatures.piped import PipedCheck  # noqa: PLC0415 - few images have one

        return PipedCheck(image.proof.signature)
    if certificates is not None and has_properties(image):
        return certificates.check(image)
    return None


def trusted_by(image: Image | None, certificates: Certificates | None) -> str | None:
    """Where the key must be found that signed the image's bytes: see `Signer`. None: they have no such signature."""
    if image is None:
        return None
    if image.proof.signature is not None:
        return ", ".join(image.proof.signature.keyrings)
    return certificates.found_in if certificates is not None and has_properties(image) else None
