"""The images of a stream, found by reference."""

import difflib
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import Final
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


class Stream:
    """The images of a mirror. Versions are read from a product when they are needed first.

    A product is known by its aliases, for one architecture, and by its key. Its newest version has its name, and each
    version has `NAME/SERIAL`.
    """

    def __init__(self, products: Iterable[Product], url: str, architecture: str) -> None:
        """`url` is the mirror's root, which ends with a slash; `architecture` that of references that name none."""
        self._url = url
        self._architecture = architecture
        self._products: dict[str, Product] = {}
        """Those with a disk, by key."""
        self._aliases: dict[tuple[str, str], list[str]] = {}
        """Keys of products, by alias and architecture."""
        self._read: dict[str, Mapping[str, Image]] = {}
        for product in products:
            if product.key not in self._products and next(product.disks(), None) is not None:
                self._products[product.key] = product
                for alias in product.aliases:
                    self._aliases.setdefault((alias, product.architecture), []).append(product.key)

    def find(self, reference: str) -> Image | None:
        """The image with this id, or else the one that the reference means: `NAME[/ARCHITECTURE][/SERIAL]`.

        Raises AmbiguousImage where several products have the name.
        """
        if _HEX["sha256"].fullmatch(reference) and (image := self._with_id(reference.lower())) is not None:
            return image
        serial = None
        if not (keys := self._keys(reference)):
            name, _, serial = reference.rpartition("/")
            keys = self._keys(name)
        if len(keys) > 1:
            raise AmbiguousImage(reference, tuple(sorted(self._name(self._products[key]) for key in keys)))
        if not keys:
            return None
        product = self._products[keys[0]]
        versions = self._versions(product)
        if serial is None:
            return next(iter(versions.values()))
        image = versions.get(serial)
        # Named by its version also while that is the newest: the reference stays with it.
        return image and replace(image, name=f"{self._name(product)}/{serial}")

    def images(self) -> Iterator[Image]:
        """The images of the stream's own architecture, in all versions, ordered by name and id."""
        images: dict[str, Image] = {}
        for product in self._products.values():
            if product.architecture == self._architecture:
                for image in self._versions(product).values():
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

    def _with_id(self, image_id: str) -> Image | None:
        every = chain.from_iterable(self._versions(each).values() for each in self._products.values())
        return next((image for image in every if image.id == image_id), None)

    def _versions(self, product: Product) -> Mapping[str, Image]:
        """The product's images by serial, the newest first. Each has the name by which it is listed."""
        if product.key not in self._read:
            name = self._name(product)
            self._read[product.key] = {
                disk.serial: self._image(product, disk, f"{name}/{disk.serial}" if number else name)
                for number, disk in enumerate(product.disks())
            }
        return self._read[product.key]

    def _name(self, product: Product) -> str:
        """The best name that means this product only."""
        for alias in product.names:
            if len(self._aliases[alias, product.architecture]) == 1:
                return alias if product.architecture == self._architecture else f"{alias}/{product.architecture}"
        return product.key

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
