"""Which disk format bytes have, whatever they are said to be."""

from typing import IO, TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from oslo_utils.imageutils.format_inspector import InspectWrapper

__all__ = ["Inspection", "agrees"]

# Formats without a signature: what is in them is raw bytes, a partition table perhaps.
_RAW_LIKE: Final = frozenset({"raw", "ami", "ari", "aki"})
_IN_RAW: Final = frozenset({"raw", "gpt"})
_IN_ISO: Final = frozenset({"iso", "gpt"})


class Inspection:
    """Looks at an image's bytes as they come by, until it knows their format.

    By oslo.utils' format_inspector, which reads no more than the structures it has captured. It is imported with the
    first bytes, on the thread that brings them: it takes a tenth of a second.
    """

    def __init__(self) -> None:
        self._wrapper: InspectWrapper | None = None
        self._chunk = b""
        self.is_decided = False

    def feed(self, chunk: bytes) -> None:
        """The next bytes. Once `is_decided`, more are not needed."""
        if self._wrapper is None:
            from oslo_utils.imageutils.format_inspector import InspectWrapper  # noqa: PLC0415 - see the class

            self._wrapper = InspectWrapper(cast("IO[bytes]", self))
        self._chunk = chunk
        self._wrapper.read(len(chunk))
        self.is_decided = self._wrapper.formats is not None

    def read(self, size: int) -> bytes:
        """What the wrapper reads from: the chunk at hand."""
        return self._chunk

    def formats(self) -> frozenset[str]:
        """The formats' names, after the last byte; `raw` when it is nothing in particular.

        More than one where structures of several are there, as in a bootable ISO.
        """
        if self._wrapper is None:
            self.feed(b"")
        assert self._wrapper is not None  # noqa: S101 - feed has just seen to it
        if not self.is_decided:
            self._wrapper.close()
        return frozenset(map(str, self._wrapper.formats or ()))


def agrees(declared: str | None, found: frozenset[str]) -> bool:
    """Whether bytes in which these formats are found may be called `declared`, as Glance names disk formats.

    The rule is Nova's after CVE-2024-40767: the declared format and nothing else, where a partition table counts as
    raw; an ISO may carry one to boot from.

    >>> agrees("raw", frozenset({"gpt"})), agrees("raw", frozenset({"qcow2"})), agrees("iso", frozenset({"iso", "gpt"}))
    (True, False, True)
    """
    if declared is None:
        return True
    if declared in _RAW_LIKE:
        return found <= _IN_RAW
    if declared == "iso":
        return "iso" in found and found <= _IN_ISO
    if declared == "ploop":  # the inspector doesn't know it
        return found == {"raw"}
    return found == {declared}
