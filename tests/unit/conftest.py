"""Unit tests connect to nothing, start no servers, and wait for no disk. Others do, in tests/integration."""

import os
import socket
import sys
from collections.abc import Iterator
from importlib import metadata
from itertools import chain
from typing import NoReturn

import pytest


@pytest.fixture(scope="module", autouse=True)
def _no_connections() -> Iterator[None]:
    def refuse(_: socket.socket, address: object) -> NoReturn:
        raise AssertionError(f"a unit test connects to {address}")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(socket.socket, "connect", refuse)
        yield


@pytest.fixture(scope="module", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """Does not flush files. tests/integration/test_power.py proves what is flushed when."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", os.fstat)
        yield


@pytest.fixture(scope="module", autouse=True)
def _few_distributions() -> Iterator[None]:
    """Searches for entry points in lading and in what a test installs, not in each of a hundred packages."""
    search = metadata.distributions

    def distributions() -> Iterator[metadata.Distribution]:
        installed_by_tests = [path for path in sys.path if "site-packages" not in path]
        return chain(search(name="lading"), search(path=installed_by_tests))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(metadata, "distributions", distributions)
        yield
