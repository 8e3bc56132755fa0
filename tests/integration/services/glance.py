"""A real Glance, with two file stores and the http store, over a SQLite database; with others where they are."""

import configparser
import json
import shutil
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.integration.services.access import Access
from tests.integration.services.asking import Answer, ask
from tests.integration.services.cache import Cache, environment, recipe
from tests.integration.services.ceph import Ceph
from tests.integration.services.cinder import Cinder
from tests.integration.services.keystone import CINDER, GLANCE, REGION, Keystone, middleware
from tests.integration.services.rgw import KEY, Rgw
from tests.integration.services.running import LOOPBACK
from tests.integration.services.wsgi import PLUGGED, WsgiServer, ini, manage, privileged

STORES: Final = ("first", "second")
"""The file stores, the default one first; the http store is `web`."""
ELSEWHERE: Final = {
    "rbd": "rbd", "s3": "s3", "swift": "swift", "swift_user": "swift", "swift_tenant": "swift", "cinder": "cinder",
}  # fmt: skip
"""The stores that need a service, with their kinds. Those of Swift differ in their locations: `swift` names an entry of
a file of Glance's own, `swift_user` has a user and their password, `swift_tenant` the account of whoever uploaded."""
SEGMENT: Final = 1_024_000
"""Bytes of an object of Swift's. From four of them on, an image is several, and its size must be a multiple: Glance's
store announces as many bytes for the last one, and the gateway waits for them."""
Columns = dict[str, str | int | None]


def token(*roles: str, user: str = "someone", project: str = "somewhere") -> str:
    """A token that a Glance with fake authentication believes."""
    return f"{user}:{project}:{','.join(roles)}"


ADMINISTRATOR: Final = token("admin", "member", "reader", user="administrator")


@dataclass(frozen=True, slots=True)
class Stores:
    """Where the stores `ELSEWHERE` keep images. All of them must know one Keystone."""

    ceph: Ceph
    rgw: Rgw
    cinder: Cinder


@dataclass(slots=True)
class Glance:
    """A running Glance and what a test does to it. What it asks itself is in no access log.

    The fixture's own requests are an administrator's.
    """

    server: WsgiServer
    shows_locations: bool
    administrator: Callable[[], str] | str
    """A token, or what gives one."""

    @property
    def url(self) -> str:
        """The endpoint, without a version."""
        return self.server.url

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """A request to a path such as `/v2/images`; a body that isn't bytes goes as JSON."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        kind = {} if data is None else {"Content-Type": _content_type(method, body)}
        if token is None:
            token = self.administrator if isinstance(self.administrator, str) else self.administrator()
        return ask(method, self.url + path, data, {"X-Auth-Token": token, **kind, **(headers or {})})

    def accesses(self, about: str = "", *, since: int = 0, at_least: int = 0) -> list[Access]:
        """What others asked about this, for example an image's id."""
        return self.server.log.entries(about, since=since, at_least=at_least)

    # Images

    def create(self, data: bytes | None = None, *, store: str | None = None, **fields: object) -> dict[str, Any]:
        """A new image as Glance shows it: public, raw, bare unless `fields` say otherwise; queued without data."""
        known = {"name": f"image-{uuid.uuid4()}", "disk_format": "raw", "container_format": "bare"}
        image = self.ask("POST", "/v2/images", {**known, "visibility": "public", **fields}).expect(201).json()
        if data is not None:
            self.upload(image["id"], data, store=store)
        return self.show(image["id"])

    def show(self, image_id: str) -> dict[str, Any]:
        """The image as Glance shows it to an administrator."""
        shown: dict[str, Any] = self.ask("GET", f"/v2/images/{image_id}").expect(200).json()
        return shown

    def upload(self, image_id: str, data: bytes, *, store: str | None = None) -> None:
        """Give a queued image its bytes, in this store or the default one."""
        chosen = {} if store is None else {"X-Image-Meta-Store": store}
        self.ask("PUT", f"/v2/images/{image_id}/file", data, headers=chosen).expect(204)

    def copy_to(self, image_id: str, *stores: str) -> dict[str, Any]:
        """Copy an image into further stores: the image, once it is in each of them."""
        asked = {"method": {"name": "copy-image"}, "stores": stores, "all_stores_must_succeed": True}
        self.ask("POST", f"/v2/images/{image_id}/import", asked).expect(202)
        give_up = time.monotonic() + 60
        while not set(stores) <= set((image := self.show(image_id))["stores"].split(",")):
            assert not image.get("os_glance_failed_import"), f"{image}\n{self.server.process.tail()}"
            assert time.monotonic() < give_up, image
            time.sleep(0.05)
        return image

    def locations(self, image_id: str, *, token: str | None = None) -> dict[str, str]:
        """Each store's location, or the last of them, as an administrator or a service may see it."""
        answer = self.ask("GET", f"/v2/images/{image_id}/locations", token=token).expect(200)
        return {each["metadata"].get("store", ""): each["url"] for each in answer.json()}

    def add_location(self, image_id: str, url: str, **validation: str) -> None:
        """Add a location that Glance accepts: http on loopback, where it finds the size. The image becomes active.

        `validation` may give `checksum`, `os_hash_algo` and `os_hash_value`, all three. Without it the hashes stay
        None where locations are shown; where they are hidden, Glance reads the data and sets them some time later.
        """
        if self.shows_locations:
            value: dict[str, object] = {"url": url, "metadata": {"store": "web"}}
            if validation:
                value["validation_data"] = validation
            patch = [{"op": "add", "path": "/locations/-", "value": value}]
            self.ask("PATCH", f"/v2/images/{image_id}", patch).expect(200)
        else:
            hashes = {name: value for name, value in validation.items() if name != "checksum"}
            asked = {"url": url, "validation_data": hashes} if hashes else {"url": url}
            self.ask("POST", f"/v2/images/{image_id}/locations", asked).expect(202)
            give_up = time.monotonic() + 20
            while self.show(image_id)["status"] != "active":
                assert time.monotonic() < give_up, self.show(image_id)
                time.sleep(0.02)

    def deactivate(self, image_id: str) -> None:
        self.ask("POST", f"/v2/images/{image_id}/actions/deactivate").expect(204)

    def reactivate(self, image_id: str) -> None:
        self.ask("POST", f"/v2/images/{image_id}/actions/reactivate").expect(204)

    def delete(self, image_id: str) -> None:
        self.ask("DELETE", f"/v2/images/{image_id}").expect(204)

    # What an API refuses to do, and an operator, a bug or an attacker has done

    def stored(self, image_id: str, store: str = STORES[0]) -> Path:
        """The file in which a file store keeps the image."""
        return self.server.folder / store / image_id

    def corrupt(self, image_id: str, store: str = STORES[0]) -> None:
        """Flip a bit in the middle of what a file store keeps; the size stays."""
        path = self.stored(image_id, store)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    def forget_hashes(self, image_id: str) -> None:
        """The image as an old Glance or Nova's rbd snapshot leaves it."""
        self.set_hashes(image_id, checksum=None, algorithm=None, value=None)

    def set_hashes(self, image_id: str, *, checksum: str | None, algorithm: str | None, value: str | None) -> None:
        statement = "UPDATE images SET checksum = ?, os_hash_algo = ?, os_hash_value = ? WHERE id = ?"
        self._change(statement, checksum, algorithm, value, image_id)

    def set_size(self, image_id: str, size: int | None) -> None:
        self._change("UPDATE images SET size = ? WHERE id = ?", size, image_id)

    def plant_location(self, image_id: str, url: str, metadata: Mapping[str, object] | None = None) -> None:
        """A further location, whatever it is: `rbd://…`, `s3://…`, `file:///dev/zero`.

        Glance corrects the store's name for schemes that it has a store for.
        """
        statement = (
            "INSERT INTO image_locations (image_id, value, meta_data, status, created_at, deleted)"
            " VALUES (?, ?, ?, 'active', CURRENT_TIMESTAMP, 0)"
        )
        self._change(statement, image_id, url, json.dumps(dict(metadata or {})))

    def _change(self, statement: str, *values: str | int | None) -> None:
        with closing(sqlite3.connect(self.server.folder / "glance.db", timeout=20)) as database, database:
            assert database.execute(statement, values).rowcount == 1, f"no such image: {values}"

    # The service

    def start(self) -> None:
        """Again, on the same port and with the same images."""
        self.server.start()

    def stop(self) -> None:
        self.server.process.stop()

    def kill(self) -> None:
        """As a crash: connections are reset."""
        self.server.process.kill()

    def freeze(self) -> None:
        """It accepts connections and answers nothing until `thaw`."""
        self.server.process.freeze()

    def thaw(self) -> None:
        self.server.process.thaw()


@contextmanager
def glance(
    folder: Path,
    kept: Cache,
    *,
    locations: bool,
    direct_url: bool,
    keystone: Keystone | None = None,
    stores: Stores | None = None,
) -> Iterator[Glance]:
    """A Glance in this new folder. Without a Keystone it believes the tokens that `token` makes; `stores` need one.

    `locations` is Glance's `show_multiple_locations`, `direct_url` its `show_image_direct_url`.
    """
    venv = environment(kept)
    template = kept.folder(f"glance-{recipe(__file__)}", lambda part: _prepare(part, venv))
    shutil.copytree(template, folder, dirs_exist_ok=True)
    for name in (*STORES, "staging", "tasks"):
        (folder / name).mkdir()
    flavor = "fake" if keystone is None else "keystone"
    variables = {"OS_GLANCE_CONFIG_DIR": str(folder)}
    if stores is not None:
        variables["PYTHONPATH"] = f"{PLUGGED}:{stores.ceph.python_path}"
    server = WsgiServer("glance.wsgi.api:application", venv, folder, "/healthcheck", variables)
    shown = {"show_multiple_locations": locations, "show_image_direct_url": direct_url}
    settings = _settings(folder, server.url, shown, flavor, keystone)
    if stores is not None:
        assert keystone is not None, "Swift and Cinder need a Keystone"
        settings["DEFAULT"]["enabled_backends"] = ",".join(
            [str(settings["DEFAULT"]["enabled_backends"]), *(":".join(each) for each in ELSEWHERE.items())]
        )
        settings |= _elsewhere(folder, venv, keystone, stores)
    (folder / "glance-api.conf").write_text(ini(settings))
    (folder / "paste.ini").write_text(_paste(venv))
    if keystone is not None:
        keystone.point_image_endpoint(server.url)
    administrator = ADMINISTRATOR if keystone is None else keystone.kept_token
    running = Glance(server, locations, administrator)
    try:
        running.start()
        yield running
    finally:
        running.kill()


def _prepare(folder: Path, venv: Path) -> None:
    """An empty database of the newest version."""
    settings = folder / "db.conf"
    settings.write_text(ini({"database": {"connection": f"sqlite:///{folder}/glance.db"}}))
    manage(venv, "glance.cmd.manage", "--config-file", str(settings), "db_sync")
    settings.unlink()


def _settings(
    folder: Path, url: str, shown: Mapping[str, bool], flavor: str, keystone: Keystone | None
) -> dict[str, dict[str, object]]:
    stores: dict[str, dict[str, object]] = {each: {"filesystem_store_datadir": folder / each} for each in STORES}
    return {
        "DEFAULT": {
            **shown,
            "enabled_backends": ",".join([*(f"{each}:file" for each in STORES), "web:http"]),
            "worker_self_reference_url": url,
            "use_stderr": True,
        },
        "database": {"connection": f"sqlite:///{folder}/glance.db"},
        "glance_store": {"default_backend": STORES[0]},
        **stores,
        "web": {},
        "os_glance_staging_store": {"filesystem_store_datadir": folder / "staging"},
        "os_glance_tasks_store": {"filesystem_store_datadir": folder / "tasks"},
        # Otherwise Glance takes no location on loopback, and none on another port than 80 and 443.
        "import_filtering_opts": {
            "allowed_schemes": "[http,https]",
            "allowed_hosts": f"[{LOOPBACK},localhost]",
            "allowed_ports": "[]",
        },
        "paste_deploy": {"flavor": flavor, "config_file": folder / "paste.ini"},
        "oslo_concurrency": {"lock_path": folder / "locks"},
        "keystone_authtoken": {} if keystone is None else middleware(keystone, GLANCE),
    }


def _elsewhere(folder: Path, venv: Path, keystone: Keystone, stores: Stores) -> dict[str, dict[str, object]]:
    swift = {
        "swift_store_container": "glance",
        "swift_store_create_container_on_put": True,
        "swift_store_region": REGION,
        # In units of SEGMENT
        "swift_store_large_object_size": 4,
        "swift_store_large_object_chunk_size": 1,
    }
    user = f"{GLANCE.project}:{GLANCE.name}"
    referred = {"auth_version": 3, "auth_address": f"{keystone.url}/v3", "user": user, "key": GLANCE.password}
    domains = {"project_domain_id": "default", "user_domain_id": "default"}
    (folder / "swift.conf").write_text(ini({"ref1": {**referred, **domains}}))
    return {
        "rbd": {
            "rbd_store_pool": "images",
            "rbd_store_user": "admin",
            "rbd_store_ceph_conf": stores.ceph.conf,
            "rbd_store_chunk_size": 8,
        },
        "s3": {
            "s3_store_host": stores.rgw.url,
            "s3_store_access_key": KEY.access,
            "s3_store_secret_key": KEY.secret,
            "s3_store_bucket": "glance-s3",
            "s3_store_create_bucket_on_put": True,
            "s3_store_bucket_url_format": "path",
            "s3_store_region_name": "default",  # as the gateway's zone is called
        },
        "swift": {**swift, "swift_store_config_file": folder / "swift.conf", "default_swift_reference": "ref1"},
        "swift_user": {
            **swift,
            "swift_store_container": "glance-user",
            "swift_store_auth_version": 3,
            "swift_store_auth_address": f"{keystone.url}/v3",
            "swift_store_user": user,
            "swift_store_key": GLANCE.password,
        },
        "swift_tenant": {**swift, "swift_store_container": "tenant", "swift_store_multi_tenant": True},
        "cinder": {
            "cinder_catalog_info": "block-storage::publicURL",
            "cinder_store_auth_address": f"{keystone.url}/v3",
            "cinder_store_user_name": CINDER.name,
            "cinder_store_password": CINDER.password,
            "cinder_store_project_name": CINDER.project,
            "cinder_os_region_name": REGION,
            "cinder_use_multipath": False,
            "rootwrap_config": venv / "etc" / "glance" / "rootwrap.conf",
        },
        "privsep_osbrick": {"helper_command": privileged(venv, folder / "glance-api.conf")},
    }


def _paste(venv: Path) -> str:
    """Glance's own pipelines, and one with fake authentication in the place of Keystone's."""
    own = configparser.ConfigParser(interpolation=None, default_section="")
    own.optionxform = str  # type: ignore[assignment,method-assign]  # documented for keeping the case
    own.read(venv / "etc" / "glance" / "glance-api-paste.ini")
    sections = {name: dict(own[name]) for name in own.sections()}
    sections["composite:glance-api-fake"] = sections["composite:glance-api-keystone"]
    sections["composite:api"]["fake"] = sections["composite:api"]["keystone"].replace("authtoken", "fakeauth")
    sections["filter:fakeauth"] = {"paste.filter_factory": "fake_auth:factory"}
    return ini(sections)


def _content_type(method: str, body: object) -> str:
    if isinstance(body, bytes):
        return "application/octet-stream"
    return "application/openstack-images-v2.1-json-patch" if method == "PATCH" else "application/json"
