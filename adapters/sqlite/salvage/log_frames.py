"""The frames of SQLite's write-ahead log, however damaged (sqlite.org/fileformat2.html#the_write_ahead_log)."""

from typing import BinaryIO, Final, NamedTuple

__all__ = ["newest_frames"]

_HEADER: Final = 32
_FRAME_HEADER: Final = 24


class _Frame(NamedTuple):
    """One version of a page."""

    page: int
    is_commit: bool
    salt: bytes
    """The same in all that belong together: what an earlier use of the file left behind them has another."""
    start: int
    """Where the page's bytes begin."""


def newest_frames(log: BinaryIO, header: bytes, page_size: int) -> dict[int, list[int]]:
    """Where each page's committed versions begin, the newest first.

    SQLite stops at the first frame whose checksum is wrong. Here those behind it count too: rows have their own.
    """
    frames = list(_frames(log, page_size))
    if not frames:
        return {}
    stated = header[16:24]
    # The first frame is always of the newest use, unless that has written none yet: then all is in the database.
    salt = stated if any(frame.salt == stated for frame in frames) else frames[0].salt
    frames = [frame for frame in frames if frame.salt == salt]
    while frames and not frames[-1].is_commit:
        frames.pop()
    found: dict[int, list[int]] = {}
    for frame in reversed(frames):
        found.setdefault(frame.page, []).append(frame.start)
    return found


def _frames(log: BinaryIO, page_size: int) -> list[_Frame]:
    found = []
    try:
        for at in range(_HEADER, log.seek(0, 2) - _FRAME_HEADER - page_size + 1, _FRAME_HEADER + page_size):
            log.seek(at)
            header = log.read(_FRAME_HEADER)
            page, pages_after = int.from_bytes(header[:4]), int.from_bytes(header[4:8])
            found.append(_Frame(page, pages_after != 0, header[8:16], at + _FRAME_HEADER))
    except OSError:
        pass  # the disk can't read the rest
    return found
