"""Runs an external tool in the sandbox, to its end or to the caller's."""

import os
import queue
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from typing import Final

from lading.adapters.formats.conversion.sandbox import ENVIRONMENT, Limits, Tool, sandboxed
from lading.adapters.stream.errors import Refused, error_text
from lading.adapters.stream.threads import Thread, running
from lading.domain.refusals import Mismatched, TargetFull, Unavailable, Unconfigured

__all__ = ["run"]

_MOST_ERRORS: Final = 4096
"""Bytes of standard error that are kept; the rest is read and dropped."""
_LONGEST_REASON: Final = 200
_FULL: Final = ("No space left on device", "Disk quota exceeded", "Read-only file system")
"""strerror(3) of a disk that takes no more."""
_CLEANUP: Final = "Error when deleting file"
"""qemu-img says so before the reason: it cannot remove the target whose creation failed, which is a descriptor."""
_SHELL_SIGNAL: Final = 128
"""bubblewrap exits with this plus the signal that killed the tool."""


def run(
    tool: Tool,
    arguments: Sequence[str],
    descriptors: Mapping[int, str],
    limits: Limits,
    hear: Callable[[bytes], None],
    *,
    stdin: bytes = b"",
    answers: Container[int] = (0,),
) -> int:
    """Runs the tool; calls `hear` with its standard output, piece by piece. Returns its exit status, one of `answers`.

    The tool inherits `descriptors`, as /dev/fd/N; their values name them in messages: `the image`. `stdin` is at most
    4 KiB. Raises Refused where the tool is missing, exits otherwise or exceeds a limit, and what `hear` raises. When
    this returns or raises, the tool has ended. It ends with this process too.
    """
    path = tool.path()
    child = _Child(sandboxed(path, arguments, limits), tuple(descriptors), stdin, limits)
    with running([child.thread], child.end):
        while (output := child.output.get()) is not None:
            hear(output)
    if child.fault is not None:
        raise child.fault
    if child.overrun is not None:
        raise Refused(Unavailable(f"{tool.name} {child.overrun}"))
    if child.status not in answers:
        raise _refused(tool.name, child.status, bytes(child.errors), descriptors)
    return child.status


class _Child:
    """The tool's process, and the thread that starts it, reads its output and waits for its end.

    The thread starts it because no interrupt comes there: one within Popen would leave a child that nobody knows.
    """

    def __init__(self, command: list[str], descriptors: tuple[int, ...], stdin: bytes, limits: Limits) -> None:
        self.output: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.errors = bytearray()
        self.status = 0
        self.fault: BaseException | None = None
        self.overrun: str | None = None
        self._is_unwanted = False
        self.thread = Thread(self._work)
        self._command, self._descriptors, self._stdin, self._limits = command, descriptors, stdin, limits

    def end(self) -> None:
        """Lets the thread kill the tool, if that still runs."""
        self._is_unwanted = True

    def _work(self) -> None:
        try:
            with subprocess.Popen(  # noqa: S603 - a tool of this system's, with arguments of this package's
                self._command, env=ENVIRONMENT, cwd="/", pass_fds=self._descriptors, start_new_session=True, bufsize=0,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            ) as process:  # fmt: skip
                try:
                    self._attend(process)
                except BaseException:
                    _kill(process)
                    raise
            self.status = process.returncode
        except OSError as error:
            self.fault = Refused(Unconfigured(f"{self._command[0]} cannot be started: {error_text(error)}"))
        except BaseException as fault:  # noqa: BLE001 - raised again by the caller's thread
            self.fault = fault
        finally:
            self.output.put(None)

    def _attend(self, process: subprocess.Popen[bytes]) -> None:
        """Reads until every process of the sandbox has closed its output, which it does when it ends."""
        assert process.stdin is not None  # noqa: S101 - a pipe, like the others
        assert process.stdout is not None  # noqa: S101
        assert process.stderr is not None  # noqa: S101
        with suppress(BrokenPipeError):
            process.stdin.write(self._stdin)
        process.stdin.close()
        watch = _Watch(self._limits)
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ, self.output.put)
            selector.register(process.stderr, selectors.EVENT_READ, self._keep_error)
            while selector.get_map():
                for key, _ in selector.select(timeout=0.1):
                    if data := os.read(key.fd, 1 << 16):
                        watch.progressed()
                        key.data(data)
                    else:
                        selector.unregister(key.fileobj)
                if self.overrun is None:
                    self.overrun = watch.overrun()
                if self._is_unwanted or self.overrun is not None:
                    _kill(process)

    def _keep_error(self, data: bytes) -> None:
        self.errors += data[: _MOST_ERRORS - len(self.errors)]


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kills its process group. bubblewrap's inner processes are in it, and outlive one that is killed as it starts.

    The process has not been waited for, so that no other group has this id.
    """
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


class _Watch:
    """The wall time of a run, and the time since its last progress."""

    def __init__(self, limits: Limits) -> None:
        self._seconds, self._stall = limits.seconds, limits.stall
        self._started = self._last = time.monotonic()
        self._sign: object = None

    def progressed(self) -> None:
        self._last = time.monotonic()

    def overrun(self) -> str | None:
        """The limit that is exceeded, for a message; None: none is."""
        now = time.monotonic()
        if now - self._started > self._seconds:
            return f"took longer than {self._seconds:g} seconds"
        if self._stall is None:
            return None
        if (sign := self._stall.progress()) != self._sign:
            self._sign, self._last = sign, now
        is_stalled = now - self._last > self._stall.seconds
        return f"made no progress for {self._stall.seconds:g} seconds" if is_stalled else None


def _refused(tool: str, status: int, errors: bytes, descriptors: Mapping[int, str]) -> Refused:
    number = -status if status < 0 else status - _SHELL_SIGNAL
    if number in {each.value for each in signal.Signals}:
        return Refused(Mismatched(f"{tool} was killed by {signal.Signals(number).name}"))
    text = _first_line(tool, errors, descriptors)
    if any(each in text for each in _FULL):
        return Refused(TargetFull(f"{tool} cannot write: {text}"))
    return Refused(Mismatched(f"{tool} failed: {text or f'exit status {status}'}"))


def _first_line(tool: str, errors: bytes, descriptors: Mapping[int, str]) -> str:
    """The first reason on standard error, with names for descriptors, and without control characters."""
    lines = [line.strip() for line in errors.decode(errors="replace").splitlines()]
    text = next((line for line in lines if line and _CLEANUP not in line), "").removeprefix(f"{tool}: ")
    for number, name in descriptors.items():
        text = re.sub(rf"'?/dev/fd/{number}\b'?", name, text)
    text = "".join(each if each.isprintable() else "?" for each in text)
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}…"
