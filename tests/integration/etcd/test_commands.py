"""The commands over a record of many hosts: ls, who-has, verify, and the copy from and to a file."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.etcd_record import etcd_associations
from tests.integration.conftest import Lading, record
from tests.integration.services.etcd import Etcd
from tests.torture import TORTURE

from lading import Association, AssociationStore, Digest, Image, Intent, Verb
from lading.adapters.sqlite.associations import FileAssociations, put_step
from lading.adapters.sqlite.database import Database
from lading.adapters.sqlite.journal import FileJournal

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DIGEST = Digest("sha512", "ab" * 64)
NOBLE = Image("155d900f", "noble", digest=DIGEST)
MANY = 1_100 if TORTURE else 200
"""For the torture more than a page of a list."""
SOME = 300

Record = Callable[..., AssociationStore]
Rows = list[dict[str, Any]]


def association(target: str, **others: object) -> Association:
    known = Association(target, "file", NOBLE, None, NOW, size=10, digest=DIGEST, verified=True)
    return replace(known, **others)  # type: ignore[arg-type]  # as a dataclass takes them


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


@pytest.fixture
def settings(host: Path, etcd: Etcd, namespace: str) -> Path:
    """The settings of host1, in etcd."""
    path = host / "etcd.toml"
    path.write_text(
        f'[associations]\nkind = "etcd"\nendpoints = {json.dumps(etcd.endpoints)}\nnamespace = "{namespace}"\n'
        f'host = "host1"\n[locks]\nkind = "etcd"\nlease = 10\n[journal]\npath = "{host}/journal.sqlite"\n'
    )
    return path


@pytest.fixture
def on(etcd: Etcd, namespace: str) -> Record:
    """The store of a host."""
    return lambda name="host1": etcd_associations(etcd, namespace, name)


@pytest.fixture
def shared(lading: Lading, settings: Path) -> Lading:
    """The command with the settings in etcd."""
    return lambda *arguments, **variables: lading(*arguments, LADING_CONFIG=str(settings), **variables)


def rows(done: subprocess.CompletedProcess[str]) -> Rows:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


# ls.


def columns(done: subprocess.CompletedProcess[str], number: int) -> list[str]:
    """The first columns of each line; the next ones are the time and the state."""
    return ["\t".join(line.split("\t")[:number]) for line in done.stdout.splitlines()]


def test_ls_lists_one_host_or_all(shared: Lading, on: Record) -> None:
    on("host1").put(association("/vms/1"))
    on("host2").put(association("/vms/1", handler="download"))
    on("host2").put(association("/vms/2", image=Image("2", "jammy"), digest=None))
    one, two, three = "/vms/1\tnoble\tfile\t10 B", "/vms/1\tnoble\tdownload\t10 B", "/vms/2\tjammy\tfile\t10 B"
    assert columns(shared("ls"), 4) == [one]
    assert columns(shared("ls", "--host", "host2"), 4) == [two, three]
    assert columns(shared("ls", "--all"), 5) == [f"host1\t{one}", f"host2\t{two}", f"host2\t{three}"]
    found = rows(shared("ls", "--all", "--image", "noble", "--handler", "download", "--json"))
    assert [(each["host"], each["target"], each["checked"]) for each in found] == [("host2", "/vms/1", None)]
    assert [each["host"] for each in rows(shared("ls", "--host", "host2", "--json"))] == ["host2", "host2"]
    assert "host" not in record(shared("ls", "--json"))


def test_ls_refuses_an_unknown_host(shared: Lading, on: Record) -> None:
    on("compute-17").put(association("/vms/1"))
    on("gpu").put(association("/vms/1", handler="uninstalled"))
    for name, hint in (("compute-18", "did you mean 'compute-17'?"), ("x", "there are: compute-17, gpu, host1")):
        refused = shared("ls", "--host", name)
        assert (refused.returncode, f"nothing is recorded for a host '{name}'; {hint}" in refused.stderr) == (2, True)
    assert rows(shared("ls", "--host", "host1", "--json")) == []  # this host is known, and has no targets
    assert [each["host"] for each in rows(shared("ls", "--all", "--handler", "uninstalled", "--json"))] == ["gpu"]
    assert shared("ls", "--host", "compute-17", "--handler", "uninstalled").returncode == 2
    both = shared("ls", "--all", "--host", "gpu")
    assert (both.returncode, "give one of them" in both.stderr) == (2, True)


def test_a_store_of_one_host_says_which_setting_lists_others(lading: Lading) -> None:
    for options in (["--all"], ["--host", "x"]):
        refused = lading("ls", *options, "--json")
        assert (refused.returncode, record(refused)["error"]) == (2, "settings_error")
        assert '[associations] kind = "file" records only the targets of this host' in refused.stderr
        assert '[associations] kind = "etcd"' in refused.stderr


# The store.


def test_the_store_names_each_host_and_image_once(etcd: Etcd, namespace: str) -> None:
    names = ["a", "a-b", "a b", "aé", "b"]
    stores = [etcd_associations(etcd, namespace, name) for name in names]
    for store in stores:
        for target in ("/vms/1", "/vms/2"):
            store.put(association(target, image=Image("a/b%"), digest=None))
    stores[0].put(association("/vms/3", image=Image("a/b%c")))
    here = etcd_associations(etcd, namespace, "without targets")
    assert list(here.hosts()) == sorted([*names, "without targets"])
    assert list(here.image_names("a/b")) == ["a/b%", "a/b%c"]
    assert list(here.image_names("sha512:abab")) == [str(DIGEST)]
    assert list(here.image_names("c")) == []
    assert set(here.image_names("")) == {"a/b%", "a/b%c", str(DIGEST)}


# who-has.


def test_who_has_finds_an_image_on_all_hosts(shared: Lading, on: Record, noble: Path, host: Path) -> None:
    fetched = record(shared("fetch", "noble", "vms/1", "--json"))
    image = Image(fetched["image"], "noble", digest=Digest(*fetched["digest"].split(":")))
    on("host2").put(association("/vms/9", image=replace(image, id="of another cloud"), digest=None, verified=False))
    on("host3").put(association("/vms/9", image=Image("other"), digest=None))
    expected = [("host1", fetched["target"], "verified"), ("host2", "/vms/9", "unverified")]
    for reference in ("noble", fetched["image"], fetched["digest"], fetched["digest"][:19], fetched["digest"].upper()):
        found = rows(shared("who-has", reference, "--json"))
        assert [(each["host"], each["target"], each["state"]) for each in found] == expected
    shared("catalog", "rm", "noble")
    assert [each["host"] for each in rows(shared("who-has", fetched["image"], "--json"))] == ["host1"]
    assert [each["host"] for each in rows(shared("who-has", fetched["digest"], "--json"))] == ["host1", "host2"]
    assert "verified, landed 20" in shared("who-has", fetched["digest"]).stdout


def test_who_has_says_what_the_last_verification_found(shared: Lading, noble: Path, host: Path) -> None:
    shared("fetch", "noble", "vms/1")
    assert shared("verify", "vms/1").returncode == 0
    found = record(shared("who-has", "noble", "--json"))
    assert (found["state"], found["checked"]["state"]) == ("intact", "intact")
    assert record(shared("show", "vms/1", "--json"))["checked"] == found["checked"]
    with (host / "vms" / "1").open("r+b") as disk:
        disk.write(b"a guest wrote here")
    assert shared("verify", "vms/1").returncode == 8
    assert record(shared("who-has", "noble", "--json"))["state"] == "changed"
    (host / "vms" / "1").unlink()
    assert shared("verify", "vms/1").returncode == 8
    assert "\tmissing, checked 20" in shared("who-has", "noble").stdout
    assert "checked:   missing, 20" in shared("show", "vms/1").stdout
    assert record(shared("ls", "--all", "--json"))["checked"]["state"] == "missing"


def test_a_store_of_one_host_answers_for_this_host(lading: Lading, noble: Path) -> None:
    fetched = record(lading("fetch", "noble", "vms/1", "--json"))
    found = record(lading("who-has", fetched["digest"][:20], "--json"))
    assert (found["host"], found["target"]) == (os.uname().nodename, fetched["target"])
    lading("rm", "vms/1")
    nothing = lading("who-has", "noble", "--json")
    assert (nothing.returncode, record(nothing)["error"]) == (6, "not_held")
    unknown = lading("who-has", "plucky", "--json")
    assert (unknown.returncode, record(unknown)["error"]) == (3, "image_not_found")


# associations copy.


@pytest.fixture
def database(quick_folder: Path) -> Path:
    return quick_folder / "lading" / "associations.sqlite"


@pytest.fixture
def file(host: Path, database: Path) -> Path:
    """The settings of this host, in a file."""
    path = host / "file.toml"
    path.write_text(f'[associations]\npath = "{database}"\n')
    return path


def fill(path: Path, count: int) -> list[Association]:
    known = [association(f"/vms/{number:05}") for number in range(count)]
    with closing(Database(path)) as database:
        database.change(*map(put_step, known))
    return known


def listed(path: Path) -> list[Association]:
    with closing(Database(path)) as database:
        return list(FileAssociations(database).list())


def counts(done: subprocess.CompletedProcess[str]) -> tuple[int, int, int]:
    found: Mapping[str, Any] = record(done)
    return found["copied"], found["replaced"], found["present"]


def test_a_copy_goes_to_etcd_and_back(
    lading: Lading, host: Path, database: Path, file: Path, settings: Path, on: Record
) -> None:
    known = fill(database, MANY)
    there = ("associations", "copy", "--config", str(file), "--to", str(settings), "--json")
    assert counts(lading(*there)) == (MANY, 0, 0)
    assert list(on().list()) == known == listed(database)
    assert counts(lading(*there)) == (0, 0, MANY)
    rows_there = rows(lading("ls", "--all", "--json", "--config", str(settings)))
    assert [(each["host"], each["target"]) for each in rows_there] == [("host1", each.target) for each in known]
    shutil.rmtree(database.parent)
    back = ("associations", "copy", "--config", str(settings), "--to", str(file), "--json")
    assert counts(lading(*back)) == (MANY, 0, 0)
    assert list(on().list()) == known == listed(database)


def test_what_is_recorded_differently_there_is_named(
    lading: Lading, host: Path, database: Path, file: Path, settings: Path, on: Record
) -> None:
    known = fill(database, 3)
    other = replace(known[1], handler="download")
    on().put(other)
    copy = ("associations", "copy", "--config", str(file), "--to", str(settings))
    refused = lading(*copy)
    assert refused.returncode == 5
    assert refused.stdout == (
        "/vms/00001: is recorded differently there; --replace replaces that record\n"
        "2 copied, 0 recorded there already\n"
    )
    assert list(on().list()) == [known[0], other, known[2]]
    assert record(lading(*copy, "--json"))["different"] == ["/vms/00001"]
    assert lading(*copy, "--replace").stdout == "0 copied, 1 replaced, 2 recorded there already\n"
    assert list(on().list()) == known


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_copy_is_finished_by_the_next(
    lading: Lading,
    host: Path,
    database: Path,
    file: Path,
    settings: Path,
    on: Record,
    environment: dict[str, str],
    number: int,
) -> None:
    known = fill(database, SOME)
    copy = ["associations", "copy", "--config", str(file), "--to", str(settings), "--json"]
    with subprocess.Popen([sys.executable, "-m", "lading", *copy], cwd=host, env=environment) as running:
        while next(on().list(), None) is None:
            assert running.poll() is None
            time.sleep(0.01)
        running.send_signal(number)
        running.wait(60)
    there = list(on().list())
    assert 0 < len(there) < SOME
    assert there == known[: len(there)]
    assert listed(database) == known
    copied, _, present = counts(lading(*copy))
    assert (copied + present, present >= len(there)) == (SOME, True)
    assert list(on().list()) == known


def test_interrupted_operations_are_recovered_before_a_copy(
    lading: Lading, host: Path, database: Path, file: Path, settings: Path, on: Record
) -> None:
    fill(database, 1)
    for path, command in ((database, "lading recover\n"), (host / "journal.sqlite", f"recover --config {settings}\n")):
        with closing(Database(path)) as opened:
            FileJournal(opened).begin(Intent("/vms/2", Verb.FETCH, "uninstalled", NOW, NOBLE, None))
            refused = lading("associations", "copy", "--config", str(file), "--to", str(settings))
            assert (refused.returncode, list(on().list())) == (7, [])
            assert "the interrupted fetch of /vms/2 is unresolved\n  finish it first: lading" in refused.stderr
            assert command in refused.stderr
            FileJournal(opened).settle("/vms/2")
    assert lading("associations", "copy", "--config", str(file), "--to", str(settings)).returncode == 0


def test_a_copy_with_the_same_locks_does_not_wait_for_itself(
    lading: Lading, host: Path, file: Path, database: Path
) -> None:
    fill(database, 2)
    (host / "linked").symlink_to(database.parent)
    for number, folder in enumerate((database.parent / "locks", host / "linked" / "locks")):
        other = host / f"other{number}.toml"
        other.write_text(f'[associations]\npath = "{host}/other{number}.sqlite"\n[locks]\nfolder = "{folder}"\n')
        assert counts(lading("associations", "copy", "--config", str(file), "--to", str(other), "--json")) == (2, 0, 0)


def test_a_copy_to_the_same_store_or_to_memory_is_refused(lading: Lading, host: Path, file: Path) -> None:
    same = lading("associations", "copy", "--config", str(file), "--to", str(file))
    assert (same.returncode, "has the same store as the settings in force" in same.stderr) == (2, True)
    (host / "memory.toml").write_text('[associations]\nkind = "memory"\n')
    memory = lading("associations", "copy", "--config", str(file), "--to", "memory.toml")
    assert (memory.returncode, "keeps nothing after the command" in memory.stderr) == (2, True)
    missing = lading("associations", "copy", "--to", "missing.toml")
    assert (missing.returncode, "missing.toml: no such file" in missing.stderr) == (2, True)
