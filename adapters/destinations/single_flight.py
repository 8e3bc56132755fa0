"""Single flight: one process of this host downloads an image at a time, and the others copy from its target."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from lading.adapters.codec.sizes import share_text
from lading.adapters.destinations.file.local_copies import LocalCopies, LocalCopy, shared_digest
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
        """Holds the image's locks until the block ends, or the stack is closed. Reports a wait to the observer."""
        try:
            with ExitStack() as stack:
                for name in _lock_names(work):
                    self._hold(name, work, stack)
                yield stack
        except LockLost:
            raise
        except StoreUnavailable as failure:
            raise Refused(Unavailable(str(failure))) from failure

    def _hold(self, name: str, work: Work, stack: ExitStack) -> None:
        observer = work.observer
        if not isinstance(observer, SupportsWaiting):
            stack.enter_context(self._locks.hold(name))
        elif not stack.enter_context(self._locks.hold(name, wait=False)):
            with reported_wait(observer, partial(self._wait_reason, name, work)):
                stack.enter_context(self._locks.hold(name))

    def _wait_reason(self, name: str, work: Work) -> str:
        received = self._copies.received_bytes(work) if self._copies is not None else None
        size = work.image.size if work.image else None
        so_far = "" if received is None else f" ({share_text(received, size)})"
        return holder_text(self._locks, name, "fetches the same image") + so_far


def _lock_names(work: Work) -> Iterator[str]:
    """The names of the image's locks, in the order in which they are acquired: by id, then by digest alone."""
    if work.image is not None:
        yield f"image {work.image.id} {work.image.expected_digest}"
        if (digest := shared_digest(work)) is not None:
            yield f"image {digest}"
