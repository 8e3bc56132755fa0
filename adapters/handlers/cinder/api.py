"""Cinder's API, as far as it is needed here. https://docs.openstack.org/api-ref/block-storage/v3/

Of the credentials' own project, and of others where they are an administrator's or a service's.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self, TypeVar
from urllib.parse import quote, urlencode

from lading.adapters.openstack.cloud import vendor_errors
from lading.adapters.stream.errors import Refused
from lading.domain.refusals import Refusal, TargetFailed, Unavailable, Unconfigured
from lading.ports.failures import CatalogUnavailable, SettingsError

if TYPE_CHECKING:
    from keystoneauth1.adapter import Adapter

__all__ = ["GIBIBYTE", "Attachment", "Busy", "Cinder", "Volume", "cinder_errors", "quietly"]

_log = logging.getLogger(__name__)
_Done = TypeVar("_Done")
GIBIBYTE: Final = 1 << 30
_VERSION: Final = {"OpenStack-API-Version": "volume 3.54"}
"""The first that takes the mode of an attachment (Rocky)."""
_FIRST_WAIT: Final = 0.1
_LONGEST_WAIT: Final = 2.0
"""Seconds between two looks at what is waited for."""
_PASSING: Final = frozenset(
    {
        "attaching", "backing-up", "creating", "detaching", "downloading", "extending", "maintenance", "reserved",
        "restoring-backup", "retyping", "uploading",
    }
)  # fmt: skip
"""States that a volume leaves by itself."""
_NOT_NOW: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT})
"""What it answers when the volume is not in a state for that."""


class Busy(Exception):
    """The volume cannot be attached as it is now."""


class Attachment(NamedTuple):
    """Who has a volume attached."""

    id: str
    device: str
    """What whoever attached it says that it is there: lading's mark, for example."""
    host: str | None
    """None where the credentials may not know."""
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
    """Whether it can be attached several times."""
    is_encrypted: bool
    metadata: Mapping[str, str]
    attachments: tuple[Attachment, ...]
    """Those that are complete."""

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
    def held(self) -> str:
        """Its status, and who has it attached, in words."""
        by = " and ".join(map(str, self.attachments))
        return f"{self.status}, attached to {by}" if by else self.status


class Cinder:
    """One Cinder. Asks when it is asked; raises Fault."""

    def __init__(self, connect: Callable[[], "Adapter"], timeout: float) -> None:
        """`timeout`, in seconds, is how long it waits for any one thing."""
        self.timeout = timeout
        self._connect = connect
        self._lock = threading.Lock()
        self._adapter: Adapter | None = None

    # Volumes

    def volume(self, volume_id: str) -> Volume | None:
        """None when there is none, or none for these credentials."""
        answer = self._ask("GET", f"/volumes/{quote(volume_id, safe='')}", absent=True)
        return None if answer is None else _volume(answer)

    def named(self, name: str) -> list[Volume]:
        """The project's volumes of that name: Cinder lets there be several."""
        return [each for each in self._list({"name": name}) if each.name == name]

    def marked(self, **metadata: str) -> list[Volume]:
        """The project's volumes with these metadata."""
        return list(self._list({"metadata": json.dumps(metadata)}))

    def clone(self, source: Volume, name: str, size: int, metadata: Mapping[str, str]) -> Volume:
        """A new volume with the bytes of another, `size` GiB large: shared with it where the backend can.

        It is being made when this returns.
        """
        asked = {"name": name, "size": size, "source_volid": source.id, "metadata": metadata}
        return _volume(self._ask("POST", "/volumes", {"volume": asked}))

    def change(self, volume: Volume, *, name: str | None = None, **metadata: str) -> Volume:
        """Give it another name, and these metadata beside its own."""
        changed: dict[str, object] = {"metadata": {**volume.metadata, **metadata}}
        if name is not None:
            changed["name"] = name
        return _volume(self._ask("PUT", f"/volumes/{volume.id}", {"volume": changed}))

    def settled(self, volume: Volume, *, within: float | None = None) -> Volume:
        """The volume when it has come to rest: it may still be on its way to what it shall be."""
        within = min(within or self.timeout, self.timeout)
        for seconds in _waits(within):
            if volume.status not in _PASSING:
                return volume
            time.sleep(seconds)
            volume = self.known(volume.id)
        raise Refused(Unavailable(f"volume {volume.id} is still {volume.status} after {within:g} s"))

    def known(self, volume_id: str) -> Volume:
        """A volume that must be there."""
        found = self.volume(volume_id)
        if found is None:
            raise Refused(Unavailable(f"there is no volume {volume_id}, or not for these credentials"))
        return found

    def delete(self, volume: Volume) -> None:
        """Returns when it is gone."""
        volume_id, asked = volume.id, False
        for seconds in _waits(self.timeout):
            found = self.volume(volume_id)
            if found is None:
                return
            if found.status not in {"deleting", *_PASSING}:
                if asked:
                    raise Refused(TargetFailed(f"volume {volume_id} cannot be deleted: it is {found.held}"))
                self._ask("DELETE", f"/volumes/{volume_id}", absent=True, refused=_NOT_NOW)
                asked = True
            time.sleep(seconds)
        raise Refused(TargetFailed(f"volume {volume_id} is not gone after {self.timeout:g} s"))

    # Attachments

    def reserve(self, volume_id: str, mode: str) -> str:
        """A new attachment that nobody is connected by yet: its id. Raises Busy."""
        asked = {"attachment": {"volume_uuid": volume_id, "mode": mode}}
        answer = self._ask("POST", "/attachments", asked, refused=_NOT_NOW)
        if answer is None:
            raise Busy
        return _sense(lambda: str(answer["attachment"]["id"]))

    def connect(self, attachment_id: str, connector: Mapping[str, object]) -> Mapping[str, Any]:
        """Let this host connect: what it needs to know for that."""
        answer = self._ask("PUT", f"/attachments/{attachment_id}", {"attachment": {"connector": connector}})
        return _sense(lambda: dict(answer["attachment"]["connection_info"]))

    def connection(self, attachment_id: str) -> Mapping[str, Any] | None:
        """What whoever has it attached needs to know to connect; None when there is no such attachment."""
        answer = self._ask("GET", f"/attachments/{attachment_id}", absent=True)
        return None if answer is None else _sense(lambda: dict(answer["attachment"]["connection_info"] or {}))

    def complete(self, attachment_id: str) -> None:
        """It is connected now."""
        self._ask("POST", f"/attachments/{attachment_id}/action", {"os-complete": None})

    def release(self, attachment_id: str) -> None:
        """It is an attachment no longer; that it is not already is no error."""
        self._ask("DELETE", f"/attachments/{attachment_id}", absent=True)

    def attachments(self, volume_id: str) -> list[tuple[str, str | None]]:
        """Those that are not complete too: their ids, and the server, if one has it attached."""
        query = urlencode({"volume_id": volume_id, "all_tenants": 1})
        answer = self._ask("GET", f"/attachments?{query}")
        return _sense(lambda: [(str(each["id"]), each.get("instance") or None) for each in answer["attachments"]])

    def address(self) -> tuple[str, int]:
        """The host and the port at which it is."""
        from urllib.parse import urlsplit  # noqa: PLC0415 - only who attaches needs it

        client = self._client()
        with vendor_errors("Cinder cannot be found"):
            parts = urlsplit(client.get_endpoint() or "")
        return parts.hostname or "localhost", parts.port or (443 if parts.scheme == "https" else 80)

    def _list(self, filters: Mapping[str, str]) -> Iterator[Volume]:
        marker: dict[str, str] = {}
        while True:
            page = self._ask("GET", f"/volumes/detail?{urlencode({**filters, **marker})}")
            found = _page(page)
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
                        Unconfigured(f"{failure}; [handlers.cinder] cloud names one of clouds.yaml")
                    ) from None
                session = self._adapter.session
                session.timeout = session.timeout or self.timeout
            return self._adapter

    def _ask(
        self, method: str, path: str, body: object = None, *, absent: bool = False, refused: Collection[int] = ()
    ) -> Any:  # noqa: ANN401 - JSON
        """What it answers; None for what is not there, where that may be, and for what it refuses in these ways."""
        client = self._client()
        with vendor_errors("Cinder cannot be asked"):
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
            raise Refused(Unavailable(f"Cinder answers {path} with what is no JSON: is it a Cinder?")) from None


def _waits(timeout: float) -> Iterator[float]:
    """Seconds to wait, again and again, until there is no time left."""
    give_up, seconds = time.monotonic() + timeout, _FIRST_WAIT
    while (left := give_up - time.monotonic()) > 0:
        yield min(seconds, left)
        seconds = min(seconds * 1.3, _LONGEST_WAIT)


def _volume(answer: Mapping[str, Any]) -> Volume:
    return _sense(lambda: Volume.of(answer["volume"]))


def _page(answer: Mapping[str, Any]) -> list[Volume]:
    return _sense(lambda: [Volume.of(each) for each in answer["volumes"]])


def _sense(read: Callable[[], _Done]) -> _Done:
    """What is read in an answer; a fault when it is not there."""
    try:
        return read()
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Refused(Unavailable("Cinder answers what makes no sense: is it a Cinder?")) from None


def _refusal(method: str, path: str, status: int) -> Refusal:
    words = f"Cinder answers {method} {path.partition('?')[0]} with HTTP {status}"
    match status:
        case HTTPStatus.UNAUTHORIZED:
            return Unavailable(f"{words}: it does not accept the credentials")
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return TargetFailed(f"{words}: the project's quota has no room for another volume of that size")
        case HTTPStatus.FORBIDDEN:
            return Unavailable(f"{words}: these credentials may not do that")
    return Unavailable(words)


@contextmanager
def cinder_errors() -> Iterator[None]:
    """Raises Refused where Cinder cannot be reached in the block: the one table of this room."""
    try:
        yield
    except CatalogUnavailable as failure:
        raise Refused(Unavailable(str(failure))) from failure


@contextmanager
def quietly(what: str) -> Iterator[None]:
    """Whatever cannot be done is a warning: it is cleaning up, and what came before counts."""
    try:
        yield
    except (Refused, Busy, CatalogUnavailable) as reason:
        _log.warning("%s: %s", what, reason)
