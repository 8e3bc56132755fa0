"""The contracts of the image catalog's ports, over lading's own catalogs."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from lading import Image
from lading.adapters.catalogs.file import FileCatalog
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.sdk.contracts import ImageRegistryContract, MakeCatalog, Registry


class TestMemoryCatalog(ImageRegistryContract):
    @pytest.fixture
    def make_catalog(self) -> MakeCatalog[Registry]:
        return MemoryCatalog


class TestFileCatalog(ImageRegistryContract):
    @pytest.fixture
    def make_catalog(self, tmp_path: Path) -> MakeCatalog[Registry]:
        def make(images: Iterable[Image], data: Mapping[str, bytes]) -> FileCatalog:
            catalog = FileCatalog(tmp_path / "catalog")
            for image in images:
                path = tmp_path / f"{image.id}.img"
                if image.id in data:
                    path.write_bytes(data[image.id])
                catalog.add(image, str(path) if image.id in data else None).unwrap()
            return catalog

        return make
