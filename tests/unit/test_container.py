"""The wiring: every provider is built, and a third party's adapters are found."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from dependency_injector.providers import Object
from returns.result import Success

from lading import ANONYMOUS, Dispatcher, FetchRequest, Image, Intent, NoHandlerAvailable, Verb
from lading.adapters.catalogs.file import FileCatalog
from lading.adapters.catalogs.glance import GlanceCatalog
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.catalogs.simplestreams.catalog import SimplestreamsCatalog
from lading.adapters.catalogs.url import UrlCatalog
from lading.adapters.config.settings import Settings, read_settings
from lading.adapters.container import Container, open_container
from lading.adapters.etcd.associations import EtcdAssociations
from lading.adapters.etcd.queued import QueuedAssociations
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.sqlite.associations import FileAssociations
from lading.adapters.sqlite.verified_files import FileVerifiedFiles
from lading.ports.failures import SettingsError


def settings(folder: Path, kind: str = "file", /, **tables: object) -> Settings:
    by_kind: dict[str, dict[str, object]] = {
        "file": {
            "catalog": {"kind": "file", "folder": str(folder / "catalog")},
            "associations": {"kind": "file", "path": str(folder / "db")},
        },
        "memory": {"catalog": {"kind": "memory"}, "associations": {"kind": "memory"}},
        "simplestreams": {
            "catalog": {"kind": "simplestreams", "url": "https://mirror.example", "cache": str(folder / "cache")},
            "associations": {"kind": "memory"},
        },
        "etcd": {
            "catalog": {"kind": "file", "folder": str(folder / "catalog")},
            "associations": {"kind": "etcd", "endpoints": ["http://127.0.0.1:1"]},
            "journal": {"path": str(folder / "lading.db")},
            "locks": {"kind": "etcd"},
        },
        "queue": {
            "catalog": {"kind": "file", "folder": str(folder / "catalog")},
            "associations": {
                "kind": "etcd", "endpoints": ["http://127.0.0.1:1"], "offline": "queue", "copy": str(folder / "copy.db")
            },
            "journal": {"path": str(folder / "lading.db")},
        },
    }  # fmt: skip
    return read_settings({**by_kind[kind], **tables}, {})


@pytest.mark.parametrize(
    ("kind", "types"),
    [
        ("file", (FileCatalog, FileAssociations, FileVerifiedFiles)),
        ("memory", (MemoryCatalog, MemoryAssociations, MemoryVerifiedFiles)),
        ("simplestreams", (SimplestreamsCatalog, MemoryAssociations, MemoryVerifiedFiles)),
        ("etcd", (FileCatalog, EtcdAssociations, FileVerifiedFiles)),
        ("queue", (FileCatalog, QueuedAssociations, FileVerifiedFiles)),
    ],
)
def test_the_settings_choose_the_adapters(tmp_path: Path, kind: str, types: tuple[type, ...]) -> None:
    container = open_container(settings(tmp_path, kind))
    assert tuple(map(type, (container.default_catalog(), container.associations(), container.verified()))) == types


@pytest.mark.parametrize("kind", ["file", "memory", "simplestreams", "etcd", "queue"])
def test_every_provider_can_be_built_and_gives_the_same_object_again(tmp_path: Path, kind: str) -> None:
    container = open_container(settings(tmp_path, kind))
    own = {
        "etcd": {"etcd"},
        "queue": {"etcd_associations", "etcd_store", "queued", "file_locks"},
        "file": {"file"},
        "memory": {"memory"},
        "simplestreams": {"memory"},
    }[kind]
    others = ("file", "memory", "etcd", "queued", "third_party")
    for name, provider in container.providers.items():
        if name.startswith((*own,)) or not name.startswith((*others, "database", "journal_database")):
            assert provider() is provider(), name
    assert isinstance(container.dispatcher(), Dispatcher)
    # Without a configured order all that there are, the cheapest first. Ceph's bindings are the distribution's.
    names = [handler.name for handler in container.dispatcher().handlers if handler.name != "rbd"]
    assert names == ["file", "s3", "swift", "cinder", "oci", "http", "download"]


@pytest.mark.parametrize("offline", ["refuse", "queue"])
def test_nothing_is_queued_where_all_locks_are_in_etcd(tmp_path: Path, offline: str) -> None:
    associations = {"kind": "etcd", "endpoints": ["http://127.0.0.1:1"], "offline": offline}
    container = open_container(settings(tmp_path, "etcd", associations=associations))
    assert isinstance(container.associations(), EtcdAssociations)


@pytest.mark.parametrize("name", sorted(Container.providers))
def test_each_provider_can_be_overridden_before_first_use(tmp_path: Path, name: str) -> None:
    container = open_container(settings(tmp_path))
    ours = settings(tmp_path, "memory") if name == "settings" else object()
    container.providers[name].override(Object(ours))
    assert container.providers[name]() is ours


def test_a_catalog_is_overridden_also_where_something_had_to_be_recovered(tmp_path: Path) -> None:
    configured = settings(tmp_path, handlers={"order": ["file"]})
    interrupted = Intent(str(tmp_path / "vm"), Verb.FETCH, "file", datetime(2026, 1, 1, tzinfo=UTC))
    Container(settings=Object(configured)).journal().begin(interrupted).unwrap()
    container = open_container(configured)
    ours = MemoryCatalog([Image("1f", "noble")])
    container.catalog.override(Object(ours))
    failure = container.dispatcher().fetch(FetchRequest("noble", str(tmp_path / "vm"))).failure()
    assert isinstance(failure, NoHandlerAvailable)
    assert container.journal().pending(interrupted.target) == Success(None)


def test_a_configured_order_is_the_order(tmp_path: Path) -> None:
    container = open_container(settings(tmp_path, "memory", handlers={"order": ["download", "s3", "file"]}))
    assert [handler.name for handler in container.dispatcher().handlers] == ["download", "s3", "file"]


def test_two_containers_share_nothing(tmp_path: Path) -> None:
    one, other = open_container(settings(tmp_path, "memory")), open_container(settings(tmp_path, "memory"))
    assert one.associations() is not other.associations()


def test_building_the_container_touches_no_disk(tmp_path: Path) -> None:
    open_container(settings(tmp_path)).catalog()
    assert list(tmp_path.iterdir()) == []


PLUGIN = """
class Carrier:
    name, schemes, is_local = "carrier", frozenset({"pool"}), False
    def __init__(self, setup):
        self.settings = setup.settings

class Elsewhere:
    def __init__(self, options):
        self.options = options
    def verb(self, *arguments):
        raise AssertionError
    find = locations = get = list = put = remove = move = take = verb

def broken(options):
    return options["hunter2"]

def nonsense(options):
    return "a text"

def picky(options):
    from lading.adapters.config.settings import SettingsError
    raise SettingsError("region: missing")

def lacking(options):
    import nobody.has_this
"""
ENTRY_POINTS = """
[lading.handlers]
carrier = third_party:Carrier
file = third_party:Carrier
[lading.catalogs]
elsewhere = third_party:Elsewhere
broken = third_party:broken
nonsense = third_party:nonsense
picky = third_party:picky
lacking = third_party:lacking
absent = third_party:absent
[lading.associations]
elsewhere = third_party:Elsewhere
broken = third_party:broken
nonsense = third_party:nonsense
[lading.locks]
broken = third_party:broken
nonsense = third_party:nonsense
"""


@pytest.fixture
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution that brings adapters of each kind, and a handler that takes a built-in one's name."""
    site = tmp_path / "site"
    (site / "third_party-1.0.dist-info").mkdir(parents=True)
    (site / "third_party.py").write_text(PLUGIN)
    (site / "third_party-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: third-party\nVersion: 1.0\n"
    )
    (site / "third_party-1.0.dist-info" / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(site)


@pytest.mark.usefixtures("third_party")
def test_a_third_party_s_adapters_are_found_by_their_entry_points(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    container = open_container(
        settings(
            tmp_path,
            catalog={"kind": "elsewhere", "url": "x"},
            associations={"kind": "elsewhere", "hosts": ["a"]},
            handlers={"order": ["carrier", "file"], "carrier": {"pool": "gold"}},
        )
    )
    assert vars(container.default_catalog())["options"] == {"url": "x"}
    assert vars(container.associations())["options"] == {"hosts": ["a"]}
    carrier, file = container.loaded().handlers
    assert vars(carrier)["settings"] == {"pool": "gold"}
    assert type(file).__module__ == "lading.adapters.handlers.file", "a built-in handler can't be taken over"
    assert "third_party:Carrier is not used" in caplog.text


@pytest.mark.usefixtures("third_party")
def test_a_third_party_s_catalog_is_a_remote_too(tmp_path: Path) -> None:
    remotes = {"ours": {"kind": "elsewhere", "url": "x"}, "wrong": {"kind": "picky"}}
    catalog = open_container(settings(tmp_path, catalogs=remotes)).catalog()
    assert vars(catalog.remote("ours"))["options"] == {"url": "x"}
    told = "the defaults: catalogs.wrong.kind: picky, from third-party 1.0, cannot be used: region: missing"
    assert str(catalog.find("wrong:noble", ANONYMOUS).failure()) == told


def test_a_remote_of_a_kind_that_nobody_brings_is_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as wrong:
        open_container(settings(tmp_path, catalogs={"lab": {"kind": "redis"}}))
    told = "the defaults: catalogs.lab.kind: expected one of file, glance, memory, oci, simplestreams, url, got 'redis'"
    assert str(wrong.value) == told


def test_every_built_in_kind_can_be_a_remote(tmp_path: Path) -> None:
    tables = {"a": {"kind": "memory"}, "b": {"kind": "file", "folder": str(tmp_path)}, "c": {"kind": "glance"}}
    catalog = open_container(settings(tmp_path, catalogs={**tables, "d": {"kind": "url"}})).catalog()
    kinds = [type(catalog.remote(name)) for name in "abcd"]
    assert kinds == [MemoryCatalog, FileCatalog, GlanceCatalog, UrlCatalog]


def test_a_kind_that_nobody_brings_is_an_error_that_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as wrong:
        open_container(settings(tmp_path, associations={"kind": "redis"}))
    assert str(wrong.value) == "the defaults: associations.kind: expected one of etcd, file, memory, got 'redis'"


@pytest.mark.usefixtures("third_party")
@pytest.mark.parametrize(
    ("section", "kind", "told"),
    [
        ("catalog", "broken", "could not be built: raised KeyError; the debug log has more"),
        ("catalog", "nonsense", "is no ImageCatalog: a str lacks locations"),
        ("catalog", "picky", "cannot be used: region: missing"),
        ("catalog", "lacking", "cannot be imported: nobody is not installed"),
        ("catalog", "absent", "could not be built: raised AttributeError; the debug log has more"),
        ("associations", "broken", "could not be built: raised KeyError; the debug log has more"),
        ("associations", "nonsense", "is no AssociationStore: a str lacks "),
        ("locks", "broken", "could not be built: raised KeyError; the debug log has more"),
        ("locks", "nonsense", "is no Locks: a str lacks "),
    ],
)
def test_a_third_party_s_adapter_that_fails_is_named(tmp_path: Path, section: str, kind: str, told: str) -> None:
    tables: dict[str, Any] = {section: {"kind": kind}}
    with pytest.raises(SettingsError) as failed:
        open_container(settings(tmp_path, **tables)).dispatcher()
    assert str(failed.value).startswith(f"the defaults: {section}.kind: {kind}, from third-party 1.0, {told}")
    assert "hunter2" not in str(failed.value)


def test_a_table_for_a_handler_that_there_is_not_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"handlers\.fiel.*download, file"):
        open_container(settings(tmp_path, handlers={"fiel": {}})).available_handlers()


def test_a_check_of_formats_that_cannot_be_made_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lading.adapters.plugins.find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"lading\[inspect\]"):
        open_container(settings(tmp_path))
    open_container(settings(tmp_path, landing={"inspect": False}))


BROKEN = """
class Elsewhere:
    def __init__(self, options):
        raise KeyError(options["password"])
class Carrier: ...
"""


@pytest.mark.usefixtures("third_party")
@pytest.mark.parametrize("section", ["catalog", "associations"])
def test_a_factory_that_raises_is_told_by_its_place_and_by_type_only(tmp_path: Path, section: str) -> None:
    (tmp_path / "site" / "third_party.py").write_text(BROKEN)
    sys.modules.pop("third_party", None)
    tables: dict[str, object] = {section: {"kind": "elsewhere", "password": "s3cret"}}
    container = open_container(settings(tmp_path, "file", **tables), recover=False)
    with pytest.raises(SettingsError) as wrong:
        container.providers[section]()
    sys.modules.pop("third_party", None)
    assert str(wrong.value) == (
        f"the defaults: {section}.kind: elsewhere, from third-party 1.0, could not be built: "
        "raised KeyError; the debug log has more"
    )
