"""Calls to an etcd cluster: over all its endpoints, in bounded time."""

import logging
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lading.adapters.etcd.gateway import Gateway, LeaseGone, NotAuthenticated, Silent, TimedOut, Unusable
from lading.adapters.etcd.operations import KeyValue, Op, as_base64
from lading.adapters.etcd.settings import EtcdSettings
from lading.ports.failures import StoreUnavailable

__all__ = ["Cluster", "Outcome", "is_away"]

_log = logging.getLogger(__name__)
_SHORTEST_TIMEOUT: Final = 1.0
"""Seconds for one endpoint, also where there are many."""
_PAUSE_SECONDS: Final = 0.1
"""The first wait when no endpoint answered. It doubles."""
_LONGEST_PAUSE: Final = 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a transaction."""

    succeeded: bool
    """True when all comparisons were true."""
    revision: int
    """The revision of the transaction."""
    found: Sequence[Sequence[KeyValue]]
    """What each of its operations found, in order; nothing for a change."""


def is_away(failure: StoreUnavailable) -> bool:
    """Tells whether no endpoint answered in time, or could do what was asked. A later call may succeed."""
    return isinstance(failure.__cause__, Silent)


class Cluster:
    """An etcd cluster of version 3.4 or later, by its JSON gateway. All methods raise StoreUnavailable.

    Share it between threads.

    Each call is given to the endpoints in turn until one answers or the time is over: first to the one that answered
    last. A change whose answer did not come may have been made: callers make only changes that may be repeated.

    Leases and watches are etcd's own services.
    """

    def __init__(self, settings: EtcdSettings) -> None:
        self._settings = settings
        # Not the same one on all hosts, which have the same settings.
        self._first = random.randrange(len(settings.endpoints))  # noqa: S311 - no secret
        """The endpoint that is called first."""
        self._gateway = Gateway(settings)
        self._token: str | None = None

    @property
    def endpoints(self) -> frozenset[str]:
        return frozenset(self._settings.endpoints)

    def transaction(self, ops: Sequence[Op], *, when: Sequence[Op] = (), otherwise: Sequence[Op] = ()) -> Outcome:
        """Makes the operations at once, if all comparisons of `when` are true, or else those of `otherwise`.

        Raises LeaseGone when an operation names a lease that is gone.
        """
        answer = self._call("kv/txn", {"compare": [*when], "success": [*ops], "failure": [*otherwise]})
        found = [
            [KeyValue.of(each) for each in response.get("response_range", {}).get("kvs", ())]
            for response in answer.get("responses", ())
        ]
        return Outcome(answer.get("succeeded", False), int(answer["header"]["revision"]), found)

    def page(self, start: bytes, end: bytes, *, limit: int, revision: int = 0) -> tuple[Sequence[KeyValue], int]:
        """The first keys from `start` to before `end`, as of the revision, or 0: as of now. Returns the revision too.

        Raises Compacted when the revision is no longer kept.
        """
        question = {
            "key": as_base64(start),
            "range_end": as_base64(end),
            "limit": str(limit),
            "revision": str(revision),
        }
        answer = self._call("kv/range", question)
        return [KeyValue.of(each) for each in answer.get("kvs", ())], revision or int(answer["header"]["revision"])

    def grant(self, seconds: int) -> int:
        """Grants a lease. Returns its id."""
        return int(self._call("lease/grant", {"TTL": str(seconds)})["ID"])

    def keep_alive(self, lease: int, *, within: float) -> None:
        """Renews the lease within these seconds. Raises LeaseGone."""
        if int(self._call("lease/keepalive", {"ID": str(lease)}, within=within)["result"].get("TTL", 0)) <= 0:
            raise LeaseGone

    def await_deletion(self, key: bytes, revision: int) -> None:
        """Waits until the key is deleted, by a watch from the revision on. Returns also after some seconds without.

        It returns when the watch breaks off too: the caller then looks for itself, and so finds a member that answers.

        It only reads, unlike `lock/lock` of etcd: that deletes the waiter's key when the connection breaks. A member
        which was frozen meanwhile would do so later, when the waiter holds the lock.
        """
        endpoint = self._settings.endpoints[self._first]
        watch = {"key": as_base64(key), "start_revision": str(revision), "filters": ["NOPUT"]}
        try:
            self._ask(endpoint, "watch", {"create_request": watch}, self._settings.timeout, waits=True)
        except TimedOut:
            return
        except Silent as silent:
            _log.debug("watch: %s: %s", endpoint, silent)
            time.sleep(_PAUSE_SECONDS)

    def _call(self, path: str, question: Mapping[str, object], *, within: float | None = None) -> Any:  # noqa: ANN401 - JSON
        """Returns the first answer. Raises Compacted and LeaseGone."""
        seconds = within or self._settings.timeout
        deadline = time.monotonic() + seconds
        pause = _PAUSE_SECONDS
        endpoints = self._settings.endpoints
        count = len(endpoints)
        of_each = max(seconds / count, _SHORTEST_TIMEOUT)
        while True:
            is_usable = False
            for index in [(self._first + turn) % count for turn in range(count)]:
                try:
                    answer = self._ask(endpoints[index], path, question, of_each)
                except Silent as silent:
                    is_usable = is_usable or not isinstance(silent, Unusable)
                    last, reason = silent, f"{endpoints[index]}: {silent}"
                    _log.debug("%s: %s", path, reason)
                else:
                    self._first = index
                    return answer
                if time.monotonic() > deadline:
                    break
            if not is_usable and pause > _PAUSE_SECONDS:  # twice: a member that ends breaks off handshakes too
                raise StoreUnavailable(f"etcd cannot be used: {reason}")
            left = deadline - time.monotonic()
            if left <= 0:
                raise StoreUnavailable(f"etcd does not answer within {seconds:g} s: {reason}") from last
            time.sleep(min(left, random.uniform(pause / 2, pause)))  # noqa: S311 - no secret
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _ask(
        self, endpoint: str, path: str, question: Mapping[str, object], seconds: float, *, waits: bool = False
    ) -> Any:  # noqa: ANN401 - JSON
        """Asks one endpoint, as the user. Raises Silent."""
        try:
            token = self._token or self._authenticate(endpoint, seconds)
            return self._gateway.post(endpoint, path, question, seconds, waits=waits, token=token)
        except NotAuthenticated as error:
            if self._settings.user is None:
                reason = f"etcd refuses: {error}: it has users: configure user and password_file"
                raise StoreUnavailable(reason) from error
            token = self._authenticate(endpoint, seconds)
            return self._gateway.post(endpoint, path, question, seconds, waits=waits, token=token)

    def _authenticate(self, endpoint: str, seconds: float) -> str | None:
        """Returns a new token of the user; None where no user is configured."""
        if self._settings.user is None:
            return None
        file = self._settings.password_file
        try:
            password = file.read_text().split("\n", 1)[0] if file else ""
        except OSError as error:
            raise StoreUnavailable(f"{file}: the password for etcd cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise StoreUnavailable(f"{file}: the password for etcd is no UTF-8") from error
        question = {"name": self._settings.user, "password": password}
        answer = self._gateway.post(endpoint, "auth/authenticate", question, seconds)
        token: str = answer["token"]
        self._token = token
        return token
