"""Manifests: the one for this host in an index, and the one disk image in a manifest.

https://github.com/opencontainers/image-spec; annotations as podman's machine-os and Ironic publish them.
"""

import platform
import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Self

from lading.adapters.codec.documents import read_json
from lading.adapters.codec.sizes import size_text
from lading.adapters.formats.unpacking.choice import is_no_disk
from lading.adapters.oci.reference import digest_of
from lading.ports.image import Digest

__all__ = ["ACCEPT", "Descriptor", "Manifest", "disk_format", "host_architecture"]

_INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
ACCEPT: Final = ", ".join((*_INDEXES, *_MANIFESTS))
"""The types that can be read. A registry answers 404 where its own is not among them."""
_EMPTY: Final = "application/vnd.oci.empty.v1+json"
"""The type of a layer that stands for none."""
_TART: Final = "application/vnd.cirruslabs.tart."
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
"""The kernel's names, and Go's."""
_DISK_TYPES: Final = ("qcow2", "qemu", "raw", "applehv", "vhdx", "hyperv", "vmdk")
"""Values of the annotation `disktype`, the best first."""
_FORMATS: Final = {"qemu": "qcow2", "applehv": "raw", "hyperv": "vhdx"}
"""The formats of disk types that are no names of formats."""
_TITLE: Final = re.compile(r".*\.(qcow2|raw|vmdk|vhdx|vhd|vdi|iso)(?:\.(?:gz|xz|zst|zstd|bz2|lz4))?", re.IGNORECASE)
_TITLE_KEY: Final = "org.opencontainers.image.title"
_MOST_LISTED: Final = 8


class Descriptor(NamedTuple):
    """What a manifest says of a blob, or an index of a manifest."""

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str]
    os: str | None
    architecture: str | None

    @classmethod
    def of(cls, document: object) -> Self:
        """Raises ValueError."""
        fields = document if isinstance(document, dict) else {}
        size, kind, where = fields.get("size"), fields.get("mediaType"), fields.get("platform") or {}
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 1 << 63:
            raise ValueError("its manifest has a descriptor without a size")
        if not isinstance(kind, str) or not isinstance(where, dict):
            raise ValueError("its manifest has a descriptor without a type")  # noqa: TRY004 - of a document, not an argument
        return cls(
            kind, digest_of(fields.get("digest")), size, _texts(fields.get("annotations")),
            _texts(where).get("os"), _texts(where).get("architecture"),
        )  # fmt: skip

    @property
    def title(self) -> str:
        """The name of its file; empty where there is none."""
        return self.annotations.get(_TITLE_KEY, "")

    @property
    def disk_type(self) -> str:
        return self.annotations.get("disktype", "").lower()

    def __str__(self) -> str:
        name = self.title if self.title.isprintable() else ascii(self.title)
        about = ", ".join(filter(None, (name, self.disk_type, self.architecture, size_text(self.size))))
        return f"{str(self.digest)[:19]} ({about[:120]})"


class Manifest:
    """A manifest, or an index of manifests."""

    def __init__(self, content: bytes, media_type: str) -> None:
        """`media_type` is the server's Content-Type: the one in the document may be missing. Raises ValueError."""
        document = read_json(content)
        if not isinstance(document, dict):
            raise ValueError("its manifest is no JSON object")  # noqa: TRY004 - likewise
        stated = document.get("mediaType")
        known = next((each for each in (media_type, stated) if each in {*_INDEXES, *_MANIFESTS}), None)
        if known is None:
            raise ValueError(f"its manifest is of another type: {ascii(media_type)[1:61]}")
        self.is_index = known in _INDEXES
        listed = document.get("manifests" if self.is_index else "layers")
        if not isinstance(listed, list):
            raise ValueError("its manifest lists nothing")  # noqa: TRY004 - likewise
        self.entries = tuple(map(Descriptor.of, listed))
        self.annotations = _texts(document.get("annotations"))

    def for_host(self, architecture: str) -> Descriptor:
        """The entry of an index for that architecture, in the best form of a disk. Raises ValueError."""
        fitting = [
            each
            for each in self.entries
            if each.os in {None, "linux"} and each.architecture in {None, architecture, _alias(architecture)}
        ]
        if not fitting:
            raise ValueError(f"it has nothing for linux on {architecture}; it has {_listed(self.entries)}")
        for disk_type in _DISK_TYPES:
            for each in fitting:
                if each.disk_type == disk_type:
                    return each
        plain = [each for each in fitting if not each.disk_type]
        if not plain:
            raise ValueError(f"it has no disk of a known type; it has {_listed(fitting)}")
        return plain[0]

    def disk(self) -> Descriptor:
        """The blob with the disk image. Raises ValueError where there is none, or several."""
        if any(each.media_type.startswith(_TART) for each in self.entries):
            raise ValueError("it is a virtual machine of tart: its disk is in pieces of Apple's own compression")
        disks = [
            each
            for each in self.entries
            if each.size and each.media_type != _EMPTY and not (each.title and is_no_disk(each.title))
        ]
        match disks:
            case [disk]:
                return disk
            case []:
                raise ValueError("it has no layer with a disk image")
        raise ValueError(
            f"it has {len(disks)} layers, and one of them should be the disk image: {_listed(disks)};"
            " publish the disk in a layer of its own"
        )


def disk_format(manifest: Manifest, blob: Descriptor, entry: Descriptor | None) -> str | None:
    """The disk's format by the blob's title or the disk type; None where neither tells it."""
    if (found := _TITLE.fullmatch(blob.title)) is not None:
        return found[1].lower()
    for annotations in (blob.annotations, manifest.annotations, entry.annotations if entry else {}):
        kind = annotations.get("disktype", "").lower()
        if kind in _DISK_TYPES:
            return _FORMATS.get(kind, kind)
    return None


def host_architecture() -> str:
    """This host's architecture, by Go's name.

    >>> host_architecture().startswith(("x86", "aarch"))
    False
    """
    machine = platform.machine().lower()
    return _ARCHITECTURES.get(machine, machine)


def _alias(architecture: str) -> str:
    """The other name of an architecture.

    >>> _alias("arm64"), _alias("x86_64"), _alias("riscv64")
    ('aarch64', 'amd64', 'riscv64')
    """
    others = {**_ARCHITECTURES, **{short: name for name, short in _ARCHITECTURES.items()}}
    return others.get(architecture, architecture)


def _listed(descriptors: Sequence[Descriptor]) -> str:
    more = f" and {len(descriptors) - _MOST_LISTED} more" if len(descriptors) > _MOST_LISTED else ""
    return (", ".join(map(str, descriptors[:_MOST_LISTED])) or "nothing") + more


def _texts(value: object) -> Mapping[str, str]:
    """The texts of a JSON object; others are left out."""
    return {key: each for key, each in value.items() if isinstance(each, str)} if isinstance(value, dict) else {}
