"""The contract of catalogs of images that others publish, over lading's own."""

import hashlib
import json
from pathlib import Path

import pytest
from tests.faulty_server import FaultyServer, Reply
from tests.streams import INCUS_LIST, INDEX, UBUNTU_LIST, incus_tree, ubuntu_tree

from lading.adapters.catalogs.oci import OciCatalog
from lading.adapters.catalogs.oci_settings import OciCatalogSettings
from lading.adapters.catalogs.simplestreams.cache import Cache, Copy
from lading.adapters.catalogs.simplestreams.catalog import SimplestreamsCatalog
from lading.adapters.catalogs.simplestreams.settings import SimplestreamsCatalogSettings
from lading.adapters.oci.credentials import Keychain
from lading.adapters.oci.registry import Registries
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


class TestRegistry(PublishedImagesContract):
    """A registry that plays along: it has one repository, with two tags."""

    @pytest.fixture
    def catalog(self, faulty_server: FaultyServer) -> OciCatalog:
        kind = "application/vnd.oci.image.manifest.v1+json"
        for tag in ("1", "2"):
            layer = {"mediaType": "application/octet-stream", "digest": f"sha256:{tag * 64}", "size": int(tag)}
            manifest = json.dumps({"schemaVersion": 2, "mediaType": kind, "layers": [layer]}).encode()
            for name in (tag, f"sha256:{hashlib.sha256(manifest).hexdigest()}"):
                reply = Reply(manifest, headers=[("Content-Type", kind)])
                faulty_server.answer(f"/v2/vms/noble/manifests/{name}", reply)
        faulty_server.answer("/v2/_catalog?n=1000", Reply(b'{"repositories": ["vms/noble"]}'))
        faulty_server.answer("/v2/vms/noble/tags/list?n=1000", Reply(b'{"tags": ["2", "1"]}'))
        settings = OciCatalogSettings(f"127.0.0.1:{faulty_server.port}/vms")
        return OciCatalog(Registries(HttpOptions(), Keychain()), settings)

    @pytest.fixture
    def references(self) -> tuple[str, ...]:
        return ("noble:1", "noble:2")
