"""What the usual programs pack is unpacked: the same bytes, by any of their options."""

import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from tests.packages import needs
from tests.packed import LIMITS, contents, opened, refusal_of, source_of

from lading.adapters.formats.unpacking.unpacked import Unpacked
from lading.adapters.stream.pipeline import CHUNK

COMMANDS = [
    "gzip -c disk.raw", "gzip -9c < disk.raw", "igzip -c disk.raw", "pigz -p 4 -b 128 -c disk.raw", "pigz -ic disk.raw",
    "(gzip -c disk.raw; head -c 512 /dev/zero)",
    "bzip2 -c disk.raw", "pbzip2 -q -p2 -b1 -c disk.raw",
    "xz -0 -c disk.raw", "xz -9 -c disk.raw", "xz -T2 -0 --block-size=1MiB -c disk.raw",
    "xz --check=sha256 -0c disk.raw",
    "xz --check=none -0c disk.raw", "(xz -0c disk.raw; head -c 1024 /dev/zero)",
    "zstd -qc disk.raw", "zstd -qc < disk.raw", "pzstd -q -p 2 -c disk.raw", "zstd -q --ultra -20 -c disk.raw",
    "zstd -q --no-check --long=27 -c < disk.raw",
    "lz4 -qc disk.raw", "lz4 -q -B4 -BD -c disk.raw", "lz4 -q -9 -BX --content-size -c disk.raw",
    *(f"tar -c --format={form} disk.raw" for form in ("v7", "ustar", "gnu", "oldgnu", "posix")),
    *(f"tar -cS --format={form} disk.raw" for form in ("gnu", "oldgnu", "posix")),
    *(f"tar -cS --format=posix --sparse-version={version} disk.raw" for version in ("0.0", "0.1", "1.0")),
    "tar -czS --format=oldgnu disk.raw", "tar -cJ ./disk.raw", "tar -c --zstd notes.txt disk.raw",
    "(zip -q x.zip disk.raw notes.txt; cat x.zip)", "(zip -q -0 x.zip disk.raw; cat x.zip)",
    "(gzip -k disk.raw; zip -q x.zip disk.raw.gz; cat x.zip)", "(zip -q -fz x.zip disk.raw; cat x.zip)",
    "(zip -q - - < disk.raw > x.zip; cat x.zip)",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sparse disk of 5 MiB, and a file beside it."""
    folder = tmp_path_factory.mktemp("packed")
    with (folder / "disk.raw").open("wb") as disk:
        disk.write(b"boot" * 50_000)
        disk.seek(2 << 20)
        disk.write(bytes(range(256)) * 400)
        disk.seek(4 << 20)
        disk.write(b"end")
        disk.truncate(5 << 20)
    (folder / "notes.txt").write_text("notes")
    return folder


def packed(command: str, folder: Path, file: Path) -> Path:
    needs(*({"igzip", "pigz", "pbzip2", "pzstd", "zstd", "lz4", "zip"} & set(command.replace("(", " ").split())))
    script = f"rm -f x.zip disk.raw.gz; set -e; {command}"
    with file.open("wb") as output:
        subprocess.run(["sh", "-c", script], cwd=folder, stdout=output, check=True)
    return file


@pytest.mark.parametrize("command", COMMANDS)
def test_the_image_is_what_was_packed(command: str, folder: Path, tmp_path: Path) -> None:
    with closing(source_of(packed(command, folder, tmp_path / "packed"))) as source:
        assert opened(source) == (folder / "disk.raw").read_bytes()


def test_the_holes_of_a_sparse_member_stay_holes(folder: Path, tmp_path: Path) -> None:
    with closing(source_of(packed("tar -cSz disk.raw", folder, tmp_path / "packed"))) as source:
        chunks = list(Unpacked(source, LIMITS).chunks(lambda: bytearray(CHUNK)))
    assert sum(each.length for each in chunks if each.buffer is None) > 3 << 20


def test_a_window_of_2_gib_is_refused(folder: Path, tmp_path: Path) -> None:
    with closing(source_of(packed("zstd -q --long=31 -c < disk.raw", folder, tmp_path / "packed"))) as source:
        assert "more than 128 MiB of memory" in refusal_of(source)


def test_an_encrypted_zip_is_refused(folder: Path, tmp_path: Path) -> None:
    script = "(zip -q -P secret x.zip disk.raw; cat x.zip)"
    with closing(source_of(packed(script, folder, tmp_path / "packed"))) as source:
        assert "is encrypted" in refusal_of(source)


def test_an_ova_gives_the_disk_that_its_ovf_names(folder: Path, tmp_path: Path) -> None:
    ovf = (
        '<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">'
        '<References><File ovf:id="file1" ovf:href="vm-disk1.vmdk"/><File ovf:id="f2" ovf:href="vm.iso"/></References>'
        '<DiskSection><Disk ovf:capacity="1" ovf:diskId="vmdisk1" ovf:fileRef="file1"/></DiskSection></Envelope>'
    )
    (tmp_path / "vm.ovf").write_text(ovf)
    (tmp_path / "vm.iso").write_bytes(b"iso")
    convert = f"qemu-img convert -O vmdk -o subformat=streamOptimized {folder}/disk.raw vm-disk1.vmdk"
    needs("qemu-img")
    subprocess.run(
        ["sh", "-c", f"{convert} && tar -czf vm.ova.gz vm.ovf vm.iso vm-disk1.vmdk"], cwd=tmp_path, check=True
    )
    with closing(source_of(tmp_path / "vm.ova.gz")) as source:
        unpacked = Unpacked(source, LIMITS)
        assert contents(unpacked) == (tmp_path / "vm-disk1.vmdk").read_bytes()
    assert (unpacked.layers, unpacked.member) == (("gz", "ova"), "vm-disk1.vmdk")
