"""The contracts of catalogs, over the catalog that routes to others."""

from collections.abc import Iterable, Mapping

import pytest
from returns.result import Failure, Result, Success

from lading import ANONYMOUS, AmbiguousImage, Context, Image, ImageNotFound, Location
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.catalogs.remotes import RoutingCatalog
from lading.ports.failures import CatalogFailure, SettingsError
from lading.sdk.contracts import ImageDataContract, MakeCatalog, ReadableCatalog

NOBLE = Image("1", "noble", locations=[Location("file:///img/1")], properties={"os": "linux"})


class TestRoutingCatalog(ImageDataContract):
    """Without remotes it is the default catalog."""

    @pytest.fixture
    def make_catalog(self) -> MakeCatalog[ReadableCatalog]:
        def make(images: Iterable[Image], data: Mapping[str, bytes]) -> RoutingCatalog:
            return RoutingCatalog(MemoryCatalog(images, data), {"lab": MemoryCatalog}, {"https": MemoryCatalog})

        return make


class Counted:
    """Makes a remote, and counts how often."""

    def __init__(self, *images: Image) -> None:
        self.made = 0
        self._images = images

    def __call__(self) -> MemoryCatalog:
        self.made += 1
        return MemoryCatalog(self._images, {"1": b"bytes of the lab"})


def found(catalog: RoutingCatalog, reference: str) -> Image:
    return catalog.find(reference, ANONYMOUS).unwrap()


def test_an_image_of_a_remote_leads_back_to_the_remote() -> None:
    lab = Counted(NOBLE)
    catalog = RoutingCatalog(MemoryCatalog([Image("1", "noble"), Image("d", "debian:12")]), {"lab": lab})
    assert found(catalog, "noble") == Image("1", "noble")
    assert found(catalog, "debian:12").id == "d", "no remote has this name"
    assert lab.made == 0
    image = found(catalog, "lab:noble")
    assert (image.id, image.name, image.properties) == ("lab:1", "lab:noble", {"os": "linux"})
    assert found(catalog, image.id) == found(catalog, image.name or "") == image
    assert catalog.locations(image.redacted(), ANONYMOUS).unwrap() == ()
    assert catalog.locations(image, ANONYMOUS).unwrap() == NOBLE.locations
    buffer = bytearray(100)
    stream = catalog.read(image, 9, ANONYMOUS).unwrap()
    assert buffer[: stream.readinto(memoryview(buffer)) or 0] == b"the lab"
    assert lab.made == 1


def test_failures_name_references_as_the_caller_writes_them() -> None:
    catalog = RoutingCatalog(MemoryCatalog(), {"lab": Counted(NOBLE, Image("2", "noble"))})
    missing = catalog.find("lab:jammy", ANONYMOUS).failure()
    assert isinstance(missing, ImageNotFound)
    assert missing.reference == "lab:jammy"
    several = catalog.find("lab:noble", ANONYMOUS).failure()
    assert isinstance(several, AmbiguousImage)
    assert several.ids == ("lab:1", "lab:2")


class Web:
    """A catalog of URLs, without data."""

    def find(self, reference: str, context: Context) -> Result[Image, CatalogFailure]:
        return Success(Image(reference, "web"))

    def locations(self, image: Image, context: Context) -> Result[tuple[Location, ...], CatalogFailure]:
        return Success((Location(image.id),))


def test_a_url_goes_to_the_catalog_of_its_scheme_and_an_href_to_the_default() -> None:
    href = "https://glance.example/v2/images/1f"
    catalog = RoutingCatalog(MemoryCatalog([Image(href)]), schemes={"https": Web})
    image = found(catalog, "HTTPS://host/a.img")
    assert image == Image("HTTPS://host/a.img", "web")
    assert [each.url for each in catalog.locations(image, ANONYMOUS).unwrap()] == [image.id]
    assert str(catalog.read(image, 0, ANONYMOUS).failure()) == "its catalog gives no data"
    assert found(catalog, href) == Image(href)


def test_a_remote_that_cannot_be_made_is_a_failure_of_its_own_images_only() -> None:
    def broken() -> MemoryCatalog:
        raise SettingsError("catalogs.lab.kind: wrong")

    catalog = RoutingCatalog(MemoryCatalog([NOBLE]), {"lab": broken})
    image = Image("lab:1")
    for outcome in (
        catalog.find("lab:noble", ANONYMOUS),
        catalog.locations(image, ANONYMOUS),
        catalog.read(image, 0, ANONYMOUS),
    ):
        assert isinstance(outcome, Failure)
        assert str(outcome.failure()) == "catalogs.lab.kind: wrong"
    assert found(catalog, "noble") == NOBLE


def test_a_remote_is_had_by_its_name() -> None:
    default = MemoryCatalog()
    catalog = RoutingCatalog(default, {"lab": Counted(NOBLE)})
    assert catalog.remote(None) is default
    assert catalog.remote("lab") is catalog.remote("lab")
    with pytest.raises(SettingsError, match=r"no remote is named 'lap'.*known: lab"):
        catalog.remote("lap")
