"""Handlers of the original API on a catalog and a store in memory."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from tests.unit.nova.programs import NOBLE, NOON, Catalog, Install

from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.nova import ImageHandlers


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a distribution that names handlers of the original API."""

    def install(**factories: Callable[..., object]) -> None:
        module = ModuleType("some_handlers")
        vars(module).update(factories)
        monkeypatch.setitem(sys.modules, "some_handlers", module)
        metadata = tmp_path / "site" / "some_handlers-1.dist-info"
        metadata.mkdir(parents=True)
        metadata.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: some-handlers\nVersion: 1\n")
        lines = [f"{name} = some_handlers:{name}" for name in factories]
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
