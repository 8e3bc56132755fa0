"""Databases of associations with their records, and the damage that their files can take."""

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import NamedTuple

from lading.adapters.sqlite.associations import FileAssociations, put_step
from lading.adapters.sqlite.database import Database, Step
from lading.adapters.sqlite.record import Record
from lading.adapters.sqlite.record_file import remove_change
from lading.ports.association import Association, Fingerprint
from lading.ports.image import Digest, Image
from lading.ports.location import Location

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
REMOVING = 2
"""The step that removes what it names."""
REMOVE = "DELETE FROM associations WHERE target = CAST(? AS TEXT)"


class Whole(NamedTuple):
    """A database before it is damaged."""

    database: bytes
    log: bytes
    record: bytes
    now: tuple[Association, ...]
    """By target."""

    def __repr__(self) -> str:
        return f"<{len(self.now)} associations>"

    def at(self, folder: Path) -> Path:
        return laid(folder, self.database, self.log, self.record)


def laid(folder: Path, database: bytes | None, log: bytes = b"", record: bytes = b"") -> Path:
    path = folder / "lading.db"
    if database is not None:
        path.write_bytes(database)
    if log:
        path.with_name("lading.db-wal").write_bytes(log)
    if record:
        Record(path).path.write_bytes(record)
    return path


def association(number: int, *, hour: int = 0, long: int = 0) -> Association:
    """The one of a number, put in an hour; `long` is how many bytes more it takes."""
    return Association(
        target=f"/vms/{number:05}/disk",
        handler=("file", "rbd", "download")[number % 3],
        image=Image(f"image-{number % 17}", "noble", size=number, properties={"os_distro": "ubuntu"}),
        location=Location("file:///srv/images/noble.img"),
        landed_at=EPOCH + timedelta(hours=hour, seconds=number),
        method="copy" + "x" * long,
        size=number,
        digest=Digest("sha256", f"{number:064x}"),
        verified=True,
        fingerprint=Fingerprint(1, number, number, 2, 3),
    )


def lived_in(path: Path, count: int, checkpoints: Sequence[int] = ()) -> Whole:
    """One in which things were put, put again and removed. After the steps of these numbers its log is written back.

    There are five steps. What is in the log after the last stays there.
    """
    some = range(count)
    steps = (
        [association(number) for number in some],
        [association(number, hour=1, long=number % 900) for number in some[::7]],
        [association(number) for number in (*some[count // 4 : count // 2], *some[::11])],
        [association(number, hour=2) for number in range(count, count + count // 20 + 1)],
        [association(number, hour=3) for number in some[::23]],
    )
    now: dict[str, Association] = {}
    with closing(Database(path)) as database:
        database.change()
        database.rows("PRAGMA wal_autocheckpoint = 0")
        for number, step in enumerate(steps):
            if number == REMOVING:
                database.change(*(Step(REMOVE, (each.target.encode(),), remove_change(each.target)) for each in step))
                for target in {each.target for each in step}:
                    now.pop(target, None)
            else:
                database.change(*map(put_step, step))
                now |= {each.target: each for each in step}
            if number in checkpoints:
                database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        assert list(FileAssociations(database).list()) == [now[target] for target in sorted(now)]
        log = path.with_name(f"{path.name}-wal").read_bytes()
        return Whole(path.read_bytes(), log, Record(path).path.read_bytes(), tuple(now[each] for each in sorted(now)))


def target_of(each: Association) -> str:
    return each.target


def filled(path: Path, associations: Sequence[Association]) -> Whole:
    """One that just holds these, all of it in its file."""
    with closing(Database(path)) as database:
        database.change(*map(put_step, associations))
    return Whole(path.read_bytes(), b"", Record(path).path.read_bytes(), tuple(sorted(associations, key=target_of)))


# Damage.


def overwritten(data: bytes, start: int, new: bytes) -> bytes:
    return data[:start] + new + data[start + len(new) :]


def seeded(seed: int) -> Random:
    return Random(seed)


def randomised(data: bytes, pieces: Sequence[range], seed: int) -> bytes:
    random, new = seeded(seed), bytearray(data)
    for piece in pieces:
        new[piece.start : piece.stop] = random.randbytes(len(piece))
    return bytes(new)


def zeroed(data: bytes, pieces: Sequence[range]) -> bytes:
    new = bytearray(data)
    for piece in pieces:
        new[piece.start : piece.stop] = bytes(len(piece))
    return bytes(new)


def pages(data: bytes, size: int = 4096) -> list[range]:
    """Where each page of a database is."""
    return [range(start, min(start + size, len(data))) for start in range(0, len(data), size)]
