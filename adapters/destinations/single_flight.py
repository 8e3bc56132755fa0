"""Single flight: one process of this host downloads an image at a time, and the others copy from its target."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from lading.adapters.codec.sizes import share_text
from lading.adapters.destinations.file.local_copies import LocalCopies, LocalCopy
from lading.adapters.destinations.file.lock_waits import reported_wait
from lading.adapters.stream.errors import Refused
from lading.domain.handler import Work
from lading.domain.refusals import Unavailable
from lading.domain.waiting import holder_text
from lading.ports.association_store import AssociationStore
from lading.ports.failures import LockLost, StoreUnavailable
from lading.ports.form import Form
from lading.ports.journal import Journal
from lading.ports.locks import Locks
from lading.ports.observer import SupportsWaiting

__all__ = ["SingleFlight"]


class SingleFlight:
    """The locks of images, and the targets of this host that hold one already."""

    def __init__(self, locks: Locks, associations: AssociationStore | None, journal: Journal) -> None:
        """Without `associations` no copies are known."""
        self._locks = locks
        self._copies = LocalCopies(associations, journal) if associations is not None else None

    def local_copy(self, work: Work, form: Form) -> LocalCopy | None:
        """Opens another target of this host that has the image in this form, or as shipped; None: none is known."""
        return self._copies.open(work, form) if self._copies is not None else None

    @contextmanager
    def lock(self, work: Work) -> Iterator[ExitStack]:
        """Holds the image's lock until the block ends, or the stack is closed. Reports a wait to the observer."""
        name = f"image {work.image.id} {work.image.expected_digest}" if work.image else ""
        try:
            with ExitStack() as lock:
                observer = work.observer
                if not isinstance(observer, SupportsWaiting):
                    lock.enter_context(self._locks.hold(name))
                elif not lock.enter_context(self._locks.hold(name, wait=False)):
                    with reported_wait(observer, partial(self._wait_reason, name, work)):
                        lock.enter_context(self._locks.hold(name))
                yield lock
        except LockLost:
            raise
        except StoreUnavailable as failure:
            raise Refused(Unavailable(str(failure))) from failure

    def _wait_reason(self, name: str, work: Work) -> str:
        received = self._copies.received_bytes(work) if self._copies is not None else None
        size = work.image.size if work.image else None
        so_far = "" if received is None else f" ({share_text(received, size)})"
        return holder_text(self._locks, name, "fetches the same image") + so_far
