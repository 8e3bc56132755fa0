"""What a page shows and what its commands print are the same on a slow machine too."""

import pytest
from tests.pages import normal

SHOWN = """\
TARGET      IMAGE           AGE  STATE
/vms/1.img  noble-server-…  9 s  verified"""


@pytest.mark.parametrize(
    "row", ["/vms/1.img  noble-server…  10 s  verified", "/vms/1.img  noble-serv…  2 min  verified"]
)
def test_an_older_record_leaves_less_room_for_its_image(row: str) -> None:
    assert normal(f"TARGET      IMAGE          AGE  STATE\n{row}") == normal(SHOWN)


@pytest.mark.parametrize(
    "row", ["/vms/2.img  noble-server-…  9 s  verified", "/vms/1.img  noble-server-…  9 s  damaged"]
)
def test_another_word_differs(row: str) -> None:
    assert normal(f"TARGET      IMAGE           AGE  STATE\n{row}") != normal(SHOWN)
