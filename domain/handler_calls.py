"""Calls of handlers and catalogs. Whatever they do, the outcome is a valid Result."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from returns.result import Failure, Result, Success

from lading.domain.handler import Handler, SupportsForms, SupportsPreview, Work
from lading.domain.refusals import Faulted, Refusal, Unavailable, Unsupported
from lading.ports.failures import CatalogFailure, CatalogUnavailable, LadingError, LockLost
from lading.ports.form import AS_SHIPPED
from lading.ports.redaction import redacted

__all__ = ["call_catalog", "call_handler", "exception_reason", "precheck", "preview_attempt", "value_or_raise"]

_log = logging.getLogger(__name__)
_Value = TypeVar("_Value")


def call_handler(
    name: str,
    work: Work,
    expected: type[_Value] | tuple[type[_Value], ...],
    verb: Callable[..., Result[_Value, Refusal]],
    *arguments: object,
    **options: object,
) -> Result[_Value, Refusal]:
    """Calls a handler. Credentials in a refusal's reason are masked.

    `name` is the handler's, for the log. A handler that raises, or answers neither a value of the `expected` types nor
    a refusal, has Faulted: a bug of one handler does not stop the others. Raises LockLost.
    """
    try:
        answer = verb(*arguments, **options)
    except LockLost:
        raise
    except Exception as error:  # noqa: BLE001 - see above
        _log.debug("%s: handler %s raised", work.target or "no target", name, exc_info=True)
        return Failure(Faulted(exception_reason(error)))
    match answer:
        case Success(value) if isinstance(value, expected):
            return answer
        case Failure(refusal) if isinstance(refusal, Refusal):
            return Failure(_redacted(refusal))
    # Only the type is named: the value may contain credentials.
    inner = answer._inner_value if isinstance(answer, Result) else answer  # noqa: SLF001 - returns has no other way
    names = " or ".join(each.__name__ for each in (expected if isinstance(expected, tuple) else (expected,)))
    return Failure(Faulted(f"answered a {type(inner).__name__}, which is no {names} and no refusal"))


def call_catalog(
    verb: Callable[..., Result[_Value, CatalogFailure]], *arguments: object
) -> Result[_Value, CatalogFailure]:
    """Calls a catalog. A failure that it raises is returned; any other exception is CatalogUnavailable."""
    try:
        return verb(*arguments)
    except Exception as error:  # noqa: BLE001 - see above
        if isinstance(error, CatalogFailure):
            return Failure(error)
        _log.debug("the catalog raised", exc_info=True)
        return Failure(CatalogUnavailable(f"the catalog: {exception_reason(error)}"))


def exception_reason(error: BaseException) -> str:
    """The reason of an exception of third-party code: the message of a LadingError, else only the type.

    Any other message may contain a password, a token or a whole request.

    >>> exception_reason(KeyError("s3cret"))
    'raised KeyError; the debug log has more'
    """
    if isinstance(error, LadingError):
        try:
            return redacted(str(error))
        except Exception:  # noqa: BLE001 - its __str__ is third-party code too
            _log.debug("an exception has no message", exc_info=True)
    return f"raised {type(error).__name__}; the debug log has more"


def _redacted(refusal: Refusal) -> Refusal:
    return replace(
        refusal,
        reason=redacted(str(refusal.reason)),
        place=redacted(refusal.place),
        expected=redacted(refusal.expected),
        found=redacted(refusal.found),
        advice=redacted(refusal.advice),
    )


def precheck(handler: Handler, work: Work) -> Refusal | None:
    """The refusal of an attempt that no handler needs to be called for; None: call the handler."""
    if work.location is not None and work.location.is_redacted:
        return Unavailable("its credentials are not recorded, and the catalog no longer has this location")
    if work.form != AS_SHIPPED and not isinstance(handler, SupportsForms):
        return Unsupported("this handler gives a target no other format or size than its image's")
    return None


def preview_attempt(handler: Handler, work: Work) -> Result[str, Refusal]:
    """Previews an attempt: the way of transfer, or the refusal of `fetch`. Credentials are masked in both."""
    if (refusal := precheck(handler, work)) is not None:
        return Failure(refusal)
    if not isinstance(handler, SupportsPreview):
        return Success("would be tried; this handler has no preview")
    return call_handler(handler.name, work, str, handler.preview, work).map(redacted)


def value_or_raise(outcome: Result[_Value, LadingError]) -> _Value:
    """Returns the value of a success. Raises the failure."""
    match outcome:
        case Failure(failure):
            raise failure
    return outcome.unwrap()
