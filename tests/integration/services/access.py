"""Access logs: what a service was asked, as it saw it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.integration.services.asking import AGENT

# One line per request, tab-separated, `-` for what is absent; the columns are those of Access, in its order.
GUNICORN: Final = "%(m)s\t%({raw_uri}e)s\t%(s)s\t%(B)s\t%({range}i)s\t%({authorization}i)s\t%({x-auth-token}i)s\t%(a)s"
NGINX: Final = (
    "$request_method\t$request_uri\t$status\t$body_bytes_sent"
    "\t$http_range\t$http_authorization\t$http_x_auth_token\t$http_user_agent"
)


@dataclass(frozen=True, slots=True)
class Access:
    """One request and what became of it."""

    method: str
    target: str
    """Path and query, as sent."""
    status: int
    sent: int
    """Bytes of body handed to the network; the client may have seen fewer."""
    range: str | None
    """The Range header."""
    authorization: str | None
    token: str | None
    """The X-Auth-Token header."""
    agent: str | None


@dataclass(frozen=True, slots=True)
class AccessLog:
    """A service writes a request down when it has answered it, some milliseconds after the client has the last byte."""

    path: Path

    def mark(self) -> int:
        """How many requests are written down by now, to ask for later ones."""
        return len(self._read())

    def entries(
        self, about: str = "", *, since: int = 0, at_least: int = 0, where: Callable[[Access], object] | None = None
    ) -> list[Access]:
        """The requests with `about` in their target and of which `where` is true, without the fixtures' own.

        Waits until there are `at_least` as many; raises AssertionError when that takes longer than a minute.
        """
        give_up = time.monotonic() + 60
        while True:
            found = [each for each in self._read()[since:] if about in each.target and (where is None or where(each))]
            if len(found) >= at_least:
                return found
            assert time.monotonic() < give_up, f"{len(found)} requests instead of {at_least}: {found}"
            time.sleep(0.005)

    def _read(self) -> list[Access]:
        if not self.path.exists():
            return []
        whole, _, _ = self.path.read_text(errors="replace").rpartition("\n")
        return [each for each in map(_parsed, whole.splitlines()) if each.agent != AGENT]


def _parsed(line: str) -> Access:
    method, target, status, sent, *rest = line.split("\t")
    wanted, authorization, token, agent = (None if each == "-" else each for each in rest)
    return Access(method, target, int(status), int(sent), wanted, authorization, token, agent)
