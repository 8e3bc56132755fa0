"""The handler of images on Cinder volumes: read into files of this host, or cloned to volumes attached to it."""

import logging
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Self

from returns.result import Failure, Result, Success
from typing_extensions import override

from lading.adapters.destinations.destination import SourceOpener
from lading.adapters.handlers.base import StorageHandler
from lading.adapters.handlers.cinder.api import Cinder
from lading.adapters.handlers.cinder.attachments import Attachments
from lading.adapters.handlers.cinder.settings import CinderHandlerSettings
from lading.adapters.handlers.cinder.source import Volumes
from lading.adapters.handlers.cinder.storage import VolumeStorage
from lading.adapters.handlers.setup import HandlerSetup, PackageMissing
from lading.adapters.openstack.cloud import connect_cloud
from lading.domain.handler import Landing, PartialData, Work
from lading.domain.refusals import Refusal
from lading.ports.journal import Verb

if TYPE_CHECKING:
    from keystoneauth1.adapter import Adapter

__all__ = ["CinderHandler"]

_log = logging.getLogger(__name__)


class CinderHandler(StorageHandler):
    """Takes `cinder://VOLUME` and `cinder://STORE/VOLUME`.

    For a target `cinder:NAME` the volume is cloned to one of that name, attached to this host. For a path of this host
    the volume is read.
    """

    name = "cinder"
    schemes = frozenset({"cinder"})

    def __init__(
        self,
        settings: CinderHandlerSettings,
        setup: HandlerSetup,
        connect: "Callable[[], Adapter] | None" = None,
    ) -> None:
        """`connect` returns a client of Cinder; None: that of the cloud in the settings, or of the `OS_*` variables."""
        connect = connect or partial(
            connect_cloud, settings.cloud, "block-storage", extra="cinder", network=setup.network
        )
        cinder = Cinder(connect, settings.timeout)
        attachments = Attachments(cinder, settings)
        self._volumes = Volumes(cinder, attachments, setup.journal)
        super().__init__(setup.files, setup.clones(VolumeStorage(cinder, attachments)))

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

    def opener(self, work: Work) -> SourceOpener:
        return SourceOpener(
            partial(self._volumes.open, work),
            "read",
            single_flight=True,
            plan="attaches the volume and reads {}".format,
            probe=partial(self._volumes.preview, work),
        )

    @override
    def recover(self, work: Work, *, keep: bool) -> Result[Landing | PartialData, Refusal]:
        found = super().recover(work, keep=keep)
        if self._clones.takes(work.target) or work.intent is None or work.intent.verb is not Verb.FETCH:
            return found
        match found, self._volumes.sweep(work):
            case Success(outcome), Failure(refusal) if outcome != PartialData():
                _log.warning("%s: its volume may still be attached to this host: %s", work.target, refusal)
            case _, Failure(refusal):
                return Failure(refusal)  # the intent stays, and is recovered when Cinder answers
        return found
