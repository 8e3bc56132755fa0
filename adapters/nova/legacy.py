"""Makes handlers of the original API usable by a Dispatcher."""

import shlex
import stat
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from returns.result import Failure, Result, Success

from lading.adapters.destinations.file.relocation import changed
from lading.adapters.destinations.file.target_state import (
    check_target,
    conflict,
    folder_conflict,
    is_intact,
    status_of,
    use_of,
)
from lading.adapters.nova.convert import image_to_meta, location_to_plain, request_from_context, schemes_from
from lading.adapters.nova.handler import ImageHandler
from lading.adapters.stream.errors import Refused, returning_refusals, system_errors, value_or_refuse
from lading.adapters.stream.safe_open import fingerprint, folder_identity
from lading.domain.handler import Landing, Work
from lading.domain.refusals import Refusal, TargetOccupied, Unsupported

__all__ = ["LegacyHandler", "landed"]


class LegacyHandler:
    """A Handler that calls an ImageHandler, and turns the truth of its answer into a Result.

    For files of this host it adds what an ImageHandler does not do: nothing is overwritten without `force`, an
    unchanged image is not fetched again, and the removal of a missing file is a success. Only the recorded file is
    removed or moved, and not while another program has it locked.

    It writes no notes, so nothing proves what an interrupted fetch has left: `remove` with an intent and without an
    association calls no ImageHandler. It succeeds where nothing is at the target, and is refused otherwise.
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

    @returning_refusals
    def remove(self, work: Work) -> None:
        if work.intent is not None and work.association is None:
            self._require_nothing_left(work.target)
            return
        self._check_recorded(work)
        try:
            answer = self._handled(self.handler.remove_image, work, work.target)
        except FileNotFoundError:
            # An earlier removal was interrupted after it had removed the file.
            if not self._is_gone(work.target):
                raise
            return
        if not self._is_gone(work.target):
            value_or_refuse(answer)

    @returning_refusals
    def move(self, work: Work, destination: str) -> Landing:
        # Nothing tells whether the handler renames the file or copies it, so no file in use is moved.
        self._check_recorded(work)
        if self.is_local and status_of(destination) is not None:
            raise Refused(TargetOccupied(f"{destination} exists"))
        was_changed = _is_changed(work)
        value_or_refuse(self._handled(self.handler.move_image, work, work.target, destination))
        landing = landed(self.handler, destination)
        if was_changed and landing.fingerprint is not None:
            return replace(landing, fingerprint=changed(landing.fingerprint))
        return landing

    def _is_gone(self, target: str) -> bool:
        return self.is_local and status_of(target) is None

    def _check_recorded(self, work: Work) -> None:
        """Raises Refused where the target is another file than the recorded one, is not mounted, or is in use."""
        # Without a fingerprint the target was no regular file, and there is nothing to compare.
        is_file = work.association is not None and work.association.fingerprint is not None
        if not (is_file or self.is_local):
            return
        with system_errors(work.target, "examined"):
            refusal: Refusal | None = conflict(work) if is_file else None
            if (refusal := refusal or use_of(work)) is not None:
                raise Refused(refusal)

    def _require_nothing_left(self, target: str) -> None:
        """Raises Refused where an interrupted fetch that is not recorded may have left something at the target."""
        advice = f"to leave it there: lading forget {shlex.quote(target)}"
        if not self.is_local:
            reason = f"nothing proves that what is at {target} was made by the interrupted fetch"
            raise Refused(Unsupported(reason, advice=advice))
        with system_errors(target, "examined"):
            if (elsewhere := folder_conflict(target, None)) is not None:
                raise Refused(elsewhere)
            if status_of(target) is not None:
                reason = f"{target} exists, and nothing proves that the interrupted fetch made it"
                raise Refused(TargetOccupied(reason, advice=advice))

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


def _is_changed(work: Work) -> bool:
    """Returns True when the file at the target was written to since it was recorded. Raises Refused."""
    recorded = work.association
    if recorded is None or recorded.fingerprint is None:
        return False
    with system_errors(work.target, "examined"):
        return status_of(work.target) is not None and not is_intact(recorded, fingerprint(work.target))


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
