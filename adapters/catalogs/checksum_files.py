"""Checksum files as vendors publish them beside their images, read for one file name.

Formats: coreutils' (`HEX  NAME`, with one blank, two, or a blank and `*`), BSD's (`SHA256 (NAME) = HEX`), a digest
alone, sections (`# SHA512 HASH`), JSON of streams and releases; each also clear-signed (RFC 9580, section 7).
"""

import re
from base64 import b64decode
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from lading.adapters.codec.documents import read_json
from lading.ports.image import Digest

__all__ = ["LENGTHS", "Checksums", "checksums_of"]

LENGTHS: Final = {"md5": 32, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128}
"""Hex digits of a digest, by algorithm, the strongest last."""
_ALGORITHMS: Final = {length: algorithm for algorithm, length in LENGTHS.items()}
_COREUTILS: Final = re.compile(r"(\\?)([0-9A-Fa-f]{32,128}) [ *]?([^\s*].*)")
_BSD: Final = re.compile(r"([A-Za-z0-9-]{3,12}) ?\((.+)\) ?= ?([0-9A-Fa-f]{32,128})")
_SECTION: Final = re.compile(r"#\s*([A-Za-z0-9-]{3,12}) HASH", re.IGNORECASE)
_BARE: Final = re.compile(r"[0-9A-Fa-f]{32,128}")
_BEGIN_SIGNED: Final = "-----BEGIN PGP SIGNED MESSAGE-----"
_BEGIN_SIGNATURE: Final = "-----BEGIN PGP SIGNATURE-----"
_NAME_KEYS: Final = ("location", "path", "link", "name", "url", "filename", "browser_download_url")
"""Keys of an image's name or URL: in streams of Fedora CoreOS, in its builds, in Fedora's and GitHub's releases."""

_DEBIAN_DIGEST: Final = "cloud.debian.org/digest"


class Checksums(NamedTuple):
    """What a checksum file says of one file."""

    digest: Digest
    """The strongest that it has."""
    content_digest: Digest | None = None
    """Of the disk in a packed file, where it has that too."""

    @property
    def is_weak(self) -> bool:
        """Two files with the same digest can be made (RFC 6151, RFC 6194)."""
        return self.digest.algorithm in {"md5", "sha1"}


class _Entry(NamedTuple):
    name: str
    algorithm: str
    value: str


def checksums_of(content: bytes, name: str, *, alone: bool = False) -> Checksums | None:
    """What the file's content says of the file of this name; None where it does not list it.

    `alone`: the checksum file is for that file only, so that it may consist of a digest without a name. Raises
    ValueError where it has two digests of one algorithm for that name.

    >>> checksums_of(b"SHA1 (noble.img) = " + b"ab" * 20, "noble.img").digest.algorithm
    'sha1'
    """
    text = _signed_text(content.decode("utf-8-sig", "replace"))
    if text.lstrip()[:1] in {"{", "["}:
        return _from_json(text, name)
    if alone and (_BARE.fullmatch(text.strip())):
        entries: Iterable[_Entry] = [_Entry(name, _ALGORITHMS.get(len(text.strip()), ""), text.strip())]
    else:
        entries = _entries(text.splitlines())
    digest = _strongest(_for_name(entries, name), name)
    return Checksums(digest) if digest else None


def _signed_text(text: str) -> str:
    """The text that is signed, without its dash escapes; all of a text that is not clear-signed.

    The signature is not verified. Lines around the signed text are nobody's, and are dropped.
    """
    lines = text.splitlines()
    if _BEGIN_SIGNED not in lines:
        return text
    signed = lines[lines.index(_BEGIN_SIGNED) + 1 :]
    blank = next((number for number, line in enumerate(signed) if not line.strip()), len(signed))
    end = signed.index(_BEGIN_SIGNATURE) if _BEGIN_SIGNATURE in signed else len(signed)
    return "\n".join(line.removeprefix("- ") for line in signed[blank + 1 : end])


def _entries(lines: Iterable[str]) -> Iterator[_Entry]:
    """The entries of a text, one a line. Lines that are none are skipped."""
    section: str | None = None
    for line in map(str.strip, lines):
        if (found := _SECTION.fullmatch(line)) is not None:
            section = _algorithm(found[1])
        elif (found := _BSD.fullmatch(line)) is not None:
            yield _Entry(found[2], _algorithm(found[1]), found[3])
        elif (found := _COREUTILS.fullmatch(line)) is not None:
            name = found[3].replace("\\n", "\n").replace("\\\\", "\\") if found[1] else found[3]
            yield _Entry(name, section or _ALGORITHMS.get(len(found[2]), ""), found[2])


def _algorithm(word: str) -> str:
    """hashlib's name of an algorithm: `sha256` for SHA256, SHA-256 and OpenSSL's SHA2-256."""
    return word.lower().replace("sha2-", "sha").replace("-", "")


def _for_name(entries: Iterable[_Entry], name: str) -> list[_Entry]:
    """The entries of that very name; else those of files of that name in folders."""
    known = [each for each in entries if LENGTHS.get(each.algorithm) == len(each.value)]
    named = [each for each in known if each.name.removeprefix("./") == name]
    return named or [each for each in known if each.name.rpartition("/")[2] == name]


def _strongest(entries: Iterable[_Entry], name: str) -> Digest | None:
    """The strongest digest of the entries, which are all of one file. Raises ValueError where two contradict."""
    digests: dict[str, str] = {}
    for _, algorithm, value in entries:
        if digests.setdefault(algorithm, value.lower()) != value.lower():
            raise ValueError(f"it has two {algorithm} digests of {name}")
    return next((Digest(each, digests[each]) for each in reversed(LENGTHS) if each in digests), None)


def _from_json(text: str, name: str) -> Checksums | None:
    """What JSON says of the file: in any object that has its name or its URL. Raises ValueError."""
    entries: list[_Entry] = []
    contents: list[_Entry] = []
    try:
        values = [read_json(text.encode())]
    except ValueError:
        return None
    while values:
        value = values.pop()
        if isinstance(value, dict):
            values += value.values()
            entries += _debian_entries(value, name)
            if any(_is_named(value.get(key), name) for key in _NAME_KEYS):
                entries += _json_entries(value, name, "")
                contents += _json_entries(value, name, "uncompressed-")
        elif isinstance(value, list):
            values += value
    digest = _strongest([each for each in entries if LENGTHS.get(each.algorithm) == len(each.value)], name)
    return Checksums(digest, _strongest(contents, name)) if digest else None


def _is_named(value: object, name: str) -> bool:
    return isinstance(value, str) and value.rpartition("/")[2] == name


def _debian_entries(record: dict[str, object], name: str) -> Iterator[_Entry]:
    """The digest of an upload, as Debian's cloud images have it: in base64 without padding.

    The upload's name has the date and number of its build; that in the folder `latest` has not.
    """
    data, metadata = record.get("data"), record.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    if not isinstance(data, dict) or not isinstance(annotations, dict):
        return
    algorithm, _, value = str(annotations.get(_DEBIAN_DIGEST, "")).partition(":")
    stem, _, ending = name.partition(".")
    names = rf"{re.escape(stem)}(-\d{{8}}-\d+)?\.{re.escape(ending)}"
    if not value or not re.fullmatch(names, str(data.get("ref", "")).rpartition("/")[2]):
        return
    try:
        yield _Entry(name, algorithm, b64decode(f"{value}{'=' * (-len(value) % 4)}", validate=True).hex())
    except ValueError:
        return


def _json_entries(record: dict[str, object], name: str, prefix: str) -> Iterator[_Entry]:
    """The digests of a JSON object: `"sha256": HEX` and `"digest": "sha256:HEX"`, with that prefix before the key."""
    texts = {algorithm: record.get(f"{prefix}{algorithm}") for algorithm in LENGTHS}
    algorithm, _, value = str(record.get(f"{prefix}digest", "")).partition(":")
    texts |= {algorithm: value} if value else {}
    for key, text in texts.items():
        if isinstance(text, str) and _BARE.fullmatch(text) and LENGTHS.get(key) == len(text):
            yield _Entry(name, key, text)
