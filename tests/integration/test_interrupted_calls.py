"""An operation is interrupted at any of its calls: it ends by that, and recovery leaves nothing half done or lost.

The same process recovers it first, as a program does that catches the interrupt and goes on, and then the next one.
No thread is left in it.

LADING_TORTURE tries every call instead of some; LADING_SEED makes a run again.
"""

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from tests.loop_devices import LoopDevice
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


def interrupt(folder: Path, system: str, operation: str, *device: str) -> None:
    command = [sys.executable, PROGRAM, folder, system, *operation.split(), SEED, TRIES, *device]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([*map(str, command)], env=variables, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), f"LADING_SEED={SEED}"


@pytest.mark.parametrize(("system", "operation"), SCENES)
def test_an_interrupt_at_any_call_ends_the_operation(quick_folder: Path, system: str, operation: str) -> None:
    interrupt(quick_folder, system, operation)


@pytest.mark.parametrize("operation", [*OPERATIONS[:4], "replace file", "replace stream", "remove file", "wipe file"])
def test_an_interrupt_at_any_call_leaves_a_device_whole_or_incomplete(
    quick_folder: Path, make_loop: Callable[..., LoopDevice], operation: str
) -> None:
    interrupt(quick_folder, "ext4", operation, make_loop(4 << 20).path)
