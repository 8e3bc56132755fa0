"""Original API: `handle_image` offers handlers in the order that is a law."""

import inspect
from dataclasses import replace

import pytest
from tests.unit.nova.legacy_handlers import NOVA, ScriptedHandler, ScriptedPoolHandler, never, only_from
from tests.unit.nova.programs import GOLD, LEAD, META, NOBLE, NOON, Catalog, Install, fetched, loaded_handlers, recorded

from lading import Association, Image, ImageNotFound, Location, NoHandlerAvailable
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.nova import ImageHandlers, NoImageHandlerAvailable
from lading.ports.context import Context


class TestHandleImage:
    @pytest.fixture(autouse=True)
    def _loaded(self, install: Install, handlers: ImageHandlers) -> None:
        install(pool=ScriptedPoolHandler, legacy=ScriptedHandler)
        handlers.load_image_handlers("driver", ["pool", "legacy"])
        self.pool, self.legacy = loaded_handlers(handlers)

    def test_is_a_generator_that_does_nothing_before_it_is_asked(
        self, handlers: ImageHandlers, catalog: Catalog
    ) -> None:
        assert inspect.isgenerator(handlers.handle_image(NOVA, "noble", target_path="/vm"))
        assert catalog.asked == []

    def test_goes_on_to_the_second_location_and_records_it(
        self, handlers: ImageHandlers, associations: MemoryAssociations
    ) -> None:
        self.pool.does = only_from(GOLD)
        turns = fetched(handlers)
        assert [(handler, location) for handler, location, _ in turns] == [
            (self.pool, {"url": LEAD, "metadata": {}}),
            (self.pool, {"url": GOLD, "metadata": {"store": "gold"}}),
        ]
        assert recorded(associations) == Association(
            "/vm", "pool", replace(NOBLE, locations=()), Location(GOLD, {"store": "gold"}), NOON
        )

    def test_hands_out_the_images_metadata_as_a_plain_dict(self, handlers: ImageHandlers) -> None:
        ((_, _, image_meta),) = fetched(handlers)
        locations = [{"url": LEAD, "metadata": {}}, {"url": GOLD, "metadata": {"store": "gold"}}]
        assert image_meta == {**META, "locations": locations}
        ((_, _, image_meta),) = fetched(handlers)
        assert image_meta == META

    def test_ends_with_the_location_independent_handlers(self, handlers: ImageHandlers) -> None:
        self.pool.does = self.legacy.does = never
        with pytest.raises(NoImageHandlerAvailable):
            fetched(handlers)
        places = [{"url": LEAD, "metadata": {}}, {"url": GOLD, "metadata": {"store": "gold"}}]
        assert [asked.arguments[-1] for asked in self.pool.asked] == places
        assert [asked.arguments[-1] for asked in self.legacy.asked] == [*places, None]

    def test_an_associated_handler_goes_first_and_the_catalog_is_not_asked(
        self, handlers: ImageHandlers, catalog: Catalog
    ) -> None:
        self.pool.does = only_from(GOLD)
        fetched(handlers)
        catalog.asked.clear()
        ((handler, location, _),) = fetched(handlers, " /vm ")
        assert (handler, location) == (self.pool, {"url": GOLD, "metadata": {"store": "gold"}})
        assert catalog.asked == []

    def test_once_an_association_is_discarded_the_catalog_is_asked_again(
        self, handlers: ImageHandlers, catalog: Catalog, associations: MemoryAssociations
    ) -> None:
        fetched(handlers)
        catalog.asked.clear()
        associations.remove("/vm")
        fetched(handlers)
        assert catalog.asked == [("noble", Context("ada", "mill", "token"))]

    def test_an_associated_handler_that_fails_gives_way_to_the_search(
        self, handlers: ImageHandlers, associations: MemoryAssociations
    ) -> None:
        fetched(handlers)
        self.pool.does = never
        assert [handler for handler, *_ in fetched(handlers)] == [self.pool] * 3 + [self.legacy]
        assert recorded(associations).handler == "legacy"

    def test_the_arguments_say_who_asks_before_the_context_does(
        self, handlers: ImageHandlers, catalog: Catalog
    ) -> None:
        next(handlers.handle_image(NOVA, "noble", user_id="bob"))
        next(handlers.handle_image(object(), "noble"))
        next(handlers.handle_image(Context("eve", token="t"), "noble", project_id="farm"))
        askers = [asker for _, asker in catalog.asked]
        assert askers == [Context("bob", "mill", "token"), Context(), Context("eve", "farm", "t")]

    def test_a_catalog_gets_the_callers_own_context(self, handlers: ImageHandlers, catalog: Catalog) -> None:
        next(handlers.handle_image(NOVA, "noble"))
        next(handlers.handle_image(Context("eve", caller="eve's"), "noble"))
        assert [asker.caller for _, asker in catalog.asked] == [NOVA, "eve's"]

    @pytest.mark.parametrize(("context", "image_id"), [(None, "noble"), (NOVA, None), (NOVA, " "), (None, None)])
    def test_the_catalog_is_asked_only_with_a_context_and_an_image(
        self, handlers: ImageHandlers, catalog: Catalog, context: object, image_id: str | None
    ) -> None:
        turns = handlers.handle_image(context, image_id, target_path="/vm")
        assert next(turns) == (self.legacy, None, None)
        assert catalog.asked == []

    def test_an_association_of_another_image_is_not_offered(self, handlers: ImageHandlers) -> None:
        fetched(handlers)
        assert next(handlers.handle_image(None, "noble", target_path="/vm"))[0] is self.pool
        assert next(handlers.handle_image(None, "mantic", target_path="/vm"))[0] is self.legacy
        assert next(handlers.handle_image(None, None, target_path="/vm"))[0] is self.pool

    @pytest.mark.parametrize("path", [None, "", "  "])
    def test_a_blank_path_is_neither_looked_up_nor_recorded(
        self, handlers: ImageHandlers, associations: MemoryAssociations, path: str
    ) -> None:
        fetched(handlers, path)
        assert list(associations.list()) == []

    def test_when_none_handles_it_says_which_image_and_what_was_tried(self, handlers: ImageHandlers) -> None:
        self.pool.does = self.legacy.does = never
        with pytest.raises(NoImageHandlerAvailable, match="no handler took image noble for /vm: pool") as caught:
            fetched(handlers)
        assert caught.value.image_id == "noble"
        assert len(caught.value.attempts) == 5
        assert isinstance(caught.value, NoHandlerAvailable)

    def test_a_caller_which_does_nothing_has_handled_nothing(self, handlers: ImageHandlers) -> None:
        self.pool.fetch_image(NOVA, "noble", META, "/elsewhere")
        assert len(list(zip(range(3), handlers.handle_image(NOVA, "noble"), strict=False))) == 3

    def test_interleaved_loops_keep_their_outcomes(self, handlers: ImageHandlers) -> None:
        first = handlers.handle_image(NOVA, "noble", target_path="/vm")
        second = handlers.handle_image(NOVA, "noble", target_path="/vm2")
        handler, location, _ = next(first)
        handler.fetch_image(NOVA, "noble", META, "/vm", location=location)
        assert next(second)[0] is handler
        assert list(first) == []
        handler.fetch_image(NOVA, "noble", META, "/vm2", location=location)
        assert list(second) == []

    @pytest.mark.parametrize("targets", [("/vm", "/vm2"), (None, None)])
    def test_a_loop_in_a_loops_body_keeps_its_outcome(
        self, handlers: ImageHandlers, catalog: Catalog, targets: tuple[str | None, str | None]
    ) -> None:
        catalog.add(replace(NOBLE, id="jammy")).unwrap()
        outer = handlers.handle_image(NOVA, "noble", target_path=targets[0])
        handler, location, _ = next(outer)
        for inner, place, _ in handlers.handle_image(NOVA, "jammy", target_path=targets[1]):
            handler.fetch_image(NOVA, "noble", META, "/vm", location=location)
            inner.fetch_image(NOVA, "jammy", {"id": "jammy"}, "/vm2", location=place)
        assert [asked.arguments[1] for asked in self.pool.asked] == ["noble", "jammy"]
        assert list(outer) == []

    def test_a_failure_in_an_inner_loop_keeps_the_outer_success(self, handlers: ImageHandlers) -> None:
        outer = handlers.handle_image(NOVA, "noble", target_path="/vm")
        handler, location, _ = next(outer)
        handler.fetch_image(NOVA, "noble", META, "/vm", location=location)
        self.pool.does = never
        inner = handlers.handle_image(NOVA, "noble", target_path="/vm2")
        next(inner)[0].fetch_image(NOVA, "noble", META, "/vm2")
        assert list(outer) == []

    def test_the_callers_question_does_not_change_the_outcome(self, handlers: ImageHandlers) -> None:
        turns = handlers.handle_image(NOVA, "noble", target_path="/vm")
        handler, location, _ = next(turns)
        handler.fetch_image(NOVA, "noble", META, "/vm", location=location)
        assert handler.last_ops_handled()
        assert list(turns) == []

    def test_a_handler_that_sets_the_outcome_itself_is_heard(self, handlers: ImageHandlers) -> None:
        turns = handlers.handle_image(NOVA, "noble", target_path="/vm")
        next(turns)
        self.pool._set_handled(handled=True)  # noqa: SLF001 - as subclasses that override a public method do
        assert list(turns) == []

    def test_a_caller_who_leaves_after_success_has_it_recorded(
        self, handlers: ImageHandlers, associations: MemoryAssociations
    ) -> None:
        for handler, location, image_meta in handlers.handle_image(NOVA, "noble", target_path="/vm"):
            if handler.fetch_image(NOVA, "noble", image_meta, "/vm", location=location):
                break
        assert recorded(associations).handler == "pool"

    def test_an_image_that_the_catalog_lacks_is_not_found(self, handlers: ImageHandlers) -> None:
        with pytest.raises(ImageNotFound):
            fetched(handlers, image_id="mantic")

    def test_a_removal_disassociates_and_is_not_associated_anew(
        self, handlers: ImageHandlers, associations: MemoryAssociations
    ) -> None:
        fetched(handlers)
        for handler, location, image_meta in handlers.handle_image(target_path="/vm"):
            assert handler.remove_image(NOVA, "noble", image_meta, "/vm", location=location)
        assert [asked.verb for asked in self.pool.asked] == ["fetch", "remove"]
        assert list(associations.list()) == []

    def test_a_move_takes_the_association_with_it(
        self, handlers: ImageHandlers, associations: MemoryAssociations
    ) -> None:
        fetched(handlers)
        for handler, location, image_meta in handlers.handle_image(target_path="/vm"):
            assert handler.move_image(NOVA, "noble", image_meta, "/vm", "/vm2", location=location)
        assert list(associations.list()) == [
            Association("/vm2", "pool", replace(NOBLE, locations=()), Location(LEAD), NOON)
        ]

    def test_after_a_restart_it_goes_back_to_the_same_handler(
        self, handlers: ImageHandlers, associations: MemoryAssociations
    ) -> None:
        self.pool.does = never
        self.legacy.does = only_from(GOLD)
        fetched(handlers)
        restarted = ImageHandlers(Catalog(), associations)
        restarted.load_image_handlers("driver", ["pool", "legacy"])
        ((handler, location, image_meta),) = fetched(restarted)
        assert handler is restarted.loaded[1]
        assert (location, image_meta) == ({"url": GOLD, "metadata": {"store": "gold"}}, META)

    def test_credentials_are_never_recorded_and_asked_for_again(self, associations: MemoryAssociations) -> None:
        secret = "pool://ada:secret@gold/noble"  # noqa: S105 - a test's
        catalog = Catalog(Image("noble", locations=[Location(secret)], properties={"direct_url": secret}))
        handlers = ImageHandlers(catalog, associations)
        handlers.load_image_handlers("driver", ["pool"])
        fetched(handlers)
        assert "secret" not in repr(recorded(associations)) + str(recorded(associations).image)
        assert recorded(associations).location == Location("pool://***@gold/noble")
        ((_, location, _),) = fetched(handlers)
        assert location == {"url": secret, "metadata": {}}

    def test_no_handlers_at_all_handle_nothing_and_ask_nobody(self, catalog: Catalog) -> None:
        with pytest.raises(NoImageHandlerAvailable) as caught:
            fetched(ImageHandlers(catalog, MemoryAssociations()))
        assert (caught.value.image_id, catalog.asked) == ("noble", [])
