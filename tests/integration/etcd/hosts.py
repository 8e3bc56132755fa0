"""Hosts that share a folder and an etcd: each with a name, a journal and commands of its own."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from returns.result import Failure
from tests.etcd_record import etcd_associations, etcd_locks
from tests.integration.services.etcd import Etcd

from lading import Association, Intent
from lading.adapters.etcd.associations import EtcdAssociations
from lading.adapters.etcd.keys import Keys
from lading.adapters.sqlite.database import Database
from lading.adapters.sqlite.journal import FileJournal

GUARD: Final = 180.0
"""Seconds after which something hangs."""
SCOPE: Final = "shared"
STOPPING: Final = '''
"""The command `lading`, which stops itself before or after a call: argv is MODULE, FUNCTION, before|after, COMMAND …"""
import importlib, os, signal, sys

module, path, when, *command = sys.argv[1:]
owner = importlib.import_module(module)
*parents, name = path.split(".")
for each in parents:
    owner = getattr(owner, each)
real, is_told = getattr(owner, name), False

def stop():
    global is_told
    if not is_told:
        is_told = True
        os.kill(os.getpid(), signal.SIGSTOP)

def stopping(*given, **named):
    if when == "before":
        stop()
    answer = real(*given, **named)
    if when == "after":
        stop()
    return answer

setattr(owner, name, stopping)
from lading.__main__ import main
sys.argv = ["lading", *command]
main()
'''
Stop = tuple[str, str, str]
"""Where a command stops itself: a module, a function of it, and before or after the call."""


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Running:
    """A command in its own process."""

    process: subprocess.Popen[str]

    def wait_stopped(self) -> None:
        """Returns when it has stopped itself."""
        found = os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        assert found is not None
        assert found.si_code == os.CLD_STOPPED, self.end()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)
        self.wait_stopped()

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> Done:
        out, err = self.process.communicate(timeout=GUARD)
        return Done(self.process.returncode, out, err)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=GUARD)


@dataclass(frozen=True)
class Host:
    """A host. What is in `vms` is seen by all hosts; everything else is its own."""

    name: str
    top: Path
    vms: Path
    etcd: Etcd
    namespace: str
    scope: str | Mapping[str, str] = SCOPE
    lease: int = 5
    order: Sequence[str] = ("http", "file")
    prefix: Sequence[str] = ()
    """What its commands are run by, for example in a network namespace."""
    endpoints: Sequence[str] = ()
    """Where it finds the etcd; empty: where that listens."""
    packages: Sequence[Path] = ()
    """Folders of packages that are installed on it only."""
    extra: str = ""
    """More settings, as TOML."""
    images: Path = field(init=False)
    started: list[Running] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "images", self.top / "images")
        for each in (self.images, self.top / "catalog", self.top / "state"):
            each.mkdir(parents=True, exist_ok=True)
        scope = (
            json.dumps(self.scope)
            if isinstance(self.scope, str)
            else "{" + ", ".join(f"{json.dumps(key)} = {json.dumps(value)}" for key, value in self.scope.items()) + "}"
        )
        common = (
            f'kind = "etcd"\nendpoints = {json.dumps(list(self.endpoints or self.etcd.endpoints))}\n'
            f'namespace = "{self.namespace}"\nhost = "{self.name}"\ntimeout = 4.0\n'
        )
        (self.top / "lading.toml").write_text(
            f'[catalog]\nfolder = "catalog"\n[journal]\npath = "state/journal.sqlite"\n'
            f"[associations]\n{common}[locks]\n{common}lease = {self.lease}\nscope = {scope}\n"
            f"[handlers]\norder = {json.dumps(list(self.order))}\n"
            f'[handlers.file]\nallowed_folders = ["{self.images}"]\n'
            f'[handlers.http]\nallowed_networks = ["127.0.0.1", "10.0.0.0/8"]\nallowed_ports = []\n{self.extra}'
        )

    def add(self, name: str, data: bytes, *urls: str) -> None:
        """Puts an image into its catalog."""
        document = {
            "id": name, "name": name, "size": len(data), "disk_format": "raw", "container_format": "bare",
            "os_hash_algo": "sha256", "os_hash_value": hashlib.sha256(data).hexdigest(),
            "locations": [{"url": each} for each in urls],
        }  # fmt: skip
        (self.top / "catalog" / f"{name}.json").write_text(json.dumps(document))

    def start(self, *arguments: str, stop: Stop | None = None) -> Running:
        """Starts a command. With `stop` it stops itself there."""
        lading = ["-m", "lading"] if stop is None else ["-c", STOPPING, *stop]
        command = [*self.prefix, sys.executable, *lading, *arguments]
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.top),
            "PYTHONPATH": os.pathsep.join([*map(str, self.packages), *sys.path]),
            "LADING_CONFIG": str(self.top / "lading.toml"),
        }
        self.started.append(
            Running(
                subprocess.Popen(
                    command, cwd=self.top, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
                )
            )
        )
        return self.started[-1]

    def end(self) -> None:
        """Ends what still runs."""
        for each in self.started:
            if each.process.returncode is None:
                each.kill()

    def run(self, *arguments: str) -> Done:
        return self.start(*arguments).end()

    def path(self, name: str) -> str:
        return str(self.vms / name)

    @property
    def associations(self) -> EtcdAssociations:
        locks = etcd_locks(self.etcd, self.namespace, self.name, scope=self.scope)
        return etcd_associations(self.etcd, self.namespace, self.name, locks=locks)

    def recorded(self, name: str) -> Association | None:
        found = self.associations.get(self.path(name))
        assert not isinstance(found, Failure)
        return found.unwrap()

    def intents(self) -> Sequence[Intent]:
        """The operations in its journal."""
        database = Database(self.top / "state" / "journal.sqlite")
        try:
            return list(FileJournal(database).list())
        finally:
            database.close()


def lock_keys(etcd: Etcd, namespace: str) -> Sequence[Mapping[str, str]]:
    """The keys of all locks in the namespace, oldest first."""
    prefix = Keys(namespace)._prefix("locks")  # noqa: SLF001 - a test looks behind it
    question = {
        "key": b64encode(prefix).decode(), "range_end": b64encode(prefix[:-1] + b"0").decode(),
        "sort_target": "CREATE", "sort_order": "ASCEND",
    }  # fmt: skip
    found: Sequence[Mapping[str, str]] = etcd.members[0].ask("kv/range", question).get("kvs", [])
    return found


def revoke_leases(etcd: Etcd, namespace: str) -> None:
    """Ends the leases of all locks in the namespace at once, as if their time were over."""
    leases = {each["lease"] for each in lock_keys(etcd, namespace)}
    assert leases, "no lock is held"
    for lease in leases:
        etcd.members[0].ask("lease/revoke", {"ID": lease})


def wait_until(is_so: Callable[[], bool]) -> None:
    """Returns when it is so. Fails after GUARD seconds."""
    give_up = time.monotonic() + GUARD
    while not is_so():
        assert time.monotonic() < give_up
        time.sleep(0.02)
