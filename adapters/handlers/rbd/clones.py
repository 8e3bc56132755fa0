"""Images in a Ceph pool as targets: cloned copy-on-write, so that no byte moves, and published by a rename."""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Final, TypeVar

from returns.result import Failure, Result, Success

from lading.adapters.handlers.rbd import pool_images
from lading.adapters.handlers.rbd.moving import of_move, relocate
from lading.adapters.handlers.rbd.names import pool_target, snapshot_of
from lading.adapters.handlers.rbd.parents import Parent, conflict, parent_of
from lading.adapters.handlers.rbd.settings import RbdHandlerSettings
from lading.adapters.handlers.rbd.site import Site, another, at, in_the_way, is_another
from lading.adapters.handlers.rbd.source import RbdSource
from lading.adapters.handlers.setup import HandlerSetup
from lading.domain.handler import Landing, PartialData, Report, State, Work
from lading.domain.refusals import Mismatched, Refusal, TargetFailed, TargetOccupied, Unsupported
from lading.ports.journal import Intent, Verb

__all__ = ["Clones"]

_Done = TypeVar("_Done")
_METHOD: Final = "clone"


class Clones:
    """What the rbd handler does where the target is an image in a pool of the configured cluster.

    A target appears whole: a clone gets its name when all else is done to it. Which image is which the notes tell, and
    the association, by the id that Ceph gives each image for good.
    """

    def __init__(self, settings: RbdHandlerSettings, setup: HandlerSetup) -> None:
        self._settings = settings
        self._setup = setup

    def fetch(self, work: Work) -> Result[Landing, Refusal]:
        def fetch(site: Site) -> Result[Landing, Refusal]:
            return self._look(work, site).bind(
                lambda found: Success(found) if isinstance(found, Landing) else self._clone(work, site, found)
            )

        return self._if_cloneable(work, fetch)

    def preview(self, work: Work) -> Result[str, Refusal]:
        def tell(found: Landing | Parent) -> str:
            if isinstance(found, Landing):
                return "is there already"
            return f"clones {found.snapshot}, {found.size} bytes, of which none moves"

        return self._if_cloneable(work, lambda site: self._look(work, site).map(tell))

    def remove(self, work: Work) -> Result[None, Refusal]:
        def remove(site: Site) -> Result[None, Refusal]:
            found = pool_images.identity(site.ioctx, site.where)
            if found is None:
                # Of a removal that was cut off the name may be left, of an image that is gone.
                pool_images.discard(site.ioctx, site.where)
                return Success(None)
            if not work.force and is_another(work.association, found):
                return Failure(another(work.target))
            return pool_images.delete(site.ioctx, site.where)

        return at(self._settings, work.target, remove, absent=Success(None))

    def move(self, work: Work, destination: str) -> Result[Landing, Refusal]:
        def move(site: Site) -> Result[Landing, Refusal]:
            return pool_target(destination).bind(lambda there: relocate(work, site, there, self._setup))

        return at(self._settings, work.target, move)

    def recover(self, work: Work, *, keep: bool) -> Result[Landing | PartialData, Refusal]:
        """A clone is nothing to go on with: it is there, or it is made anew."""
        intent = work.intent
        if intent is None or intent.verb is Verb.REMOVE:
            return Failure(Unsupported("nothing says what was begun"))
        if not intent.notes:
            return Success(PartialData())  # nothing is changed before something is noted

        def recover(site: Site) -> Result[Landing | PartialData, Refusal]:
            if intent.verb is Verb.FETCH:
                return Success(_of_fetch(site, intent))
            return pool_target(intent.destination or "").bind(lambda there: of_move(site, there, intent))

        return at(self._settings, work.target, recover, absent=Success(PartialData()))

    def verify(self, work: Work) -> Result[Landing, Refusal]:
        """Compare its bytes, as many as the image has, with the catalog's digest: cloning has not read them."""
        recorded = work.association
        if recorded is None:
            return Failure(Unsupported("nothing says what was put there"))
        gone = Mismatched(f"{work.target} is gone")

        def look(site: Site) -> Result[Landing, Refusal]:
            found = pool_images.identity(site.ioctx, site.where)
            if found is None:
                return Failure(gone)
            if is_another(recorded, found):
                return Failure(Mismatched(another(work.target).reason))
            image = recorded.image and replace(recorded.image, size=recorded.image.size or None)  # 0: Nova's snapshots
            with ExitStack() as held:
                source = RbdSource(site.cluster, held, site.where, size=image.size if image else None)
                size = source.image.size()
                return self._setup.audit(image, source, work.observer).map(
                    lambda landing: replace(landing, method=recorded.method, size=size, identity=found)
                )

        return at(self._settings, work.target, look, absent=Failure(gone))

    def report(self, work: Work) -> Result[Report, Refusal]:
        def look(site: Site) -> Result[Report, Refusal]:
            found = pool_images.identity(site.ioctx, site.where)
            if found is None:
                return Success(Report(State.MISSING))
            state = State.CHANGED if is_another(work.association, found) else State.INTACT
            with site.cluster.image(site.where) as image:
                return Success(Report(state, pool_images.details(image)))

        return at(self._settings, work.target, look, absent=Success(Report(State.MISSING)))

    def _if_cloneable(self, work: Work, act: Callable[[Site], Result[_Done, Refusal]]) -> Result[_Done, Refusal]:
        why_not = conflict(work, self._setup.files.rules)
        return at(self._settings, work.target, act) if why_not is None else Failure(why_not)

    def _look(self, work: Work, site: Site) -> Result[Landing | Parent, Refusal]:
        """What is at the target already, if it is the image; else what can be cloned there."""
        assert work.location is not None  # noqa: S101 - `conflict` has seen to it
        there = pool_images.identity(site.ioctx, site.where)
        if there is not None and not work.force:
            return self._as_recorded(work, site, there)
        return snapshot_of(work.location).bind(lambda snapshot: parent_of(work, site, snapshot, self._setup))

    def _as_recorded(self, work: Work, site: Site, there: str) -> Result[Landing | Parent, Refusal]:
        recorded = work.association
        if recorded is None:
            return Failure(TargetOccupied(f"{work.target} exists and is not lading's; only force replaces it"))
        if recorded.identity != there:
            told = f"{work.target} is another image than the one that was fetched; only force replaces it"
            return Failure(TargetOccupied(told))
        if not recorded.is_for(work.image):
            held = recorded.image.id if recorded.image else "another image"
            return Failure(TargetOccupied(f"{work.target} holds {held}; remove it first, or force"))
        with site.cluster.image(site.where) as image:
            size = image.size()
        if work.size not in {None, size}:
            return Failure(TargetOccupied(f"{work.target} is there, with {size} bytes; remove it first, or force"))
        return Success(Landing.already(recorded))

    def _clone(self, work: Work, site: Site, parent: Parent) -> Result[Landing, Refusal]:
        part = site.where.part
        if work.intent is not None and "part" in work.intent.notes:
            pool_images.discard(site.ioctx, part)  # of an earlier attempt
        if pool_images.identity(site.ioctx, part) is not None:
            return Failure(in_the_way(part))
        noted = self._setup.note(work, {"part": part.name})
        if isinstance(noted, Failure):
            return noted
        try:
            with site.cluster.pool(parent.snapshot.pool) as source:
                made = pool_images.clone(source, parent.snapshot, site.ioctx, part, size=work.size)
            landing = Landing(_METHOD, made.size, identity=made.identity, inspected_by=parent.inspected_by)
            landed = self._publish(work, site, landing)
        except BaseException:
            with suppress(*pool_images.errors()):
                pool_images.discard(site.ioctx, part)
            raise
        if isinstance(landed, Failure):
            pool_images.discard(site.ioctx, part)
        return landed

    def _publish(self, work: Work, site: Site, landing: Landing) -> Result[Landing, Refusal]:
        replaced = pool_images.identity(site.ioctx, site.where) if work.force else None
        notes: dict[str, object] = {
            "part": site.where.part.name,
            "clone": landing.identity,
            "size": landing.size,
            "inspected_by": landing.inspected_by,
            "replaced": replaced,
        }

        def appear() -> Result[Landing, Refusal]:
            if replaced is not None and not pool_images.move_to_trash(site.ioctx, site.where):
                return Failure(TargetFailed(f"{work.target} is in use and can't be replaced"))
            if not pool_images.rename(site.ioctx, site.where.part, site.where):
                return Failure(TargetOccupied(f"{work.target} exists; nothing is overwritten unasked"))
            if replaced is not None:
                pool_images.forget(site.ioctx, replaced)
            return Success(landing)

        return self._setup.note(work, notes).bind(lambda _: appear())


def _of_fetch(site: Site, intent: Intent) -> Landing | PartialData:
    noted, found = intent.notes, pool_images.identity(site.ioctx, site.where)
    replaced = noted.get("replaced")
    # That it is noted says that there was none before: an earlier version noted the clone only.
    if "part" in noted or pool_images.identity(site.ioctx, site.where.part) == noted.get("clone"):
        pool_images.discard(site.ioctx, site.where.part)
    if found is not None and found == noted.get("clone"):
        if isinstance(replaced, str):
            pool_images.forget(site.ioctx, replaced)
        size, by = noted.get("size"), noted.get("inspected_by")
        return Landing(
            _METHOD,
            size if isinstance(size, int) else None,
            identity=found,
            inspected_by=by if isinstance(by, str) else None,
        )
    if isinstance(replaced, str) and found is None:
        pool_images.restore(site.ioctx, replaced, site.where)
    return PartialData()
