"""`lading.fetch`, one line in a program."""

from pathlib import Path

import pytest
from tests.faulty_server import FaultyServer, Reply
from tests.integration.url_catalog.conftest import DATA, OTHER, SHA256

import lading
from lading.adapters.config.settings import Settings, read_settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings({"catalog": {"kind": "memory"}}, {"HOME": str(tmp_path / "home")})


def test_a_url_is_fetched_in_one_line(server: FaultyServer, settings: Settings, tmp_path: Path) -> None:
    url, target = server.url("/d/noble.img"), tmp_path / "vm:1.img"
    fetched = lading.fetch(url, target, checksum=f"sha256:{SHA256}", format="raw", size=8192, settings=settings)
    assert (fetched.target, fetched.landing.verified, fetched.landing.virtual_size) == (str(target), True, 8192)
    assert target.read_bytes().startswith(DATA)
    again = lading.fetch(url, target, checksum=f"sha256:{SHA256}", format="raw", size="8K", settings=settings)
    assert again.landing.present


def test_failures_are_raised(server: FaultyServer, settings: Settings, tmp_path: Path) -> None:
    url, target = server.url("/d/noble.img"), str(tmp_path / "1.img")
    with pytest.raises(lading.NoHandlerAvailable):
        lading.fetch(url, target, checksum=f"sha256:{OTHER}", settings=settings)
    with pytest.raises(lading.ImageNotFound):
        lading.fetch(server.url("/none.img"), target, settings=settings)
    with pytest.raises(ValueError, match="ALGORITHM:HEX"):
        lading.fetch(url, target, checksum="sha256:abc", settings=settings)
    with pytest.raises(ValueError, match="are for an image at a URL"):
        lading.fetch("noble", target, unverified=True, settings=settings)
    with pytest.raises(ValueError, match="format: expected raw or qcow2, got 'vmdk'"):
        lading.fetch(url, target, format="vmdk", settings=settings)  # type: ignore[arg-type] # as an untyped program may
    with pytest.raises(ValueError, match="'20Q' is no size"):
        lading.fetch(url, target, size="20Q", settings=settings)
    assert not Path(target).exists()


def test_an_unverified_image_is_accepted_where_that_is_said(
    server: FaultyServer, settings: Settings, tmp_path: Path
) -> None:
    strict = read_settings(
        {"catalog": {"kind": "memory"}, "landing": {"allow_unverified": False}}, {"HOME": str(tmp_path / "home")}
    )
    with FaultyServer() as other:
        mirror = other.answer("/noble.img", Reply(DATA))
        server.answer("/d/noble.img", Reply(b"", status=503))
        url, target = server.url("/d/noble.img"), str(tmp_path / "1.img")
        with pytest.raises(lading.NoHandlerAvailable, match="allow_unverified is false"):
            lading.fetch(url, target, mirrors=(mirror,), settings=strict)
        fetched = lading.fetch(url, target, mirrors=(mirror,), unverified=True, force=True, settings=strict)
    assert (fetched.landing.verified, str(fetched.location)) == (False, mirror)
