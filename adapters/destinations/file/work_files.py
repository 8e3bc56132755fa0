"""The files of one fetch: what is made of the image, on the target's file system."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Literal

from lading.adapters.destinations.file.free_space import has_space, require_space
from lading.adapters.destinations.file.new_file import NewFile
from lading.adapters.destinations.file.notes import Notes
from lading.adapters.destinations.file.partial import made_path
from lading.adapters.destinations.rules import Rules
from lading.adapters.formats.audit import Audited
from lading.adapters.stream.safe_open import fingerprint
from lading.domain.handler import Work
from lading.ports.association import Shipped

__all__ = ["Disk", "WorkFiles"]


@dataclass(frozen=True, slots=True)
class Disk:
    """The image's disk in a file, on its way to the target."""

    file: NewFile | None
    """None: the source's own file, which is only read."""
    descriptor: int
    audited: Audited
    """Its format, and the digest where it is known."""
    method: str
    shipped: Shipped | None = None
    """The image as it was shipped, where the file has other bytes."""
    converted_by: str | None = None


class WorkFiles(ExitStack):
    """Makes the files of one fetch. The end of the block closes them, and removes what was not published."""

    def __init__(self, work: Work, rules: Rules, notes: Notes, part: str) -> None:
        """`part`: the path of the temporary file for the image as shipped."""
        super().__init__()
        self.part = part
        self._work, self._rules, self._notes = work, rules, notes

    def new_file(self, kind: Literal["disk", "made"]) -> NewFile:
        """A file for what is made of the image. Raises OSError and Refused."""
        part, notes = made_path(self.part, kind), self._notes
        announce = partial(notes.announce_made, part=part) if notes.are_kept else None
        new = self.enter_context(NewFile(self._work.target, part=part, mode=self._rules.mode, announce=announce))
        if announce is not None and self._work.force:
            announce(fingerprint(new.descriptor))  # it will have that name for a moment
        return new

    def for_tools(self, file: NewFile) -> int:
        """A descriptor of the file for external tools.

        Its lock belongs to the other one: a tool that ends after this process was killed does not hold it meanwhile.
        """
        descriptor = os.open(f"/dev/fd/{file.descriptor}", os.O_RDWR | os.O_CLOEXEC)
        self.callback(os.close, descriptor)
        return descriptor

    def has_space(self, size: int) -> bool:
        """Tells whether `require_space` would not refuse so many bytes. Raises OSError."""
        return not self._rules.require_space or has_space(size, self._work.target)

    def require_space(self, size: int | None, *, allocated: bool = False) -> None:
        """Raises Refused when so many bytes do not fit, where the rules say so; see `free_space.require_space`."""
        if self._rules.require_space:
            require_space(size, self._work.target, allocated=allocated)

    def reached(self, total: int) -> Callable[[int], None]:
        """Reports the progress of a step that has so many bytes."""
        return partial(_report, self._work, total)


def _report(work: Work, total: int, done: int) -> None:
    work.observer.progress(done, total)
