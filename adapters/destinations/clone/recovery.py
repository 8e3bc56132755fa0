"""Recovery of interrupted fetches and moves of clones: finished or undone, for a clone cannot be resumed."""

from lading.adapters.destinations.clone.cloning import METHOD, signer_of
from lading.adapters.destinations.clone.storage import CloneStorage
from lading.adapters.destinations.clone.target_state import by_identity, part_of
from lading.domain.handler import Landing, PartialData
from lading.ports.journal import Intent

__all__ = ["recover_fetch", "recover_move"]


def recover_fetch(storage: CloneStorage, intent: Intent) -> Landing | PartialData:
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
    # Noted only where the image's bytes were verified before, and had the digest that the catalog promised.
    digest = intent.image.expected_digest if intent.image and notes.get("verified") is True else None
    inspected_by = by if isinstance(by, str) else None
    return Landing(
        METHOD, clone.size, digest, digest is not None, identity=clone.identity, inspected_by=inspected_by,
        signed_by=signer_of(intent.image, digest),
    )  # fmt: skip


def recover_move(storage: CloneStorage, intent: Intent) -> Landing | PartialData:
    """Finishes an interrupted move when the clone or its copy has the new name, else undoes it. Raises Refused."""
    destination = intent.destination or ""
    storage.check_target(destination)
    moving, copied = intent.notes.get("moving"), intent.notes.get("copied")
    if "part" in intent.notes:
        storage.discard(part_of(destination))
    arrived = by_identity(storage.find(destination), copied or moving)
    if arrived is None:
        return PartialData()
    left = storage.find(intent.target)
    original = by_identity(left, moving)
    if original is None:
        if not left:
            storage.discard(intent.target)  # an interrupted deletion may have left the name
    elif original.identity == arrived.identity:
        storage.rename(original, destination)
    else:
        storage.delete(original)
    return Landing(identity=arrived.identity)
