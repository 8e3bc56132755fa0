"""Files that are often taken for disk images: archives, compressed files, web pages, pointers.

A disk begins with a boot sector, a file system or zeros. So that no disk is taken for such a file, each header is
checked as far as its format allows: reserved bits, checksums. Sources: RFC 1952 (gzip), bzip2's and lzip's manuals,
the .xz file format 1.2, RFC 8878 (zstd), lz4_Frame_format.md, APPNOTE.TXT (zip), 7zFormat.txt, POSIX pax (tar),
WHATWG MIME Sniffing 7.1 (HTML), git-lfs docs/spec.md, git-annex "pointer file".
"""

import re
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple
from zlib import crc32

__all__ = ["CALLED_HTML", "PACKED", "OtherFile", "other_file"]


class OtherFile(NamedTuple):
    """A kind of file that is not a disk image."""

    name: str
    """The `disk_format` by which a catalog may declare it."""
    description: str
    remedy: str


_PAGE: Final = "open its URL in a browser: the server wants a sign-in, reports an error, or leads to the image"
_KINDS: Final = {
    each.name: each
    for each in (
        OtherFile("gz", "compressed by gzip", "decompress it first: gunzip FILE"),
        OtherFile("bz2", "compressed by bzip2", "decompress it first: bunzip2 FILE"),
        OtherFile("xz", "compressed by xz", "decompress it first: unxz FILE"),
        OtherFile("zst", "compressed by zstd", "decompress it first: unzstd FILE"),
        OtherFile("lz4", "compressed by lz4", "decompress it first: unlz4 FILE"),
        OtherFile("lz", "compressed by lzip", "decompress it first: lzip -d FILE"),
        OtherFile("zip", "a zip archive", "take the image out of it first: unzip FILE"),
        OtherFile("7z", "a 7z archive", "take the image out of it first: 7z x FILE"),
        OtherFile("rar", "a rar archive", "take the image out of it first: unrar x FILE"),
        OtherFile("tar", "a tar archive", "take the image out of it first: tar -xf FILE"),
        OtherFile("ova", "an OVA, which is a tar archive", "take the disk out of it first: tar -xf FILE"),
        OtherFile("html", "an HTML page", _PAGE),
        OtherFile("xml", "an XML document", _PAGE),
        OtherFile("lfs", "a Git LFS pointer", "fetch what it points to: git lfs pull"),
        OtherFile("annex", "a git-annex pointer", "fetch what it points to: git annex get FILE"),
    )
}
CALLED_HTML: Final = _KINDS["html"]._replace(description="an HTML page, as its server says")
PACKED: Final = frozenset({"gz", "bz2", "xz", "zst", "lz4", "lz", "zip", "7z", "rar", "tar", "ova"})
"""The kinds that contain another file."""

_TAG: Final = re.compile(
    rb"<(?:!doctype html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p|meta)[\s>]|<!--",
    re.IGNORECASE,
)
_STARTS: Final = (
    ("xml", b"<?xml "),
    ("lfs", b"version https://git-lfs.github.com/spec/"),
    ("annex", b"/annex/objects/"),
    ("rar", b"Rar!\x1a\x07\0"),
    ("rar", b"Rar!\x1a\x07\1\0"),
)
_BZIP2: Final = re.compile(rb"BZh[1-9](?:1AY&SY|\x17\x72\x45\x38\x50\x90)")
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_BLOCK: Final = 512
"""Bytes of a tar's header."""


def other_file(head: bytes) -> OtherFile | None:
    """The kind of file that begins so; None for a disk image. `head` has at least 512 bytes, or all of the file's.

    >>> other_file(b"\\x1f\\x8b\\x08" + bytes(20)).description
    'compressed by gzip'
    >>> other_file(bytes(512)) is None
    True
    """
    name = _text(head) or next(_packed(head.ljust(_BLOCK, b"\0")), None) or _tar(head)
    return _KINDS[name] if name else None


def _text(head: bytes) -> str | None:
    text = head[:4096].removeprefix(b"\xef\xbb\xbf").lstrip(b"\t\n\f\r ")
    if _TAG.match(text):
        return "html"
    return next((name for name, start in _STARTS if text.startswith(start)), None)


def _packed(head: bytes) -> Iterator[str]:
    if head.startswith(b"\x1f\x8b\x08") and head[3] & 0xE0 == 0:
        yield "gz"
    if _BZIP2.match(head):
        yield "bz2"
    if head.startswith(b"\xfd7zXZ\0\0") and struct.unpack_from("<I", head, 8)[0] == crc32(head[6:8]):
        yield "xz"
    if _is_zstd(head):
        yield "zst"
    if head.startswith(b"\x04\x22\x4d\x18") and head[4] & 0xC2 == 0x40 and head[5] & 0x8F == 0:  # noqa: PLR2004
        yield "lz4"
    if head.startswith(b"LZIP\1") and 12 <= head[5] & 0x1F <= 29:  # noqa: PLR2004 - a dictionary's size, as a power of 2
        yield "lz"
    if head.startswith(b"7z\xbc\xaf\x27\x1c\0") and struct.unpack_from("<I", head, 8)[0] == crc32(head[12:32]):
        yield "7z"
    if head.startswith(b"PK\3\4") and head[4] < 100 and struct.unpack_from("<H", head, 26)[0]:  # noqa: PLR2004 - version
        yield "zip"


def _is_zstd(head: bytes) -> bool:
    """Checks the first frame after the skippable ones."""
    offset = 0
    while head[offset + 1 : offset + 4] == b"\x2a\x4d\x18" and head[offset] & 0xF0 == 0x50:  # noqa: PLR2004
        offset += 8 + int.from_bytes(head[offset + 4 : offset + 8], "little")
    return head.startswith(_ZSTD, offset) and len(head) > offset + 4 and head[offset + 4] & 0x08 == 0


def _tar(head: bytes) -> str | None:
    """`tar` or `ova` where the header's checksum is right, in which the checksum's own field counts as blanks."""
    block = head[:_BLOCK]
    field = re.fullmatch(rb" *([0-7]{1,7})[ \0]*", block[148:156])
    if field is None or not block.rstrip(b"\0"):
        return None
    if sum(block[:148]) + sum(block[156:]) + 8 * ord(" ") != int(field[1], 8):
        return None
    return "ova" if block[:100].rstrip(b"\0").lower().endswith(b".ovf") else "tar"
