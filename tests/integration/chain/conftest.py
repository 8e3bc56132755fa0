"""Fixtures of the tests of the whole chain: packed and converted images to files."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.disk.forking import Forks
from tests.faulty_server import FaultyServer
from tests.integration.chain.host import ChainHost, Images
from tests.packages import needs


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    return Images(tmp_path_factory.mktemp("images"))


@pytest.fixture
def chain_host(quick_folder: Path, forks: Sequence[Forks], faulty_server: FaultyServer) -> ChainHost:
    needs("qemu-img")
    return ChainHost(quick_folder, forks[0], faulty_server)
