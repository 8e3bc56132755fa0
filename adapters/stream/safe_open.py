"""Safe opening of files that strangers name: only regular files beneath the folders that an operator allowed.

It prevents these faults: CVE-2014-9493 and CVE-2015-1195 (any file by `file://` and `filesystem://`),
allow-lists that compare paths before symlinks are followed, and OSSA-2025-001 (devices that never end).
"""

import ctypes
import errno
import os
import re
import stat
import struct
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from returns.result import Failure, Result, Success

from lading.adapters.stream.errors import error_text
from lading.domain.refusals import Forbidden, Unavailable
from lading.ports.association import Fingerprint, Folder
from lading.ports.location import Location

__all__ = [
    "absolute_path",
    "absolute_target",
    "fingerprint",
    "folder_identity",
    "local_paths",
    "open_beneath",
    "open_located",
    "open_own",
    "open_regular",
    "own_link",
]

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
# O_NONBLOCK: opening a FIFO must not wait for its writer.
_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_LONGEST: Final = 8192
"""Characters of a URL; a refusal repeats all of them."""
_LINK: Final = os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", 0)
_MOST_LINKS: Final = 40
"""The most links in a row that are followed, as in Linux; path_resolution(7)."""
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_PATH", 0)


# From linux/stat.h and linux/fcntl.h; see statx(2) in the manual.
_STATX_INO: Final = 0x100
_STATX_BTIME: Final = 0x800
_AT_FDCWD: Final = -100
_AT_SYMLINK_NOFOLLOW: Final = 0x100
_AT_EMPTY_PATH: Final = 0x1000
_STATX_SIZE: Final = 256
"""Bytes of struct statx: `stx_mask` is at 0, `stx_ino` at 32, `stx_btime` at 80, as seconds and nanoseconds."""


def fingerprint(file: int | str) -> Fingerprint:
    """The identity and state of the file at a descriptor or path, a symlink's for a symlink. Raises OSError."""
    status = os.fstat(file) if isinstance(file, int) else os.lstat(file)
    flags = _AT_EMPTY_PATH if isinstance(file, int) else _AT_SYMLINK_NOFOLLOW
    birth = _birth_ns(file, status.st_ino, flags)
    return Fingerprint(
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, birth_ns=birth
    )


def folder_identity(folder: int | str) -> Folder | None:
    """The identity of the folder at a descriptor or path, symlinks followed; None when there is none.

    Raises OSError.
    """
    try:
        status = os.stat(folder)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISDIR(status.st_mode):
        return None
    birth = _birth_ns(folder, status.st_ino, _AT_EMPTY_PATH if isinstance(folder, int) else 0)
    return Folder(status.st_dev, status.st_ino, birth_ns=birth)


def _birth_ns(file: int | str, inode: int, flags: int) -> int | None:
    """The birth of the file of that inode; None where the file system has none, or another file is there by now."""
    statx = _statx()
    if statx is None:
        return None
    found = ctypes.create_string_buffer(_STATX_SIZE)
    folder, path = (file, b"") if isinstance(file, int) else (_AT_FDCWD, os.fsencode(file))
    if statx(folder, path, flags, ctypes.c_uint(_STATX_INO | _STATX_BTIME), found) != 0:
        return None
    (mask,) = struct.unpack_from("=I", found, 0)
    (found_inode,) = struct.unpack_from("=Q", found, 32)
    if not mask & _STATX_BTIME or found_inode != inode:
        return None
    seconds, nanoseconds = struct.unpack_from("=qI", found, 80)
    return int(seconds * 1_000_000_000 + nanoseconds)


@cache
def _statx() -> Callable[..., int] | None:
    """The C library's statx; None where it has none: before glibc 2.28, in older musl, on other systems."""
    if sys.platform != "linux":
        return None
    return getattr(ctypes.CDLL(None, use_errno=True), "statx", None)


def absolute_target(text: str) -> str:
    """A target in the form that associations record: an absolute path of this host, or `scheme:…` unchanged.

    >>> absolute_target("rbd:vms/disk"), absolute_target(" /usr/../vms/1")
    ('rbd:vms/disk', '/vms/1')
    """
    text = text.strip()
    return text if not text or _SCHEME.match(text) else absolute_path(text)


def absolute_path(path: str) -> str:
    """The path made absolute, without `.` and `..`; symlinks stay, except those that a `..` leads back from.

    The kernel resolves `link/../x` beside the link's target (path_resolution(7)); os.path.abspath does not. A `..`
    after what is not a folder stays, so that such a path names nothing, as for the kernel.

    >>> absolute_path("/usr/./bin/..//vms/1"), absolute_path("/no such folder/../vms/1")
    ('/usr/vms/1', '/no such folder/../vms/1')
    """
    walked = "/"
    for name in (path if os.path.isabs(path) else os.path.join(os.getcwd(), path)).split("/"):
        if name in {"", "."}:
            continue
        if name != ".." or not os.path.isdir(walked):
            walked = os.path.join(walked, name)
        else:
            walked = os.path.dirname(os.path.realpath(walked) if os.path.islink(walked) else walked)
    return walked


def local_paths(location: Location) -> Result[tuple[str, ...], str]:
    """The paths that a `file://` or `filesystem://` URL may name, or the reason why it names none.

    Glance's file store neither encodes nor decodes a path. RFC 8089 percent-encodes it, and so does `lading catalog
    add`. So a URL with a percent sign may name two paths: the literal one and the decoded one.

    glance_store joins netloc and path; a host other than this one therefore gives no absolute path, and is refused
    (RFC 8089, section 2).

    >>> local_paths(Location("file:///srv/images/noble%20amd64.img"))
    <Success: ('/srv/images/noble%20amd64.img', '/srv/images/noble amd64.img')>
    >>> local_paths(Location("file://elsewhere/srv/noble.img"))
    <Failure: file://elsewhere/srv/noble.img names a file of another host>
    """
    if len(location.url) > _LONGEST:
        return Failure(f"its URL has more than {_LONGEST} characters")
    try:
        parts = urlsplit(location.url.strip())
    except ValueError as error:
        return Failure(f"{location} is no URL: {error}")
    if parts.netloc not in {"", "localhost"}:
        return Failure(f"{location} names a file of another host")
    try:
        decoded = os.fsdecode(unquote_to_bytes(os.fsencode(parts.path)))
    except UnicodeEncodeError:
        return Failure(f"{location} names no path: it holds half a character")
    if not decoded.startswith("/") or "\0" in decoded:
        return Failure(f"{location} names no absolute path")
    return Success(tuple(dict.fromkeys((parts.path, decoded))))


def open_located(roots: Sequence[Path], location: Location) -> Result[int, Unavailable]:
    """Opens the file that the location names for reading, beneath one of the roots; see `open_beneath`.

    The path is used as it is written where that file exists, else decoded. Where both files exist, nothing tells which
    one is meant, and neither is opened.
    """
    match local_paths(location):
        case Success((path,)):
            return open_beneath(roots, path)
        case Success((path, decoded)):
            return _open_one_of(roots, path, decoded)
        case failure:
            return Failure(Unavailable(failure.failure()))


def _open_one_of(roots: Sequence[Path], path: str, decoded: str) -> Result[int, Unavailable]:
    opened, other = open_beneath(roots, path), open_beneath(roots, decoded)
    match opened, other:
        case Failure(), Failure():
            return other
        case Success(), Failure():
            return opened
        case Failure(), Success() if not os.path.lexists(path):
            return other
        case Success(first), Success(second) if os.path.sameopenfile(first, second):
            os.close(second)
            return opened
    for descriptor in (opened, other):
        descriptor.map(os.close)
    return Failure(
        Unavailable(f"{path} and {decoded} both exist, and its URL may mean either", advice="rename one of them")
    )


def open_regular(path: str, *, follow: bool = True) -> Result[int, str]:
    """Opens the regular file at a path that the operator named for reading. `follow`: symlinks are followed."""
    try:
        return _regular(os.open(path, _READ if follow else _READ | os.O_NOFOLLOW), path)
    except (OSError, ValueError) as error:
        return Failure(f"{path} cannot be opened: {error_text(error)}")


def open_own(path: str) -> Result[int, str]:
    """Opens the regular file at a path for reading, if its last symlinks are this user's own, or root's.

    In a folder that others may write to, anybody can make a link to a file that only this user may read.
    """
    end = path
    for _ in range(_MOST_LINKS):
        if not os.path.islink(end):
            opened = open_regular(end, follow=False)
            return opened if end == path else opened.alt(lambda reason: f"{path} leads nowhere: {reason}")
        match own_link(end):
            case Success(str(target)):
                end = target
            case refused:
                return Failure(refused.failure())
    return Failure(f"{path} cannot be opened: {os.strerror(errno.ELOOP)}")


def own_link(path: str) -> Result[str, str]:
    """The path that the symlink leads to, if the link is this user's own or root's."""
    try:
        # The link itself is opened, and its owner checked: another may be put in its place at any time.
        link = os.open(path, _LINK)
        try:
            owner = os.fstat(link).st_uid
            if owner not in {0, os.geteuid()}:
                return Failure(f"{path} is a link of another user (uid {owner}), and is not followed")
            return Success(os.path.join(os.path.dirname(path), os.readlink("", dir_fd=link)))
        finally:
            os.close(link)
    except (OSError, ValueError) as error:
        return Failure(f"{path} cannot be opened: {error_text(error)}")


def open_beneath(roots: Sequence[Path], path: str) -> Result[int, Unavailable]:
    """Opens the regular file at `path` for reading, if its real path lies beneath one of the real roots.

    The path is resolved, and then walked from the root's descriptor without following any symlink. So one that is put
    there meanwhile ends in a refusal (the effect of openat2's RESOLVE_BENEATH, which Python cannot call).
    """
    try:
        real = os.path.realpath(path)
        for root in roots:
            real_root = os.path.realpath(root)
            if os.path.commonpath((real_root, real)) == real_root and real != real_root:
                return _regular(_walk(real_root, os.path.relpath(real, real_root).split("/")), path).alt(Unavailable)
    except PermissionError as error:
        found = f"this process has uid {os.geteuid()}"
        return Failure(Forbidden(f"{path} cannot be opened: {error_text(error)}", found=found))
    except (OSError, ValueError) as error:
        return Failure(Unavailable(f"{path} cannot be opened: {error_text(error)}"))
    return Failure(
        Forbidden(
            f"{path} is outside the allowed folders",
            expected=f"a file beneath {', '.join(map(str, roots)) or 'none'}",
            advice="[handlers.file] allowed_folders lists the folders that may be read",
        )
    )


def _walk(root: str, names: list[str]) -> int:
    folder = os.open(root, _FOLDER)
    try:
        for name in names[:-1]:
            deeper = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = deeper
        return os.open(names[-1], _READ | os.O_NOFOLLOW, dir_fd=folder)
    finally:
        os.close(folder)


def _regular(descriptor: int, path: str) -> Result[int, str]:
    """The descriptor, if it is a regular file's; else closes it."""
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return Success(descriptor)
    os.close(descriptor)
    return Failure(f"{path} is not a regular file")
