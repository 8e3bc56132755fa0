"""A real nginx that serves a folder, plainly and in the ways that a mirror may be awkward."""

import base64
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.integration.services.access import NGINX, Access, AccessLog
from tests.integration.services.asking import responds
from tests.integration.services.certificates import Certificates, certificates
from tests.integration.services.running import LOOPBACK, Process, free_port
from tests.packages import program, want


class Credentials(NamedTuple):
    user: str
    password: str

    @property
    def basic(self) -> str:
        """The Authorization header that says so."""
        return f"Basic {base64.b64encode(':'.join(self).encode()).decode()}"


@dataclass(frozen=True, slots=True)
class Nginx:
    """A running nginx. `folder` is what it serves, under each of these prefixes:

    `""`; `private/` asks for `credentials` (basic); `slow/` sends `rate` bytes at once and then as many a second;
    `whole/` ignores Range; `moved/` redirects to the plain place, `elsewhere/` to the plain place at another origin
    (http://localhost:…); `looping/` redirects to itself.
    """

    process: Process
    folder: Path
    port: int
    tls_port: int
    certificates: Certificates
    credentials: Credentials
    rate: int
    log: AccessLog

    def url(self, path: str, *, tls: bool = False, host: str = LOOPBACK, userinfo: str = "") -> str:
        """Where `path`, such as `slow/noble.img`, is served. With TLS, trust `certificates.authority`."""
        scheme, port = ("https", self.tls_port) if tls else ("http", self.port)
        return f"{scheme}://{userinfo}{'@' if userinfo else ''}{host}:{port}/{path}"

    def accesses(self, about: str = "", *, since: int = 0, at_least: int = 0) -> list[Access]:
        """What it was asked about this, for example a file's name."""
        return self.log.entries(about, since=since, at_least=at_least)

    def start(self) -> None:
        """Again, on the same ports."""
        self.process.start(lambda: responds(self.url("ready"), 204))

    def stop(self) -> None:
        self.process.stop()


@contextmanager
def nginx(
    top: Path, *, rate: int = 128 * 1024, proxied: Mapping[str, str] | None = None, locations: str = ""
) -> Iterator[Nginx]:
    """An nginx that writes into this new folder only, and serves its `served`.

    `proxied` are servers that it shows under a path of its own: `{"image": "http://127.0.0.1:9292"}`.
    `locations` are more of them, in nginx's own words.
    """
    found = program("nginx")
    assert found is not None, want("nginx")
    port, tls_port = free_port(), free_port()
    running = Nginx(
        Process([found, "-p", str(top), "-c", "nginx.conf", "-e", "stderr"], top, [port, tls_port]),
        top / "served",
        port,
        tls_port,
        certificates(top),
        Credentials("mirror", "mirror-password"),
        rate,
        AccessLog(top / "access.log"),
    )
    running.folder.mkdir()
    (top / "users").write_text("{}:{{PLAIN}}{}\n".format(*running.credentials))
    (top / "nginx.conf").write_text(_settings(running, top, proxied or {}, locations))
    try:
        running.start()
        yield running
    finally:
        running.process.kill()


def _settings(running: Nginx, top: Path, proxied: Mapping[str, str], locations: str) -> str:
    shown = "\n".join(f"        location /{path}/ {{ proxy_pass {url}/; }}" for path, url in proxied.items())
    temporary = "\n".join(
        f"    {each}_temp_path {top}/temporary-{each};" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    # Started by root, its worker would become another user, who can't look into a test's folder.
    user = "user root;" if os.geteuid() == 0 else ""
    return f"""\
daemon off;
worker_processes 1;
pid {top}/nginx.pid;
error_log stderr warn;
{user}
events {{ worker_connections 256; }}
http {{
{temporary}
    log_format seen '{NGINX}';
    access_log {running.log.path} seen;
    default_type application/octet-stream;
    sendfile on;
    server {{
        listen {LOOPBACK}:{running.port};
        listen {LOOPBACK}:{running.tls_port} ssl;
        ssl_certificate {running.certificates.server};
        ssl_certificate_key {running.certificates.key};
        root {running.folder};
        location = /ready {{ access_log off; return 204; }}
        location /private/ {{
            alias {running.folder}/;
            auth_basic images;
            auth_basic_user_file {top}/users;
        }}
        location /slow/ {{ alias {running.folder}/; limit_rate {running.rate}; }}
        location /whole/ {{ alias {running.folder}/; max_ranges 0; }}
        location /moved/ {{ rewrite ^/moved/(.*)$ /$1 redirect; }}
        location /elsewhere/ {{ rewrite ^/elsewhere/(.*)$ http://localhost:{running.port}/$1 redirect; }}
        location /looping/ {{ return 302 $request_uri; }}
{shown}
{locations}
    }}
}}
"""
