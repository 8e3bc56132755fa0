"""What goes wrong at the boundary.

Each is both a value, in a `Failure`, and an exception, for the callers of generators: mutable, as Python's exceptions
are, because a frozen one can't be given its traceback.
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
    "SettingsError",
    "StoreUnavailable",
]


class LadingError(Exception):
    """The base of everything that lading raises or returns as a failure."""

    def __post_init__(self) -> None:
        # The fields are also the exception's args, so that it survives pickling between processes.
        super().__init__(*(getattr(self, each.name) for each in fields(self)))  # type: ignore[arg-type]  # every subclass is a dataclass


@dataclass(eq=False)
class ImageNotFound(LadingError):
    """No image goes by this id, name or href."""

    reference: str
    catalog: str
    """What was searched, in words."""
    hint: str = ""
    """What there is instead, and what to do, where the catalog knows; in words."""

    def __str__(self) -> str:
        return f"no image {self.reference!r} in {self.catalog}{self.hint and f'; {self.hint}'}"


@dataclass(eq=False)
class AmbiguousImage(LadingError):
    """Several images go by this name."""

    reference: str
    ids: tuple[str, ...]

    def __str__(self) -> str:
        return f"{len(self.ids)} images are named {self.reference!r}, name one by its id: {', '.join(self.ids)}"


@dataclass(eq=False)
class ImageNotActive(LadingError):
    """The image is there, and its data is not, or not for use: `queued`, `saving`, `importing`, `deactivated`, …"""

    image_id: str
    status: str

    def __str__(self) -> str:
        return f"image {self.image_id} is {self.status}; only an active image can be fetched"


@dataclass(eq=False)
class ImageWithoutData(LadingError):
    """The image is a server's list of disks, which are kept elsewhere: the image itself has no bytes to fetch."""

    image_id: str
    disks: tuple[str, ...]
    """Where they are, in words: `volume snapshot ID`, …; empty when the catalog doesn't say."""

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
    """The catalog can't answer, or what it answers makes no sense."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(eq=False)
class StoreUnavailable(LadingError):
    """The association store can't be read or written."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(eq=False)
class SettingsError(LadingError):
    """What is configured can't be used. One line that can be printed anywhere."""

    reason: str

    def __post_init__(self) -> None:
        self.reason = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in self.reason)
        super().__post_init__()

    def __str__(self) -> str:
        return self.reason


CatalogFailure = ImageNotFound | AmbiguousImage | ImageNotActive | ImageWithoutData | CatalogUnavailable | SettingsError
