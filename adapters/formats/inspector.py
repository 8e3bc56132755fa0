"""An adapter for one of oslo.utils' format inspectors, which reads hostile bytes."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final
from uuid import UUID

if TYPE_CHECKING:
    from oslo_utils.imageutils.format_inspector import FileInspector

__all__ = ["Inspector"]

_LEFT_OUT: Final = frozenset({("qcow2", "unknown_features"), ("luks", "version"), ("gpt", "mbr")})
"""Checks that refuse harmless images. qcow2's does not know extended L2 entries, and LUKS's does not know version 2:
`qemu_rules` has checks that do. GPT's refuses hybrid and other odd MBRs; QEMU follows nothing in a partition table.
"""

_PARENT_LOCATOR: Final = UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c").bytes_le
"""VHDX metadata that names a parent, which Hyper-V opens and QEMU refuses; [MS-VHDX] 2.6.2.6."""


class Inspector:
    """One inspector. Its exceptions are findings about the bytes, and it gets no more bytes than it needs."""

    def __init__(self, name: str, inspector: "FileInspector") -> None:
        self.name = name
        self._inspector = inspector
        self._fault: str | None = None
        self.has_failed = False
        """True if the inspector cannot tell. An ImageFormatError is no failure: it means another format."""

    @property
    def is_done(self) -> bool:
        """True if the inspector has all bytes that its safety checks need."""
        return self._fault is not None or self._inspector.complete

    @property
    def is_match(self) -> bool:
        """The bytes are of this format, even if the image is broken."""
        try:
            return self._inspector.format_match
        except Exception as error:  # noqa: BLE001 - hostile bytes
            # VMDK's inspector fails at a text that is not ASCII; `qemu_rules` knows what descriptors look like.
            if not (self.name == "vmdk" and isinstance(error, AttributeError)):
                self._note(error)
            return False

    @property
    def virtual_size(self) -> int | None:
        """Bytes of the disk, as the image's structures tell them; None where they do not."""
        try:
            return self._inspector.virtual_size or None
        except Exception:  # noqa: BLE001 - hostile bytes
            return None

    def eat(self, block: bytes) -> None:
        try:
            self._inspector.eat_chunk(block)
        except Exception as error:  # noqa: BLE001 - hostile bytes; of another format, as a rule
            self._note(error)

    def finish(self) -> None:
        self._inspector.finish()

    def dangers(self) -> Iterator[str]:
        """The findings of its safety checks, in their words."""
        from oslo_utils.imageutils.format_inspector import ImageFormatError, SafetyCheckFailed  # noqa: PLC0415 - likewise

        if self._fault is not None:
            yield self._fault
            return
        if self._inspector.has_region("metadata") and _PARENT_LOCATOR in self._inspector.region("metadata").data:
            yield "It needs a parent disk"
        try:
            self._inspector.safety_check()
        except SafetyCheckFailed as failed:
            yield from (str(why) for check, why in failed.failures.items() if (self.name, check) not in _LEFT_OUT)
        except ImageFormatError as error:
            yield str(error)
        except Exception as error:  # noqa: BLE001 - hostile bytes
            yield _unchecked(error)

    def _note(self, error: Exception) -> None:
        """Keeps the error's text only: the error itself would keep the block in memory."""
        from oslo_utils.imageutils.format_inspector import ImageFormatError  # noqa: PLC0415 - see Inspection

        self.has_failed = not isinstance(error, ImageFormatError)
        self._fault = _unchecked(error) if self.has_failed else "Its structures are broken"


def _unchecked(error: Exception) -> str:
    return f"It cannot be checked: {type(error).__name__}"
