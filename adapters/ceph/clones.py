"""Images in a Ceph pool as targets: cloned copy-on-write, so that no byte moves, and published by a rename."""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any, Final, NamedTuple, TypeVar

from returns.result import Failure, Result, Success

from lading.adapters.ceph import pool_images
from lading.adapters.ceph.cluster import Absent, Cluster, answering, connected
from lading.adapters.ceph.names import PoolImage, Snapshot, pool_target, snapshot_of
from lading.adapters.ceph.source import RbdSource
from lading.adapters.settings import RbdHandlerSettings
from lading.adapters.transfer import pipeline
from lading.adapters.transfer.audit import Audit
from lading.adapters.transfer.pipeline import SourceBroken
from lading.adapters.transfer.standing import is_of
from lading.adapters.transfer.transfer import Rules
from lading.domain.handler import Kept, Landing, Report, State, Work
from lading.domain.refusals import Mismatched, Refusal, TargetFailed, TargetOccupied, Unavailable, Unsupported
from lading.ports.association import Association
from lading.ports.journal import Intent, Journal, Verb

__all__ = ["Clones"]

_Done = TypeVar("_Done")
_METHOD: Final = "clone"


class _Site(NamedTuple):
    """Where a target is: its cluster, its pool's ioctx, and itself."""

    cluster: Cluster
    ioctx: Any
    where: PoolImage


class _Parent(NamedTuple):
    """A snapshot that can be cloned."""

    snapshot: Snapshot
    size: int
    inspected_by: str | None


class Clones:
    """What the rbd handler does where the target is an image in a pool of the configured cluster.

    A target appears whole: a clone gets its name when all else is done to it. Which image is which the notes tell, and
    the association, by the id that Ceph gives each image for good.
    """

    def __init__(self, settings: RbdHandlerSettings, rules: Rules, journal: Journal) -> None:
        self._settings = settings
        self._rules = rules
        self._journal = journal

    def fetch(self, work: Work) -> Result[Landing, Refusal]:
        def fetch(site: _Site) -> Result[Landing, Refusal]:
            return self._look(work, site).bind(
                lambda found: Success(found) if isinstance(found, Landing) else self._clone(work, site, found)
            )

        return self._if_cloneable(work, fetch)

    def foresee(self, work: Work) -> Result[str, Refusal]:
        def tell(found: Landing | _Parent) -> str:
            if isinstance(found, Landing):
                return "is there already"
            return f"clones {found.snapshot}, {found.size} bytes, of which none moves"

        return self._if_cloneable(work, lambda site: self._look(work, site).map(tell))

    def remove(self, work: Work) -> Result[None, Refusal]:
        def remove(site: _Site) -> Result[None, Refusal]:
            pool_images.discard(site.ioctx, site.where.part)
            found = pool_images.identity(site.ioctx, site.where)
            if found is None:
                return Success(None)
            if not work.force and _is_another(work.association, found):
                return Failure(TargetOccupied(f"{work.target} is another image than the one that was fetched"))
            return pool_images.delete(site.ioctx, site.where)

        return self._at(work.target, remove, absent=Success(None))

    def move(self, work: Work, destination: str) -> Result[Landing, Refusal]:
        def move(site: _Site) -> Result[Landing, Refusal]:
            return pool_target(destination).bind(lambda there: self._relocate(work, site, there))

        return self._at(work.target, move)

    def recover(self, work: Work, *, keep: bool) -> Result[Landing | Kept, Refusal]:
        """A clone is nothing to go on with: it is there, or it is made anew."""
        intent = work.intent
        if intent is None or intent.verb is Verb.REMOVE:
            return Failure(Unsupported("nothing says what was begun"))

        def recover(site: _Site) -> Result[Landing | Kept, Refusal]:
            if intent.verb is Verb.FETCH:
                return Success(_of_fetch(site, intent))
            return pool_target(intent.destination or "").bind(lambda there: _of_move(site, there, intent))

        return self._at(work.target, recover, absent=Success(Kept()))

    def verify(self, work: Work) -> Result[Landing, Refusal]:
        """Compare its bytes, as many as the image has, with the catalog's digest: cloning has not read them."""
        recorded = work.association
        if recorded is None:
            return Failure(Unsupported("nothing says what was put there"))
        gone = Mismatched(f"{work.target} is gone")

        def look(site: _Site) -> Result[Landing, Refusal]:
            found = pool_images.identity(site.ioctx, site.where)
            if found is None:
                return Failure(gone)
            if _is_another(recorded, found):
                return Failure(Mismatched(f"{work.target} is another image than the one that was fetched"))
            return Audit.of(recorded.image, verify=True, inspect=self._rules.inspect).bind(
                lambda audit: _read(work, site, audit).map(
                    lambda landing: replace(landing, method=recorded.method, identity=found)
                )
            )

        return self._at(work.target, look, absent=Failure(gone))

    def report(self, work: Work) -> Result[Report, Refusal]:
        def look(site: _Site) -> Result[Report, Refusal]:
            found = pool_images.identity(site.ioctx, site.where)
            if found is None:
                return Success(Report(State.MISSING))
            state = State.CHANGED if _is_another(work.association, found) else State.INTACT
            with site.cluster.image(site.where) as image:
                return Success(Report(state, pool_images.details(image)))

        return self._at(work.target, look, absent=Success(Report(State.MISSING)))

    def _if_cloneable(self, work: Work, act: Callable[[_Site], Result[_Done, Refusal]]) -> Result[_Done, Refusal]:
        why_not = _objection(work, self._rules)
        return self._at(work.target, act) if why_not is None else Failure(why_not)

    def _at(
        self,
        target: str,
        act: Callable[[_Site], Result[_Done, Refusal]],
        *,
        absent: Result[_Done, Refusal] | None = None,
    ) -> Result[_Done, Refusal]:
        """What is done at the target, errors of the cluster as refusals; `absent`: what it means that no pool is."""

        def reach(where: PoolImage) -> Result[_Done, Refusal]:
            with connected(self._settings) as cluster, ExitStack() as held:
                try:
                    ioctx = held.enter_context(cluster.pool(where.pool, where.namespace))
                except Absent as reason:
                    return Failure(TargetFailed(str(reason))) if absent is None else absent
                return act(_Site(cluster, ioctx, where))

        return pool_target(target).bind(
            lambda where: answering(self._settings, lambda: reach(where), writes=str(where))
        )

    def _look(self, work: Work, site: _Site) -> Result[Landing | _Parent, Refusal]:
        """What is at the target already, if it is the image; else what can be cloned there."""
        assert work.location is not None  # noqa: S101 - `_objection` has seen to it
        there = pool_images.identity(site.ioctx, site.where)
        if there is not None and not work.force:
            return self._as_recorded(work, site, there)
        return snapshot_of(work.location).bind(lambda snapshot: self._parent(work, site, snapshot))

    def _as_recorded(self, work: Work, site: _Site, there: str) -> Result[Landing | _Parent, Refusal]:
        recorded = work.association
        if recorded is None:
            return Failure(TargetOccupied(f"{work.target} exists and is not lading's; only force replaces it"))
        if recorded.identity != there:
            told = f"{work.target} is another image than the one that was fetched; only force replaces it"
            return Failure(TargetOccupied(told))
        if not is_of(recorded, work):
            held = recorded.image.id if recorded.image else "another image"
            return Failure(TargetOccupied(f"{work.target} holds {held}; remove it first, or force"))
        with site.cluster.image(site.where) as image:
            size = image.size()
        if work.size not in {None, size}:
            return Failure(TargetOccupied(f"{work.target} is there, with {size} bytes; remove it first, or force"))
        return Success(
            Landing(
                recorded.method,
                size,
                recorded.digest,
                recorded.verified,
                identity=there,
                present=True,
                inspected_by=recorded.inspected_by,
            )
        )

    def _parent(self, work: Work, site: _Site, snapshot: Snapshot) -> Result[Landing | _Parent, Refusal]:
        if (elsewhere := site.cluster.lacks(snapshot)) is not None:
            return Failure(elsewhere)
        with ExitStack() as held:
            where = PoolImage(snapshot.pool, "", snapshot.image)
            source = RbdSource(site.cluster, held, where, snapshot.name)
            why_not = _unlike(work, source, snapshot) or _uncloneable(site, source, snapshot)
            if why_not is not None:
                return Failure(why_not)
            return self._inspected(work, source).map(lambda by: _Parent(snapshot, source.size, by))

    def _inspected(self, work: Work, source: RbdSource) -> Result[str | None, Refusal]:
        """What found the format safe: only the beginning is read."""

        def inspect(audit: Audit) -> Result[str | None, Refusal]:
            try:
                audit.inspect(source)
            except SourceBroken as broken:
                return Failure(Unavailable(str(broken)))
            return audit.verdict(source.size).map(lambda audited: audited.inspected_by)

        image = work.image and replace(work.image, size=source.size)
        return Audit.of(image, verify=False, inspect=self._rules.inspect).bind(inspect)

    def _clone(self, work: Work, site: _Site, parent: _Parent) -> Result[Landing, Refusal]:
        part = site.where.part
        pool_images.discard(site.ioctx, part)
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

    def _publish(self, work: Work, site: _Site, landing: Landing) -> Result[Landing, Refusal]:
        replaced = pool_images.identity(site.ioctx, site.where) if work.force else None
        notes: dict[str, object] = {
            "clone": landing.identity,
            "size": landing.size,
            "inspected_by": landing.inspected_by,
            "replaced": replaced,
        }

        def appear() -> Result[Landing, Refusal]:
            if replaced is not None and not pool_images.set_aside(site.ioctx, site.where):
                return Failure(TargetFailed(f"{work.target} is in use and can't be replaced"))
            if not pool_images.rename(site.ioctx, site.where.part, site.where):
                return Failure(TargetOccupied(f"{work.target} exists; nothing is overwritten unasked"))
            if replaced is not None:
                pool_images.forget(site.ioctx, replaced)
            return Success(landing)

        return self._note(work, notes).bind(lambda _: appear())

    def _relocate(self, work: Work, site: _Site, there: PoolImage) -> Result[Landing, Refusal]:
        found = pool_images.identity(site.ioctx, site.where)
        if found is None:
            return Failure(TargetFailed(f"{work.target} is gone"))
        if _is_another(work.association, found):
            return Failure(TargetOccupied(f"{work.target} is another image than the one that was fetched"))
        if there[:2] == site.where[:2]:
            return self._note(work, {"moving": found}).bind(lambda _: _renamed(site, there, found))
        try:
            with site.cluster.pool(there.pool, there.namespace) as ioctx:
                return self._copy_away(work, site, _Site(site.cluster, ioctx, there), found)
        except Absent as reason:
            return Failure(TargetFailed(str(reason)))

    def _copy_away(self, work: Work, site: _Site, there: _Site, moving: str) -> Result[Landing, Refusal]:
        """Copy to the other pool, snapshots and parent too, and let go of the source when the copy is there."""
        if pool_images.identity(there.ioctx, there.where) is not None:
            return Failure(_taken(there.where))
        with site.cluster.image(site.where) as image:
            if pool_images.watchers(image):
                return Failure(TargetFailed(f"{work.target} is in use: it can be renamed, but leaves no pool"))
            noted = self._note(work, {"moving": moving})
            if isinstance(noted, Failure):
                return noted
            pool_images.discard(there.ioctx, there.where.part)
            try:
                copied = pool_images.deep_copy(image, there.ioctx, there.where.part)
                noted = self._note(work, {"moving": moving, "copied": copied})
                appeared = noted.bind(lambda _: _renamed(there._replace(where=there.where.part), there.where, copied))
            except BaseException:
                with suppress(*pool_images.errors()):
                    pool_images.discard(there.ioctx, there.where.part)
                raise
        if isinstance(appeared, Failure):
            pool_images.discard(there.ioctx, there.where.part)
            return appeared
        left = pool_images.delete(site.ioctx, site.where)
        if isinstance(left, Failure):
            pool_images.discard(there.ioctx, there.where)
        return left.bind(lambda _: appeared)

    def _note(self, work: Work, notes: dict[str, object]) -> Result[None, Refusal]:
        if work.intent is None:
            return Success(None)
        written = self._journal.note(work.target, notes)
        return written.alt(lambda failure: TargetFailed(f"what is done can't be written down: {failure}"))


def _objection(work: Work, rules: Rules) -> Refusal | None:
    """Why nothing is cloned, as far as can be told without the cluster."""
    if work.location is None:
        return Unsupported("needs a location")
    named = snapshot_of(work.location)
    if isinstance(named, Failure):
        unreadable: Refusal = named.failure()
        return unreadable
    image = work.image
    if image is None:
        return Unsupported("the request names no image")
    if image.disk_format != "raw" or image.container_format not in {None, "bare"}:
        shape = f"{image.disk_format or 'unknown'} in {image.container_format or 'bare'}"
        return Unsupported(f"the image is {shape}, and a clone would be no disk: only raw ones are cloned")
    if not rules.allow_unverified:
        return Unsupported("a clone's bytes are not read, so not verified, and landing.allow_unverified is false")
    return None


def _unlike(work: Work, source: RbdSource, snapshot: Snapshot) -> Refusal | None:
    # Nova registers its snapshots with a size of 0 and no digest.
    promised = work.image.size if work.image else None
    if promised and source.size != promised:
        return Mismatched(f"{snapshot} has {source.size} bytes, the catalog promises {promised}")
    if work.size is not None and work.size < source.size:
        return Unsupported(f"{snapshot} has {source.size} bytes, more than the {work.size} that are wished for")
    return None


def _uncloneable(site: _Site, source: RbdSource, snapshot: Snapshot) -> Refusal | None:
    """What only clones of the second version can do, where there are none."""
    needs_second = None
    if not source.image.is_protected_snap(snapshot.name):
        needs_second = f"{snapshot} is not protected"
    elif site.where.namespace:
        needs_second = f"{site.where} is in another namespace than {snapshot}"
    if needs_second is None or site.cluster.clones_freely() is not False:
        return None
    advice = "it would with clients of mimic and later only (ceph osd set-require-min-compat-client mimic)"
    return Unsupported(f"{needs_second}, and this cluster makes no such clones; {advice}")


def _is_another(recorded: Association | None, found: str) -> bool:
    return recorded is not None and recorded.identity is not None and recorded.identity != found


def _taken(where: PoolImage) -> TargetOccupied:
    return TargetOccupied(f"rbd:{where} exists; nothing is overwritten unasked")


def _renamed(site: _Site, there: PoolImage, identity: str) -> Result[Landing, Refusal]:
    if not pool_images.rename(site.ioctx, site.where, there):
        return Failure(_taken(there))
    return Success(Landing(identity=identity))


def _read(work: Work, site: _Site, audit: Audit) -> Result[Landing, Refusal]:
    """Its bytes, against the promise; only their format where no digest is promised."""
    image = work.association.image if work.association else None
    with ExitStack() as held:
        source = RbdSource(site.cluster, held, site.where, size=(image and image.size) or None)
        size = source.image.size()
        try:
            if audit.is_hashing:
                pipeline.run(source, (audit.take,), lambda done: work.observer.progress(done, source.size))
            else:
                audit.inspect(source)
        except SourceBroken as broken:
            return Failure(Unavailable(str(broken)))
        return audit.verdict(source.size).map(
            lambda found: Landing(
                size=size, digest=found.digest, verified=found.verified, inspected_by=found.inspected_by
            )
        )


def _of_fetch(site: _Site, intent: Intent) -> Landing | Kept:
    noted, found = intent.notes, pool_images.identity(site.ioctx, site.where)
    replaced = noted.get("replaced")
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
        pool_images.take_back(site.ioctx, replaced, site.where)
    return Kept()


def _of_move(site: _Site, there: PoolImage, intent: Intent) -> Result[Landing | Kept, Refusal]:
    moving, copied = intent.notes.get("moving"), intent.notes.get("copied")
    arrived = copied or moving
    try:
        with site.cluster.pool(there.pool, there.namespace) as ioctx:
            found = pool_images.identity(ioctx, there)
            pool_images.discard(ioctx, there.part)
    except Absent:
        return Success(Kept())
    if found is None or found != arrived:
        return Success(Kept())
    here = pool_images.identity(site.ioctx, site.where)
    left = pool_images.delete(site.ioctx, site.where) if here is not None and here == moving else Success(None)
    return left.map(lambda _: Landing(identity=found))
