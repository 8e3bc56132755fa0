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
    from ssl import SSLContext

    from urllib3 import BaseHTTPResponse, PoolManager
    from urllib3.exceptions import HTTPError, SSLError

__all__ = [
    "Cluster", "Compacted", "KeyValue", "LeaseGone", "Op", "Outcome", "created_at", "delete", "get", "is_away",
    "modified_at", "newest_before", "prefix_end", "put",
]  # fmt: skip

_log = logging.getLogger(__name__)
Op = Mapping[str, Any]
"""An operation or a comparison of a transaction, as etcd's JSON gateway takes it."""
_NO_TOKEN: Final = ("invalid auth token", "user name is empty", "revision of auth store is old")
"""Messages of a server to which the client must authenticate first, or again."""
_FINAL: Final = ("space exceeded", "larger than max")
"""Messages of a server which will not do it later either."""
_INVALID_ARGUMENT, _NOT_FOUND, _PERMISSION_DENIED, _FAILED_PRECONDITION, _OUT_OF_RANGE = 3, 5, 7, 9, 11
"""Codes of gRPC."""
_CONNECTIONS: Final = 32
"""Connections to one endpoint that are kept for the next call."""
_SHORTEST_TIMEOUT: Final = 1.0
"""Seconds for one endpoint, also where there are many."""
_PAUSE_SECONDS: Final = 0.1
"""The first wait when no endpoint answered. It doubles."""
_LONGEST_PAUSE: Final = 1.0
_WAIT_SECONDS: Final = 15.0
"""The longest wait for an event. Then the caller looks for itself: the endpoint may be frozen."""


class Compacted(Exception):
    """The revision is no longer kept."""


class LeaseGone(Exception):
    """The lease has expired, or was revoked."""


class _Silent(Exception):
    """The endpoint did not answer, or cannot do it now. Another one may."""


class _TimedOut(_Silent):
    """The endpoint did not answer in time."""


class _Unusable(_Silent):
    """The endpoint cannot be used as it is configured. To try it again does not help."""


class _NotAuthenticated(_Silent):
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


def newest_before(key: bytes, end: bytes, revision: int) -> Op:
    """Gets the key that was created last before the revision, of all keys from `key` to before `end`."""
    return {
        "request_range": {
            "key": _text(key), "range_end": _text(end), "max_create_revision": str(revision - 1),
            "sort_target": "CREATE", "sort_order": "DESCEND", "limit": "1",
        }
    }  # fmt: skip


def put(key: bytes, value: bytes, lease: int | None = None) -> Op:
    """Sets the key. With a lease, it is deleted when that expires."""
    return {"request_put": {"key": _text(key), "value": _text(value), **({"lease": str(lease)} if lease else {})}}


def delete(key: bytes) -> Op:
    """Deletes the key."""
    return {"request_delete_range": {"key": _text(key)}}


class Cluster:
    """An etcd cluster of version 3.4 or later, by its JSON gateway. All methods raise StoreUnavailable.

    Share it between threads.

    Each call is given to the endpoints in turn until one answers or the time is over: first to the one that answered
    last. A change whose answer did not come may have been made: callers make only changes that may be repeated.

    Leases and watches are etcd's own services. Uses the package urllib3, imported with the first call.
    """

    def __init__(self, settings: EtcdSettings) -> None:
        self._settings = settings
        # Not the same one on all hosts, which have the same settings.
        self._first = random.randrange(len(settings.endpoints))  # noqa: S311 - no secret
        """The endpoint that is called first."""
        self._pool: tuple[int, PoolManager] | None = None
        """The process that made the connections, and these."""
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
        question = {"key": _text(start), "range_end": _text(end), "limit": str(limit), "revision": str(revision)}
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
        watch = {"key": _text(key), "start_revision": str(revision), "filters": ["NOPUT"]}
        try:
            self._ask(self._first, "watch", {"create_request": watch}, self._settings.timeout, waits=True)
        except _TimedOut:
            return
        except _Silent as silent:
            _log.debug("watch: %s: %s", self._settings.endpoints[self._first], silent)
            time.sleep(_PAUSE_SECONDS)

    def _call(self, path: str, question: Mapping[str, object], *, within: float | None = None) -> Any:  # noqa: ANN401 - JSON
        """Returns the first answer. Raises Compacted and LeaseGone."""
        seconds = within or self._settings.timeout
        deadline = time.monotonic() + seconds
        pause = _PAUSE_SECONDS
        count = len(self._settings.endpoints)
        of_each = max(seconds / count, _SHORTEST_TIMEOUT)
        while True:
            is_usable = False
            for index in [(self._first + turn) % count for turn in range(count)]:
                try:
                    answer = self._ask(index, path, question, of_each)
                except _Silent as silent:
                    is_usable = is_usable or not isinstance(silent, _Unusable)
                    last, reason = silent, f"{self._settings.endpoints[index]}: {silent}"
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
        self, index: int, path: str, question: Mapping[str, object], seconds: float, *, waits: bool = False
    ) -> Any:  # noqa: ANN401 - JSON
        """Asks one endpoint, as the user. Raises _Silent."""
        try:
            token = self._token or self._authenticate(index, seconds)
            return self._post(index, path, question, seconds, waits=waits, token=token)
        except _NotAuthenticated as error:
            if self._settings.user is None:
                reason = f"etcd refuses: {error}: it has users: configure user and password_file"
                raise StoreUnavailable(reason) from error
            token = self._authenticate(index, seconds)
            return self._post(index, path, question, seconds, waits=waits, token=token)

    def _authenticate(self, index: int, seconds: float) -> str | None:
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
        answer = self._post(index, "auth/authenticate", {"name": self._settings.user, "password": password}, seconds)
        token: str = answer["token"]
        self._token = token
        return token

    def _post(
        self,
        index: int,
        path: str,
        question: Mapping[str, object],
        seconds: float,
        *,
        waits: bool = False,
        token: str | None = None,
    ) -> Any:  # noqa: ANN401 - JSON
        pool = self._process_pool()
        from urllib3 import Timeout  # noqa: PLC0415 - see the class
        from urllib3.exceptions import HTTPError, NewConnectionError, SSLError, TimeoutError  # noqa: A004, PLC0415 - see the class

        url = f"{self._settings.endpoints[index].rstrip('/')}/v3/{path}"
        headers = {"Content-Type": "application/json", **({"Authorization": token} if token else {})}
        if waits:
            headers["Grpc-Metadata-hasleader"] = "true"  # a member that lost the others ends the watch
        try:
            answer = pool.request(
                "POST", url, body=to_json(question), headers=headers, preload_content=not waits,
                timeout=Timeout(connect=seconds, read=_WAIT_SECONDS if waits else seconds),
            )  # fmt: skip
            data = _event(answer) if waits else json.loads(answer.data)
        except SSLError as error:
            raise _Unusable(_tls_reason(error, self._settings)) from error
        except NewConnectionError as error:  # a TimeoutError of urllib3
            raise _Silent(_reason(error)) from error
        except TimeoutError as error:
            raise _TimedOut("no answer") from error
        except HTTPError as error:
            raise _Silent(_reason(error)) from error
        except ValueError as error:
            raise _no_json(answer.status, b"" if waits else answer.data) from error
        if answer.status != HTTPStatus.OK or "error" in data:
            raise _failure(data, is_user=token is not None)
        return data

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
    # To read the system's certificates takes 20 ms of processor time.
    uses_tls = any(each.lower().startswith("https:") for each in settings.endpoints)
    return PoolManager(maxsize=_CONNECTIONS, retries=False, ssl_context=_tls(settings) if uses_tls else None)


def _event(answer: "BaseHTTPResponse") -> Any:  # noqa: ANN401 - JSON
    """The first message of a watch, behind the one that says that it has begun."""
    try:
        for line in answer:
            data = json.loads(line)
            result = data.get("result", {})
            if not result.get("created") or result.get("canceled"):
                return data
        raise _Silent("the watch ended")
    finally:
        answer.close()


def _tls(settings: EtcdSettings) -> "SSLContext":
    import ssl  # noqa: PLC0415 - it takes ten milliseconds to import

    expected = f"{settings.ca_file}: expected certificates, as PEM"
    try:
        for each in (settings.ca_file, settings.cert_file, settings.key_file):
            if each is not None:
                each.open("rb").close()
        tls = ssl.create_default_context(cafile=settings.ca_file)
        if settings.cert_file is not None:
            expected = (
                f"{settings.cert_file} and {settings.key_file}: expected a certificate and its key, not encrypted"
            )
            tls.load_cert_chain(settings.cert_file, settings.key_file, password="")  # without, it would prompt for one
    except ssl.SSLError as error:
        raise StoreUnavailable(expected) from error
    except OSError as error:
        raise StoreUnavailable(f"{error.filename}: it cannot be read: {error.strerror}") from error
    return tls


def _reason(error: "HTTPError") -> str:
    """The reason of a failed connection, without the words about the pool."""
    cause = error.__cause__ or error.__context__ or error
    return getattr(cause, "strerror", None) or (
        cause.args[0] if len(cause.args) == 1 else "it broke off the connection"
    )


def _tls_reason(error: "SSLError", settings: EtcdSettings) -> str:
    if known := getattr(error.__context__, "verify_message", None):
        return f"its certificate is not trusted: {known.rstrip('.')}"
    if settings.cert_file is None:
        return "it ends TLS: it may require a client certificate (cert_file, key_file), or use no TLS"
    return f"it ends TLS: it may not trust the certificate {settings.cert_file}, or use no TLS"


def _no_json(status: int, data: bytes) -> _Silent:
    """The reason of an answer which the JSON gateway did not make."""
    if b"CommonName" in data:
        return _Unusable("where it has users, a client certificate must not have a common name (CN)")
    if status == HTTPStatus.NOT_FOUND:
        return _Unusable("it has no JSON gateway: start etcd with --enable-grpc-gateway")
    kind = _Silent if status >= HTTPStatus.INTERNAL_SERVER_ERROR else _Unusable
    return kind(f"its answer is no JSON: HTTP {status}")


def _failure(answer: object, *, is_user: bool) -> Exception:
    """The outcome that the error in an answer means."""
    known = answer if isinstance(answer, dict) else {}
    reason = str(known.get("message") or known.get("error") or answer)
    reason = reason.removeprefix("etcdserver: ").removeprefix("mvcc: ")
    code = known.get("code")
    if any(each in reason for each in _NO_TOKEN) or (code == _PERMISSION_DENIED and not is_user):
        return _NotAuthenticated(reason)
    if code == _OUT_OF_RANGE:
        return Compacted(reason)
    if code == _NOT_FOUND:
        return LeaseGone(reason)
    if code in {_INVALID_ARGUMENT, _PERMISSION_DENIED, _FAILED_PRECONDITION} or any(each in reason for each in _FINAL):
        return StoreUnavailable(f"etcd refuses: {reason}")
    return _Silent(reason)
