"""The handler of images in folders of this host: cloned where the file system can, else copied."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

from returns.result import Failure, Result

from lading.adapters.destinations.destination import SourceOpener
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.base import SourceHandler
from lading.adapters.handlers.setup import HandlerSetup
from lading.adapters.stream.safe_open import open_located
from lading.adapters.stream.sources import FileSource, ResumePoint
from lading.domain.cost import Cost
from lading.domain.handler import Work
from lading.domain.refusals import Refusal, Unconfigured, Unsupported

__all__ = ["FileHandler", "FileHandlerSettings"]


@dataclass(frozen=True, slots=True)
class FileHandlerSettings:
    allowed_folders: tuple[Path, ...] = ()
    """Images are read only in these folders and their subfolders."""


class FileHandler(SourceHandler):
    """Takes `file://` and `filesystem://`, two names of one scheme, beneath the allowed folders only."""

    name = "file"
    schemes = frozenset({"file", "filesystem"})
    is_local = True

    def __init__(self, allowed_folders: Sequence[Path], files: FileDestination) -> None:
        self._allowed_folders = tuple(allowed_folders)
        super().__init__(files)

    @classmethod
    def from_setup(cls, setup: HandlerSetup) -> Self:
        return cls(setup.read(FileHandlerSettings).allowed_folders, setup.files)

    def cost(self, target: str) -> Cost:
        return Cost.LOCAL_COPY

    def opener(self, work: Work) -> SourceOpener:
        return SourceOpener(partial(self._open, work), plan="clones or copies {}".format)

    def _open(self, work: Work, start: ResumePoint) -> Result[FileSource, Refusal]:
        if not self._allowed_folders:
            return Failure(
                Unconfigured("no folder is allowed", advice='[handlers.file] allowed_folders = ["/folder/of/images"]')
            )
        if work.location is None:
            return Failure(Unsupported("this handler needs a location"))
        return open_located(self._allowed_folders, work.location).map(FileSource)
