"""The failures at the boundary.

Each is a value, in a `Failure`, and an exception, which generators raise. The classes are mutable, because Python sets
the traceback on an exception.
"""

from dataclasses import dataclass, fields

__all__ = [
    "AmbiguousImage",
    "CatalogFailure",
    "CatalogUnavailable",
    "ImageNotActive",
    "ImageNotFound",
    "ImageWithoutData",
    "LadingError",
    "LockLost",
    "SettingsError",
    "StoreUnavailable",
]


class LadingError(Exception):
    """The base class of all that lading raises or returns as a failure."""

    def __post_init__(self) -> None:
        # The fields are the exception's args too, so that it can be pickled.
        super().__init__(*(getattr(self, each.name) for each in fields(self)))  # type: ignore[arg-type]  # every subclass is a dataclass


@dataclass(eq=False)
class ImageNotFound(LadingError):
    """No image has this id, name or href."""

    reference: str
    catalog: str
    """Name of the catalog, for messages."""
    hint: str = ""
    """Advice of the catalog, for messages; may be empty."""

    def __str__(self) -> str:
        return f"no image {self.reference!r} in {self.catalog}{self.hint and f'; {self.hint}'}"


@dataclass(eq=False)
class AmbiguousImage(LadingError):
    """Several images have this name."""

    reference: str
    ids: tuple[str, ...]

    def __str__(self) -> str:
        return f"{len(self.ids)} images match {self.reference!r}, name one by its id: {', '.join(self.ids)}"


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
        where = ", ".join(self.disks) or "volumes that its block_device_mapping should name"
        named = (each.rpartition(" ")[2] for each in self.disks if each.startswith("volume snapshot "))
        return (
            f"image {self.image_id} has no data of its own: it is the snapshot of a server that boots from a volume; "
            f"its data is in {where}. Make an image of that to fetch it: openstack volume create --snapshot "
            f"{next(named, 'SNAPSHOT')} VOLUME; openstack image create --volume VOLUME IMAGE"
        )


@dataclass(eq=False)
class CatalogUnavailable(LadingError):
    """The catalog cannot be read, or its answer is invalid."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(eq=False)
class StoreUnavailable(LadingError):
    """The association store, the journal or the locks cannot be read or written."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(eq=False)
class LockLost(StoreUnavailable):
    """The lock of an operation in progress is lost: another process may hold it now. The operation must change nothing.

    `call_handler` lets it through: whatever a handler does, the operation ends.
    """


@dataclass(eq=False)
class SettingsError(LadingError):
    """The settings cannot be used. The reason is one printable line."""

    reason: str

    def __post_init__(self) -> None:
        self.reason = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in self.reason)
        super().__post_init__()

    def __str__(self) -> str:
        return self.reason


CatalogFailure = ImageNotFound | AmbiguousImage | ImageNotActive | ImageWithoutData | CatalogUnavailable | SettingsError
