"""A real squid: a proxy that connects to loopback, and resolves names that nothing else knows."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

from tests.integration.services.running import LOOPBACK, Process, free_port
from tests.packages import program, want

_USER: Final = "proxy"
"""Whom Debian's squid becomes when root starts it: it refuses to stay root."""
_HELPER: Final = Path("/usr/lib/squid/basic_ncsa_auth")
NAMES: Final = ("images.example", "cloud.example")
"""Names that only this proxy knows. They are loopback's."""


class Forwarded(NamedTuple):
    """A request as squid wrote it down."""

    status: int
    method: str
    target: str
    """A URL; of a CONNECT `host:port`."""


@dataclass(frozen=True, slots=True)
class Squid:
    """A running squid. It refuses `forbidden.example`."""

    process: Process
    port: int
    user: str | None
    password: str | None

    @property
    def url(self) -> str:
        """With the credentials, where it wants some."""
        userinfo = f"{quote(self.user)}:{quote(self.password or '')}@" if self.user else ""
        return f"http://{userinfo}{LOOPBACK}:{self.port}"

    def requests(self, about: str = "", *, at_least: int = 0) -> list[Forwarded]:
        """What it was asked about this, in the order in which it was answered.

        It writes a request down when it is over, so this waits until there are `at_least` as many.
        """
        give_up = time.monotonic() + 10
        while True:
            found = [each for each in map(_forwarded, self._lines()) if about in each.target]
            if len(found) >= at_least:
                return found
            assert time.monotonic() < give_up, f"{len(found)} requests instead of {at_least}: {found}"
            time.sleep(0.005)

    def _lines(self) -> list[str]:
        path = self.process.folder / "access.log"
        return path.read_text().rpartition("\n")[0].splitlines() if path.exists() else []


def _forwarded(line: str) -> Forwarded:
    """A line in squid's own format."""
    columns = line.split()
    return Forwarded(int(columns[3].rpartition("/")[2]), columns[5], columns[6])


@contextmanager
def squid(*, user: str | None = None, password: str | None = None) -> Iterator[Squid]:
    """A squid that takes anybody, or only whoever has these credentials."""
    found = program("squid")
    assert found is not None, want("squid")
    # Not in pytest's folder, which is for its owner only.
    with tempfile.TemporaryDirectory(prefix="lading-squid-") as name:
        top, port = Path(name), free_port()
        (top / "hosts").write_text("".join(f"{LOOPBACK} {each}\n" for each in NAMES))
        (top / "squid.conf").write_text(_settings(top, port, with_users=user is not None))
        if user is not None:
            made = subprocess.run(
                ["openssl", "passwd", "-apr1", password or ""], check=True, capture_output=True, text=True
            )
            (top / "users").write_text(f"{user}:{made.stdout}")
        if os.geteuid() == 0:
            for each in (top, *top.iterdir()):
                shutil.chown(each, _USER, _USER)
        # Its shared memory has the service's name, and would outlive a kill.
        service = f"lading{port}"
        running = Squid(
            Process([found, "-N", "-n", service, "-f", str(top / "squid.conf")], top, [port]), port, user, password
        )
        try:
            running.process.start(lambda: (top / "squid.pid").exists() and _listens(port))
            yield running
        finally:
            running.process.stop()
            for left in Path("/dev/shm").glob(f"{service}-*"):  # noqa: S108 - where the system has it
                left.unlink(missing_ok=True)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def _settings(top: Path, port: int, *, with_users: bool) -> str:
    users = f"""\
auth_param basic program {_HELPER} {top}/users
auth_param basic children 1
acl known proxy_auth REQUIRED
http_access deny !known
"""
    return f"""\
http_port {LOOPBACK}:{port}
pid_filename {top}/squid.pid
access_log stdio:{top}/access.log
cache_log {top}/cache.log
netdb_filename none
cache deny all
hosts_file {top}/hosts
shutdown_lifetime 0 seconds
acl forbidden dstdomain forbidden.example
{users if with_users else ""}\
http_access deny forbidden
http_access allow all
"""
