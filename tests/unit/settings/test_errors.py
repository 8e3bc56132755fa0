"""An error names the file or variable, the key, what was expected and what was found."""

from collections.abc import Mapping
from dataclasses import make_dataclass
from pathlib import Path

import pytest
from tests.unit.settings.files import error, load_error, write

from lading.adapters.config.settings import FileCatalogSettings, load_settings, read_settings
from lading.adapters.config.table import Table
from lading.ports.failures import SettingsError

SECTIONS = "known: associations, catalog, catalogs, handlers, journal, landing, locks, network"


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"x": {}}, f"x: unknown key ({SECTIONS})"),
        ({"land": {}}, f"land: unknown key, did you mean landing? ({SECTIONS})"),
        ({"catalog": {"foldr": "/x"}},
         "catalog.foldr: unknown key, did you mean folder? (known: folder, kind, policy)"),
        ({"catalog": {"kind": "memory", "q": 1}}, "catalog.q: unknown key (known: kind, policy)"),
        ({"catalog": 5}, "catalog: expected a table, got 5"),
        ({"catalog": {"kind": 5}}, "catalog.kind: expected a text, got 5"),
        ({"catalog": {"folder": ""}}, "catalog.folder: expected a path, got ''"),
        ({"catalog": {"folder": "a\0b"}}, "catalog.folder: expected a path, got 'a\\x00b'"),
        ({"catalog": {"folder": "~nobody-here/x"}}, "catalog.folder: expected a path, got '~nobody-here/x'"),
        ({"associations": {"path": ["/x"]}}, "associations.path: expected a path, got a list"),
        ({"handlers": {"order": "file"}}, "handlers.order: expected a list, got 'file'"),
        ({"handlers": {"order": ["file", 5]}}, "handlers.order[1]: expected a text, got 5"),
        (
            {"handlers": {"ordr": []}},
            (
                "handlers.ordr: unknown key, did you mean order?"
                " (known: cinder, download, file, http, oci, order, rbd, s3, swift)"
            ),
        ),
        ({"handlers": {"file": 5}}, "handlers.file: expected a table, got 5"),
        ({"handlers": {"file": {"a b": 5}}}, "handlers.file.'a b': unknown key (known: allowed_folders)"),
        ({"handlers": {"download": {"x": 5}}}, "handlers.download.x: unknown key (known: none)"),
        (
            {"handlers": {"http": {"allowed_schemes": []}}},
            "handlers.http: allowed_schemes: expected http, https or both",
        ),
        (
            {"handlers": {"http": {"allowed_schemes": ["ftp"]}}},
            "handlers.http.allowed_schemes[0]: expected 'http' or 'https', got 'ftp'",
        ),
        (
            {"handlers": {"http": {"allowed_ports": ["80"]}}},
            "handlers.http.allowed_ports[0]: expected a whole number, got '80'",
        ),
        ({"handlers": {"http": {"allowed_ports": [65536]}}}, "handlers.http: allowed_ports: expected 1 to 65535"),
        (
            {"handlers": {"http": {"allowed_hosts": ["http://me:hush@host/"]}}},
            "handlers.http: allowed_hosts: expected names like images.example or .images.example",
        ),
        (
            {"handlers": {"http": {"allowed_networks": ["10.0.0.5/8"]}}},
            "handlers.http: allowed_networks: 10.0.0.5/8 is an address in a network, did you mean 10.0.0.0/8?",
        ),
        (
            {"handlers": {"http": {"allowed_networks": ["the office"]}}},
            "handlers.http: allowed_networks: expected networks like 10.0.0.0/8, or addresses",
        ),
        ({"landing": {"verify": 1}}, "landing.verify: expected true or false, got 1"),
        ({"landing": {"verify": "true"}}, "landing.verify: expected true or false, got 'true'"),
        ({"landing": {"verify": {}}}, "landing.verify: expected true or false, got a table"),
        ({"landing": {"verify": "x" * 1000}}, f"landing.verify: expected true or false, got '{'x' * 59}…"),
        ({"landing": 1 << 100_000}, "landing: expected a table, got a number of more digits than can be shown"),
        ({"landing": {"\x1b[31m\n": 1}},
         ("landing.'\\x1b[31m\\n': unknown key"
          " (known: allow_unverified, certificates, format, inspect, key_manager, max_size, max_unpacked, mode,"
              " require_signature, require_space, trusted_certificates, unpack, verify)")),
    ],
)  # fmt: skip
def test_an_error_names_the_key_what_was_expected_and_what_was_got(document: Mapping[str, object], told: str) -> None:
    assert error(document, HOME="/home/me") == told


def test_a_document_that_is_nested_too_deeply_is_an_error() -> None:
    document: dict[str, object] = {}
    for _ in range(5_000):
        document = {"x": document}
    assert error(document) == "is nested too deeply"


def test_an_error_names_the_file_or_the_variable(tmp_path: Path) -> None:
    path = write(tmp_path / "lading.toml", "[landing]\nverify = 'x'\n[handlers.file]\nallowed = 1")
    assert load_error(path).startswith(f"{path}: handlers.file.allowed: unknown key, did you mean allowed_folders?")
    path = write(path, "[landing]\nverify = 'x'\n")
    assert load_error(path) == f"{path}: landing.verify: expected true or false, got 'x'"
    told = load_error(path, LADING_LANDING__VERIFY="maybe")
    assert told == "LADING_LANDING__VERIFY: landing.verify: expected true or false, got 'maybe'"
    assert (
        load_error(path, LADING_HANDLERS__FILE="x") == "LADING_HANDLERS__FILE: handlers.file: expected a table, got 'x'"
    )


def test_an_error_in_a_table_of_variables_names_the_variable() -> None:
    told = error({}, LADING_LANDING__VERIFY__ALWAYS="true")
    assert told == "LADING_LANDING__VERIFY__ALWAYS: landing.verify: expected true or false, got a table"


def test_a_variable_cannot_reach_into_a_value() -> None:
    told = error({"handlers": {"nfs": {"pools": ["gold"]}}}, LADING_HANDLERS__NFS__POOLS__FIRST="gold")
    assert told == "LADING_HANDLERS__NFS__POOLS__FIRST: handlers.nfs.pools is a value, no table"


def test_without_a_home_the_file_kinds_need_a_path() -> None:
    for home in ("relative", "~nobody-here"):
        told = error({"associations": {"kind": "memory"}}, HOME=home)
        assert told == "catalog.folder: missing, expected a path"
    settings = read_settings({"catalog": {"folder": "/x"}, "associations": {"kind": "memory"}}, {"HOME": "relative"})
    assert settings.catalog == FileCatalogSettings(folder=Path("/x"))


def test_a_missing_current_folder_is_an_error_where_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert load_settings(None, {"HOME": "/home/me"}).source == "the defaults"
    told = error({}, LADING_CATALOG__FOLDER="x")
    assert told == "LADING_CATALOG__FOLDER: catalog.folder: expected a path, got 'x'"
    monkeypatch.chdir("/")


@pytest.mark.parametrize("key", ["password", "secret_access_code", "api_token", "Key", "access_key"])
def test_a_secret_is_not_shown(key: str) -> None:
    cls = make_dataclass("S3Settings", [(key, int)])
    with pytest.raises(SettingsError) as raised:
        Table({key: "hush"}, "handlers.s3").read(cls)
    assert str(raised.value) == f"handlers.s3.{key}: expected a whole number, got something else, which is not shown"


def test_a_url_is_not_shown_because_it_may_hold_a_password() -> None:
    told = error({"handlers": {"order": "http://me:hush@host/"}})
    assert told == "handlers.order: expected a list, got a URL"
