"""The JSON gateway of etcd's members: one request to one endpoint, and the meaning of its answer."""

import json
import os
import threading
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from lading.adapters.codec.text import to_json
from lading.adapters.etcd.settings import EtcdSettings
from lading.ports.failures import StoreUnavailable

if TYPE_CHECKING:
    from ssl import SSLContext

    from urllib3 import BaseHTTPResponse, PoolManager
    from urllib3.exceptions import HTTPError, SSLError

__all__ = ["Compacted", "Gateway", "LeaseGone", "NotAuthenticated", "Silent", "TimedOut", "Unusable"]

_NO_TOKEN: Final = ("invalid auth token", "user name is empty", "revision of auth store is old")
"""Messages of a server to which the client must authenticate first, or again."""
_FINAL: Final = ("space exceeded", "larger than max")
"""Messages of a server which will not do it later either."""
_INVALID_ARGUMENT, _NOT_FOUND, _PERMISSION_DENIED, _FAILED_PRECONDITION, _OUT_OF_RANGE = 3, 5, 7, 9, 11
"""Codes of gRPC."""
_WAIT_SECONDS: Final = 15.0
"""The longest wait for an event. Then the caller looks for itself: the endpoint may be frozen."""


class Compacted(Exception):
    """The revision is no longer kept."""


class LeaseGone(Exception):
    """The lease has expired, or was revoked."""


class Silent(Exception):
    """The endpoint did not answer, or cannot do it now. Another one may."""


class TimedOut(Silent):
    """The endpoint did not answer in time."""


class Unusable(Silent):
    """The endpoint cannot be used as it is configured. To try it again does not help."""


class NotAuthenticated(Silent):
    """The token is missing, or is no longer valid."""


class Gateway:
    """Requests to the members of a cluster. Share it between threads.

    Uses the package urllib3, imported with the first request. Each thread has connections of its own, without a lock:
    an interrupt could leave it locked.
    """

    def __init__(self, settings: EtcdSettings) -> None:
        self._settings = settings
        self._own = threading.local()
        """Its `pool`: the process that made a thread's connections, and these."""

    def post(
        self,
        endpoint: str,
        path: str,
        question: Mapping[str, object],
        seconds: float,
        *,
        waits: bool = False,
        token: str | None = None,
    ) -> Any:  # noqa: ANN401 - JSON
        pool = self._thread_pool()
        from urllib3 import Timeout  # noqa: PLC0415 - see the class
        from urllib3.exceptions import HTTPError, NewConnectionError, SSLError, TimeoutError  # noqa: A004, PLC0415 - see the class

        url = f"{endpoint.rstrip('/')}/v3/{path}"
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
            raise Unusable(_tls_reason(error, self._settings)) from error
        except NewConnectionError as error:  # a TimeoutError of urllib3
            raise Silent(_reason(error)) from error
        except TimeoutError as error:
            raise TimedOut("no answer") from error
        except HTTPError as error:
            raise Silent(_reason(error)) from error
        except ValueError as error:
            raise _no_json(answer.status, b"" if waits else answer.data) from error
        except BaseException as error:
            if not isinstance(error, Exception):
                self._own.pool = None  # see the class
            raise
        if answer.status != HTTPStatus.OK or "error" in data:
            raise _failure(data, is_user=token is not None)
        return data

    def _thread_pool(self) -> "PoolManager":
        """The connections of this thread in this process: a forked child must not use its parent's."""
        process = os.getpid()
        known: tuple[int, PoolManager] | None = getattr(self._own, "pool", None)
        if known is None or known[0] != process:
            known = self._own.pool = process, _pool(self._settings)
        return known[1]


def _pool(settings: EtcdSettings) -> "PoolManager":
    """Connections to all endpoints. They use no proxy: its variables are for images."""
    try:
        from urllib3 import PoolManager  # noqa: PLC0415 - see Cluster

        from lading.adapters.stream.connection_pools import POOLS  # noqa: PLC0415 - see Cluster
    except ModuleNotFoundError as error:
        raise StoreUnavailable("urllib3 is not installed: pip install 'lading[etcd]'") from error
    # To read the system's certificates takes 20 ms of processor time.
    uses_tls = any(each.lower().startswith("https:") for each in settings.endpoints)
    manager = PoolManager(retries=False, ssl_context=_tls(settings) if uses_tls else None)
    manager.pool_classes_by_scheme = POOLS
    return manager


def _event(answer: "BaseHTTPResponse") -> Any:  # noqa: ANN401 - JSON
    """The first message of a watch, behind the one that says that it has begun."""
    try:
        for line in answer:
            data = json.loads(line)
            result = data.get("result", {})
            if not result.get("created") or result.get("canceled"):
                return data
        raise Silent("the watch ended")
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


def _no_json(status: int, data: bytes) -> Silent:
    """The reason of an answer which the JSON gateway did not make."""
    if b"CommonName" in data:
        return Unusable("where it has users, a client certificate must not have a common name (CN)")
    if status == HTTPStatus.NOT_FOUND:
        return Unusable("it has no JSON gateway: start etcd with --enable-grpc-gateway")
    kind = Silent if status >= HTTPStatus.INTERNAL_SERVER_ERROR else Unusable
    return kind(f"its answer is no JSON: HTTP {status}")


def _failure(answer: object, *, is_user: bool) -> Exception:
    """The outcome that the error in an answer means."""
    known = answer if isinstance(answer, dict) else {}
    reason = str(known.get("message") or known.get("error") or answer)
    reason = reason.removeprefix("etcdserver: ").removeprefix("mvcc: ")
    code = known.get("code")
    if any(each in reason for each in _NO_TOKEN) or (code == _PERMISSION_DENIED and not is_user):
        return NotAuthenticated(reason)
    if code == _OUT_OF_RANGE:
        return Compacted(reason)
    if code == _NOT_FOUND:
        return LeaseGone(reason)
    if code in {_INVALID_ARGUMENT, _PERMISSION_DENIED, _FAILED_PRECONDITION} or any(each in reason for each in _FINAL):
        return StoreUnavailable(f"etcd refuses: {reason}")
    return Silent(reason)
