"""Laws of the codecs: what is encoded comes back exactly, on one line."""

from dataclasses import replace

import pytest
from hypothesis import given
from tests.strategies import IMAGE, LANDED_AT, TARGET, intents

from lading.adapters.codec.associations import (
    association_from_document,
    association_to_document,
    decode_association,
    encode_association,
)
from lading.adapters.codec.intents import decode_intent, encode_intent, encode_notes
from lading.adapters.codec.text import MALFORMED
from lading.ports.association import Association
from lading.ports.journal import Intent
from lading.sdk.contracts.strategies import any_associations


@given(any_associations())
def test_an_association_comes_back_exactly(association: Association) -> None:
    data = encode_association(association)
    assert decode_association(data) == association
    assert b"\n" not in data


@given(any_associations())
def test_its_document_describes_it(association: Association) -> None:
    assert association_from_document(association_to_document(association)) == association


@given(intents())
def test_an_intent_comes_back_exactly(intent: Intent) -> None:
    data = encode_intent(intent)
    assert decode_intent(data) == intent
    assert b"\n" not in data


def test_what_would_come_back_changed_is_refused_by_the_name_of_its_field() -> None:
    odd = Association(TARGET, "file", replace(IMAGE, properties={"tags": ("one", "two")}), None, LANDED_AT)
    with pytest.raises(ValueError, match="its image would come back changed"):
        encode_association(odd)
    with pytest.raises(ValueError, match="it would come back changed"):
        encode_notes({"tags": ("one", "two")})


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"{}", b'{"target":"/1"}', b"\xff"])
def test_what_is_no_association_is_refused(data: bytes) -> None:
    with pytest.raises(MALFORMED):
        decode_association(data)
