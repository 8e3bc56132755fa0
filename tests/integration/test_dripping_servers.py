"""Servers that drip, break off and disagree, by chance: an image lands whole, from the one good server among them.

LADING_TORTURE says how many fetches; LADING_SEED makes a run again.
"""

import hashlib
import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from returns.result import Success
from tests.faulty_server import CUT, RESET, STALL, Answer, Drip, FaultyServer, Reply, busy, chunked, redirect
from tests.torture import TORTURE

from lading import Digest, Dispatcher, FetchRequest, Image, Location
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.http import HttpHandler
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.web import remote
from lading.adapters.web.http import HttpOptions

FETCHES: Final = TORTURE or 24
SEED: Final = int(os.environ.get("LADING_SEED") or random.SystemRandom().randrange(1 << 32))
GUARD: Final = 120.0
"""Seconds after which a fetch hangs."""
MEBIBYTE: Final = 1 << 20
DATA: Final = random.Random("image").randbytes(5 * MEBIBYTE + 17)
OTHER: Final = random.Random("other").randbytes(len(DATA))
OPTIONS: Final = HttpOptions(5, stall_seconds=0.3, first_byte_seconds=3)


def etag(chance: random.Random, data: bytes) -> str | None:
    """What an honest server says of these bytes: a strong ETag for no other ones, or one that promises less."""
    return chance.choice((f'"{hashlib.sha256(data).hexdigest()[:8]}"', 'W/"weak"', None))


def dripping(chance: random.Random) -> Drip:
    where = chance.randrange(MEBIBYTE)
    length = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" % len(DATA)
    pace = chance.choice((0.0, 0.01, 0.05))
    return chance.choice(
        (
            Drip(b"HTTP/1.1 20", b"0", pace),
            Drip(length, b"X: y\r\n", pace),
            Drip(length + b"X: ", b"x", pace),
            Drip(chunked(DATA[: where + 1]), b"0", pace),
            Drip(chunked(DATA[: where + 1]) + b"5;", b"x", pace),
            # As fast as can be, these would be slow servers, not stalled ones.
            Drip(chunked(DATA[: where + 1]), b"1\r\nx\r\n"),
            Drip(length + b"\r\n" + DATA[:where], b"x"),
        )
    )


def breaking(chance: random.Random, data: bytes) -> Reply:
    return Reply(
        data,
        etag=etag(chance, data),
        after=chance.choice((0, 1, chance.randrange(len(data)))),
        then=chance.choice((CUT, RESET, STALL)),
        ranges=chance.random() < 0.8,
        most=chance.choice((None, None, 1, 70_000)),
        framing=chance.choice(("length", "length", "chunked")),
    )


def bad(chance: random.Random, server: FaultyServer, number: int) -> str:
    """The URL of a server that serves the image, or another of its size, and never whole."""
    data = chance.choice((DATA, DATA, OTHER))
    kinds: tuple[Callable[[], Answer], ...] = (
        lambda: dripping(chance),
        lambda: breaking(chance, data),
        lambda: busy(chance.choice((429, 503)), retry_after=0),
        lambda: Reply(b"", status=chance.choice((403, 404, 500))),
        lambda: redirect("/none"),
        lambda: b"HTTP/1.1 200 OK\r\nServer: x\r\n",
        lambda: b"HTTP/1.1 200 OK\r\nContent-Length: 4, 5\r\n\r\nnoble",
    )
    return server.answer_by_turns(f"/bad/{number}", *(chance.choice(kinds)() for _ in range(chance.randint(1, 4))))


def good(chance: random.Random, server: FaultyServer) -> str:
    """The URL of a server that can be read to the end, though it may not be asked by several or for ranges."""
    plain = Reply(DATA, etag=f'"{hashlib.sha256(DATA).hexdigest()[:8]}"', ranges=chance.random() < 0.8)
    first = chance.choice((plain, replace(plain, after=chance.randrange(len(DATA))), plain))
    return server.answer("/good", first, plain)


def test_an_image_lands_whole_among_servers_that_misbehave(
    tmp_path: Path, faulty_server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_FAST", float("inf"))
    monkeypatch.setattr(remote, "_TRIAL", MEBIBYTE)
    chance = random.Random(SEED)
    digest = Digest("sha256", hashlib.sha256(DATA).hexdigest())
    with ThreadPoolExecutor(1) as thread:
        for number in range(FETCHES):
            urls = [bad(chance, faulty_server, each) for each in range(chance.randint(1, 3))]
            urls.insert(chance.randint(0, len(urls)), good(chance, faulty_server))
            promised = chance.choice((digest, None))
            image = Image(
                "id",
                size=chance.choice((len(DATA), None)) if promised else len(DATA),
                digest=promised,
                disk_format="raw",
                locations=[Location(url) for url in urls],
            )
            handler = HttpHandler(
                OPTIONS, FileDestination(MemoryVerifiedFiles()), connections=chance.choice((1, 4)), first_wait=0.001
            )
            dispatcher = Dispatcher([handler], MemoryCatalog([image]), MemoryAssociations())
            target = tmp_path / str(number)
            staged = thread.submit(dispatcher.fetch, FetchRequest("id", str(target))).result(GUARD)
            assert isinstance(staged, Success), f"LADING_SEED={SEED}, fetch {number}: {staged}"
            # Without a digest the other image is as good, if it is that one alone.
            assert target.read_bytes() in {DATA, DATA if promised else OTHER}, f"LADING_SEED={SEED}, fetch {number}"
            target.unlink()
    assert os.listdir(tmp_path) == []
