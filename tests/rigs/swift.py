"""The bench of the swift handler: a container of Ceph's gateway."""

import uuid

import pytest
from tests.integration.services.rgw import Rgw
from tests.rigs.rig import DATA, IMAGE, Bench, Folder

from lading import Location, Work
from lading.adapters.destinations.file.destination import Transfer
from lading.adapters.handlers.swift import SwiftHandler, SwiftHandlerSettings

__all__ = ["swift_bench"]


@pytest.fixture
def swift_bench(folder: Folder, transfer: Transfer, rgw: Rgw) -> Bench:
    container = rgw.bucket(f"bench-{uuid.uuid4()}")
    rgw.put(container, IMAGE.id, DATA)
    work = Work(folder.target("1"), IMAGE, Location(rgw.swift_location(container, IMAGE.id)))
    handler = SwiftHandler(SwiftHandlerSettings(hosts=(rgw.host,)), transfer, first_wait=0.01)
    return Bench(handler, work, folder, lambda: rgw.delete(container, IMAGE.id))
