"""Attachment of clones to this host. A failure is a warning, and the other clones are attached."""

import logging
from collections.abc import Sequence

from lading.adapters.destinations.clone.storage import AttachesClones
from lading.adapters.stream.errors import Refused
from lading.ports.association import Association

__all__ = ["attach", "attach_again"]

_log = logging.getLogger(__name__)


def attach(storage: AttachesClones, target: str, identity: str) -> None:
    """Attaches a clone to this host."""
    try:
        with storage.connected(target) as connected:
            connected.attach(identity)
    except Refused as refused:
        _log.warning("%s cannot be attached: %s", target, refused)
    else:
        _log.info("%s is attached", target)


def attach_again(storage: AttachesClones, wanted: Sequence[Association]) -> None:
    """Attaches those of the recorded clones, one or more, that a restart of this host has detached."""
    try:
        with storage.connected(wanted[0].target) as connected:
            attachments = connected.attachments()
    except Refused as refused:
        _log.warning("the attached targets cannot be listed: %s", refused)
        return
    for each in wanted:
        is_attached = attachments.get(each.identity or "")
        if is_attached is None:
            _log.warning("%s cannot be attached: it is gone, or no longer this host's", each.target)
        elif not is_attached:
            attach(storage, each.target, str(each.identity))
