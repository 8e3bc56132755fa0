"""The bench of the swift handler: a container of Ceph's gateway."""

import uuid

import pytest
from tests.integration.services.rgw import Rgw
from tests.rigs.rig import Folder

from lading import Location, Work
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.swift import SwiftHandler, SwiftHandlerSettings
from lading.sdk.contracts import DATA, IMAGE, HandlerRig

__all__ = ["swift_rig"]


@pytest.fixture
def swift_rig(folder: Folder, transfer: FileDestination, rgw: Rgw) -> HandlerRig:
    container = rgw.bucket(f"bench-{uuid.uuid4()}")
    rgw.put(container, IMAGE.id, DATA)
    work = Work(folder.target("1"), IMAGE, Location(rgw.swift_location(container, IMAGE.id)))
    handler = SwiftHandler(SwiftHandlerSettings(hosts=(rgw.host,)), transfer, first_wait=0.01)
    return HandlerRig(handler, work, folder, lambda: rgw.delete(container, IMAGE.id))
