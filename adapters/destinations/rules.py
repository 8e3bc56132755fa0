"""The rules for everything that lands, whatever its destination."""

from dataclasses import replace
from typing import Final, NamedTuple

from lading.adapters.codec.sizes import exact_size
from lading.adapters.formats.audit import disk_too_large
from lading.adapters.signatures.certificates import Certificates
from lading.adapters.stream.errors import Refused
from lading.domain.handler import Work
from lading.domain.refusals import TooLarge
from lading.ports.form import Form

__all__ = ["PRIVATE", "Rules", "image_too_large"]

_BOOTED: Final = frozenset({"aki", "ari"})
"""Kernels and RAM disks, which are no disks."""
PRIVATE: Final = 0o600
"""Only the owner may read or write the file."""


def image_too_large(most: int, found: int | None = None) -> TooLarge:
    """The refusal of an image of more than `most` bytes. `found` None: its size is not known yet."""
    return TooLarge(
        "the image is too large",
        expected=f"at most {exact_size(most)}",
        found=exact_size(found) if found else "more",
        advice="[landing] max_size, or --max-size, is the limit",
    )


class Rules(NamedTuple):
    """The rules that every image must meet before it is published."""

    verify: bool = True
    """Digests are compared with the catalog's."""
    inspect: bool = True
    """Formats are compared with the catalog's, and unsafe ones refused, which needs lading[inspect]."""
    allow_unverified: bool = True
    """An image without a digest in the catalog may land."""
    mode: int = PRIVATE
    """The mode of new files, as chmod(2) takes it."""
    require_space: bool = True
    """An image that does not fit on the target's disk is refused before the first byte. Known holes take no space."""
    max_size: int | None = None
    """Bytes of the largest image that may land; None: any."""
    max_unpacked: int = 2 << 40
    """Bytes of the largest disk that a packed or converted image may have."""
    unpack: bool = True
    """Packed images are unpacked."""
    format: str | None = None
    """The format of targets whose request names none, `raw` or `qcow2`; None: the image's."""
    require_signature: bool = False
    """Only images land that a trusted key signed: their bytes, or the document that has their digest."""
    certificates: Certificates | None = None
    """The certificates by which signatures of Glance's images are verified; None: those are not verified."""

    @property
    def max_disk(self) -> int:
        """Bytes of the largest disk that a guest may see."""
        return min(self.max_size or self.max_unpacked, self.max_unpacked)

    def form_of(self, work: Work) -> Form:
        """The form that the target is to have."""
        is_booted = work.image is not None and work.image.disk_format in _BOOTED
        if work.form.format is not None or self.format is None or is_booted:
            return work.form
        return replace(work.form, format=self.format)

    def check_disk(self, size: int) -> None:
        """Raises Refused for a disk of more bytes than `max_disk`."""
        if size > self.max_disk:
            raise Refused(disk_too_large(self.max_disk, size))

    def check_size(self, size: int | None) -> None:
        """Raises Refused for an image of more than `max_size` bytes; None: its size is not known."""
        if size is not None and self.max_size is not None and size > self.max_size:
            raise Refused(image_too_large(self.max_size, size))
