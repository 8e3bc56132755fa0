"""Whoever waits for a server is told which one."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faulty_server import BEFORE_THE_HEAD, STALL, FaultyServer, Reply
from typing_extensions import override

from lading.adapters.openstack.cloud import connect_cloud
from lading.adapters.web import wait_log
from lading.adapters.web.http import HttpOptions, Origin
from lading.adapters.web.mirrors import Mirrors
from lading.adapters.web.network import DIRECT
from lading.adapters.web.remote import RemoteSource, RemoteStream


class GoesOn(logging.Handler):
    """Has the server go on as soon as somebody is told to wait."""

    def __init__(self, server: FaultyServer) -> None:
        super().__init__()
        self.server = server
        self.told: list[str] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(record.getMessage())
        self.server.wait_stalled()
        self.server.go_on()


@pytest.fixture
def listener(faulty_server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[GoesOn]:
    """Hears what is waited for; the server goes on then, and no sooner."""
    monkeypatch.setattr(wait_log, "_QUIET_SECONDS", 0.01)
    listening = GoesOn(faulty_server)
    wait_log.LOGGER.setLevel(logging.INFO)
    wait_log.LOGGER.addHandler(listening)
    yield listening
    wait_log.LOGGER.setLevel(logging.NOTSET)
    wait_log.LOGGER.removeHandler(listening)


@pytest.mark.parametrize("reading", [RemoteSource, RemoteStream])
def test_a_first_byte_that_takes_long_is_waited_for_aloud(
    faulty_server: FaultyServer, listener: GoesOn, reading: type[RemoteSource | RemoteStream]
) -> None:
    url = faulty_server.answer("/noble.img?sig=hush", Reply(b"noble", after=BEFORE_THE_HEAD, then=STALL))
    mirrors = Mirrors([Origin.of(url.replace("//", "//me:hush@"))], HttpOptions())
    source = RemoteSource(mirrors, None) if reading is RemoteSource else RemoteStream(mirrors)
    source.open()
    source.close()
    assert listener.told == [f"waiting for http://127.0.0.1:{faulty_server.port}"]


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_api_that_takes_long_is_waited_for_aloud(
    faulty_server: FaultyServer, listener: GoesOn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty_server.answer("/v2/images/noble", Reply(b'{"id": "noble"}', after=BEFORE_THE_HEAD, then=STALL))
    auth = f"{{endpoint: '{faulty_server.url('')}', token: t}}"
    (tmp_path / "clouds.yaml").write_text(f"clouds: {{gold: {{auth_type: admin_token, auth: {auth}}}}}")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    response = connect_cloud("gold", network=DIRECT).get("/v2/images/noble")
    assert response.json() == {"id": "noble"}
    assert listener.told == [f"waiting for http://127.0.0.1:{faulty_server.port}"]
