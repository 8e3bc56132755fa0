"""Reading one image from one or several servers that have it: going on where an answer broke off, here or elsewhere.

Where the catalog has a digest, the digest decides: an answer may go on where any other one broke off, and what a server
says of its file only tells whether it is worth starting over. Without a digest bytes of two answers are put together
only where the same server proves that both are of one file, by a strong ETag.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.web.connect import Forbidden
from lading.adapters.web.http import Answer, HttpConnection, HttpOptions, HttpRefused, Origin, Unusable, peer_of
from lading.adapters.web.validators import Validators
from lading.adapters.web.watch import LEAST_RATE, Silent

if TYPE_CHECKING:
    from tenacity import RetryCallState

__all__ = ["Changed", "Mirrors", "RangeReader"]

_log = logging.getLogger(__name__)
_RETRIED: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that may be another the next time."""
_NO_RANGES: Final = frozenset({400, 416, 501})
"""How a server refuses a range that it could have served, if it could serve ranges."""
_TRIES: Final = 5
"""How often a server is asked, with next to nothing of the image in between, before it is given up."""
_LONGEST_WAIT: Final = 60.0
"""Seconds, whatever the server asks for."""
_UNPROVEN: Final = "neither a digest nor a strong ETag tells that the rest would be of the same file"
_NEAR: Final = 24 << 20
"""Bytes that an open answer is read on, rather than given up for a new one that may be refused."""


class _State(NamedTuple):
    """Where bytes came from, and of which state of the file."""

    url: str
    peer: tuple[str, str] | None
    validators: Validators


class Mirrors:
    """Servers of the same bytes, the best first; for all threads that read from them.

    The one that failed least is asked; one that can't help is dropped while there is another.
    """

    def __init__(
        self,
        origins: Sequence[Origin],
        options: HttpOptions,
        *,
        renew: Callable[[], Origin] | None = None,
        first_wait: float = 0.5,
        digest_decides: bool = False,
    ) -> None:
        """`renew` gives the only server anew after a 401, with fresh credentials. `first_wait`, in seconds, grows.

        `digest_decides`: the whole will be compared with the catalog's digest.
        """
        self.options = options
        self.first_wait = first_wait
        self.digest_decides = digest_decides
        self.is_patient = True
        """A server that may do better the next time is asked again."""
        self.total: int | None = None
        """Bytes of the whole, as the first answer had it."""
        self.takes_ranges = True
        self.is_pieced = False
        """Answers were put together, and nothing proves that they are of one file."""
        self.is_stuck = False
        """It broke off, and what is left may not be put to what came."""
        self.encoding: str | None = None
        """The Content-Encoding in which bytes came; None: as they are."""
        self._origins = list(origins)
        self._failures: dict[str, int] = {}
        """By URL, since it gave enough."""
        self._came: dict[str, int] = {}
        """Bytes, by URL."""
        self._state: _State | None = None
        """Of the bytes that were taken first."""
        self._renew = renew
        self._lock = threading.Lock()

    def origin(self, position: int) -> Origin:
        """The server for the `position`th reader: spread, where there are several."""
        with self._lock:
            fewest = min(self._failures.get(each.url, 0) for each in self._origins)
            best = [each for each in self._origins if self._failures.get(each.url, 0) == fewest]
            return best[position % len(best)]

    def join(self, origins: Iterable[Origin]) -> None:
        """Lets these stand in from now on. Only where a digest decides."""
        with self._lock:
            self._origins.extend(origins)

    @property
    def most_tries(self) -> int:
        return _TRIES + len(self._origins) - 1

    @property
    def can_continue(self) -> bool:
        """Tells whether bytes of another answer may follow those that were taken."""
        with self._lock:
            return self.digest_decides or self._state is None or self._state.validators.is_strong

    def vouch(self, origin: Origin, answer: Answer) -> None:
        """Compares what an answer says of the whole with what the first one said. Raises Changed."""
        state = _State(origin.url, answer.peer, answer.validators)
        with self._lock:
            if answer.total is not None:
                if self.total not in {None, answer.total}:
                    raise Changed(f"it has {answer.total} bytes, and had {self.total}")
                self.total = answer.total
            self.encoding = self.encoding or answer.encoding
            if self._state is None:
                self._state = state
                return
            if state[:2] == self._state[:2] and state.validators.repeats(self._state.validators):
                return
            if not self.digest_decides:
                is_other = state.validators.is_same(self._state.validators) is False
                raise Changed("it was changed while it was read" if is_other else _UNPROVEN)
            self.is_pieced = True

    def end(self, total: int) -> None:
        """Notes the length of the whole: an answer that told none ended as whole ones do."""
        with self._lock:
            self.total = total

    def expect(self, noted: str) -> None:
        """Notes what the first server said of the bytes that are there already."""
        with self._lock:
            url = self._origins[0].url
            self._state = _State(url, peer_of(url), Validators.of(noted))

    def forget(self) -> None:
        """Forgets what was said of the whole: nothing is there so far."""
        with self._lock:
            self._state = None
            self.total = None

    @property
    def validator(self) -> str | None:
        """What the first answer said of the whole, for a later fetch to compare; None where that proves nothing."""
        with self._lock:
            if self._state is None or (self._state.peer != peer_of(self._state.url) and not self.digest_decides):
                return None  # the next redirect may lead to another server, whose ETags are its own
            return self._state.validators.noted

    def fail(self, origin: Origin, failure: SourceBroken, *, for_good: bool) -> bool:
        """Counts it against the server, or drops that for good. Tells whether another one has failed less."""
        with self._lock:
            others = [each for each in self._origins if each != origin]
            if for_good and others:
                if len(others) < len(self._origins):
                    _log.info("a mirror is dropped: %s", failure)
                self._origins = others
                return True
            failures = self._failures[origin.url] = self._failures.get(origin.url, 0) + 1
            return any(self._failures.get(each.url, 0) < failures for each in others)

    def count(self, origin: Origin, count: int) -> None:
        """Notes that so many bytes came from the server."""
        with self._lock:
            self._came[origin.url] = self._came.get(origin.url, 0) + count

    @property
    def main_url(self) -> str | None:
        """The URL of the server that gave most; None before any gave bytes."""
        with self._lock:
            return max(self._came, key=self._came.__getitem__, default=None)

    def succeed(self, origin: Origin) -> None:
        """Forgets the server's failures: it gave enough."""
        with self._lock:
            self._failures.pop(origin.url, None)

    def renew(self, origin: Origin, failure: SourceBroken) -> bool:
        """After a 401, ask for fresh credentials, once for all threads; whether there are some."""
        if self._renew is None or not isinstance(failure, HttpRefused) or failure.status != HTTPStatus.UNAUTHORIZED:
            return False
        with self._lock:
            if origin in self._origins:
                self._origins = [self._renew()]
        return True


class Changed(SourceBroken):
    """Not the same bytes any more, or nobody knows: asking again can't help."""


class RangeReader:
    """Reads ranges, each in order, for one thread; over one connection while it lasts."""

    def __init__(self, mirrors: Mirrors, position: int = 0, *, tries: int | None = None) -> None:
        """`tries`: how often it asks before it gives up; None: as often as the mirrors are worth it."""
        self._mirrors = mirrors
        self._position = position
        self._most_tries = tries
        # That a server takes no second connection is nothing against it.
        self._is_one_of_several = tries is not None
        self._connection = HttpConnection(mirrors.options, digest_decides=mirrors.digest_decides)
        self._origin = mirrors.origin(position)
        self._answer: Answer | None = None
        self._began = 0
        """Where the answer begins."""
        self._is_part = False
        """The answer has fewer bytes than were asked for, and doesn't reach the end of the whole."""
        self._aborted = threading.Event()
        self._at_once = False
        self._is_renewed = False
        self._tries = 0
        """How often it failed since enough came."""
        self._came = 0
        """Bytes since it last failed."""

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
            if answer is None:
                return 0
            count = answer.readinto(view if stop is None else view[: stop - offset])
            if count == 0 and answer.stop is None:
                self._mirrors.end(offset)
            return count

        count = self._patiently(read)
        self._came += count
        if count:
            self._mirrors.count(self._origin, count)
        if self._tries and self._came >= self._enough:
            self._tries = 0
            self._mirrors.succeed(self._origin)
        return count

    @property
    def _enough(self) -> float:
        """Bytes that a server must give for its failures to be forgotten, or else a byte a try would last for ever."""
        return LEAST_RATE * self._mirrors.options.stall_seconds

    def _patiently(self, read: Callable[[], int]) -> int:
        """Read, again where that may help: from another server at once, from the same one after a while."""
        try:
            return read()
        except SourceBroken as failure:
            self._let_go()
            return self._again(read, failure)

    def _again(self, read: Callable[[], int], failure: SourceBroken) -> int:
        from tenacity import Retrying, retry_if_exception  # noqa: PLC0415 - most reads go well

        failures = [failure]
        self._is_renewed = False

        def attempt() -> int:
            if failures:
                raise failures.pop()
            try:
                return read()
            except SourceBroken:
                self._let_go()
                raise

        retrying = Retrying(
            retry=retry_if_exception(self._is_worth_another_try),
            stop=self._is_given_up,
            wait=self._wait,
            sleep=self._sleep,
            reraise=True,
        )
        return retrying(attempt)

    def _is_worth_another_try(self, failure: BaseException) -> bool:
        if not isinstance(failure, SourceBroken) or self._aborted.is_set():
            return False
        self._tries, self._came = self._tries + 1, 0
        may_pass = _may_pass(failure)
        if not self._mirrors.can_continue:
            self._mirrors.is_stuck = may_pass
            return False
        # The next redirect may lead to another server: this one's answer says nothing of that.
        may_be_another = self._connection.was_redirected and isinstance(
            failure, HttpRefused | Unusable | Silent | Changed
        )
        self._at_once = self._mirrors.fail(
            self._origin, failure, for_good=not (may_pass or may_be_another or self._is_one_of_several)
        )
        if not self._at_once and not self._is_renewed:
            self._is_renewed = self._at_once = self._mirrors.renew(self._origin, failure)
        self._at_once = self._at_once or (may_be_another and not may_pass)
        return self._at_once or (may_pass and self._mirrors.is_patient)

    def _is_given_up(self, _: "RetryCallState") -> bool:
        return self._tries >= (self._most_tries or self._mirrors.most_tries)

    def _sleep(self, seconds: float) -> None:
        self._aborted.wait(seconds)

    def _wait(self, state: "RetryCallState") -> float:
        """Seconds until the next try: a random time that grows, and no less than the server asks for."""
        from tenacity import wait_random_exponential  # noqa: PLC0415 - see above

        if self._at_once:
            return 0.0
        # Full jitter: clients that failed together don't come back together.
        backoff = wait_random_exponential(multiplier=self._mirrors.first_wait, max=_LONGEST_WAIT)(state)
        failure = state.outcome.exception() if state.outcome else None
        asked_for = failure.retry_after if isinstance(failure, HttpRefused) else None
        return max(backoff, min(asked_for or 0.0, _LONGEST_WAIT))

    def _answer_at(self, offset: int, stop: int | None, *, skip: bool = True) -> Answer | None:
        """An answer that goes on at `offset`; None at the end of the whole."""
        answer = self._answer
        if answer is not None and not answer.is_done and answer.position <= offset <= answer.position + _NEAR:
            _skip(answer, offset)
            return answer
        if answer is not None and self._is_part and answer.position == offset < self._began + self._enough:
            raise SourceBroken(f"it gives few bytes at a time, at byte {offset}")
        self._let_go()
        total = self._mirrors.total
        if total is not None and offset >= total:
            return None
        self._origin = self._mirrors.origin(self._position)
        answer = self._asked(self._origin, offset, stop)
        self._answer, self._began = answer, answer.position
        self._is_part = answer.stop is not None and answer.stop < (stop or total or answer.total or 0)
        if answer.position < offset and not skip:
            self._mirrors.forget()  # it starts over
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
        self._answer = None
        self._connection.close()

    def abort(self) -> None:
        """From another thread: have its thread's reading fail, now."""
        self._aborted.set()
        self._connection.abort()


def _may_pass(failure: SourceBroken) -> bool:
    """Whether the same server may give the bytes the next time."""
    if isinstance(failure, HttpRefused):
        return failure.status in _RETRIED
    return not isinstance(failure, Changed | Forbidden | Unusable | Silent)


def _skip(answer: Answer, offset: int) -> None:
    """Read and forget what comes before."""
    if answer.position == offset:
        return
    bin_ = memoryview(bytearray(1 << 20))
    while answer.position < offset:
        if not answer.readinto(bin_[: offset - answer.position]):
            raise SourceBroken(f"it ended at byte {answer.position}, before it went on")
