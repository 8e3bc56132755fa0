"""A real Keystone with users, roles and a catalog baked in."""

import base64
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from tests.integration.services.access import AccessLog
from tests.integration.services.asking import Answer, ask
from tests.integration.services.cache import Cache, environment, recipe
from tests.integration.services.wsgi import WsgiServer, ini, manage


class User(NamedTuple):
    """Someone in the domain `default`, with these roles on one project."""

    name: str
    password: str
    project: str
    roles: tuple[str, ...]


REGION: Final = "RegionOne"
SERVICE: Final = "service"
"""The services' project."""
ADMIN: Final = User("admin", "admin-password", "admin", ("admin",))
DEMO: Final = User("demo", "demo-password", "demo", ("member", "reader"))
NOVA: Final = User("nova", "nova-password", SERVICE, ("service", "reader"))
"""A service, which may ask for locations."""
GLANCE: Final = User("glance", "glance-password", SERVICE, ("service", "admin"))
CINDER: Final = User("cinder", "cinder-password", SERVICE, ("service", "admin"))
RGW: Final = User("rgw", "rgw-password", SERVICE, ("service", "admin"))
"""Ceph's object gateway, which asks whose token it was given."""
APPLICATION: Final = ("demo-application", "demo-application-secret")
"""The name and the secret of demo's application credential; its id is `Keystone.application_id`."""
INTERFACES: Final = ("public", "internal", "admin")
SERVICES: Final = {"glance": "image", "cinder": "block-storage", "swift": "object-store"}
"""Their types by their names."""
NOWHERE: Final = "http://127.0.0.1:1"
"""Where the catalog says that a service is which isn't anywhere."""


@dataclass(slots=True)
class Keystone:
    """A running Keystone."""

    server: WsgiServer
    expiration: int
    """Seconds for which a token is good."""
    _kept: dict[User, tuple[float, str]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Without a version."""
        return self.server.url

    @property
    def log(self) -> AccessLog:
        """What others asked, for example `log.entries("/v3/auth/tokens")`."""
        return self.server.log

    @property
    def application_id(self) -> str:
        """The id of demo's application credential."""
        with self._database() as database:
            (found,) = database.execute("SELECT id FROM application_credential WHERE name = ?", APPLICATION[:1])
        return str(found[0])

    def project_id(self, name: str) -> str:
        """The id of a project in the domain `default`."""
        (found,) = self.ask("GET", f"/projects?name={name}").expect(200).json()["projects"]
        return str(found["id"])

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """A request to a path below `/v3`; by the administrator unless a token is given."""
        data = None if body is None else json.dumps(body).encode()
        kind = {"Content-Type": "application/json", "X-Auth-Token": self.kept_token() if token is None else token}
        return ask(method, f"{self.url}/v3{path}", data, {**kind, **(headers or {})})

    def token(self, user: User = ADMIN) -> str:
        """A new token for this user on their project."""
        domain = {"domain": {"id": "default"}}
        known = {"user": {"name": user.name, "password": user.password, **domain}}
        scope = {"project": {"name": user.project, **domain}}
        asked = {"identity": {"methods": ["password"], "password": known}, "scope": scope}
        answer = self.ask("POST", "/auth/tokens", {"auth": asked}, token="")  # none is needed
        return answer.expect(201).headers["x-subject-token"]

    def kept_token(self, user: User = ADMIN) -> str:
        """A token for this user that is good for at least half of its time."""
        since, token = self._kept.get(user, (0.0, ""))
        if not token or time.monotonic() - since > self.expiration / 2:
            self._kept[user] = (time.monotonic(), self.token(user))
        return self._kept[user][1]

    def variables(self, user: User = DEMO) -> dict[str, str]:
        """What `OS_*` variables say for this user."""
        return {
            "OS_AUTH_URL": f"{self.url}/v3",
            "OS_USERNAME": user.name,
            "OS_PASSWORD": user.password,
            "OS_PROJECT_NAME": user.project,
            "OS_USER_DOMAIN_ID": "default",
            "OS_PROJECT_DOMAIN_ID": "default",
            "OS_REGION_NAME": REGION,
            "OS_IDENTITY_API_VERSION": "3",
        }

    def application_variables(self) -> dict[str, str]:
        """What `OS_*` variables say for demo's application credential."""
        return {
            "OS_AUTH_TYPE": "v3applicationcredential",
            "OS_AUTH_URL": f"{self.url}/v3",
            "OS_APPLICATION_CREDENTIAL_ID": self.application_id,
            "OS_APPLICATION_CREDENTIAL_SECRET": APPLICATION[1],
            "OS_REGION_NAME": REGION,
        }

    def point_image_endpoint(self, url: str) -> None:
        """From now on the catalog says that the image service is there."""
        self._point("image", url)

    def point_volume_endpoint(self, url: str) -> None:
        """From now on the catalog says that the volume service is there."""
        self._point("block-storage", url)

    def point_object_endpoint(self, url: str) -> None:
        """From now on the catalog says that the object store is there; it replaces `%(project_id)s`."""
        self._point("object-store", url)

    def start(self) -> None:
        """Again, on the same port."""
        self.server.start()

    def stop(self) -> None:
        self.server.process.stop()

    def _point(self, service: str, url: str) -> None:
        statement = "UPDATE endpoint SET url = ? WHERE service_id = (SELECT id FROM service WHERE type = ?)"
        with self._database() as database:
            assert database.execute(statement, (url, service)).rowcount == len(INTERFACES)
            database.execute("UPDATE service SET enabled = 1 WHERE type = ?", (service,))

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.server.folder / "keystone.db", timeout=20)) as database, database:
            yield database


@contextmanager
def keystone(folder: Path, kept: Cache, *, expiration: int = 3600) -> Iterator[Keystone]:
    """A Keystone in this new folder, whose tokens live for `expiration` seconds.

    Its catalog names an image service at a place where none is, and no other, until it is pointed to one.
    """
    venv = environment(kept)
    template = kept.folder(f"keystone-{recipe(__file__)}", lambda part: _prepare(part, venv))
    shutil.copytree(template, folder, dirs_exist_ok=True)
    running = _configured(folder, venv, expiration)
    running._point("identity", f"{running.url}/v3")  # noqa: SLF001
    try:
        running.start()
        yield running
    finally:
        running.server.process.kill()


def middleware(keystone: Keystone, user: User) -> dict[str, object]:
    """How a service knows Keystone: as this user."""
    return {
        "www_authenticate_uri": f"{keystone.url}/v3",
        "auth_url": f"{keystone.url}/v3",
        "auth_type": "password",
        "username": user.name,
        "password": user.password,
        "project_name": user.project,
        "user_domain_id": "default",
        "project_domain_id": "default",
        "region_name": REGION,
        "service_token_roles": "service",
        "service_token_roles_required": True,
    }


def _configured(folder: Path, venv: Path, expiration: int) -> Keystone:
    settings: dict[str, dict[str, object]] = {
        "DEFAULT": {"use_stderr": True, "max_token_size": 255},
        "database": {"connection": f"sqlite:///{folder}/keystone.db"},
        "token": {"provider": "fernet", "expiration": expiration},
        "fernet_tokens": {"key_repository": folder / "fernet"},
        "fernet_receipts": {"key_repository": folder / "fernet"},
        "credential": {"key_repository": folder / "credential"},
        "identity": {"password_hash_algorithm": "bcrypt", "password_hash_rounds": 4},
        # A token is looked at in 10 ms rather than 500; the catalog changes behind its back.
        "cache": {"enabled": True, "backend": "dogpile.cache.memory"},
        "catalog": {"caching": False},
        "oslo_concurrency": {"lock_path": folder / "locks"},
    }
    (folder / "keystone.conf").write_text(ini(settings))
    variables = {"OS_KEYSTONE_CONFIG_DIR": str(folder), "OS_KEYSTONE_CONFIG_FILES": "keystone.conf"}
    return Keystone(WsgiServer("keystone.wsgi.api:application", venv, folder, "/v3", variables), expiration)


def _prepare(folder: Path, venv: Path) -> None:
    """A database and keys, filled through Keystone's own API."""
    preparing = _configured(folder, venv, 3600)
    for name in ("fernet", "credential"):
        (folder / name).mkdir(mode=0o700)
        for number in "01":  # a staged and a primary Fernet key, as keystone-manage writes them in four seconds each
            (folder / name / number).write_bytes(base64.urlsafe_b64encode(os.urandom(32)))
    urls = [f"--bootstrap-{each}-url={preparing.url}/v3" for each in INTERFACES]
    bootstrap = ["bootstrap", f"--bootstrap-password={ADMIN.password}", f"--bootstrap-region-id={REGION}", *urls]
    for command in (["db_sync"], bootstrap):
        manage(venv, "keystone.cmd.manage", f"--config-file={folder}/keystone.conf", *command)
    try:
        preparing.start()
        _populate(preparing, (DEMO, NOVA, GLANCE, CINDER, RGW))
    finally:
        preparing.stop()
    for name in ("access.log", "output.log", "keystone.conf", "gunicorn.conf.py"):
        (folder / name).unlink(missing_ok=True)


def _populate(keystone: Keystone, users: Sequence[User]) -> None:
    def made(kind: str, **fields: object) -> str:
        """The id of something new."""
        answer = keystone.ask("POST", f"/{kind}s", {kind: fields}).expect(201)
        return str(answer.json()[kind]["id"])

    roles = {each["name"]: each["id"] for each in keystone.ask("GET", "/roles").json()["roles"]}
    projects = {name: made("project", name=name, domain_id="default") for name in {each.project for each in users}}
    ids = {}
    for each in users:
        ids[each] = made("user", name=each.name, password=each.password, domain_id="default")
        for role in each.roles:
            path = f"/projects/{projects[each.project]}/users/{ids[each]}/roles/{roles[role]}"
            keystone.ask("PUT", path).expect(204)
    for name, kind in SERVICES.items():
        service = made("service", name=name, type=kind, enabled=kind == "image")
        for interface in INTERFACES:
            made("endpoint", service_id=service, interface=interface, region_id=REGION, url=NOWHERE)
    credential = {"application_credential": dict(zip(("name", "secret"), APPLICATION, strict=True))}
    path = f"/users/{ids[DEMO]}/application_credentials"
    keystone.ask("POST", path, credential, token=keystone.token(DEMO)).expect(201)
