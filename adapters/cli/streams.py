"""Standard output and standard error, in whatever state they were handed over."""

import codecs
import io
import os
import sys
from typing import Final, TextIO, cast

from typing_extensions import override

__all__ = ["AS_IT_CAME", "OutputLost", "let_go", "take_over"]

AS_IT_CAME: Final = "lading"
"""The error handler of what is printed: see `_as_it_came`."""


class OutputLost(Exception):
    """What was printed did not get out. No OSError: click takes a few of those for its own."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(cause.strerror or str(cause))
        self.is_unwanted = isinstance(cause, BrokenPipeError)
        """Whether its reader has gone away, having had enough."""


class _Output(io.TextIOWrapper):
    """Standard output that tells its own errors from everybody else's."""

    def __init__(self, stream: TextIO) -> None:
        line_buffering = getattr(stream, "line_buffering", False)
        super().__init__(stream.buffer, encoding=stream.encoding, errors=AS_IT_CAME, line_buffering=line_buffering)
        self._stream = stream  # whose end would close the buffer

    @override
    def write(self, s: str, /) -> int:
        try:
            return super().write(s)
        except OSError as error:
            raise OutputLost(error) from error

    @override
    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            raise OutputLost(error) from error


def take_over() -> None:
    """Have standard streams that can be written to, also where the caller has closed them, and with any text."""
    # In this order: each takes the lowest free descriptor, so that none is left for a file that is written to.
    sys.stdin = sys.stdin or _nowhere("r")
    stdout = sys.stdout or _nowhere("w")
    stderr = sys.stderr = sys.stderr or _nowhere("w")
    sys.stdout = _Output(stdout)
    if isinstance(stderr, io.TextIOWrapper):
        stderr.reconfigure(errors=AS_IT_CAME)


def let_go() -> None:
    """Give up what could not be written: Python must not try again at its end, and have an exit code of its own."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, OutputLost):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _nowhere(mode: str) -> TextIO:
    return cast("TextIO", os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8", closefd=False))


def _as_it_came(error: UnicodeError) -> tuple[str | bytes, int]:
    """Paths are bytes: what isn't UTF-8 in them goes out as it came in, and what no terminal can show, escaped."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.lookup_error("backslashreplace")(error)


codecs.register_error(AS_IT_CAME, _as_it_came)
