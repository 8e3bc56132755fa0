"""What an association says of images."""

from dataclasses import replace

import pytest
from tests.strategies import IMAGE, LANDED_AT, OTHER_IMAGE, TARGET

from lading import Association, Digest, Image

HASHED = replace(IMAGE, digest=Digest("sha256", "ab" * 32))


@pytest.mark.parametrize(
    ("recorded", "asked", "is_for"),
    [
        (HASHED, HASHED, True),
        (HASHED, replace(HASHED, name="renamed", locations=()), True),
        (HASHED, IMAGE, False),  # an id comes again, with other bytes
        (HASHED, OTHER_IMAGE, False),
        (None, None, True),
        (None, IMAGE, False),
        (IMAGE, None, False),
    ],
)
def test_it_holds_the_very_image_that_is_recorded(recorded: Image | None, asked: Image | None, *, is_for: bool) -> None:
    assert Association(TARGET, "pool", recorded, None, LANDED_AT).is_for(asked) is is_for
