"""Fixtures of the tests of block devices."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faulty_server import FaultyServer
from tests.integration.devices.host import SIZE, Host
from tests.loop_devices import LoopDevice


@pytest.fixture
def host(tmp_path: Path, faulty_server: FaultyServer, make_loop: Callable[..., LoopDevice]) -> Host:
    (tmp_path / "images").mkdir()
    return Host(tmp_path / "images", faulty_server, make_loop(SIZE))
