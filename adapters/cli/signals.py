"""Signals that end a command: Ctrl-C, SIGTERM, SIGHUP."""

import os
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Final

from lading.adapters.cli.logs import log_raised

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

__all__ = ["EndingSignals", "Terminated"]

_AGAIN_SECONDS: Final = 0.01
_PATIENCE: Final = b"lading: is ending; one more signal ends it at once, and the next command recovers what is left\n"


class Terminated(SystemExit):
    """The end by a signal."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = signal.Signals(number)


class EndingSignals:
    """The handlers of these signals, for one process.

    The first signal raises KeyboardInterrupt or Terminated, so that the command unwinds and leaves nothing behind. The
    second changes nothing: an exception within the unwinding would stop that halfway. The third ends the process at
    once, as SIGKILL does: the next command recovers what is left then.
    """

    def __init__(self) -> None:
        self._received = 0
        self._lost = signal.SIGTERM

    def handle(self) -> None:
        """Installs the handlers. A signal that the caller ignores, as nohup does, stays ignored."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._end)
        signal.signal(signal.SIGALRM, self._raise_lost)
        sys.unraisablehook = self._notice

    def finish(self) -> None:
        """From here on the process ends anyway: no signal unwinds it any more."""
        self._received = max(self._received, 1)

    def _end(self, number: int, _frame: FrameType | None) -> None:
        self._received += 1
        if self._received == 1:
            raise KeyboardInterrupt if number == signal.SIGINT else Terminated(number)
        if self._received > 2:  # noqa: PLR2004 - the third
            os._exit(128 + number)
        with suppress(OSError):
            os.write(2, _PATIENCE)

    def _notice(self, unraisable: "UnraisableHookArgs") -> None:
        """Raises an interrupt once more that Python has dropped: in a destructor or a weak reference's callback.

        Not here, where it would be dropped again.
        """
        interrupt = unraisable.exc_value
        if not isinstance(interrupt, KeyboardInterrupt | Terminated):
            log_raised(unraisable)
            return
        self._lost = interrupt.signal if isinstance(interrupt, Terminated) else signal.SIGINT
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)

    def _raise_lost(self, _number: int, frame: FrameType | None) -> None:
        self._received = 0
        self._end(self._lost, frame)
