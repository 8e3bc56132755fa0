"""The images of a stream, found by reference."""

import difflib
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final, NamedTuple
from urllib.parse import quote

from lading.adapters.catalogs.simplestreams.products import TOLD, Disk, Product, architecture_name
from lading.ports.failures import AmbiguousImage
from lading.ports.image import Digest, Image
from lading.ports.location import Location

__all__ = ["Stream"]

_HEX: Final = {
    "sha256": re.compile("[0-9a-fA-F]{64}"),
    "sha512": re.compile("[0-9a-fA-F]{128}"),
    "md5": re.compile("[0-9a-fA-F]{32}"),
}
_FORMATS: Final = {"disk1.img": "qcow2", "disk-kvm.img": "qcow2", "uefi1.img": "qcow2", "vmdk": "vmdk"}
"""By type of the disk. Of the others the format is not known."""
_PLAIN: Final = "/:@!$&'()*+,;=~"
"""Characters that a URL's path has as they are, beside letters and digits (RFC 3986, section 3.3)."""
_SIZES: Final = range(2**63)
_NEAR: Final = 3
"""The most names in a hint."""
_LONGEST: Final = 60
"""Characters of a reference that are compared for a hint."""
_MOST_COMPARED: Final = 10_000
"""Names that a reference is compared with for a hint."""


class _Versions(NamedTuple):
    """A product, and its images by serial, the newest first. Each has the name by which it is listed."""

    product: Product
    name: str
    images: Mapping[str, Image]


class Stream:
    """The images of a mirror.

    A product is known by its aliases, for one architecture, and by its key. Its newest version has its name, and each
    version has `NAME/SERIAL`.
    """

    def __init__(self, products: Iterable[Product], url: str, architecture: str) -> None:
        """`url` is the mirror's root, which ends with a slash; `architecture` that of references that name none."""
        self._url = url
        self._architecture = architecture
        self._aliases: dict[tuple[str, str], list[str]] = {}
        """Keys of products, by alias and architecture."""
        disks: dict[str, tuple[Product, Sequence[Disk]]] = {}
        for product in products:
            if product.key not in disks and (found := list(product.disks())):
                disks[product.key] = (product, found)
                for alias in product.aliases:
                    self._aliases.setdefault((alias, product.architecture), []).append(product.key)
        self._products = {key: self._versions(*each) for key, each in disks.items()}
        self._ids: dict[str, Image] = {}
        for versions in self._products.values():
            for image in versions.images.values():
                self._ids.setdefault(image.id, image)

    def find(self, reference: str) -> Image | None:
        """The image with this id, or else the one that the reference means: `NAME[/ARCHITECTURE][/SERIAL]`.

        Raises AmbiguousImage where several products have the name.
        """
        if (image := self._ids.get(reference.lower())) is not None:
            return image
        serial = None
        if not (keys := self._keys(reference)):
            name, _, serial = reference.rpartition("/")
            keys = self._keys(name)
        if len(keys) > 1:
            raise AmbiguousImage(reference, tuple(sorted(self._products[key].name for key in keys)))
        if not keys:
            return None
        versions = self._products[keys[0]]
        if serial is None:
            return next(iter(versions.images.values()))
        image = versions.images.get(serial)
        # Named by its version also while that is the newest: the reference stays with it.
        return image and replace(image, name=f"{versions.name}/{serial}")

    def images(self) -> Iterator[Image]:
        """The images of the stream's own architecture, in all versions, ordered by name and id."""
        images: dict[str, Image] = {}
        for versions in self._products.values():
            if versions.product.architecture == self._architecture:
                for image in versions.images.values():
                    images.setdefault(image.id, image)
        return iter(sorted(images.values(), key=lambda image: (image.name or "", image.id)))

    def near(self, reference: str) -> Sequence[str]:
        """References that the one may be meant to be."""
        elsewhere = (f"{alias}/{architecture}" for alias, architecture in self._aliases if alias == reference)
        if found := sorted(elsewhere)[:_NEAR]:
            return found
        known = islice(self._aliases, _MOST_COMPARED)
        own = [alias for alias, architecture in known if architecture == self._architecture]
        texts = (reference[:_LONGEST], reference.partition("/")[0][:_LONGEST])
        return next(filter(None, (difflib.get_close_matches(text, own, _NEAR) for text in texts)), ())

    def _keys(self, name: str) -> Sequence[str]:
        """The keys of the products that have this name: a key, an alias, or an alias and an architecture."""
        if name in self._products:
            return [name]
        head, _, architecture = name.rpartition("/")
        return (
            self._aliases.get((name, self._architecture))
            or self._aliases.get((head, architecture_name(architecture)))
            or ()
        )

    def _versions(self, product: Product, disks: Sequence[Disk]) -> _Versions:
        name = product.key
        for alias in product.names:
            if len(self._aliases[alias, product.architecture]) == 1:
                name = alias if product.architecture == self._architecture else f"{alias}/{product.architecture}"
                break
        names = [name, *(f"{name}/{disk.serial}" for disk in disks[1:])]
        images = {disk.serial: self._image(product, disk, name) for disk, name in zip(disks, names, strict=True)}
        return _Versions(product, name, images)

    def _image(self, product: Product, disk: Disk, name: str) -> Image:
        url = f"{self._url}{quote(disk.path, safe=_PLAIN)}"
        fields, size = disk.fields, disk.fields.get("size")
        digests = {
            algorithm: value.lower()
            for algorithm, pattern in _HEX.items()
            if isinstance(value := fields.get(algorithm), str) and pattern.fullmatch(value)
        }
        strong = next((algorithm for algorithm in ("sha256", "sha512") if algorithm in digests), None)
        properties = {key: fields[key] for key in TOLD if key in fields}
        return Image(
            # The bytes of a path never change, so that its URL is as good an id as a digest.
            digests.get("sha256") or hashlib.sha256(url.encode()).hexdigest(),
            name,
            size=size if isinstance(size, int) and size in _SIZES and not isinstance(size, bool) else None,
            disk_format=_FORMATS.get(str(fields["ftype"])),
            digest=Digest(strong, digests[strong]) if strong else None,
            checksum=digests.get("md5"),
            locations=[Location(url, trusted=True)],
            properties={
                **properties,
                "arch": product.architecture,
                "product": product.key,
                "serial": disk.serial,
            },
            proof=product.proof,
        )
