"""A folder of image documents: what is in it, and how it changes."""

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
from lading.adapters.host.private_files import make_private, open_private
from lading.adapters.stream.safe_open import absolute_path, open_own, own_link
from lading.ports.image import Image

__all__ = ["DocumentFolder", "FolderError"]

_log = logging.getLogger(__name__)
_LARGEST: Final = 1 << 20
"""Bytes of a document; Glance's have some thousand."""
_LONGEST: Final = 255
"""Bytes of a file name, as most file systems have it."""


class FolderError(Exception):
    """The folder, or a document in it, can't be read or written; in words."""


class DocumentFolder:
    """Documents `*.json`, one image each, under any file name, and links `<id>.data` to images' bytes.

    Of several documents with the same id `<id>.json` counts, or else the first by file name.

    Others may have made files in the folder. So a link is followed only if it is this user's own, or root's; and a
    document with several names (hard links) is read only where nobody else may write to the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def image(self, image_id: str) -> Image | None:
        """The image at `<id>.json`, without a look at the others. Raises FolderError when it can't be read."""
        image = _read(self.path / f"{image_id}.json") if _is_file_name(image_id) else None
        return image if image is not None and image.id == image_id else None

    def images(self) -> Mapping[str, Image]:
        """Every image by its id. A document that can't be read is left out with a warning."""
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
        """The path of the image's bytes, by its link to them; or why there is none."""
        if not _is_file_name(image_id) or not os.path.lexists(self._link(image_id)):
            return Failure("no file was registered with it")
        return own_link(str(self._link(image_id)))

    def put(self, image: Image, data: str | None) -> None:
        """Write its document, and the link to its bytes if `data` names them. Raises FolderError."""
        if not _is_file_name(image.id):
            raise FolderError("its id can't be a file's name")
        content = _content(image)
        target = None if data is None else absolute_path(data)
        with self._alone():
            # Before the document: at no time may the image have another's bytes.
            self._unlink_unless(image.id, target)
            self._replace(f"{image.id}.json", lambda path: _write(path, content))
            if target is not None:
                self._replace(f"{image.id}.data", lambda path: path.symlink_to(target))

    def erase(self, image_id: str) -> None:
        """Remove its link and its documents. Raises FolderError."""
        if self._paths_of(image_id):
            with self._alone():
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
        """What to remove of an image. `<id>.json` goes last, so that what it overrules doesn't show for a moment."""
        documents = sorted(
            (path for path in self._documents() if _is_about(path, image_id)), key=lambda path: path.stem == image_id
        )
        return [self._link(image_id), *documents] if isinstance(self.linked(image_id), Success) else documents

    def _link(self, image_id: str) -> Path:
        return self.path / f"{image_id}.data"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While no other thread or process changes the folder. Afterwards what was changed has reached the disk."""
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
        link, linked = self._link(image_id), self.linked(image_id).value_or(None)
        if linked is None and target is not None and os.path.lexists(link):
            raise FileExistsError(errno.EEXIST, "is in the way, and no link of this user's", str(link))
        if linked is not None and linked != target:
            link.unlink()

    def _replace(self, name: str, make: Callable[[Path], None]) -> None:
        """Have what `make` makes under that name, in one step."""
        new = self.path / ".new"
        new.unlink(missing_ok=True)  # a crash has left it
        make(new)
        new.rename(self.path / name)


def _is_file_name(image_id: str) -> bool:
    """Whether `<id>.json` names a file in the folder, and one that shows."""
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
        # Nobody knows its id, so its name has to do.
        return path.stem == image_id
    return image is not None and image.id == image_id


def _read(path: Path) -> Image | None:
    """The document's image; None if there is no such file."""
    opened = open_own(str(path))
    if isinstance(opened, Failure):
        if os.path.lexists(path):
            raise FolderError(opened.failure())
        return None
    try:
        with os.fdopen(opened.unwrap(), "rb") as file:
            status = os.fstat(file.fileno())
            if status.st_nlink > 1 and _is_shared(path.parent):
                raise FolderError(f"{path} has other names, and others may write to its folder: it may be any file")
            return _parsed(file.read(min(status.st_size, _LARGEST) + 1))
    except (OSError, ValueError) as error:
        raise FolderError(f"{path} is no image document: {error}") from error


def _is_shared(folder: Path) -> bool:
    """Whether others than this user and root may make files in it."""
    status = folder.stat()
    return bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)) or status.st_uid not in {0, os.geteuid()}


def _parsed(content: bytes) -> Image:
    if len(content) > _LARGEST:
        raise ValueError(f"it has more than {_LARGEST} bytes")
    document = read_json(content)
    if not isinstance(document, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004 - it is about a file, not an argument
    match catalog_image(unnested(document)):
        case Success(Image() as image):
            return image
        case failure:
            raise ValueError(failure.failure())


def _content(image: Image) -> bytes:
    """The document, as it can be read again."""
    try:
        content = json.dumps(image_to_document(image), allow_nan=False).encode()
        _parsed(content)
    except (ValueError, TypeError, RecursionError) as error:
        raise FolderError(f"it can't be written as a document: {error}") from error
    return content


def _write(path: Path, content: bytes) -> None:
    # Locations may hold credentials: for the owner's eyes only.
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
