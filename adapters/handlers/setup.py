"""What a handler is built from: the one argument of every factory in the entry-point group `lading.handlers`."""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from returns.result import Failure, Result, Success

from lading.adapters.destinations.clone.destination import CloneDestination
from lading.adapters.destinations.clone.storage import CloneStorage
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.formats.audit import Audit, Audited
from lading.adapters.stream import pipeline
from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.stream.sources import Source
from lading.adapters.web.network import DIRECT, Named, NetworkPolicy
from lading.domain.handler import Landing, Work
from lading.domain.refusals import Refusal, TargetFailed, Unavailable
from lading.ports.catalog import ImageCatalog
from lading.ports.failures import LadingError
from lading.ports.image import Image
from lading.ports.journal import Journal
from lading.ports.observer import Observer

__all__ = ["HandlerSetup", "PackageMissing"]


@dataclass(eq=False)
class PackageMissing(LadingError, ModuleNotFoundError):
    """A package that a handler needs is not installed."""

    reason: str
    """In words, with the command that installs it."""

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True, slots=True)
class HandlerSetup:
    """`settings` is the handler's own table, `[handlers.NAME]`; `lading.adapters.config.settings.read_table` checks it.

    Where the target is a file, the files takes notes, inspects and verifies. Where it is none, a handler does so
    itself, with `note`, `inspect` and `audit`.
    """

    settings: Mapping[str, object] = field(repr=False)
    files: FileDestination
    catalog: ImageCatalog
    journal: Journal
    """For notes on `Work.intent`, of handlers that don't leave that to the files."""
    network: NetworkPolicy = DIRECT
    """How servers are reached and trusted: `[network]`, and the variables."""

    def network_trusting(self, ca_file: Path | None, handler: str) -> NetworkPolicy:
        """The network policy, with the handler's own `ca_file` where it has one. Raises SettingsError."""
        if ca_file is None:
            return self.network
        policy = replace(self.network, ca_file=Named(str(ca_file), f"[handlers.{handler}] ca_file"))
        policy.tls_context()
        return policy

    def clones(self, storage: CloneStorage) -> CloneDestination:
        """The destination of targets that are clones in this storage."""
        return CloneDestination(storage, self.journal, self.files.rules)

    def note(self, work: Work, notes: Mapping[str, object]) -> Result[None, Refusal]:
        """Write down what is about to be done, for `recover` to find; without an intent nothing is written."""
        if work.intent is None:
            return Success(None)
        written = self.journal.note(work.target, notes)
        return written.alt(lambda failure: TargetFailed(f"what is done can't be written down: {failure}"))

    def inspect(self, image: Image | None, source: Source) -> Result[str | None, Refusal]:
        """What found the format of an image right and safe that is to be cloned unread; None where nothing shall look.

        Its size is compared too, where it is known. Reads the beginning only, and closes the source.
        """
        return self._audited(image, source, verify=False, read=lambda audit: audit.inspect(source)).map(
            lambda audited: audited.inspected_by
        )

    def audit(self, image: Image | None, source: Source, observer: Observer) -> Result[Landing, Refusal]:
        """Read what is at a target, and compare it with the catalog's promise: what `verify` is to answer.

        Where no digest is promised, only the format is looked at. Closes the source.
        """

        def read(audit: Audit) -> None:
            if audit.is_hashing:
                pipeline.run(source, (audit.take,), lambda done: observer.progress(done, source.size))
            else:
                audit.inspect(source)

        return self._audited(image, source, verify=True, read=read).map(
            lambda found: Landing(
                size=found.size, digest=found.digest, verified=found.verified, inspected_by=found.inspected_by
            )
        )

    def _audited(
        self, image: Image | None, source: Source, *, verify: bool, read: Callable[[Audit], None]
    ) -> Result[Audited, Refusal]:
        def look(audit: Audit) -> Result[Audited, Refusal]:
            try:
                read(audit)
            except SourceBroken as broken:
                return Failure(Unavailable(str(broken)))
            return audit.verdict(source.size or (image and image.size) or 0)

        with closing(source):
            return Audit.of(image, verify=verify, inspect=self.files.rules.inspect).bind(look)
