"""Failures as messages to a person: the decisive reason, the place, what was expected and found, and what to do."""

import re
import shlex
from collections.abc import Sequence
from typing import Final

from lading.adapters.codec.sizes import size_text
from lading.adapters.destinations.device.form import is_device
from lading.domain.failures import NoHandlerAvailable
from lading.domain.refusals import Scope, Unavailable, Unsupported
from lading.ports.failures import LadingError

__all__ = ["cut_digests", "message_lines"]

_MOST_LINES: Final = 4
_DIGEST: Final = re.compile(r"\b([a-z][a-z0-9_]{1,15}:[0-9a-f]{12})[0-9a-f]{20,}\b")


def cut_digests(text: str) -> str:
    """Returns the text with only the first 12 digits of each digest.

    >>> cut_digests("expected md5:0123456789abcdef0123456789abcdef, found md5:01")
    'expected md5:0123456789ab…, found md5:01'
    """
    return _DIGEST.sub(r"\1…", text)


def message_lines(failure: LadingError, hints: Sequence[str] = (), *, full: bool = False) -> list[str]:
    """Returns the message for a failure: up to four lines, the decisive reason first. `full`: digests are not cut.

    `hints` are next steps that only the caller knows; they follow the failure's own advice.
    """
    explanation = failure.explanation
    # Handlers and catalogs of other packages may have no advice but at the end of their reason.
    reason, _, rest = explanation.reason.partition("; ")
    lines = [reason, explanation.place, explanation.difference]
    advice = [explanation.advice, rest, *hints]
    if isinstance(failure, NoHandlerAvailable):
        lines[0] += _consequence(failure)
        lines[1] += _others(failure)
        advice.insert(0, _kept(failure))
    if not full:
        lines = list(map(cut_digests, lines))
    return list(filter(None, [*lines, *advice]))[:_MOST_LINES]


def _consequence(failure: NoHandlerAvailable) -> str:
    """A word on the target's path, which a failed fetch leaves as it was. Of other targets the reason tells it."""
    is_file = failure.target.startswith("/") and not is_device(failure.target)
    refusal = failure.decisive
    if not is_file or refusal is None or refusal.scope is Scope.REQUEST:
        return ""
    return f", nothing was written to {failure.target}"


def _others(failure: NoHandlerAvailable) -> str:
    """A word on further attempts that could have helped, and failed for other reasons."""
    decisive = failure.decisive
    if decisive is None or decisive.scope is Scope.REQUEST:
        return ""
    others = {each.refusal for each in failure.attempts if not isinstance(each.refusal, Unsupported)} - {decisive}
    return "; more attempts failed, -v shows them" if others else ""


def _kept(failure: NoHandlerAvailable) -> str:
    kept = max((each.refusal.kept for each in failure.attempts if isinstance(each.refusal, Unavailable)), default=0)
    if not kept:
        return ""
    discard = f"lading recover --discard {shlex.quote(failure.target)}"
    return f"{size_text(kept)} are kept: repeat the command to resume, or discard them: {discard}"
