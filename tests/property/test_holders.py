"""Which targets hold an image: a law, the same for a store of one host and for one of many."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reference import RecordingCatalog
from tests.strategies import LANDED_AT
from tests.unit.dispatcher.pool import FailingCatalog

from lading import (
    AmbiguousDigest,
    Association,
    AssociationStore,
    CatalogUnavailable,
    Digest,
    Dispatcher,
    HostTarget,
    Image,
    ImageCatalog,
    ImageNotFound,
    NotHeld,
)
from lading.adapters.memory.associations import MemoryAssociations

ONE, OTHER = Digest("sha512", "ab" * 64), Digest("sha512", "ab" * 8 + "cd" * 56)
HREF = "https://glance.example/v2/images/1"
NOBLE = Image("1", "noble", digest=ONE, properties={"self": HREF})
RENAMED = replace(NOBLE, id="2", name="noble-2024")
REUSED = replace(NOBLE, digest=OTHER)
UNHASHED = Image("3", "plucky")
IMAGES = [NOBLE, RENAMED, REUSED, UNHASHED]

associations = st.builds(
    Association,
    target=st.sampled_from(["/vms/1", "/vms/2", "/vms/3", "/vms/4"]),
    handler=st.just("file"),
    image=st.none() | st.sampled_from(IMAGES),
    location=st.none(),
    landed_at=st.just(LANDED_AT),
    digest=st.none() | st.sampled_from([ONE, OTHER]),
)
hosts = st.dictionaries(st.sampled_from(["host1", "host2"]), st.lists(associations), min_size=1)


class ManyHosts(MemoryAssociations):
    """A store of many hosts. Its own verbs are those of an empty host."""

    def __init__(self, recorded: Mapping[str, AssociationStore]) -> None:
        super().__init__()
        self._recorded = recorded

    def list_host(self, host: str | None = None) -> Iterator[tuple[str, Association]]:
        for name in [host] if host is not None else sorted(self._recorded):
            yield from ((name, each) for each in self._recorded[name].list())

    def holders(self, image: str) -> Iterator[HostTarget]:
        return (HostTarget.of(host, each) for host, each in self.list_host() if image in each.image_names)

    def hosts(self) -> Iterator[str]:
        yield from sorted(self._recorded)

    def image_names(self, start: str) -> Iterator[str]:
        names = {name for _, each in self.list_host() for name in each.image_names}
        yield from sorted(name for name in names if name.startswith(start))


AWAY = FailingCatalog(CatalogUnavailable("no route to the catalog"))


def store(recorded: list[Association]) -> MemoryAssociations:
    known = MemoryAssociations()
    for each in recorded:
        known.put(each)
    return known


def found(reference: str, catalog: ImageCatalog, known: AssociationStore) -> list[tuple[str | None, str]]:
    """Host and target of each, nothing where no target holds it."""
    try:
        return [(each.host, each.target) for each in Dispatcher([], catalog, known).holders(reference)]
    except (NotHeld, ImageNotFound, CatalogUnavailable):
        return []


def with_name(name: str, known: AssociationStore, host: str | None = None) -> list[tuple[str | None, str]]:
    return [(host, each.target) for each in known.list() if name in each.image_names]


def catalog(*images: Image) -> RecordingCatalog:
    return RecordingCatalog(images, [])


@given(st.lists(associations))
def test_an_image_is_found_by_its_digest_under_every_id(recorded: list[Association]) -> None:
    assert found("1", catalog(NOBLE), store(recorded)) == with_name(str(ONE), store(recorded))


@given(st.lists(associations))
def test_an_image_without_a_digest_is_found_by_its_id(recorded: list[Association]) -> None:
    assert found("3", catalog(UNHASHED), store(recorded)) == with_name("3", store(recorded))


@given(st.lists(associations), st.sampled_from(["1", "2", str(ONE), str(OTHER)]))
def test_what_the_catalog_does_not_know_is_found_by_id_or_digest(recorded: list[Association], name: str) -> None:
    assert found(name, catalog(), store(recorded)) == with_name(name, store(recorded))
    assert found(name, AWAY, store(recorded)) == with_name(name, store(recorded))


@given(hosts, st.sampled_from(["1", "3", str(ONE), str(OTHER), str(OTHER)[:24]]))
def test_a_store_of_many_hosts_answers_as_its_hosts_do(recorded: dict[str, list[Association]], reference: str) -> None:
    stores = {host: store(each) for host, each in recorded.items()}
    expected = [(host, target) for host in sorted(stores) for _, target in found(reference, catalog(), stores[host])]
    assert found(reference, catalog(), ManyHosts(stores)) == expected


@pytest.mark.parametrize("many", [False, True])
def test_the_beginning_of_a_digest_is_enough_where_only_one_begins_so(many: bool) -> None:
    one = replace(Association("/vms/1", "file", None, None, LANDED_AT), digest=ONE)
    known = store([one, replace(one, target="/vms/2", digest=OTHER)])
    asked = ManyHosts({"host1": known}) if many else known
    host = "host1" if many else None
    assert found(str(OTHER)[:24], AWAY, asked) == [(host, "/vms/2")]
    assert found(str(OTHER)[:24].upper(), AWAY, asked) == [(host, "/vms/2")]
    with pytest.raises(AmbiguousDigest, match="several digests begin with sha512:abababababab, give more") as refused:
        found(str(ONE)[:19], AWAY, asked)
    assert refused.value.digests == (str(ONE), str(OTHER))
    with pytest.raises(NotHeld, match="no recorded target holds the image 'sha512:0123456789ab'"):
        next(Dispatcher([], AWAY, asked).holders("sha512:0123456789ab"))


def test_a_digest_is_found_without_the_catalog() -> None:
    events: list[tuple[str, ...]] = []
    known = store([Association("/vms/1", "file", NOBLE, None, LANDED_AT)])
    assert found(str(ONE), RecordingCatalog([], events), known) == [(None, "/vms/1")]
    assert events == []


def test_where_nothing_is_found_the_failure_is_the_catalogs() -> None:
    with pytest.raises(CatalogUnavailable):
        next(Dispatcher([], AWAY, store([])).holders("1"))
    with pytest.raises(ImageNotFound):
        next(Dispatcher([], catalog(), store([])).holders("1"))
    with pytest.raises(NotHeld):
        next(Dispatcher([], catalog(NOBLE), store([])).holders("1"))
