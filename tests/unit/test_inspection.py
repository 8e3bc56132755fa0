"""What inspects the bytes: fed no longer than it needs, held to a bound, and never the one that fails."""

import struct
from importlib.metadata import version

import pytest
from oslo_utils.imageutils.format_inspector import FileInspector, QcowInspector
from returns.result import Success
from tests.images import AT_END, HARMLESS, MIB, luks, qcow2, stream_optimized, vhdx, vmdk

from lading import Image, Unsafe
from lading.adapters.formats.audit import Audit, Audited
from lading.adapters.formats.inspection import Inspection

BODY = bytes(3 * MIB)


def fed(data: bytes) -> Inspection:
    inspection = Inspection()
    inspection.feed(data)
    return inspection


@pytest.mark.parametrize("name", sorted(HARMLESS.keys() - {"stream", "vhdx"}))
def test_what_is_told_in_the_first_mebibyte_is_decided_there(name: str) -> None:
    inspection = fed(HARMLESS[name].ljust(MIB, b"\1"))
    assert inspection.is_decided
    assert inspection.dangers() == ()


def test_metadata_are_waited_for_wherever_the_header_says_that_they_are() -> None:
    assert not fed(HARMLESS["vhdx"][:MIB].ljust(MIB)).is_decided
    assert fed(HARMLESS["vhdx"].ljust(2 * MIB)).is_decided


def test_a_footer_is_waited_for_to_the_end() -> None:
    inspection = fed(stream_optimized(body=3 * MIB))
    assert not inspection.is_decided
    assert inspection.dangers() == ()
    assert fed(stream_optimized(body=3 * MIB, marker=1)).dangers() == ("Footer marker is invalid (vmdk)",)


def test_no_inspector_is_fed_once_it_has_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    fed_to: list[str] = []
    eat = FileInspector.eat_chunk

    def count(inspector: FileInspector, chunk: bytes) -> None:
        fed_to.append(str(inspector))
        eat(inspector, chunk)

    monkeypatch.setattr(FileInspector, "eat_chunk", count)
    inspection = fed(HARMLESS["raw"] + BODY)
    inspection.feed(BODY)
    assert len(fed_to) == len(set(fed_to))
    inspection.formats()
    assert len(fed_to) == len(set(fed_to))

    fed_to.clear()
    fed(vmdk(directory=AT_END) + BODY).formats()
    assert {name for name in fed_to if fed_to.count(name) > 1} == {"vmdk"}


def held(inspection: Inspection) -> int:
    """Bytes that the inspectors keep."""
    inspectors = inspection._inspectors or []  # noqa: SLF001 - nothing else tells
    return sum(sum(each._inspector.context_info.values()) for each in inspectors)  # noqa: SLF001


@pytest.mark.parametrize(
    "data",
    [
        vmdk(descriptor="#" * 3 * MIB, descriptor_sectors=1 << 62),
        vmdk(descriptor="#" * 3 * MIB, descriptor_sectors=1 << 62, directory=AT_END),
        b"version=1\n" + b"#" * 3 * MIB,
        vhdx(metadata_at=1 << 62) + BODY,
        vhdx(metadata_at=1 << 20, regions=2047) + BODY,
        qcow2(header_length=0xFFFFFFFF, size=3 * MIB),
        luks(size=3 * MIB),
    ],
)
def test_no_header_makes_the_inspection_hold_more_than_its_bound(data: bytes) -> None:
    inspection = Inspection()
    for start in range(0, len(data), MIB):
        inspection.feed(data[start : start + MIB])
        assert held(inspection) < 2 * MIB
        assert len(inspection._block) < MIB  # noqa: SLF001


@pytest.mark.parametrize("error", [struct.error("short"), MemoryError(), RecursionError(), KeyError("vds"), OSError()])
@pytest.mark.parametrize("member", ["region_complete", "safety_check", "format_match"])
def test_whatever_an_inspector_raises_is_a_danger(
    monkeypatch: pytest.MonkeyPatch, member: str, error: Exception
) -> None:
    def fail(*_: object) -> bool:
        raise error

    monkeypatch.setattr(QcowInspector, member, property(fail) if member == "format_match" else fail)
    assert fed(qcow2()).dangers() == (f"It cannot be checked: {type(error).__name__} (qcow2)",)


def test_a_check_that_fails_is_a_danger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oslo_utils.imageutils.format_inspector.QcowInspector.BF_OFFSET_LEN", 7)
    assert fed(qcow2()).dangers() == ("Unexpected error (qcow2)",)


def test_several_dangers_are_all_named() -> None:
    audit = Audit.of(Image("id"), verify=True, inspect=True).unwrap()
    inspection = fed(data := qcow2(backing=b"/etc/passwd", incompatible=0b100, header_length=0))
    assert len(inspection.dangers()) == 3
    assert audit._inspection is not None  # noqa: SLF001
    audit._inspection.feed(data)  # noqa: SLF001
    refused = audit.verdict(len(data)).failure()
    assert refused == Unsafe(f"unsafe image: {', '.join(inspection.dangers())}")


def test_what_was_inspected_says_by_what() -> None:
    told = {True: (f"oslo.utils {version('oslo.utils')}", "raw", 0), False: (None, None, None)}
    for inspect, (by, disk_format, size) in told.items():
        audit = Audit.of(Image("id"), verify=True, inspect=inspect).unwrap()
        assert audit.verdict(0) == Success(
            Audited(0, None, verified=False, inspected_by=by, format=disk_format, virtual_size=size)
        )


def test_what_is_put_somewhere_for_no_image_is_inspected_too() -> None:
    audit = Audit.of(None, verify=True, inspect=True).unwrap()
    assert audit.verdict(0).unwrap().inspected_by is not None
