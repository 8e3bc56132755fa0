"""The Dispatcher, lading's API: it prepares handlers, hands each operation on, and turns failures into Results."""

import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import Final, final

from returns.result import Failure, Result, Success

from lading.domain.attempts import Attempt, AttemptPreview, FetchRequest, FetchResult
from lading.domain.cost import cost_of
from lading.domain.failures import (
    AttemptResult,
    FetchFailure,
    HandlerNotLoaded,
    HandlerRefused,
    NoHandlerAvailable,
    NotAssociated,
    TargetFailure,
    TargetUnresolved,
)
from lading.domain.fetches import Fetches
from lading.domain.handler import Handler, Landing, Report, SupportsReport
from lading.domain.handler_calls import call_handler, precheck, preview_attempt, value_or_raise
from lading.domain.holders import holders
from lading.domain.ledger import Ledger
from lading.domain.newest import NewestImage, newest_images
from lading.domain.order import CATALOG_FAILURES, Order
from lading.domain.preparation import Preparation
from lading.domain.recovery import Outcome, Recovered, Recovery, require_resolved
from lading.domain.targets import Forgotten, Targets
from lading.ports.association import Association
from lading.ports.association_store import AssociationStore, HostTarget
from lading.ports.catalog import ImageCatalog
from lading.ports.context import ANONYMOUS, Context
from lading.ports.failures import LadingError, LockLost, StoreUnavailable
from lading.ports.journal import Journal, NullJournal
from lading.ports.locks import Locks, NullLocks
from lading.ports.observer import NullObserver, Observer

__all__ = ["Dispatcher"]

_FETCH_FAILURES: Final = NoHandlerAvailable, TargetUnresolved, StoreUnavailable, *CATALOG_FAILURES
_TARGET_FAILURES: Final = NotAssociated, HandlerNotLoaded, HandlerRefused, TargetUnresolved, StoreUnavailable


def _now() -> datetime:
    return datetime.now(UTC)


@final
class Dispatcher:
    """Fetches, moves, removes and verifies images by its handlers. It keeps no state of a request; share it freely.

    The first operation that may change something prepares all handlers. `plan`, `report` and `forget` do not, and
    `preview` only where it has an interrupted operation to recover.
    """

    def __init__(  # noqa: PLR0913 - the parts that it is made of, most of them optional
        self,
        handlers: Iterable[Handler],
        catalog: ImageCatalog,
        associations: AssociationStore,
        *,
        journal: Journal | None = None,
        locks: Locks | None = None,
        files: SupportsReport | None = None,
        by_cost: bool = False,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        """Without `journal` interrupted operations are not recovered; without `locks` the caller separates requests.

        `files` reports on files of this host whose handler is not loaded or does not report on them. `by_cost`: the
        cheapest handler for each target goes first, and the order of `handlers` decides between equals.
        """
        self.handlers = tuple(handlers)
        by_name = {handler.name: handler for handler in self.handlers}
        if len(by_name) < len(self.handlers):
            raise ValueError(f"handlers share a name: {', '.join(handler.name for handler in self.handlers)}")
        self._catalog = catalog
        self._associations = associations
        ledger = Ledger(associations, journal or NullJournal(), locks or NullLocks(), clock)
        self._preparation = Preparation(self.handlers, associations)
        self._recovery = Recovery(by_name, ledger)
        self._fetches = Fetches(by_name, ledger, self._recovery)
        self._targets = Targets(by_name, ledger, self._recovery, files)
        self._order = Order(self.handlers, catalog, ledger, self._fetches.record, by_cost=by_cost)

    def prepare(self) -> None:
        """Lets each handler re-establish what a restart of the host lost, once. A failure is a warning.

        A program that wants this done at its start calls it then.
        """
        self._preparation.prepare()

    # Fetching.

    def fetch(self, request: FetchRequest) -> Result[FetchResult, FetchFailure]:
        """Fetches the image to the target by the first handler that can."""
        results: list[AttemptResult] = []
        try:
            with closing(self.attempts(request)) as attempts:
                for attempt in attempts:
                    handler, work = attempt.handler, attempt.work
                    refusal = precheck(handler, work)
                    attempt.settle(
                        call_handler(handler.name, work, Landing, handler.fetch, work)
                        if refusal is None
                        else Failure(refusal)
                    )
                    results.append(attempt.result)
                    if attempt.landing is not None:
                        fetched = _fetch_result(attempt, attempt.landing, results)
        except _FETCH_FAILURES as failure:
            self._recover_lost(failure, request.target)
            return Failure(failure)
        # The attempts end with an exception, or with the one that landed.
        return Success(fetched)

    def fetch_or_raise(self, request: FetchRequest) -> FetchResult:
        """Fetches the image to the target by the first handler that can. Raises the members of FetchFailure."""
        return value_or_raise(self.fetch(request))

    def attempts(self, request: FetchRequest) -> Generator[Attempt, None, None]:
        """Yields the attempts of a fetch in order, until the caller settles one as a success.

        Each is made lazily. Closed early, settled attempts stay settled. Raises NoHandlerAvailable when none succeeded,
        TargetUnresolved when an interrupted operation on the target cannot be resolved, and the failures of the
        catalog and the store in their turn.
        """
        self.prepare()
        yield from self._fetches.attempts(request, self._order.turns(request))

    def plan(self, request: FetchRequest) -> tuple[Attempt, ...]:
        """The attempts of a fetch in order; none is made. Raises the failures of the catalog and the store."""
        return tuple(self._order.attempts(request))

    def preview(self, request: FetchRequest) -> tuple[AttemptPreview, ...]:
        """The attempts of a fetch in order, each with its expected outcome, up to a refusal that ends the request.

        The first that would succeed is the one that `fetch` ends with; those after it are the alternatives. Moves no
        byte. As for `fetch`, an interrupted operation on the target is recovered first, unless the target is locked.
        Raises TargetUnresolved and the failures of the catalog and the store where `fetch` would fail with them.
        """
        self._require_resolved(request.target)
        previews: list[AttemptPreview] = []
        try:
            for attempt in self._order.turns(request):
                handler, work = attempt.handler, attempt.work
                outcome = preview_attempt(handler, work)
                if isinstance(outcome, Failure):
                    attempt.settle(outcome)
                previews.append(AttemptPreview(handler.name, work.location, cost_of(handler, work.target), outcome))
        except LadingError:
            if not any(each.would for each in previews):
                raise
        return tuple(previews)

    # Recorded targets.

    def remove(
        self,
        target: str,
        context: Context = ANONYMOUS,
        *,
        force: bool = False,
        even_if_in_use: bool = False,
        wipe: bool = False,
    ) -> Result[Association, TargetFailure]:
        """Removes what is at the target, by the associated handler. Returns the association that is removed too.

        `force` removes what is there even when it is not what was put there; `even_if_in_use` removes what another
        program has locked. The bytes on a block device stay; `wipe` removes their signatures.
        """
        self.prepare()
        try:
            return Success(
                self._targets.remove(target.strip(), context, force=force, even_if_in_use=even_if_in_use, wipe=wipe)
            )
        except _TARGET_FAILURES as failure:
            self._recover_lost(failure, target.strip())
            return Failure(failure)

    def move(
        self, source: str, destination: str, context: Context = ANONYMOUS, *, even_if_in_use: bool = False
    ) -> Result[Association, TargetFailure]:
        """Moves the source to the destination, by the associated handler. Returns the association of the destination.

        What another program has locked is moved within its file system; to another one only with `even_if_in_use`.
        """
        self.prepare()
        try:
            source, destination = source.strip(), destination.strip()
            return Success(self._targets.move(source, destination, context, even_if_in_use=even_if_in_use))
        except _TARGET_FAILURES as failure:
            self._recover_lost(failure, source)
            return Failure(failure)

    def verify(
        self, target: str, context: Context = ANONYMOUS, *, observer: Observer | None = None
    ) -> Result[Association, TargetFailure]:
        """Reads all that is at the target and compares it with the association. Returns the association as of now.

        A changed or missing target is a HandlerRefused with that `state`, and a Mismatched that names the difference.
        What is found is recorded as the association's `checked`.
        """
        self.prepare()
        try:
            return Success(self._targets.verify(target.strip(), context, observer or NullObserver()))
        except _TARGET_FAILURES as failure:
            return Failure(failure)

    def report(self, target: str, context: Context = ANONYMOUS) -> Result[Report, TargetFailure]:
        """Reports the state of a recorded target without reading its data. Changes nothing.

        The associated handler reports, or else, on a file of this host, `files`. UNKNOWN where neither can. INCOMPLETE
        also where nothing is recorded, and an interrupted fetch has left a part of an image at the target.
        """
        try:
            return Success(self._targets.report(target.strip(), context))
        except _TARGET_FAILURES as failure:
            return Failure(failure)

    def holders(self, image: str, context: Context = ANONYMOUS) -> Iterator[HostTarget]:
        """Iterates over the recorded targets that hold the image, of all hosts that the store knows.

        `image` is an id, a name or an href of the catalog, or a digest `algorithm:hex`, of which twelve hex digits are
        enough. What the catalog does not know is found by its id or digest. Changes nothing, and calls no handler.
        Raises NotHeld where no target holds it, AmbiguousDigest, StoreUnavailable, and the failures of the catalog.
        """
        return holders(image, self._catalog, self._associations, context)

    def newest(self, context: Context = ANONYMOUS) -> Iterator[NewestImage]:
        """Iterates over the recorded targets of this host, each with the image that its name means by now.

        Targets whose image has no name are left out. Changes nothing, and calls no handler. Raises StoreUnavailable.
        """
        return newest_images(self._catalog, self._associations, context)

    def forget(self, target: str) -> Result[Forgotten, TargetFailure]:
        """Removes the association of the target, and the intents from or to it. For when neither is of use any more.

        No handler is called, and what is at the target stays. NotAssociated when there is nothing to remove.
        """
        try:
            return Success(self._targets.forget(target.strip()))
        except _TARGET_FAILURES as failure:
            return Failure(failure)

    def proven(self, association: Association, context: Context = ANONYMOUS) -> Association | None:
        """The association as of now, if the target still is what was put there; else None.

        For records of doubtful origin: the store is neither read nor written, and no handler is prepared.
        """
        return self._targets.proven(association, context)

    # Interrupted operations.

    def recover(self, target: str | None = None, *, keep: bool = True, give_up: bool = False) -> Iterator[Recovered]:
        """Recovers each interrupted operation, or those from or to the target: finishes it, or undoes it.

        It may have been started by any process. With `keep`, partial data that the next fetch can resume is kept. An
        unresolved operation stays in the journal; `give_up` settles it. Nothing is done before the first step; each
        step recovers one operation. Raises StoreUnavailable.
        """
        for intent in self._recovery.interrupted(target):
            self.prepare()
            if (found := self._recovery.recover_unlocked(intent, keep=keep, give_up=give_up)) is not None:
                yield found

    def resume(self, kept: Recovered, observer: Observer | None = None, context: Context = ANONYMOUS) -> Recovered:
        """Resumes an interrupted fetch whose partial data was kept. After a failure the partial data is removed.

        Returns the new outcome, with the bytes that were resumed or the reason of the failure. Raises StoreUnavailable.
        """
        intent = kept.intent
        request = FetchRequest(
            intent.image.id if intent.image else None, intent.target, context, intent.force,
            observer or NullObserver(), intent.form, intent.even_if_in_use,
        )  # fmt: skip
        fetched = self.fetch(request)
        if isinstance(fetched, Failure):
            dropped = next(self.recover(intent.target, keep=False), None)
            return Recovered(intent, dropped.outcome if dropped else Outcome.UNDONE, str(fetched.failure()))
        return Recovered(intent, Outcome.FINISHED, kept=fetched.unwrap().landing.resumed)

    def _recover_lost(self, failure: LadingError, target: str) -> None:
        """Recovers an operation that lost its lock, under a new one.

        It stays in the journal where another process works on its targets, or where a store is away.
        """
        if isinstance(failure, LockLost):
            with suppress(StoreUnavailable):
                for _ in self.recover(target, keep=False):
                    pass

    def _require_resolved(self, target: str) -> None:
        """Raises TargetUnresolved where a fetch would. Recovers the target's operations, unless it is locked."""
        for intent in self._recovery.interrupted(target) if target else ():
            self.prepare()
            found = self._recovery.recover_unlocked(intent, keep=True, level=logging.INFO)
            require_resolved([found] if found else [])


def _fetch_result(attempt: Attempt, landing: Landing, results: list[AttemptResult]) -> FetchResult:
    work = attempt.work
    location = landing.location or work.location
    return FetchResult(work.image, work.target, attempt.handler.name, location, landing, tuple(results))
