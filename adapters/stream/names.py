"""The names of files: removed, and brought to the disk. All functions raise OSError."""

import os

__all__ = ["flush_folder", "remove_name"]


def remove_name(path: str | os.PathLike[str], *, folder: int | None = None) -> None:
    """Removes the file's name. Raises OSError only when the name is still there, or may be.

    An error does not prove that it is: a client of NFS that got no answer repeats the request, and the server answers
    that the name does not exist (RFC 1813, 4.5).
    """
    try:
        os.unlink(path, dir_fd=folder)
    except OSError:
        try:
            os.stat(path, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return
        raise


def flush_folder(path: str) -> None:
    """Flushes the folder of the file at `path`, so that the file's name reaches the disk."""
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
