"""The contract of Handler as tests: a subclass defines a handler, and the place of its targets."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Protocol

import pytest
from returns.result import Failure, Success

from lading.domain.cost import cost_of
from lading.domain.handler import Handler, SupportsPreview, Work
from lading.domain.refusals import Scope, TargetOccupied
from lading.ports.association import Association
from lading.ports.image import Digest, Image

__all__ = ["DATA", "IMAGE", "HandlerContract", "HandlerRig", "Place"]

DATA: Final = os.urandom(100_000)
IMAGE: Final = Image(
    "155d900f-4e14-4e4c-a73d-069cbf4541e6",
    size=len(DATA),
    disk_format="raw",
    digest=Digest("sha256", hashlib.sha256(DATA).hexdigest()),
)
"""The image that the contract's tests fetch: DATA."""
NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)


class Place(Protocol):
    """The place of targets: a folder or a pool, for example."""

    def target(self, name: str) -> str:
        """The target of that name."""
        ...

    def content(self, name: str) -> bytes | None:
        """The first bytes at the target, as many as DATA has; None when nothing is there."""
        ...

    def occupy(self, name: str, data: bytes) -> None:
        """Puts data there that is not lading's."""
        ...

    def clear(self, name: str) -> None:
        """Removes what is there."""
        ...

    def names(self) -> list[str]:
        """The sorted names of everything in the place, temporary objects too."""
        ...


@dataclass
class HandlerRig:
    """A handler, and work that it can do: `work` fetches IMAGE to the target `1` of the place, which is free."""

    handler: Handler
    work: Work
    place: Place
    lose_source: Callable[[], None]
    """Removes the image's source."""
    verifies: bool = True
    """True when the handler compares the bytes with the digest."""
    size: int = len(DATA)
    """Bytes of the fetched target."""
    is_fixed: bool = False
    """True for targets that cannot be removed or moved, as block devices: their bytes stay."""


class HandlerContract:
    """The contract of every handler."""

    @pytest.fixture
    def rig(self) -> HandlerRig:
        """A new handler and its work for each test."""
        raise NotImplementedError

    def test_it_fetches_the_image_to_the_target(self, rig: HandlerRig) -> None:
        landing = rig.handler.fetch(rig.work).unwrap()
        assert rig.place.content("1") == DATA
        assert (landing.size, landing.verified) == (rig.size, rig.verifies)
        assert rig.place.names() == ["1"]

    def test_after_a_refusal_nothing_is_left_behind(self, rig: HandlerRig) -> None:
        rig.lose_source()
        assert isinstance(rig.handler.fetch(rig.work), Failure)
        assert rig.place.names() == []

    def test_a_source_that_is_gone_is_a_refusal_of_the_location(self, rig: HandlerRig) -> None:
        rig.lose_source()
        assert rig.handler.fetch(rig.work).failure().scope is Scope.LOCATION

    def test_what_is_at_the_target_stays_unless_forced(self, rig: HandlerRig) -> None:
        rig.place.occupy("1", b"precious")
        assert isinstance(rig.handler.fetch(rig.work).failure(), TargetOccupied)
        assert rig.place.content("1") == b"precious"
        assert isinstance(rig.handler.fetch(replace(rig.work, force=True)), Success)
        assert rig.place.content("1") == DATA
        assert rig.place.names() == ["1"]

    def test_it_removes_what_it_fetched_and_what_is_gone_is_a_success(self, rig: HandlerRig) -> None:
        recorded = fetched(rig)
        assert rig.handler.remove(recorded) == Success(None)
        assert rig.place.names() == ["1"] * rig.is_fixed
        assert rig.handler.remove(recorded) == Success(None)

    def test_a_removal_with_wipe_leaves_no_signature(self, rig: HandlerRig) -> None:
        assert rig.handler.remove(replace(fetched(rig), wipe=True)) == Success(None)
        assert rig.place.names() == []

    def test_it_moves_what_it_fetched(self, rig: HandlerRig) -> None:
        recorded = fetched(rig)
        if rig.is_fixed:
            assert rig.handler.move(recorded, rig.place.target("2")).failure().scope is Scope.LOCATION
            assert rig.place.names() == ["1"]
            return
        assert isinstance(rig.handler.move(recorded, rig.place.target("2")), Success)
        assert rig.place.names() == ["2"]
        assert rig.place.content("2") == DATA

    def test_it_moves_nothing_onto_something_else(self, rig: HandlerRig) -> None:
        recorded = fetched(rig)
        rig.place.occupy("taken", b"precious")
        assert isinstance(rig.handler.move(recorded, rig.place.target("taken")), Failure)
        assert rig.place.content("taken") == b"precious"
        assert rig.place.content("1") == DATA

    def test_a_preview_says_how_a_fetch_ends(self, rig: HandlerRig) -> None:
        assert isinstance(rig.handler, SupportsPreview)
        assert isinstance(rig.handler.preview(rig.work), Success)
        assert rig.place.names() == []
        rig.place.occupy("1", b"precious")
        assert rig.handler.preview(rig.work).failure() == rig.handler.fetch(rig.work).failure()
        rig.place.clear("1")
        rig.lose_source()
        assert rig.handler.preview(rig.work).failure() == rig.handler.fetch(rig.work).failure()

    def test_a_preview_says_that_the_image_is_there_already(self, rig: HandlerRig) -> None:
        assert isinstance(rig.handler, SupportsPreview)
        assert rig.handler.preview(fetched(rig)) == Success("is there already")

    def test_fetching_again_what_is_there_moves_nothing(self, rig: HandlerRig) -> None:
        assert rig.handler.fetch(fetched(rig)).unwrap().present

    def test_it_has_a_cost(self, rig: HandlerRig) -> None:
        assert cost_of(rig.handler, rig.work.target) is not None

    def test_a_work_that_names_no_target_is_refused(self, rig: HandlerRig) -> None:
        assert isinstance(rig.handler.fetch(replace(rig.work, target="")), Failure)


def fetched(rig: HandlerRig) -> Work:
    """Does the work, and returns it with its association."""
    landing = rig.handler.fetch(rig.work).unwrap()
    blank = Association(rig.work.target, rig.handler.name, rig.work.image, rig.work.location, NOW)
    return replace(rig.work, association=landing.recorded_in(blank))
