"""The form that a target is to have."""

from dataclasses import dataclass
from typing import Final

__all__ = ["AS_SHIPPED", "Form"]


@dataclass(frozen=True, slots=True)
class Form:
    """The form that a request wants for its target. By default the target has the image's own form."""

    format: str | None = None
    """`raw` or `qcow2`; None: the image's."""
    size: int | None = None
    """Bytes of the disk, at least as many as the image's disk has; None: the image's."""
    fill: bool = False
    """The disk gets the size of the block device, and its GPT's backup is moved to the end."""
    fix_gpt: bool = False
    """The backup of the disk's GPT is moved to the end."""
    preallocation: str | None = None
    """`metadata` (qcow2 only), `falloc` or `full`, as qemu-img has them; None: no space is allocated beforehand."""
    member: str | None = None
    """The name of the disk in an archive of several."""


AS_SHIPPED: Final = Form()
"""The image's own form."""
