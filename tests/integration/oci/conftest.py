"""A host that fetches from registries of the tests, by the catalog and the handler."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from returns.result import Failure, Result

from lading import ANONYMOUS, CatalogFailure, Image, Landing, Refusal, Work
from lading.adapters.catalogs.oci import OciCatalog
from lading.adapters.catalogs.oci_settings import OciCatalogSettings
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.oci import OciHandler, OciHandlerSettings
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.oci.registry import Registries
from lading.adapters.web.network import DIRECT


@dataclass
class OciHost:
    """A host without logins of its own: a catalog and a handler, which share nothing but settings."""

    folder: Path
    settings: OciHandlerSettings = field(default_factory=OciHandlerSettings)
    catalog_settings: OciCatalogSettings = field(default_factory=OciCatalogSettings)

    def registries(self) -> Registries:
        return self.settings.registries(DIRECT, first_wait=0.001)

    def find(self, reference: str) -> Result[Image, CatalogFailure]:
        return OciCatalog(self.registries(), self.catalog_settings).find(reference, ANONYMOUS)

    def fetch_image(self, image: Image) -> Result[Landing, Refusal]:
        handler = OciHandler(self.registries(), FileDestination(MemoryVerifiedFiles()))
        return handler.fetch(Work(str(self.folder / "vm"), image, image.locations[0]))

    def fetch(self, reference: str) -> Landing:
        return self.fetch_image(self.find(reference).unwrap()).unwrap()

    def failure(self, reference: str) -> str:
        match self.find(reference):
            case Failure(failure):
                return str(failure)
            case found:
                raise AssertionError(found.unwrap())

    @property
    def landed(self) -> bytes:
        return (self.folder / "vm").read_bytes()


@pytest.fixture(autouse=True)
def _no_logins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of whoever runs the tests."""
    for name in ("REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def oci_host(tmp_path: Path) -> Iterator[OciHost]:
    folder = tmp_path / "vms"
    folder.mkdir()
    yield OciHost(folder)
    assert [each.name for each in folder.iterdir() if each.name != "vm"] == []


@pytest.fixture
def repository() -> str:
    """The name of a repository that no other test uses."""
    return f"vms/noble-{uuid.uuid4().hex[:12]}"
