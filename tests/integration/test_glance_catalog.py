"""The Glance catalog against a server that is no Glance, or a bad one. test_glance.py has real ones."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from keystoneauth1 import session, token_endpoint
from keystoneauth1.identity import v3
from returns.result import Success
from tests.faulty_server import CUT, FaultyServer, Reply, redirect

from lading import CatalogUnavailable, Context, Digest, Image, ImageNotFound, Location, Work
from lading.adapters.catalogs.glance import GlanceCatalog
from lading.adapters.destinations.file.destination import FileDestination, Rules
from lading.adapters.handlers.download import DownloadHandler
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.openstack import cloud
from lading.ports.context import ANONYMOUS

# keystoneauth's connection pools are closed when they are collected, and not before.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
BY_NAME = "/v2/images?name=noble&sort=name%3Aasc%2Cid%3Aasc"


@pytest.fixture(autouse=True)
def _retries_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud, "_FIRST_WAIT", 0.0)


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer() as running:
        yield running


@pytest.fixture
def catalog(server: FaultyServer) -> GlanceCatalog:
    return GlanceCatalog.from_session(session.Session(token_endpoint.Token(server.url(""), "secret")))


def answering(document: object) -> Reply:
    return Reply(json.dumps(document).encode())


@pytest.mark.parametrize("document", [[], "image", 5, {}, {"id": 5}, {"id": "noble", "size": "big"}])
def test_what_is_no_image_is_a_failure_and_no_exception(
    server: FaultyServer, catalog: GlanceCatalog, document: object
) -> None:
    server.answer("/v2/images/noble", answering(document))
    assert isinstance(catalog.find("noble", ANONYMOUS).failure(), CatalogUnavailable)


ELSEWHERE = [
    "http://127.0.0.2:1/v2/images?marker=1", "//127.0.0.2/v2/images?marker=1", "http://[/v2/images?marker=1",
    "/v3/users?marker=1", "/v2/images", 5, ["/v2/images?marker=1"],
]  # fmt: skip


@pytest.mark.parametrize(
    "page", [[], {}, {"images": None}, "images", *({"images": [{"id": "1"}], "next": link} for link in ELSEWHERE)]
)
def test_what_is_no_list_is_a_failure_and_no_token_is_sent_elsewhere(
    server: FaultyServer, catalog: GlanceCatalog, page: object
) -> None:
    server.answer(BY_NAME, answering(page))
    assert isinstance(catalog.find("noble", ANONYMOUS).failure(), CatalogUnavailable)
    assert len(server.requests) == 2


@pytest.mark.parametrize("path", ["", "/image", "/image/v2", "/image/v2/"])
@pytest.mark.parametrize(
    "link",
    [
        "/v2/images?marker=1&name=noble",
        "/image/v2/images?marker=1&name=noble",
        "http://127.0.0.1/v2/images?marker=1&name=noble",
        "https://127.0.0.1:9292/image/v2/images/?marker=1&name=noble",
        "images?marker=1&name=noble",
        "?marker=1&name=noble",
    ],
)
def test_the_next_page_is_the_endpoint_s_however_it_is_named(server: FaultyServer, path: str, link: str) -> None:
    catalog = GlanceCatalog.from_session(session.Session(token_endpoint.Token(server.url(path), "secret")))
    endpoint = path.removesuffix("/").removesuffix("/v2")
    server.answer(endpoint + BY_NAME, answering({"images": [{"id": "1", "name": "other"}], "next": link}))
    second = answering({"images": [{"id": "2", "name": "noble"}]})
    server.answer(f"{endpoint}/v2/images?marker=1&name=noble", second)
    assert catalog.find("noble", ANONYMOUS).unwrap().id == "2"


def test_a_page_without_images_is_the_last(server: FaultyServer, catalog: GlanceCatalog) -> None:
    page = answering({"images": [], "next": "/v2/images?marker=1"})
    server.answer("/v2/images?sort=name%3Aasc%2Cid%3Aasc", page)
    assert list(catalog.images()) == []


BAD = {
    "a wrong type": '{"id": "2", "size": "big"}',
    "no number": '{"id": "2", "x": NaN}',
    "beyond all bounds": '{"id": "2", "size": 1e999}',
    "too large": '{"id": "2", "size": 9223372036854775808}',
    "too many digits": '{"id": "2", "size": ' + "9" * 5000 + "}",
    "a key twice": '{"id": "2", "size": 1, "size": 2}',
    "nested deeply": '{"id": "2", "x": ' + "[" * 50 + "]" * 50 + "}",
    "no object": "2",
    "no id": '{"name": "2"}',
    "no text": '{"id": "\\ud800"}',
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_bad_document_is_named_and_the_others_are_listed(
    server: FaultyServer, catalog: GlanceCatalog, bad: str, caplog: pytest.LogCaptureFixture
) -> None:
    page = f'{{"images": [{{"id": "1"}}, {bad}, {{"id": "3"}}]}}'
    server.answer("/v2/images?sort=name%3Aasc%2Cid%3Aasc", Reply(page.encode()))
    assert [image.id for image in catalog.images()] == ["1", "3"]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "left out of the list" in record.getMessage()


def test_a_list_that_is_nested_too_deeply_is_a_failure(server: FaultyServer, catalog: GlanceCatalog) -> None:
    server.answer("/v2/images/noble", Reply(b'{"id": ' + b"[" * 100_000))
    assert isinstance(catalog.find("noble", ANONYMOUS).failure(), CatalogUnavailable)


def test_a_list_that_goes_in_circles_is_a_failure(server: FaultyServer, catalog: GlanceCatalog) -> None:
    for marker, following in (("1", "2"), ("2", "1")):
        page = {"images": [{"id": marker}], "next": f"/v2/images?marker={following}"}
        server.answer(f"/v2/images?marker={marker}", answering(page))
    server.answer(
        "/v2/images?sort=name%3Aasc%2Cid%3Aasc", answering({"images": [{"id": "0"}], "next": "/v2/images?marker=1"})
    )
    listed = catalog.images()
    assert [next(listed).id for _ in range(3)] == ["0", "1", "2"]
    with pytest.raises(CatalogUnavailable, match="again and again"):
        next(listed)


def test_what_keystone_says_of_an_error_is_not_repeated(server: FaultyServer) -> None:
    said = {"error": {"code": 403, "message": "s3cret is not allowed"}}
    server.answer("/v3", Reply(json.dumps(said).encode(), status=403))
    auth = v3.Password(server.url("/v3"), username="u", password="s3cret", project_name="p")
    failure = GlanceCatalog.from_session(session.Session(auth)).find("noble", ANONYMOUS).failure()
    assert isinstance(failure, CatalogUnavailable)
    assert "s3cret" not in str(failure)


def test_what_is_no_json_is_a_failure(server: FaultyServer, catalog: GlanceCatalog) -> None:
    server.answer("/v2/images/noble", Reply(b"<html>"))
    assert "no JSON" in str(catalog.find("noble", ANONYMOUS).failure())


@pytest.mark.parametrize("reference", [".", "..", "../../v3/users"])
def test_a_reference_does_not_lead_out_of_the_images(
    server: FaultyServer, catalog: GlanceCatalog, reference: str
) -> None:
    catalog.find(reference, ANONYMOUS)
    assert server.requests
    assert all(request.path.startswith("/v2/images") for request in server.requests)


def by_name(name: str, filters: str = "") -> str:
    return f"/v2/images?name={name}{filters}&sort=name%3Aasc%2Cid%3Aasc"


@pytest.mark.parametrize("status", [200, 400, 403])
def test_further_queries_that_fail_leave_an_image_not_found(
    server: FaultyServer, catalog: GlanceCatalog, status: int
) -> None:
    """An old Glance answers 400 to a visibility that it doesn't know."""
    for filters in ("", "&os_hidden=true"):
        server.answer(by_name("noble", filters), answering({"images": []}))
    for filters in ("&visibility=community", "&visibility=shared&member_status=all"):
        server.answer(by_name("noble", filters), Reply(b'{"images": []}', status=status))
    failure = catalog.find("noble", ANONYMOUS).failure()
    assert isinstance(failure, ImageNotFound)
    assert failure.advice == ""


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("debian", "debian"),
        ("debian:12", "eq%3Adebian%3A12"),
        ("in:a,b", "eq%3Ain%3Aa%2Cb"),
        ("2026-01-01T00:00:00", "eq%3A2026-01-01T00%3A00%3A00"),
    ],
)
def test_what_precedes_a_colon_in_a_name_is_no_operator(
    server: FaultyServer, catalog: GlanceCatalog, name: str, asked: str
) -> None:
    server.answer(by_name(asked), answering({"images": [{"id": "1", "name": name}]}))
    assert catalog.find(name, ANONYMOUS).unwrap().id == "1"


def test_a_reference_that_cannot_be_sent_is_not_found(server: FaultyServer, catalog: GlanceCatalog) -> None:
    assert isinstance(catalog.find("noble\udcff", ANONYMOUS).failure(), ImageNotFound)
    assert server.requests == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_token_is_sent_where_a_redirect_leads(server: FaultyServer, catalog: GlanceCatalog, status: int) -> None:
    with FaultyServer() as other:
        server.answer("/v2/images/noble", redirect(other.url("/v2/images/noble"), status))
        assert "image_endpoint_override" in str(catalog.find("noble", ANONYMOUS).failure())
        server.answer("/v2/images/1/locations", redirect(other.url("/v2/images/1/locations"), status))
        assert catalog.locations(Image("1"), ANONYMOUS) == Success(())
        assert other.requests == []


@pytest.mark.parametrize(
    "href", ["https://{}/v2/images/1", "http://{}@127.0.0.1:1/v2/images/1", "http://{}.evil/v2/images/1"]
)
def test_an_href_of_another_origin_is_refused_before_anything_is_sent(
    server: FaultyServer, catalog: GlanceCatalog, href: str
) -> None:
    own = server.url("").removeprefix("http://").rstrip("/")
    assert "hosts" in str(catalog.find(href.format(own), ANONYMOUS).failure())
    assert server.requests == []


def test_a_found_image_without_locations_is_not_looked_up_again(server: FaultyServer, catalog: GlanceCatalog) -> None:
    server.answer("/v2/images/1", answering({"id": "1"}))
    image = catalog.find("1", ANONYMOUS).unwrap()
    for _ in range(2):
        assert catalog.locations(image, ANONYMOUS) == Success(())
    assert [request.path for request in server.requests] == ["/v2/images/1", "/v2/images/1/locations"]


def test_that_one_token_sees_no_locations_says_nothing_of_the_next(
    server: FaultyServer, catalog: GlanceCatalog
) -> None:
    shown = [{"url": "file:///noble", "metadata": {}}]
    server.answer("/v2/images/1/locations", Reply(b"", status=403), answering(shown))
    image = Image("1")
    assert catalog.locations(image, Context(token="a user's")) == Success(())
    assert len(catalog.locations(image, Context(token="a service's")).unwrap()) == 1


NO_HELP = {
    **{
        str(status): Reply(b"{}", status=status, headers=[("Retry-After", "0")]) for status in (300, 401, 405, 409, 500)
    },
    "HTML": Reply(b"<html>sign in</html>"),
    "an object": answering({"locations": []}),
    "an empty object": answering({}),
    "no locations": answering([{"uri": "file:///noble"}]),
    "null": answering(None),
    "a cut answer": Reply(b"[]", content_length=100),
}


@pytest.mark.parametrize("answer", NO_HELP.values(), ids=NO_HELP.keys())
def test_a_locations_api_that_does_not_help_is_done_without(
    server: FaultyServer, catalog: GlanceCatalog, answer: Reply
) -> None:
    server.answer("/v2/images/1/locations", answer)
    own = [Location("file:///noble")]
    assert catalog.locations(Image("1", locations=own), ANONYMOUS).unwrap() == tuple(own)


def test_the_locations_api_goes_before_the_image_itself(server: FaultyServer, catalog: GlanceCatalog) -> None:
    server.answer("/v2/images/1/locations", answering([]))
    assert catalog.locations(Image("1", locations=[Location("file:///noble")]), ANONYMOUS) == Success(())


def test_a_locations_api_that_failed_once_is_asked_again(server: FaultyServer, catalog: GlanceCatalog) -> None:
    shown = answering([{"url": "file:///noble", "metadata": {}}])
    server.answer("/v2/images/1/locations", Reply(b"", status=409), shown)
    image = Image("1")
    assert [len(catalog.locations(image, ANONYMOUS).unwrap()) for _ in range(2)] == [0, 1]


@pytest.mark.parametrize("verify", [True, False])
def test_data_of_two_answers_is_combined_only_where_the_digest_is_compared(
    server: FaultyServer, catalog: GlanceCatalog, tmp_path: Path, verify: bool
) -> None:
    data = os.urandom(1 << 20)
    image = Image("noble", size=len(data), digest=Digest("sha256", hashlib.sha256(data).hexdigest()))
    server.answer("/v2/images/noble/file", Reply(data, after=1 << 19, then=CUT), Reply(data, etag='"2"'))
    handler = DownloadHandler(catalog, FileDestination(MemoryVerifiedFiles(), Rules(verify=verify)))
    fetched = handler.fetch(Work(str(tmp_path / "vm"), image))
    if verify:
        assert fetched.unwrap().verified
    else:
        assert "the file was changed while it was read" in str(fetched.failure())
