"""A terminal gets a bar and aligned columns, and no name can speak to it."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.conftest import Lading, record


def test_on_a_terminal_a_bar_shows_the_progress_and_piped_it_is_silent(
    lading: Lading, noble: Path, host: Path, environment: dict[str, str]
) -> None:
    ours, theirs = pty.openpty()
    fetching = subprocess.Popen(
        [sys.executable, "-m", "lading", "fetch", "noble", "vms/1"],
        cwd=host, env=environment | {"TERM": "xterm", "COLUMNS": "100"}, stdout=subprocess.PIPE, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    seen = all_of(ours)
    fetching.communicate()
    assert "MiB" in seen
    assert lading("fetch", "noble", "vms/2").stderr == ""


def test_on_a_terminal_a_fetch_says_which_process_it_waits_for(environment: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    driver = "import sys; from lading.adapters.cli.progress import progress_bar\n"
    driver += "with progress_bar('noble') as bar: bar.waiting(sys.argv[1]); bar.progress(1, 2)"
    subprocess.run(
        [sys.executable, "-c", driver, "process 4242, which fetches the same image (40/150 MiB)"],
        env=environment | {"TERM": "xterm", "COLUMNS": "200"}, stderr=theirs, check=True,
    )  # fmt: skip
    os.close(theirs)
    assert "noble: waiting for process 4242, which fetches the same image (40/150 MiB)" in all_of(ours)


def all_of(terminal: int) -> str:
    """What was written to its other end, until that was closed."""
    seen = b""
    while True:
        try:
            seen += os.read(terminal, 65536)
        except OSError:  # it is closed (EIO)
            break
    os.close(terminal)
    return seen.decode()


@pytest.mark.parametrize("command", [["ls"], ["catalog", "ls"], ["handlers"]])
def test_columns_are_aligned_on_a_terminal_and_tab_separated_elsewhere(
    lading: Lading, noble: Path, host: Path, environment: dict[str, str], command: list[str]
) -> None:
    lading("catalog", "add", str(noble), "--name", "a-longer-name")
    for image, target in (("noble", "1"), ("a-longer-name", "a-longer-target")):
        lading("fetch", image, target, "--force")
    ours, theirs = pty.openpty()
    listing = subprocess.Popen(
        [sys.executable, "-m", "lading", *command], cwd=host, env=environment, stdout=theirs, stderr=subprocess.PIPE
    )
    os.close(theirs)
    rows = all_of(ours).splitlines()
    assert listing.communicate()[1] == b""
    piped = [line.split("\t") for line in lading(*command).stdout.splitlines()]
    assert len(rows) == len(piped) > 1
    assert all(row.index(f"  {cells[1]}  ") > 0 for row, cells in zip(rows, piped, strict=True))
    if command != ["ls"]:  # its targets are longer than any column
        assert len({row.index(f"  {cells[1]}  ") for row, cells in zip(rows, piped, strict=True)}) == 1


INJECTED = "\x1b[31mred\nsecond line"


def test_names_cannot_speak_to_the_terminal(
    lading: Lading, noble: Path, host: Path, environment: dict[str, str]
) -> None:
    folder = host / "home" / ".local" / "share" / "lading" / "catalog"
    document = {"id": "x", "name": INJECTED, "locations": [{"url": f"file:///{INJECTED}"}]}
    (folder / "x.json").write_text(json.dumps(document))
    (folder / f"{INJECTED}.json").write_text("{}")
    for arguments in (
        ["catalog", "ls"], ["explain", "x", "vms/1"], ["fetch", "x", "vms/1"], ["fetch", "x", "vms/1", "-vv"],
        ["rm", f"vms/{INJECTED}"], ["fetch", "x", "y", INJECTED], ["catalog", "rm", INJECTED],
    ):  # fmt: skip
        done = lading(*arguments)
        assert "\x1b" not in done.stdout + done.stderr
        assert not any(line.startswith("second line") for line in (done.stdout + done.stderr).splitlines())
        assert "\\x1b[31mred" in done.stdout + done.stderr


def test_json_has_names_as_they_are(lading: Lading, noble: Path) -> None:
    lading("catalog", "add", str(noble), "--name", INJECTED)
    assert record(lading("catalog", "show", INJECTED, "--json"))["name"] == INJECTED
    assert record(lading("fetch", INJECTED, f"vms/{INJECTED}", "--json"))["target"].endswith(INJECTED)


def test_no_name_speaks_to_the_terminal(lading: Lading, host: Path) -> None:
    # Two bytes of a name that are one control character together, and three that turn the direction of reading.
    name = "\udcc2\udc9b31mred\udce2\udc80\udcae\x1b[2J\u2066"
    folder = host / "home" / ".local" / "share" / "lading" / "catalog"
    folder.mkdir(parents=True)
    document = {"id": name, "name": name, "disk_format": name, "locations": [{"url": f"file:///{name}"}]}
    (folder / "1.json").write_text(json.dumps(document))
    commands = (
        ("catalog", "ls"),
        ("catalog", "ls", "--json"),
        ("explain", name, "vms/1"),
        ("fetch", name, f"vms/{name}", "-vv"),
        ("fetch", f"--{name}"),
    )
    done = [lading(*command) for command in commands]
    said = "".join(each.stdout + each.stderr for each in done)
    out = said.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    assert {each for each in out if not each.isprintable()} <= {"\n", "\t"}
    assert "\\x9b31mred\\u202e" in done[0].stdout
    assert "\\udcc2\\udc9b31mred" in done[1].stdout
