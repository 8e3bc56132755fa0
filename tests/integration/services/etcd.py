"""A real etcd, of one member or of several, which a test may stop, kill, freeze and start again."""

import json
import ssl
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from tests.integration.services.certificates import Certificates, certificates
from tests.integration.services.network import Host
from tests.integration.services.running import LOOPBACK, Process, free_port
from tests.packages import program, want

from lading.adapters.etcd.settings import EtcdSettings


@dataclass(frozen=True, slots=True)
class Member:
    """One etcd."""

    process: Process
    url: str
    certificates: Certificates | None
    host: Host | None = None
    """The namespace in which it runs, which may be disconnected; None: it is on loopback."""

    def start(self, *, wait: bool = True) -> None:
        """Again, on the same ports and with what it has. Without `wait` it may not be ready yet."""
        self.process.start(self.is_ready if wait else lambda: True)

    def is_ready(self) -> bool:
        """Whether it answers, and the cluster has a leader."""
        try:
            return bool(self.ask("kv/range", {"key": "eA=="}, seconds=1))
        except HTTPError as error:
            return error.code < HTTPStatus.INTERNAL_SERVER_ERROR  # it wants a user, or has no gateway
        except OSError:
            return False

    def ask(self, path: str, question: object, seconds: float = 10, *, token: str | None = None) -> dict[str, Any]:
        """Its answer to a question as the JSON gateway takes it. `token`: of the user who asks."""
        data = json.dumps(question).encode()
        headers = {"Content-Type": "application/json", **({"Authorization": token} if token else {})}
        request = urllib.request.Request(f"{self.url}/v3/{path}", data, headers)  # noqa: S310
        tls = None
        if self.certificates is not None:
            tls = ssl.create_default_context(cafile=str(self.certificates.authority))
            tls.load_cert_chain(self.certificates.server, self.certificates.key)
        with urllib.request.urlopen(request, timeout=seconds, context=tls) as answer:  # noqa: S310
            found: dict[str, Any] = json.load(answer)
            return found

    def requests(self, method: str) -> int:
        """How many requests of the method it took, for example `Txn`. It has no TLS."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as answer:  # noqa: S310
            lines = answer.read().decode().splitlines()
        started = [each for each in lines if each.startswith("grpc_server_started_total{")]
        return sum(int(each.rpartition(" ")[2]) for each in started if f'grpc_method="{method}"' in each)


@dataclass(frozen=True, slots=True)
class Etcd:
    """A cluster."""

    members: Sequence[Member]

    @property
    def endpoints(self) -> tuple[str, ...]:
        return tuple(each.url for each in self.members)

    def settings(self, **others: object) -> EtcdSettings:
        """Settings for it. `others` are further ones."""
        return EtcdSettings(**{"endpoints": self.endpoints, **others})  # type: ignore[arg-type]  # as a dataclass takes them

    def leader(self) -> Member:
        """The member that leads now. Waits for an election."""
        while True:
            answers = [each.ask("maintenance/status", {}) for each in self.members]
            ids = {answer["header"]["member_id"]: each for answer, each in zip(answers, self.members, strict=True)}
            if (found := ids.get(answers[0].get("leader"))) is not None:
                return found
            time.sleep(0.05)

    def compact(self) -> None:
        """Forgets all revisions but the last."""
        revision = self.members[0].ask("kv/range", {"key": "eA=="})["header"]["revision"]
        self.members[0].ask("kv/compaction", {"revision": revision, "physical": True})


@contextmanager
def etcd(
    top: Path,
    size: int = 1,
    *,
    tls: bool = False,
    command: str | None = None,
    options: Sequence[str] = (),
    hosts: Sequence[Host] = (),
) -> Iterator[Etcd]:
    """A cluster of so many members that writes into this folder only. `tls`: it takes only clients with a certificate.

    It does not wait for the disk: a member that is killed loses nothing by that, only one whose host loses its power.
    `command` is another etcd than the system's. `hosts`: one for each member; without, all are on loopback.
    """
    found = command or program("etcd")
    assert found is not None, want("etcd")
    own = certificates(top) if tls else None
    scheme = "https" if tls else "http"
    ports = [(free_port(), free_port()) for _ in range(size)]
    names = [f"m{number}" for number in range(size)]
    addresses = [each.address for each in hosts] or [LOOPBACK] * size
    peers = [f"http://{address}:{peer}" for address, (_, peer) in zip(addresses, ports, strict=True)]
    cluster = ",".join(f"{name}={peer}" for name, peer in zip(names, peers, strict=True))
    members = []
    for number, (name, peer) in enumerate(zip(names, peers, strict=True)):
        folder = top / name
        folder.mkdir()
        url = f"{scheme}://{addresses[number]}:{ports[number][0]}"
        arguments = [
            *(hosts[number].command if hosts else ()),
            found, "--name", name, "--data-dir", str(folder / "data"), "--log-level", "warn", "--unsafe-no-fsync",
            "--listen-client-urls", url, "--advertise-client-urls", url,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", cluster, *options,
        ]  # fmt: skip
        if own is not None:
            arguments += ["--cert-file", str(own.server), "--key-file", str(own.key)]
            arguments += ["--client-cert-auth", "--trusted-ca-file", str(own.authority)]
        members.append(
            Member(
                Process(arguments, folder, () if hosts else ports[number]), url, own, hosts[number] if hosts else None
            )
        )
    running = Etcd(members)
    try:
        for each in members:
            each.start(wait=False)  # none is ready before most of them run
        for each in members:
            each.process.wait_ready(each.is_ready)
        yield running
    finally:
        for each in members:
            each.process.kill()
