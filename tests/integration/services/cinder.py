"""A real Cinder, whose volumes are images in a Ceph."""

import json
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.integration.services.asking import Answer, ask, responds
from tests.integration.services.cache import Cache, environment, recipe
from tests.integration.services.ceph import Ceph
from tests.integration.services.keystone import CINDER, Keystone, middleware
from tests.integration.services.running import LOOPBACK, Process, free_port
from tests.integration.services.wsgi import PLUGGED, QUIET, ini, manage, privileged

POOL: Final = "volumes"
BACKEND: Final = "ceph"
MICROVERSION: Final = {"OpenStack-API-Version": "volume 3.70"}


@dataclass(slots=True)
class Cinder:
    """A running Cinder and what a test does to it. The fixture's own requests are an administrator's."""

    process: Process
    port: int
    ceph: Ceph
    keystone: Keystone

    @property
    def url(self) -> str:
        """The endpoint, without a version."""
        return f"http://{LOOPBACK}:{self.port}"

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
        token = self.keystone.kept_token() if token is None else token
        known = {"Content-Type": "application/json", "X-Auth-Token": token, **MICROVERSION}
        return ask(method, f"{self.url}/v3{path}", data, {**known, **(headers or {})})

    # Volumes

    def create(
        self, data: bytes | None = None, *, size: int = 1, token: str | None = None, **fields: object
    ) -> dict[str, Any]:
        """A new volume of `size` GiB as Cinder shows it: available, and with these bytes at its beginning.

        `fields` may say `imageRef`, from which it is made then, `snapshot_id`, `multiattach` and so on.
        """
        asked = {"name": f"volume-{uuid.uuid4()}", "size": size, **fields}
        volume_id = self.ask("POST", "/volumes", {"volume": asked}, token=token).expect(202).json()["volume"]["id"]
        volume = self.wait(volume_id)
        if data is not None:
            self.write(volume_id, data)
        return volume

    def show(self, volume_id: str) -> dict[str, Any]:
        """The volume as Cinder shows it to an administrator."""
        shown: dict[str, Any] = self.ask("GET", f"/volumes/{volume_id}").expect(200).json()["volume"]
        return shown

    def volumes(self) -> list[dict[str, Any]]:
        """All, whosoever they are."""
        found: list[dict[str, Any]] = self.ask("GET", "/volumes/detail?all_tenants=1").expect(200).json()["volumes"]
        return found

    def wait(self, volume_id: str, status: str = "available", seconds: float = 60) -> dict[str, Any]:
        """The volume once it has this status. Raises AssertionError when it fails or that takes longer."""
        give_up = time.monotonic() + seconds
        while (volume := self.show(volume_id))["status"] != status:
            assert not volume["status"].startswith("error"), f"{volume}\n{self.process.tail()}"
            assert time.monotonic() < give_up, volume
            time.sleep(0.1)
        return volume

    def snapshot(self, volume_id: str) -> str:
        """A new snapshot of a volume: its id."""
        asked = {"snapshot": {"volume_id": volume_id, "force": True}}
        snapshot: str = self.ask("POST", "/snapshots", asked).expect(202).json()["snapshot"]["id"]
        give_up = time.monotonic() + 60
        while (shown := self.ask("GET", f"/snapshots/{snapshot}").expect(200).json()["snapshot"])[
            "status"
        ] != "available":
            assert time.monotonic() < give_up, shown
            time.sleep(0.1)
        return snapshot

    def delete(self, volume_id: str) -> None:
        """Returns once it is gone."""
        self.ask("DELETE", f"/volumes/{volume_id}").expect(202)
        self.wait_for_end(volume_id)

    def wait_for_end(self, volume_id: str) -> None:
        """Returns once the volume, which somebody deleted, is gone."""
        give_up = time.monotonic() + 60
        while self.ask("GET", f"/volumes/{volume_id}").status != 404:
            assert time.monotonic() < give_up, self.show(volume_id)
            time.sleep(0.1)

    def attachments(self, volume_id: str) -> list[dict[str, Any]]:
        """Who has it attached, or is about to."""
        path = f"/attachments/detail?all_tenants=1&volume_id={volume_id}"
        found: list[dict[str, Any]] = self.ask("GET", path).expect(200).json()["attachments"]
        return found

    def reset(self, volume_id: str, status: str = "available", attached: str = "detached") -> None:
        """Set what Cinder believes of a volume."""
        states = {"os-reset_status": {"status": status, "attach_status": attached}}
        self.ask("POST", f"/volumes/{volume_id}/action", states).expect(202)

    # What is in the pool

    def stored(self, volume_id: str) -> str:
        """The image in `POOL` that the volume is."""
        return f"volume-{volume_id}"

    def write(self, volume_id: str, data: bytes) -> None:
        """Give a volume these bytes, and zeros after them, behind Cinder's back."""
        size, image = self.show(volume_id)["size"], self.stored(volume_id)
        self.ceph.rbd("rm", "--no-progress", f"{POOL}/{image}")
        self.ceph.rbd("import", "--no-progress", "-", f"{POOL}/{image}", data=data)
        self.ceph.rbd("resize", "--no-progress", "--size", f"{size}G", f"{POOL}/{image}")

    def read(self, volume_id: str, size: int) -> bytes:
        """Its first bytes, as they are in the pool."""
        whole = self.process.folder / f"{self.stored(volume_id)}.raw"
        self.ceph.rbd("export", "--no-progress", f"{POOL}/{self.stored(volume_id)}", str(whole))  # leaves holes
        try:
            with whole.open("rb") as file:
                return file.read(size)
        finally:
            whole.unlink()

    # The service

    def start(self) -> None:
        """Again, on the same port and with the same volumes."""
        self.process.start(lambda: responds(self.url, 300))

    def stop(self) -> None:
        self.process.stop()

    def kill(self) -> None:
        """As a crash: connections are reset."""
        self.process.kill()

    def freeze(self) -> None:
        """It accepts connections and answers nothing until `thaw`."""
        self.process.freeze()

    def thaw(self) -> None:
        self.process.thaw()


@contextmanager
def cinder(folder: Path, kept: Cache, ceph: Ceph, keystone: Keystone) -> Iterator[Cinder]:
    """A Cinder in this new folder, which the Keystone's catalog names from now on."""
    venv = environment(kept)
    template = kept.folder(f"cinder-{recipe(__file__)}", lambda part: _prepare(part, venv))
    shutil.copytree(template, folder, dirs_exist_ok=True)
    port, settings = free_port(), folder / "cinder.conf"
    settings.write_text(ini(_settings(folder, venv, port, ceph, keystone)))
    variables = {**QUIET, **ceph.variables}
    process = Process(
        [str(venv / "bin" / "python"), str(PLUGGED / "cinder_services.py"), "--config-file", str(settings)],
        folder,
        [port],
        variables,
    )
    running = Cinder(process, port, ceph, keystone)
    try:
        running.start()
        keystone.point_volume_endpoint(f"{running.url}/v3")
        yield running
    finally:
        running.kill()


def _prepare(folder: Path, venv: Path) -> None:
    """An empty database of the newest version."""
    settings = folder / "db.conf"
    settings.write_text(ini({"database": {"connection": f"sqlite:///{folder}/cinder.db"}}))
    manage(venv, "cinder.cmd.manage", "--config-file", str(settings), "db", "sync")
    settings.unlink()


def _settings(folder: Path, venv: Path, port: int, ceph: Ceph, keystone: Keystone) -> dict[str, dict[str, object]]:
    become_root = privileged(venv, folder / "cinder.conf")
    return {
        "DEFAULT": {
            "transport_url": "fake:/",
            "auth_strategy": "keystone",
            "enabled_backends": BACKEND,
            "default_volume_type": "__DEFAULT__",
            "osapi_volume_listen": LOOPBACK,
            "osapi_volume_listen_port": port,
            "osapi_volume_workers": 1,
            "api_paste_config": venv / "etc" / "cinder" / "api-paste.ini",
            "resource_query_filters_file": venv / "etc" / "cinder" / "resource_filters.json",
            "rootwrap_config": venv / "etc" / "cinder" / "rootwrap.conf",
            "state_path": folder / "state",
            "host": "testing",
            "periodic_interval": 5,
            "periodic_fuzzy_delay": 0,
            "use_stderr": True,
            "quota_volumes": -1,
            "quota_gigabytes": -1,
            "quota_snapshots": -1,
        },
        BACKEND: {
            "volume_driver": "cinder.volume.drivers.rbd.RBDDriver",
            "volume_backend_name": BACKEND,
            "rbd_pool": POOL,
            # No rbd_user: whoever attaches a volume would look for that user's keyring in /etc/ceph.
            "rbd_ceph_conf": ceph.conf,
            "rbd_secret_uuid": uuid.uuid4(),
        },
        **{each: {"helper_command": become_root} for each in ("privsep_osbrick", "cinder_sys_admin")},
        "database": {"connection": f"sqlite:///{folder}/cinder.db"},
        "coordination": {"backend_url": f"file://{folder}/state"},
        "oslo_concurrency": {"lock_path": folder / "locks"},
        # With each token comes the catalog, in which Glance may be somewhere else by now.
        "keystone_authtoken": {**middleware(keystone, CINDER), "token_cache_time": -1},
        "service_user": {"send_service_user_token": True, **middleware(keystone, CINDER)},
    }
