"""A folder of image documents, with links to the images' files."""

import errno
import fcntl
import json
import logging
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from returns.result import Failure, Result, Success

from lading.adapters.codec.documents import catalog_image, image_to_document, read_json, unnested
from lading.adapters.codec.sizes import exact_size
from lading.adapters.host.private_files import make_private, open_private
from lading.adapters.stream.safe_open import absolute_path, open_own, own_link
from lading.ports.image import Image

__all__ = ["DocumentFolder", "FolderError"]

_log = logging.getLogger(__name__)
_LARGEST: Final = 1 << 20
"""The most bytes of a document; Glance's documents have a few thousand."""
_LONGEST: Final = 255
"""The most bytes of a file name on most file systems."""


class FolderError(Exception):
    """The folder, or a document in it, cannot be read or written."""


class DocumentFolder:
    """Documents `*.json`, one for each image, under any file name, and symlinks `<id>.data` to the images' files.

    Of several documents with the same id, `<id>.json` is valid, else the first by file name.

    Other users may be able to make files in the folder. So a symlink is followed only if it belongs to this user or
    root, and a document with hard links is read only where other users cannot write to the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def image(self, image_id: str) -> Image | None:
        """Reads only `<id>.json`; None where it does not exist or has another id. Raises FolderError."""
        image = _read(self.path / f"{image_id}.json") if _is_file_name(image_id) else None
        return image if image is not None and image.id == image_id else None

    def images(self) -> Mapping[str, Image]:
        """Reads all images, by id. Skips an invalid document with a warning. Raises FolderError."""
        images: dict[str, Image] = {}
        for path in self._documents():
            try:
                image = _read(path)
            except FolderError as error:
                _log.warning("left out of the catalog: %s", error)
                continue
            if image is not None and (image.id not in images or path.stem == image.id):
                images[image.id] = image
        return images

    def linked(self, image_id: str) -> Result[str, str]:
        """Returns the path of the image's file from its symlink, or the reason why there is none."""
        if not self.is_linked(image_id):
            return Failure("no file was registered with it")
        return own_link(str(self._link(image_id)))

    def is_linked(self, image_id: str) -> bool:
        """Tells whether a file was registered with the image."""
        return _is_file_name(image_id) and os.path.lexists(self._link(image_id))

    def put(self, image: Image, data: str | None) -> None:
        """Writes the image's document, and the symlink to its file `data` if there is one. Raises FolderError."""
        if not _is_file_name(image.id):
            raise FolderError("its id cannot be a file name")
        content = _content(image)
        target = None if data is None else absolute_path(data)
        with self._exclusively():
            # Before the document: the image must never be linked to the file of another image.
            self._unlink_unless(image.id, target)
            self._replace(f"{image.id}.json", lambda path: _write(path, content))
            if target is not None:
                self._replace(f"{image.id}.data", lambda path: path.symlink_to(target))

    def erase(self, image_id: str) -> None:
        """Removes the image's symlink and documents. Raises FolderError."""
        if self._paths_of(image_id):
            with self._exclusively():
                for path in self._paths_of(image_id):
                    path.unlink(missing_ok=True)

    def _documents(self) -> Sequence[Path]:
        try:
            return sorted(each for each in self.path.iterdir() if each.suffix == ".json" and each.name[0] != ".")
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise FolderError(_error_with_path(error)) from error

    def _paths_of(self, image_id: str) -> Sequence[Path]:
        """The paths of an image's files. `<id>.json` is the last: removed first, another document would replace it."""
        documents = sorted(
            (path for path in self._documents() if _is_about(path, image_id)), key=lambda path: path.stem == image_id
        )
        return [self._link(image_id), *documents] if isinstance(self.linked(image_id), Success) else documents

    def _link(self, image_id: str) -> Path:
        return self.path / f"{image_id}.data"

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        """Locks the folder against changes by other threads and processes. Flushes the block's changes to the disk."""
        try:
            make_private(self.path)
            with _descriptor(self.path / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
                with _descriptor(self.path, os.O_RDONLY | os.O_DIRECTORY) as folder:
                    os.fsync(folder)
        except (OSError, ValueError) as error:
            raise FolderError(_error_with_path(error)) from error

    def _unlink_unless(self, image_id: str, target: str | None) -> None:
        """Removes the image's symlink unless it leads to the target."""
        link, linked = self._link(image_id), self.linked(image_id).value_or(None)
        if linked is None and target is not None and os.path.lexists(link):
            raise FileExistsError(errno.EEXIST, "exists, and is not a symlink of this user", str(link))
        if linked is not None and linked != target:
            link.unlink()

    def _replace(self, name: str, make: Callable[[Path], None]) -> None:
        """Makes a file with `make`, and gives it that name in one atomic step."""
        new = self.path / ".new"
        new.unlink(missing_ok=True)  # left by a crash
        make(new)
        new.rename(self.path / name)


def _is_file_name(image_id: str) -> bool:
    """Returns True when `<id>.json` can be a file in the folder that is not hidden."""
    if not image_id or image_id[0] == "." or {"/", "\0"} & set(image_id):
        return False
    try:
        return len(os.fsencode(f"{image_id}.json")) <= _LONGEST
    except UnicodeEncodeError:
        return False


def _is_about(path: Path, image_id: str) -> bool:
    try:
        image = _read(path)
    except FolderError:
        # Its id cannot be read; its file name must suffice.
        return path.stem == image_id
    return image is not None and image.id == image_id


def _read(path: Path) -> Image | None:
    """Reads the document's image; None if the file does not exist. Raises FolderError."""
    opened = open_own(str(path))
    if isinstance(opened, Failure):
        if os.path.lexists(path):
            raise FolderError(opened.failure())
        return None
    try:
        with os.fdopen(opened.unwrap(), "rb") as file:
            status = os.fstat(file.fileno())
            if status.st_nlink > 1 and _is_shared(path.parent):
                raise FolderError(f"{path} has hard links, and other users may write to its folder: it may be any file")
            return _parsed(file.read(min(status.st_size, _LARGEST) + 1))
    except (OSError, ValueError) as error:
        raise FolderError(f"{path} is not an image document: {error}") from error


def _is_shared(folder: Path) -> bool:
    """Returns True when users other than this one and root may make files in the folder."""
    status = folder.stat()
    return bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)) or status.st_uid not in {0, os.geteuid()}


def _parsed(content: bytes) -> Image:
    if len(content) > _LARGEST:
        raise ValueError(f"it has more than {exact_size(_LARGEST)}")
    document = read_json(content)
    if not isinstance(document, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - the error is about a file, not an argument
    match catalog_image(unnested(document)):
        case Success(Image() as image):
            return image
        case failure:
            raise ValueError(failure.failure())


def _content(image: Image) -> bytes:
    """Returns the image's document. Raises FolderError where it could not be read again."""
    try:
        content = json.dumps(image_to_document(image), allow_nan=False).encode()
        _parsed(content)
    except (ValueError, TypeError, RecursionError) as error:
        raise FolderError(f"it cannot be written as a document: {error}") from error
    return content


def _write(path: Path, content: bytes) -> None:
    # Private, because locations may contain credentials.
    with _descriptor(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as descriptor:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        os.fsync(descriptor)


@contextmanager
def _descriptor(path: Path, flags: int) -> Iterator[int]:
    descriptor = open_private(path, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _error_with_path(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)
