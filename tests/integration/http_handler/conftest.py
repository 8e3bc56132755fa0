"""Fixtures of the tests of the http handler."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faulty_server import FaultyServer
from tests.integration.http_handler.served import MEBIBYTE

from lading.adapters.web import remote


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        yield running


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "vm"


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path: Path) -> Iterator[None]:
    before = threading.active_count()
    yield
    assert [name for name in os.listdir(tmp_path) if name != "vm"] == []
    assert threading.active_count() <= before + 1


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every single connection counts as slow, after its first buffer."""
    monkeypatch.setattr(remote, "_FAST", float("inf"))
    monkeypatch.setattr(remote, "_TRIAL", MEBIBYTE)
