"""What strangers hand to lading, as bytes: each target takes any, and lets fly what is not documented."""

import http.client
import json
import socket
import sqlite3
import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from lading import Location, StoreUnavailable
from lading.adapters.catalogs.checksum_files import LENGTHS, checksums_of
from lading.adapters.catalogs.simplestreams.products import products
from lading.adapters.catalogs.simplestreams.stream import Stream
from lading.adapters.catalogs.url_reference import UrlReference
from lading.adapters.codec.documents import catalog_image, image_to_document, read_json, unnested
from lading.adapters.config.settings import read_settings
from lading.adapters.config.sources import read_file
from lading.adapters.destinations.file.notes import noted_file, noted_landing
from lading.adapters.formats.unpacking.unpacked import Limits, Unpacked
from lading.adapters.oci.manifest import Manifest, disk_format
from lading.adapters.oci.reference import Reference
from lading.adapters.signatures.openpgp import split_clear_signed
from lading.adapters.sqlite.database import Database
from lading.adapters.sqlite.journal import FileJournal
from lading.adapters.sqlite.record_file import read_record
from lading.adapters.stream.errors import Refused
from lading.adapters.stream.pipeline import CHUNK, SourceBroken
from lading.adapters.stream.safe_open import local_paths
from lading.adapters.stream.sources import FileSource
from lading.adapters.web.http import Origin
from lading.adapters.web.response import Response
from lading.adapters.web.stalls import StallDetector
from lading.ports.failures import SettingsError
from lading.ports.image import UNPROVEN

__all__ = ["TARGETS"]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def urls(data: bytes) -> None:
    """Location hides the same again; a URL that http can't be asked by is a ValueError in words."""
    location = Location(_text(data))
    shown = str(location)
    assert str(location.redacted()) == shown
    assert repr(location)
    assert location.scheme == location.scheme.lower()
    local_paths(location)
    with suppress(ValueError):
        Origin.of(location.url)
    with suppress(ValueError):
        assert UrlReference.of(location.url).urls


def checksums(data: bytes) -> None:
    """A checksum file gives a digest of the right length, or nothing, or a ValueError in words."""
    with suppress(ValueError):
        found = checksums_of(data, "noble.img", alone=True)
        assert found is None or len(found.digest.value) == LENGTHS[found.digest.algorithm]


def documents(data: bytes) -> None:
    """A document makes an image or says what is wrong; an image's document makes the same image."""
    try:
        document = read_json(data)
    except ValueError:
        return
    if isinstance(document, dict):
        image = catalog_image(unnested(document)).value_or(None)
        if image is not None:
            json.dumps(image_to_document(image), allow_nan=False)


def settings(data: bytes) -> None:
    """A settings file is read, or a SettingsError of one line that can be printed."""
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        file.write(data)
        file.flush()
        try:
            table = read_file(Path(file.name))
            read_settings(table or {}, {"HOME": "/nowhere"})
        except SettingsError as error:
            told = str(error)
        else:
            told = ""
        assert not told or told.isprintable()


def journal(data: bytes) -> None:
    """A row of the journal is an intent, or StoreUnavailable; an intent's notes mean something, or nothing."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.sqlite"
        with closing(Database(path)) as database:
            FileJournal(database).settle("nothing").unwrap()
            document, _, notes = data.partition(b"\0")
            with closing(sqlite3.connect(path)) as connection, connection:
                insert = "INSERT INTO intents VALUES (CAST(? AS TEXT), NULL, CAST(? AS TEXT), CAST(? AS TEXT))"
                connection.execute(insert, (b"/vms/1", document, notes))
            with suppress(StoreUnavailable):
                for intent in FileJournal(database).list():
                    noted_landing(intent.notes)
                    noted_file(intent.notes, "moving")


def record(data: bytes) -> None:
    """A record is read, whatever is in it, or it is of a later version."""
    with tempfile.NamedTemporaryFile(suffix=".record") as file:
        file.write(data)
        file.flush()
        with suppress(StoreUnavailable):
            read_record(Path(file.name))


def answers(data: bytes) -> None:
    """An answer's head is read, or it is one of the errors of a broken connection or of nonsense; chunks likewise."""
    ours, theirs = socket.socketpair()
    with ours, theirs, suppress(OSError, http.client.HTTPException, SourceBroken):
        theirs.sendall(data[:65536])
        theirs.shutdown(socket.SHUT_WR)
        with closing(Response(StallDetector(1, 1), ours, method="GET")) as response:
            response.begin()
            assert b"\n\n" in data.replace(b"\r", b"")  # where a head ends
            is_first = True
            while response.chunked and (size := response.next_chunk(is_first=is_first)):
                assert size > 0
                response.fp.read(min(size, len(data)))
                is_first = False


def packed(data: bytes) -> None:
    """What begins like a packed file is unpacked within the limits, or refused."""
    limits = Limits(most=4 << 20, memory=16 << 20)
    with tempfile.TemporaryFile() as file, suppress(Refused):
        file.write(data)
        file.flush()
        total = 0
        for chunk in Unpacked(FileSource(file.fileno()), limits).chunks(lambda: bytearray(CHUNK)):
            total += chunk.length
        assert total <= max(limits.most, len(data))


def references(data: bytes) -> None:
    """A reference names one thing, also when it is read again as it is shown; others are a ValueError in words."""
    try:
        named = Reference.of(_text(data))
    except ValueError:
        return
    assert Reference.of(str(named)) == replace(named, login=None)
    assert Reference.of(named.url) == named


def manifests(data: bytes) -> None:
    """A manifest or an index names one disk, or says why not."""
    for media_type in ("", "application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json"):
        with suppress(ValueError):
            manifest = Manifest(data, media_type)
            chosen = manifest.for_host("amd64") if manifest.is_index else manifest.disk()
            assert str(chosen).isprintable()
            disk_format(manifest, chosen, None)


def streams(data: bytes) -> None:
    """A list of images is read, whatever is in it, or it is a ValueError in words; each image is found again."""
    try:
        document = msgspec.json.decode(data)
        stream = Stream(products(document, "images", UNPROVEN), "https://mirror.example/", "amd64")
    except (ValueError, RecursionError):
        return
    for image in stream.images():
        found = stream.find(image.name or "")
        assert found is not None
        assert found.id == image.id


def clear_signed(data: bytes) -> None:
    """A document has a signed text, or is refused."""
    with suppress(Refused):
        split_clear_signed(data, "index.sjson")


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    each.__name__: each
    for each in (
        urls, checksums, documents, settings, journal, record, answers, packed, references, manifests, streams,
        clear_signed,
    )
}  # fmt: skip
