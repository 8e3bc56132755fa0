"""Images on volumes of a Cinder: read into files of this host, or cloned to volumes that are attached to it."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Self

from returns.result import Failure, Result, Success

from lading.adapters.destinations.destination import SourceOpener
from lading.adapters.handlers.cinder.api import Cinder
from lading.adapters.handlers.cinder.attachments import Attachments
from lading.adapters.handlers.cinder.clones import Clones
from lading.adapters.handlers.cinder.names import is_volume_target
from lading.adapters.handlers.cinder.settings import CinderHandlerSettings
from lading.adapters.handlers.cinder.source import Volumes
from lading.adapters.handlers.setup import HandlerSetup, PackageMissing
from lading.adapters.openstack.cloud import connect_cloud
from lading.domain.cost import Cost
from lading.domain.handler import Landing, PartialData, Report, Work
from lading.domain.refusals import Refusal
from lading.ports.association import Association
from lading.ports.journal import Verb

if TYPE_CHECKING:
    from keystoneauth1.adapter import Adapter

__all__ = ["CinderHandler"]

_log = logging.getLogger(__name__)


class CinderHandler:
    """Takes `cinder://VOLUME` and `cinder://STORE/VOLUME`.

    A target `cinder:NAME` becomes a volume of that name, attached to this host; to a path of this host it is read.
    """

    name = "cinder"
    schemes = frozenset({"cinder"})
    is_local = False
    resizes = True

    def __init__(
        self,
        settings: CinderHandlerSettings,
        setup: HandlerSetup,
        connect: "Callable[[], Adapter] | None" = None,
    ) -> None:
        """`connect` gives a client of Cinder; None: of the cloud in the settings, or as `OS_*` says."""
        self._files = setup.files
        cinder = Cinder(
            connect or (lambda: connect_cloud(settings.cloud, "block-storage", extra="cinder", network=setup.network)),
            settings.timeout,
        )
        attaching = Attachments(cinder, settings)
        self._volumes = Volumes(cinder, attaching, setup)
        self._clones = Clones(cinder, attaching, setup)

    @classmethod
    def from_setup(cls, setup: HandlerSetup) -> Self:
        lacking = [
            name
            for module, name in {
                "os_brick": "os-brick", "openstack": "openstacksdk", "keystoneauth1": "keystoneauth1"
            }.items()
            if find_spec(module) is None
        ]  # fmt: skip
        if lacking:
            raise PackageMissing(f"{' and '.join(lacking)} not installed: pip install 'lading[cinder]'")
        return cls(setup.read(CinderHandlerSettings), setup)

    def cost(self, target: str) -> Cost:
        return Cost.CLONE if is_volume_target(target) else Cost.STORAGE_NETWORK

    def prepare(self, associations: Iterable[Association]) -> None:
        self._clones.prepare(associations)

    def fetch(self, work: Work) -> Result[Landing, Refusal]:
        if is_volume_target(work.target):
            return self._clones.fetch(work)
        work = _as_meant(work)
        return self._files.fetch(work, self._opener(work))

    def preview(self, work: Work) -> Result[str, Refusal]:
        if is_volume_target(work.target):
            return self._clones.preview(work)
        work = _as_meant(work)
        return self._files.preview(work, self._opener(work))

    def _opener(self, work: Work) -> SourceOpener:
        return SourceOpener(
            partial(self._volumes.open, work),
            "read",
            single_flight=True,
            plan="attaches the volume and reads {} bytes".format,
            probe=partial(self._volumes.preview, work),
        )

    def remove(self, work: Work) -> Result[None, Refusal]:
        return self._clones.remove(work) if is_volume_target(work.target) else self._files.remove(work)

    def move(self, work: Work, destination: str) -> Result[Landing, Refusal]:
        mover = self._clones if is_volume_target(work.target) else self._files
        return mover.move(work, destination)

    def recover(self, work: Work, *, keep: bool) -> Result[Landing | PartialData, Refusal]:
        if is_volume_target(work.target):
            return self._clones.recover(work)
        found = self._files.recover(_as_meant(work), keep=keep)
        if work.intent is None or work.intent.verb is not Verb.FETCH:
            return found
        swept = self._volumes.sweep(work)
        if isinstance(swept, Success):
            return found
        if isinstance(found, Success) and found.unwrap() != PartialData():
            _log.warning("%s: its volume may still be attached to this host: %s", work.target, swept.failure().reason)
            return found
        # It stays written down, to be seen to when Cinder can be asked.
        return Failure(swept.failure())

    def verify(self, work: Work) -> Result[Landing, Refusal]:
        return self._clones.verify(work) if is_volume_target(work.target) else self._files.verify(work)

    def report(self, work: Work) -> Result[Report, Refusal]:
        is_clone = is_volume_target(work.target)
        return self._clones.report(work) if is_clone else self._files.report(work)


def _as_meant(work: Work) -> Work:
    """Of an image that was registered where it lies the catalog may say that its size is 0, and give no digest."""
    image = work.image
    if image is None or image.size != 0 or image.expected_digest is not None:
        return work
    return replace(work, image=replace(image, size=None))
