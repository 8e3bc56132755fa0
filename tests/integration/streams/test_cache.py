"""Copies of a mirror's lists: when they are used, and when they are not."""

import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.faulty_server import BEFORE_THE_HEAD, RESET, STALL, FaultyServer, Reply, busy
from tests.integration.services.nginx import Nginx
from tests.integration.streams.conftest import MakeCatalog, serve
from tests.integration.streams.test_simplestreams import failure, found
from tests.openpgp import Key, Keys
from tests.streams import INDEX, UBUNTU, signed, ubuntu_tree

from lading.ports.failures import CatalogUnavailable

OLDER = {**UBUNTU, "updated": "Sat, 31 Oct 2026 10:00:00 +0000", "products": {}}
AWAY = [Reply(after=BEFORE_THE_HEAD, then=RESET), busy(503, retry_after=0)]


def fail(server: FaultyServer, reply: Reply) -> None:
    for path in ubuntu_tree():
        server.answer(f"/{path}", reply)


def make_older(folder: Path, hours: float) -> None:
    """Lets the copies be that old."""
    for path in folder.iterdir():
        os.utime(path, (time.time() - hours * 3600,) * 2)


def test_an_unchanged_list_is_not_sent_again(nginx: Nginx, make_catalog: MakeCatalog, keys: Keys, vendor: Key) -> None:
    folder = nginx.folder / "mirror"
    for path, content in signed(keys, vendor).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    settings = {"url": nginx.url("mirror"), "keyring": vendor.keyring}
    assert found(make_catalog(**settings)) == found(make_catalog(**settings))
    assert [each.status for each in nginx.accesses("/mirror/", at_least=4)] == [200, 200, 304, 304]
    newer = {**UBUNTU, "updated": "Mon, 02 Nov 2026 10:00:00 +0000", "products": {}}
    for path, content in signed(keys, vendor, newer).items():
        (folder / path).write_bytes(content)
    assert "no image 'noble'" in str(failure(make_catalog(**settings)))


def test_a_list_that_is_unchanged_keeps_the_connection(mirror: FaultyServer, make_catalog: MakeCatalog) -> None:
    serve(mirror, ubuntu_tree())
    assert found(make_catalog()) == found(make_catalog())
    for path in ubuntu_tree():
        mirror.answer(f"/{path}", Reply(b"", status=304))
    before = len(mirror.requests)
    assert found(make_catalog()).name == "24.04"
    unchanged = mirror.requests[before:]
    assert (len(unchanged), len({each.connection for each in unchanged})) == (2, 1)


def test_threads_of_a_process_share_one_request(mirror: FaultyServer, make_catalog: MakeCatalog) -> None:
    serve(mirror, ubuntu_tree())
    catalog = make_catalog()
    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(lambda _: found(catalog).id, range(32)))) == 1
    assert len(mirror.requests) == 2


def test_threads_do_not_wait_in_turn_for_a_server_that_is_away(
    mirror: FaultyServer, make_catalog: MakeCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = make_catalog()
    with ThreadPoolExecutor(4) as threads:
        told = {str(each) for each in threads.map(lambda _: failure(catalog), range(8))}
    assert len(told) == 1
    assert len(mirror.requests) == 2
    serve(mirror, ubuntu_tree())
    monkeypatch.setattr("lading.adapters.catalogs.simplestreams.catalog._RETRY_SECONDS", 0.0)
    assert found(catalog).name == "24.04"


def test_catalogs_can_share_a_cache_at_the_same_time(mirror: FaultyServer, make_catalog: MakeCatalog) -> None:
    serve(mirror, ubuntu_tree())
    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(lambda _: found(make_catalog()).id, range(16)))) == 1
    assert found(make_catalog(offline=True)).name == "24.04"


def test_a_detached_signature_is_kept_with_its_document(
    mirror: FaultyServer, make_catalog: MakeCatalog, keys: Keys, vendor: Key
) -> None:
    serve(mirror, signed(keys, vendor, clear=False))
    image = found(make_catalog(keyring=vendor.keyring))
    fail(mirror, AWAY[0])
    assert found(make_catalog(keyring=vendor.keyring, offline=True)) == image


def test_offline_no_server_is_requested(
    mirror: FaultyServer, make_catalog: MakeCatalog, caplog: pytest.LogCaptureFixture
) -> None:
    serve(mirror, ubuntu_tree())
    image = found(make_catalog())
    before = len(mirror.requests)
    with caplog.at_level(logging.INFO):
        assert found(make_catalog(offline=True)) == image
    assert len(mirror.requests) == before
    assert "index.json is as of 0 h 0 min ago, from the cache: offline is set" in caplog.text


def test_offline_without_a_copy_is_a_failure(mirror: FaultyServer, make_catalog: MakeCatalog, tmp_path: Path) -> None:
    assert f"not in the cache {tmp_path}/cache, and offline is set" in str(failure(make_catalog(offline=True)))
    assert not mirror.requests


@pytest.mark.parametrize("reply", AWAY)
def test_while_the_server_is_away_a_copy_that_is_young_enough_is_used(
    mirror: FaultyServer,
    make_catalog: MakeCatalog,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    reply: Reply,
) -> None:
    serve(mirror, ubuntu_tree())
    image = found(make_catalog())
    make_older(tmp_path / "cache", 3)
    fail(mirror, reply)
    assert found(make_catalog(stale_hours=4)) == image
    assert "index.json is as of 3 h 0 min ago, from the cache: " in caplog.text
    assert "stale_hours = 4 would use the copy of 3 h 0 min ago" in str(failure(make_catalog(stale_hours=2)))


def test_a_server_that_never_answers_is_asked_once_for_each_list(
    mirror: FaultyServer, make_catalog: MakeCatalog
) -> None:
    serve(mirror, ubuntu_tree())
    image = found(make_catalog())
    fail(mirror, Reply(after=BEFORE_THE_HEAD, then=STALL))
    before = len(mirror.requests)
    assert found(make_catalog(stale_hours=1, first_byte_seconds=0.05)) == image
    assert len(mirror.requests) - before == 2


@pytest.mark.parametrize("retry_after", [0, 30])
def test_a_retry_after_lengthens_the_backoff_and_never_shortens_it(
    mirror: FaultyServer, make_catalog: MakeCatalog, monkeypatch: pytest.MonkeyPatch, retry_after: int
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("lading.adapters.web.changing_documents.time", SimpleNamespace(sleep=waited.append))
    fail(mirror, busy(retry_after=retry_after))
    assert "HTTP 503" in str(failure(make_catalog()))
    assert len(waited) == 2
    assert all(seconds > 0 and seconds >= retry_after for seconds in waited)


def test_a_server_that_refuses_is_not_away(mirror: FaultyServer, make_catalog: MakeCatalog) -> None:
    serve(mirror, ubuntu_tree())
    found(make_catalog())
    fail(mirror, Reply(status=401))
    assert "HTTP 401" in str(failure(make_catalog(stale_hours=4)))


def test_an_older_signed_list_does_not_replace_a_newer_one(
    mirror: FaultyServer,
    make_catalog: MakeCatalog,
    keys: Keys,
    vendor: Key,
    caplog: pytest.LogCaptureFixture,
) -> None:
    serve(mirror, signed(keys, vendor))
    image = found(make_catalog(keyring=vendor.keyring))
    serve(mirror, signed(keys, vendor, OLDER))
    assert found(make_catalog(keyring=vendor.keyring)) == image
    assert f"{INDEX}.sjson is older than its copy in the cache, which is used" in caplog.text


def test_a_copy_counts_only_if_the_present_keyring_verifies_it(
    mirror: FaultyServer, make_catalog: MakeCatalog, keys: Keys, vendor: Key, stranger: Key
) -> None:
    serve(mirror, signed(keys, stranger))
    found(make_catalog(keyring=stranger.keyring))
    assert isinstance(failure(make_catalog(keyring=vendor.keyring, offline=True)), CatalogUnavailable)
    serve(mirror, signed(keys, vendor, OLDER | {"products": UBUNTU["products"]}))
    assert found(make_catalog(keyring=vendor.keyring)).proof.signed_by == vendor.signer


def test_a_copy_without_a_signature_does_not_count_where_one_is_needed(
    mirror: FaultyServer, make_catalog: MakeCatalog, keys: Keys, vendor: Key
) -> None:
    serve(mirror, signed(keys, vendor, clear=False))
    found(make_catalog())
    assert found(make_catalog(keyring=vendor.keyring)).proof.signed_by == vendor.signer


@pytest.mark.parametrize("damage", [b"", b"{}\n", b"null\n", b"x" * 100])
def test_a_damaged_copy_is_replaced(
    mirror: FaultyServer, make_catalog: MakeCatalog, tmp_path: Path, damage: bytes
) -> None:
    serve(mirror, ubuntu_tree())
    image = found(make_catalog())
    for path in (tmp_path / "cache").iterdir():
        path.write_bytes(damage or path.read_bytes()[:-1])
    assert found(make_catalog()) == image
    assert found(make_catalog(offline=True)) == image


def test_a_copy_is_private_and_leaves_nothing_beside_it(
    mirror: FaultyServer, make_catalog: MakeCatalog, tmp_path: Path
) -> None:
    serve(mirror, ubuntu_tree())
    found(make_catalog())
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "cache").iterdir()] == [0o600] * 2


def test_a_cache_that_cannot_be_written_is_only_logged(
    mirror: FaultyServer, make_catalog: MakeCatalog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    serve(mirror, ubuntu_tree())
    assert found(make_catalog(cache=tmp_path / "file")).name == "24.04"
    assert f"cannot be kept in {tmp_path}/file: " in caplog.text
