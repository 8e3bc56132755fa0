"""Laws of simplestreams: whatever a mirror publishes, a catalog answers with an image or a failure of a catalog."""

import copy
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from tests.streams import INCUS, INCUS_LIST, INDEX, UBUNTU, UBUNTU_LIST, index

from lading.adapters.catalogs.simplestreams.cache import Cache, Copy
from lading.adapters.catalogs.simplestreams.catalog import SimplestreamsCatalog
from lading.adapters.catalogs.simplestreams.products import is_path
from lading.adapters.catalogs.simplestreams.settings import SimplestreamsCatalogSettings
from lading.adapters.codec.documents import image_from_document, image_to_document
from lading.adapters.codec.text import to_json
from lading.adapters.signatures.openpgp import split_clear_signed
from lading.adapters.stream.errors import Refused
from lading.adapters.web.http import HttpOptions
from lading.adapters.web.validators import Validators
from lading.ports.context import ANONYMOUS
from lading.ports.failures import AmbiguousImage, CatalogUnavailable, ImageNotFound

ROOT = "https://mirror.example/"


def json_values() -> SearchStrategy[object]:
    scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
    return st.recursive(
        scalars, lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=9), each, max_size=3)
    )


@st.composite
def damaged_documents(draw: st.DrawFn, document: dict[str, Any]) -> bytes:
    """The document with other values in a few places."""
    damaged = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 4))):
        inner: dict[str, Any] = damaged
        for _ in range(draw(st.integers(0, 6))):
            tables = [value for value in inner.values() if isinstance(value, dict) and value]
            if tables:
                inner = draw(st.sampled_from(tables))
        key = draw(st.sampled_from(sorted(inner)) | st.text(max_size=9))
        inner[key] = draw(json_values())
    return json.dumps(damaged).encode()


def documents(document: dict[str, Any]) -> SearchStrategy[bytes]:
    return (
        st.just(json.dumps(document).encode())
        | damaged_documents(document)
        | json_values().map(lambda value: json.dumps(value).encode())
        | st.binary(max_size=20)
        | st.sampled_from([1, 3, 5]).map(lambda size: b"[" * 10**size)
    )


def catalog_of(folder: Path, listing: str, index_content: bytes, list_content: bytes) -> SimplestreamsCatalog:
    """A catalog that reads these two documents from its cache."""
    cache = Cache(folder)
    cache.put(f"{ROOT}{INDEX}.json", Copy(index_content, None, Validators()))
    cache.put(f"{ROOT}{listing}.json", Copy(list_content, None, Validators()))
    configured = SimplestreamsCatalogSettings(ROOT, folder, policy="none", architecture="amd64", offline=True)
    return SimplestreamsCatalog(configured, HttpOptions())


@pytest.mark.parametrize(("document", "listing"), [(UBUNTU, UBUNTU_LIST), (INCUS, INCUS_LIST)])
@settings(max_examples=40)
@given(data=st.data(), reference=st.sampled_from(["noble", "24.04", "debian/12", "n/20261101", "x"]) | st.text())
def test_a_hostile_mirror_makes_a_catalog_fail_and_no_more(
    tmp_path_factory: pytest.TempPathFactory,
    document: dict[str, Any],
    listing: str,
    data: st.DataObject,
    reference: str,
) -> None:
    folder = tmp_path_factory.getbasetemp() / "streams-cache"
    index_content = data.draw(documents(index(document, f"{listing}.json")))
    catalog = catalog_of(folder, listing, index_content, data.draw(documents(document)))
    try:
        images = list(catalog.images())
    except CatalogUnavailable:
        images = []
    failure = catalog.find(reference, ANONYMOUS).swap().value_or(None)
    assert failure is None or isinstance(failure, CatalogUnavailable | ImageNotFound | AmbiguousImage)
    for image in images:
        assert catalog.find(image.name or "", ANONYMOUS).unwrap().id == image.id
        assert catalog.find(image.id, ANONYMOUS).unwrap().id == image.id
        assert image_from_document(image_to_document(image)).unwrap() == image
        assert to_json(dict(image.properties))
        assert urlsplit(image.locations[0].url).netloc == "mirror.example"


@given(st.lists(st.sampled_from(["a", ".", "..", "", "20260721_05:24", "https:", "%2e%2e", "é", "\\"]), max_size=6))
def test_a_path_is_beneath_the_root_or_refused(segments: list[str]) -> None:
    assert is_path("/".join(segments)) == (bool(segments) and not {"", ".", "..", "\\"} & set(segments))


def pieces_of_messages() -> SearchStrategy[bytes]:
    marks = [
        b"-----BEGIN PGP SIGNED MESSAGE-----\n",
        b"Hash: SHA256\n",
        b"\n",
        b"- text \n",
        b"-----BEGIN PGP SIGNATURE-----\n",
        b"-----END PGP SIGNATURE-----\n",
    ]
    return st.lists(st.sampled_from(marks) | st.binary(max_size=9), max_size=12).map(b"".join)


@given(pieces_of_messages())
def test_a_document_is_split_into_text_and_signature_or_refused(document: bytes) -> None:
    try:
        text, signature = split_clear_signed(document, "x")
    except Refused:
        return
    assert signature.startswith(b"-----BEGIN PGP SIGNATURE-----")
    assert b"-----BEGIN PGP SIGNATURE-----" not in [line.rstrip() for line in text.split(b"\n")]
