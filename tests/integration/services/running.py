"""Processes of a test run: started on loopback, waited for, and gone at its end however it ends."""

import errno
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

LOOPBACK: Final = "127.0.0.1"
# Below the ports that Linux and macOS give to outgoing connections: none of those takes a port between two starts.
PORTS: Final = range(20000, 32000)
_BLOCK: Final = 50
_claims: Final[list[socket.socket]] = []


class StartError(Exception):
    """A service didn't come up. The message has what it wrote."""


def free_port() -> int:
    """A port on loopback that nobody listens on, and that no other process of a test run gets while this one lives.

    A service that is stopped for a while must find its port free when it is started again.
    """
    return next(_free_ports)


def _ports() -> Iterator[int]:
    """Ports of blocks that this process has claimed, each by the name of a socket, which the kernel frees."""
    for begin in random.SystemRandom().sample(PORTS[::_BLOCK], len(PORTS[::_BLOCK])):
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0lading-tests-ports-{begin}")
        except OSError as refused:
            claim.close()
            if refused.errno != errno.EADDRINUSE:
                raise
        else:
            _claims.append(claim)
            yield from filter(_is_free, range(begin, begin + _BLOCK))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError as refused:
            if refused.errno != errno.EADDRINUSE:
                raise
            return False
    return True


_free_ports: Final = _ports()


@dataclass(slots=True)
class Process:
    """A service in the foreground, leading a process group of its own."""

    command: Sequence[str]
    folder: Path
    """Where it runs, and its home."""
    ports: Sequence[int]
    """Those of loopback on which it listens."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Beside PATH, HOME and LC_ALL: nothing else of whoever runs the tests."""
    running: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def log(self) -> Path:
        """What it wrote to stdout and stderr, over all starts."""
        return self.folder / "output.log"

    def start(self, is_ready: Callable[[], bool], seconds: float = 180) -> None:
        """Run it, and return once it is ready. Raises StartError when it exits or takes longer."""
        variables = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LC_ALL": "C.UTF-8", **self.variables}
        with self.log.open("ab") as output:
            self.running = subprocess.Popen(
                [*_mortal(), *self.command],
                cwd=self.folder,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.wait_ready(is_ready, seconds)

    def wait_ready(self, is_ready: Callable[[], bool], seconds: float = 180) -> None:
        """Return once it is ready. Raises StartError when it exits or takes longer."""
        assert self.running is not None
        give_up = time.monotonic() + seconds
        while not is_ready():
            code = self.running.poll()
            if code is not None or time.monotonic() > give_up:
                self.kill()
                what = f"is not ready after {seconds:g} s" if code is None else f"exited with code {code}"
                raise StartError(f"{self.command[0]} {what}; it wrote:\n{self.tail()}")
            time.sleep(0.02)

    def tail(self, lines: int = 60) -> str:
        """The end of what it wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self) -> None:
        """Ask it to end, and see to it. What doesn't run is no error."""
        if self.running is not None:
            self._signal(signal.SIGCONT)
            self.running.send_signal(signal.SIGINT)  # for gunicorn as for nginx: at once, but in order
            with suppress(subprocess.TimeoutExpired):
                self.running.wait(10)
            self.kill()

    def kill(self) -> None:
        """End it and its children at once, as a crash does. Afterwards its ports are free."""
        if self.running is not None:
            self._signal(signal.SIGKILL)
            self.running.wait()
            while any(map(_is_listened_on, self.ports)):  # its children hold them for some milliseconds
                time.sleep(0.005)
            self.running = None

    def freeze(self) -> None:
        """From now on it holds its connections, takes new ones, and answers nothing."""
        self._signal(signal.SIGSTOP)
        # The signal stops each thread only when that is on a core again: until then it may answer.
        while self.running is not None and not all(map(_is_stopped, _tasks(self.running.pid))):
            time.sleep(0.001)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self.running is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.running.pid, number)


def _tasks(group: int) -> Iterator[Path]:
    """The folders in /proc of all threads of the process group."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(ProcessLookupError):
            if os.getpgid(int(process.name)) == group:
                yield from process.glob("task/*")


def _is_stopped(task: Path) -> bool:
    """Whether it is stopped, or has ended; proc_pid_stat(5)."""
    try:
        state = (task / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in "TtZX"


def _is_listened_on(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def _mortal() -> list[str]:
    """Ends the service when the run is killed and can't end it itself. Linux only (util-linux)."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []
