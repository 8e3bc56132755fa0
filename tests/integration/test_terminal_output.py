"""A terminal gets a bar and columns that fit it, and no name can control it; a pipe gets plain lines."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.cells import cell_len
from tests.integration.conftest import Lading, record

WIDE_NAME = "日本語-noble-server-cloudimg-amd64"


def on_terminal(arguments: list[str], columns: int, host: Path, environment: Mapping[str, str]) -> str:
    """Returns the output of a command on a terminal of this width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command = [sys.executable, "-m", "lading", *arguments]
    running = subprocess.Popen(
        command, cwd=host, env={"TERM": "xterm", **environment}, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    printed = all_of(ours)
    running.wait()
    return printed


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


@pytest.mark.parametrize("columns", [20, 40, 80])
def test_a_bar_never_wraps(columns: int, noble: Path, host: Path, environment: dict[str, str]) -> None:
    printed = on_terminal(["fetch", "noble", "vms/1", "--progress", "auto"], columns, host, environment)
    *drawn, result = re.split(r"\r(?!\n)", printed)
    assert any("MiB" in line for line in drawn)
    assert max(map(cell_len, drawn)) < columns
    assert "verified" in result
    assert "\x1b" not in printed


def test_in_a_pipe_a_fetch_says_nothing_on_its_way(lading: Lading, noble: Path) -> None:
    assert lading("fetch", "noble", "vms/1").stderr == ""
    assert "noble: flushing\n" in lading("fetch", "noble", "vms/2", "--progress", "plain").stderr


def test_tables_fit_the_terminal_and_are_separated_by_tabs_in_a_pipe(
    lading: Lading, noble: Path, host: Path, environment: dict[str, str]
) -> None:
    lading("catalog", "add", str(noble), "--name", WIDE_NAME)
    for image, target in (("noble", "1"), (WIDE_NAME, "a-longer-target")):
        lading("fetch", image, f"vms/{target}")
    for command, title in ((["ls"], "TARGET"), (["images"], "NAME"), (["handlers"], "NAME")):
        piped = lading(*command).stdout.splitlines()
        assert {line.count("\t") for line in piped} == {3 if command == ["handlers"] else 5}
        for columns in (40, 80, 200):
            header, *lines = on_terminal(command, columns, host, environment).splitlines()
            assert title in header
            assert len(lines) == len(piped)
            assert max(map(cell_len, [header, *lines])) <= columns
    header, first, second = on_terminal(["ls"], 200, host, environment).splitlines()
    at = header.index("HANDLER")
    assert [line[cells_at(line, at) :].split()[0] for line in (first, second)] == ["file", "file"]


def cells_at(line: str, cells: int) -> int:
    """The index of the character that begins at this cell."""
    return next(index for index in range(len(line)) if cell_len(line[:index]) == cells)


def test_piped_columns_are_stable(lading: Lading, noble: Path, host: Path) -> None:
    lading("fetch", "noble", "vms/1")
    fetched = record(lading("ls", "--json"))
    target, image, handler, size, when, state = lading("ls").stdout.removesuffix("\n").split("\t")
    assert (target, image, handler, size, state) == (str(host / "vms" / "1"), "noble", "file", "16.0 MiB", "verified")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d", when)
    assert lading("images").stdout == f"{fetched['image']}\tnoble\t16.0 MiB\traw\tactive\t-\n"


@pytest.mark.parametrize("variable", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"CLICOLOR": "0"}])
def test_without_colours_no_escape_sequence_is_printed(
    variable: dict[str, str], noble: Path, host: Path, environment: dict[str, str]
) -> None:
    assert "\x1b" not in on_terminal(["explain", "noble", "vms/1"], 80, host, {**environment, **variable})


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
