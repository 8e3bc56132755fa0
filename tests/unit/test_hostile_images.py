"""Hostile images stay harmless: each is refused by every way of landing, and nothing of it stays."""

import bz2
import gzip
import hashlib
import lzma
import os
import struct
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import pytest
from returns.result import Failure, Success
from tests.images import (
    AT_END,
    HARMLESS,
    KIB,
    MIB,
    OWN_EXTENT,
    fixed_vhd,
    gpt,
    iso,
    luks,
    mbr,
    parallels,
    partition,
    placed,
    qcow2,
    qed,
    stream_optimized,
    tar,
    vdi,
    vhd,
    vhdx,
    vmdk,
    vmdk_descriptor,
)

from lading import Digest, Image, Location, Mismatched, Work
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.destinations.file.destination import FileDestination, Rules
from lading.adapters.handlers.download import DownloadHandler
from lading.adapters.handlers.file import FileHandler
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.stream import pipeline


class Case(NamedTuple):
    """An image, what the catalog says it is, and a word of why it is refused; None when it lands."""

    name: str
    data: bytes
    declared: str | None
    word: str | None
    container: str | None = "bare"


def flat(*names: str) -> list[str]:
    return [f'RW 2048 FLAT "{name}" 0' for name in names]


QCOW2 = [
    Case("qcow2, version 3", qcow2(), "qcow2", None),
    Case("qcow2, version 2", qcow2(version=2), "qcow2", None),
    Case("qcow2 encrypted by LUKS", qcow2(encryption=2), "qcow2", None),
    Case("qcow2 that was not shut down and is compressed by zstd", qcow2(incompatible=0b1001), "qcow2", None),
    Case("qcow2 with a compatible feature that nobody knows", qcow2(compatible=1 << 40), "qcow2", None),
    Case("qcow2 with an autoclear feature that nobody knows", qcow2(autoclear=1 << 40), "qcow2", None),
    Case("qcow2 on /etc/passwd", qcow2(backing=b"/etc/passwd"), "qcow2", "backing file"),
    Case("qcow2, version 2, on /etc/passwd", qcow2(version=2, backing=b"/etc/passwd"), "qcow2", "backing file"),
    Case("qcow2 on json:", qcow2(backing=b'json:{"driver":"file"}'), "qcow2", "backing file"),
    Case("qcow2 on nbd:", qcow2(backing=b"nbd://10.0.0.1/secret"), "qcow2", "backing file"),
    Case("qcow2 on a backing file without a name", qcow2(backing_offset=1), "qcow2", "backing file"),
    Case("qcow2 on a file named far behind", qcow2(backing=b"/etc/shadow", backing_offset=2 * MIB, size=2 * MIB + 11),
         "qcow2", "backing file"),
    Case("qcow2 on a file named beyond its end", qcow2(backing=b"/x", backing_offset=1 << 62), "qcow2", "backing file"),
    Case("qcow2 with a data file", qcow2(incompatible=0b100), "qcow2", "data_file"),
    Case("qcow2 with extended L2 entries", qcow2(incompatible=1 << 4), "qcow2", None),
    Case("qcow2 with the next feature", qcow2(incompatible=1 << 5), "qcow2", "Unknown QCOW2 features"),
    Case("qcow2 with a feature that nobody knows", qcow2(incompatible=1 << 63), "qcow2", "Unknown QCOW2 features"),
    Case("qcow, version 1", qcow2(version=1), "qcow2", "Unsupported qcow2 version"),
    Case("qcow2, version 0", qcow2(version=0), "qcow2", "Unsupported qcow2 version"),
    Case("qcow2, version 4", qcow2(version=4), "qcow2", "Unsupported qcow2 version"),
    Case("qcow2, version 0xffffffff", qcow2(version=0xFFFFFFFF), "qcow2", "Unsupported qcow2 version"),
    Case("qcow2 with a huge header", qcow2(header_length=0xFFFFFFFF), "qcow2", "no possible length"),
    Case("qcow2 with a header longer than a cluster", qcow2(header_length=64 * KIB + 8), "qcow2", "no possible length"),
    Case("qcow2 with a tiny header", qcow2(header_length=8), "qcow2", "no possible length"),
    Case("qcow2 with a header as long as a cluster", qcow2(header_length=64 * KIB), "qcow2", None),
    Case("qcow2 with clusters of a byte", qcow2(cluster_bits=0), "qcow2", "no possible size"),
    Case("qcow2 with clusters of 2**255 bytes", qcow2(cluster_bits=255), "qcow2", "no possible size"),
    Case("qcow2 cut within its header", qcow2()[:511], "qcow2", "cut short"),
    Case("qcow2 cut behind its magic", qcow2()[:4], "qcow2", "cut short"),
    Case("qcow2 of 200 bytes that names a backing file", qcow2(backing=b"/etc/passwd", size=200), "qcow2", "cut short"),
    Case("qcow2 of 200 bytes declared raw", qcow2(backing=b"/etc/passwd", size=200), "raw", "found qcow2"),
    Case("qcow2 declared raw", qcow2(), "raw", "found qcow2"),
    Case("qcow2 declared ami", qcow2(), "ami", "found qcow2"),
    Case("qcow2 declared vmdk", qcow2(), "vmdk", "found qcow2"),
    Case("qcow2 on /etc/passwd declared raw", qcow2(backing=b"/etc/passwd"), "raw", "found qcow2"),
    Case("raw declared qcow2", HARMLESS["raw"], "qcow2", "found raw"),
    Case("qcow2 that no format is declared of", qcow2(), None, None),
    Case("qcow2 on /etc/passwd that no format is declared of", qcow2(backing=b"/etc/passwd"), None, "backing file"),
    Case("qcow2 on /etc/passwd said to be in an OVA", qcow2(backing=b"/etc/passwd"), "qcow2", "backing file", "ova"),
    Case("qcow2 on /etc/passwd said to be compressed", qcow2(backing=b"/etc/x"), "raw", "backing file", "compressed"),
    Case("qcow2 said to be in an OVA", qcow2(), "vmdk", None, "ova"),
]  # fmt: skip

VMWARE = 'encoding="windows-1252"\nisNativeSnapshot="no"\nddb.toolsInstallType = "1"\nddb.longContentID = "0f"'
VIRTUALBOX = 'ddb.uuid.image="6b0a"\nddb.geometry.cylinders="2"\nddb.comment=""'

VMDK = [
    Case("vmdk, monolithicSparse", vmdk(), "vmdk", None),
    Case("vmdk, version 3", vmdk(version=3), "vmdk", None),
    Case("vmdk, streamOptimized", vmdk("streamOptimized"), "vmdk", None),
    Case("vmdk of a read-only extent", vmdk("streamOptimized", extents=['RDONLY 8 SPARSE "a.vmdk"']), "vmdk", None),
    Case("vmdk with a footer", stream_optimized(), "vmdk", None),
    Case("vmdk with a footer, a mebibyte later", stream_optimized(body=MIB), "vmdk", None),
    Case("vmdk with CRLF", vmdk(descriptor=vmdk_descriptor("monolithicSparse").replace("\n", "\r\n")), "vmdk", None),
    *(
        Case(f"vmdk, {kind}", vmdk(kind), "vmdk", "Unsupported subformat")
        for kind in (
            "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat", "fullDevice", "partitionedDevice", "vmfs",
            "vmfsSparse", "vmfsRaw", "seSparse", "custom", "", "x" * 100,
        )
    ),
    Case("vmdk, flat, of /etc/passwd", vmdk("monolithicFlat", extents=flat("/etc/passwd")), "vmdk", "subformat"),
    Case("vmdk, sparse, of /etc/passwd", vmdk(extents=flat("/etc/passwd")), "vmdk", "Invalid extent filenames"),
    Case("vmdk, sparse, of the next image", vmdk(extents=flat("secret.img")), "vmdk", "other extents"),
    Case("vmdk of a raw device", vmdk(extents=['RW 8 FLAT "/dev/sda" 0']), "vmdk", "Invalid extent filenames"),
    Case("vmdk of its own and another extent", vmdk(extents=[OWN_EXTENT, *flat("a.img")]), "vmdk", "other extents"),
    Case("vmdk of several sparse extents", vmdk(extents=[OWN_EXTENT, OWN_EXTENT]), "vmdk", "other extents"),
    Case("vmdk without extents", vmdk(extents=[]), "vmdk", "No extents"),
    Case("vmdk with a parent", vmdk(extra='parentFileNameHint="/etc/passwd"'), "vmdk", "parent disk"),
    Case("vmdk with a parent named in a comment", vmdk(extra='# parentFileNameHint="/etc/x"'), "vmdk", "parent disk"),
    Case(
        "vmdk with a parent named behind what the header says is the descriptor",
        vmdk(extra="# " + "x" * 1024 + '\nparentFileNameHint="/etc/passwd"', descriptor_sectors=1),
        "vmdk", "parent disk",
    ),
    Case("vmdk without a createType", vmdk(descriptor=f"version=1\n{OWN_EXTENT}\n"), "vmdk", "Unsupported subformat"),
    Case("vmdk with two createTypes", vmdk(extra='createType="monolithicFlat"'), "vmdk", "several subformats"),
    Case(
        "vmdk that QEMU reads otherwise than the inspector",
        vmdk(capacity=0, descriptor='createtype="monolithicSparse"\ncreateType="monolithicFlat"\n' + flat("a.img")[0]),
        "vmdk", "several subformats",
    ),
    Case("vmdk whose header has no capacity", vmdk(capacity=0), "vmdk", "no capacity"),
    Case("vmdk whose descriptor goes on behind the first mebibyte",
         vmdk(extra="#" + "x" * MIB), "vmdk", "does not end"),
    Case("vmdk whose descriptor ends with the file", vmdk(extra="#" + "x" * (4 * KIB)), "vmdk", "does not end"),
    Case("vmdk whose createType is in another case",
         vmdk(descriptor=vmdk_descriptor("monolithicSparse").replace("createType", "CREATETYPE")), "vmdk", "harmless"),
    Case("vmdk whose kind is in another case", vmdk("monolithicsparse"), "vmdk", "not known to be harmless"),
    Case("vmdk whose version is in another case", vmdk(extra="VERSION=1"), "vmdk", "not known to be harmless"),
    Case("vmdk whose changes are tracked in a file", vmdk(extra='changeTrackPath="/x"'), "vmdk", "not known to be"),
    Case("vmdk whose kind is told in a comment too", vmdk(extra="# createType"), "vmdk", "several subformats"),
    *(
        Case(f"vmdk of the extent {extent!r}", vmdk(extents=[extent]), "vmdk", "other extents")
        for extent in (
            'RW\t8\tFLAT\t"/etc/passwd"\t0=x', 'RW\t2048\tSPARSE\t"disk.vmdk"', 'RW 2048 SPARSE "disk.vmdk" 0',
            'RW 2048 SPARSE "disk.vmdk"x', 'rw 2048 sparse "disk.vmdk"', "RW 8 ZERO", "RW 2048 SPARSE disk.vmdk",
            'RW 2048 SPARSE "a\\disk.vmdk"', 'RW 2048 SPARSE "nbd:disk.vmdk"', 'NOACCESS 2048 SPARSE "disk.vmdk"',
            'RW 8 VMFSSPARSE "disk.vmdk"', 'RW 8 SESPARSE "disk.vmdk"', 'RW 2048 SPARSE ""', "RW", "RW\r2048\rSPARSE",
        )
    ),
    Case("vmdk of an extent over lines", vmdk(extents=["RW", "8", "FLAT", '"a.img"', "0"]), "vmdk", "other extents"),
    Case("vmdk as VMware makes it", vmdk(extents=['RW 2048 SPARSE "Windows Server.vmdk"'], extra=VMWARE), "vmdk", None),
    Case("vmdk as VirtualBox makes it",
         vmdk("streamOptimized", extents=['RDONLY 2048 SPARSE "box-disk001.vmdk"'], extra=VIRTUALBOX), "vmdk", None),
    Case("vmdk whose descriptor fills its sectors", placed(
        (0, vmdk(extra="#" + "x" * (1023 - len(vmdk_descriptor("monolithicSparse"))))), (1536, b"\x1a\x80\xff")
    ), "vmdk", None),
    Case("vmdk with words that nobody knows", vmdk(extra="include everything"), "vmdk", "Invalid VMDK descriptor"),
    Case("vmdk whose descriptor isn't ASCII", vmdk(extra="# \xe9"), "vmdk", "No descriptor"),
    Case("vmdk whose descriptor is empty", vmdk(descriptor=""), "vmdk", "No descriptor"),
    Case("vmdk whose descriptor has no size", vmdk(descriptor_sectors=0), "vmdk", "No descriptor"),
    Case("vmdk whose descriptor is huge", vmdk(descriptor_sectors=1 << 62), "vmdk", "Incomplete"),
    Case("vmdk whose descriptor is elsewhere", vmdk(descriptor_sector=4), "vmdk", "broken"),
    Case("vmdk without an embedded descriptor", vmdk(descriptor_sector=0, descriptor_sectors=0), "vmdk", "broken"),
    Case("vmdk, version 4", vmdk(version=4), "vmdk", "broken"),
    Case("vmdk cut within its header", vmdk()[:60], "vmdk", "Incomplete"),
    Case("vmdk cut within its descriptor", vmdk()[:700], "vmdk", "Incomplete"),
    Case("vmdk whose footer is missing", vmdk(directory=AT_END), "vmdk", "signature"),
    Case("vmdk whose footer is cut", stream_optimized(cut=1), "vmdk", "signature"),
    Case("vmdk whose footer has another descriptor", stream_optimized(sectors=40), "vmdk", "different descriptor"),
    Case("vmdk whose footer names another", stream_optimized(directory=AT_END), "vmdk", "another footer"),
    Case("vmdk whose footer is no footer", stream_optimized(marker=1), "vmdk", "Footer marker is invalid"),
    Case("vmdk whose stream doesn't end", stream_optimized(end=1), "vmdk", "End-of-stream marker"),
    Case("vmdk of an ESX server, which may have a parent", b"COWD" + bytes(2044), "vmdk", "Unsupported subformat"),
    Case("vmdk of an ESX server declared raw", b"COWD" + bytes(2044), "raw", "found vmdk"),
    Case("vmdk declared raw", vmdk(), "raw", "found vmdk"),
    Case("vmdk of /etc/passwd said to be in an OVA", vmdk(extents=flat("/etc/x")), "vmdk", "extent filenames", "ova"),
]  # fmt: skip

ALONE = vmdk_descriptor("monolithicFlat", extents=flat("/etc/passwd")).encode()
DESCRIPTORS = [
    Case("descriptor alone", ALONE, "vmdk", "file of its own"),
    Case("descriptor alone declared raw", ALONE, "raw", "found vmdk"),
    Case("descriptor alone that no format is declared of", ALONE, None, "file of its own"),
    Case("descriptor alone, shorter than a sector", b'version=1\ncreateType="vmfs"\n', "raw", "found vmdk"),
    Case("descriptor alone, sparse", vmdk_descriptor("monolithicSparse").encode(), "vmdk", "file of its own"),
    Case("descriptor alone, zeros behind it", ALONE.ljust(2048, b"\0"), "raw", "found vmdk"),
    Case("descriptor alone whose comment isn't ASCII", b"# \x80\r\n \r\n" + ALONE, "raw", "found vmdk"),
    Case(
        "descriptor alone that tells its kind late",
        ALONE.replace(b"createType", b"#" * 5000 + b"\ncreateType"),
        "raw", "found vmdk",
    ),
    Case(
        "descriptor alone that doesn't begin as QEMU expects",
        b"CID=1\n" + ALONE.replace(b"version=1\n", b'createtype="monolithicSparse"\n').replace(b"/etc/", b""),
        "vmdk", "file of its own",
    ),
    Case("text that is no descriptor", b"a text of some length\n" * 40, "raw", None),
    Case("text that is no descriptor and not ASCII", b"a text of some length\n" * 40 + b"caf\xc3\xa9", "raw", None),
]  # fmt: skip

OTHERS = [
    Case("vhd", vhd(), "vhd", None),
    Case("vhd declared raw", vhd(), "raw", "found vhd"),
    Case("vhd cut within its header", vhd()[:100], "vhd", "Incomplete"),
    Case("vhd of a fixed size", fixed_vhd(), "vhd", None),
    Case("vhd of a fixed size with a partition table", fixed_vhd(mbr(partition(0x83))), "vhd", None),
    Case("vhd of a fixed size longer than a mebibyte", bytes(MIB + 512) + fixed_vhd(), "vhd", None),
    Case("vhd of a fixed size declared raw, which it is too", fixed_vhd(gpt()), "raw", None),
    Case("vhd of a fixed size that no format is declared of", fixed_vhd(), None, None),
    Case("vhd of a fixed size declared qcow2", fixed_vhd(), "qcow2", "found raw"),
    Case("vhd of a fixed size that begins as a qcow2", fixed_vhd(qcow2()), "vhd", "found qcow2 and vhd"),
    Case("vhd of a fixed size with another checksum", fixed_vhd(checksum=1), "vhd", "found raw"),
    Case("vhd whose footer says that it is dynamic", fixed_vhd(kind=3), "vhd", "found raw"),
    Case("vhd whose disk is longer than the file", fixed_vhd(size=2 * MIB), "vhd", "found raw"),
    Case("vhd of a fixed size cut within its footer", fixed_vhd()[:-1], "vhd", "found raw"),
    Case("vhd's footer with something behind it", fixed_vhd() + bytes(512), "vhd", "found raw"),
    Case("vhdx", vhdx(), "vhdx", None),
    Case("vhd with a parent", vhd(kind=4), "vhd", "parent disk"),
    Case("vhdx with a parent", vhdx(has_parent=True), "vhdx", "parent disk"),
    Case("vhdx declared raw", vhdx(), "raw", "found vhdx"),
    Case("vhdx without a region table", vhdx(signature=b"oops"), "vhdx", "broken"),
    Case("vhdx with too many regions", vhdx(regions=5000), "vhdx", "broken"),
    Case("vhdx whose metadata aren't", vhdx(metadata=b"nonsense"), "vhdx", "broken"),
    Case("vhdx whose metadata are beyond its end", vhdx(metadata_at=1 << 62), "vhdx", "Incomplete"),
    Case("vhdx cut before its region table", vhdx()[: 128 * KIB], "vhdx", "Incomplete"),
    Case("vhdx cut within its region table", vhdx()[: 200 * KIB], "vhdx", "Incomplete"),
    Case("vhdx cut before its metadata", vhdx()[:MIB], "vhdx", "Incomplete"),
    Case("vdi", vdi(), "vdi", None),
    Case("vdi declared raw", vdi(), "raw", "found vdi"),
    Case("vdi cut within its header", vdi()[:100], "vdi", "cut short"),
    Case("qed", qed(), "qed", "not allowed"),
    Case("qed declared raw", qed(), "raw", "found qed"),
    Case("qed that no format is declared of", qed(), None, "not allowed"),
    Case("qed cut within its header", qed()[:72], None, "cut short"),
    Case("luks", luks(), "luks", None),
    Case("luks declared raw", luks(), "raw", "found luks"),
    Case("luks, version 2", luks(version=2), "luks", None),
    Case("luks, version 2, declared raw", luks(version=2), "raw", "found luks"),
    Case("luks, version 2, that no format is declared of", luks(version=2), None, None),
    Case("luks, version 3", luks(version=3), "luks", "LUKS version 3"),
    Case("luks, version 2, cut within its header", luks(version=2, size=591), "luks", "Incomplete"),
    Case("luks cut within its header", luks(size=591), "luks", "Incomplete"),
    Case("luks cut within its first words", luks(size=10), "luks", "Incomplete"),
    Case("parallels, which the inspector doesn't know", parallels(), "ploop", None),
    Case("a format that nobody knows", HARMLESS["raw"], "frob", "found raw"),
]

WINDOWS = mbr(b"\x8b\xd8\x0f\x84" * 16, front=b"\xeb\x52\x90NTFS    ")
RAW = [
    Case("raw", HARMLESS["raw"], "raw", None),
    Case("raw that no format is declared of", HARMLESS["raw"], None, None),
    Case("kernel", b"MZ" + HARMLESS["raw"], "aki", None),
    Case("nothing", b"", "raw", None),
    Case("nothing declared qcow2", b"", "qcow2", "found raw"),
    Case("one byte", b"Q", "raw", None),
    Case("511 bytes", b"\x01" * 511, "raw", None),
    Case("511 bytes declared vmdk", b"\x01" * 511, "vmdk", "found raw"),
    Case("zeros", bytes(4096), "raw", None),
    Case("disk with an MBR", mbr(partition(0x83, boot=0x80), partition(0x82)), "raw", None),
    Case("disk with a GPT", gpt(), "raw", None),
    Case("disk with a GPT that no format is declared of", gpt(), None, None),
    Case("file system with a boot sector", WINDOWS, "raw", None),
    Case("boot loader without partitions", mbr(front=b"\xeb\x63\x90"), "raw", None),
    Case("disk with an MBR declared qcow2", mbr(partition(0x83)), "qcow2", "found gpt"),
    Case("GPT with a hybrid MBR", gpt(partition(0xEE), partition(0x83)), "raw", None),
    Case(
        "GPT with a hybrid MBR whose protective partition is last", gpt(partition(0x83), partition(0xEE)), "raw", None
    ),
    Case("GPT protected from another sector", gpt(partition(0xEE, start=7)), "raw", None),
    Case("GPT protected from another cylinder", gpt(partition(0xEE, chs=b"\1\2\3")), "raw", None),
    Case("GPT whose protective partition boots", gpt(partition(0xEE, boot=0x80)), None, None),
    Case("boot sector with an odd boot flag", gpt(partition(0xEE, boot=0x7F)), "raw", None),
    Case("GPT with a hybrid MBR declared qcow2", gpt(partition(0xEE), partition(7)), "qcow2", "found gpt"),
]

POLYGLOTS = [
    Case("iso", iso(), "iso", None),
    Case("iso by UDF", iso(identifier=b"NSR02"), "iso", None),
    Case("iso to boot from a stick", iso(gpt()), "iso", None),
    Case("iso to boot from a stick that no format is declared of", iso(gpt()), None, None),
    Case("iso as mkisofs makes it bootable", iso(gpt(partition(0xEF), partition(0xEE, start=0))), "iso", None),
    Case("iso declared raw", iso(), "raw", "found iso"),
    Case("iso to boot from a stick declared raw", iso(gpt()), "raw", "found gpt and iso"),
    Case("iso cut within its first descriptor", iso()[: 33 * KIB], "iso", "found raw"),
    Case("iso that is a qcow2", iso(qcow2()), "iso", "found iso and qcow2"),
    Case("qcow2 that is an iso", iso(qcow2()), "qcow2", "found iso and qcow2"),
    Case("qcow2 that is an iso, and no format is declared", iso(qcow2()), None, "iso and qcow2 at once"),
    Case("iso that is a vmdk", iso(vmdk()), "iso", "found iso and vmdk"),
    Case("iso that is a vmdk, said to be in an OVA", iso(vmdk()), "iso", "iso and vmdk at once", "ova"),
    Case("iso that is a descriptor", iso(ALONE), "iso", "found iso and vmdk"),
    Case("qcow2 with a boot sector", placed((0, qcow2()), (510, b"\x55\xaa")), "qcow2", "found gpt and qcow2"),
    Case("iso that is a luks", iso(luks()), None, "iso and luks at once"),
]

GZIP = gzip.compress(HARMLESS["qcow2"])
ZSTD = b"\x28\xb5\x2f\xfd\x04\x00\x01\x00\x00"
ZIP = b"PK\3\4\x14\0\0\0\x08\0".ljust(26, b"\0") + b"\x08\0\0\0disk.img"
SEVEN_ZIP = b"7z\xbc\xaf\x27\x1c\0\4" + struct.pack("<I", crc32(bytes(20))) + bytes(20)
PAGE = b"<!DOCTYPE html>\n<html><title>Sign in</title></html>\n"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
FILES = {
    "gz": GZIP,
    "bz2": bz2.compress(b"disk"),
    "bz2 of nothing": bz2.compress(b""),
    "xz": lzma.compress(b"disk"),
    "zst": ZSTD,
    "zst behind a frame to skip": b"\x51\x2a\x4d\x18\4\0\0\0abcd" + ZSTD,
    "lz4": b"\x04\x22\x4d\x18\x64\x40\xa7",
    "lz": b"LZIP\1\x0c",
    "zip": ZIP,
    "7z": SEVEN_ZIP,
    "rar": b"Rar!\x1a\x07\1\0",
    "tar": tar(),
    "tar of the first Unix": tar(magic=b""),
    "ova": tar(b"appliance.ovf"),
    "html": PAGE,
    "html behind a mark": b"\xef\xbb\xbf\r\n <HTML lang=en>",
    "html behind a comment": b"<!-- sign in --><html>",
    "xml": b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>',
    "lfs": POINTER,
    "annex": b"/annex/objects/SHA256E-s12--4d7a.img\n",
}
HELD = ("gz", "bz2", "xz", "zst", "lz4", "lz", "zip", "7z", "rar", "tar", "ova")
NO_DISKS = [
    *(Case(f"{name} declared raw", data, "raw", "not a disk image") for name, data in FILES.items()),
    *(Case(f"{name} that no format is declared of", data, None, "not a disk image") for name, data in FILES.items()),
    *(Case(f"{name} declared qcow2", data, "qcow2", "not a disk image") for name, data in FILES.items()),
    *(Case(f"{name} declared {name}", FILES[name], name, None) for name in (*HELD, "html")),
    *(Case(f"{name} said to be in a container", FILES[name], "raw", None, "compressed") for name in HELD),
    Case("ova said to be one", FILES["ova"], "vmdk", None, "ova"),
    Case("html said to be in a container", PAGE, "raw", "an HTML page", "compressed"),
    Case("RAM disk that is compressed", GZIP, "ari", None),
    Case("kernel that is compressed", FILES["zst"], "aki", None),
    Case("html declared to be a kernel", PAGE, "aki", "an HTML page"),
    Case("gz says what to do", GZIP, "raw", "gunzip"),
    Case("lfs says what to do", POINTER, "raw", "git lfs pull"),
]
LIKE_OTHERS = [
    Case(f"disk that begins as {name}", data, "raw", None)
    for name, data in {
        "gz with reserved flags": b"\x1f\x8b\x08\xff" + bytes(600),
        "gz by its first bytes, with a boot sector": placed((0, GZIP[:20]), (510, b"\x55\xaa"), size=4096),
        "bz2 by its first bytes": b"BZh9" + bytes(600),
        "xz with another checksum": b"\xfd7zXZ\0\0\4" + bytes(600),
        "zst with a reserved bit": ZSTD[:4] + b"\x08" + bytes(600),
        "a frame to skip, and no zst": b"\x51\x2a\x4d\x18\4\0\0\0abcd" + bytes(600),
        "lz4 of another version": b"\x04\x22\x4d\x18\x00\x40" + bytes(600),
        "7z with another checksum": b"7z\xbc\xaf\x27\x1c\0\4" + bytes(600),
        "zip of no version": b"PK\3\4\xff" + bytes(600),
        "tar without a checksum": placed((0, b"disk.raw"), (257, b"ustar"), size=1024),
        "a tag": b"<abbr>" + bytes(600),
    }.items()
]

DISKS = [*QCOW2, *VMDK, *DESCRIPTORS, *OTHERS, *RAW, *POLYGLOTS]
CASES = [*NO_DISKS, *LIKE_OTHERS, *DISKS]
PLAIN = [each for each in DISKS if each.container == "bare" and each.declared != "aki"]


@pytest.fixture(params=["streamed and hashed", "copied unseen"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Audited as it comes by, or looked at in the new file once it is there."""
    monkeypatch.setattr(pipeline, "BUFFERS", 2)  # to make 24 takes longer than all the rest
    way: str = request.param
    return way


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_an_image_lands_or_is_refused_in_words_and_leaves_nothing(case: Case, way: str, tmp_path: Path) -> None:
    digest = Digest("sha256", hashlib.sha256(case.data).hexdigest())
    image = Image("id", None, len(case.data), case.declared, case.container, digest)
    folder = tmp_path / "vms"
    folder.mkdir()
    target = folder / "1"
    if way == "copied unseen":
        source = tmp_path / "image"
        source.write_bytes(case.data)
        work = Work(str(target), image, Location(f"file://{source}"))
        rules = Rules(verify=False, unpack=False)
        outcome = FileHandler([tmp_path], FileDestination(MemoryVerifiedFiles(), rules)).fetch(work)
    else:
        catalog = MemoryCatalog([image], data={"id": case.data})
        files = FileDestination(MemoryVerifiedFiles(), Rules(unpack=False))
        outcome = DownloadHandler(catalog, files).fetch(Work(str(target), image))
    if case.word is None:
        assert isinstance(outcome, Success)
        assert target.read_bytes() == case.data
    else:
        assert isinstance(outcome, Failure)
        assert isinstance(refused := outcome.failure(), Mismatched)
        assert case.word in str(refused)
        assert os.listdir(folder) == []


@pytest.mark.parametrize("case", PLAIN, ids=[case.name for case in PLAIN])
def test_a_packed_image_is_inspected_like_the_image_in_it(case: Case, tmp_path: Path) -> None:
    packed = gzip.compress(case.data, 1)
    digest = Digest("sha256", hashlib.sha256(packed).hexdigest())
    image = Image("id", None, len(packed), case.declared, "compressed", digest)
    handler = DownloadHandler(MemoryCatalog([image], data={"id": packed}), FileDestination(MemoryVerifiedFiles()))
    outcome = handler.fetch(Work(str(tmp_path / "1"), image))
    if case.word is None:
        assert isinstance(outcome, Success)
        assert (tmp_path / "1").read_bytes() == case.data
    else:
        assert isinstance(refused := outcome.failure(), Mismatched)
        assert case.word in str(refused)
        assert os.listdir(tmp_path) == []


def test_the_names_of_the_cases_are_different() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def test_an_unsafe_image_lands_where_nothing_is_inspected(tmp_path: Path) -> None:
    data = qcow2(backing=b"/etc/passwd")
    image = Image("id", size=len(data), disk_format="qcow2")
    transfer = FileDestination(MemoryVerifiedFiles(), Rules(inspect=False))
    handler = DownloadHandler(MemoryCatalog([image], data={"id": data}), transfer)
    assert isinstance(handler.fetch(Work(str(tmp_path / "1"), image)), Success)
