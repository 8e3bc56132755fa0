"""Attachment of clones to this host. What cannot be attached is a warning: the others are."""

import logging
from collections.abc import Mapping, Sequence

from returns.result import Failure

from lading.adapters.destinations.clone.storage import AttachesClones
from lading.adapters.stream.errors import returning_refusals
from lading.ports.association import Association

__all__ = ["attach", "attach_again"]

_log = logging.getLogger(__name__)


def attach(storage: AttachesClones, target: str, identity: str) -> None:
    """Attaches a clone to this host."""
    attached = _attach(storage, target, identity)
    if isinstance(attached, Failure):
        _log.warning("%s cannot be attached: %s", target, attached.failure().reason)
    else:
        _log.info("%s is attached", target)


def attach_again(storage: AttachesClones, wanted: Sequence[Association]) -> None:
    """Attaches those of the recorded clones, one or more, that a restart of this host has detached."""
    known = _attachments(storage, wanted[0].target)
    if isinstance(known, Failure):
        _log.warning("which targets are still attached cannot be told: %s", known.failure().reason)
        return
    attachments = known.unwrap()
    for each in wanted:
        is_attached = attachments.get(each.identity or "")
        if is_attached is None:
            _log.warning("%s cannot be attached: it is gone, or no longer this host's", each.target)
        elif not is_attached:
            attach(storage, each.target, str(each.identity))


@returning_refusals
def _attachments(storage: AttachesClones, target: str) -> Mapping[str, bool]:
    with storage.connected(target) as connected:
        return connected.attachments()


@returning_refusals
def _attach(storage: AttachesClones, target: str, identity: str) -> None:
    with storage.connected(target) as connected:
        connected.attach(identity)
