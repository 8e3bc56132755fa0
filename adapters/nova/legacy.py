"""Handlers of the original API, for a Dispatcher."""

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
    """A Handler that has an ImageHandler do the work, and makes a Result of the truth of its answer.

    What an ImageHandler doesn't know of is seen to here, as far as files on this host go: that nothing is overwritten
    without `force`, that an unchanged image isn't fetched again, and that removing what is gone is a success.
    """

    def __init__(
        self, name: str, handler: ImageHandler, arguments: Callable[[Work], Mapping[str, object]] | None = None
    ) -> None:
        """`arguments` gives the handler's own keyword arguments for a piece of work, a clone's destination say.

        The handler's context is `work.context.caller`, or where there is none a RequestContext.
        """
        self.name = name
        self.handler = handler
        self._arguments = arguments
        # Asked once: a handler that can't answer is found out when it is loaded, not amid a request.
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
        return answer.map(lambda _: landed(self.handler, destination))

    def _handled(self, verb: Callable[..., object], work: Work, *paths: str) -> Result[None, Refusal]:
        asker, image = work.context, work.image
        done = verb(
            request_from_context(asker),
            image.id if image else None,
            image_to_meta(image),
            *paths,
            user_id=asker.user_id,
            project_id=asker.project_id,
            location=location_to_plain(work.location),
            **(self._arguments(work) if self._arguments else {}),
        )
        return Success(None) if done else Failure(Unsupported("not handled"))


def landed(handler: ImageHandler, path: str) -> Landing:
    """What can be seen of what an ImageHandler put at the path: size and fingerprint of a file on this host."""
    try:
        status = status_of(path) if handler.is_local() else None
        if status is None or not stat.S_ISREG(status.st_mode):
            return Landing()
        folder = folder_identity(str(Path(path).parent))
        return Landing(size=status.st_size, fingerprint=fingerprint(path), folder=folder)
    except (OSError, ValueError):
        return Landing()
