"""The bench of the s3 handler: a bucket of Ceph's gateway."""

import uuid

import pytest
from tests.integration.services.rgw import KEY, Rgw
from tests.rigs.rig import Folder

from lading import Location, Work
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.s3 import S3Handler, S3HandlerSettings
from lading.sdk.contracts import DATA, IMAGE, HandlerRig

__all__ = ["s3_rig"]


@pytest.fixture
def s3_rig(folder: Folder, transfer: FileDestination, rgw: Rgw) -> HandlerRig:
    bucket = rgw.bucket(f"bench-{uuid.uuid4()}")
    work = Work(folder.target("1"), IMAGE, Location(rgw.put(bucket, IMAGE.id, DATA)))
    settings = S3HandlerSettings(endpoint=rgw.url, access_key=KEY.access, secret_key=KEY.secret)
    handler = S3Handler(settings, transfer, first_wait=0.01)
    return HandlerRig(handler, work, folder, lambda: rgw.delete(bucket, IMAGE.id))
