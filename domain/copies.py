"""Copies associations from one store to another: each is read back, and none is lost in between."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from enum import StrEnum

from lading.domain.handler_calls import value_or_raise
from lading.domain.ledger import lock_name
from lading.ports.association_store import AssociationStore
from lading.ports.failures import StoreUnavailable
from lading.ports.locks import Locks

__all__ = ["Copied", "copy_associations"]


class Copied(StrEnum):
    """The outcome for one association."""

    COPIED = "copied"
    REPLACED = "replaced"
    """The target was recorded differently there."""
    PRESENT = "present"
    """It was recorded there already."""
    DIFFERENT = "different"
    """The target is recorded differently there, and that record stays."""
    WAITING = "waiting"
    """An operation on the target is in progress. The target is copied last, after that."""


def copy_associations(
    source: AssociationStore, destination: AssociationStore, locks: Sequence[Locks], *, replace: bool = False
) -> Iterator[tuple[str, Copied]]:
    """Copies each association, and yields its target with the outcome. Nothing is removed from the source.

    `locks` are those of operations on the targets of both stores. A target that is locked comes last: it is yielded as
    WAITING, and again with its outcome. `replace`: what is recorded differently at the destination is replaced. After
    an interruption the next copy finishes it. Raises StoreUnavailable, also where the destination does not return what
    was put.
    """
    waiting: list[str] = []
    for target in (each.target for each in source.list()):
        with _exclusively(target, locks, wait=False) as is_locked:
            outcome = _copy(target, source, destination, replace=replace) if is_locked else Copied.WAITING
        if outcome is Copied.WAITING:
            waiting.append(target)
        if outcome is not None:
            yield target, outcome
    for target in waiting:
        with _exclusively(target, locks, wait=True):
            outcome = _copy(target, source, destination, replace=replace)
        if outcome is not None:
            yield target, outcome


@contextmanager
def _exclusively(target: str, locks: Sequence[Locks], *, wait: bool) -> Iterator[bool]:
    """Locks the target for the duration of the block. Yields whether all locks were acquired."""
    with ExitStack() as stack:
        yield all(stack.enter_context(each.hold(lock_name(target), wait=wait)) for each in locks)


def _copy(target: str, source: AssociationStore, destination: AssociationStore, *, replace: bool) -> Copied | None:
    """Copies the association as it is now; None: it has been removed since it was listed."""
    association = value_or_raise(source.get(target))
    if association is None:
        return None
    found = value_or_raise(destination.get(target))
    if found == association:
        return Copied.PRESENT
    if found is not None and not replace:
        return Copied.DIFFERENT
    value_or_raise(destination.put(association))
    if value_or_raise(destination.get(target)) != association:
        raise StoreUnavailable(f"the association of {target} is not read back as it was written")
    return Copied.COPIED if found is None else Copied.REPLACED
