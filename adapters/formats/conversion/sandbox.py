"""The sandbox of external tools: no network, no file but the descriptors that they inherit, limited resources.

bubblewrap makes it. Where that is missing, or the kernel forbids it, the tools run with the same limits only.
"""

import logging
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from lading.adapters.stream.errors import Refused
from lading.domain.refusals import Unconfigured

__all__ = ["ENVIRONMENT", "Limits", "Stall", "Tool", "sandboxed"]

_log = logging.getLogger(__name__)
ENVIRONMENT: Final = {
    "LC_ALL": "C",
    "MALLOC_ARENA_MAX": "3",  # each further arena of glibc's reserves 64 MiB of the address space
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
}
_SYSTEM_PATH: Final = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Users' PATH often lacks these."""
_ROOTS: Final = ("/bin", "/sbin", "/lib", "/lib64")
"""Folders beside /usr, on most systems links into it."""


class Tool(NamedTuple):
    """An external program, and the packages that bring it."""

    name: str
    debian: str
    fedora: str

    @property
    def is_installed(self) -> bool:
        return self._found() is not None

    def path(self) -> str:
        """Its real path. Raises Refused where it is not installed."""
        found = self._found()
        if found is None:
            packages = f"install {self.debian} (Debian, Ubuntu) or {self.fedora} (Fedora)"
            raise Refused(Unconfigured(f"{self.name} is not installed: {packages}"))
        return os.path.realpath(found)

    def _found(self) -> str | None:
        return shutil.which(self.name, path=os.pathsep.join((os.environ.get("PATH", ""), *_SYSTEM_PATH)))


_PRLIMIT: Final = Tool("prlimit", "util-linux", "util-linux")
_SETPRIV: Final = Tool("setpriv", "util-linux", "util-linux")


class Stall(NamedTuple):
    """The end of a run without progress."""

    seconds: float
    progress: Callable[[], object]
    """Any value that changes while the tool works; its output is progress too. Called on another thread, often."""


class Limits(NamedTuple):
    """What one run of a tool may use."""

    processor: int
    """Seconds of processor time."""
    seconds: float
    """Seconds from start to end."""
    file_size: int
    """Bytes of the largest file that it may write."""
    memory: int = 1 << 30
    """Bytes of address space."""
    stall: Stall | None = None


def sandboxed(tool: str, arguments: Sequence[str], limits: Limits) -> list[str]:
    """The command that runs the tool at this path in the sandbox, and kills it when the calling thread ends.

    Raises Refused where util-linux is missing.
    """
    limited = [
        _PRLIMIT.path(),
        f"--as={_lowered(resource.RLIMIT_AS, limits.memory)}",
        f"--cpu={_lowered(resource.RLIMIT_CPU, limits.processor)}",
        f"--fsize={_lowered(resource.RLIMIT_FSIZE, limits.file_size)}",
        "--core=0",
    ]
    bubblewrap = _bubblewrap()
    if bubblewrap is None:
        return [*limited, _SETPRIV.path(), "--pdeathsig=KILL", "--no-new-privs", tool, *arguments]
    return [*limited, *bubblewrap, *_visible(Path(tool).parent), tool, *arguments]


def _lowered(kind: int, limit: int) -> int:
    """The limit, or this process's own where that is lower: only root may raise it."""
    hard = resource.getrlimit(kind)[1]
    return limit if hard == resource.RLIM_INFINITY else min(limit, hard)


def _visible(folder: Path) -> list[str]:
    """Options that show the tool's folder, where it is not beneath /usr."""
    return [] if folder.is_relative_to("/usr") else ["--ro-bind", str(folder), str(folder)]


@cache
def _bubblewrap() -> tuple[str, ...] | None:
    """bubblewrap's command; None where it is missing or does not work, which is logged."""
    path = shutil.which("bwrap")
    if path is None:
        _log.warning("bubblewrap is not installed: image tools run with limits, but without a sandbox")
        return None
    command = (path, *_OPTIONS, *_roots(), *_capabilities())
    try:
        subprocess.run(  # noqa: S603 - a path of this system's
            [*command, "/usr/bin/true"], env=ENVIRONMENT, check=True, capture_output=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError) as error:
        text = error.stderr.decode(errors="replace").strip() if isinstance(error, subprocess.CalledProcessError) else ""
        _log.warning("bubblewrap does not work here (%s): image tools run with limits only", text or error)
        return None
    return command


_OPTIONS: Final = (
    "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try",
    "--die-with-parent", "--cap-drop", "ALL",
    "--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev",
)  # fmt: skip


def _roots() -> list[str]:
    options: list[str] = []
    for root in map(Path, _ROOTS):
        if root.is_symlink():
            options += ["--symlink", str(root.readlink()), str(root)]
        elif root.is_dir():
            options += ["--ro-bind", str(root), str(root)]
    return options


def _capabilities() -> tuple[str, ...]:
    """Options for root: it reads other users' files, by their descriptors, which are opened anew in the sandbox.

    So root gets no user namespace, in which this capability would not hold for those files.
    """
    return ("--cap-add", "CAP_DAC_OVERRIDE") if os.geteuid() == 0 else ()
