"""Fixtures of the tests of the database."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lading.adapters.sqlite.associations import FileAssociations
from lading.adapters.sqlite.database import Database


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lading.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    with closing(Database(path)) as opened:
        yield opened


@pytest.fixture
def associations(database: Database) -> FileAssociations:
    return FileAssociations(database)
