"""Work on the images of a real Ceph's pool."""

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from returns.result import Failure
from tests.integration.services.ceph import Ceph
from tests.rigs.rig import setup_of

from lading import Association, Digest, Image, Work
from lading.adapters.destinations.file.destination import FileDestination, Rules
from lading.adapters.handlers.rbd.handler import RbdHandler
from lading.adapters.handlers.rbd.settings import RbdHandlerSettings
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.ports.verified_files import VerifiedFiles
from lading.sdk.contracts import IMAGE

MEBIBYTE = 1 << 20
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def handler_of(
    ceph: Ceph, *, user: str = "admin", rules: Rules | None = None, verified: VerifiedFiles | None = None
) -> RbdHandler:
    transfer = FileDestination(verified or MemoryVerifiedFiles(), rules or Rules())
    return RbdHandler(RbdHandlerSettings(ceph.conf, user, connect_timeout=2), setup_of(transfer))


def image_of(data: bytes) -> Image:
    return replace(IMAGE, size=len(data), digest=Digest("sha256", hashlib.sha256(data).hexdigest()))


def recorded(handler: RbdHandler, work: Work) -> Work:
    """The work, done and recorded."""
    landing = handler.fetch(work).unwrap()
    blank = Association(work.target, handler.name, work.image, work.location, NOW)
    return replace(work, association=landing.recorded_in(blank))


def new_name() -> str:
    return f"noble-{uuid.uuid4().hex}"


def reason_of(refused: object) -> str:
    """The reason of a refusal, of any kind."""
    assert isinstance(refused, Failure), refused
    return str(refused.failure())


def write_at(ceph: Ceph, where: str, writes: Mapping[int, bytes]) -> None:
    """Write to an image in a pool, as a guest does."""
    import rados  # noqa: PLC0415 - only where `ceph` has made them importable
    import rbd  # noqa: PLC0415 - likewise

    pool, _, name = where.rpartition("/")
    with (
        rados.Rados(conffile=str(ceph.conf), rados_id="admin") as cluster,
        cluster.open_ioctx(pool) as ioctx,
        rbd.Image(ioctx, name) as image,
    ):
        for offset, data in writes.items():
            image.write(data, offset)
