"""Laws of image documents: they say all of an image, and whatever they say, it ends in an image or in words."""

import json

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from returns.result import Failure, Success

from lading import Digest, Image, Location
from lading.adapters.codec.documents import catalog_image, image_from_document, image_to_document, read_json
from lading.adapters.nova.convert import image_from_meta, image_to_meta

KEYS = (
    "id",
    "name",
    "status",
    "size",
    "disk_format",
    "os_hash_algo",
    "os_hash_value",
    "checksum",
    "locations",
    "direct_url",
)


def json_values() -> SearchStrategy[object]:
    scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9)
    return st.recursive(
        scalars, lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=9), each, max_size=3)
    )


def impossible_values() -> SearchStrategy[object]:
    """What no image can have, deep in a value or not."""
    wrong = st.floats() | st.integers(min_value=2**63)
    return wrong | st.lists(wrong, max_size=2) | st.dictionaries(st.text(max_size=3), wrong, max_size=2)


def properties() -> SearchStrategy[dict[str, object]]:
    """Under names that are none of a document's own."""
    return st.dictionaries(st.text(max_size=9).map("x_{}".format), json_values(), max_size=3)


def images() -> SearchStrategy[Image]:
    """All that a document can say, in any combination."""
    texts = st.text(min_size=1, max_size=9)
    metadata = st.dictionaries(texts, json_values(), max_size=2)
    return st.builds(
        Image,
        id=texts.filter(str.strip),
        name=st.none() | st.text(max_size=9),
        size=st.none() | st.integers(min_value=0),
        disk_format=st.none() | texts,
        container_format=st.none() | texts,
        digest=st.none() | st.builds(Digest, texts, texts),
        checksum=st.none() | texts,
        status=texts,
        locations=st.lists(st.builds(Location, st.text(max_size=20), metadata), max_size=3),
        properties=properties(),
    )


def documents() -> SearchStrategy[dict[str, object]]:
    """What somebody may have written by hand: the right keys with right and wrong values, and any others."""
    locations = st.lists(
        st.fixed_dictionaries({}, optional={"url": st.text() | json_values(), "metadata": json_values()})
    )
    wrong = st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=9), json_values() | locations, max_size=5)
    return st.builds(lambda image, wrong: {**image_to_document(image), **wrong}, images(), wrong)


@given(images())
def test_an_image_survives_its_document(image: Image) -> None:
    assert image_from_document(json.loads(json.dumps(image_to_document(image)))) == Success(image)


@given(documents())
def test_any_document_gives_an_image_or_says_what_is_wrong(document: dict[str, object]) -> None:
    match image_from_document(document):
        case Success(Image() as image):
            assert image.id == document["id"]
        case Failure(str() as reason):
            assert reason.split(":")[0].split("[")[0] in KEYS


@given(documents())
def test_what_was_understood_is_understood_again(document: dict[str, object]) -> None:
    match image_from_document(document):
        case Success(Image() as image):
            assert image_from_document(image_to_document(image)) == Success(image)


@given(documents(), st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=9), impossible_values(), max_size=2))
def test_what_a_catalog_says_is_refused_or_can_be_said_in_json(
    document: dict[str, object], impossible: dict[str, object]
) -> None:
    read = read_json(json.dumps({**document, **impossible}).encode())
    assert isinstance(read, dict)
    match catalog_image(read):
        case Success(Image() as image):
            assert image.size is None or image.size < 2**63
            written = json.dumps(image_to_document(image), allow_nan=False)
            assert catalog_image(json.loads(written)) == Success(image)
        case Failure(str() as reason):
            assert reason


@given(images(), properties())
def test_unknown_keys_are_kept(image: Image, unknown: dict[str, object]) -> None:
    read = image_from_document({**image_to_document(image), **unknown}).unwrap()
    assert {**read.properties, **unknown} == read.properties == {**image.properties, **unknown}


@given(images())
def test_an_image_survives_its_original_description(image: Image) -> None:
    assert image_from_meta(image_to_meta(image), None) == Success(image)
