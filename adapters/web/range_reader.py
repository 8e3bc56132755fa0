"""Reading ranges of one image from its mirrors: retries, and continues where an answer broke off."""

from typing import Final

from lading.adapters.stream.event import Event
from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.web.answer import Answer
from lading.adapters.web.connections import Forbidden
from lading.adapters.web.http import HttpConnection, HttpRefused, Unusable
from lading.adapters.web.mirrors import Changed, Mirrors
from lading.adapters.web.retries import TRANSIENT_STATUSES, backoff
from lading.adapters.web.stalls import LEAST_RATE, FirstByteTimeout

__all__ = ["RangeReader"]

_NO_RANGES: Final = frozenset({400, 416, 501})
"""Statuses by which a server refuses a range that it could serve, if it served ranges."""
_NEAR: Final = 24 << 20
"""Bytes of an open answer that are read and dropped, because a new request may be refused."""


class RangeReader:
    """Reads ranges, each in order, for one thread. Keeps its connection while that lasts."""

    def __init__(self, mirrors: Mirrors, position: int = 0, *, tries: int | None = None) -> None:
        """`tries` in a row before it gives up; None: as many as the mirrors are worth."""
        self._mirrors = mirrors
        self._position = position
        self._most_tries = tries
        self._is_one_of_several = tries is not None
        """A server that refuses it may still serve the first connection."""
        self._connection = HttpConnection(mirrors.options, digest_decides=mirrors.digest_decides)
        self._origin = mirrors.origin(position)
        self._answer: Answer | None = None
        self._began = 0
        """Offset at which the answer begins."""
        self._is_part = False
        """The answer has fewer bytes than were requested, and does not reach the end of the whole."""
        self._aborted = Event()
        self._failures = 0
        """In a row, that is since enough bytes came."""
        self._is_renewed = False
        """The credentials were renewed since enough bytes came."""
        self._received = 0
        """Bytes since the last failure."""

    def open(self, offset: int = 0, *, skip: bool = True) -> int:
        """Requests the bytes from the offset on, so that a failing server is known before anything else is done.

        Returns the offset at which the bytes begin. That is a smaller one where the server ignores ranges and `skip` is
        false: else the bytes before the offset are read and dropped. Raises SourceBroken.
        """
        while True:
            try:
                answer = self._answer_at(offset, None, skip=skip)
            except SourceBroken as failure:
                self._await_retry(failure)
            else:
                return answer.position if answer else offset

    def readinto(self, view: memoryview, offset: int, stop: int | None = None) -> int:
        """Reads some bytes between `offset` and `stop`; returns 0 only at the end of the whole. Raises SourceBroken."""
        while True:
            try:
                answer = self._answer_at(offset, stop)
                if answer is None:
                    return 0
                count = answer.readinto(view if stop is None else view[: stop - offset])
            except SourceBroken as failure:
                self._await_retry(failure)
            else:
                break
        if count:
            self._mirrors.count(self._origin, count)
        elif answer.stop is None:
            self._mirrors.set_total(offset)
        self._received += count
        if self._failures and self._received >= self._enough:
            self._failures, self._is_renewed = 0, False
            self._mirrors.clear_failures(self._origin)
        return count

    @property
    def _enough(self) -> float:
        """Bytes after which a server's failures are forgotten. With fewer, one byte a try would last for ever."""
        return LEAST_RATE * self._mirrors.options.stall_seconds

    def _await_retry(self, failure: SourceBroken) -> None:
        """Counts the failure against the server, and waits until the next try is due.

        Does not wait where another server can be tried at once. Raises the failure where no other try can help.
        """
        self._drop_answer()
        if self._aborted.is_set():
            raise failure
        self._failures, self._received = self._failures + 1, 0
        is_transient = _is_transient(failure)
        if not self._mirrors.can_continue:
            self._mirrors.needs_restart = is_transient
            raise failure
        # The next redirect may lead to another server: this one's answer says nothing of that.
        may_be_another = self._connection.was_redirected and isinstance(
            failure, HttpRefused | Unusable | FirstByteTimeout | Changed
        )
        is_final = not (is_transient or may_be_another or self._is_one_of_several)
        at_once = self._mirrors.add_failure(self._origin, failure, is_final=is_final)
        if not at_once and not self._is_renewed:
            at_once = self._is_renewed = self._mirrors.renew(self._origin, failure)
        at_once = at_once or (may_be_another and not is_transient)
        if self._failures >= (self._most_tries or self._mirrors.most_tries):
            raise failure
        if at_once:
            return
        if not (is_transient and self._mirrors.retries):
            raise failure
        retry_after = failure.retry_after if isinstance(failure, HttpRefused) else None
        self._aborted.wait(backoff(self._failures, first_wait=self._mirrors.first_wait, retry_after=retry_after))

    def _answer_at(self, offset: int, stop: int | None, *, skip: bool = True) -> Answer | None:
        """The answer that continues at `offset`: the open one, or a new one. None at the end of the whole."""
        answer = self._answer
        if answer is not None and not answer.is_done and answer.position <= offset <= answer.position + _NEAR:
            _skip(answer, offset)
            return answer
        if answer is not None and self._is_part and answer.position == offset < self._began + self._enough:
            raise SourceBroken(f"the server sends too few bytes at a time, at byte {offset}")
        self._drop_answer()
        total = self._mirrors.total
        if total is not None and offset >= total:
            return None
        self._origin = self._mirrors.origin(self._position)
        try:
            answer = self._connection.open(self._origin, offset, stop)
        except HttpRefused as refused:
            if refused.status not in _NO_RANGES or offset == 0:
                raise
            # Some of Glance's stores cannot seek, and answer so. The whole can be requested, and skipped through.
            answer = self._connection.open(self._origin)
        self._answer, self._began = answer, answer.position
        self._is_part = answer.stop is not None and answer.stop < (stop or total or answer.total or 0)
        if answer.position < offset and not skip:
            self._mirrors.reset()  # it starts over
        self._mirrors.check(self._origin, answer)
        if answer.position < offset or not answer.takes_ranges:
            self._mirrors.takes_ranges = False
        if skip:
            _skip(answer, offset)
        return answer

    def _drop_answer(self) -> None:
        if self._answer is not None and not self._answer.is_done:
            self._connection.close()
        self._answer = None

    def close(self) -> None:
        self._answer = None
        self._connection.close()

    def abort(self) -> None:
        """Makes the reading of its thread fail at once. May be called from another thread."""
        self._aborted.set()
        self._connection.abort()


def _is_transient(failure: SourceBroken) -> bool:
    """Tells whether the same server may give the bytes the next time."""
    if isinstance(failure, HttpRefused):
        return failure.status in TRANSIENT_STATUSES
    return not isinstance(failure, Changed | Forbidden | Unusable | FirstByteTimeout)


def _skip(answer: Answer, offset: int) -> None:
    """Reads and drops the answer's bytes before the offset."""
    if answer.position >= offset:
        return
    dropped = memoryview(bytearray(1 << 20))
    while answer.position < offset:
        if not answer.readinto(dropped[: offset - answer.position]):
            raise SourceBroken(f"the answer ended at byte {answer.position}")
