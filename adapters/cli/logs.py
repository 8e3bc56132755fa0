"""The command's log on standard error: of lading and of every library that it uses, without a secret."""

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
"""How the environment variables begin that clients of clouds read."""


class _Formatter(logging.Formatter):
    """A line a message, without control characters and secrets; of an exception where it was raised, and its type."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - a library's log call is wrong, or its argument can't be shown
            message = f"a message of {record.name} can't be shown"
        lines = [f"lading: {record.levelname}: {message}"]
        if record.exc_info and record.exc_info[1] is not None:
            lines += exception_lines(record.exc_info[1])
        return "\n".join(printable(masked(line), sys.stderr) for line in lines)


def log_to_stderr(verbosity: int) -> None:
    """Log warnings; with 1 what happens too, with 2 everything. What threads and destructors raise is logged too."""
    keep_secret(secret_values({name: text for name, text in os.environ.items() if name.startswith(_CLIENTS)}))
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter())
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbosity, 2)]
    logging.basicConfig(level=level, handlers=[handler], force=True)
    if sys.stderr.isatty():
        logging.getLogger("lading.waiting").setLevel(logging.INFO)
    logging.captureWarnings(capture=True)
    threading.excepthook = _log_raised
    sys.unraisablehook = _log_raised
    if not verbosity:
        # What it says of an unsafe image, at length and in the image's words, the refusal says too.
        logging.getLogger("oslo_utils.imageutils").setLevel(logging.CRITICAL)


def exception_lines(error: BaseException) -> Iterator[str]:
    """A traceback without words: where it was raised and its type, and so for what caused it, the earliest first.

    Whatever raised it may know a password, and repeat it. Only the words of lading and of the system are repeated.
    """
    chain: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and not any(each is known for known in chain):
        chain.append(each)
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
    for raised in reversed(chain):
        yield "Traceback (most recent call last):"
        for frame in traceback.format_tb(raised.__traceback__):
            yield from frame.splitlines()
        yield f"{type(raised).__module__}.{type(raised).__qualname__}{_words(raised)}"
        for inner in raised.exceptions if isinstance(raised, BaseExceptionGroup) else ():
            yield from exception_lines(inner)


def _words(error: BaseException) -> str:
    try:
        if isinstance(error, LadingError):
            return f": {error}"
        if isinstance(error, OSError) and error.errno is not None and error.strerror == os.strerror(error.errno):
            return f": {error.strerror}"
    except Exception:  # noqa: BLE001 - one that can't be shown
        return ""
    return ""


def _log_raised(raised: "threading.ExceptHookArgs | sys.UnraisableHookArgs") -> None:
    """Log what a thread or a destructor raised: Python would print it with its words."""
    error = raised.exc_value
    if raised.exc_type is SystemExit:
        return  # how a thread ends itself
    _log.warning("%s was raised where nothing handles it", raised.exc_type.__name__)
    if error is not None:
        _log.debug("it was raised here:", exc_info=error)
