"""Lading's own handlers by the original API."""

import logging
from dataclasses import replace

import pytest
from returns.result import Failure, Success
from tests.unit.nova.legacy_handlers import NOVA, ScriptedHandler
from tests.unit.nova.programs import GOLD, LEAD, NOBLE, NOON, Catalog, ScriptedNativeHandler, fetched, recorded

from lading import (
    Association,
    Digest,
    Fingerprint,
    Image,
    Landing,
    Location,
    StoreUnavailable,
    TargetOccupied,
    Unavailable,
    Unsupported,
    Work,
)
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.nova import ImageHandlers, LegacyHandler, NativeImageHandler, NoImageHandlerAvailable
from lading.domain.handler import Handler
from lading.ports.context import Context


class TestNativeHandlers:
    @pytest.fixture
    def native(self) -> ScriptedNativeHandler:
        return ScriptedNativeHandler(schemes=frozenset({"pool"}))

    @pytest.fixture
    def handlers(
        self, native: ScriptedNativeHandler, catalog: Catalog, associations: MemoryAssociations
    ) -> ImageHandlers:
        handlers = ImageHandlers(catalog, associations, {"native": lambda: native}, ["native"], clock=lambda: NOON)
        handlers.load_image_handlers("driver")
        return handlers

    def test_are_image_handlers_always_the_same(self, handlers: ImageHandlers) -> None:
        (handler,) = handlers.loaded
        assert isinstance(handler, NativeImageHandler)
        assert (handler.driver, handler.get_schemes(), handler.is_local()) == ("driver", ("pool",), True)
        turns = [next(handlers.handle_image(NOVA, "noble"))[0] for _ in range(2)]
        assert turns == [handler, handler]

    def test_get_all_that_they_need(
        self, handlers: ImageHandlers, native: ScriptedNativeHandler, catalog: Catalog
    ) -> None:
        fetched(handlers)
        assert native.works == [Work("/vm", NOBLE, Location(LEAD), Context("ada", "mill", "token"))]

    def test_a_location_independent_handler_declines_without_a_warning(
        self, associations: MemoryAssociations, caplog: pytest.LogCaptureFixture
    ) -> None:
        native = ScriptedNativeHandler(
            "native", *[Failure(Unsupported("reads from the catalog"))] * 3, schemes=frozenset()
        )
        handlers = ImageHandlers(Catalog(NOBLE), associations, {"native": lambda: native}, ["native"])
        handlers.load_image_handlers("driver")
        with pytest.raises(NoImageHandlerAvailable):
            fetched(handlers)
        warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert [record.getMessage() for record in warnings] == [
            "handler native did not handle /vm: reads from the catalog"
        ]

    def test_a_refusal_is_logged_and_not_handled(
        self,
        handlers: ImageHandlers,
        native: ScriptedNativeHandler,
        associations: MemoryAssociations,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        native.answers = [Failure(Unavailable("the gate is shut"))]
        assert len(fetched(handlers)) == 2
        assert "handler native did not handle /vm: the gate is shut" in caplog.text
        assert recorded(associations).location == Location(GOLD, {"store": "gold"})

    def test_the_details_of_a_landing_are_recorded(
        self, handlers: ImageHandlers, native: ScriptedNativeHandler, associations: MemoryAssociations
    ) -> None:
        digest, fingerprint = Digest("sha256", "ab"), Fingerprint(1, 2, 5, 3, 4)
        native.answers = [Success(Landing("native", 5, digest, verified=True, fingerprint=fingerprint))]
        fetched(handlers)
        landed = recorded(associations)
        assert landed == Association(
            "/vm",
            "native",
            replace(NOBLE, locations=()),
            Location(LEAD),
            NOON,
            method="native",
            size=5,
            digest=digest,
            verified=True,
            fingerprint=fingerprint,
        )

        (handler,) = handlers.loaded
        native.answers = [Success(Landing("native", present=True))]
        assert len(fetched(handlers)) == 1
        assert native.works[-1].association == landed
        assert recorded(associations) == landed

        moved = Fingerprint(9, 9, 5, 9, 9)
        native.answers = [Success(Landing(fingerprint=moved))]
        assert handler.move_image(NOVA, "noble", None, "/vm", " /vm2 ")
        assert list(associations.list()) == [replace(landed, target="/vm2", fingerprint=moved)]

        handlers.associate(handler, "/vm3", None, None)
        assert recorded(associations, "/vm3") == Association("/vm3", "native", None, None, NOON)

    def test_a_removal_uses_what_is_recorded_by_default(
        self, handlers: ImageHandlers, native: ScriptedNativeHandler, associations: MemoryAssociations
    ) -> None:
        fetched(handlers)
        (handler,) = handlers.loaded
        assert handler.remove_image(NOVA, None, None, "/vm")
        assert native.works[-1].image == replace(NOBLE, locations=())
        assert native.works[-1].location == Location(LEAD)
        assert list(associations.list()) == []
        assert handler.remove_image(NOVA, "noble", None, "/elsewhere")
        assert native.works[-1].image == Image("noble")

    def test_replace_what_is_there_only_by_force(self, handlers: ImageHandlers, native: ScriptedNativeHandler) -> None:
        (handler,) = handlers.loaded
        handler.fetch_image(NOVA, "noble", None, "/vm")
        handler.fetch_image(NOVA, "noble", None, "/vm", force=True)
        assert [work.force for work in native.works] == [False, True]

    def test_take_away_what_is_in_use_only_when_told(
        self, handlers: ImageHandlers, native: ScriptedNativeHandler
    ) -> None:
        (handler,) = handlers.loaded
        for told in (False, True):
            handler.fetch_image(NOVA, "noble", None, "/vm", force=True, even_if_in_use=told)
            handler.move_image(NOVA, "noble", None, "/vm", "/vm2", even_if_in_use=told)
            handler.remove_image(NOVA, "noble", None, "/vm2", even_if_in_use=told)
        assert [work.even_if_in_use for work in native.works] == [False] * 3 + [True] * 3

    def test_after_any_refusal_the_next_is_tried_as_in_the_original(
        self, handlers: ImageHandlers, native: ScriptedNativeHandler
    ) -> None:
        native.answers = [Failure(TargetOccupied("something is there"))]
        assert len(fetched(handlers)) == 2

    @pytest.mark.parametrize(
        ("image_meta", "path", "location", "reason"),
        [
            (None, None, None, "path: expected a string that is not blank"),
            (None, " ", None, "path: expected a string that is not blank"),
            (None, "/vm", {"uri": GOLD}, "location: expected a dict with a url string"),
            ({"size": "big"}, "/vm", None, "size: expected a whole number of bytes"),
            ("a word", "/vm", None, "image_meta: expected a dict, got str"),
        ],
    )
    def test_refuse_what_makes_no_sense(
        self,
        handlers: ImageHandlers,
        native: ScriptedNativeHandler,
        caplog: pytest.LogCaptureFixture,
        image_meta: dict[str, object] | None,
        path: str,
        location: dict[str, object] | None,
        reason: str,
    ) -> None:
        (handler,) = handlers.loaded
        assert not handler.fetch_image(NOVA, "noble", image_meta, path, location=location)
        assert not handler.move_image(NOVA, "noble", image_meta, path or "/vm", path and "/vm2", location=location)
        assert native.works == []
        assert reason in caplog.text

    def test_refuse_when_the_store_can_not_be_read(
        self, native: ScriptedNativeHandler, caplog: pytest.LogCaptureFixture
    ) -> None:
        handler = NativeImageHandler("driver", native, lambda _: Failure(StoreUnavailable("the ledger is wet")))
        assert not handler.fetch_image(NOVA, "noble", None, "/vm")
        assert "the ledger is wet" in caplog.text

    def test_work_without_the_functions_too(self, native: ScriptedNativeHandler) -> None:
        handler = NativeImageHandler("driver", native, lambda _: Success(None))
        assert handler.fetch_image(NOVA, None, None, "/vm")
        native.schemes = None
        assert handler.get_schemes() is None

    def test_a_wrapped_legacy_handler_is_recorded_too(self, associations: MemoryAssociations) -> None:
        wrapped: Handler = LegacyHandler("legacy", ScriptedHandler("driver"))
        handlers = ImageHandlers(Catalog(NOBLE), associations, {"legacy": lambda: wrapped}, ["legacy"])
        handlers.load_image_handlers("driver")
        fetched(handlers)
        assert recorded(associations).handler == "legacy"
