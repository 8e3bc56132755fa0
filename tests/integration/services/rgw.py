"""Ceph's object gateway: S3 and Swift over one namespace, in which a bucket is a container."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Final, NamedTuple
from urllib.parse import quote

from tests.integration.services.access import Access, AccessLog
from tests.integration.services.asking import AGENT, Answer, ask, responds
from tests.integration.services.ceph import Ceph
from tests.integration.services.keystone import RGW, Keystone
from tests.integration.services.running import LOOPBACK, Process, free_port
from tests.integration.services.wsgi import shown
from tests.packages import want

USER: Final = "test"
SWIFT_USER: Final = f"{USER}:swift"
SWIFT_KEY: Final = "swift-secret"
ANSWERED: Final = re.compile(
    r'beast: \S+: \S+ - \S+ \[[^\]]*\] "(?P<method>\S+) (?P<target>\S+) \S+" (?P<status>\d+) (?P<sent>\d+)'
    r' \S+ (?P<agent>"[^"]*"|-) (?P<range>\S+) latency='
)
"""How it writes a request down when it has answered it."""


class S3Key(NamedTuple):
    access: str
    secret: str


KEY: Final = S3Key("TESTACCESSKEY", "test/secret+key")
"""Its secret is as awkward in a URL as real ones are."""


@dataclass(slots=True)
class Rgw:
    """A running gateway. Names of buckets are of at least three characters; what is put there, S3 and Swift read."""

    ceph: Ceph
    process: Process
    port: int

    @property
    def host(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def url(self) -> str:
        """S3's endpoint."""
        return f"http://{self.host}"

    @property
    def auth_url(self) -> str:
        """Where Swift's first kind of authentication gives `SWIFT_USER` a token for `SWIFT_KEY`."""
        return f"{self.url}/auth/v1.0"

    @property
    def storage_url(self) -> str:
        """That user's account."""
        return self._signed_in().headers["x-storage-url"]

    def token(self) -> str:
        """For `SWIFT_USER`."""
        return self._signed_in().headers["x-auth-token"]

    def _signed_in(self) -> Answer:
        named = {"X-Auth-User": SWIFT_USER, "X-Auth-Key": SWIFT_KEY}
        return ask("GET", self.auth_url, headers=named).expect(200, 204)

    def ask(
        self, method: str, path: str, body: bytes | None = None, *, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """A Swift request by `SWIFT_USER` to a path below the account, such as `container/object`."""
        signed_in = self._signed_in().headers
        known = {"X-Auth-Token": signed_in["x-auth-token"], "Content-Length": str(len(body or b""))}
        return ask(method, f"{signed_in['x-storage-url']}/{path}", body, {**known, **(headers or {})})

    @property
    def log(self) -> AccessLog:
        """What it was asked by others. No credentials are known of the requests."""
        return _Log(self.process.log)

    def accesses(self, about: str = "", *, since: int = 0, at_least: int = 0) -> list[Access]:
        """What others asked about this, for example an object's name."""
        return self.log.entries(about, since=since, at_least=at_least)

    # Objects

    def bucket(self, name: str, *, public: bool = False) -> str:
        """A new bucket, which anyone may read if it is public: its name."""
        self.ask("PUT", name, headers={"X-Container-Read": ".r:*"} if public else {}).expect(201, 202)
        return name

    def put(self, bucket: str, key: str, data: bytes, **headers: str) -> str:
        """An object: its S3 location, without credentials."""
        self.ask("PUT", _path(bucket, key), data, headers=headers).expect(201)
        return self.s3_location(bucket, key)

    def get(self, bucket: str, key: str) -> bytes:
        return self.ask("GET", _path(bucket, key)).expect(200).body

    def has(self, bucket: str, key: str) -> bool:
        return self.ask("HEAD", _path(bucket, key)).expect(200, 204, 404).status != 404

    def objects(self, bucket: str) -> list[str]:
        return self.ask("GET", bucket).expect(200, 204).body.decode().splitlines()

    def delete(self, bucket: str, key: str) -> None:
        self.ask("DELETE", _path(bucket, key)).expect(204)

    def corrupt(self, bucket: str, key: str) -> None:
        """Flip a bit in the middle of an object; the size stays, the ETag doesn't."""
        data = bytearray(self.get(bucket, key))
        data[len(data) // 2] ^= 1
        self.put(bucket, key, bytes(data))

    def put_dynamic(self, container: str, name: str, parts: Sequence[bytes]) -> None:
        """A dynamic large object: whatever is found under its prefix, in the order of the names."""
        self._put_parts(container, name, parts)
        manifest = {"X-Object-Manifest": f"{container}/{quote(name)}/"}
        self.ask("PUT", _path(container, name), b"", headers=manifest).expect(201)

    def put_static(self, container: str, name: str, parts: Sequence[bytes]) -> None:
        """A static large object: a list of its segments, with their hashes."""
        etags = self._put_parts(container, name, parts)
        listed = [
            {"path": f"/{container}/{_part(name, number)}", "etag": etag, "size_bytes": len(part)}
            for number, (part, etag) in enumerate(zip(parts, etags, strict=True))
        ]
        path = f"{_path(container, name)}?multipart-manifest=put"
        self.ask("PUT", path, json.dumps(listed).encode()).expect(201)

    def _put_parts(self, container: str, name: str, parts: Sequence[bytes]) -> list[str]:
        """Their ETags."""
        answers = [
            self.ask("PUT", _path(container, _part(name, number)), part).expect(201)
            for number, part in enumerate(parts)
        ]
        return [each.headers["etag"].strip('"') for each in answers]

    # Locations, as Glance's stores write them

    def s3_location(self, bucket: str, key: str, credentials: S3Key | None = None) -> str:
        """With credentials as Glance used to write them: neither part is quoted."""
        userinfo = "" if credentials is None else f"{credentials.access}:{credentials.secret}@"
        return f"{'s3' if credentials is None else 's3+http'}://{userinfo}{self.host}/{bucket}/{key}"

    def swift_location(self, container: str, name: str) -> str:
        """By which one authenticates as `SWIFT_USER` in Swift's first way."""
        userinfo = f"{quote(SWIFT_USER, safe='')}:{quote(SWIFT_KEY, safe='')}"
        return f"swift+http://{userinfo}@{self.host}/auth/v1.0/{container}/{name}"

    # Keys

    def add_key(self, key: S3Key) -> S3Key:
        """One more key of the same user's."""
        named = (f"--access-key={key.access}", f"--secret-key={key.secret}")
        self._administer("key", "create", f"--uid={USER}", "--key-type=s3", *named)
        return key

    def revoke(self, key: S3Key) -> None:
        """Nobody is let in by this key any more."""
        self._administer("key", "rm", f"--uid={USER}", "--key-type=s3", f"--access-key={key.access}")

    def _administer(self, *arguments: str) -> None:
        self.ceph.command("radosgw-admin", *arguments)

    # The service

    def start(self) -> None:
        """Again, on the same port and with the same objects."""
        self.process.start(lambda: responds(self.url, 200))

    def stop(self) -> None:
        self.process.stop()

    def kill(self) -> None:
        self.process.kill()

    def freeze(self) -> None:
        self.process.freeze()

    def thaw(self) -> None:
        self.process.thaw()


def lacking_gateway() -> str | None:
    """What the machine lacks for it, if anything."""
    return None if which("radosgw") else want("radosgw", "Ceph's object gateway")


@contextmanager
def rgw(folder: Path, ceph: Ceph, *, keystone: Keystone | None = None) -> Iterator[Rgw]:
    """A gateway to this cluster's objects, which all of its gateways share.

    With a Keystone, whose catalog names it from now on, its tokens count for Swift too.
    """
    port = free_port()
    settings = {
        "rgw_frontends": f"beast endpoint={LOOPBACK}:{port}",
        "rgw_data": folder,
        "rgw_swift_account_in_url": True,
        # Gateways that cache tell each other of changes, and wait half a minute for one that was killed or frozen.
        "rgw_cache_enabled": False,
        # Nobody tidies up in the background.
        "rgw_enable_gc_threads": False,
        "rgw_enable_lc_threads": False,
        "rgw_enable_quota_threads": False,
        "rgw_run_sync_thread": False,
        "rgw_thread_pool_size": 32,
        # Requests are written down at this level.
        "debug_rgw": "1/1",
        "log_to_stderr": True,
        **({} if keystone is None else _keystone(keystone)),
    }
    options = [f"--{name}={shown(value)}" for name, value in settings.items()]
    process = Process(["radosgw", "-f", "-n", "client.admin", *options], folder, [port], {"CEPH_CONF": str(ceph.conf)})
    running = Rgw(ceph, process, port)
    try:
        running.start()
        _populate(running)
        if keystone is not None:
            keystone.point_object_endpoint(f"{running.url}/swift/v1/AUTH_%(project_id)s")
        yield running
    finally:
        running.kill()


def _populate(running: Rgw) -> None:
    """The user, with a key for each of both kinds; another gateway may have made them."""
    if USER in json.loads(running.ceph.command("radosgw-admin", "user", "list")):
        return
    named = (f"--access-key={KEY.access}", f"--secret-key={KEY.secret}")
    running.ceph.command("radosgw-admin", "user", "create", f"--uid={USER}", "--display-name=Test", *named)
    swift = ("--access=full", "--key-type=swift", f"--secret-key={SWIFT_KEY}")
    running.ceph.command("radosgw-admin", "subuser", "create", f"--uid={USER}", f"--subuser={SWIFT_USER}", *swift)


def _keystone(keystone: Keystone) -> dict[str, object]:
    return {
        "rgw_keystone_url": keystone.url,
        "rgw_keystone_api_version": 3,
        "rgw_keystone_admin_user": RGW.name,
        "rgw_keystone_admin_password": RGW.password,
        "rgw_keystone_admin_domain": "Default",  # its name, unlike elsewhere its id
        "rgw_keystone_admin_project": RGW.project,
        "rgw_keystone_accepted_roles": "admin,member,service",
        "rgw_keystone_implicit_tenants": False,
    }


def _path(bucket: str, key: str) -> str:
    return f"{bucket}/{quote(key)}"


def _part(name: str, number: int) -> str:
    return f"{name}/{number:08}"


class _Log(AccessLog):
    """Requests among all that the gateway writes."""

    __slots__ = ()

    def _read(self) -> list[Access]:
        lines = self.path.read_text(errors="replace").splitlines()
        found = [_parsed(each) for line in lines if (each := ANSWERED.search(line))]
        return [each for each in found if each.agent != AGENT]


def _parsed(found: re.Match[str]) -> Access:
    wanted, agent = (None if found[each] == "-" else found[each].strip('"') for each in ("range", "agent"))
    status, sent = int(found["status"]), int(found["sent"])
    return Access(found["method"], found["target"], status, sent, wanted, None, None, agent)
