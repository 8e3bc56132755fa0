"""lading's own handlers, for callers of the original API."""

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from returns.result import Failure, Result, Success
from typing_extensions import override

from lading.adapters.nova.convert import context_from_request, image_from_meta, location_from_plain, stripped
from lading.adapters.nova.handler import AssociateFn, DisassociateFn, ImageHandler
from lading.domain.handler import Handler, Landing, Work
from lading.domain.refusals import Refusal, Unavailable, Unsupported
from lading.ports.association import Association
from lading.ports.context import Context
from lading.ports.failures import StoreUnavailable

__all__ = ["NativeImageHandler", "Recall"]

_log = logging.getLogger(__name__)

Recall = Callable[[str], Result[Association | None, StoreUnavailable]]
"""What is recorded for a target."""


class _Carried(threading.local):
    """What this thread's last operation did, until it is written down."""

    last: tuple[Work, Landing] | None = None


class NativeImageHandler(ImageHandler):
    """An ImageHandler that has a Handler do the work, makes a boolean of its Result, and logs a refusal.

    `force=True` among a fetch's keyword arguments lets it replace what is at the path; `even_if_in_use=True` lets any
    operation take away what another program has locked.
    """

    def __init__(
        self,
        driver: object,
        handler: Handler,
        recall: Recall,
        *,
        associate_fn: AssociateFn | None = None,
        disassociate_fn: DisassociateFn | None = None,
    ) -> None:
        super().__init__(driver, associate_fn=associate_fn, disassociate_fn=disassociate_fn)
        self.handler = handler
        self._recall = recall
        self._carried = _Carried()

    @override
    def get_schemes(self) -> Collection[str] | None:
        schemes = self.handler.schemes
        return None if schemes is None else tuple(sorted(schemes))

    @override
    def is_local(self) -> bool:
        return self.handler.is_local

    def completed(self, association: Association) -> Association | None:
        """The association with what the operation that it is about told; None when what is recorded shall stay."""
        carried, self._carried.last = self._carried.last, None
        if carried is None:
            return association
        work, landing = carried
        if landing.present:
            return None
        if work.association is not None and work.target != association.target:
            moved = replace(work.association, target=association.target, handler=association.handler)
            return replace(moved, fingerprint=landing.fingerprint, folder=landing.folder)
        return landing.recorded_in(association)

    @override
    def _fetch_image(
        self,
        context: object,
        image_id: str | None,
        image_meta: dict[str, object] | None,
        path: str,
        user_id: str | None = None,
        project_id: str | None = None,
        location: Mapping[str, object] | None = None,
        **kwargs: object,
    ) -> bool:
        asker = context_from_request(context, user_id, project_id)
        work = self._work(asker, image_id, image_meta, path, location).map(
            lambda work: replace(_as_meant(work, kwargs), force=bool(kwargs.get("force")))
        )
        return self._has_landed(path, work, self.handler.fetch)

    @override
    def _remove_image(
        self,
        context: object,
        image_id: str | None,
        image_meta: dict[str, object] | None,
        path: str,
        user_id: str | None = None,
        project_id: str | None = None,
        location: Mapping[str, object] | None = None,
        **kwargs: object,
    ) -> bool:
        asker = context_from_request(context, user_id, project_id)
        work = self._work(asker, image_id, image_meta, path, location).map(_as_recorded)
        return self._is_done(path, work.bind(lambda work: self.handler.remove(_as_meant(work, kwargs))))

    @override
    def _move_image(
        self,
        context: object,
        image_id: str | None,
        image_meta: dict[str, object] | None,
        src_path: str,
        dst_path: str,
        user_id: str | None = None,
        project_id: str | None = None,
        location: Mapping[str, object] | None = None,
        **kwargs: object,
    ) -> bool:
        if not (destination := stripped(dst_path)):
            return self._is_done(src_path, Failure(Unsupported("dst_path: expected a string that is not blank")))
        asker = context_from_request(context, user_id, project_id)
        work = self._work(asker, image_id, image_meta, src_path, location).map(_as_recorded)
        return self._has_landed(src_path, work, lambda work: self.handler.move(_as_meant(work, kwargs), destination))

    def _work(
        self,
        asker: Context,
        image_id: str | None,
        image_meta: Mapping[str, object] | None,
        path: object,
        location: Mapping[str, object] | None,
    ) -> Result[Work, Refusal]:
        target, place = stripped(path), location_from_plain(location)
        if not target:
            return Failure(Unsupported("path: expected a string that is not blank"))
        if location is not None and place is None:
            return Failure(Unsupported("location: expected a dict with a url string"))
        # An odd description is no reason to go without its digest: better refused than unverified.
        described = image_from_meta(image_meta, image_id)
        if isinstance(described, Failure):
            return Failure(Unsupported(described.failure()))
        recalled = self._recall(target)
        if isinstance(recalled, Failure):
            return Failure(Unavailable(recalled.failure().reason))
        return Success(Work(target, described.unwrap(), place, asker, recalled.unwrap()))

    def _has_landed(
        self, path: object, work: Result[Work, Refusal], verb: Callable[[Work], Result[Landing, Refusal]]
    ) -> bool:
        def carry(work: Work) -> Result[Landing, Refusal]:
            landing = verb(work)
            self._carried.last = landing.map(lambda landing: (work, landing)).value_or(None)
            return landing

        answer = work.bind(carry)
        # A location-independent handler is offered each location, declines, and has its turn after them.
        is_declined = isinstance(answer, Failure) and isinstance(answer.failure(), Unsupported)
        offered = work.map(lambda work: work.location).value_or(None)
        is_expected = is_declined and offered is not None and self.get_schemes() == ()
        return self._is_done(path, answer, logging.DEBUG if is_expected else logging.WARNING)

    def _is_done(self, path: object, answer: Result[object, Refusal], level: int = logging.WARNING) -> bool:
        if isinstance(answer, Failure):
            _log.log(level, "handler %s did not handle %s: %s", self.handler.name, path, answer.failure().reason)
        return isinstance(answer, Success)


def _as_meant(work: Work, arguments: Mapping[str, object]) -> Work:
    """With what the caller's own keyword arguments allow."""
    return replace(work, even_if_in_use=bool(arguments.get("even_if_in_use")))


def _as_recorded(work: Work) -> Work:
    """For what is about something fetched earlier: what is recorded of it, where the caller says nothing."""
    if work.association is None:
        return work
    return replace(
        work, image=work.image or work.association.image, location=work.location or work.association.location
    )
