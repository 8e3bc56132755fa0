"""A server with images, and the URL catalog that finds them."""

import hashlib
import random
from collections.abc import Iterator

import pytest
from tests.faulty_server import FaultyServer, Reply

from lading import ANONYMOUS, Image
from lading.adapters.catalogs.url import UrlCatalog
from lading.adapters.web.guard import Guard
from lading.adapters.web.http import HttpOptions
from lading.ports.failures import CatalogFailure

DATA = random.Random(1).randbytes(3000)
SHA256 = hashlib.sha256(DATA).hexdigest()
SHA512 = hashlib.sha512(DATA).hexdigest()
OTHER = "cd" * 32


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        running.answer("/d/noble.img", Reply(DATA))
        yield running


def catalog(*mirrors: str, stall: float = 5) -> UrlCatalog:
    """Guarded as by default: only what the operator names may be on loopback."""
    return UrlCatalog(HttpOptions(5, stall, guard=Guard(), first_byte_seconds=stall), mirrors)


def found(reference: str, *mirrors: str) -> Image:
    return catalog(*mirrors).find(reference, ANONYMOUS).unwrap()


def failure(reference: str, *mirrors: str) -> CatalogFailure:
    return catalog(*mirrors).find(reference, ANONYMOUS).failure()
