"""Plain HTTP for the fixtures' own use."""

import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

AGENT: Final = "lading-fixtures"
"""The user agent of the fixtures, whose requests are left out of the access logs."""


class UnexpectedAnswerError(Exception):
    """A service answered with another status than the fixture counts on."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:  # noqa: ANN401  # JSON is anything
        return json.loads(self.body)

    def expect(self, *statuses: int) -> "Answer":
        """Itself, if its status is one of these."""
        if self.status not in statuses:
            raise UnexpectedAnswerError(f"{self.status} instead of {statuses}: {self.body[:500]!r}")
        return self


def ask(
    method: str,
    url: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """One request on a connection of its own. Raises OSError or http.client.HTTPException when none is answered."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=30, context=tls)
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request(method, target or "/", body, {"User-Agent": AGENT, **(headers or {})})
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def responds(url: str, *statuses: int) -> bool:
    """Whether something answers there with one of these."""
    try:
        return ask("GET", url).status in statuses
    except (OSError, http.client.HTTPException):
        return False
