"""Images in archives: the one disk, and no bytes of a hostile archive beyond it."""

import io
import tarfile
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
from tests.packed import COMPRESS, LIMITS, Pieces, contents, opened, refusal_of, source_of, tar_of, zip_of

from lading.adapters.formats.unpacking import tar
from lading.adapters.formats.unpacking.unpacked import Unpacked

DISK = bytes(range(256)) * 40
OVF = (
    '<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">'
    '<References><File ovf:id="f1" ovf:href="a.vmdk"/><File ovf:id="f2" ovf:href="b.vmdk"/></References>'
    '<DiskSection>{}<Disk ovf:diskId="blank"/></DiskSection></Envelope>'
)


def ovf(*references: str) -> bytes:
    return OVF.format("".join(f'<Disk ovf:fileRef="{each}"/>' for each in references)).encode()


class TestTar:
    @pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    def test_the_one_disk_in_it_is_taken(self, form: int) -> None:
        name = "images/" + "long" * 20 + "/disk.raw"
        packed = tar_of(("README.md", b"read"), ("SHA256SUMS", b"00"), (name, DISK), ("empty.img", b""), form=form)
        unpacked = Unpacked(Pieces(COMPRESS["xz"](packed)), LIMITS)
        assert contents(unpacked) == DISK
        assert (unpacked.layers, unpacked.member) == (("xz", "tar"), name)

    def test_of_several_disks_the_named_one_is_taken(self) -> None:
        packed = tar_of(("./a.img", DISK), ("b.img", b"b"))
        assert opened(packed, "a.img") == opened(packed, "./a.img") == DISK
        assert opened(packed, "b.img") == b"b"

    def test_a_named_member_may_look_like_no_disk(self) -> None:
        assert opened(tar_of(("disk.txt", DISK), ("b.img", b"b")), "disk.txt") == DISK

    def test_a_member_of_what_is_no_archive_is_refused(self) -> None:
        for packed in (DISK, COMPRESS["gz"](DISK)):
            assert refusal_of(packed, "a.img") == "the image is no archive, and has no member that could be chosen"
        assert opened(tar_of(("a.img", b""), ("b.img", b"b")), "a.img") == b""

    def test_several_disks_are_refused_with_their_names(self) -> None:
        packed = tar_of(*((f"{number}.img", b"x") for number in range(10)), ("bad\n\x1b.img", b"x"))
        assert refusal_of(packed) == (
            "the tar archive has several disks: found 0.img, 1.img, 2.img, 3.img, 4.img, 5.img, 6.img, 7.img and "
            "3 more; choose one with --member"
        )
        assert "'bad\\n\\x1b.img'" in refusal_of(tar_of(("a.img", b"x"), ("bad\n\x1b.img", b"x")))

    def test_a_name_that_occurs_twice_is_refused(self) -> None:
        assert "several disks: found a.img, a.img" in refusal_of(tar_of(("a.img", b"1"), ("./a.img", b"2")), "a.img")

    def test_an_archive_without_a_disk_is_refused(self) -> None:
        assert refusal_of(tar_of(("a.md", DISK), (".hidden", DISK))) == "the tar archive has no disk in it"
        assert refusal_of(tar_of(("a.img", DISK)), "b.img") == "the tar archive has no member b.img: found a.img"

    def test_links_and_devices_are_no_disks(self) -> None:
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as archive:
            for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE):
                entry = tarfile.TarInfo("a.img")
                entry.type, entry.linkname = kind, "/etc/shadow"
                archive.addfile(entry)
        assert refusal_of(file.getvalue()) == "the tar archive has no disk in it"

    def test_an_incomplete_archive_is_refused(self) -> None:
        packed = tar_of(("a.img", DISK), ("b.md", b"b"))
        whole = len(packed.rstrip(b"\0")) // 512 * 512 + 512 + 1024
        assert opened(packed[:whole]) == DISK
        for length in range(600, whole, 500):
            assert "incomplete" in refusal_of(packed[:length])

    def test_an_archive_without_its_closing_blocks_is_whole_after_a_member(self) -> None:
        """As umoci writes layers."""
        packed = tar_of(("b.md", b"b"), ("a.img", DISK))
        end = 3 * 512 + -(-len(DISK) // 512) * 512
        assert opened(packed[:end]) == DISK
        for length in (end - 1, end + 1, end + 511, end + 512):
            assert "incomplete" in refusal_of(packed[:length])
        assert "no disk in it" in refusal_of(packed[:1024])

    def test_other_bytes_after_the_end_are_refused(self) -> None:
        packed = tar_of(("a.img", DISK))
        assert "other bytes follow its tar archive" in refusal_of(packed + b"x")
        assert "a member's header is wrong" in refusal_of(packed[: 512 + len(DISK)] + b"x" * 1024)


class TestHostileTar:
    def header(self, **fields: object) -> bytes:
        entry = tarfile.TarInfo("a.img")
        for name, value in fields.items():
            setattr(entry, name, value)
        return entry.tobuf(tarfile.GNU_FORMAT)

    def test_a_member_that_promises_more_than_there_is_is_refused(self) -> None:
        assert "incomplete" in refusal_of(self.header(size=8 << 40) + bytes(4096))

    @pytest.mark.parametrize("size", [-1, -512, -(1 << 40)])
    def test_a_negative_size_is_refused(self, size: int) -> None:
        assert "its tar archive is" in refusal_of(self.header(size=size) + bytes(4096))
        assert "tar archive" in refusal_of(self.header(size=size, type=b"z") + bytes(4096))

    @pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
    def test_a_huge_header_is_refused_unread(self, kind: bytes) -> None:
        assert "its headers are too long" in refusal_of(self.header(size=1 << 40, type=kind) + bytes(4096))

    def test_endless_headers_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tar, "_MOST_HEADERS", 64 << 10)
        packed = self.header(type=tarfile.DIRTYPE) * 200
        assert "its headers are too long" in refusal_of(packed)

    def test_an_endless_sparse_map_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tar, "_MOST_HEADERS", 64 << 10)
        block = bytearray(self.header(size=0, type=tarfile.GNUTYPE_SPARSE))
        block[482] = 1
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        extension = bytes(504) + b"\1" + bytes(7)
        assert "its headers are too long" in refusal_of(bytes(block) + extension * 200)

    @pytest.mark.parametrize("runs", ["5,9,0,4", "0,4,2,4", "-4,8,0,0", "0,-1", "0,99", "0"])
    def test_a_sparse_map_without_order_is_refused(self, runs: str) -> None:
        entry = tarfile.TarInfo("a.img")
        entry.size = 13
        entry.pax_headers = {"GNU.sparse.map": runs, "GNU.sparse.size": "20", "GNU.sparse.major": "0"}
        packed = entry.tobuf(tarfile.PAX_FORMAT) + b"x" * 13 + bytes(512 - 13 + 1024)
        assert "its tar archive is" in refusal_of(packed)


class TestOva:
    def test_the_disk_that_the_ovf_names_is_taken(self) -> None:
        packed = tar_of(("vm.ovf", ovf("f2")), ("vm.mf", b"-"), ("a.vmdk", b"a"), ("b.vmdk", DISK))
        unpacked = Unpacked(Pieces(packed), LIMITS)
        assert contents(unpacked) == DISK
        assert (unpacked.layers, unpacked.member) == (("ova",), "b.vmdk")
        assert opened(COMPRESS["gz"](packed), "a.vmdk") == b"a"

    def test_an_ovf_after_the_disks_must_name_the_first(self) -> None:
        packed = tar_of(("a.vmdk", DISK), ("b.vmdk", b"b"), ("vm.ovf", ovf("f1")))
        assert opened(packed) == DISK
        packed = tar_of(("a.vmdk", DISK), ("b.vmdk", b"b"), ("vm.ovf", ovf("f2")))
        assert "after the disks; --member b.vmdk" in refusal_of(packed)

    @pytest.mark.parametrize(("text", "reason"), [
        (ovf("f1", "f2"), "names several disks: a.vmdk, b.vmdk; choose one with --member"),
        (ovf(), "names no disk"),
        (ovf("f3"), "a file that it does not name: 'f3'"),
        (ovf("f1").replace(b'ovf:href="a.vmdk"', b'ovf:href="http://x/y"'), "member http://x/y, which its OVF names"),
        (ovf("f1").replace(b'ovf:id="f1"', b'ovf:id="f1" ovf:chunkSize="9"'), "splits a disk"),
        (b'<!DOCTYPE x [<!ENTITY a "aaaa">]>' + ovf("f1"), "document type declaration"),
        (ovf("f1")[:-5], "is no XML"),
        (b"\0\1", "is no XML"),
    ])  # fmt: skip
    def test_an_ovf_that_does_not_name_one_disk_is_refused(self, text: bytes, reason: str) -> None:
        assert reason in refusal_of(tar_of(("vm.ovf", text), ("a.vmdk", DISK), ("b.vmdk", DISK)))

    def test_a_declared_document_type_is_refused_in_any_encoding(self) -> None:
        text = "<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><x>&a;</x>".encode("utf-16")
        assert "document type declaration" in refusal_of(tar_of(("vm.ovf", text), ("a.vmdk", DISK)))


class TestZip:
    @pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    def test_the_one_disk_in_it_is_taken(self, method: int, tmp_path: Path) -> None:
        with closing(zip_of(tmp_path / "x", ("notes.txt", b"-"), ("d/disk.raw", DISK), method=method)) as source:
            unpacked = Unpacked(source, LIMITS)
            assert contents(unpacked) == DISK
            assert (unpacked.layers, unpacked.member) == (("zip",), "d/disk.raw")

    def test_what_is_in_it_may_be_packed_too(self, tmp_path: Path) -> None:
        with closing(zip_of(tmp_path / "x", ("disk.gz", COMPRESS["gz"](DISK)))) as source:
            assert opened(source) == DISK

    def test_several_disks_are_refused_before_any_is_read(self, tmp_path: Path) -> None:
        with closing(zip_of(tmp_path / "x", ("a.img", DISK), ("b.img", DISK))) as source:
            assert (
                refusal_of(source) == "the zip archive has several disks: found a.img, b.img; choose one with --member"
            )
            assert opened(source, "b.img") == DISK

    def test_an_unknown_method_is_refused(self, tmp_path: Path) -> None:
        with closing(zip_of(tmp_path / "x", ("a.img", DISK), method=zipfile.ZIP_BZIP2)) as source:
            assert "expected deflate, found method 12" in refusal_of(source)

    def test_an_encrypted_member_is_refused(self, tmp_path: Path) -> None:
        zip_of(tmp_path / "x", ("a.img", DISK)).close()
        packed = bytearray((tmp_path / "x").read_bytes())
        packed[6] |= 1
        packed[packed.index(b"PK\1\2") + 8] |= 1
        (tmp_path / "y").write_bytes(packed)
        with closing(source_of(tmp_path / "y")) as source:
            assert "is encrypted" in refusal_of(source)

    def test_a_zip_within_another_file_is_refused(self, tmp_path: Path) -> None:
        zip_of(tmp_path / "x", ("a.img", DISK)).close()
        packed = (tmp_path / "x").read_bytes()
        assert "take it out first" in refusal_of(packed)
        assert "take it out first" in refusal_of(COMPRESS["gz"](packed))

    def test_a_damaged_archive_is_refused(self, tmp_path: Path) -> None:
        zip_of(tmp_path / "x", ("a.img", DISK), method=zipfile.ZIP_STORED).close()
        packed = (tmp_path / "x").read_bytes()
        changed = packed[:1000] + b"!" + packed[1001:]
        longer = packed.replace((len(DISK)).to_bytes(4, "little"), (len(DISK) + 9).to_bytes(4, "little"))
        for damaged in (packed[:-1], packed[: len(DISK)], packed + b"x", changed, longer, packed[:40] + packed[60:]):
            (tmp_path / "y").write_bytes(damaged)
            with closing(source_of(tmp_path / "y")) as source:
                assert "zip archive" in refusal_of(source)

    def test_a_huge_directory_is_refused_unread(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lading.adapters.formats.unpacking.zip._LONGEST_READ", 80 << 10)
        zip_of(tmp_path / "x", *((f"{number:0>60000}", b"") for number in range(2))).close()
        with closing(source_of(tmp_path / "x")) as source:
            assert "its directory is too long" in refusal_of(source)
