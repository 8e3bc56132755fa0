"""Images of a remote of the kind simplestreams, fetched."""

import copy
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.faulty_server import FaultyServer, Reply
from tests.integration.streams.conftest import serve
from tests.openpgp import Key, Keys
from tests.streams import UBUNTU, signed

from lading import ANONYMOUS, Dispatcher, FetchRequest
from lading.adapters.config.settings import read_settings
from lading.adapters.container import Container, open_container

DATA = b"\1" * 1024 + bytes(1 << 20)
OLD = b"\2" * 1024
PRODUCT = "com.ubuntu.cloud:server:24.04:amd64"


def document(serials: dict[str, bytes]) -> dict[str, Any]:
    """Ubuntu's list with these disks of one product."""
    listed: dict[str, Any] = copy.deepcopy(UBUNTU)
    listed["products"][PRODUCT]["versions"] = {
        serial: {
            "items": {
                "disk": {
                    "ftype": "disk.img",
                    "path": f"server/{serial}/noble.img",
                    "size": len(data),
                    "sha256": hashlib.sha256(data).hexdigest(),
                }
            }
        }
        for serial, data in serials.items()
    }
    return listed


@pytest.fixture
def publish(mirror: FaultyServer, keys: Keys, vendor: Key) -> Callable[[dict[str, bytes]], None]:
    """Publishes these disks, by serial."""

    def publish(serials: dict[str, bytes]) -> None:
        serve(mirror, signed(keys, vendor, document(serials)))
        serve(mirror, {f"server/{serial}/noble.img": data for serial, data in serials.items()})

    return publish


@pytest.fixture
def container(mirror: FaultyServer, vendor: Key, tmp_path: Path) -> Container:
    remote = {
        "kind": "simplestreams", "url": mirror.url("/"), "keyring": str(vendor.keyring), "architecture": "amd64",
        "cache": str(tmp_path / "cache"),
    }  # fmt: skip
    tables = {"catalog": {"kind": "memory"}, "associations": {"kind": "memory"}, "handlers": {"order": ["http"]}}
    return open_container(read_settings({**tables, "catalogs": {"ubuntu": remote}}, {"HOME": str(tmp_path)}))


def dispatcher(container: Container) -> Dispatcher:
    made: Dispatcher = container.dispatcher()
    return made


def test_an_image_comes_verified_from_the_server_that_the_operator_named(
    container: Container, publish: Callable[[dict[str, bytes]], None], vendor: Key, tmp_path: Path
) -> None:
    publish({"20261101": DATA, "20260901": OLD})
    fetched = dispatcher(container).fetch_or_raise(FetchRequest("ubuntu:noble", str(tmp_path / "vm")))
    assert (tmp_path / "vm").read_bytes() == DATA
    assert fetched.handler == "http"
    image = container.catalog().find("ubuntu:noble", ANONYMOUS).unwrap()
    assert image.proof.signed_by == vendor.signer
    dispatcher(container).fetch_or_raise(FetchRequest("ubuntu:noble/20260901", str(tmp_path / "old")))
    assert (tmp_path / "old").read_bytes() == OLD


def test_advice_names_the_remote(container: Container, publish: Callable[[dict[str, bytes]], None]) -> None:
    publish({"20261101": DATA})
    failure = container.catalog().find("ubuntu:nobel", ANONYMOUS).failure()
    assert "near: ubuntu:noble" in str(failure)


def test_bytes_that_are_not_as_signed_are_refused(
    container: Container, publish: Callable[[dict[str, bytes]], None], mirror: FaultyServer, tmp_path: Path
) -> None:
    publish({"20261101": DATA})
    mirror.answer("/server/20261101/noble.img", Reply(DATA[:-1] + b"x"))
    failure = dispatcher(container).fetch(FetchRequest("ubuntu:noble", str(tmp_path / "vm"))).failure()
    assert hashlib.sha256(DATA).hexdigest()[:12] in str(failure)
    assert not (tmp_path / "vm").exists()


def test_a_list_by_another_key_stops_the_fetch_before_the_image(
    container: Container, keys: Keys, stranger: Key, mirror: FaultyServer, tmp_path: Path
) -> None:
    serve(mirror, signed(keys, stranger, document({"20261101": DATA})))
    failure = dispatcher(container).fetch(FetchRequest("ubuntu:noble", str(tmp_path / "vm"))).failure()
    assert f"it is signed by the key {stranger.fingerprint}, which no keyring has" in str(failure)
    assert not mirror.requests_for("/server/20261101/noble.img")
