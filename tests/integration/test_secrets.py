"""Credentials are in nothing that lading says or writes: every command and many a failure, run with marked ones."""

import base64
import hashlib
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest
from tests.disk.forking import Forks
from tests.faulty_server import FaultyServer, Reply, redirect

USER: Final = "us3rM4RK"
PASSWORD: Final = "p4ssM4RK/w?th#0dd@s1gns"  # noqa: S105 - it opens nothing
SIGNATURE: Final = "s1gnatureM4RK"
MARKS: Final = (
    "M4RK", "w?th#0dd", "s1gns", quote(PASSWORD, safe=""),
    base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(), base64.b64encode(PASSWORD.encode()).decode(),
)  # fmt: skip
DATA: Final = os.urandom(3_000_000)
VERBOSITIES: Final = ((), ("-vv",), ("--json", "-vv"))


def marks_in(said: bytes) -> list[str]:
    return [mark for mark in MARKS if mark.encode() in said]


class Marked:
    """A host whose catalog is full of credentials."""

    def __init__(self, top: Path, forks: Forks, origin: FaultyServer) -> None:
        self.top, self._forks, self._origin = top, forks, origin
        for folder in ("vms", "catalog", "state"):
            (top / folder).mkdir(exist_ok=True)
        authority = f"127.0.0.1:{origin.port}"
        userinfo = f"{USER}:{quote(PASSWORD, safe='')}"
        origin.answer(f"/good?sig={SIGNATURE}", Reply(DATA))
        origin.answer("/cut", Reply(DATA, after=2_500_000))
        origin.answer("/wrong", Reply(b"x" * len(DATA)))
        origin.answer("/refused", Reply(f"{USER}:{PASSWORD}".encode(), status=403))
        origin.answer("/moved", redirect(f"http://{userinfo}@{authority}/nowhere?sig={SIGNATURE}"))
        origin.answer("/away", redirect(f"http://{userinfo}@169.254.169.254/?sig={SIGNATURE}"))
        origin.answer("/nonsense", f"HTTP/1.1 999 {USER} {PASSWORD}\r\n\r\n".encode())
        self.image("good", f"http://{userinfo}@{authority}/good?sig={SIGNATURE}#{SIGNATURE}")
        for name in ("cut", "wrong", "refused", "moved", "away", "nonsense"):
            self.image(name, f"http://{userinfo}@{authority}/{name}")
        self.image("port", f"http://{userinfo}@127.0.0.1:none/x")
        self.image("bracket", f"http://{userinfo}@[::1/x")
        self.image("unknown", f"http://{userinfo}@nobody.invalid/x")
        self.image("closed", f"http://{userinfo}@127.0.0.1:1/x")
        self.image("s3", f"s3+http://{USER}:{PASSWORD}@{authority}/refused/key")
        self.image("s3 elsewhere", f"s3://{USER}:{PASSWORD}@127.0.0.1:1/bucket/key")
        origin.answer("/refused/key", Reply(f"{USER}:{PASSWORD}".encode(), status=403))
        self.image("swift", f"swift+http://account%3A{USER}:{quote(PASSWORD, safe='')}@{authority}/v3/container/object")
        self.image("swift v1", f"swift+http://account%3A{USER}:{quote(PASSWORD, safe='')}@{authority}/v1.0/container/o")
        self.image("swift elsewhere", f"swift+https://account:{USER}:{PASSWORD}@127.0.0.1:1/v3/container/object")
        blob = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
        self.image("oci", f"oci://{USER}:{quote(PASSWORD, safe='')}@{authority}/vms/noble@{blob}")
        self.image("oci elsewhere", f"oci://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:1/vms/noble@{blob}")
        challenge = ("WWW-Authenticate", f'Basic realm="{USER}"')
        origin.answer(f"/v2/vms/noble/blobs/{blob}", Reply(PASSWORD.encode(), status=401, headers=[challenge]))
        self._endpoint, self._authority = f"http://{authority}", authority
        self.image("rbd", f"rbd:pool/image:id={USER}:key={PASSWORD}")

    def image(self, name: str, url: str) -> None:
        document = {
            "id": name, "name": name, "size": len(DATA), "disk_format": "raw", "container_format": "bare",
            "os_hash_algo": "sha256", "os_hash_value": hashlib.sha256(DATA).hexdigest(), "locations": [{"url": url}],
        }  # fmt: skip
        (self.top / "catalog" / f"{name}.json").write_text(json.dumps(document))

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        known = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.top),
            "LADING_CATALOG__FOLDER": str(self.top / "catalog"),
            "LADING_ASSOCIATIONS__PATH": str(self.top / "state" / "associations.sqlite"),
            "LADING_HANDLERS__ORDER": "http,file,s3,swift,cinder,oci,download",
            "LADING_HANDLERS__S3__ENDPOINT": self._endpoint,
            "LADING_HANDLERS__SWIFT__HOSTS": self._authority,
            "LADING_HANDLERS__OCI__INSECURE": self._authority,
            "LADING_HANDLERS__HTTP__ALLOWED_NETWORKS": "127.0.0.1",
            "LADING_HANDLERS__HTTP__ALLOWED_PORTS": "[]",
            "OS_PASSWORD": PASSWORD,
            "OS_TOKEN": USER,
        }
        return self._forks.run(*arguments, folder=self.top, variables={**known, **variables})

    def leaks(self, done: subprocess.CompletedProcess[str]) -> Iterator[tuple[str, str]]:
        """Each place where a mark is: what was said, and whatever was written."""
        for place, said in (("stdout", done.stdout), ("stderr", done.stderr)):
            yield from ((place, mark) for mark in marks_in(said.encode(errors="surrogateescape")))
        for path in self.top.rglob("*"):
            if path.is_file() and path.parent.name != "catalog":
                yield from ((path.name, mark) for mark in marks_in(path.read_bytes()))


@pytest.fixture
def marked(host: Path, forks: Sequence[Forks], faulty_server: FaultyServer) -> Marked:
    return Marked(host, forks[0], faulty_server)


def every_command() -> list[tuple[str, ...]]:
    failing = (
        "cut",
        "wrong",
        "refused",
        "moved",
        "away",
        "nonsense",
        "port",
        "bracket",
        "closed",
        "s3",
        "s3 elsewhere",
        "swift",
        "swift v1",
        "swift elsewhere",
        "rbd",
        "oci",
        "oci elsewhere",
    )
    return [
        *((verb, name, f"vms/{name}") for name in failing for verb in ("explain", "fetch")),
        ("explain", "good", "vms/1"),
        ("fetch", "good", "vms/1"),
        ("fetch", "good", "vms/1"),
        ("show", "vms/1"),
        ("ls",),
        ("verify", "--all"),
        ("mv", "vms/1", "vms/2"),
        ("fetch", "good", "vms/2", "--force"),
        ("rm", "vms/2"),
        ("recover",),
        ("handlers",),
        ("catalog", "ls"),
        ("catalog", "show", "good"),
        ("catalog", "show", "s3"),
    ]


@pytest.mark.parametrize("options", VERBOSITIES, ids=" ".join)
def test_no_command_says_or_writes_a_credential(marked: Marked, options: tuple[str, ...]) -> None:
    found = []
    for command in every_command():
        done = marked.run(*command, *options)
        found += [(command, *leak) for leak in marked.leaks(done)]
        assert "internal error" not in done.stderr
    assert found == []


def test_the_search_finds_what_is_there(marked: Marked) -> None:
    (marked.top / "vms" / "leak").write_text(f"http://{USER}@host/")
    done = subprocess.CompletedProcess([], 0, f"said {PASSWORD}", "")
    assert {place for place, _ in marked.leaks(done)} == {"stdout", "leak"}


def test_what_is_written_about_a_fetch_that_was_killed_holds_no_credential(
    marked: Marked, forks: Sequence[Forks], faulty_server: FaultyServer
) -> None:
    marked.run("fetch", "cut", "vms/1")
    for options in VERBOSITIES:
        done = marked.run("recover", *options)
        assert [*marked.leaks(done)] == []


def test_settings_that_are_wrong_are_told_without_their_secrets(marked: Marked) -> None:
    for name, value in (("CATALOG__PASSWORD", PASSWORD), ("HANDLERS__HTTP__TOKEN", PASSWORD), ("CATALOG__KIND", "x")):
        done = marked.run("ls", **{f"LADING_{name}": value})
        assert (done.returncode, [*marked.leaks(done)]) == (2, [])


@pytest.mark.parametrize("mask", [0o000, 0o077, 0o777])
def test_files_are_for_their_owners_eyes_only_whatever_the_mask(
    marked: Marked, mask: int, lading: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    before = os.umask(mask)
    try:
        environment = {
            "LADING_HANDLERS__HTTP__ALLOWED_NETWORKS": "127.0.0.1",
            "LADING_HANDLERS__HTTP__ALLOWED_PORTS": "[]",
        }
        done = lading(
            "fetch", "good", "vms/1", LADING_CATALOG__FOLDER=str(marked.top / "catalog"),
            LADING_ASSOCIATIONS__PATH=str(marked.top / "deep" / "state" / "a.sqlite"), **environment,
        )  # fmt: skip
        added = lading("catalog", "add", "vms/1", HOME=str(marked.top / "deep" / "home"))
    finally:
        os.umask(before)
    assert (added.returncode, added.stderr) == (0, "")
    assert (done.returncode, done.stderr) == (0, "")
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in (marked.top / "deep").rglob("*")
        if not path.is_symlink()
    }
    modes["1"] = stat.S_IMODE((marked.top / "vms" / "1").stat().st_mode)
    assert {mode & 0o077 for mode in modes.values()} == {0}
    assert modes["1"] == 0o600


# Somebody else's code, which says all that it knows.

LEAKY = f'''
import logging, threading, warnings
from returns.result import Failure, Success
from lading import CatalogUnavailable, Image, Landing, Location, StoreUnavailable, Unavailable

USER, PASSWORD, SIGNATURE = {USER!r}, {PASSWORD!r}, {SIGNATURE!r}
log = logging.getLogger("leaky")

class Leak(Exception):
    """Repeats whatever it was given."""

class Clumsy:
    def __repr__(self): raise Leak(PASSWORD)

class Dying:
    def __del__(self): raise Leak(PASSWORD)

def tell(**known):
    log.warning("signing in with http:/%s:%s@host", USER, "{PASSWORD}")
    log.debug("headers: %s", {{"X-Auth-Token": USER + SIGNATURE, "Authorization": b"Basic " + PASSWORD.encode()}})
    log.debug('{{"auth": {{"password": "%s"}}}}', PASSWORD)
    log.debug("GET /gold/noble?sig=%s HTTP/1.1", SIGNATURE)
    log.debug("X-Auth-Token: %s", SIGNATURE)
    log.debug("the setting is %s", known.get("setting"))
    log.debug("%d", PASSWORD)
    log.debug("%s", Clumsy())
    warnings.warn("see http://%s:%s@host" % (USER, "{PASSWORD}"))
    Dying()
    for target in fail, quit:
        thread = threading.Thread(target=target)
        thread.start()
        thread.join()

def fail(*_, **known):
    try:
        raise KeyError(USER, PASSWORD)
    except KeyError as error:
        error.add_note(PASSWORD)
        raise ExceptionGroup(PASSWORD, [Leak(PASSWORD, SIGNATURE, known), OSError(13, PASSWORD)]) from error

class Handler:
    schemes, is_local = frozenset({{"leaky"}}), False
    def __init__(self, setup):
        self.name, self.setting = type(self).__name__.lower(), setup.settings["password"]
    def prepare(self, associations):
        tell(setting=self.setting)
        fail(setting=self.setting)
    preview = fetch = remove = move = verify = recover = report = fail

class Raising(Handler):
    pass

class Landing_(Handler):
    def __init__(self, setup):
        super().__init__(setup)
        self.name = "landing"
    def fetch(self, work): return Success(Landing("copy"))
    def preview(self, work): return Success("as http:///%s:%s@host has it" % (USER, "{PASSWORD}"))

class Refusing(Handler):
    def fetch(self, work): return Failure(Unavailable("http:///%s:%s@host has nothing" % (USER, "{PASSWORD}")))
    preview = fetch

class Unbuilt(Handler):
    def __init__(self, setup): fail(setting=setup.settings)

class Catalog:
    def __init__(self, options): self.options = options
    def find(self, reference, context):
        if reference == "raise": fail()
        place = "swift+https:/%s:%s@host" % (USER, PASSWORD)
        if reference == "refuse": return Failure(CatalogUnavailable(place + " is away"))
        url = "http:/%s:%s@host/a?sig=%s" % (USER, "{PASSWORD}", SIGNATURE)
        properties = {{"copy_from": url, "image_url": [url], "nested": {{"url": url, "deeper": [{{"url": url}}]}}}}
        location = Location("leaky://%s:%s@host/x" % (USER, PASSWORD), {{"at": url}})
        return Success(Image("1", "noble", locations=[location], properties=properties))
    def locations(self, image, context): return Success(image.locations)

class Broken:
    def __init__(self, options): fail(options=options)

class Store:
    def __init__(self, options): ...
    get = put = remove = list = fail
'''
ENTRY_POINTS: Final = """
[lading.handlers]
raising = leaky:Raising
landing = leaky:Landing_
refusing = leaky:Refusing
unbuilt = leaky:Unbuilt
[lading.catalogs]
leaky = leaky:Catalog
broken = leaky:Broken
[lading.associations]
leaky = leaky:Store
[lading.locks]
broken = leaky:Broken
"""


@pytest.fixture
def leaky(marked: Marked) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command with a distribution whose code leaks secrets wherever it is called."""
    site = marked.top / "catalog"  # where marks are not looked for
    (site / "leaky-1.0.dist-info").mkdir()
    (site / "leaky-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: leaky\nVersion: 1.0\n")
    (site / "leaky-1.0.dist-info" / "entry_points.txt").write_text(ENTRY_POINTS)
    (site / "leaky.py").write_text(LEAKY)
    known = {
        "PYTHONPATH": str(site),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LADING_CATALOG__KIND": "leaky",
        "LADING_CATALOG__TOKEN": PASSWORD,
        **{f"LADING_HANDLERS__{each}__PASSWORD": PASSWORD for each in ("RAISING", "LANDING", "REFUSING", "UNBUILT")},
    }

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "HOME": str(marked.top), "OS_PASSWORD": PASSWORD, **known, **variables}
        program = [sys.executable, "-m", "lading", *arguments]
        return subprocess.run(program, cwd=marked.top, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.mark.parametrize("options", [("-vv",), ("--json",)], ids=" ".join)
def test_what_somebody_else_s_code_says_leaks_nothing(
    marked: Marked, leaky: Callable[..., subprocess.CompletedProcess[str]], options: tuple[str, ...]
) -> None:
    order, said = {"LADING_HANDLERS__ORDER": "unbuilt,raising,refusing,landing"}, ""
    runs: list[tuple[tuple[str, ...], dict[str, str]]] = [
        (("explain", "noble", "vms/1"), order),
        (("fetch", "noble", "vms/1"), order),
        (("catalog", "show", "noble"), {}),
        (("fetch", "raise", "vms/2"), order),
        (("fetch", "refuse", "vms/2"), order),
        *(((verb, "vms/1"), order) for verb in ("show", "verify", "rm")),
        (("mv", "vms/1", "vms/2"), order),
        (("recover",), order),
        (("handlers",), order),
        (("fetch", "noble", "vms/3"), {"LADING_HANDLERS__ORDER": "raising,refusing"}),
        (("fetch", "noble", "vms/3"), {"LADING_CATALOG__KIND": "broken"}),
        (("fetch", "noble", "vms/3"), {"LADING_LOCKS__KIND": "broken"}),
        (("ls",), {"LADING_ASSOCIATIONS__KIND": "leaky"}),
        (("fetch", "noble", "vms/4"), {"LADING_ASSOCIATIONS__KIND": "leaky", **order}),
    ]
    found = []
    for command, variables in runs:
        done = leaky(*command, *options, **variables)
        said += done.stderr + done.stdout
        found += [(command, *leak) for leak in marked.leaks(done)]
    assert found == []
    assert "SystemExit" not in said
    assert "bug in lading" not in said
    # It was all called.
    for told in (
        "unbuilt is skipped",
        "raised ExceptionGroup",
        "***@host has nothing",
        "could not be built",
        "this is a bug in leaky 1.0",
        "***@host/a?***",
    ):
        assert told in said, told
    if "-vv" in options:
        for told in (
            "in fail",
            "builtins.KeyError",
            "leaky.Leak",
            "cannot be formatted",
            "X-Auth-Token",
            "unhandled exception",
        ):
            assert told in said, told
