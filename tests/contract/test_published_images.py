"""The contract of catalogs of images that others publish, over lading's own."""

from pathlib import Path

import pytest
from tests.streams import INCUS_LIST, INDEX, UBUNTU_LIST, incus_tree, ubuntu_tree

from lading.adapters.catalogs.simplestreams.cache import Cache, Copy
from lading.adapters.catalogs.simplestreams.catalog import SimplestreamsCatalog
from lading.adapters.catalogs.simplestreams.settings import SimplestreamsCatalogSettings
from lading.adapters.web.http import HttpOptions
from lading.adapters.web.validators import Validators
from lading.sdk.contracts import PublishedImagesContract

ROOT = "https://mirror.example/"


def offline_catalog(folder: Path, tree: dict[str, bytes], listing: str) -> SimplestreamsCatalog:
    for path in (f"{INDEX}.json", f"{listing}.json"):
        Cache(folder).put(f"{ROOT}{path}", Copy(tree[path], None, Validators()))
    settings = SimplestreamsCatalogSettings(ROOT, folder, architecture="amd64", offline=True)
    return SimplestreamsCatalog(settings, HttpOptions())


class TestUbuntusStream(PublishedImagesContract):
    @pytest.fixture
    def catalog(self, tmp_path: Path) -> SimplestreamsCatalog:
        return offline_catalog(tmp_path, ubuntu_tree(), UBUNTU_LIST)

    @pytest.fixture
    def references(self) -> tuple[str, ...]:
        return ("noble", "22.04", "noble/arm64", "noble/20260901.9")


class TestIncusStream(PublishedImagesContract):
    @pytest.fixture
    def catalog(self, tmp_path: Path) -> SimplestreamsCatalog:
        return offline_catalog(tmp_path, incus_tree(), INCUS_LIST)

    @pytest.fixture
    def references(self) -> tuple[str, ...]:
        return (
            "debian/12",
            "debian/12/cloud",
            "debian/trixie",
            "debian/12/arm64",
            "debian:trixie:amd64:default/20260720_05:24",
        )
