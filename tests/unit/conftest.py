"""Unit tests open no connections, start no servers, and wait for no disk: others do, in tests/integration."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """Does not flush files; tests/integration/test_power.py proves what is flushed when."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", os.fstat)
        patched.setattr(os, "fdatasync", os.fstat)
        yield
