"""The contract of catalogs whose images somebody else publishes, as tests: a subclass defines a catalog with images."""

import pytest
from returns.result import Success

from lading.ports.catalog import ImageCatalog, ImageListing
from lading.ports.context import ANONYMOUS, Context
from lading.ports.failures import ImageNotFound
from lading.ports.image import Image

__all__ = ["PublishedImagesContract"]


class PublishedImagesContract:
    """The contract of a catalog whose images others publish. It has two or more, and may list them."""

    @pytest.fixture
    def catalog(self) -> ImageCatalog:
        """Makes the catalog."""
        raise NotImplementedError

    @pytest.fixture
    def references(self) -> tuple[str, ...]:
        """References of different images in the catalog."""
        raise NotImplementedError

    def test_each_reference_finds_its_own_image(self, catalog: ImageCatalog, references: tuple[str, ...]) -> None:
        found = [catalog.find(reference, ANONYMOUS).unwrap() for reference in references]
        assert len({image.id for image in found}) == len(references) > 1

    def test_an_image_is_found_by_its_id(self, catalog: ImageCatalog, references: tuple[str, ...]) -> None:
        for image in _found(catalog, references):
            assert catalog.find(image.id, ANONYMOUS).unwrap().id == image.id

    def test_an_image_is_found_by_its_name(self, catalog: ImageCatalog, references: tuple[str, ...]) -> None:
        for image in _found(catalog, references):
            assert image.name is not None
            assert catalog.find(image.name, ANONYMOUS) == Success(image)

    def test_a_reference_finds_the_same_image_again(self, catalog: ImageCatalog, references: tuple[str, ...]) -> None:
        assert _found(catalog, references) == _found(catalog, references)

    def test_it_is_the_same_for_every_caller(self, catalog: ImageCatalog, references: tuple[str, ...]) -> None:
        for reference in references:
            found = catalog.find(reference, Context("me", "mine", object()))
            assert found == catalog.find(reference, ANONYMOUS)

    @pytest.mark.parametrize("reference", ["", "no-such-image", "../x", "a/b", "\0", ".", "/", "x" * 5000, "\ud800"])
    def test_what_nothing_goes_by_is_not_found_and_the_failure_names_it(
        self, catalog: ImageCatalog, reference: str
    ) -> None:
        outcome = catalog.find(reference, ANONYMOUS).failure()
        assert isinstance(outcome, ImageNotFound)
        assert outcome.reference == reference
        assert repr(reference) in str(outcome)

    def test_locations_of_a_found_image_are_its_own(self, catalog: ImageCatalog, references: tuple[str, ...]) -> None:
        for image in _found(catalog, references):
            assert tuple(catalog.locations(image, ANONYMOUS).unwrap()) == image.locations

    def test_locations_are_known_of_an_image_as_an_association_remembers_it(
        self, catalog: ImageCatalog, references: tuple[str, ...]
    ) -> None:
        for image in _found(catalog, references):
            assert tuple(catalog.locations(image.redacted(), ANONYMOUS).unwrap()) == image.locations

    def test_a_list_is_ordered_and_each_of_its_images_is_found(self, catalog: ImageCatalog) -> None:
        if not isinstance(catalog, ImageListing):
            pytest.skip("the catalog lists no images")
        images = list(catalog.images())
        assert images == sorted(images, key=lambda image: (image.name or "", image.id))
        assert len({image.id for image in images}) == len(images)
        for image in images:
            found = catalog.find(image.id, ANONYMOUS).unwrap()
            assert found.name == image.name
            assert found.id != image.id or found == image


def _found(catalog: ImageCatalog, references: tuple[str, ...]) -> list[Image]:
    return [catalog.find(reference, ANONYMOUS).unwrap() for reference in references]
