"""The contracts of the image catalog's ports as tests: a subclass defines the catalogs."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

import pytest
from returns.result import Failure, Success

from lading.ports.catalog import ByteStream, ImageCatalog, ImageData, ImageListing, ImageRegistry
from lading.ports.context import ANONYMOUS, Context
from lading.ports.failures import AmbiguousImage, CatalogFailure, ImageNotFound
from lading.ports.image import Digest, Image
from lading.ports.location import Location

__all__ = [
    "ImageCatalogContract",
    "ImageDataContract",
    "ImageListingContract",
    "ImageRegistryContract",
    "ListedCatalog",
    "MakeCatalog",
    "ReadableCatalog",
    "Registry",
]

NOBLE = Image("1f", "noble", locations=[Location("rbd://a/b/c/d"), Location("file:///img/noble", {"store": "here"})])
JAMMY = Image("2f", "jammy")
BYTES = b"the bytes of an image"


class ReadableCatalog(ImageCatalog, ImageData, Protocol):
    """A catalog that gives images' bytes."""


class ListedCatalog(ImageCatalog, ImageListing, Protocol):
    """A catalog that lists its images."""


class Registry(ReadableCatalog, ListedCatalog, ImageRegistry, Protocol):
    """A catalog with all four ports."""


_Catalog_co = TypeVar("_Catalog_co", bound=ImageCatalog, covariant=True)


class MakeCatalog(Protocol[_Catalog_co]):
    """Makes a catalog of the given images, which gives the given bytes by image id, if it gives any."""

    def __call__(self, images: Iterable[Image], data: Mapping[str, bytes], /) -> _Catalog_co: ...


_MakeCatalog: TypeAlias = MakeCatalog[ImageCatalog]
_MakeReadable: TypeAlias = MakeCatalog[ReadableCatalog]
_MakeListed: TypeAlias = MakeCatalog[ListedCatalog]
_MakeRegistry: TypeAlias = MakeCatalog[Registry]


def found(catalog: ImageCatalog, reference: str) -> Image:
    return catalog.find(reference, ANONYMOUS).unwrap()


def failure(catalog: ImageCatalog, reference: str) -> CatalogFailure:
    return catalog.find(reference, ANONYMOUS).failure()


def content(catalog: ImageData, image: Image, offset: int = 0) -> bytes:
    """Read in pieces, since a stream may fill less of a buffer than there is."""
    stream: ByteStream = catalog.read(image, offset, ANONYMOUS).unwrap()
    pieces, buffer = [], bytearray(5)
    try:
        while count := stream.readinto(memoryview(buffer)):
            pieces.append(bytes(buffer[:count]))
    finally:
        stream.close()
    return b"".join(pieces)


class ImageCatalogContract:
    """The contract of every catalog."""

    @pytest.fixture
    def make_catalog(self) -> _MakeCatalog:
        """Makes the catalogs of a test."""
        raise NotImplementedError

    def test_an_image_is_found_by_its_id(self, make_catalog: _MakeCatalog) -> None:
        assert found(make_catalog([NOBLE, JAMMY], {}), "1f") == NOBLE

    def test_an_image_is_found_by_its_name_when_no_other_has_it(self, make_catalog: _MakeCatalog) -> None:
        assert found(make_catalog([NOBLE, JAMMY], {}), "jammy") == JAMMY

    def test_everything_that_is_known_of_an_image_is_found(self, make_catalog: _MakeCatalog) -> None:
        image = Image(
            "3f",
            name="résumé 2.0",
            size=5 << 30,
            disk_format="qcow2",
            container_format="bare",
            digest=Digest("sha512", "ab" * 64),
            checksum="cd" * 16,
            status="deactivated",
            locations=NOBLE.locations,
            properties={"hw_disk_bus": "scsi", "min_ram": 512, "tags": ["lts"]},
        )
        assert found(make_catalog([image], {}), "3f") == image

    def test_an_id_goes_before_a_name(self, make_catalog: _MakeCatalog) -> None:
        assert found(make_catalog([Image("a", "1f"), NOBLE, Image("z", "1f")], {}), "1f") == NOBLE

    def test_a_name_that_several_have_is_ambiguous_and_their_ids_are_listed(self, make_catalog: _MakeCatalog) -> None:
        outcome = failure(make_catalog([Image("b", "noble"), NOBLE, Image("a", "noble")], {}), "noble")
        assert isinstance(outcome, AmbiguousImage)
        assert (outcome.reference, outcome.ids) == ("noble", ("1f", "a", "b"))

    @pytest.mark.parametrize(
        "reference", ["plucky", "", "NOBLE", "nobl", "../1f", "1f.json", "a/b", "\0", ".", "x" * 5000]
    )
    def test_what_nothing_goes_by_is_not_found_and_the_failure_names_it(
        self, make_catalog: _MakeCatalog, reference: str
    ) -> None:
        outcome = failure(make_catalog([NOBLE, JAMMY], {}), reference)
        assert isinstance(outcome, ImageNotFound)
        assert outcome.reference == reference
        assert repr(reference) in str(outcome)

    def test_an_image_without_a_name_is_found_by_its_id_only(self, make_catalog: _MakeCatalog) -> None:
        catalog = make_catalog([Image("1f")], {})
        assert found(catalog, "1f") == Image("1f")
        assert isinstance(failure(catalog, "None"), ImageNotFound)

    def test_locations_come_in_the_catalogs_order_with_their_metadata(self, make_catalog: _MakeCatalog) -> None:
        catalog = make_catalog([NOBLE], {})
        locations = catalog.locations(found(catalog, "noble"), ANONYMOUS).unwrap()
        assert [(each.url, each.metadata) for each in locations] == [
            ("rbd://a/b/c/d", {}),
            ("file:///img/noble", {"store": "here"}),
        ]

    def test_that_no_locations_are_visible_is_an_empty_sequence(self, make_catalog: _MakeCatalog) -> None:
        catalog = make_catalog([JAMMY], {})
        assert list(catalog.locations(found(catalog, "2f"), ANONYMOUS).unwrap()) == []

    def test_it_is_the_same_for_every_caller(self, make_catalog: _MakeCatalog) -> None:
        assert make_catalog([NOBLE], {}).find("1f", Context("me", "mine", object())) == Success(NOBLE)


class ImageDataContract(ImageCatalogContract):
    """What a catalog does that gives images' bytes."""

    @pytest.fixture
    def make_catalog(self) -> _MakeReadable:
        """Makes the catalogs of a test."""
        raise NotImplementedError

    @pytest.mark.parametrize("offset", [0, 1, 7, len(BYTES) - 1, len(BYTES), len(BYTES) + 100])
    def test_bytes_are_read_from_the_offset_to_the_end(self, make_catalog: _MakeReadable, offset: int) -> None:
        assert content(make_catalog([NOBLE], {"1f": BYTES}), NOBLE, offset) == BYTES[offset:]

    def test_bytes_can_be_read_of_an_image_as_an_association_remembers_it(self, make_catalog: _MakeReadable) -> None:
        assert content(make_catalog([NOBLE], {"1f": BYTES}), Image("1f", "noble")) == BYTES

    def test_an_image_of_no_bytes_is_read_as_such(self, make_catalog: _MakeReadable) -> None:
        assert content(make_catalog([NOBLE], {"1f": b""}), NOBLE) == b""

    def test_several_readers_of_an_image_do_not_disturb_each_other(self, make_catalog: _MakeReadable) -> None:
        catalog = make_catalog([NOBLE], {"1f": BYTES})
        one, other = (catalog.read(NOBLE, 0, ANONYMOUS).unwrap() for _ in range(2))
        buffer = bytearray(len(BYTES))
        one.readinto(memoryview(buffer))
        one.close()
        assert other.readinto(memoryview(buffer)) == len(BYTES)
        other.close()

    def test_that_an_image_has_no_bytes_to_give_is_a_failure_that_names_it(self, make_catalog: _MakeReadable) -> None:
        outcome = make_catalog([JAMMY], {}).read(JAMMY, 0, ANONYMOUS)
        assert isinstance(outcome, Failure)
        assert "2f" in str(outcome.failure())


class ImageListingContract(ImageCatalogContract):
    """What a catalog does that lists its images."""

    @pytest.fixture
    def make_catalog(self) -> _MakeListed:
        """Makes the catalogs of a test."""
        raise NotImplementedError

    def test_images_are_listed_by_name_and_id(self, make_catalog: _MakeListed) -> None:
        namesake, nameless = Image("0f", "noble"), Image("9f")
        assert list(make_catalog([NOBLE, JAMMY, namesake, nameless], {}).images()) == [nameless, JAMMY, namesake, NOBLE]

    def test_an_empty_catalog_lists_nothing(self, make_catalog: _MakeListed) -> None:
        assert list(make_catalog([], {}).images()) == []


class ImageRegistryContract(ImageDataContract, ImageListingContract):
    """What a catalog does to which images can be added."""

    @pytest.fixture
    def make_catalog(self) -> _MakeRegistry:
        """Makes the catalogs of a test."""
        raise NotImplementedError

    def test_many_threads_find_images_while_others_come_and_go(self, make_catalog: _MakeRegistry) -> None:
        catalog = make_catalog([NOBLE], {})

        def work(worker: int) -> None:
            image = Image(f"worker-{worker}", f"name-{worker}")
            for _ in range(5):
                catalog.add(image).unwrap()
                assert found(catalog, image.id) == found(catalog, f"name-{worker}") == image
                assert found(catalog, "noble") == NOBLE
                assert image in list(catalog.images())
                catalog.discard(image.id).unwrap()
                assert isinstance(failure(catalog, image.id), ImageNotFound)

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(work, range(8)))
        assert list(catalog.images()) == [NOBLE]

    def test_an_added_image_is_found_and_listed(self, make_catalog: _MakeRegistry) -> None:
        catalog = make_catalog([NOBLE], {})
        assert catalog.add(JAMMY) == Success(None)
        assert found(catalog, "2f") == found(catalog, "jammy") == JAMMY
        assert list(catalog.images()) == [JAMMY, NOBLE]

    def test_an_added_image_replaces_one_with_the_same_id(self, make_catalog: _MakeRegistry) -> None:
        catalog = make_catalog([NOBLE, JAMMY], {})
        catalog.add(Image("1f", "plucky")).unwrap()
        assert list(catalog.images()) == [JAMMY, Image("1f", "plucky")]
        assert isinstance(failure(catalog, "noble"), ImageNotFound)

    def test_an_added_image_may_have_the_name_of_another(self, make_catalog: _MakeRegistry) -> None:
        catalog = make_catalog([NOBLE], {})
        catalog.add(Image("0f", "noble")).unwrap()
        assert found(catalog, "1f") == NOBLE
        assert isinstance(failure(catalog, "noble"), AmbiguousImage)

    def test_data_that_the_caller_vouches_for_is_read_though_no_folder_is_allowed(
        self, make_catalog: _MakeRegistry, tmp_path: Path
    ) -> None:
        (tmp_path / "noble.img").write_bytes(BYTES)
        catalog = make_catalog([], {})
        catalog.add(NOBLE, str(tmp_path / "noble.img")).unwrap()
        assert content(catalog, NOBLE, 4) == BYTES[4:]

    def test_data_stays_where_it_is(self, make_catalog: _MakeRegistry, tmp_path: Path) -> None:
        (tmp_path / "noble.img").write_bytes(BYTES)
        before = (tmp_path / "noble.img").stat()
        catalog = make_catalog([], {})
        catalog.add(NOBLE, str(tmp_path / "noble.img")).unwrap()
        after = (tmp_path / "noble.img").stat()
        assert (before.st_ino, before.st_mtime_ns, before.st_size) == (after.st_ino, after.st_mtime_ns, after.st_size)

    def test_data_named_by_a_relative_path_is_read_from_another_folder_too(
        self, make_catalog: _MakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "noble.img").write_bytes(BYTES)
        catalog = make_catalog([], {})
        monkeypatch.chdir(tmp_path)
        catalog.add(NOBLE, "noble.img").unwrap()
        monkeypatch.chdir("/")
        assert content(catalog, NOBLE) == BYTES

    def test_replacing_an_image_replaces_its_data(self, make_catalog: _MakeRegistry, tmp_path: Path) -> None:
        (tmp_path / "newer.img").write_bytes(b"newer bytes")
        catalog = make_catalog([NOBLE], {"1f": BYTES})
        catalog.add(NOBLE, str(tmp_path / "newer.img")).unwrap()
        assert content(catalog, NOBLE) == b"newer bytes"

    def test_replacing_an_image_without_data_lets_the_old_data_go(self, make_catalog: _MakeRegistry) -> None:
        catalog = make_catalog([JAMMY], {"2f": BYTES})
        catalog.add(JAMMY).unwrap()
        assert isinstance(catalog.read(JAMMY, 0, ANONYMOUS), Failure)

    def test_data_that_is_gone_is_a_failure_when_it_is_read(self, make_catalog: _MakeRegistry, tmp_path: Path) -> None:
        catalog = make_catalog([], {})
        catalog.add(JAMMY, str(tmp_path / "gone.img")).unwrap()
        assert "gone.img" in str(catalog.read(JAMMY, 0, ANONYMOUS).failure())

    def test_data_that_is_a_folder_is_a_failure_when_it_is_read(
        self, make_catalog: _MakeRegistry, tmp_path: Path
    ) -> None:
        catalog = make_catalog([], {})
        catalog.add(JAMMY, str(tmp_path)).unwrap()
        assert isinstance(catalog.read(JAMMY, 0, ANONYMOUS), Failure)

    def test_a_discarded_image_is_found_and_listed_no_more(self, make_catalog: _MakeRegistry) -> None:
        catalog = make_catalog([NOBLE, JAMMY], {})
        assert catalog.discard("1f") == Success(None)
        assert isinstance(failure(catalog, "1f"), ImageNotFound)
        assert isinstance(failure(catalog, "noble"), ImageNotFound)
        assert list(catalog.images()) == [JAMMY]

    def test_discarding_leaves_the_bytes_alone(self, make_catalog: _MakeRegistry, tmp_path: Path) -> None:
        located, vouched_for = tmp_path / "located.img", tmp_path / "vouched for.img"
        for path in (located, vouched_for):
            path.write_bytes(BYTES)
        catalog = make_catalog([], {})
        catalog.add(Image("1f", locations=[Location(f"file://{located}")]), str(vouched_for)).unwrap()
        catalog.discard("1f").unwrap()
        assert located.read_bytes() == vouched_for.read_bytes() == BYTES

    @pytest.mark.parametrize("image_id", ["noble", "3f", "", "../1f", "\0", "x" * 5000])
    def test_discarding_what_is_not_there_is_no_failure_and_changes_nothing(
        self, make_catalog: _MakeRegistry, image_id: str
    ) -> None:
        catalog = make_catalog([NOBLE], {"1f": BYTES})
        assert catalog.discard(image_id) == Success(None)
        assert list(catalog.images()) == [NOBLE]
        assert content(catalog, NOBLE) == BYTES

    def test_a_discarded_image_comes_back_without_its_old_data(self, make_catalog: _MakeRegistry) -> None:
        catalog = make_catalog([JAMMY], {"2f": BYTES})
        catalog.discard("2f").unwrap()
        catalog.add(JAMMY).unwrap()
        assert isinstance(catalog.read(JAMMY, 0, ANONYMOUS), Failure)
