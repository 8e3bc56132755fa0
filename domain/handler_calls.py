"""Asking a handler: whatever it does, what comes of it is a Result that means something."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from returns.result import Failure, Result, Success

from lading.domain.handler import Handler, SupportsPreview, SupportsResize, Work
from lading.domain.refusals import Faulted, Refusal, Unavailable, Unsupported
from lading.ports.failures import CatalogFailure, CatalogUnavailable, LadingError
from lading.ports.redaction import redacted

__all__ = ["call_catalog", "call_handler", "exception_reason", "precheck", "preview_attempt", "value_or_raise"]

_log = logging.getLogger(__name__)
_Done = TypeVar("_Done")


def call_handler(
    handler: Handler,
    work: Work,
    given: type[_Done] | tuple[type[_Done], ...],
    verb: Callable[..., Result[_Done, Refusal]],
    *arguments: object,
) -> Result[_Done, Refusal]:
    """A handler's answer; a fault where it raises, or answers what it must not: bugs of one mustn't stop the others."""
    try:
        answer = verb(*arguments)
    except Exception as error:  # noqa: BLE001 - see above
        _log.debug("%s: handler %s raised", work.target or "no target", handler.name, exc_info=True)
        return Failure(Faulted(exception_reason(error)))
    match answer:
        case Success(value) if isinstance(value, given):
            return answer
        case Failure(refusal) if isinstance(refusal, Refusal):
            return Failure(replace(refusal, reason=redacted(str(refusal.reason))))
    # Of what type only: what it is may hold anything, credentials too.
    inner = answer._inner_value if isinstance(answer, Result) else answer  # noqa: SLF001 - returns has no other way
    names = " or ".join(each.__name__ for each in (given if isinstance(given, tuple) else (given,)))
    return Failure(Faulted(f"answered a {type(inner).__name__}, which is no {names} and no refusal"))


def call_catalog(
    verb: Callable[..., Result[_Done, CatalogFailure]], *arguments: object
) -> Result[_Done, CatalogFailure]:
    """A catalog's answer; a failure where it raises: a bug of a third party's, or a failure raised, not returned."""
    try:
        return verb(*arguments)
    except Exception as error:  # noqa: BLE001 - see above
        if isinstance(error, CatalogFailure):
            return Failure(error)
        _log.debug("the catalog raised", exc_info=True)
        return Failure(CatalogUnavailable(f"the catalog: {exception_reason(error)}"))


def exception_reason(error: BaseException) -> str:
    """The reason that an exception of somebody else's code gives: a LadingError's words, else only its type.

    Such an exception may repeat anything that its code knows, in any form: a password, a token, a whole request.

    >>> exception_reason(KeyError("s3cret"))
    'raised KeyError; the debug log has more'
    """
    if isinstance(error, LadingError):
        try:
            return redacted(str(error))
        except Exception:  # noqa: BLE001 - an exception that can't be shown
            _log.debug("an exception can't be shown", exc_info=True)
    return f"raised {type(error).__name__}; the debug log has more"


def precheck(handler: Handler, work: Work) -> Refusal | None:
    """Why a handler need not even be asked to fetch; None when it may be."""
    if work.location is not None and work.location.is_redacted:
        return Unavailable("its credentials are not recorded, and the catalog has it no longer")
    if work.size is not None and not isinstance(handler, SupportsResize):
        return Unsupported("this handler gives a target no other size than its image's")
    return None


def preview_attempt(handler: Handler, work: Work) -> Result[str, Refusal]:
    """How the handler would fetch, or the refusal that it would end in, as far as it can tell beforehand."""
    if (why_not := precheck(handler, work)) is not None:
        return Failure(why_not)
    if not isinstance(handler, SupportsPreview):
        return Success("would be tried; this handler can't tell beforehand")
    return call_handler(handler, work, str, handler.preview, work)


def value_or_raise(outcome: Result[_Done, LadingError]) -> _Done:
    """For generators, whose callers see failures as exceptions."""
    match outcome:
        case Failure(failure):
            raise failure
    return outcome.unwrap()
