"""The part of `lading recover` that hands changes over to the record of many hosts."""

import shlex
from collections.abc import Mapping

from lading.adapters.cli.masking import masked
from lading.adapters.cli.output import as_json, association_record, say, time_text
from lading.adapters.cli.session import Session
from lading.ports.association import Association
from lading.ports.handover import Change, Difference, SupportsHandOver

__all__ = ["Handover"]


class Handover:
    """The hand-over of one command: of all changes, printed for one target or for all."""

    def __init__(self, session: Session, target: str | None) -> None:
        store = session.container.associations()
        self._store = store if isinstance(store, SupportsHandOver) else None
        self._json = session.json
        self._target = target
        self.has_printed = False
        self.is_open = False
        """True when changes are pending, or conflicts are not acknowledged."""

    def make(self) -> None:
        """Hands over what is pending, and prints it, and where others have changed the shared record."""
        if self._store is None:
            return
        done = self._store.hand_over()
        for change in filter(self._is_asked_for, done.made):
            self._print_change(change, "handed over")
        for each in filter(self._is_asked_for, done.differences):
            own, shared = _text(each.own, nothing="no record"), _text(each.shared, nothing="its removal")
            text = f"this host had {own}, and takes {shared} from the shared record"
            self._print(_record(each, "different"), text)
        if done.reason is not None:
            self._print({"outcome": "away", "reason": masked(done.reason)}, masked(done.reason))

    def acknowledge(self, target: str) -> None:
        """Forgets the conflicts of the target."""
        if self._store is not None and self._store.acknowledge(target):
            self._print({"target": target, "outcome": "acknowledged"}, "the conflict is acknowledged")

    def print_open(self) -> None:
        """Prints what is pending, and all conflicts."""
        if self._store is None:
            return
        for change in filter(self._is_asked_for, self._store.pending()):
            self.is_open = True
            self._print_change(change, "pending")
        for each in filter(self._is_asked_for, self._store.conflicts()):
            self.is_open = True
            command = f"lading recover --discard {shlex.quote(each.target)}"
            own, shared = (_text(found, nothing="its removal") for found in (each.own, each.shared))
            lost = f"this host decided on {own}, others on {shared}, which stays"
            self._print(_record(each, "conflict"), f"conflict: {lost}; to acknowledge it: {command}")

    def _is_asked_for(self, found: Change | Difference) -> bool:
        return self._target in {None, found.target}

    def _print_change(self, change: Change, outcome: str) -> None:
        record = {
            "target": change.target,
            "outcome": outcome,
            "own": association_record(change.after) if change.after else None,
            "decided_at": change.decided_at.isoformat(),
        }
        self._print(record, f"{_text(change.after, nothing='its removal')} is {outcome}")

    def _print(self, record: Mapping[str, object], text: str) -> None:
        self.has_printed = True
        if self._json:
            as_json(record)
        else:
            say(": ".join(filter(None, (str(record.get("target", "")), text))))


def _record(difference: Difference, outcome: str) -> Mapping[str, object]:
    own, shared = difference.own, difference.shared
    return {
        "target": difference.target,
        "outcome": outcome,
        "own": association_record(own) if own else None,
        "shared": association_record(shared) if shared else None,
    }


def _text(association: Association | None, *, nothing: str) -> str:
    if association is None:
        return nothing
    image = association.image
    name = (image.name or image.id) if image else "an image without a name"
    return f"{name} by {association.handler} of {time_text(association.landed_at)}"
