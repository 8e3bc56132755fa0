"""The objects with a target's name, compared with the target's record. The identity decides, never the name."""

from collections.abc import Iterable, Sequence
from typing import Final

from lading.adapters.codec.sizes import exact_size
from lading.adapters.destinations.clone.storage import Clone, CloneStorage
from lading.adapters.stream.errors import Refused, occupied
from lading.domain.handler import Work
from lading.domain.refusals import TargetOccupied, Unsupported
from lading.ports.association import Association

__all__ = [
    "another",
    "by_identity",
    "check_name",
    "check_target",
    "make_way",
    "own_clones",
    "part_of",
    "target_of",
]

_PART: Final = ".lading-part"
"""The suffix of a clone's name until it is whole."""


def part_of(target: str) -> str:
    """The name of the target's clone until it is whole."""
    return f"{target}{_PART}"


def target_of(name: str) -> str:
    """The target whose clone has that name."""
    return name.removesuffix(_PART)


def check_name(storage: CloneStorage, target: str) -> None:
    """Raises Refused for a name that no target can have."""
    storage.check_target(target)
    if target.endswith(_PART):
        raise Refused(Unsupported(f"{target} has a name that lading reserves for unfinished clones; choose another"))


def by_identity(found: Iterable[Clone], identity: object) -> Clone | None:
    """The clone with that identity."""
    return next((each for each in found if each.identity == identity), None)


def check_target(storage: CloneStorage, work: Work, found: Sequence[Clone]) -> Association | None:
    """The association of the image that is at the target already; None when it can be cloned there. Raises Refused."""
    if work.force:
        for each in found:
            if (use := storage.use_of(each)) is not None:
                raise Refused(TargetOccupied(f"{work.target} is {use}, and cannot be replaced"))
        return None
    if not found:
        return None
    recorded = work.association
    if recorded is None:
        raise Refused(occupied(f"{work.target} exists, and lading has no record of it"))
    clone = by_identity(found, recorded.identity)
    if clone is None:
        raise Refused(occupied(another(work.target)))
    if not recorded.is_for(work.image):
        other = recorded.image.id if recorded.image else "another image"
        raise Refused(occupied(f"{work.target} holds another image: {other}"))
    size = work.form.size
    if size is not None and (clone.size < size or (clone.size > size and storage.sizes_are_exact)):
        raise Refused(occupied(f"{work.target} holds the image with another size: {exact_size(clone.size)}"))
    return recorded


def own_clones(work: Work, found: Sequence[Clone]) -> Sequence[Clone]:
    """The found clones that lading fetched to the target. Raises Refused where it is another object."""
    if not found:
        return found
    if work.association is None:
        # Nothing is recorded. An object with another's mark is not lading's.
        return [each for each in found if each.is_marked is not False]
    clone = by_identity(found, work.association.identity)
    if clone is None:
        raise Refused(TargetOccupied(another(work.target)))
    return [clone]


def make_way(storage: CloneStorage, name: str) -> None:
    """Frees the temporary name of a clone. Raises Refused where lading has no record of the object with that name."""
    found = storage.find(name)
    if any(each.is_marked is None for each in found):
        raise Refused(TargetOccupied(f"{name} exists, and lading has no record of it", advice="rename or delete it"))
    if any(each.is_marked for each in found):
        storage.discard(name)


def another(target: str) -> str:
    """The reason for a refusal: another object has the target's name."""
    return f"{target} is another image than the one that was fetched"
