"""What tests need of the system, and what installs it. The list is packages.txt.

    needs("nginx")

skips a test where there is no nginx, and the end of the run tells which packages would let all skipped tests run.
"""

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest

__all__ = ["advice", "needs", "program", "want"]

_LINES: Final = (Path(__file__).parent / "packages.txt").read_text(encoding="utf-8").splitlines()
_PACKAGES: Final = {name: packages for name, *packages in (line.split() for line in _LINES if not line.startswith("#"))}
_SYSTEM_PATH: Final = ("/usr/sbin", "/sbin", "/usr/local/sbin")
"""Users' PATH often lacks these."""


def program(name: str) -> str | None:
    """The program's path; None where it is not installed."""
    return shutil.which(name, path=os.pathsep.join((os.environ["PATH"], *_SYSTEM_PATH)))


def want(name: str, what: str | None = None) -> str:
    """Why a test is skipped without the program, or without `what` comes with it."""
    return f"needs {what or name} (Debian: {' '.join(_PACKAGES[name])})"


def needs(*names: str) -> None:
    """Skips the test where one of these programs is not installed."""
    for name in names:
        if program(name) is None:
            pytest.skip(want(name))


def advice(reasons: Iterable[str]) -> str | None:
    """The one line on how to run what was skipped for these reasons; None where packages would not help."""
    wanted = [found[1].split() for found in (re.search(r"\(Debian: ([^)]+)\)", each) for each in reasons) if found]
    packages = sorted({package for each in wanted for package in each})
    if not packages:
        return None
    command = f"apt-get install --no-install-recommends {' '.join(packages)}"
    return f"{len(wanted)} tests were skipped for want of packages. To run them, as root: {command}"
