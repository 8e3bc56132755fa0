"""The rules for everything that lands, whatever its destination."""

from typing import Final, NamedTuple

from lading.adapters.stream.errors import Refused
from lading.domain.refusals import Mismatched

__all__ = ["PRIVATE", "Rules"]

PRIVATE: Final = 0o600
"""Only the owner may read or write the file."""


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

    def check_size(self, size: int | None) -> None:
        """Raises Refused for an image of more than `max_size` bytes; None: its size is not known."""
        if size is not None and self.max_size is not None and size > self.max_size:
            raise Refused(Mismatched(f"it has {size} bytes; [landing] max_size allows {self.max_size}"))
