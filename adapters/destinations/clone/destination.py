"""Clones in a storage as targets: published whole under their name, or not at all."""

import logging
from collections.abc import Iterable
from dataclasses import replace

from lading.adapters.destinations.clone.attachment import attach, attach_again
from lading.adapters.destinations.clone.cloning import (
    check_request,
    clone_image,
    find_parent,
    inspect_parent,
    parent_digest,
)
from lading.adapters.destinations.clone.inspection import read_all
from lading.adapters.destinations.clone.recovery import recover_fetch, recover_move
from lading.adapters.destinations.clone.relocation import move
from lading.adapters.destinations.clone.storage import AttachesClones, CloneStorage
from lading.adapters.destinations.clone.target_state import another, by_identity, check_name, check_target, own_clones
from lading.adapters.destinations.destination import SourceOpener
from lading.adapters.destinations.rules import Rules
from lading.adapters.stream.errors import Refused, returning_refusals
from lading.domain.handler import Landing, PartialData, Report, Work
from lading.domain.refusals import Mismatched, Unsupported
from lading.ports.association import Association, State
from lading.ports.journal import Journal, Verb
from lading.ports.verified_files import VerifiedFiles

__all__ = ["CloneDestination"]

_log = logging.getLogger(__name__)


class CloneDestination:
    """The destination of every target that is a clone in one kind of storage; see `Destination`.

    A clone is made under the name of its target with `.lading-part` behind it, and gets the target's name when all else
    is done. Before each step the journal holds the names that may have been used, and the identities.
    """

    def __init__(self, storage: CloneStorage, journal: Journal, rules: Rules, verified: VerifiedFiles) -> None:
        """`journal` is that of the Dispatcher."""
        self._verified = verified
        self._storage = storage
        self._journal = journal
        self._rules = rules

    def takes(self, target: str) -> bool:
        """Returns True when the target's form is that of this storage."""
        return target.startswith(self._storage.prefix)

    @returning_refusals
    def fetch(self, work: Work, opener: SourceOpener) -> Landing:
        """Clones the image where it lies. The opener is not used."""
        location = check_request(self._storage, work)
        with self._storage.connected(work.target) as storage:
            if work.intent is not None and work.intent.notes:
                # An earlier attempt of the request may have left something, or have succeeded without an answer.
                earlier = recover_fetch(storage, work.intent)
                if isinstance(earlier, Landing):
                    return earlier
            found = storage.find(work.target)
            if (recorded := check_target(storage, work, found)) is not None:
                if isinstance(storage, AttachesClones):
                    storage.attach(str(recorded.identity))
                return Landing.already(recorded)
            parent = find_parent(storage, location, work, self._rules)
            digest = parent_digest(self._verified, parent, work, self._rules)
            return clone_image(storage, work, parent, digest, found, self._journal, self._rules)

    @returning_refusals
    def preview(self, work: Work, opener: SourceOpener) -> str:
        location = check_request(self._storage, work)
        with self._storage.connected(work.target) as storage:
            if check_target(storage, work, storage.find(work.target)) is not None:
                return "is there already"
            parent = find_parent(storage, location, work, self._rules)
            parent_digest(self._verified, parent, work, self._rules)
            inspect_parent(work, parent, self._rules)
            return parent.plan

    @returning_refusals
    def remove(self, work: Work) -> None:
        check_name(self._storage, work.target)
        with self._storage.connected(work.target) as storage:
            found = storage.find(work.target)
            if not found:
                storage.discard(work.target)  # an interrupted removal may have left the name
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
            raise Refused(Unsupported("no interrupted fetch or move is noted"))
        if not intent.notes:
            return PartialData()  # nothing is changed before something is noted
        self._storage.check_target(work.target)
        with self._storage.connected(work.target) as storage:
            if intent.verb is Verb.MOVE:
                return recover_move(storage, intent)
            found = recover_fetch(storage, intent)
        if isinstance(found, Landing) and isinstance(self._storage, AttachesClones):
            attach(self._storage, work.target, str(found.identity))  # the host may have been restarted
        return found

    @returning_refusals
    def verify(self, work: Work) -> Landing:
        """Reads as many bytes as the image has: cloning has not read them."""
        recorded = work.association
        if recorded is None:
            raise Refused(Unsupported("nothing is recorded of the target"))
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
                inspected_by=audited.inspected_by, signed_by=audited.signed_by,
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
        if not isinstance(self._storage, AttachesClones):
            return  # and the associations are not read
        if wanted := [each for each in associations if self.takes(each.target)]:
            attach_again(self._storage, wanted)
