"""A mirror of the test's own, and keys."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.faulty_server import FaultyServer, Reply

from lading.adapters.catalogs.simplestreams import documents
from lading.adapters.catalogs.simplestreams.catalog import SimplestreamsCatalog
from lading.adapters.catalogs.simplestreams.settings import SimplestreamsCatalogSettings
from lading.adapters.web.guard import Guard
from lading.adapters.web.http import HttpOptions

MakeCatalog = Callable[..., SimplestreamsCatalog]


@pytest.fixture
def mirror(faulty_server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> FaultyServer:
    monkeypatch.setattr(documents, "_RACE_SECONDS", 0.0)
    return faulty_server


@pytest.fixture
def make_catalog(mirror: FaultyServer, tmp_path: Path) -> MakeCatalog:
    """Makes a catalog of the mirror, which shares its cache with the others of the test."""

    def make(*, first_byte_seconds: float = 30.0, **settings: Any) -> SimplestreamsCatalog:  # noqa: ANN401 - of settings
        known = {"url": mirror.url("/"), "cache": tmp_path / "cache", "architecture": "amd64"}
        return SimplestreamsCatalog(
            SimplestreamsCatalogSettings(**{**known, **settings}),
            HttpOptions(guard=Guard(), first_byte_seconds=first_byte_seconds),
        )

    return make


def serve(server: FaultyServer, tree: dict[str, bytes]) -> None:
    """Publishes the files. A document that changes gets another ETag."""
    for path, content in tree.items():
        server.answer(f"/{path}", Reply(content, etag=f'"{hash(content)}"', modified=None))
