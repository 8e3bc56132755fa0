"""Makes lading's own handlers usable by callers of the original API."""

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from returns.result import Failure, Result
from typing_extensions import override

from lading.adapters.nova.convert import context_from_request, image_from_meta, location_from_plain, stripped
from lading.adapters.nova.handler import AssociateFn, DisassociateFn, ImageHandler
from lading.adapters.stream.errors import Refused, value_or_refuse
from lading.domain.handler import Handler, Landing, Work
from lading.domain.refusals import Refusal, Unavailable, Unsupported
from lading.ports.association import Association
from lading.ports.context import Context
from lading.ports.failures import StoreUnavailable

__all__ = ["NativeImageHandler", "Recall"]

_log = logging.getLogger(__name__)

Recall = Callable[[str], Result[Association | None, StoreUnavailable]]
"""Reads the association of a target."""


class _LastLanding(threading.local):
    """The thread's last successful operation, until its hook records it."""

    value: tuple[Work, Landing] | None = None


class NativeImageHandler(ImageHandler):
    """An ImageHandler that calls a Handler, turns its Result into a boolean, and logs a refusal.

    The keyword argument `force=True` lets a fetch replace what is at the path. `even_if_in_use=True` lets any operation
    remove or replace what another program has locked.
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
        self._last_landing = _LastLanding()

    @override
    def get_schemes(self) -> Collection[str] | None:
        schemes = self.handler.schemes
        return None if schemes is None else tuple(sorted(schemes))

    @override
    def is_local(self) -> bool:
        return self.handler.is_local

    def completed(self, association: Association) -> Association | None:
        """Returns the association with the result of its operation; None when the recorded association must stay."""
        last, self._last_landing.value = self._last_landing.value, None
        if last is None:
            return association
        work, landing = last
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
        requester = context_from_request(context, user_id, project_id)
        try:
            work = self._work(requester, image_id, image_meta, path, location, kwargs)
        except Refused as refused:
            return self._log_refusal(path, refused.refusal)
        work = replace(work, force=bool(kwargs.get("force")))
        return self._is_handled(work, self.handler.fetch(work))

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
        requester = context_from_request(context, user_id, project_id)
        try:
            work = self._work(requester, image_id, image_meta, path, location, kwargs)
            value_or_refuse(self.handler.remove(_with_recorded(work)))
        except Refused as refused:
            return self._log_refusal(path, refused.refusal)
        return True

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
            return self._log_refusal(src_path, Unsupported("dst_path: expected a string that is not blank"))
        requester = context_from_request(context, user_id, project_id)
        try:
            work = _with_recorded(self._work(requester, image_id, image_meta, src_path, location, kwargs))
        except Refused as refused:
            return self._log_refusal(src_path, refused.refusal)
        return self._is_handled(work, self.handler.move(work, destination))

    def _work(
        self,
        requester: Context,
        image_id: str | None,
        image_meta: Mapping[str, object] | None,
        path: object,
        location: Mapping[str, object] | None,
        arguments: Mapping[str, object],
    ) -> Work:
        """Returns the Work for the caller's arguments. Raises Refused."""
        target, place = stripped(path), location_from_plain(location)
        if not target:
            raise Refused(Unsupported("path: expected a string that is not blank"))
        if location is not None and place is None:
            raise Refused(Unsupported("location: expected a dict with a url string"))
        # Invalid metadata is refused: without its digest the image would not be verified.
        image = value_or_refuse(image_from_meta(image_meta, image_id).alt(Unsupported))
        recorded = value_or_refuse(self._recall(target).alt(_unavailable))
        return Work(target, image, place, requester, recorded, even_if_in_use=bool(arguments.get("even_if_in_use")))

    def _is_handled(self, work: Work, answer: Result[Landing, Refusal]) -> bool:
        """Logs a refusal, or keeps the landing for the hook that records it."""
        self._last_landing.value = None
        if isinstance(answer, Failure):
            refusal = answer.failure()
            # A location-independent handler is called with each location, refuses them, and has its turn after them.
            is_expected = isinstance(refusal, Unsupported) and work.location is not None and self.get_schemes() == ()
            return self._log_refusal(work.target, refusal, logging.DEBUG if is_expected else logging.WARNING)
        self._last_landing.value = work, answer.unwrap()
        return True

    def _log_refusal(self, path: object, refusal: Refusal, level: int = logging.WARNING) -> bool:
        _log.log(level, "handler %s did not handle %s: %s", self.handler.name, path, refusal)
        return False


def _unavailable(failure: StoreUnavailable) -> Refusal:
    return Unavailable(str(failure))


def _with_recorded(work: Work) -> Work:
    """Takes the image and location from the association where the caller gives none."""
    if work.association is None:
        return work
    return replace(
        work, image=work.image or work.association.image, location=work.location or work.association.location
    )
