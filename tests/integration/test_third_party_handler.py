"""A handler of somebody else's, tests/fixtures/lading-shelf, installed beside lading and used as any other."""

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from tests.images import qcow2
from tests.rigs.shelf import Clones

from lading.domain.cost import SupportsCost
from lading.domain.handler import (
    SupportsForms,
    SupportsPrepare,
    SupportsPreview,
    SupportsRecovery,
    SupportsReport,
    SupportsVerification,
)
from lading.sdk.contracts import DATA, HandlerRig
from lading_shelf import ShelfHandler
from lading_shelf.shelf import Shelf

ROOT: Final = Path(__file__).parents[2]
PACKAGE: Final = ROOT / "tests" / "fixtures" / "lading-shelf"
MEBIBYTE: Final = 1 << 20
KILLED: Final = -9
NOT_RECORDED: Final = "import lading.adapters.sqlite.associations as it; it.FileAssociations.put = lambda *_: end()"
BY_TWO_NAMES: Final = """
import lading_shelf.shelf as it
unlink = it.Path.unlink
it.Path.unlink = lambda self, **given: end() if self.parent.name == "clones" else unlink(self, **given)
"""
NOT_PUBLISHED: Final = "import lading_shelf.shelf as it; it.Shelf.rename = lambda *_, **__: end()"
INTERRUPTED: Final = """
import lading.adapters.stream.sources as it
fill, reads = it.StreamSource._fill, iter(range(4))
def filled(source, view):
    if next(reads, None) is None: raise KeyboardInterrupt
    return fill(source, view)
it.StreamSource._fill = filled
"""
"""In the fifth mebibyte."""
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the programs are of an environment with both, from their wheels; what they need is that of the tests."""
    top = tmp_path_factory.mktemp("installed")
    for source in (ROOT, PACKAGE):
        python("-m", "hatchling", "build", "--target", "wheel", "--directory", str(top / "wheels"), cwd=source)
    python("-m", "venv", "--without-pip", str(top / "venv"))
    wheels = map(str, (top / "wheels").iterdir())
    quiet = ("--quiet", "--disable-pip-version-check")
    python("-m", "pip", "--python", str(top / "venv"), "install", *quiet, "--no-index", "--no-deps", *wheels)
    (site,) = (top / "venv" / "lib").glob("python*/site-packages")
    (site / "of-the-tests.pth").write_text(sysconfig.get_paths()["purelib"])
    return top / "venv" / "bin"


def python(*arguments: str, cwd: Path = ROOT) -> None:
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def shelf(host: Path) -> Path:
    """A shelf with DATA on it as noble, and a catalog and settings that say so."""
    shelf = host / "shelf"
    (shelf / "images").mkdir(parents=True)
    (host / "catalog").mkdir()
    (host / "lading.toml").write_text('[catalog]\nfolder = "catalog"\n[handlers.shelf]\nfolder = "shelf"\n')
    put(host, DATA)
    return shelf


def put(host: Path, data: bytes, *locations: str) -> None:
    """Let noble be these bytes."""
    (host / "shelf" / "images" / "noble").write_bytes(data)
    document = {
        "id": "155d900f-4e14-4e4c-a73d-069cbf4541e6", "name": "noble", "status": "active", "size": len(data),
        "disk_format": "raw", "container_format": "bare",
        "os_hash_algo": "sha256", "os_hash_value": hashlib.sha256(data).hexdigest(),
        "locations": [{"url": url} for url in (*locations, "shelf://noble")],
    }  # fmt: skip
    (host / "catalog" / f"{document['id']}.json").write_text(json.dumps(document))


def restart(shelf: Path) -> None:
    """What the host is connected to it has forgotten."""
    shutil.rmtree(shelf / "connected")


@pytest.fixture
def lading(installed: Path, shelf: Path, host: Path, environment: dict[str, str]) -> Command:
    """Runs the installed command."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [str(installed / "lading"), *arguments]
        variables = environment | variables
        return subprocess.run(command, cwd=host, env=variables, check=False, capture_output=True, text=True, timeout=60)

    return run


@pytest.fixture
def cut_off(installed: Path, shelf: Path, host: Path, environment: dict[str, str]) -> Command:
    """Runs the command, with something in it that ends it."""

    def run(ending: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        program = (
            f"import os, sys\ndef end(): os.kill(os.getpid(), 9)\n{ending}\nfrom lading.__main__ import main\nmain()"
        )
        command = [str(installed / "python"), "-c", program, *arguments]
        return subprocess.run(
            command, cwd=host, env=environment, check=False, capture_output=True, text=True, timeout=60
        )

    return run


def records(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def record(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one object that a command which went well printed."""
    assert (done.returncode, done.stderr) == (0, "")
    (found,) = records(done)
    return found


def test_it_has_all_that_a_handler_can_have(shelf_handler: ShelfHandler) -> None:
    foresighted: SupportsPreview = shelf_handler
    preparable: SupportsPrepare = shelf_handler
    priced: SupportsCost = shelf_handler
    recoverable: SupportsRecovery = shelf_handler
    reporting: SupportsReport = shelf_handler
    resizing: SupportsForms = shelf_handler
    verifiable: SupportsVerification = shelf_handler
    assert {foresighted, preparable, priced, recoverable, reporting, resizing, verifiable} == {shelf_handler}


def test_it_imports_of_lading_what_is_meant_for_others() -> None:
    trees = [ast.parse(path.read_text()) for path in (PACKAGE / "src").rglob("*.py")]
    found = {node.module for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {each for each in found if each and each.split(".")[0] == "lading"} == {"lading", "lading.sdk"}


@pytest.mark.parametrize("verb", ["find", "size", "clone", "connect", "rename"])
def test_after_a_refusal_of_its_storage_nothing_is_left(
    shelf_clone_rig: HandlerRig, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    real = getattr(Shelf, verb)

    def fail(*arguments: object, **options: object) -> None:
        real(*arguments, **options)
        monkeypatch.setattr(Shelf, verb, real)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Shelf, verb, fail)
    refused = shelf_clone_rig.handler.fetch(shelf_clone_rig.work).failure()
    assert "Input/output error" in str(refused)
    assert shelf_clone_rig.place.names() == []


def test_what_is_installed_is_what_runs(installed: Path, tmp_path: Path) -> None:
    program = "import lading, lading_shelf; print(lading.__file__, lading_shelf.__file__)"
    told = subprocess.check_output([installed / "python", "-c", program], cwd=tmp_path, text=True)
    assert all(path.startswith(str(installed.parent)) for path in told.split())


def test_it_is_listed_with_the_distribution_that_it_comes_from(lading: Command) -> None:
    listed = {each["name"]: each for each in records(lading("handlers", "--json"))}
    assert listed["shelf"] == {
        "name": "shelf", "state": "loaded", "schemes": ["shelf"], "is_local": False, "from": "lading-shelf 1.2.0",
        "reason": None,
    }  # fmt: skip
    assert listed["file"]["from"].startswith("lading ")
    assert "lading-shelf 1.2.0" in lading("handlers").stdout


@pytest.mark.parametrize(("target", "cost"), [("vms/1", "storage network"), ("shelf:1", "clone")])
def test_with_no_configured_order_it_is_tried_where_its_cost_puts_it(
    lading: Command, host: Path, target: str, cost: str
) -> None:
    put(host, DATA, "http://127.0.0.1/noble")
    explained = record(lading("explain", "noble", target, "--json"))
    assert explained["handler"] == "shelf"
    tried = dict.fromkeys((each["handler"], each["cost"]) for each in explained["attempts"])
    assert list(tried) == [("shelf", cost), ("http", "http"), ("download", "download")]


def test_a_target_that_is_a_file_is_landed_by_lading(lading: Command, host: Path) -> None:
    fetched = record(lading("fetch", "noble", "vms/1", "--json"))
    assert (fetched["handler"], fetched["method"], fetched["verified"]) == ("shelf", "read", True)
    assert (host / "vms" / "1").read_bytes() == DATA
    assert record(lading("show", "vms/1", "--json"))["state"] == "intact"
    assert record(lading("mv", "vms/1", "vms/2", "--json"))["handler"] == "shelf"
    assert lading("verify", "vms/2").returncode == 0
    assert lading("rm", "vms/2").returncode == 0
    assert os.listdir(host / "vms") == []


def test_a_target_on_the_shelf_goes_through_its_whole_life(lading: Command, shelf: Path) -> None:
    fetched = record(lading("fetch", "noble", "shelf:1", "--size", "20M", "--json"))
    assert (fetched["handler"], fetched["method"], fetched["size"]) == ("shelf", "clone", 20 * MEBIBYTE)
    assert (fetched["location"], fetched["verified"]) == ("shelf://noble", False)
    shown = record(lading("show", "shelf:1", "--json"))
    assert (shown["state"], shown["details"]) == ("intact", {"parent": "noble", "connected": "yes"})
    assert record(lading("mv", "shelf:1", "shelf:2", "--json"))["identity"] == shown["identity"]
    assert Clones(shelf).names() == ["2"]
    assert lading("verify", "shelf:2").returncode == 0
    assert record(lading("show", "shelf:2", "--json"))["verified"] is True
    assert lading("rm", "shelf:2").returncode == 0
    assert Clones(shelf).names() == []
    assert lading("show", "shelf:2").returncode == 6


def test_what_a_restart_has_lost_is_told_and_then_established_again(lading: Command, shelf: Path) -> None:
    lading("fetch", "noble", "shelf:1")
    restart(shelf)
    shown = record(lading("show", "shelf:1", "--json"))
    assert (shown["state"], shown["details"]["connected"][:3]) == ("detached", "no;")
    assert lading("verify", "shelf:1").returncode == 0
    assert record(lading("show", "shelf:1", "--json"))["details"]["connected"] == "yes"


def test_after_a_restart_the_same_handler_is_asked_again_though_the_catalog_has_forgotten(
    lading: Command, host: Path, shelf: Path
) -> None:
    lading("fetch", "noble", "shelf:1")
    restart(shelf)
    shutil.rmtree(host / "catalog")
    again = record(lading("fetch", "noble", "shelf:1", "--json"))
    assert (again["handler"], again["present"]) == ("shelf", True)
    assert record(lading("show", "shelf:1", "--json"))["details"]["connected"] == "yes"
    Clones(shelf).clear("1")
    done = lading("fetch", "noble", "shelf:1", "--json")
    assert done.stderr == "lading: WARNING: shelf:1 cannot be attached: it is gone, or no longer this host's\n"
    (anew,) = records(done)
    assert (anew["handler"], anew["location"], anew["present"]) == ("shelf", "shelf://noble", False)
    assert Clones(shelf).content("1") == DATA


def test_another_image_of_the_name_is_neither_taken_nor_removed_unasked(lading: Command, shelf: Path) -> None:
    lading("fetch", "noble", "shelf:1")
    Clones(shelf).occupy("1", b"precious")
    assert record(lading("show", "shelf:1", "--json"))["state"] == "changed"
    assert [lading(*each).returncode for each in (("fetch", "noble", "shelf:1"), ("rm", "shelf:1"))] == [5, 5]
    assert Clones(shelf).content("1") == b"precious"
    assert lading("fetch", "noble", "shelf:1", "--force").returncode == 0
    assert Clones(shelf).content("1") == DATA


def test_verify_tells_that_what_is_beneath_a_clone_has_changed(lading: Command, shelf: Path) -> None:
    lading("fetch", "noble", "shelf:1")
    (shelf / "images" / "noble").write_bytes(DATA[::-1])
    changed = lading("verify", "shelf:1")
    assert (changed.returncode, "digest mismatch" in changed.stdout + changed.stderr) == (8, True)
    (shelf / "images" / "noble").unlink()
    gone = lading("verify", "shelf:1")
    assert (gone.returncode, "noble is gone" in gone.stdout + gone.stderr) == (8, True)


def test_what_would_lead_elsewhere_is_not_cloned(lading: Command, host: Path, shelf: Path) -> None:
    put(host, qcow2(backing=b"/etc/passwd"))
    refused = lading("fetch", "noble", "shelf:1")
    assert (refused.returncode, "found qcow2" in refused.stderr) == (10, True)
    assert Clones(shelf).names() == []


@pytest.mark.parametrize("target", ["shelf:1", "vms/1"])
def test_what_was_made_and_not_recorded_is_found(lading: Command, cut_off: Command, shelf: Path, target: str) -> None:
    assert cut_off(NOT_RECORDED, "fetch", "noble", target).returncode == KILLED
    shutil.rmtree(shelf / "connected", ignore_errors=True)
    (found,) = records(lading("ls", "--json"))
    assert (found["handler"], found["target"].endswith(target)) == ("shelf", True)
    shown = record(lading("show", target, "--json"))
    assert (shown["state"], shown["details"].get("connected", "yes")) == ("intact", "yes")
    assert lading("rm", target).returncode == 0
    assert Clones(shelf).names() == []


def test_what_was_made_by_half_has_appeared_whole(lading: Command, cut_off: Command, shelf: Path) -> None:
    assert cut_off(BY_TWO_NAMES, "fetch", "noble", "shelf:1").returncode == KILLED
    assert [each["target"] for each in records(lading("ls", "--json"))] == ["shelf:1"]
    assert Clones(shelf).names() == ["1"]


def test_what_was_not_made_to_its_end_is_taken_back(lading: Command, cut_off: Command, shelf: Path) -> None:
    assert cut_off(NOT_PUBLISHED, "fetch", "noble", "shelf:1").returncode == KILLED
    assert Clones(shelf).names() != []
    assert lading("ls").stdout == ""
    assert Clones(shelf).names() == []


@pytest.mark.parametrize("ending", [NOT_RECORDED, BY_TWO_NAMES])
def test_a_move_that_was_cut_off_is_brought_to_its_end(
    lading: Command, cut_off: Command, shelf: Path, ending: str
) -> None:
    lading("fetch", "noble", "shelf:1")
    assert cut_off(ending, "mv", "shelf:1", "shelf:2").returncode == KILLED
    assert [each["target"] for each in records(lading("ls", "--json"))] == ["shelf:2"]
    assert Clones(shelf).names() == ["2"]


def test_a_read_that_was_cut_off_is_gone_on_with(lading: Command, cut_off: Command, host: Path) -> None:
    data = os.urandom(8 * MEBIBYTE)
    put(host, data)
    assert cut_off(INTERRUPTED, "fetch", "noble", "vms/1").returncode == 130
    assert record(lading("fetch", "noble", "vms/1", "--json"))["resumed"] == 4 * MEBIBYTE
    assert (host / "vms" / "1").read_bytes() == data


def test_a_wrong_setting_is_one_clear_line(lading: Command, host: Path) -> None:
    (host / "wrong.toml").write_text('[catalog]\nfolder = "catalog"\n[handlers.shelf]\nfoldr = "shelf"\n')
    refused = lading("fetch", "noble", "shelf:1", "--config", "wrong.toml")
    assert refused.returncode != 0
    told = [line for line in refused.stderr.splitlines() if "wrong.toml" in line]
    assert len(told) == 1
    assert "handlers.shelf.foldr: unknown key, did you mean folder? (known: folder)" in told[0]


@pytest.mark.parametrize("folder", ["nowhere", ""])
def test_where_there_is_no_shelf_that_is_said_and_the_next_handler_serves(
    lading: Command, host: Path, folder: str
) -> None:
    (host / "images" / "noble.img").write_bytes(DATA)
    put(host, DATA, f"file://{host}/images/noble.img")
    variables = {"LADING_HANDLERS__ORDER": "shelf,file", "LADING_HANDLERS__SHELF__FOLDER": folder}
    fetched = record(lading("fetch", "noble", "vms/1", "--json", **variables))
    assert fetched["handler"] == "file"
    tried = {each["handler"]: each["reason"] for each in fetched["attempts"]}
    assert list(tried) == ["shelf", "file"]
    assert "[handlers.shelf] folder" in tried["shelf"]
    assert lading("fetch", "noble", "shelf:1", **variables).returncode == 4
    assert sorted(os.listdir(host / "shelf")) == ["images"]
