"""Which recorded targets have a name that means another image by now."""

from dataclasses import replace

import pytest
from tests.reference import Event, RecordingCatalog
from tests.unit.dispatcher.pool import NOBLE, RECORDED, FailingCatalog, store

from lading import CatalogUnavailable, Digest, Dispatcher, Image, ImageCatalog, ImageNotFound, NewestImage
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.memory.associations import MemoryAssociations

ONE, OTHER = Digest("sha256", "ab" * 32), Digest("sha256", "cd" * 32)
STRONGER = Digest("sha512", "ab" * 64)
URL = "https://host/noble.img"
LAB = Image("lab:1", "lab:noble", digest=ONE)


def newest(recorded: Image | None, catalog: ImageCatalog) -> list[NewestImage]:
    associations = store(replace(RECORDED, image=recorded))
    return list(Dispatcher([], catalog, associations).newest())


def at_url(fragment: str, digest: Digest | None = None) -> Image:
    return Image(f"{URL}#{fragment}", "noble.img", digest=digest)


@pytest.mark.parametrize(
    ("recorded", "found", "is_newer"),
    [
        (NOBLE, NOBLE, False),
        (NOBLE, replace(NOBLE, id="2"), True),
        (replace(NOBLE, digest=ONE), replace(NOBLE, id="2", digest=ONE), False),
        (replace(NOBLE, digest=ONE), replace(NOBLE, digest=OTHER), True),
        (replace(NOBLE, digest=ONE), replace(NOBLE, id="2", digest=STRONGER), True),
        (replace(NOBLE, digest=ONE), replace(NOBLE, digest=STRONGER), False),
        (LAB, replace(LAB, id="lab:2", digest=OTHER), True),
        (Image("img#1", "noble"), Image("img#2", "noble"), True),
    ],
)
def test_a_name_means_a_newer_image_when_that_has_another_digest_or_id(
    recorded: Image, found: Image, *, is_newer: bool
) -> None:
    [told] = newest(recorded, MemoryCatalog([found]))
    assert (told.reference, told.image, told.is_newer, told.reason) == (recorded.name, found, is_newer, None)


@pytest.mark.parametrize(
    ("recorded", "found", "is_newer"),
    [
        (at_url("sha256=ab", ONE), at_url("sha256=ab", ONE), False),
        (at_url("sha256=ab", ONE), at_url("sha256=cd", OTHER), True),
        (at_url("etag=1"), at_url("etag=1"), False),
        (at_url("etag=1"), at_url("etag=2"), True),
        (at_url("sha256=ab", ONE), at_url("etag=1"), None),
        (at_url("etag=1"), at_url("sha256=ab", ONE), None),
        (at_url("sha256=ab", ONE), at_url("sha512=ab", STRONGER), None),
    ],
)
def test_a_url_is_asked_for_without_what_pins_the_image(
    recorded: Image, found: Image, *, is_newer: bool | None
) -> None:
    [told] = newest(recorded, RecordingCatalog([replace(found, name=URL)], []))
    assert (told.reference, told.is_newer) == (URL, is_newer)
    assert (told.reason is None) is (is_newer is not None)


def test_what_has_no_name_is_left_out() -> None:
    assert newest(None, MemoryCatalog()) == newest(Image("1"), MemoryCatalog()) == []


def test_a_name_that_is_not_found_cannot_be_told() -> None:
    [told] = newest(NOBLE, MemoryCatalog())
    assert (told.image, told.is_newer) == (None, None)
    assert told.reason == str(ImageNotFound("noble", "the memory catalog"))
    [told] = newest(NOBLE, FailingCatalog(CatalogUnavailable("it is away")))
    assert told.reason == "it is away"


def test_each_name_is_asked_for_once() -> None:
    associations = MemoryAssociations()
    for number in range(3):
        associations.put(replace(RECORDED, target=f"/vms/{number}")).unwrap()
    events: list[Event] = []
    catalog = RecordingCatalog([NOBLE], events)
    found = [each.association.target for each in Dispatcher([], catalog, associations).newest()]
    assert found == ["/vms/0", "/vms/1", "/vms/2"]
    assert events == [("ask", "noble")]
