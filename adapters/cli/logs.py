"""The command's log on standard error, of lading and of all libraries that it uses, with secrets masked."""

import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import Final

from typing_extensions import override

from lading.adapters.cli.masking import keep_secret, masked
from lading.adapters.cli.output import printable
from lading.adapters.config.table import secret_values
from lading.ports.failures import LadingError

__all__ = ["exception_lines", "log_to_stderr"]

_log = logging.getLogger(__name__)
_CLIENTS: Final = ("OS_", "AWS_", "LADING_")
"""Prefixes of the environment variables that clients of clouds read."""


class _Formatter(logging.Formatter):
    """Formats a message as one line without control characters and secrets; exceptions: see `exception_lines`."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - a library's log call is wrong, or its argument cannot be formatted
            message = f"a message of {record.name} cannot be formatted"
        lines = [f"lading: {record.levelname}: {message}"]
        if record.exc_info and record.exc_info[1] is not None:
            lines += exception_lines(record.exc_info[1])
        return "\n".join(printable(masked(line), sys.stderr) for line in lines)


def log_to_stderr(verbosity: int, *, quiet: bool = False) -> None:
    """Logs warnings, unless quiet; from verbosity 1 also information, from 2 also debug messages.

    Exceptions in threads and destructors are logged too.
    """
    keep_secret(secret_values({name: text for name, text in os.environ.items() if name.startswith(_CLIENTS)}))
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter())
    level = logging.ERROR if quiet else (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbosity, 2)]
    logging.basicConfig(level=level, handlers=[handler], force=True)
    if sys.stderr.isatty() and not quiet:
        logging.getLogger("lading.waiting").setLevel(logging.INFO)
    logging.captureWarnings(capture=True)
    threading.excepthook = _log_exception
    sys.unraisablehook = _log_exception
    if not verbosity:
        # Its long messages about an unsafe image repeat text from the image; the refusal has the reason too.
        logging.getLogger("oslo_utils.imageutils").setLevel(logging.CRITICAL)
        # Before an error it warns of what the error tells.
        logging.getLogger("keystoneauth").setLevel(logging.ERROR)


def exception_lines(error: BaseException) -> Iterator[str]:
    """The traceback of an exception and of its causes, the earliest first, with types but without messages.

    A message of other code may contain a password. Only messages of lading and of the system are included.
    """
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and not any(cause is known for known in chain):
        chain.append(cause)
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    for each in reversed(chain):
        yield "Traceback (most recent call last):"
        for frame in traceback.format_tb(each.__traceback__):
            yield from frame.splitlines()
        yield f"{type(each).__module__}.{type(each).__qualname__}{_safe_message(each)}"
        for inner in each.exceptions if isinstance(each, BaseExceptionGroup) else ():
            yield from exception_lines(inner)


def _safe_message(error: BaseException) -> str:
    """The message of an exception of lading's or the system's, after `: `; empty for all others."""
    try:
        if isinstance(error, LadingError):
            return f": {error}"
        if isinstance(error, OSError) and error.errno is not None and error.strerror == os.strerror(error.errno):
            return f": {error.strerror}"
    except Exception:  # noqa: BLE001 - an exception that cannot be formatted
        return ""
    return ""


def _log_exception(unhandled: "threading.ExceptHookArgs | sys.UnraisableHookArgs") -> None:
    """Logs an exception of a thread or a destructor. Python would print it with its message."""
    error = unhandled.exc_value
    if unhandled.exc_type is SystemExit:
        return  # a thread ends itself with it
    _log.warning("unhandled exception: %s", unhandled.exc_type.__name__)
    if error is not None:
        _log.debug("it was raised here:", exc_info=error)
