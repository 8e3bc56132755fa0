"""Original API: `associate` and `disassociate`."""

import logging
from pathlib import Path

import pytest
from returns.result import Failure, Result
from tests.unit.nova.legacy_handlers import FileWritingHandler, ScriptedHandler
from tests.unit.nova.programs import GOLD, NOBLE, NOON, Catalog, Install, fetched, recorded

from lading import Association, Image, Location, StoreUnavailable
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.nova import ImageHandlers


class TestAssociate:
    def test_records_by_the_name_of_a_loaded_handler_or_by_a_name(
        self, install: Install, handlers: ImageHandlers, associations: MemoryAssociations
    ) -> None:
        install(legacy=ScriptedHandler)
        handlers.load_image_handlers("driver", ["legacy"])
        handlers.associate(handlers.loaded[0], "/vm", {"url": GOLD, "metadata": {}}, {"id": "noble"})
        handlers.associate("elsewhere", " /vm2 ", GOLD, None)
        assert list(associations.list()) == [
            Association("/vm", "legacy", Image("noble"), Location(GOLD), NOON),
            Association("/vm2", "elsewhere", None, Location(GOLD), NOON),
        ]

    def test_a_handler_that_is_not_loaded_has_no_name(self, handlers: ImageHandlers) -> None:
        with pytest.raises(ValueError, match=r"is not a loaded handler \(loaded: none\)"):
            handlers.associate(ScriptedHandler("driver"), "/vm", None, None)

    @pytest.mark.parametrize("path", [None, "", "  ", 7])
    def test_a_path_that_is_none_is_neither_recorded_nor_forgotten(
        self, handlers: ImageHandlers, associations: MemoryAssociations, path: str
    ) -> None:
        handlers.associate("legacy", path, None, None)
        handlers.disassociate("legacy", path)
        assert list(associations.list()) == []

    def test_disassociates_whichever_handler_it_was(
        self, handlers: ImageHandlers, associations: MemoryAssociations
    ) -> None:
        handlers.associate("legacy", "/vm", None, None)
        handlers.disassociate("another", "/elsewhere")
        assert recorded(associations).handler == "legacy"
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
        handlers.associate("legacy", "/vm", None, image_meta)
        assert recorded(associations).image == image
        assert [record.levelno for record in caplog.records] == [logging.WARNING]

    def test_a_description_is_kept_as_json_values(
        self, handlers: ImageHandlers, associations: MemoryAssociations
    ) -> None:
        image_meta = {"id": "noble", "created_at": NOON, "properties": {"os": ("linux",)}, ("odd",): 1}
        handlers.associate("legacy", "/vm", {"url": GOLD, "metadata": {"at": NOON}}, image_meta)
        assert recorded(associations).image == Image("noble", properties={"created_at": str(NOON), "os": ["linux"]})
        assert recorded(associations).location == Location(GOLD, {"at": str(NOON)})

    def test_an_odd_location_is_a_warning(
        self, handlers: ImageHandlers, associations: MemoryAssociations, caplog: pytest.LogCaptureFixture
    ) -> None:
        handlers.associate("legacy", "/vm", {"uri": GOLD}, None)
        assert recorded(associations).location is None
        assert "location: expected a dict with a url string" in caplog.text

    def test_a_file_that_was_put_there_is_recorded_with_its_fingerprint(
        self, install: Install, handlers: ImageHandlers, associations: MemoryAssociations, tmp_path: Path
    ) -> None:
        install(files=FileWritingHandler)
        handlers.load_image_handlers("driver", ["files"])
        target = tmp_path / "vm"
        fetched(handlers, str(target))
        association = recorded(associations, str(target))
        assert association.size == 5
        assert association.fingerprint is not None
        assert association.fingerprint.inode == target.stat().st_ino

    def test_a_store_failure_warns_after_a_fetch_and_raises_when_called(
        self, install: Install, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Full(MemoryAssociations):
            def put(self, association: Association) -> Result[None, StoreUnavailable]:
                return Failure(StoreUnavailable("the disk is full"))

        install(legacy=ScriptedHandler)
        handlers = ImageHandlers(Catalog(NOBLE), Full())
        handlers.load_image_handlers("driver", ["legacy"])
        assert len(fetched(handlers)) == 1
        assert "/vm is not associated: the hook: the disk is full" in caplog.text
        with pytest.raises(StoreUnavailable):
            handlers.associate("legacy", "/vm", None, None)
