"""The policy of a catalog: its images need nothing, a digest, or a trusted signature."""

from dataclasses import dataclass
from typing import Literal

from lading.adapters.signatures.certificates import has_properties
from lading.ports.image import Image

__all__ = ["CatalogPolicy", "Policy", "flaw"]

Policy = Literal["none", "checksum", "signature"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogPolicy:
    """The setting that all catalogs have."""

    policy: Policy | None = None
    """`signature`: a trusted key must have signed each image, or its digest. `checksum`: each must have a digest.

    None: signature where a keyring is configured, else as the kind of the catalog has it.
    """

    @property
    def demanded(self) -> Policy:
        """The policy in force."""
        return self.policy or "none"


def flaw(image: Image, policy: Policy) -> str | None:
    """The flaw of an image by the policy, for a message; None: it has none.

    A signature over the bytes only has to be there: they land only if it counts.

    >>> flaw(Image("a"), "checksum")
    'it has no checksum'
    """
    has_digest = image.expected_digest is not None or image.content_digest is not None
    if policy == "checksum" and not has_digest:
        return "it has no checksum"
    if policy != "signature" or image.proof.signature is not None or has_properties(image):
        return None
    return None if has_digest and image.proof.signed_by is not None else "no trusted key has signed it"
