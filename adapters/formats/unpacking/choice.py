"""The choice of the one disk among the members of an archive."""

import os
from collections.abc import Iterable
from typing import Final

from lading.adapters.stream.errors import Refused
from lading.domain.refusals import Mismatched

__all__ = ["Choice", "is_no_disk"]

_NO_DISKS: Final = (
    ".ovf", ".mf", ".cert", ".cer", ".pem", ".asc", ".sig", ".sign", ".gpg", ".md5", ".sha1", ".sha256", ".sha512",
    ".sum", ".txt", ".md", ".rst", ".html", ".htm", ".pdf", ".xml", ".json", ".yaml", ".yml", ".toml", ".ini", ".cfg",
    ".conf", ".log", ".sh", ".bat", ".ps1", ".py", ".nvram", ".vmx", ".vmxf", ".vmsd", ".vbox",
)  # fmt: skip
"""Endings of files that are no disks but lie beside them."""
_NO_DISK_NAMES: Final = frozenset(
    {"license", "copying", "readme", "changelog", "notice", "checksum", "sha256sums", "md5sums", "sha512sums"}
)
_CHOOSE: Final = "choose one with --member"
_MOST_SHOWN: Final = 8
_LONGEST_SHOWN: Final = 80
"""Characters of a name."""


class Choice:
    """Chooses the disk while the members pass: the named one, else the OVF's one, else the only one."""

    def __init__(self, archive: str, member: str | None) -> None:
        """`archive`: its kind, for messages; `member`: the name of the member to be taken."""
        self._archive = archive
        self._member = member
        self._described: tuple[str, ...] = ()
        self._found: list[str] = []
        self._taken: str | None = None

    @property
    def taken(self) -> str | None:
        """The name of the member that was taken."""
        return self._taken

    def describe(self, files: Iterable[str]) -> None:
        """Takes the names of the disks' files from an OVF. Raises Refused where it does not name just one."""
        self._described = tuple(dict.fromkeys((*self._described, *map(_plain, files))))
        if self._member is None and len(self._described) != 1:
            named = f"several disks: {_listed(self._described)}" if self._described else "no disk"
            raise Refused(Mismatched(f"the OVF in the {self._archive} archive names {named}", advice=_CHOOSE))

    def takes(self, name: str, size: int) -> bool:
        """Tells whether the member's bytes are to be read: it may be the disk, and none was taken before."""
        plain = _plain(name)
        if plain != self._wanted and (size == 0 or is_no_disk(plain)):
            return False
        self._found.append(plain)
        if self._taken is not None or self._wanted not in {None, plain}:
            return False
        self._taken = plain
        return True

    def settle(self) -> None:
        """Raises Refused unless the member that was taken is the disk. For the end of the archive."""
        archive, found = self._archive, self._found
        wanted = self._wanted
        matching = [name for name in found if wanted in {None, name}]
        if wanted is not None and not matching:
            known = _listed(found) if found else "no disk"
            by_whom = "" if self._member else ", which its OVF names"
            reason = f"the {archive} archive has no member {_shown(wanted)}{by_whom}"
            raise Refused(Mismatched(reason, found=known))
        if not matching:
            raise Refused(Mismatched(f"the {archive} archive has no disk in it"))
        if len(matching) > 1:
            raise Refused(Mismatched(f"the {archive} archive has several disks", found=_listed(found), advice=_CHOOSE))
        if matching != [self._taken]:
            raise Refused(
                Mismatched(
                    f"the {archive} archive has its OVF after the disks", advice=f"--member {_shown(matching[0])}"
                )
            )

    @property
    def _wanted(self) -> str | None:
        """The name of the disk, once it is known."""
        if self._member is not None:
            return _plain(self._member)
        return self._described[0] if self._described else None


def _plain(name: str) -> str:
    """The name without a leading `./`."""
    return name.removeprefix("./")


def is_no_disk(name: str) -> bool:
    """Tells whether a file of that name lies beside disks: a checksum, a signature, a text."""
    base = os.path.basename(name).lower()
    return base.startswith(".") or base.endswith(_NO_DISKS) or base in _NO_DISK_NAMES


def _shown(name: str) -> str:
    """The name as a message may show it: an archive may have any."""
    text = name if name.isprintable() else ascii(name)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _listed(names: Iterable[str]) -> str:
    all_names = list(names)
    more = f" and {len(all_names) - _MOST_SHOWN} more" if len(all_names) > _MOST_SHOWN else ""
    return ", ".join(map(_shown, all_names[:_MOST_SHOWN])) + more
