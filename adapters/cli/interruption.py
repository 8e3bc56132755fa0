"""Signals that end a command, and what an interrupted fetch leaves."""

import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from lading.adapters.codec.sizes import size_text
from lading.domain.dispatcher import Dispatcher
from lading.domain.recovery import Outcome, Recovered
from lading.ports.failures import StoreUnavailable

__all__ = ["Interruption", "interruptible_fetch"]


class Interruption(SystemExit):
    """Ends the command because of a signal."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = signal.Signals(number)
        self.left: tuple[str, ...] = ("the next lading command finishes or undoes what was begun",)
        """Lines of the message on the data that the command leaves, and the next steps."""

    @property
    def reason(self) -> str:
        return "interrupted" if self.signal is signal.SIGINT else f"ended by {self.signal.name}"


@contextmanager
def interruptible_fetch(dispatcher: Dispatcher, target: str) -> Iterator[None]:
    """Adds to an Interruption of the block what the fetch to the target leaves.

    A target of this host is recovered for that, as the next command would do it. That of a storage may take long to
    recover, and is left to the next command.
    """
    try:
        yield
    except Interruption as ended:
        if target.startswith("/"):
            with suppress(StoreUnavailable):
                ended.left = _left(next(dispatcher.recover(target), None), target)
        raise


def _left(recovered: Recovered | None, target: str) -> tuple[str, ...]:
    name = shlex.quote(target)
    if recovered is None or recovered.outcome is Outcome.UNDONE:
        return (f"nothing is kept: {target} is as it was before",)
    image = recovered.intent.image
    total = f" of {size_text(image.size)}" if image and image.size else ""
    match recovered.outcome:
        case Outcome.FINISHED:
            return (f"the fetch is complete: lading show {name}",)
        case Outcome.KEPT:
            kept = f"{size_text(recovered.kept)}{total} are kept"
        case Outcome.INCOMPLETE:
            kept = f"{target} is incomplete: it has {size_text(recovered.kept)}{total}"
        case Outcome.UNDER_WAY:
            return (f"another process works on {target}",)
        case _:
            return (f"it is not known what is left: {recovered.reason}", f"to find out: lading recover {name}")
    return kept, "to resume: repeat the command", f"to discard: lading recover --discard {name}"
