"""Fixtures of the tests with a real Ceph."""

import pytest
from tests.rigs.rbd import Pool

from lading import Location, Work
from lading.sdk.contracts import IMAGE


@pytest.fixture
def clone_work(pool: Pool, rbd_location: str) -> Work:
    return Work(pool.target("1"), IMAGE, Location(rbd_location))
