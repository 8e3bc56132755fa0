"""Volumes as targets: cloned by Cinder, attached to this host, and published by a new name."""

import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final, NamedTuple, TypeVar

from returns.result import Failure, Result, Success

from lading.adapters.destinations.file.destination import Rules
from lading.adapters.handlers.cinder.api import GIBIBYTE, Busy, Cinder, Volume, answering
from lading.adapters.handlers.cinder.attachments import Attachments, Held
from lading.adapters.handlers.cinder.names import DEVICE, HOST, PART, TARGET, is_volume_target, volume_of, volume_target
from lading.adapters.handlers.cinder.source import check
from lading.adapters.handlers.setup import HandlerSetup
from lading.adapters.stream.errors import Refused
from lading.adapters.stream.sources import StreamSource
from lading.domain.handler import Landing, PartialData, Report, State, Work
from lading.domain.refusals import Mismatched, Refusal, TargetFailed, TargetOccupied, Unsupported
from lading.ports.association import Association
from lading.ports.failures import CatalogUnavailable
from lading.ports.image import Image
from lading.ports.journal import Intent, Verb

__all__ = ["Clones"]

_log = logging.getLogger(__name__)
_Done = TypeVar("_Done")
_METHOD: Final = "clone"


class _Plan(NamedTuple):
    """What is cloned, to what size in GiB, and what it replaces."""

    source: Volume
    size: int
    replaces: Sequence[Volume]


class Clones:
    """What the cinder handler does where the target is a volume, `cinder:NAME`.

    Cinder lets several volumes have one name: which is which the notes tell, and the association, by its id.
    """

    def __init__(self, cinder: Cinder, attaching: Attachments, setup: HandlerSetup) -> None:
        self._cinder, self._attaching, self._setup = cinder, attaching, setup

    def fetch(self, work: Work) -> Result[Landing, Refusal]:
        def fetch(name: str) -> Landing:
            found = self._look(work, name)
            if isinstance(found, Landing):
                self._attaching.ensure(self._cinder.known(str(found.identity)))
                return found
            return self._clone(work, name, found)

        return self._if_cloneable(work).bind(lambda name: answering(lambda: fetch(name)))

    def preview(self, work: Work) -> Result[str, Refusal]:
        def preview(name: str) -> str:
            found = self._look(work, name)
            if isinstance(found, Landing):
                return "is there already"
            return f"clones volume {found.source.id} to one of {found.size} GiB, and attaches that"

        return self._if_cloneable(work).bind(lambda name: answering(lambda: preview(name)))

    def remove(self, work: Work) -> Result[None, Refusal]:
        def remove(name: str) -> None:
            self._discard(work.target, name)
            for volume in self._removable(work, name):
                self._attaching.delete(volume)

        return volume_target(work.target).bind(lambda name: answering(lambda: remove(name)))

    def move(self, work: Work, destination: str) -> Result[Landing, Refusal]:
        def move(name: str, new: str) -> Landing:
            volume = self._found(work, name)
            if volume is None:
                raise Refused(TargetFailed(f"{work.target} is gone"))
            if self._cinder.named(new):
                raise Refused(TargetOccupied(f"{destination} exists; nothing is overwritten unasked"))
            _value(self._setup.note(work, {"moving": volume.id}))
            self._cinder.change(volume, name=new, **{TARGET: destination})
            return Landing(identity=volume.id)

        return volume_target(work.target).bind(
            lambda name: volume_target(destination).bind(lambda new: answering(lambda: move(name, new)))
        )

    def recover(self, work: Work) -> Result[Landing | PartialData, Refusal]:
        """A clone is nothing to go on with: it is there, or it is made anew."""
        intent = work.intent
        if intent is None or intent.verb is Verb.REMOVE:
            return Failure(Unsupported("nothing says what was begun"))
        if not intent.notes:
            return Success(PartialData())  # nothing is changed before something is noted

        def recover(name: str) -> Landing | PartialData:
            return self._of_fetch(intent, name) if intent.verb is Verb.FETCH else self._of_move(intent)

        return volume_target(work.target).bind(lambda name: answering(lambda: recover(name)))

    def verify(self, work: Work) -> Result[Landing, Refusal]:
        """Compare its bytes, as many as the image has, with the catalog's digest: cloning has not read them."""
        recorded = work.association
        if recorded is None:
            return Failure(Unsupported("nothing says what was put there"))

        def verify(name: str) -> Landing:
            volume = self._recorded(recorded, name)
            if volume is None:
                raise Refused(Mismatched(f"{work.target} is {self._instead(name)}"))
            landing = self._read(work, recorded, volume, self._attaching.ensure(volume))
            return replace(landing, method=recorded.method, size=volume.size * GIBIBYTE, identity=volume.id)

        return volume_target(work.target).bind(lambda name: answering(lambda: verify(name)))

    def report(self, work: Work) -> Result[Report, Refusal]:
        def report(name: str) -> Report:
            volume = self._recorded(work.association, name)
            if volume is not None:
                return self._described(volume)
            return Report(State.CHANGED if self._cinder.named(name) else State.MISSING, {"volume": self._instead(name)})

        return volume_target(work.target).bind(lambda name: answering(lambda: report(name)))

    def prepare(self, associations: Iterable[Association]) -> None:
        """Attach again what isn't any more. What can't be is a warning: others shall be."""
        wanted = [each for each in associations if is_volume_target(each.target)]
        if not wanted:
            return
        try:
            known = {each.id: each for each in self._cinder.marked(**{HOST: self._attaching.host})}
        except (Refused, CatalogUnavailable) as reason:
            _log.warning("whether volumes are still attached can't be found out: %s", reason)
            return
        for each in wanted:
            volume = known.get(each.identity or "")
            if volume is None:
                _log.warning("%s: its volume %s is gone, or not this host's any more", each.target, each.identity)
            elif self._attaching.attached(volume) is None or not self._attaching.is_connected(volume):
                self._prepare(each, volume)

    def _prepare(self, association: Association, volume: Volume) -> None:
        try:
            held = self._attaching.ensure(volume)
        except (Refused, CatalogUnavailable) as reason:
            _log.warning("%s: volume %s can't be attached again: %s", association.target, volume.id, reason)
        else:
            _log.info("%s: volume %s is attached again, as %s", association.target, volume.id, held.device)

    # What there is

    def _if_cloneable(self, work: Work) -> Result[str, Refusal]:
        """The volume's name, if anything can be cloned to it, as far as can be told without Cinder."""
        if work.location is None:
            return Failure(Unsupported("needs a location"))
        if (why_not := _objection(work, self._setup.files.rules)) is not None:
            return Failure(why_not)
        return volume_of(work.location).bind(lambda _: volume_target(work.target))

    def _look(self, work: Work, name: str) -> Landing | _Plan:
        """What is at the target already, if it is the image; else what is to be done."""
        assert work.location is not None  # noqa: S101 - the caller has seen to it
        there = self._cinder.named(name)
        if there and not work.force:
            return _as_recorded(work, there)
        for each in there:
            is_free = each.status in {"available", "error"} or self._attaching.attached(each) is not None
            if not is_free or self._attaching.elsewhere(each):
                raise Refused(TargetOccupied(f"{work.target} is {each.held}, and can't be replaced"))
        source = check(self._cinder.settled(self._cinder.known(volume_of(work.location).unwrap())))
        promised = work.image.size if work.image else None
        if promised is not None and promised > source.size * GIBIBYTE:
            told = f"volume {source.id} has {source.size} GiB, the catalog promises {promised} bytes"
            raise Refused(Mismatched(told))
        size = promised or source.size * GIBIBYTE  # one that was registered where it lies may have 0
        self._setup.files.rules.check_size(size)
        return _Plan(source, max(source.size, -(-(work.size or 0) // GIBIBYTE)), there)

    def _recorded(self, recorded: Association | None, name: str) -> Volume | None:
        """The very volume that was put there; None when it is gone, or bears another name."""
        volume = self._cinder.volume(recorded.identity) if recorded and recorded.identity else None
        return volume if volume is not None and volume.name == name else None

    def _instead(self, name: str) -> str:
        """What is there where the volume isn't that was put there."""
        there = self._cinder.named(name)
        return f"another volume than the one that was fetched: {there[0].id}" if there else "gone"

    def _found(self, work: Work, name: str) -> Volume | None:
        """What was put there; None when nothing is. Raises Fault when something else is."""
        if (volume := self._recorded(work.association, name)) is not None:
            return volume
        if self._cinder.named(name):
            raise Refused(TargetOccupied(f"{work.target} is {self._instead(name)}"))
        return None

    def _removable(self, work: Work, name: str) -> list[Volume]:
        """What is to be removed. Raises Fault when something else is there."""
        if work.force:
            return self._cinder.named(name)
        if work.association is None:
            # It was fetched just now, and couldn't be recorded.
            return [each for each in self._cinder.named(name) if self._is_ours(each, work.target)]
        volume = self._found(work, name)
        return [volume] if volume else []

    def _is_ours(self, volume: Volume, target: str) -> bool:
        marks = volume.metadata
        return marks.get(TARGET) == target and marks.get(HOST) == self._attaching.host

    def _described(self, volume: Volume) -> Report:
        attachment = self._attaching.attached(volume)
        if attachment is None:
            attached = "no; lading attaches it again at its next start"
        elif not self._attaching.is_connected(volume):
            attached = "no, the host was restarted; lading connects it again at its next start"
        else:
            attached = self._attaching.host
        others = " and ".join(map(str, self._attaching.elsewhere(volume)))
        details = {
            "volume": volume.id,
            "status": volume.status,
            "bytes": str(volume.size * GIBIBYTE),
            "attached": attached,
            **({"device": volume.metadata[DEVICE]} if not attached.startswith("no") else {}),
            **({"also attached to": others} if others else {}),
        }
        return Report(State.DETACHED if attached.startswith("no") else State.INTACT, details)

    # What is done

    def _clone(self, work: Work, name: str, plan: _Plan) -> Landing:
        part = name + PART
        _value(self._setup.note(work, {"part": part}))
        self._discard(work.target, name)
        try:
            volume, held = self._made(work, part, plan)
            inspected_by = self._inspected(work, volume, held)
            landing = Landing(_METHOD, volume.size * GIBIBYTE, identity=volume.id, inspected_by=inspected_by)
            self._publish(work, name, landing, plan.replaces)
        except BaseException:
            with suppress(Refused, CatalogUnavailable):
                self._discard(work.target, name)
            raise
        return landing

    def _made(self, work: Work, part: str, plan: _Plan) -> tuple[Volume, Held]:
        """The clone, attached."""
        marks = {TARGET: work.target, HOST: self._attaching.host}
        volume = self._cinder.settled(self._cinder.clone(plan.source, part, plan.size, marks))
        if volume.status != "available":
            told = f"{work.target} can't be made: the clone of volume {plan.source.id} is {volume.status}"
            raise Refused(TargetFailed(told))
        try:
            return volume, self._attaching.attach(volume)
        except Busy:
            raise Refused(TargetFailed(f"volume {volume.id} can't be attached: it is {volume.held}")) from None

    def _inspected(self, work: Work, volume: Volume, held: Held) -> str | None:
        """What found the format safe: only the beginning is read."""
        size = volume.size * GIBIBYTE
        image = work.image and replace(work.image, size=None)
        with self._attaching.looking(held) as device:
            return _value(self._setup.inspect(image, StreamSource(device.open(0, size), size)))

    def _publish(self, work: Work, name: str, landing: Landing, replaces: Sequence[Volume]) -> None:
        volume = self._cinder.known(str(landing.identity))
        replaced = [each.id for each in replaces]
        notes = {
            "part": name + PART,
            "clone": landing.identity,
            "size": landing.size,
            "inspected_by": landing.inspected_by,
            "replaced": replaced,
        }
        _value(self._setup.note(work, notes))
        if not replaced and self._cinder.named(name):
            raise Refused(TargetOccupied(f"{work.target} exists; nothing is overwritten unasked"))
        self._cinder.change(volume, name=name)
        for each in replaces:
            self._attaching.delete(each)

    def _discard(self, target: str, name: str) -> None:
        """Delete what was not finished; that there is nothing is no error."""
        for each in self._cinder.named(name + PART):
            if self._is_ours(each, target):
                self._attaching.delete(each)

    def _read(self, work: Work, recorded: Association, volume: Volume, held: Held) -> Landing:
        image, capacity = recorded.image, volume.size * GIBIBYTE
        size = min((image and image.size) or capacity, capacity)
        image = image and replace(image, size=image.size or None)  # one that was registered where it lies may have 0
        with self._attaching.looking(held) as device:
            return _value(self._setup.audit(image, StreamSource(device.open(0, size), size), work.observer))

    def _of_fetch(self, intent: Intent, name: str) -> Landing | PartialData:
        noted = intent.notes
        identity, size, by, replaced = (noted.get(key) for key in ("clone", "size", "inspected_by", "replaced"))
        volume = self._cinder.volume(identity) if isinstance(identity, str) else None
        self._discard(intent.target, name)
        if volume is None or volume.name != name:
            return PartialData()
        for each in replaced if isinstance(replaced, list) else ():
            if (old := self._cinder.volume(str(each))) is not None:
                self._attaching.delete(old)
        return Landing(
            _METHOD,
            size if isinstance(size, int) else None,
            identity=volume.id,
            inspected_by=by if isinstance(by, str) else None,
        )

    def _of_move(self, intent: Intent) -> Landing | PartialData:
        moving = intent.notes.get("moving")
        volume = self._cinder.volume(moving) if isinstance(moving, str) else None
        new = volume_target(intent.destination or "").value_or(None)
        return Landing(identity=volume.id) if volume is not None and volume.name == new else PartialData()


def _objection(work: Work, rules: Rules) -> Refusal | None:
    """Why nothing is cloned, as far as can be told without Cinder."""
    image = work.image
    if image is None:
        return Unsupported("the request names no image")
    if (why_not := _shape(image)) is not None:
        return why_not
    if work.size is not None and image.size is not None and work.size < image.size:
        return Unsupported(f"the image has {image.size} bytes, more than the {work.size} that are wished for")
    if not rules.allow_unverified:
        return Unsupported("a clone's bytes are not read, so not verified, and landing.allow_unverified is false")
    return None


def _shape(image: Image) -> Refusal | None:
    if image.disk_format == "raw" and image.container_format in {None, "bare"}:
        return None
    shape = f"{image.disk_format or 'unknown'} in {image.container_format or 'bare'}"
    return Unsupported(f"the image is {shape}, and a clone would be no disk: only raw ones are cloned")


def _as_recorded(work: Work, there: Sequence[Volume]) -> Landing:
    """That the image is there already. Raises Fault when something else is."""
    recorded = work.association
    if recorded is None:
        raise Refused(TargetOccupied(f"{work.target} exists and is not lading's; only force replaces it"))
    volume = next((each for each in there if each.id == recorded.identity), None)
    if volume is None:
        told = f"{work.target} is another volume than the one that was fetched; only force replaces it"
        raise Refused(TargetOccupied(told))
    if not recorded.is_for(work.image):
        held = recorded.image.id if recorded.image else "another image"
        raise Refused(TargetOccupied(f"{work.target} holds {held}; remove it first, or force"))
    size = volume.size * GIBIBYTE
    if work.size is not None and work.size > size:
        raise Refused(TargetOccupied(f"{work.target} is there, with {size} bytes; remove it first, or force"))
    return Landing.already(recorded)


def _value(outcome: Result[_Done, Refusal]) -> _Done:
    """What came of it; a fault when it is a refusal."""
    if isinstance(outcome, Failure):
        raise Refused(outcome.failure())
    return outcome.unwrap()
