"""An operation is interrupted at any of its calls: it ends by that, and recovery leaves nothing half done or lost.

LADING_TORTURE tries every call instead of some; LADING_SEED makes a run again.
"""

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from tests.torture import TORTURE

SEED: Final = int(os.environ.get("LADING_SEED") or random.SystemRandom().randrange(1 << 32))
PROGRAM: Final = Path(__file__).parent / "interrupted_calls.py"
TRIES: Final = 0 if TORTURE else 60
OPERATIONS: Final = (
    "fetch file",
    "fetch stream",
    "grow file",
    "grow stream",
    "replace file",
    "move file",
    "remove file",
)
SCENES: Final = [
    *((system, operation) for system in ("ext4", "NFS", "vfat") for operation in OPERATIONS),
    ("to another file system", "move file"),
]


@pytest.mark.parametrize(("system", "operation"), SCENES)
def test_an_interrupt_at_any_call_ends_the_operation(quick_folder: Path, system: str, operation: str) -> None:
    command = [sys.executable, str(PROGRAM), str(quick_folder), system, *operation.split(), str(SEED), str(TRIES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), f"LADING_SEED={SEED}"
