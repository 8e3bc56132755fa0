"""Makes handlers of the original API usable by a Dispatcher."""

import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from returns.result import Failure, Result, Success

from lading.adapters.destinations.file.target_state import check_target, status_of
from lading.adapters.nova.convert import image_to_meta, location_to_plain, request_from_context, schemes_from
from lading.adapters.nova.handler import ImageHandler
from lading.adapters.stream.errors import returning_refusals, value_or_refuse
from lading.adapters.stream.safe_open import fingerprint, folder_identity
from lading.domain.handler import Landing, Work
from lading.domain.refusals import Refusal, TargetOccupied, Unsupported

__all__ = ["LegacyHandler", "landed"]


class LegacyHandler:
    """A Handler that calls an ImageHandler, and turns the truth of its answer into a Result.

    For files of this host it adds what an ImageHandler does not do: nothing is overwritten without `force`, an
    unchanged image is not fetched again, and the removal of a missing file is a success.
    """

    def __init__(
        self, name: str, handler: ImageHandler, arguments: Callable[[Work], Mapping[str, object]] | None = None
    ) -> None:
        """`arguments` returns the handler's own keyword arguments for a Work, for example a clone's destination.

        The handler's context is `work.context.caller`, else a RequestContext.
        """
        self.name = name
        self.handler = handler
        self._arguments = arguments
        # Called once, here: an exception is then an error of loading, not of a request.
        self.schemes = schemes_from(handler.get_schemes())
        self.is_local = bool(handler.is_local())

    @returning_refusals
    def fetch(self, work: Work) -> Landing:
        if self.is_local and (present := check_target(work)) is not None:
            return present
        value_or_refuse(self._handled(self.handler.fetch_image, work, work.target))
        return landed(self.handler, work.target)

    def remove(self, work: Work) -> Result[None, Refusal]:
        answer = self._handled(self.handler.remove_image, work, work.target)
        return Success(None) if self.is_local and status_of(work.target) is None else answer

    def move(self, work: Work, destination: str) -> Result[Landing, Refusal]:
        if self.is_local and status_of(destination) is not None:
            return Failure(TargetOccupied(f"{destination} exists"))
        answer = self._handled(self.handler.move_image, work, work.target, destination)
        if isinstance(answer, Failure):
            return Failure(answer.failure())
        return Success(landed(self.handler, destination))

    def _handled(self, verb: Callable[..., object], work: Work, *paths: str) -> Result[None, Refusal]:
        requester, image = work.context, work.image
        done = verb(
            request_from_context(requester),
            image.id if image else None,
            image_to_meta(image),
            *paths,
            user_id=requester.user_id,
            project_id=requester.project_id,
            location=location_to_plain(work.location),
            **(self._arguments(work) if self._arguments else {}),
        )
        return Success(None) if done else Failure(Unsupported("not handled"))


def landed(handler: ImageHandler, path: str) -> Landing:
    """Returns the size and fingerprint of the file that an ImageHandler put at the path; empty for other targets."""
    try:
        status = status_of(path) if handler.is_local() else None
        if status is None or not stat.S_ISREG(status.st_mode):
            return Landing()
        folder = folder_identity(str(Path(path).parent))
        return Landing(size=status.st_size, fingerprint=fingerprint(path), folder=folder)
    except (OSError, ValueError):
        return Landing()
