"""`lading show` and `lading ls` tell of targets what is recorded and what is there."""

import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from tests.integration.conftest import Lading, record

from lading import Association, Image
from lading.adapters.sqlite.associations import FileAssociations
from lading.adapters.sqlite.database import Database

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def record_target(host: Path, association: Association) -> None:
    """As a command of this host would."""
    with closing(Database(host / "home" / ".local" / "share" / "lading" / "associations.sqlite")) as database:
        FileAssociations(database).put(association).unwrap()


def test_show_tells_whether_a_target_is_still_what_was_put_there(lading: Lading, noble: Path, host: Path) -> None:
    lading("fetch", "noble", "vms/1")
    assert record(lading("show", "vms/1", "--json"))["state"] == "intact"
    rows = dict(line.split(": ", 1) for line in lading("show", "vms/1").stdout.splitlines())
    assert rows["source"].strip() == f"file://{noble}"
    assert rows["fetched"].endswith((" ago) by file (copy)", " ago) by file (reflink)"))
    assert rows["proof"].strip() == "verified sha512"
    assert rows["state"].strip().startswith("intact: it is the same file, ")
    with (host / "vms" / "1").open("r+b") as disk:
        disk.write(b"a guest wrote here")
    assert record(lading("show", "vms/1", "--json"))["state"] == "changed"
    (host / "vms" / "1").unlink()
    assert record(lading("show", "vms/1", "--json"))["state"] == "missing"
    assert "missing" in lading("show", "vms/1").stdout


def test_ls_takes_an_image_by_its_id_name_or_href(lading: Lading, noble: Path, host: Path) -> None:
    href = "https://glance.example/v2/images/2f"
    record_target(host, Association("/vms/2", "download", Image("2f", "jammy", properties={"self": href}), None, NOW))
    record_target(host, Association("/vms/3", "download", None, None, NOW))
    fetched = record(lading("fetch", "noble", "vms/1", "--json"))
    for reference, target in (
        ("noble", fetched["target"]), (fetched["image"], fetched["target"]),
        ("2f", "/vms/2"), ("jammy", "/vms/2"), (href, "/vms/2"),
    ):  # fmt: skip
        assert record(lading("ls", "--image", reference, "--json"))["target"] == target
    nothing = lading("ls", "--image", "plucky")
    assert (nothing.returncode, nothing.stdout) == (0, "")


def test_ls_sorts_and_filters(lading: Lading, host: Path) -> None:
    for number, (name, size, day) in enumerate([("noble", 5, 2), ("jammy", 9, 3), ("noble-minimal", 7, 1)]):
        landed_at = NOW.replace(day=day)
        record_target(host, Association(f"/vms/{number}", "file", Image("i", name), None, landed_at, size=size))
    for key, order in (("target", "012"), ("image", "102"), ("size", "120"), ("age", "102"), ("state", "012")):
        listed = lading("ls", "--sort", key).stdout.splitlines()
        assert "".join(line.split("\t")[0].removeprefix("/vms/") for line in listed) == order
    filtered = lading("ls", "--filter", "NOBLE", "--sort", "handler").stdout.splitlines()
    assert [line.split("\t")[1] for line in filtered] == ["noble", "noble-minimal"]


def test_images_are_sorted_and_filtered(lading: Lading, noble: Path, host: Path) -> None:
    lading("catalog", "add", str(noble), "--name", "jammy")
    document = {"id": "1", "name": "old", "created_at": "2020-01-02T03:04:05Z", "locations": []}
    (host / "home" / ".local" / "share" / "lading" / "catalog" / "1.json").write_text(json.dumps(document))
    assert lading("images", "--sort", "age").stdout.startswith("1\told\t?\t-\tactive\t2020-01-02 ")
    for command in (["images"], ["catalog", "ls"]):
        names = [line.split("\t")[1] for line in lading(*command, "--sort", "name").stdout.splitlines()]
        assert names == ["jammy", "noble", "old"]
    assert lading("images", "--filter", "JAM", "--sort", "size").stdout.count("\n") == 1


def test_ls_refuses_a_handler_that_there_is_not(lading: Lading, host: Path) -> None:
    record_target(host, Association("/vms/1", "uninstalled", None, None, NOW))
    for name, hint in (("fiel", "did you mean 'file'?"), ("uninstaled", "did you mean 'uninstalled'?"), ("x", "rbd")):
        refused = lading("ls", "--handler", name)
        assert (refused.returncode, hint in refused.stderr) == (2, True)
    assert record(lading("ls", "--handler", "uninstalled", "--json"))["target"] == "/vms/1"
    nothing = lading("ls", "--handler", "rbd")
    assert (nothing.returncode, nothing.stdout) == (0, "")


def test_show_says_unknown_of_a_target_that_cannot_be_read(lading: Lading, noble: Path, host: Path) -> None:
    lading("fetch", "noble", "vms/1")
    (host / "vms" / "1").unlink()
    (host / "vms").rmdir()
    (host / "vms").symlink_to("vms")
    shown = lading("show", "vms/1", "--json")
    assert (shown.returncode, record(shown)["state"]) == (0, "unknown")
