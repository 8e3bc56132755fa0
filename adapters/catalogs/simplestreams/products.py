"""Products, versions and disks of a stream, read from documents that anybody may have written.

https://git.launchpad.net/simplestreams/tree/doc has the format. What is not as it says is left out.
"""

import platform
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Final, NamedTuple, Self, TypeGuard

from lading.ports.image import Proof

__all__ = ["TOLD", "Disk", "Listing", "Product", "Reader", "architecture_name", "is_path", "listings", "products"]

_DOWNLOADS: Final = "image-downloads"
_PRODUCTS: Final = "products:1.0"
_LONGEST: Final = 1024
"""The most characters of a name, and of any other field."""
_MOST_LISTINGS: Final = 64
_FTYPES: Final = ("disk1.img", "disk-kvm.img", "uefi1.img", "disk.img", "vmdk", "ova")
"""The types of disks, the first one that a version has is taken.

Ubuntu's disk-kvm.img has a kernel for virtual machines only, its disk1.img a kernel for all.
"""
TOLD: Final = (
    "os", "release", "release_title", "release_codename", "version", "variant", "label", "pubname", "supported",
    "support_eol", "ftype",
)  # fmt: skip
"""The fields that are told of an image."""
_KEYS: Final = frozenset({*TOLD, "aliases", "arch", "path", "size", "sha256", "sha512", "md5"})
_MOST_ABBREVIATIONS: Final = 64
_DIGITS: Final = re.compile(r"([0-9]+)")
_ARCHITECTURES: Final = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "armhf",
    "armv8l": "armhf",
    "i686": "i386",
    "ppc64le": "ppc64el",
}
"""The kernel's names, and the streams', which are Debian's."""

_Fields = Mapping[str, object]


class Listing(NamedTuple):
    """A document that lists products, as the index names it."""

    content_id: str
    path: str


class Disk(NamedTuple):
    """The disk image of one version of a product."""

    serial: str
    path: str
    """Relative to the mirror's root, as it is published: to be quoted in a URL."""
    fields: _Fields
    """The item's, with what it inherits of its version and product."""


class Reader(NamedTuple):
    """Reads the entries of one document: only the fields that mean something here, so that no entry costs much."""

    keys: frozenset[str]
    abbreviations: Mapping[str, _Fields]
    """Tables of fields, by the key and the value that stand for them: the document's `_aliases`."""

    @classmethod
    def of(cls, document: _Fields) -> Self:
        """Raises ValueError for too many abbreviations."""
        table = document.get("_aliases")
        entries = table.items() if isinstance(table, Mapping) else ()
        found = {key: each for key, each in entries if isinstance(each, Mapping)}
        if len(found) > _MOST_ABBREVIATIONS:
            raise ValueError(f"it abbreviates more than {_MOST_ABBREVIATIONS} fields")
        return cls(_KEYS | found.keys(), found)

    def fields(self, entry: _Fields, inherited: _Fields) -> _Fields:
        """The entry's fields that are numbers, flags or short texts, with those that it inherits and abbreviates."""
        fields = {**inherited, **self._own(entry)}
        for key, table in self.abbreviations.items():
            value = fields.get(key)
            meant = table.get(value) if isinstance(value, str) else None
            if isinstance(meant, Mapping):
                fields.update(self._own(meant))
        return fields

    def _own(self, entry: _Fields) -> _Fields:
        return {
            key: value
            for key in self.keys
            if (value := entry.get(key)) is not None and (isinstance(value, int) or _is_name(value))
        }


@dataclass(frozen=True, slots=True)
class Product:
    """An image in its versions."""

    key: str
    """`com.ubuntu.cloud:server:24.04:amd64`, `debian:bookworm:amd64:default`."""
    architecture: str
    aliases: tuple[str, ...]
    fields: _Fields
    proof: Proof
    """That of the list."""
    versions: _Fields = field(repr=False)
    """By serial, as published."""
    reader: Reader = field(repr=False)
    """Of its document."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names to show, the best one first: the version where it is an alias, then the shortest alias."""
        version = self.fields.get("version")
        return tuple(sorted(self.aliases, key=lambda alias: (alias != version, len(alias))))

    def disks(self) -> Iterator[Disk]:
        """The versions that have a disk, the newest first."""
        for serial in sorted(filter(_is_name, self.versions), key=_natural, reverse=True):
            if "/" not in serial and (disk := self._disk(serial)) is not None:
                yield disk

    def _disk(self, serial: str) -> Disk | None:
        version = self.versions[serial]
        items = version.get("items") if isinstance(version, Mapping) else None
        if not isinstance(version, Mapping) or not isinstance(items, Mapping):
            return None
        inherited = self.reader.fields(version, self.fields)
        of_type: dict[object, list[_Fields]] = {ftype: [] for ftype in _FTYPES}
        for item in items.values():
            if isinstance(item, Mapping) and (ftype := self._ftype(item, inherited)) in _FTYPES:
                of_type[ftype].append(item)
        for item in chain.from_iterable(of_type.values()):
            fields = self.reader.fields(item, inherited)
            path = fields.get("path")
            if isinstance(path, str) and is_path(path):
                return Disk(serial, path, fields)
        return None

    def _ftype(self, item: _Fields, inherited: _Fields) -> object:
        fields = self.reader.fields(item, inherited) if self.reader.abbreviations else item
        return fields.get("ftype")


def listings(index: object) -> list[Listing]:
    """The documents of an index that list images to download. Raises ValueError."""
    entries = index.get("index") if isinstance(index, Mapping) else None
    if not isinstance(entries, Mapping):
        raise ValueError("it is no index of simplestreams")  # noqa: TRY004 - a document is no argument
    found = []
    for content_id, entry in entries.items():
        if not isinstance(entry, Mapping) or entry.get("datatype") != _DOWNLOADS or entry.get("format") != _PRODUCTS:
            continue
        path = entry.get("path")
        if not isinstance(path, str) or not is_path(path):
            raise ValueError("it names a document outside the mirror")
        found.append(Listing(content_id, path))
    if not found:
        raise ValueError("it lists no images to download")
    if len(found) > _MOST_LISTINGS:
        raise ValueError(f"it names more than {_MOST_LISTINGS} lists of images")
    return found


def products(document: object, content_id: str, proof: Proof) -> Iterator[Product]:
    """The products of a document that the index lists under this content id. Raises ValueError.

    `proof` is that of the document.
    """
    listed = document.get("products") if isinstance(document, Mapping) else None
    if not isinstance(document, Mapping) or not isinstance(listed, Mapping):
        raise ValueError("it is no list of products of simplestreams")  # noqa: TRY004 - likewise
    # Else a mirror could replace a list by another one that the publisher signed: daily builds for releases.
    if document.get("content_id", content_id) != content_id:
        raise ValueError(f"it is another list than {content_id}, which the index names")
    reader = Reader.of(document)
    shared = reader.fields(document, {})
    for key, entry in listed.items():
        if not _is_name(key) or not isinstance(entry, Mapping):
            continue
        fields = reader.fields(entry, shared)
        versions = entry.get("versions")
        aliases = (alias.strip() for alias in _text(fields, "aliases").split(","))
        yield Product(
            key,
            architecture_name(_text(fields, "arch")),
            tuple(dict.fromkeys(filter(_is_name, aliases))) or _made_aliases(fields),
            fields,
            proof,
            versions if isinstance(versions, Mapping) else {},
            reader,
        )


def architecture_name(name: str | None = None) -> str:
    """The architecture as streams name it, by any of its names; None: this host's.

    >>> architecture_name("aarch64"), architecture_name("amd64")
    ('arm64', 'amd64')
    """
    name = platform.machine() if name is None else name
    return _ARCHITECTURES.get(name, name)


def is_path(path: str) -> bool:
    """Tells whether the path of a document leads to a file beneath the mirror's root.

    >>> [is_path(each) for each in ("images/a/20260721_05:24/disk.qcow2", "../a", "/a", "https://evil.example/a")]
    [True, False, False, False]
    """
    segments = path.split("/")
    return _is_name(path) and "\\" not in path and not {"", ".", ".."} & set(segments)


def _is_name(text: object) -> TypeGuard[str]:
    return isinstance(text, str) and 0 < len(text) <= _LONGEST and text.isprintable()


def _text(fields: _Fields, key: str) -> str:
    value = fields.get(key)
    return value if isinstance(value, str) else ""


def _made_aliases(fields: _Fields) -> tuple[str, ...]:
    """The names of a product that has no aliases."""
    release, variant = _text(fields, "release"), _text(fields, "variant")
    made = [f"{_text(fields, 'os').lower()}/{release}/{variant}"] if variant else [_text(fields, "version"), release]
    return tuple(filter(_is_name, made))


def _natural(text: str) -> list[tuple[bool, int, str]]:
    """The order of serials: 20260901.10 comes after 20260901.9."""
    parts = filter(None, _DIGITS.split(text))
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]
