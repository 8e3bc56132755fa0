"""Standard output and standard error, also where the caller has closed them or they cannot be written."""

import codecs
import io
import os
import sys
from typing import Final, TextIO, cast

from typing_extensions import override

__all__ = ["OUTPUT_ERRORS", "OutputLost", "close_streams", "open_streams"]

OUTPUT_ERRORS: Final = "lading"
"""The name of the codec error handler for what is printed: see `_encode_output`."""


class OutputLost(Exception):
    """Standard output could not be written. It is not an OSError, because click handles some of those itself."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(cause.strerror or str(cause))
        self.is_pipe_closed = isinstance(cause, BrokenPipeError)
        """True when the reader has closed the pipe: it needs no more output."""


class _Output(io.TextIOWrapper):
    """Standard output that raises OutputLost, so that its errors differ from those of other files."""

    def __init__(self, stream: TextIO) -> None:
        line_buffering = getattr(stream, "line_buffering", False)
        super().__init__(stream.buffer, encoding=stream.encoding, errors=OUTPUT_ERRORS, line_buffering=line_buffering)
        self._stream = stream  # the buffer would be closed if the stream was garbage-collected

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


def open_streams() -> None:
    """Makes the standard streams usable: opens those that the caller has closed, and lets them print any text."""
    # In this order: each takes the lowest free descriptor, so that a file opened later cannot get one of these.
    sys.stdin = sys.stdin or _null_stream("r")
    stdout = sys.stdout or _null_stream("w")
    stderr = sys.stderr = sys.stderr or _null_stream("w")
    sys.stdout = _Output(stdout)
    if isinstance(stderr, io.TextIOWrapper):
        stderr.reconfigure(errors=OUTPUT_ERRORS)


def close_streams() -> None:
    """Flushes the output streams, and discards what cannot be written.

    Python would flush them again at its exit, fail again, and exit with a code of its own.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, OutputLost):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _null_stream(mode: str) -> TextIO:
    return cast("TextIO", os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8", closefd=False))


def _encode_output(error: UnicodeError) -> tuple[str | bytes, int]:
    """Writes the bytes of a path that is not UTF-8 unchanged, and escapes what the stream cannot encode."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.lookup_error("backslashreplace")(error)


codecs.register_error(OUTPUT_ERRORS, _encode_output)
