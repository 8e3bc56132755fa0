"""The failures at the boundary.

Each is a value, in a `Failure`, and an exception, which generators raise. The classes are mutable, because Python sets
the traceback on an exception.
"""

import re
from dataclasses import KW_ONLY, dataclass, fields

__all__ = [
    "AmbiguousImage",
    "CatalogFailure",
    "CatalogUnavailable",
    "Explanation",
    "ImageNotActive",
    "ImageNotFound",
    "ImageUnproven",
    "ImageWithoutData",
    "LadingError",
    "LockLost",
    "NoImageData",
    "SettingsError",
    "StoreUnavailable",
]


@dataclass(frozen=True, slots=True)
class Explanation:
    """The parts of a message to a person. Each is one line, without credentials; all but the reason may be empty."""

    reason: str
    _: KW_ONLY
    place: str = ""
    """The location, file or setting where the reason was found."""
    expected: str = ""
    found: str = ""
    advice: str = ""
    """A remedy, as a command or a setting."""

    def __str__(self) -> str:
        """All parts as one line.

        >>> print(Explanation("size mismatch", place="/1.img", expected="9 bytes", found="8", advice="fetch it again"))
        /1.img: size mismatch: expected 9 bytes, found 8; fetch it again
        """
        parts = (self.place, self.reason, self.difference)
        return f"{': '.join(filter(None, parts))}{self.advice and f'; {self.advice}'}"

    @property
    def difference(self) -> str:
        """The expected and the found value as one text; empty where neither is known.

        >>> Explanation("no cloud gold", found="silver").difference
        'found silver'
        """
        expected = self.expected and f"expected {self.expected}"
        return ", ".join(filter(None, (expected, self.found and f"found {self.found}")))


class LadingError(Exception):
    """The base class of all that lading raises or returns as a failure."""

    @property
    def code(self) -> str:
        """The stable name of this kind of failure, for programs: `image_not_found`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()

    @property
    def explanation(self) -> Explanation:
        """The failure in parts, for a message of several lines. `str()` is one line."""
        return Explanation(str(self))

    def __post_init__(self) -> None:
        # The fields are the exception's args too, so that it can be pickled.
        super().__init__(*(getattr(self, each.name) for each in fields(self)))  # type: ignore[arg-type]  # every subclass is a dataclass


@dataclass(eq=False)
class ImageNotFound(LadingError):
    """No image has this id, name or href."""

    reference: str
    catalog: str
    """Name of the catalog, for messages."""
    advice: str = ""
    """Advice of the catalog, for messages; may be empty."""

    def __str__(self) -> str:
        return str(self.explanation)

    @property
    def explanation(self) -> Explanation:
        return Explanation(f"no image {self.reference!r} in {self.catalog}", advice=self.advice)


@dataclass(eq=False)
class AmbiguousImage(LadingError):
    """Several images have this name."""

    reference: str
    ids: tuple[str, ...]

    def __str__(self) -> str:
        return f"{len(self.ids)} images match {self.reference!r}, name one by its id: {', '.join(self.ids)}"

    @property
    def explanation(self) -> Explanation:
        return Explanation(
            f"{len(self.ids)} images are named {self.reference!r}, name one by its id", found=", ".join(self.ids)
        )


@dataclass(eq=False)
class ImageNotActive(LadingError):
    """The image exists, but its data cannot be used: `queued`, `saving`, `importing`, `deactivated`, …"""

    image_id: str
    status: str

    def __str__(self) -> str:
        return f"image {self.image_id} is {self.status}; only an active image can be fetched"


@dataclass(eq=False)
class ImageWithoutData(LadingError):
    """The image lists the disks of a server, which are stored elsewhere. The image itself has no bytes."""

    image_id: str
    disks: tuple[str, ...]
    """The disks, for messages: `volume snapshot ID`, …; empty when the catalog does not name them."""

    def __str__(self) -> str:
        return str(self.explanation)

    @property
    def explanation(self) -> Explanation:
        named = (each.rpartition(" ")[2] for each in self.disks if each.startswith("volume snapshot "))
        return Explanation(
            f"image {self.image_id} has no data of its own: it is the snapshot of a server that boots from a volume",
            found=f"its data in {', '.join(self.disks) or 'volumes that its block_device_mapping should name'}",
            advice="make an image of that: openstack volume create --snapshot "
            f"{next(named, 'SNAPSHOT')} VOLUME; openstack image create --volume VOLUME IMAGE",
        )


@dataclass(eq=False)
class _Explained(LadingError):
    """A failure that has nothing but the parts of its message: see `Explanation`."""

    reason: str
    place: str = ""
    expected: str = ""
    found: str = ""
    advice: str = ""

    def __str__(self) -> str:
        return str(self.explanation)

    @property
    def explanation(self) -> Explanation:
        return Explanation(self.reason, place=self.place, expected=self.expected, found=self.found, advice=self.advice)


@dataclass(eq=False)
class ImageUnproven(_Explained):
    """The image lacks a digest or a signature that it must have, or its signature does not count."""


@dataclass(eq=False)
class CatalogUnavailable(_Explained):
    """The catalog cannot be read, or its answer is invalid."""


@dataclass(eq=False)
class NoImageData(CatalogUnavailable):
    """The catalog has none of the image's bytes: they are at its locations only."""


@dataclass(eq=False)
class StoreUnavailable(_Explained):
    """The association store, the journal or the locks cannot be read or written."""


@dataclass(eq=False)
class LockLost(StoreUnavailable):
    """The lock of an operation in progress is lost: another process may hold it now. The operation must change nothing.

    `call_handler` lets it through: whatever a handler does, the operation ends.
    """


@dataclass(eq=False)
class SettingsError(_Explained):
    """The settings cannot be used. Each part of the message is one printable line."""

    def __post_init__(self) -> None:
        for name in ("reason", "place", "expected", "found", "advice"):
            setattr(self, name, _printable(getattr(self, name)))
        super().__post_init__()


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


CatalogFailure = (
    ImageNotFound
    | AmbiguousImage
    | ImageNotActive
    | ImageWithoutData
    | ImageUnproven
    | CatalogUnavailable
    | SettingsError
)
