"""Calls to an etcd cluster: over all its endpoints, in bounded time."""

import json
import logging
import os
import random
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from lading.adapters.codec.text import to_json
from lading.adapters.etcd.settings import EtcdSettings
from lading.ports.failures import StoreUnavailable

if TYPE_CHECKING:
    from urllib3 import PoolManager, Timeout
    from urllib3.exceptions import HTTPError

__all__ = [
    "Cluster", "Compacted", "KeyValue", "LeaseGone", "Op", "Outcome", "created_at", "delete", "get", "is_away",
    "modified_at", "prefix_end", "put",
]  # fmt: skip

_log = logging.getLogger(__name__)
Op = Mapping[str, Any]
"""An operation or a comparison of a transaction, as etcd's JSON gateway takes it."""
_NO_TOKEN: Final = ("invalid auth token", "user name is empty", "revision of auth store is old")
"""Messages of a server to which the client must authenticate first, or again."""
_CONNECTIONS: Final = 32
"""Connections to one endpoint that are kept for the next call."""
_SHORTEST_TIMEOUT: Final = 1.0
"""Seconds for one endpoint, also where there are many."""
_PAUSE_SECONDS: Final = 0.1
"""The first wait when no endpoint answered. It doubles."""
_LONGEST_PAUSE: Final = 1.0
_WAIT_SECONDS: Final = 15.0
"""The longest wait for one answer at a lock. Then the next endpoint is asked: the first may be frozen."""


class Compacted(Exception):
    """The revision is no longer kept."""


class LeaseGone(Exception):
    """The lease has expired, or was revoked."""


class _Silent(Exception):
    """The endpoint did not answer, or cannot do it now. Another one may."""


class _TimedOut(_Silent):
    """The endpoint did not answer in time."""


class _NotAuthenticated(Exception):
    """The token is missing, or is no longer valid."""


class KeyValue(NamedTuple):
    """A key with its value."""

    key: bytes
    value: bytes
    created_at: int
    """The revision of its creation."""
    modified_at: int
    """The revision of its last change."""

    @classmethod
    def of(cls, found: Mapping[str, str]) -> "KeyValue":
        return cls(
            b64decode(found["key"]),
            b64decode(found.get("value", "")),
            int(found["create_revision"]),
            int(found["mod_revision"]),
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a transaction."""

    succeeded: bool
    """True when all comparisons were true."""
    revision: int
    """The revision of the transaction."""
    found: Sequence[Sequence[KeyValue]]
    """What each of its operations found, in order; nothing for a change."""


def _text(data: bytes) -> str:
    return b64encode(data).decode()


def prefix_end(prefix: bytes) -> bytes:
    r"""The first key behind all those with this prefix, which does not end in 0xff.

    >>> prefix_end(b"targets/")
    b'targets0'
    """
    return prefix[:-1] + bytes([prefix[-1] + 1])


def is_away(failure: StoreUnavailable) -> bool:
    """Tells whether no endpoint answered in time, or could do what was asked. A later call may succeed."""
    return isinstance(failure.__cause__, _Silent)


def created_at(key: bytes, revision: int) -> Op:
    """The comparison that the key was created at the revision; 0: that it does not exist."""
    return {"key": _text(key), "target": "CREATE", "result": "EQUAL", "create_revision": str(revision)}


def modified_at(key: bytes, revision: int) -> Op:
    """The comparison that the key was last changed at the revision; 0: that it does not exist."""
    return {"key": _text(key), "target": "MOD", "result": "EQUAL", "mod_revision": str(revision)}


def get(key: bytes, end: bytes | None = None, *, oldest: bool = False) -> Op:
    """Gets the key, or all keys from it to before `end`. `oldest`: only the one that was created first."""
    found: dict[str, Any] = {"key": _text(key)}
    if end is not None:
        found["range_end"] = _text(end)
    if oldest:
        found |= {"sort_target": "CREATE", "sort_order": "ASCEND", "limit": "1"}
    return {"request_range": found}


def put(key: bytes, value: bytes, lease: int | None = None) -> Op:
    """Sets the key. With a lease, it is deleted when that expires."""
    return {"request_put": {"key": _text(key), "value": _text(value), **({"lease": str(lease)} if lease else {})}}


def delete(key: bytes) -> Op:
    """Deletes the key."""
    return {"request_delete_range": {"key": _text(key)}}


class Cluster:
    """An etcd cluster of version 3.4 or later, by its JSON gateway. All methods raise StoreUnavailable.

    Share it between threads.

    Each call is given to the endpoints in turn, the one that answered last first, until one answers or the time is
    over. A change whose answer did not come may have been made: callers make only changes that may be repeated.

    Leases, watches and locks are etcd's own services. Uses the package urllib3, imported with the first call.
    """

    def __init__(self, settings: EtcdSettings) -> None:
        self._settings = settings
        self._first = 0
        """The endpoint that is called first."""
        self._pool: tuple[int, PoolManager] | None = None
        """The process that made the connections, and these."""
        self._token: str | None = None

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
        question = {"key": _text(start), "range_end": _text(end), "limit": str(limit), "revision": str(revision)}
        answer = self._call("kv/range", question)
        return [KeyValue.of(each) for each in answer.get("kvs", ())], revision or int(answer["header"]["revision"])

    def grant(self, seconds: int) -> int:
        """Grants a lease. Returns its id."""
        return int(self._call("lease/grant", {"TTL": str(seconds)})["ID"])

    def keep_alive(self, lease: int) -> None:
        """Renews the lease. Raises LeaseGone."""
        if int(self._call("lease/keepalive", {"ID": str(lease)})["result"].get("TTL", 0)) <= 0:
            raise LeaseGone

    def await_lock(self, name: bytes, lease: int) -> None:
        """Waits until no key of the lock is older than that of the lease, or for some seconds.

        The lock service of etcd waits for it, by a watch.
        """
        try:
            self._call("lock/lock", {"name": _text(name), "lease": str(lease)}, waits=True)
        except _TimedOut:
            return

    def _call(self, path: str, question: Mapping[str, object], *, waits: bool = False) -> Any:  # noqa: ANN401 - JSON
        """Returns the first answer. Raises Compacted, LeaseGone and, when it waits, _TimedOut."""
        deadline = time.monotonic() + self._settings.timeout
        pause = _PAUSE_SECONDS
        count = len(self._settings.endpoints)
        while True:
            for index in [(self._first + turn) % count for turn in range(count)]:
                try:
                    answer = self._ask(index, path, question, waits=waits)
                except _Silent as silent:
                    if waits and isinstance(silent, _TimedOut):
                        raise
                    last, reason = silent, f"{self._settings.endpoints[index]}: {silent}"
                    _log.debug("%s: %s", path, reason)
                else:
                    self._first = index
                    return answer
                if time.monotonic() > deadline:
                    break
            left = deadline - time.monotonic()
            if left <= 0:
                raise StoreUnavailable(f"etcd does not answer within {self._settings.timeout:g} s: {reason}") from last
            time.sleep(min(left, random.uniform(pause / 2, pause)))  # noqa: S311 - no secret
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _ask(self, index: int, path: str, question: Mapping[str, object], *, waits: bool) -> Any:  # noqa: ANN401 - JSON
        """Asks one endpoint, as the user. Raises _Silent."""
        if self._settings.user is None:
            return self._post(index, path, question, waits=waits)
        try:
            token = self._token or self._authenticate(index)
            return self._post(index, path, question, waits=waits, token=token)
        except _NotAuthenticated:
            token = self._authenticate(index)
            return self._post(index, path, question, waits=waits, token=token)

    def _authenticate(self, index: int) -> str:
        file = self._settings.password_file
        try:
            password = file.read_text().split("\n", 1)[0] if file else ""
        except (OSError, ValueError) as error:
            raise StoreUnavailable(f"{file}: the password cannot be read: {error}") from error
        answer = self._post(index, "auth/authenticate", {"name": self._settings.user, "password": password})
        token: str = answer["token"]
        self._token = token
        return token

    def _post(
        self, index: int, path: str, question: Mapping[str, object], *, waits: bool = False, token: str | None = None
    ) -> Any:  # noqa: ANN401 - JSON
        from urllib3.exceptions import HTTPError, TimeoutError  # noqa: A004, PLC0415 - see the class

        url = f"{self._settings.endpoints[index].rstrip('/')}/v3/{path}"
        headers = {"Content-Type": "application/json", **({"Authorization": token} if token else {})}
        try:
            answer = self._process_pool().request(
                "POST", url, body=to_json(question), headers=headers, timeout=self._timeout(waits=waits)
            )
            data = json.loads(answer.data)
        except TimeoutError as error:
            raise _TimedOut("no answer") from error
        except HTTPError as error:
            raise _Silent(_reason(error)) from error
        except ValueError as error:
            raise _Silent(f"its answer is no JSON: HTTP {answer.status}") from error
        if answer.status != HTTPStatus.OK:
            raise _failure(data)
        return data

    def _timeout(self, *, waits: bool) -> "Timeout":
        from urllib3 import Timeout  # noqa: PLC0415 - see the class

        seconds = max(self._settings.timeout / len(self._settings.endpoints), _SHORTEST_TIMEOUT)
        return Timeout(connect=seconds, read=_WAIT_SECONDS if waits else seconds)

    def _process_pool(self) -> "PoolManager":
        """The connections of this process: a forked child must not use its parent's."""
        process = os.getpid()
        if self._pool is None or self._pool[0] != process:
            self._pool = process, _pool(self._settings)
        return self._pool[1]


def _pool(settings: EtcdSettings) -> "PoolManager":
    """Connections to all endpoints. They use no proxy: its variables are for images."""
    try:
        from urllib3 import PoolManager  # noqa: PLC0415 - see Cluster
    except ModuleNotFoundError as error:
        raise StoreUnavailable("urllib3 is not installed: pip install 'lading[etcd]'") from error
    import ssl  # noqa: PLC0415 - it takes ten milliseconds to import

    try:
        tls = ssl.create_default_context(cafile=settings.ca_file)
        if settings.cert_file is not None:
            tls.load_cert_chain(settings.cert_file, settings.key_file)
    except (OSError, ValueError) as error:
        files = ", ".join(str(each) for each in (settings.ca_file, settings.cert_file, settings.key_file) if each)
        raise StoreUnavailable(f"the certificates for etcd cannot be used: {files}: {error}") from error
    return PoolManager(maxsize=_CONNECTIONS, retries=False, ssl_context=tls)


def _reason(error: "HTTPError") -> str:
    """The reason of a failed connection, without the words about the pool."""
    inner = getattr(error, "reason", None) or error.__cause__ or error
    return getattr(inner, "strerror", None) or str(inner).rpartition(": ")[2]


def _failure(answer: object) -> Exception:
    """The outcome that the error in an answer means."""
    known = answer if isinstance(answer, dict) else {}
    reason = str(known.get("message") or known.get("error") or answer).removeprefix("etcdserver: ")
    if any(each in reason for each in _NO_TOKEN):
        return _NotAuthenticated(reason)
    match known.get("code"):  # gRPC's
        case 11:
            return Compacted(reason)
        case 5:
            return LeaseGone(reason)
        case 3 | 7:
            return StoreUnavailable(f"etcd refuses: {reason}")
    return _Silent(reason)
