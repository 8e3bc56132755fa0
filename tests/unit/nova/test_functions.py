"""The five functions of the module."""

import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace

import pytest
from tests.unit.nova.legacy_handlers import NOVA, ScriptedHandler, fetching
from tests.unit.nova.programs import Catalog, Install, ScriptedNativeHandler, recorded

from lading.adapters import nova
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.nova import ImageHandlers, NoImageHandlerAvailable


class TestTheFunctionsOfTheModule:
    @pytest.fixture(autouse=True)
    def _unused(self, install: Install) -> Iterator[None]:
        install(legacy=ScriptedHandler)
        nova.use(None)
        yield
        nova.use(None)

    def test_nothing_handles_before_handlers_are_loaded(self) -> None:
        turns = nova.handle_image(NOVA, "noble", target_path=" /vm ")
        with pytest.raises(NoImageHandlerAvailable) as caught:
            next(turns)
        assert (caught.value.image_id, caught.value.target) == ("noble", "/vm")

    def test_work_on_what_the_program_brings(self, catalog: Catalog, associations: MemoryAssociations) -> None:
        nova.use(ImageHandlers(catalog, associations, order=["legacy"]))
        nova.load_image_handlers("driver")
        for handler, location, image_meta in nova.handle_image(NOVA, "noble", target_path="/vm"):
            handler.fetch_image(NOVA, "noble", image_meta, "/vm", location=location)
        assert recorded(associations).handler == "legacy"
        nova.disassociate("legacy", "/vm")
        nova.associate("legacy", "/vm2", None, None)
        assert [association.target for association in associations.list()] == ["/vm2"]

    def test_work_on_the_settings_catalog_and_store_otherwise(
        self, catalog: Catalog, associations: MemoryAssociations, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened = []

        def open_container() -> SimpleNamespace:
            opened.append("container")
            return SimpleNamespace(
                settings=lambda: SimpleNamespace(handlers=SimpleNamespace(order=("native", "legacy"))),
                default_catalog=lambda: catalog,
                associations=lambda: associations,
                available_handlers=lambda: {"native": lambda: ScriptedNativeHandler(schemes=frozenset({"pool"}))},
            )

        container = ModuleType("lading.adapters.container")
        vars(container)["open_container"] = open_container
        monkeypatch.setitem(sys.modules, "lading.adapters.container", container)
        nova.load_image_handlers("driver")
        list(fetching(nova.handle_image(NOVA, "noble", target_path="/vm"), "noble", "/vm"))
        assert recorded(associations).handler == "native"
        nova.load_image_handlers("driver", ["legacy"])
        assert next(nova.handle_image())[0].driver == "driver"
        assert opened == ["container"]
