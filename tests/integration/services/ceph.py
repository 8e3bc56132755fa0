"""A real Ceph of one monitor, one storage daemon that keeps its objects in memory, and a manager."""

import base64
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from tests.integration.services.running import LOOPBACK, Process, free_port
from tests.integration.services.wsgi import ini
from tests.packages import want

COMMANDS: Final = ("ceph-mon", "ceph-osd", "ceph-mgr", "ceph", "rbd")
SYSTEM_MODULES: Final = Path("/usr/lib/python3/dist-packages")
"""Where Debian keeps what no virtual environment sees."""
POOLS: Final = ("images", "volumes", "vms")
GIBIBYTE: Final = 1 << 30
CAPABILITIES: Final[Mapping[str, Mapping[str, str]]] = {
    "mon.": {"mon": "allow *"},
    "client.admin": {"mon": "allow *", "osd": "allow *", "mgr": "allow *"},
    "osd.0": {"mon": "allow profile osd", "osd": "allow *", "mgr": "allow profile osd"},
    "mgr.x": {"mon": "allow profile mgr", "osd": "allow *"},
}
"""The daemons' own, as Ceph's manual deployment gives them."""


class CephError(Exception):
    """A command of Ceph's failed. The message has what it wrote."""


@dataclass(slots=True)
class Ceph:
    """A running cluster with the pools `POOLS`. What it keeps outlives `stop`, but not `kill`, as memory does."""

    folder: Path
    fsid: str
    monitor: Process
    storage: Process
    manager: Process

    @property
    def conf(self) -> Path:
        """What clients are configured by. Users' keyrings are found by it."""
        return self.folder / "ceph.conf"

    @property
    def python_path(self) -> Path:
        """A folder from which a virtual environment of the same Python imports `rados` and `rbd`."""
        return self.folder / "python"

    @property
    def variables(self) -> dict[str, str]:
        """With these, a process has this cluster as its own, and the modules."""
        return {"CEPH_CONF": str(self.conf), "PYTHONPATH": str(self.python_path)}

    # Commands

    def rbd(self, *arguments: str, data: bytes | None = None) -> str:
        """What `rbd` wrote; `data` is its input."""
        return self._run("rbd", arguments, data).decode()

    def ceph(self, *arguments: str, data: bytes | None = None) -> str:
        """What `ceph` wrote. Without arguments, `data` has a command a line."""
        return self._run("ceph", arguments, data).decode()

    def command(self, command: str, *arguments: str) -> str:
        """What another of Ceph's commands wrote, for example `rados`."""
        return self._run(command, arguments).decode()

    def _run(self, command: str, arguments: tuple[str, ...], data: bytes | None = None) -> bytes:
        variables = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LC_ALL": "C.UTF-8"}
        line = [command, "--conf", str(self.conf), *arguments]
        done = subprocess.run(
            line, check=False, capture_output=True, env=variables, input=b"" if data is None else data, timeout=120
        )
        if done.returncode != 0:
            raise CephError(f"{' '.join(line)}: {done.stderr.decode()}")
        return done.stdout

    # Images

    def put(self, data: bytes | Path, pool: str, image: str, *, snap: str = "snap", protect: bool = True) -> str:
        """A new image with a snapshot, protected as Glance does it: its location."""
        source, given = ("-", data) if isinstance(data, bytes) else (str(data), None)
        self.rbd("import", "--no-progress", source, f"{pool}/{image}", data=given)
        return self.snap(pool, image, snap, protect=protect)

    def snap(self, pool: str, image: str, snap: str, *, protect: bool = True) -> str:
        """A snapshot of an image: its location."""
        self.rbd("snap", "create", "--no-progress", f"{pool}/{image}@{snap}")
        if protect:
            self.rbd("snap", "protect", f"{pool}/{image}@{snap}")
        return self.location(pool, image, snap)

    def location(self, pool: str, image: str, snap: str = "snap") -> str:
        """What Glance calls it."""
        return "rbd://" + "/".join(quote(each, safe="") for each in (self.fsid, pool, image, snap))

    def get(self, pool: str, image: str, snap: str | None = None) -> bytes:
        """The bytes of an image or a snapshot."""
        return self._run("rbd", ("export", "--no-progress", f"{pool}/{image}{'' if snap is None else '@' + snap}", "-"))

    def images(self, pool: str) -> list[str]:
        return self.rbd("ls", pool).split()

    def delete(self, pool: str, image: str) -> None:
        """With its snapshots; clones must be gone."""
        for each in json.loads(self.rbd("snap", "ls", f"{pool}/{image}", "--format", "json")):
            if each["protected"] == "true":
                self.rbd("snap", "unprotect", f"{pool}/{image}@{each['name']}")
        self.rbd("snap", "purge", "--no-progress", f"{pool}/{image}")
        self.rbd("rm", "--no-progress", f"{pool}/{image}")

    # Users, who matter to a cluster that was started with `auth`

    def user(self, name: str, **capabilities: str) -> Path:
        """Someone who connects as `--id name`, for example with mon="profile rbd", osd="profile rbd pool=vms".

        Their keyring, which the cluster's conf finds.
        """
        keyring = self.folder / f"ceph.client.{name}.keyring"
        granted = [word for pair in capabilities.items() for word in pair]
        self.ceph("auth", "get-or-create", f"client.{name}", *granted, "-o", str(keyring))
        return keyring

    def limit(self, name: str, **capabilities: str) -> None:
        """From now on the user has these capabilities only; who is connected keeps what they had for a while."""
        self.ceph("auth", "caps", f"client.{name}", *(word for pair in capabilities.items() for word in pair))

    def revoke(self, name: str) -> None:
        """Nobody connects with the user's key any more."""
        self.ceph("auth", "rm", f"client.{name}")

    # The service: all of it, or only its storage, without which its monitor still answers

    def start(self, *, only_storage: bool = False) -> None:
        """Again, on the same port, and usable when it returns."""
        if not only_storage:
            _start_monitor(self)
            self.manager.start(lambda: True)
        self.storage.start(lambda: True)
        for pool in POOLS:
            self.rbd("ls", pool)  # waits for it

    def stop(self, *, only_storage: bool = False) -> None:
        """In order: the storage writes down what it has."""
        for each in self._processes(only_storage):
            each.stop()

    def kill(self, *, only_storage: bool = False) -> None:
        """As a crash. The images are gone, and what asks for them after another start waits for ever."""
        for each in self._processes(only_storage):
            each.kill()

    def freeze(self, *, only_storage: bool = False) -> None:
        """It holds connections and answers nothing until `thaw`."""
        for each in self._processes(only_storage):
            each.freeze()

    def thaw(self, *, only_storage: bool = False) -> None:
        for each in self._processes(only_storage):
            each.thaw()

    def _processes(self, only_storage: bool) -> tuple[Process, ...]:  # handed through
        return (self.storage,) if only_storage else (self.storage, self.manager, self.monitor)


def lacking() -> str | None:
    """What the machine lacks for it, if anything."""
    if not all(map(shutil.which, COMMANDS)) or len(_modules()) < 2:  # rados and rbd
        return want("ceph-mon", f"Ceph and its modules for {sys.implementation.cache_tag}")
    return None


def link_modules(folder: Path) -> None:
    """Make a folder from which a virtual environment imports `rados` and `rbd`, and nothing else of the system's."""
    folder.mkdir()
    for module in _modules():
        (folder / module.name).symlink_to(module)


@contextmanager
def ceph(folder: Path, *, auth: bool = False, size: int = 8 * GIBIBYTE) -> Iterator[Ceph]:
    """A cluster that writes into this new folder only, and holds `size` bytes, which it takes from memory when used.

    With `auth`, clients need a key (cephx): `client.admin` has one, others by `Ceph.user`.
    """
    port = free_port()
    running = Ceph(
        folder,
        str(uuid.uuid4()),
        _daemon(folder, "ceph-mon", "a", [port]),
        _daemon(folder, "ceph-osd", "0"),
        _daemon(folder, "ceph-mgr", "x"),
    )
    running.conf.write_text(ini(_settings(running, f"v2:{LOOPBACK}:{port}/0", auth=auth, size=size)))
    keys = {name: {"key": _key(), **_caps(each)} for name, each in CAPABILITIES.items()}
    (folder / "keyring").write_text(ini(keys))
    (folder / "ceph.client.admin.keyring").write_text(ini({"client.admin": keys["client.admin"]}))
    link_modules(running.python_path)
    try:
        _first_start(running, port)
        yield running
    finally:
        running.kill()


def _daemon(folder: Path, command: str, name: str, ports: list[int] | None = None) -> Process:
    """In the foreground, with a folder of its own."""
    own = folder / command
    (own / "data").mkdir(parents=True)
    return Process([command, "-i", name, "-f"], own, ports or [], {"CEPH_CONF": str(folder / "ceph.conf")})


def _first_start(running: Ceph, port: int) -> None:
    """Most of this is waiting for `ceph`, a Python program: it is started as few times as possible."""
    top, storage_id = running.folder, str(uuid.uuid4())
    address = f"[v2:{LOOPBACK}:{port}]"
    known = ("--create", "--addv", "a", address, "--fsid", running.fsid, str(top / "monmap"))
    running.command("monmaptool", *known)
    running.command("ceph-mon", "-i", "a", "--mkfs", "--monmap", f"{top}/monmap", "--keyring", f"{top}/keyring")
    running.command("ceph-osd", "-i", "0", "--mkfs", "--no-mon-config", "--osd-uuid", storage_id)
    _start_monitor(running)
    pools = [f"osd pool create {each} 8" for each in POOLS]
    running.ceph(data="\n".join([f"osd new {storage_id} 0", *pools, ""]).encode())
    running.manager.start(lambda: True)
    running.storage.start(lambda: True)
    for each in POOLS:
        running.rbd("pool", "init", each)  # waits for the storage


def _start_monitor(running: Ceph) -> None:
    (port,) = running.monitor.ports

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((LOOPBACK, port)) == 0

    running.monitor.start(listens)


def _settings(running: Ceph, monitor: str, *, auth: bool, size: int) -> dict[str, dict[str, object]]:
    top, method = running.folder, "cephx" if auth else "none"
    # The default is a secure mode, which without keys there isn't; clients may know no more than the address.
    unsecured = {} if auth else {f"ms_mon_{each}_mode": "crc" for each in ("client", "service", "cluster")}
    return {
        "global": {
            "fsid": running.fsid,
            "mon_initial_members": "a",
            "mon_host": monitor,
            "public_addr": LOOPBACK,
            "cluster_addr": LOOPBACK,
            "ms_bind_msgr1": False,
            **{f"auth_{each}_required": method for each in ("cluster", "service", "client")},
            **unsecured,
            # One copy, by one daemon, is all there is.
            "osd_pool_default_size": 1,
            "osd_pool_default_min_size": 1,
            "osd_pool_default_pg_num": 8,
            "osd_pool_default_pg_autoscale_mode": "off",
            "mon_allow_pool_size_one": True,
            "mon_allow_pool_delete": True,
            "mon_max_pg_per_osd": 500,
            "osd_crush_chooseleaf_type": 0,
            "osd_objectstore": "memstore",
            "memstore_device_bytes": size,
            "osd_fast_shutdown": False,  # otherwise what is in memory isn't written down at the end
            # It is ready in a second rather than ten.
            "paxos_propose_interval": 0.05,
            "paxos_min_wait": 0.01,
            "mon_data_avail_crit": 1,
            "mgr_initial_modules": "",
            "run_dir": top / "run",
            "crash_dir": top / "crash",
            "log_file": "",
            "pid_file": "",
            "admin_socket": "",
            "mon_data": top / "ceph-mon" / "data",
            "osd_data": top / "ceph-osd" / "data",
            "mgr_data": top / "ceph-mgr" / "data",
            "keyring": top / "keyring",
        },
        "client": {
            "keyring": top / "ceph.$name.keyring",
            "objecter_tick_interval": 0.2,  # seconds until it notices that the storage is there, 5 by default
        },
    }


def _key() -> str:
    """A secret in Ceph's encoding: its type, when it was made, its length."""
    return base64.b64encode(struct.pack("<hiih", 1, int(time.time()), 0, 16) + os.urandom(16)).decode()


def _caps(capabilities: Mapping[str, str]) -> dict[str, str]:
    return {f"caps {service}": f'"{allowed}"' for service, allowed in capabilities.items()}


def _modules() -> list[Path]:
    return [
        found
        for name in ("rados", "rbd")
        for found in SYSTEM_MODULES.glob(f"{name}.{sys.implementation.cache_tag}-*.so")
    ]
