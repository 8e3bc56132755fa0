"""A stand-in for Cinder, and work on its volumes."""

import json
import re
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lading import Association, Work
from lading.adapters.handlers.cinder.handler import CinderHandler
from lading.adapters.handlers.cinder.names import volume_of
from lading.sdk.contracts import DATA

NOW = datetime.now(UTC)
HOST = "compute-1"
GIBIBYTE = 1 << 30


class StandIn:
    """As much of Cinder's API as is asked for, over volumes that are devices of this host."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.volumes: dict[str, dict[str, Any]] = {}
        self.attachments: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, str]] = []
        self.instead: dict[tuple[str, str], tuple[int, object]] = {}
        """What is answered instead, by method and a pattern of paths."""
        self.connection: dict[str, object] = {"driver_volume_type": "local"}
        self.page = 1000
        self.url = ""

    def put(self, data: bytes = DATA, **fields: object) -> str:
        """A volume with these bytes: its id."""
        volume_id = str(uuid.uuid4())
        with (self.folder / volume_id).open("wb") as device:
            device.write(data)
            device.truncate(GIBIBYTE)
        known = {"id": volume_id, "name": "image", "status": "available", "size": 1, "metadata": {}, "attachments": []}
        self.volumes[volume_id] = {**known, **fields}
        return volume_id

    def answer(self, method: str, target: str, body: Any) -> tuple[int, object]:  # noqa: ANN401, PLR0911 - JSON; one each
        parts = urlsplit(target)
        self.asked.append((method, parts.path))
        for (verb, pattern), instead in self.instead.items():
            if verb == method and re.fullmatch(pattern, parts.path):
                return instead
        match method, parts.path.strip("/").split("/"):
            case "GET", ["volumes", "detail"]:
                return self._list(parse_qs(parts.query))
            case "POST", ["volumes"]:
                asked = body["volume"]
                with (self.folder / asked.pop("source_volid")).open("rb") as source:
                    return 202, {"volume": self.volumes[self.put(source.read(len(DATA)), **asked)]}
            case method, ["volumes", volume_id] if volume_id in self.volumes:
                return self._volume(method, volume_id, body)
            case "GET", ["attachments"]:
                (of,) = parse_qs(parts.query)["volume_id"]
                return 200, {"attachments": [each for each in self.attachments.values() if each["volume_id"] == of]}
            case "POST", ["attachments"]:
                return self._reserve(body["attachment"]["volume_uuid"])
            case method, ["attachments", attachment_id, *_] if attachment_id in self.attachments:
                return self._attachment(method, attachment_id, body)
        return 404, {}

    def _list(self, query: dict[str, list[str]]) -> tuple[int, object]:
        found = list(self.volumes.values())
        if "name" in query:
            found = [each for each in found if each["name"] == query["name"][0]]
        if "metadata" in query:
            wanted = json.loads(query["metadata"][0])
            found = [each for each in found if wanted.items() <= each["metadata"].items()]
        if "marker" in query:
            found = found[[each["id"] for each in found].index(query["marker"][0]) + 1 :]
        links = [{"rel": "next", "href": "…"}] if len(found) > self.page else []
        return 200, {"volumes": found[: self.page], "volumes_links": links}

    def _volume(self, method: str, volume_id: str, body: Any) -> tuple[int, object]:  # noqa: ANN401 - JSON
        if method == "DELETE":
            del self.volumes[volume_id]
            return 202, None
        if method == "PUT":
            self.volumes[volume_id].update(body["volume"])
        return 200, {"volume": self.volumes[volume_id]}

    def _reserve(self, volume_id: str) -> tuple[int, object]:
        volume = self.volumes[volume_id]
        if volume["status"] != "available" and not volume.get("multiattach"):
            return 400, {}
        self.volumes[volume_id]["status"] = "reserved"
        made: dict[str, Any] = {
            "id": str(uuid.uuid4()),
            "volume_id": volume_id,
            "instance": None,
            "connection_info": {},
        }
        self.attachments[made["id"]] = made
        return 200, {"attachment": made}

    def _attachment(self, method: str, attachment_id: str, body: Any) -> tuple[int, object]:  # noqa: ANN401 - JSON
        attachment = self.attachments[attachment_id]
        volume = self.volumes[attachment["volume_id"]]
        if method == "DELETE":
            del self.attachments[attachment_id]
            others = [each for each in volume["attachments"] if each["attachment_id"] != attachment_id]
            volume.update(status="in-use" if others else "available", attachments=others)
        if method == "PUT":
            attachment["connection_info"] = {"device_path": str(self.folder / volume["id"]), **self.connection}
            attachment["mark"] = body["attachment"]["connector"]["mountpoint"]
        if method == "POST":
            shown = {"attachment_id": attachment_id, "device": attachment["mark"], "host_name": HOST, "server_id": None}
            volume.update(status="in-use", attachments=[*volume["attachments"], shown])
        return 200, {"attachment": attachment}


def volume(work: Work) -> str:
    assert work.location is not None
    return volume_of(work.location).unwrap()


def recorded(handler: CinderHandler, work: Work) -> Work:
    blank = Association(work.target, "cinder", work.image, work.location, NOW)
    return replace(work, association=handler.fetch(work).unwrap().recorded_in(blank))
