"""The ledger of a Dispatcher: what is recorded, what is in progress, and the locks of targets."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from returns.result import Failure

from lading.domain.handler import Work
from lading.domain.handler_calls import value_or_raise
from lading.ports.association import Association
from lading.ports.association_store import AssociationStore
from lading.ports.journal import Intent, Journal, NullJournal
from lading.ports.locks import Locks

__all__ = ["Ledger", "lock_name"]

_log = logging.getLogger(__name__)


def lock_name(target: str) -> str:
    """The name of the target's lock."""
    return f"target {target}"


class Ledger(NamedTuple):
    """The store, the journal, the locks and the clock of a Dispatcher. All methods raise StoreUnavailable."""

    associations: AssociationStore
    journal: Journal
    locks: Locks
    clock: Callable[[], datetime]

    def association(self, target: str) -> Association | None:
        """The association of the target. A blank target is not looked up."""
        return value_or_raise(self.associations.get(target)) if target else None

    def record(self, association: Association) -> None:
        """Records the association. It replaces an earlier one of the same target."""
        value_or_raise(self.associations.put(association))

    def forget(self, target: str) -> None:
        """Removes the association of the target."""
        value_or_raise(self.associations.remove(target))

    def pending(self, target: str) -> Intent | None:
        """The intent whose target or destination this is. A blank target is not looked up."""
        return value_or_raise(self.journal.pending(target)) if target else None

    def begin(self, work: Work, intent: Intent) -> Work:
        """Records the intent. Returns the work with it; unchanged where no journal is kept."""
        value_or_raise(self.journal.begin(intent))
        return work if isinstance(self.journal, NullJournal) else replace(work, intent=intent)

    def settle(self, target: str) -> None:
        """Removes the intent of the target."""
        value_or_raise(self.journal.settle(target))

    def end(self, target: str) -> None:
        """Settles an operation that is done. A failure is a warning: recovery settles the operation later."""
        settled = self.journal.settle(target)
        if isinstance(settled, Failure):
            _log.warning("%s: the operation is done, but the journal cannot be updated: %s", target, settled.failure())

    @contextmanager
    def exclusively(self, targets: Iterable[str], *, wait: bool = True) -> Iterator[bool]:
        """Locks the targets for the duration of the block. Yields whether all locks were acquired."""
        with ExitStack() as stack:
            # All callers lock in the same order, so that no two wait for each other.
            names = [lock_name(each) for each in sorted({*targets}) if each]
            yield all(stack.enter_context(self.locks.hold(name, wait=wait)) for name in names)
