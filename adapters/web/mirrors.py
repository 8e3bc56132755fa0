"""Several servers of the same bytes, and the rules by which bytes of several answers may be combined.

Where the catalog has a digest, the digest decides: a download may continue from any other answer, and what a server
says of its file only tells whether a restart is worth it. Without a digest, bytes of two answers are combined only
where the same server proves by a strong ETag that both are of one file.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import Final, NamedTuple

from lading.adapters.codec.sizes import exact_size
from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.web.answer import Answer
from lading.adapters.web.http import HttpOptions, HttpRefused, Origin, peer_of
from lading.adapters.web.retries import MOST_TRIES
from lading.adapters.web.validators import Validators

__all__ = ["Changed", "Mirrors"]

_log = logging.getLogger(__name__)
_UNPROVEN: Final = "neither a digest nor a strong ETag tells that the rest would be of the same file"


class Changed(SourceBroken):
    """The bytes are no longer the same, or nothing proves that they are. A retry cannot help."""


class _State(NamedTuple):
    """The origin of bytes, and the state of the file there."""

    url: str
    peer: tuple[str, str] | None
    validators: Validators


class Mirrors:
    """Servers of the same bytes, the best first. Shared by all threads that read from them.

    The server that failed least is asked. One that cannot help is dropped while there is another.
    """

    def __init__(
        self,
        origins: Sequence[Origin],
        options: HttpOptions,
        *,
        renew: Callable[[HttpRefused], Origin] | None = None,
        first_wait: float = 0.5,
        digest_decides: bool = False,
    ) -> None:
        """`renew` returns the only server with fresh credentials, after that 401. `first_wait`: seconds; see `backoff`.

        `digest_decides`: the caller compares the whole with the catalog's digest.
        """
        self.options = options
        self.first_wait = first_wait
        self.digest_decides = digest_decides
        self.retries = True
        """A server that may succeed the next time is asked again."""
        self.total: int | None = None
        """Bytes of the whole, by the first answer."""
        self.takes_ranges = True
        self.is_combined = False
        """Bytes of several answers were combined, and nothing but the digest proves that they are of one file."""
        self.needs_restart = False
        """The answer broke off, and the rest may not be appended to what came."""
        self.encoding: str | None = None
        """The Content-Encoding in which bytes came; None: they are the image's own."""
        self.media_type = ""
        """The Content-Type of the last answer, in lower case and without parameters."""
        self.link = ""
        """The Link of the last answer."""
        self._origins = list(origins)
        self._failures: dict[str, int] = {}
        """Failures by URL, since enough bytes came from it."""
        self._received: dict[str, int] = {}
        """Bytes, by URL."""
        self._state: _State | None = None
        """State of the first answer."""
        self._renew = renew
        self._lock = threading.Lock()

    def origin(self, position: int) -> Origin:
        """The server for the `position`th reader. Readers are spread over the servers that failed least."""
        with self._lock:
            fewest = min(self._failures.get(each.url, 0) for each in self._origins)
            best = [each for each in self._origins if self._failures.get(each.url, 0) == fewest]
            return best[position % len(best)]

    def add(self, origins: Iterable[Origin]) -> None:
        """Adds servers that may continue from now on. Only where a digest decides."""
        with self._lock:
            self._origins.extend(origins)

    @property
    def most_tries(self) -> int:
        return MOST_TRIES + len(self._origins) - 1

    @property
    def can_continue(self) -> bool:
        """Tells whether bytes of another answer may follow those that came."""
        with self._lock:
            return self.digest_decides or self._state is None or self._state.validators.is_strong

    def check(self, origin: Origin, answer: Answer) -> None:
        """Compares what an answer says of the whole with what the first one said. Raises Changed."""
        state = _State(origin.url, answer.peer, answer.validators)
        with self._lock:
            if answer.total is not None:
                if self.total not in {None, answer.total}:
                    raise Changed(f"it has {exact_size(answer.total)}, and had {exact_size(self.total)}")
                self.total = answer.total
            self.encoding = self.encoding or answer.encoding
            self.media_type, self.link = answer.media_type, answer.link
            if self._state is None:
                self._state = state
                return
            if state[:2] == self._state[:2] and state.validators.repeats(self._state.validators):
                return
            if not self.digest_decides:
                is_other = state.validators.is_same(self._state.validators) is False
                raise Changed("the file was changed while it was read" if is_other else _UNPROVEN)
            self.is_combined = True

    def set_total(self, total: int) -> None:
        """Records the length of the whole, when an answer without a length has ended."""
        with self._lock:
            self.total = total

    def resume(self, validator: str) -> None:
        """Records what the first server said of the partial data that is there."""
        with self._lock:
            url = self._origins[0].url
            self._state = _State(url, peer_of(url), Validators.of(validator))

    def reset(self) -> None:
        """Forgets what was said of the whole: nothing is there so far."""
        with self._lock:
            self._state = None
            self.total = None

    @property
    def validator(self) -> str | None:
        """The first answer's validator of the whole, for a later fetch; None where it would prove nothing."""
        with self._lock:
            if self._state is None or (self._state.peer != peer_of(self._state.url) and not self.digest_decides):
                return None  # the next redirect may lead to another server, whose ETags are its own
            return self._state.validators.noted

    def count(self, origin: Origin, received: int) -> None:
        """Counts bytes that came from the server."""
        with self._lock:
            self._received[origin.url] = self._received.get(origin.url, 0) + received

    @property
    def main_url(self) -> str | None:
        """The URL from which most bytes came; None before any came."""
        with self._lock:
            return max(self._received, key=self._received.__getitem__, default=None)

    def add_failure(self, origin: Origin, failure: SourceBroken, *, is_final: bool) -> bool:
        """Counts a failure of the server, or drops the server where that is final and there is another.

        Returns whether another server has failed less.
        """
        with self._lock:
            others = [each for each in self._origins if each != origin]
            if is_final and others:
                if len(others) < len(self._origins):
                    _log.info("a mirror is dropped: %s", failure)
                self._origins = others
                return True
            failures = self._failures[origin.url] = self._failures.get(origin.url, 0) + 1
            return any(self._failures.get(each.url, 0) < failures for each in others)

    def clear_failures(self, origin: Origin) -> None:
        """Forgets the server's failures: enough bytes came from it."""
        with self._lock:
            self._failures.pop(origin.url, None)

    def renew(self, origin: Origin, failure: SourceBroken) -> bool:
        """Renews the credentials after a 401, once for all threads. Returns whether there are fresh ones."""
        if self._renew is None or not isinstance(failure, HttpRefused) or failure.status != HTTPStatus.UNAUTHORIZED:
            return False
        with self._lock:
            if origin in self._origins:
                self._origins = [self._renew(failure)]
        return True
