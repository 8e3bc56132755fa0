"""Fixtures of the tests of resuming."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.faulty_server import FaultyServer
from tests.integration.resuming.host import WHOLE, Host

from lading.adapters.sqlite.database import Database


@pytest.fixture
def host(tmp_path: Path, faulty_server: FaultyServer) -> Iterator[Host]:
    (tmp_path / "vms").mkdir()
    with closing(Database(tmp_path / "lading.db")) as database:
        yield Host(tmp_path / "vms", faulty_server, database, faulty_server.answer("/noble", WHOLE))


@pytest.fixture(params=["http", "download"])
def either(request: pytest.FixtureRequest, host: Host) -> Host:
    """By either handler that brings images from afar."""
    host.handler = request.param
    return host


@pytest.fixture
def fetched(host: Host) -> Host:
    host.fetch().unwrap()
    return host
