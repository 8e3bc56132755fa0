"""A client of Cinder's API. https://docs.openstack.org/api-ref/block-storage/v3/

It sees the credentials' own project; other projects too with the credentials of an administrator or a service.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self
from urllib.parse import quote, urlencode

from lading.adapters.openstack.cloud import vendor_errors
from lading.adapters.stream.errors import Refused
from lading.domain.refusals import Forbidden, Refusal, TargetFailed, TargetFull, Unavailable, Unconfigured
from lading.ports.failures import CatalogUnavailable, SettingsError

if TYPE_CHECKING:
    from keystoneauth1.adapter import Adapter

__all__ = ["GIBIBYTE", "Attachment", "Busy", "Cinder", "Volume", "cinder_errors", "logged_failures"]

_log = logging.getLogger(__name__)
GIBIBYTE: Final = 1 << 30
_VERSION: Final = {"OpenStack-API-Version": "volume 3.54"}
"""The first microversion that accepts the mode of an attachment (Rocky)."""
_FIRST_WAIT: Final = 0.1
_LONGEST_WAIT: Final = 2.0
"""Seconds between two requests for a state."""
_TRANSIENT: Final = frozenset(
    {
        "attaching", "backing-up", "creating", "detaching", "downloading", "extending", "maintenance", "reserved",
        "restoring-backup", "retyping", "uploading",
    }
)  # fmt: skip
"""States that a volume leaves by itself."""
_WRONG_STATE: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT})
"""The answers when the volume's state does not allow the request."""


class Busy(Exception):
    """The volume's state does not allow to attach it now."""


class Attachment(NamedTuple):
    """An attachment of a volume."""

    id: str
    device: str
    """The device name that the client has set: lading's mark, for example."""
    host: str | None
    """None where the credentials may not see it."""
    server: str | None

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        return cls(
            str(document["attachment_id"]),
            str(document.get("device") or ""),
            document.get("host_name") or None,
            document.get("server_id") or None,
        )

    def __str__(self) -> str:
        if self.server:
            return f"server {self.server}"
        if self.device.startswith("lading "):
            return f"lading on {self.device.split()[1]}"
        return f"host {self.host}" if self.host else f"attachment {self.id}"


class Volume(NamedTuple):
    """A volume as Cinder shows it."""

    id: str
    name: str
    status: str
    size: int
    """GiB."""
    is_shareable: bool
    """True when it can be attached several times."""
    is_encrypted: bool
    metadata: Mapping[str, str]
    attachments: tuple[Attachment, ...]
    """The complete attachments."""

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        return cls(
            str(document["id"]),
            str(document.get("name") or ""),
            str(document["status"]),
            int(document["size"]),
            bool(document.get("multiattach")),
            bool(document.get("encrypted")),
            {str(key): str(value) for key, value in (document.get("metadata") or {}).items()},
            tuple(map(Attachment.of, document.get("attachments") or ())),
        )

    @property
    def state_text(self) -> str:
        """The status and the attachments, for messages."""
        by = " and ".join(map(str, self.attachments))
        return f"{self.status}, attached to {by}" if by else self.status


class Cinder:
    """A Cinder. It connects with the first request. All methods raise Refused."""

    def __init__(self, connect: Callable[[], "Adapter"], timeout: float) -> None:
        """`timeout`: seconds to wait for an answer, or for a volume's state."""
        self.timeout = timeout
        self._connect = connect
        self._lock = threading.Lock()
        self._adapter: Adapter | None = None

    # Volumes

    def volume(self, volume_id: str) -> Volume | None:
        """The volume; None when there is none, or none for these credentials."""
        answer = self._request("GET", f"/volumes/{quote(volume_id, safe='')}", absent=True)
        return None if answer is None else _volume(answer)

    def named(self, name: str) -> list[Volume]:
        """The project's volumes of that name. Cinder allows several."""
        return [each for each in self._list({"name": name}) if each.name == name]

    def marked(self, **metadata: str) -> list[Volume]:
        """The project's volumes with these metadata."""
        return list(self._list({"metadata": json.dumps(metadata)}))

    def clone(self, source: Volume, name: str, size: int, metadata: Mapping[str, str]) -> Volume:
        """Clones a volume to a new one of `size` GiB, copy-on-write where the backend can.

        The new volume is not complete when this returns: see `settled`.
        """
        described = {"name": name, "size": size, "source_volid": source.id, "metadata": metadata}
        return _volume(self._request("POST", "/volumes", {"volume": described}))

    def change(self, volume: Volume, *, name: str | None = None, **metadata: str) -> Volume:
        """Renames the volume, and adds metadata."""
        changed: dict[str, object] = {"metadata": {**volume.metadata, **metadata}}
        if name is not None:
            changed["name"] = name
        return _volume(self._request("PUT", f"/volumes/{volume.id}", {"volume": changed}))

    def settled(self, volume: Volume, *, within: float | None = None) -> Volume:
        """Waits until the volume leaves a transient state. Returns it as it is then."""
        within = min(within or self.timeout, self.timeout)
        for seconds in _waits(within):
            if volume.status not in _TRANSIENT:
                return volume
            time.sleep(seconds)
            volume = self.known(volume.id)
        raise Refused(Unavailable(f"volume {volume.id} is still {volume.status} after {within:g} s"))

    def known(self, volume_id: str) -> Volume:
        """The volume, which must exist."""
        found = self.volume(volume_id)
        if found is None:
            raise Refused(Unavailable(f"there is no volume {volume_id}, or not for these credentials"))
        return found

    def delete(self, volume: Volume) -> None:
        """Deletes the volume. Returns when it is gone."""
        volume_id, is_requested = volume.id, False
        for seconds in _waits(self.timeout):
            found = self.volume(volume_id)
            if found is None:
                return
            if found.status not in {"deleting", *_TRANSIENT}:
                if is_requested:
                    raise Refused(TargetFailed(f"volume {volume_id} cannot be deleted: it is {found.state_text}"))
                self._request("DELETE", f"/volumes/{volume_id}", absent=True, refused=_WRONG_STATE)
                is_requested = True
            time.sleep(seconds)
        raise Refused(TargetFailed(f"volume {volume_id} is not gone after {self.timeout:g} s"))

    # Attachments

    def reserve(self, volume_id: str, mode: str) -> str:
        """Makes an attachment without a connection, and returns its id. Raises Busy."""
        described = {"attachment": {"volume_uuid": volume_id, "mode": mode}}
        answer = self._request("POST", "/attachments", described, refused=_WRONG_STATE)
        if answer is None:
            raise Busy
        with _malformed_answers():
            return str(answer["attachment"]["id"])

    def connect(self, attachment_id: str, connector: Mapping[str, object]) -> Mapping[str, Any]:
        """Allows this host to connect. Returns the connection info."""
        answer = self._request("PUT", f"/attachments/{attachment_id}", {"attachment": {"connector": connector}})
        with _malformed_answers():
            return dict(answer["attachment"]["connection_info"])

    def connection(self, attachment_id: str) -> Mapping[str, Any] | None:
        """The connection info of an attachment; None when there is no such attachment."""
        answer = self._request("GET", f"/attachments/{attachment_id}", absent=True)
        with _malformed_answers():
            return None if answer is None else dict(answer["attachment"]["connection_info"] or {})

    def complete(self, attachment_id: str) -> None:
        """Marks the attachment as connected."""
        self._request("POST", f"/attachments/{attachment_id}/action", {"os-complete": None})

    def release(self, attachment_id: str) -> None:
        """Deletes the attachment. A missing one is a success."""
        self._request("DELETE", f"/attachments/{attachment_id}", absent=True)

    def attachments(self, volume_id: str) -> list[tuple[str, str | None]]:
        """All attachments of a volume, incomplete ones too: the ids, and the servers, if they are of one."""
        query = urlencode({"volume_id": volume_id, "all_tenants": 1})
        answer = self._request("GET", f"/attachments?{query}")
        with _malformed_answers():
            return [(str(each["id"]), each.get("instance") or None) for each in answer["attachments"]]

    def address(self) -> tuple[str, int]:
        """The host and the port of the endpoint."""
        from urllib.parse import urlsplit  # noqa: PLC0415 - needed for attachments only

        client = self._client()
        with vendor_errors("Cinder cannot be found", client):
            parts = urlsplit(client.get_endpoint() or "")
        return parts.hostname or "localhost", parts.port or (443 if parts.scheme == "https" else 80)

    def _list(self, filters: Mapping[str, str]) -> Iterator[Volume]:
        marker: dict[str, str] = {}
        while True:
            page = self._request("GET", f"/volumes/detail?{urlencode({**filters, **marker})}")
            with _malformed_answers():
                found = [Volume.of(each) for each in page["volumes"]]
            yield from found
            if not found or not page.get("volumes_links"):
                return
            marker = {"marker": found[-1].id}

    def _client(self) -> "Adapter":
        with self._lock:
            if self._adapter is None:
                try:
                    self._adapter = self._connect()
                except (CatalogUnavailable, SettingsError) as failure:
                    raise Refused(
                        Unconfigured(str(failure), advice="[handlers.cinder] cloud names one of clouds.yaml")
                    ) from None
                session = self._adapter.session
                session.timeout = session.timeout or self.timeout
            return self._adapter

    def _request(
        self, method: str, path: str, body: object = None, *, absent: bool = False, refused: Collection[int] = ()
    ) -> Any:  # noqa: ANN401 - JSON
        """The answer. None for the statuses in `refused`, and with `absent` for HTTP 404."""
        client = self._client()
        with vendor_errors("Cinder cannot be reached", client):
            answer = client.request(
                path, method, json=body, headers=dict(_VERSION), raise_exc=False, timeout=self.timeout, redirect=False
            )
        status = answer.status_code
        if (absent and status == HTTPStatus.NOT_FOUND) or status in refused:
            return None
        if status >= HTTPStatus.MULTIPLE_CHOICES:
            _log.info("Cinder answers %s %s with HTTP %s: %s", method, path, status, answer.text[:500])
            raise Refused(_refusal(method, path, status))
        if not answer.content:
            return {}
        try:
            return answer.json()
        except ValueError:
            raise Refused(Unavailable(f"Cinder's answer to {path} is not JSON: is it a Cinder?")) from None


def _waits(timeout: float) -> Iterator[float]:
    """The seconds of each wait, until the time is over."""
    give_up, seconds = time.monotonic() + timeout, _FIRST_WAIT
    while (left := give_up - time.monotonic()) > 0:
        yield min(seconds, left)
        seconds = min(seconds * 1.3, _LONGEST_WAIT)


def _volume(answer: Mapping[str, Any]) -> Volume:
    with _malformed_answers():
        return Volume.of(answer["volume"])


@contextmanager
def _malformed_answers() -> Iterator[None]:
    """Raises Refused where an answer lacks what the block reads in it."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Refused(Unavailable("Cinder's answer is malformed: is it a Cinder?")) from None


def _refusal(method: str, path: str, status: int) -> Refusal:
    answer = f"Cinder answers {method} {path.partition('?')[0]} with HTTP {status}"
    match status:
        case HTTPStatus.UNAUTHORIZED:
            return Forbidden(f"{answer}: it does not accept the credentials")
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return TargetFull(f"{answer}: the project's quota has no room for another volume of that size")
        case HTTPStatus.FORBIDDEN:
            return Forbidden(f"{answer}: these credentials may not do that")
    return Unavailable(answer)


@contextmanager
def cinder_errors() -> Iterator[None]:
    """Raises Refused where Cinder cannot be reached in the block."""
    try:
        yield
    except CatalogUnavailable as failure:
        raise Refused(Unavailable(str(failure))) from failure


@contextmanager
def logged_failures(what: str) -> Iterator[None]:
    """Logs failures of the block as warnings. The block is a cleanup, and the error before it counts."""
    try:
        yield
    except (Refused, Busy, CatalogUnavailable) as reason:
        _log.warning("%s: %s", what, reason)
