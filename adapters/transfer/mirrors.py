"""Reading one image from one or several servers that have it: going on where an answer broke off, here or elsewhere."""

import logging
import threading
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from lading.adapters.transfer.dialing import Barred
from lading.adapters.transfer.http import Answer, HttpConnection, HttpOptions, HttpRefused, Origin
from lading.adapters.transfer.pipeline import SourceBroken

if TYPE_CHECKING:
    from tenacity import RetryCallState

__all__ = ["Changed", "Mirrors", "RangeReader"]

_log = logging.getLogger(__name__)
_RETRIED: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that may be another the next time."""
_NO_RANGES: Final = frozenset({400, 416, 501})
"""How a server refuses a range that it could have served, if it could serve ranges."""
_TRIES: Final = 5
"""How often a server is asked in vain, without a byte in between, before it is given up."""
_LONGEST_WAIT: Final = 60.0
"""Seconds, whatever the server asks for."""


class Mirrors:
    """Servers of the same bytes, the best first; those that failed are dropped, for all threads that read from them."""

    def __init__(
        self,
        origins: Sequence[Origin],
        options: HttpOptions,
        *,
        renew: Callable[[], Origin] | None = None,
        first_wait: float = 0.5,
    ) -> None:
        """`renew` gives the only server anew after a 401, with fresh credentials. `first_wait`, in seconds, grows."""
        self.options = options
        self.first_wait = first_wait
        self.total: int | None = None
        """Bytes of the whole, as the first answer had it."""
        self.takes_ranges = True
        self._origins = list(origins)
        self._validators: dict[str, str] = {}
        self._renew = renew
        self._lock = threading.Lock()

    def origin(self, position: int) -> Origin:
        """The server for the `position`th reader: spread, where there are several."""
        with self._lock:
            return self._origins[position % len(self._origins)]

    def vouch(self, origin: Origin, answer: Answer) -> None:
        """Take note of what an answer says of the whole. Raises SourceBroken when it contradicts an earlier one."""
        with self._lock:
            validator = answer.validator
            if validator is not None and self._validators.setdefault(origin.url, validator) != validator:
                raise Changed("it was changed while it was read")
            if answer.total is not None:
                if self.total not in {None, answer.total}:
                    raise Changed(f"it has {answer.total} bytes, and had {self.total}")
                self.total = answer.total

    def expect(self, origin: Origin, validator: str) -> None:
        """This is what the server said of the whole at an earlier time."""
        with self._lock:
            self._validators[origin.url] = validator

    def forget(self) -> None:
        """Let anything be said of the whole."""
        with self._lock:
            self._validators.clear()
            self.total = None

    def validator(self, origin: Origin) -> str | None:
        """What the server has said of the whole."""
        with self._lock:
            return self._validators.get(origin.url)

    def drop(self, origin: Origin, failure: SourceBroken) -> bool:
        """Let nobody read from it again, if there is another one; whether there is."""
        with self._lock:
            if len(self._origins) < 2:  # noqa: PLR2004 - another one
                return origin not in self._origins
            if origin in self._origins:
                _log.info("a mirror is dropped: %s", failure)
                self._origins.remove(origin)
            return True

    def renew(self, origin: Origin, failure: SourceBroken) -> bool:
        """After a 401, ask for fresh credentials, once for all threads; whether there are some."""
        if self._renew is None or not isinstance(failure, HttpRefused) or failure.status != HTTPStatus.UNAUTHORIZED:
            return False
        with self._lock:
            if origin in self._origins:
                self._origins = [self._renew()]
        return True


class Changed(SourceBroken):
    """Not the same bytes any more: asking again can't help."""


class RangeReader:
    """Reads ranges, each in order, for one thread; over one connection while it lasts."""

    def __init__(self, mirrors: Mirrors, position: int = 0) -> None:
        self._mirrors = mirrors
        self._position = position
        self._connection = HttpConnection(mirrors.options)
        self._origin = mirrors.origin(position)
        self._answer: Answer | None = None
        self._aborted = threading.Event()
        self._at_once = False

    def open(self, offset: int = 0, *, skip: bool = True) -> int:
        """Ask for the bytes from there, so that a server that hasn't them is known before anything else is done.

        Where they begin: further ahead from a server that ignores ranges, unless what is before is to be skipped.
        """

        def ask() -> int:
            answer = self._answer_at(offset, None, skip=skip)
            return answer.position if answer else offset

        return self._patiently(ask)

    def readinto(self, view: memoryview, offset: int, stop: int | None = None) -> int:
        """Some bytes from `offset`, before `stop`; 0 only at the end of the whole. Raises SourceBroken."""

        def read() -> int:
            answer = self._answer_at(offset, stop)
            return answer.readinto(view if stop is None else view[: stop - offset]) if answer else 0

        return self._patiently(read)

    def _patiently(self, read: Callable[[], int]) -> int:
        """Read, again where that may help: from another server at once, from the same one after a while."""
        try:
            return read()
        except SourceBroken as failure:
            self._let_go()
            return self._again(read, failure)

    def _again(self, read: Callable[[], int], failure: SourceBroken) -> int:
        from tenacity import Retrying, retry_if_exception, stop_after_attempt  # noqa: PLC0415 - most reads go well

        failures = [failure]
        renewed = False

        def attempt() -> int:
            if failures:
                raise failures.pop()
            try:
                return read()
            except SourceBroken:
                self._let_go()
                raise

        def is_worth_it(failure: BaseException) -> bool:
            nonlocal renewed
            if not isinstance(failure, SourceBroken) or self._aborted.is_set():
                return False
            self._at_once = self._mirrors.drop(self._origin, failure)
            if not self._at_once and not renewed:
                renewed = self._at_once = self._mirrors.renew(self._origin, failure)
            return self._at_once or _may_pass(failure)

        retrying = Retrying(
            retry=retry_if_exception(is_worth_it),
            stop=stop_after_attempt(_TRIES),
            wait=self._wait,
            sleep=self._sleep,
            reraise=True,
        )
        return retrying(attempt)

    def _sleep(self, seconds: float) -> None:
        self._aborted.wait(seconds)

    def _wait(self, state: "RetryCallState") -> float:
        """Seconds until the next try: as long as the server asks, or a random time that grows."""
        from tenacity import wait_random_exponential  # noqa: PLC0415 - see above

        if self._at_once:
            return 0.0
        failure = state.outcome.exception() if state.outcome else None
        if isinstance(failure, HttpRefused) and failure.retry_after is not None:
            return min(failure.retry_after, _LONGEST_WAIT)
        # Full jitter: clients that failed together don't come back together.
        return wait_random_exponential(multiplier=self._mirrors.first_wait, max=_LONGEST_WAIT)(state)

    def _answer_at(self, offset: int, stop: int | None, *, skip: bool = True) -> Answer | None:
        """An answer that goes on at `offset`; None at the end of the whole."""
        if self._answer is not None and self._answer.position == offset and not self._answer.is_done:
            return self._answer
        self._let_go()
        if self._mirrors.total is not None and offset >= self._mirrors.total:
            return None
        self._origin = self._mirrors.origin(self._position)
        answer = self._asked(self._origin, offset, stop)
        self._answer = answer
        self._mirrors.vouch(self._origin, answer)
        if answer.position < offset:
            self._mirrors.takes_ranges = False
            if skip:
                _skip(answer, offset)
        elif not answer.takes_ranges:
            self._mirrors.takes_ranges = False
        return answer

    def _asked(self, origin: Origin, offset: int, stop: int | None) -> Answer:
        try:
            return self._connection.open(origin, offset, stop)
        except HttpRefused as refused:
            if refused.status not in _NO_RANGES or offset == 0:
                raise
            # Some of Glance's stores can't seek, and say so like this; the whole can be had, and skipped through.
            return self._connection.open(origin)

    def _let_go(self) -> None:
        if self._answer is not None and not self._answer.is_done:
            self._connection.close()
        self._answer = None

    def close(self) -> None:
        self._connection.close()

    def abort(self) -> None:
        """From another thread: have its thread's reading fail, now."""
        self._aborted.set()
        self._connection.abort()


def _may_pass(failure: SourceBroken) -> bool:
    """Whether the same server may give the bytes the next time."""
    if isinstance(failure, HttpRefused):
        return failure.status in _RETRIED
    return not isinstance(failure, Changed | Barred)


def _skip(answer: Answer, offset: int) -> None:
    """Read and forget what comes before: the server ignores ranges, so that it is one stream from its start."""
    bin_ = memoryview(bytearray(1 << 20))
    while answer.position < offset:
        if not answer.readinto(bin_[: offset - answer.position]):
            raise SourceBroken(f"it ended at byte {answer.position}, before it went on")
