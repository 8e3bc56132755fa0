"""The real command without its start: a process that has loaded everything forks for each run.

A run has its own arguments, environment, current folder, streams and exit code, as a fresh process would.
`python -m tests.disk.forking` is that process; `Forks` talks to it.
"""

import ctypes
import faulthandler
import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, NoReturn, Self, TypedDict

ROOT: Final = Path(__file__).parents[2]
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
HANGING_SECONDS: Final = 60.0
NEXT_SIGNAL_SECONDS: Final = 0.003


class Order(TypedDict):
    """What the process is told, as a line of JSON."""

    arguments: list[str]
    folder: str
    variables: dict[str, str]
    seconds: float | None
    """After which it gets the first signal, if it has not come to its end."""
    signals: list[int]
    """The others follow within some milliseconds. It is ended (SIGABRT) when it goes on for a minute after them."""


class Forks:
    """Runs `lading` as often as wanted between `with` and its end; its disks are those of a FaultyDisk, or good."""

    def __init__(self, library: Path) -> None:
        path = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.disk.forking"],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": path, "LD_PRELOAD": str(library)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self,
        *arguments: str,
        folder: Path,
        variables: Mapping[str, str],
        seconds: float | None = None,
        signals: Sequence[int] = (signal.SIGKILL,),
    ) -> subprocess.CompletedProcess[str]:
        """As `subprocess.run` would; the disk's orders are among the variables. After so many seconds it gets signals.

        One that does not end is ended with SIGABRT; its standard error then tells where each of its threads was.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = Order(
            arguments=list(arguments), folder=str(folder), variables=dict(variables), seconds=seconds,
            signals=list(signals),
        )  # fmt: skip
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        code, out, err = json.loads(self._process.stdout.readline())
        return subprocess.CompletedProcess(["lading", *arguments], code, out, err)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=60)


def serve() -> None:
    """Carry out each order in a child. What that had to load, the next ones have."""
    answers = os.dup(1)
    faulthandler.enable()
    _search_for_entry_points_once()
    for line in sys.stdin:
        order: Order = json.loads(line)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as loaded:
            gc.freeze()  # so that a child's collection doesn't copy what it shares with this process
            # A signal that comes before the child has its handlers waits for them.
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
            child = os.fork()
            if child == 0:
                _carry_out(order, out, err, loaded)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            code = os.waitstatus_to_exitcode(_ended(child, order))
            os.write(answers, json.dumps([code, _all_of(out), _all_of(err)]).encode() + b"\n")
            for name in _all_of(loaded).split():
                with suppress(ImportError):
                    importlib.import_module(name)


def _search_for_entry_points_once() -> None:
    """Finds the installed packages here, for all children: a search for each takes as long as the rest of its start."""
    installed = list(metadata.distributions())
    plugins = [each for each in installed if any(point.group.startswith("lading.") for point in each.entry_points)]
    metadata.distributions = lambda **_: iter(plugins)


def _end_early(number: int, _frame: object) -> NoReturn:
    """Ends a child whose command has not begun, and which has no handlers of its own yet."""
    os._exit(128 + number)


def _ended(child: int, order: Order) -> int:
    """How it ended (wait(2)), by itself or by a signal."""
    waits = [order["seconds"], *[NEXT_SIGNAL_SECONDS] * len(order["signals"][1:])] if order["seconds"] else []
    end = os.pidfd_open(child)
    try:
        for seconds, number in zip(
            [*waits, HANGING_SECONDS], [*order["signals"][: len(waits)], signal.SIGABRT], strict=True
        ):
            if select.select([end], [], [], seconds)[0]:
                break
            os.kill(child, number)
    finally:
        os.close(end)
    return os.waitpid(child, 0)[1]


def _carry_out(order: Order, out: BinaryIO, err: BinaryIO, loaded: BinaryIO) -> NoReturn:
    # Until the command has handlers of its own; whoever runs the tests may have SIGINT ignored.
    for each in SIGNALS:
        signal.signal(each, _end_early)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    had = set(sys.modules)
    for number, stream in enumerate((os.open(os.devnull, os.O_RDONLY), out.fileno(), err.fileno())):
        os.dup2(stream, number)
    os.environ.clear()
    os.environ.update(order["variables"])
    os.chdir(order["folder"])
    ctypes.CDLL(None).faulty_disk_arm()
    code = _run(order["arguments"])
    # Python's end, less the unloading: whatever closes a file or a database when it goes does so here.
    gc.collect()
    for text in (sys.stdout, sys.stderr):
        text.flush()
    loaded.write("\n".join(set(sys.modules) - had).encode())
    loaded.flush()
    os._exit(code)


def _run(arguments: list[str]) -> int:
    from lading.__main__ import main  # noqa: PLC0415 - by the child, as all that it needs

    sys.argv = ["lading", *arguments]
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)


def _all_of(file: BinaryIO) -> str:
    file.seek(0)
    return file.read().decode(errors="surrogateescape")


if __name__ == "__main__":
    serve()
