"""The five functions of the original API."""

import inspect
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from returns.result import Failure, Result, Success
from tests.legacy_handlers import NOVA, FilePorter, PoolPorter, Porter, fetching, never, only_from

from lading import (
    Association,
    Digest,
    Fingerprint,
    Image,
    ImageNotFound,
    Landing,
    Location,
    NoHandlerAvailable,
    Refusal,
    StoreUnavailable,
    TargetOccupied,
    Unavailable,
    Unsupported,
    Work,
)
from lading.adapters import nova
from lading.adapters.catalogs.file import FileCatalog
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.nova import ImageHandlers, LegacyHandler, NativeImageHandler, NoImageHandlerAvailable
from lading.adapters.nova.handlers import Turn
from lading.domain.handler import Handler
from lading.ports.context import Context
from lading.ports.failures import CatalogFailure

GOLD, LEAD = "pool://gold/noble", "pool://lead/noble"
NOBLE = Image("noble", name="Noble Numbat", size=5, locations=[Location(LEAD), Location(GOLD, {"store": "gold"})])
META: dict[str, object] = {
    **dict.fromkeys(("disk_format", "container_format", "checksum", "os_hash_algo", "os_hash_value", "owner")),
    **dict.fromkeys(("is_public", "min_disk", "min_ram", "created_at", "updated_at", "deleted", "deleted_at")),
    "id": "noble", "name": "Noble Numbat", "size": 5, "status": "active", "properties": {},
}  # fmt: skip
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

Install = Callable[..., None]


class Catalog(MemoryCatalog):
    """Writes down who asked for what."""

    def __init__(self, *images: Image) -> None:
        super().__init__(images)
        self.asked: list[tuple[str, Context]] = []

    def find(self, reference: str, context: Context) -> Result[Image, CatalogFailure]:
        self.asked.append((reference, context))
        return super().find(reference, context)


class Cart:
    """One of lading's own handlers: answers the next thing on its list, and then that it is done."""

    is_local = True

    def __init__(self, name: str = "cart", *answers: Result[Landing, Refusal], schemes: frozenset[str] | None) -> None:
        self.name = name
        self.schemes = schemes
        self.answers = list(answers)
        self.works: list[Work] = []

    def fetch(self, work: Work) -> Result[Landing, Refusal]:
        self.works.append(work)
        return self.answers.pop(0) if self.answers else Success(Landing("cart"))

    def remove(self, work: Work) -> Result[None, Refusal]:
        return self.fetch(work).map(lambda _: None)

    def move(self, work: Work, destination: str) -> Result[Landing, Refusal]:
        return self.fetch(work)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a distribution that names handlers of the original API."""

    def install(**factories: Callable[..., object]) -> None:
        module = ModuleType("some_porters")
        vars(module).update(factories)
        monkeypatch.setitem(sys.modules, "some_porters", module)
        metadata = tmp_path / "site" / "some_porters-1.dist-info"
        metadata.mkdir(parents=True)
        metadata.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: some-porters\nVersion: 1\n")
        lines = [f"{name} = some_porters:{name}" for name in factories]
        metadata.joinpath("entry_points.txt").write_text("\n".join(["[nova.virt.image.handlers]", *lines]))
        monkeypatch.syspath_prepend(str(metadata.parent))

    return install


@pytest.fixture
def catalog() -> Catalog:
    return Catalog(NOBLE)


@pytest.fixture
def associations() -> MemoryAssociations:
    return MemoryAssociations()


@pytest.fixture
def handlers(catalog: Catalog, associations: MemoryAssociations) -> ImageHandlers:
    return ImageHandlers(catalog, associations, clock=lambda: NOON)


def porters(handlers: ImageHandlers) -> list[Porter]:
    loaded = [handler for handler in handlers.loaded if isinstance(handler, Porter)]
    assert len(loaded) == len(handlers.loaded)
    return loaded


def fetched(handlers: ImageHandlers, path: str = "/vm", image_id: str = "noble") -> list[Turn]:
    return list(fetching(handlers.handle_image(NOVA, image_id, target_path=path), image_id, path))


def recorded(associations: MemoryAssociations, path: str = "/vm") -> Association:
    association = associations.get(path).unwrap()
    assert association is not None
    return association


class TestMatchLocations:
    LEAD_AND_GOLD = ({"url": "lead://a", "metadata": {}}, {"url": "gold://b", "metadata": {}})

    @pytest.mark.parametrize(("locations", "schemes"), [([], ()), (None, ()), ([], None), (None, ("gold",))])
    def test_no_locations_match_nothing(self, locations: list[dict[str, object]] | None, schemes: None) -> None:
        assert nova.match_locations(locations, schemes) == []

    def test_no_answer_about_schemes_matches_nothing(self) -> None:
        assert nova.match_locations(self.LEAD_AND_GOLD, None) == []

    def test_a_scheme_matches_its_locations(self) -> None:
        matched = nova.match_locations(self.LEAD_AND_GOLD, ("gold", "iron"))
        assert matched == [{"url": "gold://b", "metadata": {}}]
        assert matched[0] is self.LEAD_AND_GOLD[1]
        assert nova.match_locations(self.LEAD_AND_GOLD, ["iron"]) == []

    def test_a_bare_string_is_one_scheme(self) -> None:
        assert nova.match_locations(self.LEAD_AND_GOLD, "gold") == [self.LEAD_AND_GOLD[1]]
        assert nova.match_locations(self.LEAD_AND_GOLD, "gold+lead") == []

    def test_location_independent_matches_all_in_their_order(self) -> None:
        assert nova.match_locations(list(self.LEAD_AND_GOLD), ()) == list(self.LEAD_AND_GOLD)
        assert nova.match_locations(self.LEAD_AND_GOLD, "") == list(self.LEAD_AND_GOLD)


class TestLoadImageHandlers:
    def test_builds_handlers_with_the_driver_and_the_hooks(self, install: Install, handlers: ImageHandlers) -> None:
        built: list[dict[str, object]] = []

        def porter(**kwargs: object) -> Porter:
            built.append(kwargs)
            return Porter(**kwargs)

        install(porter=porter)
        handlers.load_image_handlers("driver", ["porter"])
        assert [*built[0]] == ["driver", "associate_fn", "disassociate_fn"]
        assert built[0]["driver"] == "driver"

    def test_skips_unknown_names_with_a_warning(
        self, install: Install, handlers: ImageHandlers, caplog: pytest.LogCaptureFixture
    ) -> None:
        install(porter=Porter)
        handlers.load_image_handlers("driver", ["nobody", "porter", "no one"])
        assert len(porters(handlers)) == 1
        assert "nobody" in caplog.text
        assert "no one" in caplog.text

    def test_strips_names_skips_blanks_and_duplicates_and_keeps_the_order(
        self, install: Install, handlers: ImageHandlers
    ) -> None:
        install(one=Porter, two=PoolPorter, three=FilePorter)
        handlers.load_image_handlers("driver", ["none", "one  ", "", "  three", " ", "none", "  two  ", "three"])
        assert [type(porter) for porter in porters(handlers)] == [Porter, FilePorter, PoolPorter]

    @pytest.mark.parametrize("fault", ["constructor", "get_schemes"])
    def test_skips_a_handler_that_fails_and_loads_the_others(
        self, install: Install, handlers: ImageHandlers, caplog: pytest.LogCaptureFixture, fault: str
    ) -> None:
        class Broken(Porter):
            def __init__(self, driver: object, **kwargs: object) -> None:
                super().__init__(driver, **kwargs)
                if fault == "constructor":
                    raise RuntimeError("broken")

            def get_schemes(self) -> tuple[str, ...]:
                raise RuntimeError("broken")

        install(broken=Broken, porter=Porter)
        handlers.load_image_handlers("driver", ["broken", "porter", "broken", "porter"])
        assert [type(porter) for porter in porters(handlers)] == [Porter]
        assert (
            "handler broken is skipped: could not be built: raised RuntimeError; the debug log has more" in caplog.text
        )

    def test_loads_the_given_order_when_no_names_are(self, install: Install) -> None:
        install(one=Porter, two=PoolPorter)
        handlers = ImageHandlers(Catalog(), MemoryAssociations(), order=("two", "one"))
        handlers.load_image_handlers("driver")
        assert [type(porter) for porter in porters(handlers)] == [PoolPorter, Porter]
        handlers.load_image_handlers("driver", [])
        assert handlers.loaded == ()

    def test_none_among_the_names_is_a_blank(self, install: Install, handlers: ImageHandlers) -> None:
        install(porter=Porter)
        handlers.load_image_handlers("driver", [None, "porter"])  # type: ignore[list-item]  # what configurations have
        assert [type(porter) for porter in porters(handlers)] == [Porter]

    def test_of_two_distributions_with_one_name_the_first_is_taken_with_a_warning(
        self, install: Install, handlers: ImageHandlers, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        install(porter=Porter)
        other = tmp_path / "site" / "other_porters-1.dist-info"
        other.mkdir()
        other.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: other-porters\nVersion: 1\n")
        other.joinpath("entry_points.txt").write_text("[nova.virt.image.handlers]\nporter = elsewhere:porter\n")
        handlers.load_image_handlers("driver", ["porter"])
        assert "has the name 'porter' in nova.virt.image.handlers" in caplog.text

    def test_installed_handlers_are_loaded_for_a_program_with_a_catalog_of_its_own(
        self, associations: MemoryAssociations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LADING_CONFIG", str(tmp_path / "lading.toml"))
        tmp_path.joinpath("lading.toml").write_text("[landing]\nmode = '0640'\n")
        data = tmp_path / "data"
        data.write_text("noble")
        catalog = FileCatalog(tmp_path / "catalog")
        catalog.add(NOBLE, str(data)).unwrap()
        target = tmp_path / "vm"
        handlers = ImageHandlers(catalog, associations, order=["download"])
        handlers.load_image_handlers("driver")
        assert [type(handler) for handler in handlers.loaded] == [NativeImageHandler]
        fetched(handlers, str(target))
        assert (target.read_text(), target.stat().st_mode & 0o777) == ("noble", 0o640)
        assert recorded(associations, str(target)).handler == "download"

    def test_loading_again_replaces_the_handlers_and_forgets_no_association(
        self, install: Install, handlers: ImageHandlers, associations: MemoryAssociations
    ) -> None:
        install(porter=Porter)
        handlers.load_image_handlers("driver", ["porter"])
        fetched(handlers)
        (before,) = handlers.loaded
        handlers.load_image_handlers("driver", ["porter"])
        (after,) = handlers.loaded
        assert after is not before
        assert recorded(associations).handler == "porter"
        assert [turn[0] for turn in fetched(handlers)] == [after]

    def test_a_handler_may_associate_what_it_finds_while_it_is_built(
        self, install: Install, handlers: ImageHandlers, associations: MemoryAssociations
    ) -> None:
        class Reconnecting(Porter):
            def __init__(self, driver: object, **kwargs: object) -> None:
                super().__init__(driver, **kwargs)
                self.associate_fn(self, "/dev/mapped", None, {"id": "noble"})

        install(reconnecting=Reconnecting)
        handlers.load_image_handlers("driver", ["reconnecting"])
        assert recorded(associations, "/dev/mapped").handler == "reconnecting"

    def test_of_equal_names_the_original_groups_handler_is_taken(self, install: Install) -> None:
        install(cart=Porter)
        handlers = ImageHandlers(
            Catalog(NOBLE), MemoryAssociations(), {"cart": lambda: Cart(schemes=frozenset())}, ["cart"]
        )
        handlers.load_image_handlers("driver")
        assert [type(handler) for handler in handlers.loaded] == [Porter]

    def test_offers_native_handlers_their_own_associations(self, associations: MemoryAssociations) -> None:
        class Preparing(Cart):
            def prepare(self, associations: Iterator[Association]) -> None:
                self.prepared = [association.target for association in associations]

        cart = Preparing(schemes=None)
        associations.put(Association("/vm", "cart", None, None, NOON))
        associations.put(Association("/vm2", "other", None, None, NOON))
        ImageHandlers(Catalog(), associations, {"cart": lambda: cart}, ["cart"]).load_image_handlers("driver")
        assert cart.prepared == ["/vm"]


class TestHandleImage:
    @pytest.fixture(autouse=True)
    def _loaded(self, install: Install, handlers: ImageHandlers) -> None:
        install(pool=PoolPorter, porter=Porter)
        handlers.load_image_handlers("driver", ["pool", "porter"])
        self.pool, self.porter = porters(handlers)

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
        self.pool.does = self.porter.does = never
        with pytest.raises(NoImageHandlerAvailable):
            fetched(handlers)
        places = [{"url": LEAD, "metadata": {}}, {"url": GOLD, "metadata": {"store": "gold"}}]
        assert [asked.arguments[-1] for asked in self.pool.asked] == places
        assert [asked.arguments[-1] for asked in self.porter.asked] == [*places, None]

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
        assert [handler for handler, *_ in fetched(handlers)] == [self.pool] * 3 + [self.porter]
        assert recorded(associations).handler == "porter"

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
        assert next(turns) == (self.porter, None, None)
        assert catalog.asked == []

    def test_what_is_recorded_for_another_image_is_not_handed_over(self, handlers: ImageHandlers) -> None:
        fetched(handlers)
        assert next(handlers.handle_image(None, "noble", target_path="/vm"))[0] is self.pool
        assert next(handlers.handle_image(None, "mantic", target_path="/vm"))[0] is self.porter
        assert next(handlers.handle_image(None, None, target_path="/vm"))[0] is self.pool

    @pytest.mark.parametrize("path", [None, "", "  "])
    def test_a_blank_path_is_neither_looked_up_nor_recorded(
        self, handlers: ImageHandlers, associations: MemoryAssociations, path: str
    ) -> None:
        fetched(handlers, path)
        assert list(associations.list()) == []

    def test_when_none_handles_it_says_which_image_and_what_was_tried(self, handlers: ImageHandlers) -> None:
        self.pool.does = self.porter.does = never
        with pytest.raises(NoImageHandlerAvailable, match="no handler took image noble for /vm: pool") as caught:
            fetched(handlers)
        assert caught.value.image_id == "noble"
        assert len(caught.value.attempts) == 5
        assert isinstance(caught.value, NoHandlerAvailable)

    def test_a_caller_who_does_nothing_has_not_handled_it_whatever_went_before(self, handlers: ImageHandlers) -> None:
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

    def test_a_failed_operation_of_an_inner_loop_does_not_undo_the_outer_success(self, handlers: ImageHandlers) -> None:
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
        self.porter.does = only_from(GOLD)
        fetched(handlers)
        restarted = ImageHandlers(Catalog(), associations)
        restarted.load_image_handlers("driver", ["pool", "porter"])
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


class TestAssociate:
    def test_records_by_the_name_of_a_loaded_handler_or_by_a_name(
        self, install: Install, handlers: ImageHandlers, associations: MemoryAssociations
    ) -> None:
        install(porter=Porter)
        handlers.load_image_handlers("driver", ["porter"])
        handlers.associate(handlers.loaded[0], "/vm", {"url": GOLD, "metadata": {}}, {"id": "noble"})
        handlers.associate("elsewhere", " /vm2 ", GOLD, None)
        assert list(associations.list()) == [
            Association("/vm", "porter", Image("noble"), Location(GOLD), NOON),
            Association("/vm2", "elsewhere", None, Location(GOLD), NOON),
        ]

    def test_a_handler_that_is_not_loaded_has_no_name(self, handlers: ImageHandlers) -> None:
        with pytest.raises(ValueError, match=r"is not a loaded handler \(loaded: none\)"):
            handlers.associate(Porter("driver"), "/vm", None, None)

    @pytest.mark.parametrize("path", [None, "", "  ", 7])
    def test_a_path_that_is_none_is_neither_recorded_nor_forgotten(
        self, handlers: ImageHandlers, associations: MemoryAssociations, path: str
    ) -> None:
        handlers.associate("porter", path, None, None)
        handlers.disassociate("porter", path)
        assert list(associations.list()) == []

    def test_disassociates_whoever_it_was(self, handlers: ImageHandlers, associations: MemoryAssociations) -> None:
        handlers.associate("porter", "/vm", None, None)
        handlers.disassociate("another", "/elsewhere")
        assert recorded(associations).handler == "porter"
        handlers.disassociate("another", " /vm")
        assert list(associations.list()) == []

    @pytest.mark.parametrize(
        ("image_meta", "image"),
        [
            ("a word", None),
            ({"name": "nobody"}, None),
            ({"id": " "}, None),
            ({"id": "noble", "size": "big"}, Image("noble")),
        ],
    )
    def test_an_odd_description_is_a_warning_and_its_id_is_kept(
        self,
        handlers: ImageHandlers,
        associations: MemoryAssociations,
        caplog: pytest.LogCaptureFixture,
        image_meta: object,
        image: Image | None,
    ) -> None:
        handlers.associate("porter", "/vm", None, image_meta)
        assert recorded(associations).image == image
        assert [record.levelno for record in caplog.records] == [logging.WARNING]

    def test_what_any_store_can_write_down_is_kept_of_a_description(
        self, handlers: ImageHandlers, associations: MemoryAssociations
    ) -> None:
        image_meta = {"id": "noble", "created_at": NOON, "properties": {"os": ("linux",)}, ("odd",): 1}
        handlers.associate("porter", "/vm", {"url": GOLD, "metadata": {"at": NOON}}, image_meta)
        assert recorded(associations).image == Image("noble", properties={"created_at": str(NOON), "os": ["linux"]})
        assert recorded(associations).location == Location(GOLD, {"at": str(NOON)})

    def test_an_odd_location_is_a_warning(
        self, handlers: ImageHandlers, associations: MemoryAssociations, caplog: pytest.LogCaptureFixture
    ) -> None:
        handlers.associate("porter", "/vm", {"uri": GOLD}, None)
        assert recorded(associations).location is None
        assert "location: expected a dict with a url string" in caplog.text

    def test_a_file_that_was_put_there_is_recorded_with_its_fingerprint(
        self, install: Install, handlers: ImageHandlers, associations: MemoryAssociations, tmp_path: Path
    ) -> None:
        install(files=FilePorter)
        handlers.load_image_handlers("driver", ["files"])
        target = tmp_path / "vm"
        fetched(handlers, str(target))
        association = recorded(associations, str(target))
        assert association.size == 5
        assert association.fingerprint is not None
        assert association.fingerprint.inode == target.stat().st_ino

    def test_a_store_that_fails_is_a_warning_after_a_fetch_and_raises_to_who_asks_directly(
        self, install: Install, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Full(MemoryAssociations):
            def put(self, association: Association) -> Result[None, StoreUnavailable]:
                return Failure(StoreUnavailable("the disk is full"))

        install(porter=Porter)
        handlers = ImageHandlers(Catalog(NOBLE), Full())
        handlers.load_image_handlers("driver", ["porter"])
        assert len(fetched(handlers)) == 1
        assert "/vm is not associated: the hook: the disk is full" in caplog.text
        with pytest.raises(StoreUnavailable):
            handlers.associate("porter", "/vm", None, None)


class TestNativeHandlers:
    @pytest.fixture
    def cart(self) -> Cart:
        return Cart(schemes=frozenset({"pool"}))

    @pytest.fixture
    def handlers(self, cart: Cart, catalog: Catalog, associations: MemoryAssociations) -> ImageHandlers:
        handlers = ImageHandlers(catalog, associations, {"cart": lambda: cart}, ["cart"], clock=lambda: NOON)
        handlers.load_image_handlers("driver")
        return handlers

    def test_are_image_handlers_always_the_same(self, handlers: ImageHandlers) -> None:
        (handler,) = handlers.loaded
        assert isinstance(handler, NativeImageHandler)
        assert (handler.driver, handler.get_schemes(), handler.is_local()) == ("driver", ("pool",), True)
        turns = [next(handlers.handle_image(NOVA, "noble"))[0] for _ in range(2)]
        assert turns == [handler, handler]

    def test_get_all_that_they_need(self, handlers: ImageHandlers, cart: Cart, catalog: Catalog) -> None:
        fetched(handlers)
        assert cart.works == [Work("/vm", NOBLE, Location(LEAD), Context("ada", "mill", "token"))]

    def test_a_location_that_a_location_independent_handler_declines_is_no_warning(
        self, associations: MemoryAssociations, caplog: pytest.LogCaptureFixture
    ) -> None:
        cart = Cart("cart", *[Failure(Unsupported("reads from the catalog"))] * 3, schemes=frozenset())
        handlers = ImageHandlers(Catalog(NOBLE), associations, {"cart": lambda: cart}, ["cart"])
        handlers.load_image_handlers("driver")
        with pytest.raises(NoImageHandlerAvailable):
            fetched(handlers)
        warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert [record.getMessage() for record in warnings] == [
            "handler cart did not handle /vm: reads from the catalog"
        ]

    def test_a_refusal_is_logged_and_not_handled(
        self, handlers: ImageHandlers, cart: Cart, associations: MemoryAssociations, caplog: pytest.LogCaptureFixture
    ) -> None:
        cart.answers = [Failure(Unavailable("the gate is shut"))]
        assert len(fetched(handlers)) == 2
        assert "handler cart did not handle /vm: the gate is shut" in caplog.text
        assert recorded(associations).location == Location(GOLD, {"store": "gold"})

    def test_what_a_landing_tells_is_recorded(
        self, handlers: ImageHandlers, cart: Cart, associations: MemoryAssociations
    ) -> None:
        digest, fingerprint = Digest("sha256", "ab"), Fingerprint(1, 2, 5, 3, 4)
        cart.answers = [Success(Landing("cart", 5, digest, verified=True, fingerprint=fingerprint))]
        fetched(handlers)
        landed = recorded(associations)
        assert landed == Association(
            "/vm",
            "cart",
            replace(NOBLE, locations=()),
            Location(LEAD),
            NOON,
            method="cart",
            size=5,
            digest=digest,
            verified=True,
            fingerprint=fingerprint,
        )

        (handler,) = handlers.loaded
        cart.answers = [Success(Landing("cart", present=True))]
        assert len(fetched(handlers)) == 1
        assert cart.works[-1].association == landed
        assert recorded(associations) == landed

        moved = Fingerprint(9, 9, 5, 9, 9)
        cart.answers = [Success(Landing(fingerprint=moved))]
        assert handler.move_image(NOVA, "noble", None, "/vm", " /vm2 ")
        assert list(associations.list()) == [replace(landed, target="/vm2", fingerprint=moved)]

        handlers.associate(handler, "/vm3", None, None)
        assert recorded(associations, "/vm3") == Association("/vm3", "cart", None, None, NOON)

    def test_a_removal_goes_by_what_is_recorded_where_its_caller_says_nothing(
        self, handlers: ImageHandlers, cart: Cart, associations: MemoryAssociations
    ) -> None:
        fetched(handlers)
        (handler,) = handlers.loaded
        assert handler.remove_image(NOVA, None, None, "/vm")
        assert cart.works[-1].image == replace(NOBLE, locations=())
        assert cart.works[-1].location == Location(LEAD)
        assert list(associations.list()) == []
        assert handler.remove_image(NOVA, "noble", None, "/elsewhere")
        assert cart.works[-1].image == Image("noble")

    def test_replace_what_is_there_only_by_force(self, handlers: ImageHandlers, cart: Cart) -> None:
        (handler,) = handlers.loaded
        handler.fetch_image(NOVA, "noble", None, "/vm")
        handler.fetch_image(NOVA, "noble", None, "/vm", force=True)
        assert [work.force for work in cart.works] == [False, True]

    def test_take_away_what_is_in_use_only_when_told(self, handlers: ImageHandlers, cart: Cart) -> None:
        (handler,) = handlers.loaded
        for told in (False, True):
            handler.fetch_image(NOVA, "noble", None, "/vm", force=True, even_if_in_use=told)
            handler.move_image(NOVA, "noble", None, "/vm", "/vm2", even_if_in_use=told)
            handler.remove_image(NOVA, "noble", None, "/vm2", even_if_in_use=told)
        assert [work.even_if_in_use for work in cart.works] == [False] * 3 + [True] * 3

    def test_try_on_after_any_refusal_as_the_original_did(self, handlers: ImageHandlers, cart: Cart) -> None:
        cart.answers = [Failure(TargetOccupied("something is there"))]
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
        cart: Cart,
        caplog: pytest.LogCaptureFixture,
        image_meta: dict[str, object] | None,
        path: str,
        location: dict[str, object] | None,
        reason: str,
    ) -> None:
        (handler,) = handlers.loaded
        assert not handler.fetch_image(NOVA, "noble", image_meta, path, location=location)
        assert not handler.move_image(NOVA, "noble", image_meta, path or "/vm", path and "/vm2", location=location)
        assert cart.works == []
        assert reason in caplog.text

    def test_refuse_when_the_store_can_not_be_read(self, cart: Cart, caplog: pytest.LogCaptureFixture) -> None:
        handler = NativeImageHandler("driver", cart, lambda _: Failure(StoreUnavailable("the ledger is wet")))
        assert not handler.fetch_image(NOVA, "noble", None, "/vm")
        assert "the ledger is wet" in caplog.text

    def test_work_without_the_functions_too(self, cart: Cart) -> None:
        handler = NativeImageHandler("driver", cart, lambda _: Success(None))
        assert handler.fetch_image(NOVA, None, None, "/vm")
        cart.schemes = None
        assert handler.get_schemes() is None

    def test_a_wrapped_old_one_among_them_is_recorded_too(self, associations: MemoryAssociations) -> None:
        wrapped: Handler = LegacyHandler("porter", Porter("driver"))
        handlers = ImageHandlers(Catalog(NOBLE), associations, {"porter": lambda: wrapped}, ["porter"])
        handlers.load_image_handlers("driver")
        fetched(handlers)
        assert recorded(associations).handler == "porter"


class TestTheFunctionsOfTheModule:
    @pytest.fixture(autouse=True)
    def _unused(self, install: Install) -> Iterator[None]:
        install(porter=Porter)
        nova.use(None)
        yield
        nova.use(None)

    def test_nothing_handles_before_handlers_are_loaded(self) -> None:
        turns = nova.handle_image(NOVA, "noble", target_path=" /vm ")
        with pytest.raises(NoImageHandlerAvailable) as caught:
            next(turns)
        assert (caught.value.image_id, caught.value.target) == ("noble", "/vm")

    def test_work_on_what_the_program_brings(self, catalog: Catalog, associations: MemoryAssociations) -> None:
        nova.use(ImageHandlers(catalog, associations, order=["porter"]))
        nova.load_image_handlers("driver")
        for handler, location, image_meta in nova.handle_image(NOVA, "noble", target_path="/vm"):
            handler.fetch_image(NOVA, "noble", image_meta, "/vm", location=location)
        assert recorded(associations).handler == "porter"
        nova.disassociate("porter", "/vm")
        nova.associate("porter", "/vm2", None, None)
        assert [association.target for association in associations.list()] == ["/vm2"]

    def test_work_on_the_settings_catalog_and_store_otherwise(
        self, catalog: Catalog, associations: MemoryAssociations, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened = []

        def open_container() -> SimpleNamespace:
            opened.append("container")
            return SimpleNamespace(
                settings=lambda: SimpleNamespace(handlers=SimpleNamespace(order=("cart", "porter"))),
                catalog=lambda: catalog,
                associations=lambda: associations,
                available_handlers=lambda: {"cart": lambda: Cart(schemes=frozenset({"pool"}))},
            )

        container = ModuleType("lading.adapters.container")
        vars(container)["open_container"] = open_container
        monkeypatch.setitem(sys.modules, "lading.adapters.container", container)
        nova.load_image_handlers("driver")
        list(fetching(nova.handle_image(NOVA, "noble", target_path="/vm"), "noble", "/vm"))
        assert recorded(associations).handler == "cart"
        nova.load_image_handlers("driver", ["porter"])
        assert next(nova.handle_image())[0].driver == "driver"
        assert opened == ["container"]
