"""Moves of clones: a new name, or a copy where the storage cannot rename."""

from lading.adapters.destinations.clone.cloning import undo
from lading.adapters.destinations.clone.storage import Clone, CloneStorage, CopiesClones
from lading.adapters.destinations.clone.target_state import by_identity, make_way, own_clones, part_of
from lading.adapters.destinations.intent_notes import write_notes
from lading.adapters.stream.errors import Refused, taken
from lading.domain.handler import Landing, Work
from lading.domain.refusals import TargetFailed
from lading.ports.journal import Journal

__all__ = ["move"]


def move(storage: CloneStorage, work: Work, destination: str, journal: Journal) -> Landing:
    """Moves the clone at the target to `destination`, where nothing may be. Raises Refused."""
    own = own_clones(work, storage.find(work.target))
    if not own:
        raise Refused(TargetFailed(f"{work.target} is gone"))
    if storage.find(destination):
        raise Refused(taken(destination))
    clone = own[0]
    if isinstance(storage, CopiesClones) and storage.must_copy(clone, destination):
        return _copy_away(storage, work, clone, destination, journal)
    write_notes(journal, work, {"moving": clone.identity})
    storage.rename(clone, destination)
    return Landing(identity=clone.identity)


def _copy_away(storage: CopiesClones, work: Work, clone: Clone, destination: str, journal: Journal) -> Landing:
    """Copies a clone to its new name, and deletes it when the copy is there."""
    part = part_of(destination)
    make_way(storage, part)
    notes: dict[str, object] = {"moving": clone.identity, "part": part}
    write_notes(journal, work, notes)
    copy = None
    try:
        copy = storage.copy(clone, part)
        write_notes(journal, work, {**notes, "copied": copy.identity})
        storage.publish(copy, destination, ())
    except BaseException:
        undo(storage, destination, copy, ())
        raise
    try:
        storage.delete(clone)
    except Refused:
        if by_identity(storage.find(work.target), clone.identity) is not None:
            storage.discard(destination)
        raise
    return Landing(identity=copy.identity)
