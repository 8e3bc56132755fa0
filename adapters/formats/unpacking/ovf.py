"""The disks that an OVF describes (DSP0243, Open Virtualization Format, 7.1 and 8.1)."""

from typing import Final

from lading.adapters.stream.errors import Refused
from lading.domain.refusals import Mismatched

__all__ = ["LONGEST", "disk_files"]

LONGEST: Final = 1 << 20
"""Bytes of an OVF."""


def disk_files(text: bytes) -> tuple[str, ...]:
    """The names of the files that its disks have, each once. Raises Refused where that cannot be told.

    >>> disk_files(b'<E><References><File id="f" href="a.vmdk"/></References><Disk fileRef="f"/><Disk/></E>')
    ('a.vmdk',)
    """
    from xml.parsers import expat  # noqa: PLC0415 - few images come as an OVA

    references: dict[str, str] = {}
    disks: dict[str, None] = {}

    def start(name: str, attributes: dict[str, str]) -> None:
        plain = {key.rpartition(" ")[2]: value for key, value in attributes.items()}
        element = name.rpartition(" ")[2]
        if element == "File" and "id" in plain and "href" in plain:
            if "chunkSize" in plain:
                raise Refused(Mismatched("the OVF splits a disk into several files, which cannot be joined here"))
            references[plain["id"]] = plain["href"]
        elif element == "Disk" and "fileRef" in plain:
            disks[plain["fileRef"]] = None

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = start
    # No OVF has one, and only there entities are declared, which may multiply.
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(text, True)  # noqa: FBT003 - its interface
    except expat.ExpatError as error:
        raise Refused(Mismatched(f"the OVF is no XML: {error}")) from error
    unknown = [each for each in disks if each not in references]
    if unknown:
        raise Refused(Mismatched(f"the OVF has a disk of a file that it does not name: {unknown[0][:80]!a}"))
    return tuple(dict.fromkeys(references[each] for each in disks))


def _refuse_doctype(*_declaration: object) -> None:
    raise Refused(Mismatched("the OVF has a document type declaration, which is not allowed"))
