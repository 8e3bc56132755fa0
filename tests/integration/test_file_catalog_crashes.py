"""A process that ends while it adds an image to the file catalog."""

import subprocess
import sys
from pathlib import Path

import pytest
from returns.result import Success
from tests.file_catalogs import content, found

from lading import Image
from lading.adapters.catalogs.file import FileCatalog
from lading.ports.context import ANONYMOUS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "catalog"
    path.mkdir()
    return path


CRASHING = """
import os, sys
from pathlib import Path
from lading import Image
from lading.adapters.catalogs.file import FileCatalog

folder, data, step = sys.argv[1:]
countdown = int(step)

def crash(event, arguments):
    global countdown
    changes = event in {"open", "os.remove", "os.rename", "os.symlink"}
    if changes and folder in [os.path.dirname(str(each)) for each in arguments]:
        countdown -= 1
        if not countdown:
            os._exit(9)

catalog = FileCatalog(Path(folder))
sys.addaudithook(crash)
catalog.add(Image("a", "new"), data or None).unwrap()
"""


@pytest.mark.parametrize("data", ["new", ""])
def test_a_crash_at_any_step_leaves_no_image_with_another_ones_bytes(folder: Path, tmp_path: Path, data: str) -> None:
    for name in ("old", "new"):
        (tmp_path / name).write_text(name)
    catalog, states, code, step = FileCatalog(folder), [], 9, 0
    while code == 9:
        step += 1
        catalog.add(Image("a", "old"), str(tmp_path / "old")).unwrap()
        path = str(tmp_path / data) if data else ""
        code = subprocess.run([sys.executable, "-c", CRASHING, str(folder), path, str(step)], check=False).returncode
        readable = isinstance(catalog.read(Image("a"), 0, ANONYMOUS).map(lambda stream: stream.close()), Success)
        states.append((found(folder, "a").name, content(folder, Image("a")).decode() if readable else ""))
    assert code == 0
    assert set(states) == {("old", "old"), ("old", ""), ("new", ""), ("new", data)}
