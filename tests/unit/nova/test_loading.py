"""Original API: which handlers take which locations, and how they are loaded."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.nova.legacy_handlers import FileWritingHandler, ScriptedHandler, ScriptedPoolHandler
from tests.unit.nova.programs import (
    NOBLE,
    NOON,
    Catalog,
    Install,
    ScriptedNativeHandler,
    fetched,
    loaded_handlers,
    recorded,
)

from lading import Association
from lading.adapters import nova
from lading.adapters.catalogs.file import FileCatalog
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.nova import ImageHandlers, NativeImageHandler
from lading.adapters.nova.handlers import GROUP


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

        def legacy(**kwargs: object) -> ScriptedHandler:
            built.append(kwargs)
            return ScriptedHandler(**kwargs)

        install(legacy=legacy)
        handlers.load_image_handlers("driver", ["legacy"])
        assert [*built[0]] == ["driver", "associate_fn", "disassociate_fn"]
        assert built[0]["driver"] == "driver"

    def test_skips_unknown_names_with_a_warning(
        self, install: Install, handlers: ImageHandlers, caplog: pytest.LogCaptureFixture
    ) -> None:
        install(legacy=ScriptedHandler)
        handlers.load_image_handlers("driver", ["nobody", "legacy", "no one"])
        assert len(loaded_handlers(handlers)) == 1
        assert "nobody" in caplog.text
        assert "no one" in caplog.text

    def test_strips_names_skips_blanks_and_duplicates_and_keeps_the_order(
        self, install: Install, handlers: ImageHandlers
    ) -> None:
        install(one=ScriptedHandler, two=ScriptedPoolHandler, three=FileWritingHandler)
        handlers.load_image_handlers("driver", ["none", "one  ", "", "  three", " ", "none", "  two  ", "three"])
        assert [type(legacy) for legacy in loaded_handlers(handlers)] == [
            ScriptedHandler,
            FileWritingHandler,
            ScriptedPoolHandler,
        ]

    @pytest.mark.parametrize("fault", ["constructor", "get_schemes"])
    def test_skips_a_handler_that_fails_and_loads_the_others(
        self, install: Install, handlers: ImageHandlers, caplog: pytest.LogCaptureFixture, fault: str
    ) -> None:
        class Broken(ScriptedHandler):
            def __init__(self, driver: object, **kwargs: object) -> None:
                super().__init__(driver, **kwargs)
                if fault == "constructor":
                    raise RuntimeError("broken")

            def get_schemes(self) -> tuple[str, ...]:
                raise RuntimeError("broken")

        install(broken=Broken, legacy=ScriptedHandler)
        handlers.load_image_handlers("driver", ["broken", "legacy", "broken", "legacy"])
        assert [type(legacy) for legacy in loaded_handlers(handlers)] == [ScriptedHandler]
        assert (
            "handler broken is skipped: could not be built: raised RuntimeError; the debug log has more" in caplog.text
        )

    def test_loads_the_given_order_when_no_names_are(self, install: Install) -> None:
        install(one=ScriptedHandler, two=ScriptedPoolHandler)
        handlers = ImageHandlers(Catalog(), MemoryAssociations(), order=("two", "one"))
        handlers.load_image_handlers("driver")
        assert [type(legacy) for legacy in loaded_handlers(handlers)] == [ScriptedPoolHandler, ScriptedHandler]
        handlers.load_image_handlers("driver", [])
        assert handlers.loaded == ()

    def test_a_none_among_the_names_is_skipped(self, install: Install, handlers: ImageHandlers) -> None:
        install(legacy=ScriptedHandler)
        handlers.load_image_handlers("driver", [None, "legacy"])  # type: ignore[list-item]  # what configurations have
        assert [type(legacy) for legacy in loaded_handlers(handlers)] == [ScriptedHandler]

    def test_a_none_in_the_order_is_skipped(self, install: Install) -> None:
        install(legacy=ScriptedHandler)
        order = ["legacy", None]
        handlers = ImageHandlers(Catalog(), MemoryAssociations(), order=order)  # type: ignore[arg-type]  # as above
        handlers.load_image_handlers("driver")
        assert [type(legacy) for legacy in loaded_handlers(handlers)] == [ScriptedHandler]

    @pytest.mark.parametrize(("place", "used"), [(0, FileWritingHandler), (None, ScriptedHandler)])
    def test_of_two_distributions_with_one_name_the_first_wins(
        self,
        install: Install,
        handlers: ImageHandlers,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        place: int | None,
        used: type[ScriptedHandler],
    ) -> None:
        install(legacy=ScriptedHandler)
        other = tmp_path / "other" / "other_handlers-1.dist-info"
        other.mkdir(parents=True)
        other.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: other-handlers\nVersion: 1\n")
        value = f"{FileWritingHandler.__module__}:{FileWritingHandler.__name__}"
        other.joinpath("entry_points.txt").write_text(f"[{GROUP}]\nlegacy = {value}\n")
        path = [*sys.path]
        path.insert(len(path) if place is None else place, str(other.parent))
        monkeypatch.setattr(sys, "path", path)
        handlers.load_image_handlers("driver", ["legacy"])
        assert [type(legacy) for legacy in loaded_handlers(handlers)] == [used]
        ignored = value if place is None else "some_handlers:legacy"
        assert f"{ignored} is not used" in caplog.text
        assert "has the name 'legacy' in nova.virt.image.handlers" in caplog.text

    def test_installed_handlers_get_the_catalog_of_the_program(
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
        install(legacy=ScriptedHandler)
        handlers.load_image_handlers("driver", ["legacy"])
        fetched(handlers)
        (before,) = handlers.loaded
        handlers.load_image_handlers("driver", ["legacy"])
        (after,) = handlers.loaded
        assert after is not before
        assert recorded(associations).handler == "legacy"
        assert [turn[0] for turn in fetched(handlers)] == [after]

    def test_a_handler_may_associate_what_it_finds_while_it_is_built(
        self, install: Install, handlers: ImageHandlers, associations: MemoryAssociations
    ) -> None:
        class Reconnecting(ScriptedHandler):
            def __init__(self, driver: object, **kwargs: object) -> None:
                super().__init__(driver, **kwargs)
                self.associate_fn(self, "/dev/mapped", None, {"id": "noble"})

        install(reconnecting=Reconnecting)
        handlers.load_image_handlers("driver", ["reconnecting"])
        assert recorded(associations, "/dev/mapped").handler == "reconnecting"

    def test_of_equal_names_the_original_groups_handler_is_taken(self, install: Install) -> None:
        install(native=ScriptedHandler)
        handlers = ImageHandlers(
            Catalog(NOBLE),
            MemoryAssociations(),
            {"native": lambda: ScriptedNativeHandler(schemes=frozenset())},
            ["native"],
        )
        handlers.load_image_handlers("driver")
        assert [type(handler) for handler in handlers.loaded] == [ScriptedHandler]

    def test_offers_native_handlers_their_own_associations(self, associations: MemoryAssociations) -> None:
        class Preparing(ScriptedNativeHandler):
            def prepare(self, associations: Iterator[Association]) -> None:
                self.prepared = [association.target for association in associations]

        native = Preparing(schemes=None)
        associations.put(Association("/vm", "native", None, None, NOON))
        associations.put(Association("/vm2", "other", None, None, NOON))
        ImageHandlers(Catalog(), associations, {"native": lambda: native}, ["native"]).load_image_handlers("driver")
        assert native.prepared == ["/vm"]
