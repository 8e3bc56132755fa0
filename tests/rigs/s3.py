"""The bench of the s3 handler: a bucket of Ceph's gateway."""

import uuid

import pytest
from tests.integration.services.rgw import KEY, Rgw
from tests.rigs.rig import DATA, IMAGE, Bench, Folder

from lading import Location, Work
from lading.adapters.destinations.file.destination import Transfer
from lading.adapters.handlers.s3 import S3Handler, S3HandlerSettings

__all__ = ["s3_bench"]


@pytest.fixture
def s3_bench(folder: Folder, transfer: Transfer, rgw: Rgw) -> Bench:
    bucket = rgw.bucket(f"bench-{uuid.uuid4()}")
    work = Work(folder.target("1"), IMAGE, Location(rgw.put(bucket, IMAGE.id, DATA)))
    settings = S3HandlerSettings(endpoint=rgw.url, access_key=KEY.access, secret_key=KEY.secret)
    handler = S3Handler(settings, transfer, first_wait=0.01)
    return Bench(handler, work, folder, lambda: rgw.delete(bucket, IMAGE.id))
