"""Runs the commands of a documentation page as a reader types them, and compares what they print with the page.

A `console` block has commands, each after `$ `, and their output. All are run, in the order of the page, and must
succeed; where `$ echo $?` follows, a command may fail, and the page shows its exit code. Another block
whose first line is a comment with a file's name (`# /etc/lading/lading.toml`) is written to that file first. Blocks of
other kinds, such as `sh`, are for commands that need another host: they are not run.

With LADING_PAGES=update, as `make docs-update` sets it, the output of a page is replaced instead of compared.
"""

import os
import pty
import re
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import ndiff
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final
from urllib.parse import urlsplit

__all__ = ["Host", "run_page"]

ROOT: Final = Path(__file__).parents[1]
_BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE: Final = re.compile(r"# ([\w./-]+\.\w+)\n")
_FOLDERS: Final = tuple(
    map(Path, ("/etc/lading", "/home/you", "/media", "/srv", "/var/lib/lading", "/var/lib/libvirt/images", "/vms"))
)
"""Folders that the pages name. Each host of a test has its own in their places, by bubblewrap."""
_STATUS: Final = "echo $?"
_VARIABLE: Final = {
    r"\b[0-9a-f]{40,}\b": "HEX",
    r"\b\d{5,} bytes\b": "BYTES",
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}": "ID",
    r"\b(sha\d+|blake3)(_sparse)?([:=])[0-9a-f]{8,}…?": r"\1\2\3DIGEST",
    r"\b[0-9a-f]{12}\b": "HEX",
    r"\bimage id: +[0-9a-f]+\b": "image id: HEX",
    r"\b\d+(\.\d+)? (ms|s|min)\b": "TIME",
    r"\d{4}-\d\d-\d\d[ T][\d:.]+(\+00:00| UTC|Z)?": "TIME",
    r"\((copy|reflink)\)": "(METHOD)",
    r"(oslo\.utils|qemu-img) [\d.]+\S*": r"\1 VERSION",
    r"\b[\d.]+ (B|[KM]iB)\b": "SIZE",
    r"free space: ([\d.]+ )?\w+": "free space: SIZE",
    r"\S+…": "CUT",
    r"[ \t]+": " ",
}
"""What differs from run to run and from host to host. Ceph makes an image's id of two hexadecimal numbers without
leading zeros: mostly 12 digits, sometimes fewer (librbd/Utils.cc). A table cuts cells to the room that others leave:
an age of ten seconds takes one column more than an age of nine."""


@dataclass(frozen=True)
class Host:
    """A host of the test's own: its root folder, and the servers that pages name, by URL."""

    root: Path
    servers: Mapping[str, str] = field(default_factory=dict)
    """The beginnings of URLs on the pages, and what they are here."""
    variables: Mapping[str, str] = field(default_factory=dict)
    folder: str = "/home/you"
    """The folder where the commands are typed."""

    def local(self, text: str) -> str:
        """The page's text with the URLs of this host."""
        for named, here in self.servers.items():
            text = text.replace(named, here)
        return text

    def shown(self, output: str) -> str:
        """The output as the page shows it: with the page's URLs, and with shortened digests."""
        for named, here in self.servers.items():
            output = output.replace(here, named).replace(_origin(here), _origin(named))
        output = re.sub(r"\x1b\[[\d;]*m", "", output)
        output = re.sub(r"\b((?:sha\d+|blake3)(?:_sparse)?[:=][0-9a-f]{12})[0-9a-f]+", r"\1…", output)
        return "\n".join(line.rstrip() for line in output.splitlines()).strip("\n")

    def write(self, name: str, text: str) -> None:
        path = self.root / Path(self.folder, name).relative_to("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.local(text))

    def run(self, command: str) -> tuple[int, str]:
        """The exit code of a command, and its output and then its errors."""
        own = {each: self.root / each.relative_to("/") for each in _FOLDERS}
        for each in (*own.values(), self.root / Path(self.folder).relative_to("/")):
            each.mkdir(parents=True, exist_ok=True)
        (own[Path("/etc/lading")] / "lading.toml").touch()
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": "/home/you",
            "LADING_CONFIG": "/etc/lading/lading.toml", "LANG": "C.UTF-8", "TERM": "dumb", "NO_COLOR": "1",
            **self.variables,
        }  # fmt: skip
        binds = [word for name, here in own.items() for word in ("--bind", str(here), str(name))]
        host = ["bwrap", "--cap-add", "ALL", *_around(Path("/"), own), *binds, "--chdir", self.folder]
        return _run_at_terminal(
            [*host, "timeout", "--foreground", "300", "bash", "-c", self.local(command)], environment
        )


def _origin(url: str) -> str:
    return "://".join(urlsplit(url)[:2])


def _around(folder: Path, own: Mapping[Path, Path]) -> Iterator[str]:
    """bubblewrap's arguments for all of the folder but the places in it that are the test's own."""
    for each in sorted(folder.iterdir()):
        if each in own:
            continue
        if any(each in name.parents for name in own):
            yield from ("--dir", str(each))
            yield from _around(each, own)
        elif each.is_symlink():
            yield from ("--symlink", str(each.readlink()), str(each))
        else:
            yield from ("--dev-bind", str(each), str(each))


def _run_at_terminal(command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Runs the command with standard output at a terminal of 100 columns."""
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (40, 100))
    with TemporaryFile() as errors, os.fdopen(ours, "rb", 0) as printed:
        with os.fdopen(its, "wb", 0) as terminal:
            running = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=terminal, stderr=errors
            )
        output = b""
        with suppress(OSError):  # Linux reports a terminal that nobody has open any more as an error
            while chunk := printed.read(65536):
                output += chunk
        code = running.wait()
        errors.seek(0)
        return code, (output + errors.read()).decode().replace("\r\n", "\n")


def run_page(page: Path, host: Host, part: str = "") -> None:
    """Writes the page's files and runs its commands; with `part`, only those below that heading."""
    text = page.read_text()
    begin = text.index(f"## {part}\n") if part else 0
    end = text.find("\n## ", begin + 1) if part else len(text)
    made = text[begin:end] if end > begin else text[begin:]
    after = text[begin + len(made) :]
    changed = _BLOCK.sub(lambda block: _run_block(block, host), made)
    if changed != made:
        assert os.environ.get("LADING_PAGES") == "update", "the page is up to date"
        page.write_text(text[:begin] + changed + after)


def _run_block(block: re.Match[str], host: Host) -> str:
    kind, body = block.groups()
    if kind == "console":
        return f"```console\n{''.join(_run_commands(_commands(body), host))}```"
    if named := _FILE.match(body):
        host.write(named[1], body)
    return block[0]


def _commands(body: str) -> Sequence[tuple[str, str]]:
    """Each command of the block with its output. A line that ends in a backslash goes on in the next one."""
    steps = re.split(r"^\$ ", body, flags=re.MULTILINE)
    assert steps[0] == "", f"a console block begins with a command: {steps[0]}"
    found = [re.fullmatch(r"((?:[^\n]*\\\n)*[^\n]*)\n?(.*)", each, re.DOTALL) for each in steps[1:]]
    return [(each[1], each[2]) for each in found if each is not None]


def _run_commands(steps: Sequence[tuple[str, str]], host: Host) -> Iterator[str]:
    """Runs the commands of a block. Yields each with its output: the page's, where that is what was printed."""
    code = 0
    for (command, expected), (following, _) in pairwise([*steps, ("", "")]):
        if command == _STATUS:
            output = str(code)
        else:
            code, printed = host.run(command)
            output = host.shown(printed)
            assert code == 0 or following == _STATUS, f"$ {command}\n{output}\nexit code {code}"
        if normal(output) == normal(expected):
            yield f"$ {command}\n{expected}"
        else:
            if os.environ.get("LADING_PAGES") != "update":
                difference = ndiff(normal(expected).splitlines(), normal(output).splitlines())
                raise AssertionError("\n".join((f"$ {command}", *difference)))
            yield f"$ {command}\n{output}\n" if output else f"$ {command}\n"


def normal(output: str) -> str:
    """The output without what differs from run to run."""
    for pattern, name in _VARIABLE.items():
        output = re.sub(pattern, name, output)
    return output.strip()
