"""QEMU opens no file beside an image that the inspection lets pass.

Images that name other files in the ways that QEMU knows are changed at random and inspected. Each that passes is then
read by `qemu-img` under strace. LADING_TORTURE makes it a long run; LADING_SEED repeats one.
"""

import os
import random
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest
from tests.hostile_images import CONTROLS, SPECIMENS, VICTIM, hostile_image
from tests.packages import needs
from tests.torture import TORTURE

from lading.adapters.formats.inspection import Inspection

IMAGES: Final = 10 * (TORTURE or 20)
SEED: Final = int(os.environ.get("LADING_SEED") or random.SystemRandom().randrange(1 << 32))
BATCH: Final = 100
"""Images on the disk at a time."""
DRIVERS: Final = {"vhd": "vpc", "iso": "raw", "gpt": "raw"}
"""QEMU's names of formats, where they are others."""
OPENED: Final = re.compile(r"(?:open|openat|openat2|connect)\((?:AT_FDCWD|\d+)?(?:, )?(\"[^\"]*\"|\{.*?\})")
ALLOCATOR: Final = frozenset({'"/sys/devices/system/cpu/online"'})
"""glibc counts the processors when two threads want memory at the same moment."""
OWN: Final = re.compile(r'"(?:\./)?(?:(?:drivers-)?image-\d+|out)"')
READ_ALL: Final = """
ulimit -f 65536 -v 4194304
for image in image-*; do
    read drivers < "drivers-$image"
    timeout 10 qemu-img info --backing-chain "$image"
    for driver in $drivers; do
        timeout 10 qemu-img info --backing-chain -f "$driver" "$image"
        timeout 10 qemu-img convert -f "$driver" -O raw "$image" out
    done
done
true
"""
"""First as QEMU detects it, then as lading does. `convert` opens the backing file too, and reads."""


class Qemu:
    """`qemu-img`, and what it opens."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._usual: frozenset[str] = frozenset()
        self._usual = self.opened(*SPECIMENS, self._image_with_a_snapshot())

    def _image_with_a_snapshot(self) -> bytes:
        """Of a snapshot qemu-img prints the date: it reads the time zone and the names of character sets."""
        image = self._folder / "snapshot.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1M"], check=True)
        subprocess.run(["qemu-img", "snapshot", "-c", "one", image], check=True)
        return image.read_bytes()

    def opened(self, *images: bytes) -> frozenset[str]:
        """What it opens as it reads these images, besides them and what it needs itself."""
        folder = self._folder / "read"
        folder.mkdir()
        for number, data in enumerate(images):
            (folder / f"image-{number}").write_bytes(data)
            formats = " ".join(sorted({DRIVERS.get(each, each) for each in inspected(data).formats()}))
            (folder / f"drivers-image-{number}").write_text(f"{formats}\n")
        trace = ["strace", "-f", "-qq", "-s", "4096", "-e", "trace=open,openat,openat2,connect", "-o", "../trace"]
        command = [*trace, "sh", "-c", READ_ALL]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, env={"PATH": os.environ["PATH"]})
        shutil.rmtree(folder)
        found = OPENED.findall((self._folder / "trace").read_text(errors="replace"))
        return frozenset(each for each in found if not OWN.fullmatch(each)) - self._usual - ALLOCATOR


@pytest.fixture(scope="module")
def qemu(tmp_path_factory: pytest.TempPathFactory) -> Qemu:
    needs("qemu-img", "strace")
    if subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], check=False).returncode != 0:
        pytest.skip("needs strace to be allowed to trace")
    return Qemu(tmp_path_factory.mktemp("qemu"))


def inspected(data: bytes) -> Inspection:
    inspection = Inspection()
    inspection.feed(data)
    return inspection


@pytest.mark.parametrize(
    "options",
    [
        "-f vmdk -o subformat=monolithicSparse",
        "-f vmdk -o subformat=streamOptimized",
        "-f qcow2",
        "-f qcow2 -o extended_l2=on,cluster_size=128k",
        "-f qcow2 -o compat=0.10",
        "-f vpc",
        "-f vpc -o subformat=fixed",
        "-f vhdx",
        "-f vdi",
        "-f raw",
    ],
)
def test_what_qemu_makes_is_safe(options: str, tmp_path: Path) -> None:
    needs("qemu-img", "strace")
    subprocess.run(["qemu-img", "create", "-q", *options.split(), tmp_path / "1", "8M"], check=True)
    assert inspected((tmp_path / "1").read_bytes()).dangers() == ()


@pytest.mark.parametrize("name", CONTROLS)
def test_what_makes_qemu_open_another_file_is_unsafe(name: str, qemu: Qemu) -> None:
    assert any(VICTIM in each for each in qemu.opened(CONTROLS[name]))
    assert inspected(CONTROLS[name]).dangers()


def test_qemu_opens_nothing_beside_an_image_that_is_safe(qemu: Qemu, capsys: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(SEED)
    passed: Counter[str] = Counter()
    for batch in _batches(chance):
        kept = [data for data in batch if not inspected(data).dangers()]
        passed.update(name for data in kept for name in inspected(data).formats())
        opened = qemu.opened(*kept)
        culprits = [data for data in kept if qemu.opened(data)] if opened else []
        assert opened == frozenset(), f"seed {SEED}: {[each[:2048] for each in culprits]}"
    with capsys.disabled():
        print(f"\n{IMAGES} images (seed {SEED}), passed: {dict(sorted(passed.items()))}")  # noqa: T201
    assert passed["vmdk"] > IMAGES // 50
    assert passed["qcow2"] > IMAGES // 50


def _batches(chance: random.Random) -> Iterator[Sequence[bytes]]:
    for start in range(0, IMAGES, BATCH):
        yield [hostile_image(chance) for _ in range(min(BATCH, IMAGES - start))]
