"""A folder for tests that flush often."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from tests.torture import TORTURE

from lading.adapters.stream.safe_open import folder_identity

_ROOM: Final = 256 << 20
"""Bytes."""


@pytest.fixture
def quick_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where a flush takes no time; on the disk for the torture, and where there is none in memory.

    A process that is killed loses nothing that it has written, on either. test_power.py loses what was not flushed.
    """
    memory = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
    if TORTURE or not _is_like_a_disk(memory):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def _is_like_a_disk(folder: Path) -> bool:
    """True where this user may write, there is room for a test, and the file system tells when a file was made."""
    if not os.access(folder, os.W_OK) or shutil.disk_usage(folder).free < _ROOM:
        return False
    identity = folder_identity(str(folder))
    return identity is not None and identity.birth_ns is not None
