"""Lists of tags and repositories, as registries may answer."""

import json
import logging

import pytest
from tests.faulty_server import FaultyServer, Reply
from tests.integration.oci.conftest import OciHost

from lading import CatalogUnavailable
from lading.adapters.catalogs.oci import OciCatalog
from lading.adapters.catalogs.oci_settings import OciCatalogSettings
from lading.adapters.oci import registry

TAGS = "/v2/vms/noble/tags/list?n=1000"
REPOSITORIES = "/v2/_catalog?n=1000"
ABSENT = Reply(b"{}", status=404)


def tags(*names: object, link: str | None = None) -> Reply:
    return listed("tags", *names, link=link)


def listed(key: str, *names: object, link: str | None = None) -> Reply:
    headers = [("Link", f'<{link}>; rel="next"')] if link else []
    return Reply(json.dumps({"name": "x", key: names}).encode(), headers=headers)


def names(server: FaultyServer, host: OciHost, path: str = "/vms/noble") -> list[str | None]:
    settings = OciCatalogSettings(f"127.0.0.1:{server.port}{path}")
    return [each.name for each in OciCatalog(host.registries(), settings).images()]


def failure(server: FaultyServer, host: OciHost, path: str = "/vms/noble") -> str:
    with pytest.raises(CatalogUnavailable) as raised:
        names(server, host, path)
    return str(raised.value)


def test_the_next_page_is_of_the_same_list_whatever_the_link_says(
    faulty_server: FaultyServer, oci_host: OciHost
) -> None:
    faulty_server.answer(TAGS, tags("1", link="http://169.254.169.254/secret?last=1&n=1000"))
    faulty_server.answer("/v2/vms/noble/tags/list?last=1&n=1000", tags("2"))
    faulty_server.answer(REPOSITORIES, ABSENT)
    assert names(faulty_server, oci_host) == [":1", ":2"]


def test_pages_without_end_are_left(
    faulty_server: FaultyServer, oci_host: OciHost, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(registry, "_MOST_PAGES", 3)
    faulty_server.answer(TAGS, tags("1", link="/v2/vms/noble/tags/list?n=1000"))
    faulty_server.answer(REPOSITORIES, ABSENT)
    with caplog.at_level(logging.WARNING):
        assert set(names(faulty_server, oci_host)) == {":1"}
    assert len(faulty_server.requests_for(TAGS)) == 3
    assert "lists more than 3 pages of tags: the others are left out" in caplog.text


def test_a_registry_lists_its_repositories_beneath_the_path_only(
    faulty_server: FaultyServer, oci_host: OciHost
) -> None:
    faulty_server.answer("/v2/vms/tags/list?n=1000", ABSENT)
    faulty_server.answer(REPOSITORIES, listed("repositories", "vms/noble", "vms/gone", "other/noble"))
    faulty_server.answer("/v2/vms/gone/tags/list?n=1000", ABSENT)
    faulty_server.answer(TAGS, tags("1"))
    assert names(faulty_server, oci_host, "/vms") == ["noble:1"]


def test_names_that_are_none_are_left_out(faulty_server: FaultyServer, oci_host: OciHost) -> None:
    faulty_server.answer(TAGS, tags("1", 2, None, "../3", "4@sha256:ab", "\x1b[31m", "5/6"))
    faulty_server.answer(REPOSITORIES, listed("repositories", "vms/noble/\n", 3, "vms/noble/../../x"))
    assert names(faulty_server, oci_host) == [":1"]


@pytest.mark.parametrize("answer", [b"", b"[]", b'{"tags": {}}', b"{" * 10_000])
def test_what_is_no_list_is_a_failure(faulty_server: FaultyServer, oci_host: OciHost, answer: bytes) -> None:
    faulty_server.answer(TAGS, Reply(answer))
    assert "its answer is no list of tags" in failure(faulty_server, oci_host)


def test_a_registry_without_lists_is_a_failure_that_says_what_to_set(
    faulty_server: FaultyServer, oci_host: OciHost
) -> None:
    faulty_server.answer(REPOSITORIES, ABSENT)
    told = failure(faulty_server, oci_host, "")
    assert 'it may list no repositories: set `registry` to one, "HOST/REPOSITORY"' in told
    faulty_server.answer(REPOSITORIES, Reply(b"[]"))
    assert failure(faulty_server, oci_host, "").endswith("its answer is no list of repositories")
    with pytest.raises(CatalogUnavailable, match="set `registry`"):
        OciCatalog(oci_host.registries()).images()
