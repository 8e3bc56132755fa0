"""Clones in a storage as targets: published whole under their name, or not at all."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from returns.result import Failure

from lading.adapters.destinations.clone.inspection import inspect, read_all
from lading.adapters.destinations.clone.relocation import move, recover_move
from lading.adapters.destinations.clone.storage import AttachesClones, Clone, CloneStorage, Parent
from lading.adapters.destinations.clone.target_state import (
    another,
    by_identity,
    check_name,
    check_replaceable,
    make_way,
    own_clones,
    part_of,
    present_clone,
)
from lading.adapters.destinations.destination import SourceOpener
from lading.adapters.destinations.intent_notes import write_notes
from lading.adapters.destinations.rules import Rules
from lading.adapters.stream.errors import Refused, returning_refusals
from lading.domain.handler import Landing, PartialData, Report, State, Work
from lading.domain.handler_calls import exception_reason
from lading.domain.refusals import Mismatched, Unsupported
from lading.ports.association import Association
from lading.ports.journal import Intent, Journal, Verb
from lading.ports.location import Location

__all__ = ["CloneDestination"]

_log = logging.getLogger(__name__)
_METHOD: Final = "clone"


class CloneDestination:
    """The destination of every target that is a clone in one kind of storage; see `Destination`.

    A clone is made under the name of its target with `.lading-part` behind it, and gets the target's name when all else
    is done. What the journal holds of it before each step: which names may have been used, and which identities.
    """

    def __init__(self, storage: CloneStorage, journal: Journal, rules: Rules) -> None:
        """`journal` is that of the Dispatcher."""
        self._storage = storage
        self._journal = journal
        self._rules = rules

    def takes(self, target: str) -> bool:
        """Whether the target is meant for this storage, by its form."""
        return target.startswith(self._storage.prefix)

    @returning_refusals
    def fetch(self, work: Work, opener: SourceOpener) -> Landing:
        """Clones the image where it lies. The opener is not used."""
        location = self._check_request(work)
        with self._storage.connected(work.target) as storage:
            found = storage.find(work.target)
            recorded = self._present(work, storage, found)
            if recorded is not None:
                if isinstance(storage, AttachesClones):
                    storage.attach(str(recorded.identity))
                return Landing.already(recorded)
            parent = self._parent(storage, location, work)
            return self._clone(storage, work, parent, found)

    @returning_refusals
    def preview(self, work: Work, opener: SourceOpener) -> str:
        location = self._check_request(work)
        with self._storage.connected(work.target) as storage:
            if self._present(work, storage, storage.find(work.target)) is not None:
                return "is there already"
            parent = self._parent(storage, location, work)
            self._inspect_parent(work, parent)
            return parent.plan

    @returning_refusals
    def remove(self, work: Work) -> None:
        check_name(self._storage, work.target)
        with self._storage.connected(work.target) as storage:
            found = storage.find(work.target)
            if not found:
                storage.discard(work.target)  # of an interrupted removal the name may be left
            for each in found if work.force else own_clones(work, found):
                storage.delete(each)

    @returning_refusals
    def move(self, work: Work, destination: str) -> Landing:
        check_name(self._storage, work.target)
        check_name(self._storage, destination)
        with self._storage.connected(work.target) as storage:
            return move(storage, work, destination, self._journal)

    @returning_refusals
    def recover(self, work: Work, *, keep: bool) -> Landing | PartialData:
        """Reports what became of `work.intent`. A clone cannot be resumed: it is whole, or nothing of it is left."""
        intent = work.intent
        if intent is None or intent.verb is Verb.REMOVE:
            raise Refused(Unsupported("nothing says what was begun"))
        if not intent.notes:
            return PartialData()  # nothing is changed before something is noted
        self._storage.check_target(work.target)
        with self._storage.connected(work.target) as storage:
            if intent.verb is Verb.MOVE:
                return recover_move(storage, intent)
            found = _recover_fetch(storage, intent)
        if isinstance(found, Landing) and isinstance(self._storage, AttachesClones):
            self._attach_again(work.target, str(found.identity))  # the host may have been restarted
        return found

    @returning_refusals
    def verify(self, work: Work) -> Landing:
        """Reads as many bytes as the image has: cloning has not read them."""
        recorded = work.association
        if recorded is None:
            raise Refused(Unsupported("nothing says what was put there"))
        check_name(self._storage, work.target)
        with self._storage.connected(work.target) as storage:
            found = storage.find(work.target)
            clone = by_identity(found, recorded.identity)
            if clone is None:
                raise Refused(Mismatched(another(work.target) if found else f"{work.target} is gone"))
            image = recorded.image and replace(recorded.image, size=recorded.image.size or None)
            size = min((image and image.size) or clone.size, clone.size)
            audited = read_all(image, storage.open(clone, size), work.observer, self._rules)
            return Landing(
                recorded.method, clone.size, audited.digest, audited.verified, identity=clone.identity,
                inspected_by=audited.inspected_by,
            )  # fmt: skip

    @returning_refusals
    def report(self, work: Work) -> Report:
        check_name(self._storage, work.target)
        with self._storage.connected(work.target) as storage:
            found = storage.find(work.target)
            if not found:
                return Report(State.MISSING)
            clone = by_identity(found, work.association.identity if work.association else None)
            if clone is None:
                return Report(State.CHANGED, storage.describe(found[0]).details)
            return storage.describe(clone)

    def prepare(self, associations: Iterable[Association]) -> None:
        """Attaches again what a restart of this host has detached. What cannot be attached is a warning."""
        wanted = [each for each in associations if self.takes(each.target)]
        if not wanted:
            return
        known = self._attachments(wanted[0].target)
        if isinstance(known, Failure):
            _log.warning("which targets are still attached cannot be told: %s", known.failure().reason)
            return
        attachments = known.unwrap()
        for each in wanted:
            is_attached = attachments.get(each.identity or "")
            if is_attached is None:
                _log.warning("%s cannot be attached: it is gone, or no longer this host's", each.target)
            elif not is_attached:
                self._attach_again(each.target, str(each.identity))

    def _check_request(self, work: Work) -> Location:
        """The location to clone from. Raises Refused where nothing can be cloned, as far as can be told unconnected."""
        if work.location is None:
            raise Refused(Unsupported("needs a location"))
        self._storage.check_location(work.location)
        check_name(self._storage, work.target)
        image = work.image
        if image is None:
            raise Refused(Unsupported("the request names no image"))
        if image.disk_format != "raw" or image.container_format not in {None, "bare"}:
            shape = f"{image.disk_format or 'unknown'} in {image.container_format or 'bare'}"
            told = f"the image is {shape}, and a clone would be no disk: only raw ones are cloned"
            raise Refused(Unsupported(told))
        if not self._rules.allow_unverified:
            told = "a clone's bytes are not read, so not verified, and landing.allow_unverified is false"
            raise Refused(Unsupported(told))
        return work.location

    def _present(self, work: Work, storage: CloneStorage, found: Sequence[Clone]) -> Association | None:
        """The association of the image that is at the target already; None when it can be cloned there."""
        if work.force:
            check_replaceable(storage, found)
            return None
        return present_clone(work, found, exact=storage.sizes_are_exact)

    def _parent(self, storage: CloneStorage, location: Location, work: Work) -> Parent:
        """The image to be cloned. Raises Refused where it is not what the catalog promises, or too large."""
        parent = storage.find_parent(location, work)
        promised = work.image.size if work.image else None
        if promised is not None and parent.size != promised:
            raise Refused(Mismatched(f"{parent.name} has {parent.size} bytes, the catalog promises {promised}"))
        if work.size is not None and work.size < parent.size:
            told = f"{parent.name} has {parent.size} bytes, more than the {work.size} that are wished for"
            raise Refused(Unsupported(told))
        self._rules.check_size(parent.size)
        return parent

    def _inspect_parent(self, work: Work, parent: Parent) -> str | None:
        """What finds the image's format safe, before it is cloned; None: only a clone of it can be read."""
        return inspect(work.image, parent.open(), self._rules) if parent.open is not None else None

    def _clone(self, storage: CloneStorage, work: Work, parent: Parent, replaced: Sequence[Clone]) -> Landing:
        inspected_by = self._inspect_parent(work, parent)
        part = part_of(work.target)
        make_way(storage, part, is_noted=work.intent is not None and "part" in work.intent.notes)
        write_notes(self._journal, work, {"part": part})
        clone = None
        try:
            clone = storage.clone(parent, part, work.size)
            if isinstance(storage, AttachesClones):
                storage.attach(clone.identity)
            if parent.open is None:
                inspected_by = inspect(work.image, storage.open(clone, clone.size), self._rules)
            notes = {
                "part": part,
                "clone": clone.identity,
                "inspected_by": inspected_by,
                "replaced": [each.identity for each in replaced],
            }
            write_notes(self._journal, work, notes)
            storage.publish(clone, work.target, replaced)
        except BaseException:
            _undo(storage, work.target, clone, replaced)
            raise
        for each in replaced:
            _purge(storage, each)
        return Landing(_METHOD, clone.size, identity=clone.identity, inspected_by=inspected_by)

    @returning_refusals
    def _attachments(self, target: str) -> Mapping[str, bool]:
        with self._storage.connected(target) as storage:
            return storage.attachments() if isinstance(storage, AttachesClones) else {}

    def _attach_again(self, target: str, identity: str) -> None:
        """Attaches a clone. That it cannot be attached is a warning."""
        attached = self._attach(target, identity)
        if isinstance(attached, Failure):
            _log.warning("%s cannot be attached: %s", target, attached.failure().reason)

    @returning_refusals
    def _attach(self, target: str, identity: str) -> None:
        with self._storage.connected(target) as storage:
            if isinstance(storage, AttachesClones):
                storage.attach(identity)


def _undo(storage: CloneStorage, target: str, clone: Clone | None, replaced: Sequence[Clone]) -> None:
    """Leaves nothing of a clone that failed. No error is raised: recovery finds what is left."""
    with suppress(Exception):
        storage.discard(part_of(target))
    with suppress(Exception):
        found = storage.find(target)
        published = by_identity(found, clone.identity) if clone is not None else None
        if published is not None:
            storage.delete(published)
        if published is not None or not found:
            for each in replaced:
                storage.restore(each.identity, target)


def _purge(storage: CloneStorage, replaced: Clone) -> None:
    """Removes what was replaced. That it cannot be removed is a warning: its replacement is there."""
    try:
        storage.purge(replaced.identity, replaced.name)
    except Exception as error:  # noqa: BLE001 - the vendor's own errors too
        reason = error.refusal.reason if isinstance(error, Refused) else exception_reason(error)
        _log.warning("%s: what it replaced, %s, may be left: %s", replaced.name, replaced.identity, reason)


def _recover_fetch(storage: CloneStorage, intent: Intent) -> Landing | PartialData:
    """The landing of a fetch whose clone has got the target's name; else everything is as it was before it."""
    notes, target, part = intent.notes, intent.target, part_of(intent.target)
    identity, by, replaced = notes.get("clone"), notes.get("inspected_by"), notes.get("replaced")
    # An earlier version noted one identity, and with it not always the part.
    gone = replaced if isinstance(replaced, list) else [replaced] if isinstance(replaced, str) else []
    if "part" in notes or by_identity(storage.find(part), identity) is not None:
        storage.discard(part)
    found = storage.find(target)
    clone = by_identity(found, identity)
    if clone is None:
        if not found:
            for each in gone:
                storage.restore(str(each), target)
        return PartialData()
    for each in gone:
        storage.purge(str(each), target)
    return Landing(_METHOD, clone.size, identity=clone.identity, inspected_by=by if isinstance(by, str) else None)
