"""What a file catalog has in a folder: documents to write, images to find, and their bytes."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from lading import Image
from lading.adapters.catalogs.file import FileCatalog
from lading.ports.context import ANONYMOUS
from lading.ports.failures import CatalogFailure

Link = Callable[[str, str], None]


def write(path: Path, **document: object) -> Path:
    path.write_text(json.dumps(document))
    return path


def failure(folder: Path, reference: str) -> CatalogFailure:
    return FileCatalog(folder).find(reference, ANONYMOUS).failure()


def found(folder: Path, reference: str) -> Image:
    return FileCatalog(folder).find(reference, ANONYMOUS).unwrap()


def content(folder: Path, image: Image, allowed: Sequence[Path] = ()) -> bytes:
    stream, buffer = FileCatalog(folder, allowed).read(image, 0, ANONYMOUS).unwrap(), bytearray(100)
    count = stream.readinto(memoryview(buffer)) or 0
    stream.close()
    return bytes(buffer[:count])


def why_not(folder: Path, image: Image, allowed: Sequence[Path] = ()) -> str:
    return str(FileCatalog(folder, allowed).read(image, 0, ANONYMOUS).failure())
