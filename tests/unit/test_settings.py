"""The configuration: where it is found, what it may say, and what is said of it when it can't be used."""

import copy
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, asdict, dataclass, make_dataclass
from pathlib import Path
from typing import Literal

import pytest

from lading.adapters.config.settings import (
    FileAssociationsSettings,
    FileCatalogSettings,
    LandingSettings,
    MemorySettings,
    Settings,
    ThirdPartySettings,
    load_settings,
    read_settings,
    secrets_of,
)
from lading.adapters.config.table import Table
from lading.adapters.handlers.built_in import BUILT_IN as NAMES
from lading.adapters.handlers.built_in import settings_type
from lading.adapters.handlers.file import FileHandlerSettings
from lading.adapters.handlers.http import HttpHandlerSettings
from lading.adapters.handlers.s3 import S3HandlerSettings
from lading.ports.failures import SettingsError

FULL = """
[catalog]
kind = "file"
folder = "/srv/lading/catalog"
[associations]
kind = "file"
path = "/var/lib/lading/associations.sqlite"
[handlers]
order = ["nfs", "file"]
[handlers.file]
allowed_folders = ["/srv/images", "pool"]
[handlers.nfs]
pools = ["gold"]
[landing]
verify = false
inspect = false
"""

HTTP = {
    "connections": 4,
    "connect_seconds": 10.0,
    "stall_seconds": 30.0,
    "first_byte_seconds": 120.0,
    "ca_file": None,
    "allowed_schemes": ("http", "https"),
    "allowed_ports": (80, 443),
    "allowed_hosts": (),
    "allowed_networks": (),
}
READING = {
    "connections": 4,
    "connect_seconds": 10.0,
    "stall_seconds": 30.0,
    "first_byte_seconds": 120.0,
    "ca_file": None,
}
BUILT_IN: dict[str, object] = {
    "file": {"allowed_folders": ()},
    "http": HTTP,
    "download": {},
    "rbd": {"ceph_conf": None, "user": "admin", "connect_timeout": 10.0},
    "s3": {"endpoint": None, "access_key": None, "secret_key": None, "region": None, **READING},
    "swift": {"cloud": None, "hosts": (), **READING},
    "cinder": {
        "cloud": None,
        "host": None,
        "ceph_conf": None,
        "root_helper": None,
        "multipath": False,
        "timeout": 60.0,
    },
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a user who configured nothing; the current folder is elsewhere."""
    (tmp_path / "current").mkdir()
    monkeypatch.chdir(tmp_path / "current")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def built_in(settings: Settings) -> Mapping[str, object]:
    """What the built-in handlers read in their tables."""
    return {name: asdict(settings.handlers.tables[name].read(settings_type(name))) for name in NAMES}


def write(path: Path, text: str = '[catalog]\nkind = "memory"\n') -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def error(document: Mapping[str, object], **environ: str) -> str:
    with pytest.raises(SettingsError) as raised:
        read_settings(document, environ)
    return str(raised.value)


def load_error(path: Path | str | None, **environ: str) -> str:
    with pytest.raises(SettingsError) as raised:
        load_settings(None if path is None else str(path), environ)
    return str(raised.value)


# What it says.


def test_a_full_file_says_it_all(tmp_path: Path) -> None:
    settings = load_settings(str(write(tmp_path / "lading.toml", FULL)), {})
    assert settings.catalog == FileCatalogSettings(folder=Path("/srv/lading/catalog"))
    assert settings.associations == FileAssociationsSettings(path=Path("/var/lib/lading/associations.sqlite"))
    assert settings.handlers.order == ("nfs", "file")
    assert built_in(settings) == {
        **BUILT_IN,
        "file": {"allowed_folders": (Path("/srv/images"), tmp_path / "pool")},
    }
    assert settings.handlers.tables["nfs"] == {"pools": ["gold"]}
    assert settings.landing == LandingSettings(verify=False, inspect=False)
    assert settings.source == str(tmp_path / "lading.toml")


def test_without_a_file_everything_has_a_default(home: Path) -> None:
    settings = load_settings(None, {"HOME": str(home)})
    assert settings.catalog == FileCatalogSettings(folder=home / ".local/share/lading/catalog")
    assert settings.associations == FileAssociationsSettings(path=home / ".local/share/lading/associations.sqlite")
    assert settings.handlers.order is None
    assert built_in(settings) == BUILT_IN
    assert settings.landing == LandingSettings(verify=True, inspect=True)
    assert settings.source == "the defaults"


def test_the_defaults_lie_in_the_data_home(home: Path) -> None:
    settings = load_settings(None, {"HOME": str(home), "XDG_DATA_HOME": "/data"})
    assert settings.catalog == FileCatalogSettings(folder=Path("/data/lading/catalog"))
    assert settings.associations == FileAssociationsSettings(path=Path("/data/lading/associations.sqlite"))


def test_a_data_home_that_is_not_absolute_is_ignored_as_the_xdg_specification_has_it(home: Path) -> None:
    settings = load_settings(None, {"HOME": str(home), "XDG_DATA_HOME": "data"})
    assert settings.catalog == FileCatalogSettings(folder=home / ".local/share/lading/catalog")


def test_what_a_file_leaves_out_has_its_default() -> None:
    settings = read_settings({"landing": {"verify": False}, "catalog": {}}, {"HOME": "/home/me"})
    assert settings.landing == LandingSettings(verify=False, inspect=True)
    assert settings.catalog == FileCatalogSettings(folder=Path("/home/me/.local/share/lading/catalog"))


def test_the_memory_kinds_have_nothing_to_set() -> None:
    settings = read_settings({"catalog": {"kind": "memory"}, "associations": {"kind": "memory"}}, {})
    assert settings.catalog == settings.associations == MemorySettings()


def test_a_third_partys_options_are_handed_on_as_they_are() -> None:
    options = {"cloud": "mine", "retries": 3, "tls": {"verify": False}, "regions": ["a", {"b": 1}]}
    settings = read_settings({"catalog": {"kind": "elsewhere", **options}}, {"HOME": "/home/me"})
    assert settings.catalog == ThirdPartySettings("elsewhere", Table(options))
    assert list(settings.catalog.options) == list(options)


def test_settings_can_be_copied_and_pickled_and_do_not_change() -> None:
    settings = read_settings({"catalog": {"kind": "elsewhere", "tls": {"ca": "x"}}}, {"HOME": "/home/me"})
    assert copy.deepcopy(settings) == pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301 - our own
    with pytest.raises(FrozenInstanceError):
        settings.landing.verify = False  # type: ignore[misc]  # that is the point


def test_relative_paths_are_relative_to_the_files_folder_and_a_tilde_is_home(home: Path) -> None:
    path = write(home / "etc" / "lading.toml", '[catalog]\nfolder = "catalog"\n[associations]\npath = "~/db"\n')
    settings = load_settings(os.path.relpath(path), {})
    assert isinstance(settings.catalog, FileCatalogSettings)
    assert settings.catalog.folder.is_absolute()
    assert settings.catalog.folder.resolve() == home / "etc" / "catalog"
    assert settings.associations == FileAssociationsSettings(path=home / "db")


# Where it is found.


def test_a_named_file_goes_before_all_others(home: Path) -> None:
    named, other = write(home / "named.toml"), write(Path("lading.toml"), "nonsense")
    assert load_settings(str(named), {"LADING_CONFIG": str(other)}).source == str(named)
    assert load_settings(None, {"LADING_CONFIG": str(named)}).source.startswith(str(named))


def test_files_are_looked_for_in_the_current_folder_and_then_in_the_config_home(home: Path) -> None:
    environ = {"HOME": str(home)}
    in_home = write(home / ".config" / "lading" / "lading.toml")
    assert load_settings(None, environ).source == str(in_home)
    in_xdg = write(home / "xdg" / "lading" / "lading.toml")
    assert load_settings(None, {**environ, "XDG_CONFIG_HOME": str(home / "xdg")}).source == str(in_xdg)
    here = write(Path.cwd() / "lading.toml")
    assert load_settings(None, environ).source == str(here)


def test_a_blank_config_variable_names_no_file(home: Path) -> None:
    assert load_settings(None, {"LADING_CONFIG": "", "HOME": str(home)}).source == "the defaults"


def test_a_named_file_that_is_not_there_is_an_error(home: Path) -> None:
    for environ in ({}, {"LADING_CONFIG": "missing.toml"}):
        path = None if environ else "missing.toml"
        assert load_error(path, **environ) == "missing.toml: no such file"


def test_a_tilde_in_the_name_of_the_file_is_home(home: Path) -> None:
    path = write(home / "my.toml")
    assert load_settings("~/my.toml", {}).source == str(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_in_the_current_folder_of_another_user_must_be_named(home: Path) -> None:
    path = write(Path.cwd() / "lading.toml")
    os.chown(path, 1234, 1234)
    assert load_error(None) == f"{path}: is owned by another user (uid 1234); to use it nevertheless: --config {path}"
    assert load_settings(str(path), {}).source == str(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[catalog]\nkind = "file\n', "is no TOML: Illegal character '\\n' (at line 2, column 13)"),
        ("[catalog]\nkind = 1\nkind = 2\n", "is no TOML: Cannot overwrite a value (at line 3, column 9)"),
        ("x = " + "[" * 100_000, "is nested too deeply"),
        ("x." * 2_000 + "x = 1", "is nested too deeply"),
        ("#" * ((1 << 20) + 1), "is larger than 1048576 bytes"),
        ("x = " + "9" * 5000, "is no TOML: Exceeds the limit"),
    ],
    ids=["unclosed", "twice", "deep", "deep keys", "large", "digits"],
)
def test_a_file_that_can_not_be_parsed_is_an_error_that_says_where(tmp_path: Path, text: str, told: str) -> None:
    path = write(tmp_path / "lading.toml", text)
    assert load_error(path).startswith(f"{path}: {told}")


def test_a_file_that_is_not_utf_8_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "lading.toml").write_bytes(b'x = "\xff"')
    assert "can't decode byte 0xff" in load_error(tmp_path / "lading.toml")


def test_a_folder_in_a_files_place_is_an_error(home: Path) -> None:
    Path("lading.toml").mkdir()
    assert load_error(None) == f"{Path.cwd() / 'lading.toml'}: cannot be read: Is a directory"


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 5000])
def test_a_name_that_no_file_has_is_an_error(name: str) -> None:
    assert load_error(name).isprintable()


def test_a_pipe_may_be_named(tmp_path: Path) -> None:
    read, written = os.pipe()
    os.write(written, b'[catalog]\nkind = "memory"\n')
    os.close(written)
    settings = load_settings(f"/dev/fd/{read}", {"HOME": str(tmp_path)})
    os.close(read)
    assert settings.catalog == MemorySettings()


# Variables.


def settings_of(document: Mapping[str, object], **environ: str) -> Settings:
    return read_settings(document, {"HOME": "/home/me", **environ})


def test_a_variable_goes_over_the_file() -> None:
    settings = settings_of(
        {"landing": {"verify": True, "inspect": False}, "handlers": {"order": ["nfs"]}},
        LADING_LANDING__VERIFY="false",
        LADING_HANDLERS__ORDER="file, download,",
    )
    assert settings.landing == LandingSettings(verify=False, inspect=False)
    assert settings.handlers.order == ("file", "download")
    assert settings.source == "the defaults, LADING_HANDLERS__ORDER, LADING_LANDING__VERIFY"


@pytest.mark.parametrize(
    "said", ["/img,~/pool, pool ,", '["/img", "~/pool", "pool"]', ' [ "/img", "~/pool", "pool" ] ']
)
def test_a_list_in_a_variable_has_commas_or_is_a_toml_array(home: Path, said: str) -> None:
    settings = settings_of({}, LADING_HANDLERS__FILE__ALLOWED_FOLDERS=said)
    folders = settings.handlers.tables["file"].read(FileHandlerSettings).allowed_folders
    assert folders == (Path("/img"), home / "pool", Path.cwd() / "pool")


def test_a_path_in_a_variable_is_relative_to_the_current_folder(home: Path) -> None:
    path = write(home / "lading.toml", '[catalog]\nfolder = "a"\n')
    settings = load_settings(str(path), {"LADING_CATALOG__FOLDER": "b"})
    assert settings.catalog == FileCatalogSettings(folder=Path.cwd() / "b")


@pytest.mark.parametrize(
    ("said", "meant"), [("true", True), ("YES", True), ("on", True), ("1", True), ("False", False), ("0", False)]
)
def test_a_flag_in_a_variable_may_be_said_in_several_ways(said: str, *, meant: bool) -> None:
    assert settings_of({}, LADING_LANDING__INSPECT=said).landing.inspect is meant


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("true", True),
        ("7", 7),
        ('["a", 1]', ["a", 1]),
        ("{ a = 1 }", {"a": 1}),
        ('"7"', "7"),
        ("a,b", "a,b"),
        ("", ""),
        ("1\nother = 2", "1\nother = 2"),
        ("[" * 5000, "[" * 5000),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_a_variable_for_a_third_party_is_a_toml_value_or_else_a_text(said: str, meant: object) -> None:
    settings = settings_of({"handlers": {"nfs": {"old": 1}}}, LADING_HANDLERS__NFS__NEW=said)
    assert settings.handlers.tables["nfs"] == {"old": 1, "new": meant}


def test_a_variable_reaches_into_a_third_partys_tables() -> None:
    settings = settings_of(
        {"catalog": {"kind": "elsewhere", "tls": {"ca": "/ca", "verify": True}}},
        LADING_CATALOG__TLS__VERIFY="false",
        LADING_CATALOG__RETRY__DELAYS__FIRST="0.5",
    )
    assert settings.catalog == ThirdPartySettings(
        "elsewhere", Table({"tls": {"ca": "/ca", "verify": False}, "retry": {"delays": {"first": 0.5}}})
    )


def test_a_dash_in_a_name_is_an_underscore_in_a_variables() -> None:
    settings = settings_of({"handlers": {"My-http": {}}}, LADING_HANDLERS__MY_HTTP__RETRIES="3")
    assert settings.handlers.tables["My-http"] == {"retries": 3}


def test_reading_changes_nothing_of_the_document() -> None:
    document = {"handlers": {"nfs": {"tls": {"verify": True}}}, "catalog": {"kind": "elsewhere", "x": 1}}
    before = copy.deepcopy(document)
    settings_of(document, LADING_HANDLERS__NFS__TLS__VERIFY="false", LADING_CATALOG__KIND="memory")
    assert document == before


def test_another_kind_in_a_variable_sets_the_files_options_aside() -> None:
    document = {"catalog": {"kind": "elsewhere", "cloud": "mine", "folder": "/glance"}}
    assert settings_of(document, LADING_CATALOG__KIND="memory").catalog == MemorySettings()
    settings = settings_of(document, LADING_CATALOG__KIND="file", LADING_CATALOG__FOLDER="/mine")
    assert settings.catalog == FileCatalogSettings(folder=Path("/mine"))
    settings = settings_of(
        {"catalog": {"folder": "/x"}}, LADING_CATALOG__KIND="elsewhere", LADING_CATALOG__CLOUD="mine"
    )
    assert settings.catalog == ThirdPartySettings("elsewhere", Table({"cloud": "mine"}))


def test_the_same_kind_in_a_variable_keeps_the_files_options() -> None:
    settings = settings_of({"catalog": {"kind": "file", "folder": "/x"}}, LADING_CATALOG__KIND="file")
    assert settings.catalog == FileCatalogSettings(folder=Path("/x"))
    assert settings_of({"catalog": {"folder": "/x"}}, LADING_CATALOG__KIND="file").catalog == settings.catalog


def test_an_option_of_another_kind_in_a_variable_is_an_error() -> None:
    told = error({}, LADING_CATALOG__KIND="memory", LADING_CATALOG__FOLDER="/x")
    assert told == "LADING_CATALOG__FOLDER: catalog.folder: unknown key (known: kind)"


@pytest.mark.parametrize(
    "name",
    [
        "LADING_",
        "LADING_VERIFY",
        "LADING_CATALOG",
        "LADING_CATALOG__",
        "LADING_CATALOG____KIND",
        "LADING___KIND",
        "LADING_CATALOGUE__KIND",
        "LADING_CATALOG" + "__A" * 10_000,
    ],
)
def test_a_variable_that_names_nothing_is_an_error_that_lists_what_is_known(name: str) -> None:
    assert error({}, **{name: "x"}) == (
        f"{name}: names no setting (known: LADING_CONFIG, LADING_CATALOG__…, LADING_ASSOCIATIONS__…, "
        "LADING_JOURNAL__…, LADING_LOCKS__…, LADING_HANDLERS__…, LADING_LANDING__…, LADING_NETWORK__…)"
    )


def test_other_programs_variables_are_none_of_our_business() -> None:
    settings = settings_of(
        {}, PATH="/bin", _LADING_COMPLETE="bash_source", lading_catalog__kind="memory", XLADING_A="1"
    )
    assert settings.source == "the defaults"


# What is wrong with it.

SECTIONS = "known: associations, catalog, handlers, journal, landing, locks, network"


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"x": {}}, f"x: unknown key ({SECTIONS})"),
        ({"land": {}}, f"land: unknown key, did you mean landing? ({SECTIONS})"),
        ({"catalog": {"foldr": "/x"}}, "catalog.foldr: unknown key, did you mean folder? (known: folder, kind)"),
        ({"catalog": {"kind": "memory", "q": 1}}, "catalog.q: unknown key (known: kind)"),
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
                " (known: cinder, download, file, http, order, rbd, s3, swift)"
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
          " (known: allow_unverified, inspect, max_size, mode, require_space, verify)")),
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


def test_a_table_that_only_variables_make_is_told_of_by_the_variable() -> None:
    told = error({}, LADING_LANDING__VERIFY__ALWAYS="true")
    assert told == "LADING_LANDING__VERIFY__ALWAYS: landing.verify: expected true or false, got a table"


def test_a_variable_can_not_reach_into_a_value() -> None:
    told = error({"handlers": {"nfs": {"pools": ["gold"]}}}, LADING_HANDLERS__NFS__POOLS__FIRST="gold")
    assert told == "LADING_HANDLERS__NFS__POOLS__FIRST: handlers.nfs.pools is a value, no table"


def test_without_a_home_the_file_kinds_want_to_be_told_where() -> None:
    for home in ("relative", "~nobody-here"):
        told = error({"associations": {"kind": "memory"}}, HOME=home)
        assert told == "catalog.folder: missing, expected a path"
    settings = read_settings({"catalog": {"folder": "/x"}, "associations": {"kind": "memory"}}, {"HOME": "relative"})
    assert settings.catalog == FileCatalogSettings(folder=Path("/x"))


def test_a_current_folder_that_is_gone_is_an_error_where_it_is_needed(
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


def test_a_url_is_not_shown_for_it_may_hold_a_password() -> None:
    told = error({"handlers": {"order": "http://me:hush@host/"}})
    assert told == "handlers.order: expected a list, got a URL"


# Tables of one's own.


@dataclass(frozen=True)
class NfsSettings:
    pool: str
    mode: Literal["clone", "copy"] = "clone"
    retries: int = 3
    timeout: float = 30.0
    ca: Path | None = None
    numbers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.retries < 0:
            raise ValueError("retries can't be negative")


def test_a_handlers_own_table_is_read_into_its_own_dataclass() -> None:
    table = {"pool": "gold", "mode": "copy", "retries": 0, "timeout": 5, "ca": "/ca.pem", "numbers": [1, 2]}
    read = Table(table, "handlers.nfs").read(NfsSettings)
    assert read == NfsSettings("gold", "copy", 0, 5.0, Path("/ca.pem"), (1, 2))
    assert isinstance(read.timeout, float)
    assert Table({"pool": "gold"}, "handlers.nfs").read(NfsSettings) == NfsSettings("gold")


def test_what_was_read_can_be_read_again() -> None:
    tables = settings_of({}, LADING_HANDLERS__FILE__ALLOWED_FOLDERS="/a,/b").handlers.tables
    assert tables["file"].read(FileHandlerSettings) == FileHandlerSettings(allowed_folders=(Path("/a"), Path("/b")))


def test_variables_of_a_handlers_own_table_are_read_as_what_it_expects(home: Path) -> None:
    document = write(home / "lading.toml", '[handlers.nfs]\nca = "ca.pem"\npool = "old"\n')
    settings = load_settings(
        str(document),
        {
            "LADING_HANDLERS__NFS__POOL": "2024",
            "LADING_HANDLERS__NFS__RETRIES": "7",
            "LADING_HANDLERS__NFS__TIMEOUT": "2",
            "LADING_HANDLERS__NFS__MODE": "copy",
            "LADING_HANDLERS__NFS__NUMBERS": "1,2",
        },
    )
    read = settings.handlers.tables["nfs"].read(NfsSettings)
    assert read == NfsSettings("2024", "copy", 7, 2.0, home / "ca.pem", (1, 2))


def test_what_http_may_reach_can_be_said_by_variables() -> None:
    tables = settings_of(
        {}, LADING_HANDLERS__HTTP__ALLOWED_PORTS="80,8080", LADING_HANDLERS__HTTP__ALLOWED_NETWORKS="10.0.0.0/8,::1"
    ).handlers.tables
    read = tables["http"].read(HttpHandlerSettings)
    assert (read.allowed_ports, read.allowed_networks) == ((80, 8080), ("10.0.0.0/8", "::1"))
    tables = settings_of({}, LADING_HANDLERS__HTTP__ALLOWED_PORTS="").handlers.tables
    assert tables["http"].read(HttpHandlerSettings).allowed_ports == ()


def test_a_blank_variable_is_none_where_there_may_be_nothing() -> None:
    settings = settings_of({"handlers": {"nfs": {"pool": "a", "ca": "/ca"}}}, LADING_HANDLERS__NFS__CA="")
    assert settings.handlers.tables["nfs"].read(NfsSettings).ca is None


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({}, "handlers.nfs.pool: missing, expected a text"),
        ({"pool": None}, "handlers.nfs.pool: expected a text, got None"),
        ({"pool": "a", "mode": "move"}, "handlers.nfs.mode: expected 'clone' or 'copy', got 'move'"),
        ({"pool": "a", "mode": []}, "handlers.nfs.mode: expected 'clone' or 'copy', got a list"),
        ({"pool": "a", "retries": True}, "handlers.nfs.retries: expected a whole number, got true"),
        ({"pool": "a", "retries": 1.0}, "handlers.nfs.retries: expected a whole number, got 1.0"),
        ({"pool": "a", "retries": -1}, "handlers.nfs: retries can't be negative"),
        ({"pool": "a", "timeout": "5"}, "handlers.nfs.timeout: expected a number, got '5'"),
        ({"pool": "a", "timeout": False}, "handlers.nfs.timeout: expected a number, got false"),
        ({"pool": "a", "timeout": float("inf")}, "handlers.nfs.timeout: expected a number, got inf"),
        ({"pool": "a", "timeout": 10**400}, "handlers.nfs.timeout: expected a number, got 1" + "0" * 59 + "…"),
        ({"pool": "a", "bad": 1}, "handlers.nfs.bad: unknown key (known: ca, mode, numbers, pool, retries, timeout)"),
        ({"pool": "a", "ca": 5}, "handlers.nfs.ca: expected a path, got 5"),
        ({"pool": "a", "numbers": [1, "2"]}, "handlers.nfs.numbers[1]: expected a whole number, got '2'"),
    ],
)
def test_what_is_wrong_with_a_handlers_own_table_is_said(table: Mapping[str, object], told: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Table(table, "handlers.nfs").read(NfsSettings)
    assert str(raised.value) == told


def test_what_may_be_none_is_missing_all_the_same_where_it_has_no_default() -> None:
    cls = make_dataclass("Strict", [("ca", Path | None)])
    with pytest.raises(SettingsError, match=r"^handlers\.mine\.ca: missing, expected a path$"):
        Table({}, "handlers.mine").read(cls)
    assert Table({"ca": None}, "handlers.mine").read(cls) == cls(None)


def test_what_is_wrong_with_a_handlers_own_table_is_said_with_the_file_or_the_variable(tmp_path: Path) -> None:
    path = write(tmp_path / "lading.toml", '[handlers.nfs]\npool = "gold"\nretries = "x"')
    for environ, source in (({}, str(path)), ({"LADING_HANDLERS__NFS__RETRIES": "x"}, "LADING_HANDLERS__NFS__RETRIES")):
        settings = load_settings(str(path), environ)
        with pytest.raises(SettingsError) as raised:
            settings.handlers.tables["nfs"].read(NfsSettings)
        assert str(raised.value) == f"{source}: handlers.nfs.retries: expected a whole number, got 'x'"


def test_nothing_is_imported_to_parse_when_there_is_nothing_to_parse(tmp_path: Path) -> None:
    code = """import sys, lading.adapters.config.settings as settings
settings.load_settings(None, {"HOME": "/x"})
print("tomllib" in sys.modules)"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_only_the_handlers_that_are_configured_are_imported_to_check_their_tables(tmp_path: Path) -> None:
    code = """import sys, lading.adapters.config.settings as settings
settings.load_settings(sys.argv[1], {"HOME": "/x"})
print(*sorted(each for each in sys.modules if each.startswith("lading.adapters.handlers.")))"""
    for text, imported in (
        ("", ["built_in"]),
        ("[handlers.cinder]\ncloud = 'gold'\n[handlers.rbd]\nuser = 'nova'\n",
         ["built_in", "cinder", "cinder.settings", "rbd", "rbd.settings"]),
    ):  # fmt: skip
        command = [sys.executable, "-c", code, str(write(tmp_path / "lading.toml", text))]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert done.stdout.split() == [f"lading.adapters.handlers.{name}" for name in imported]


def test_a_table_is_converted_once() -> None:
    table = settings_of({"handlers": {"http": {"connections": 2}}}).handlers.tables["http"]
    assert table.read(HttpHandlerSettings) is table.read(HttpHandlerSettings)


@pytest.mark.parametrize("written", ["20G", "20GiB", 20 << 30, "21474836480"])
def test_a_size_may_be_written_as_bytes_or_with_a_suffix(written: object) -> None:
    assert read_settings({"landing": {"max_size": written}}, {"HOME": "/home/me"}).landing.max_size == 20 << 30
    environ = {"HOME": "/home/me", "LADING_LANDING__MAX_SIZE": str(written)}
    assert read_settings({}, environ).landing.max_size == 20 << 30


@pytest.mark.parametrize("written", ["20X", "-1", 0, -1, 1.5, True, ""])
def test_what_is_no_size_is_told(written: object) -> None:
    with pytest.raises(SettingsError, match=r"landing.max_size: expected bytes, or a text like 20G"):
        read_settings({"landing": {"max_size": written}}, {"HOME": "/home/me"})


@dataclass(frozen=True)
class Careless:
    password: str
    endpoint: str

    def __post_init__(self) -> None:
        raise ValueError(f"{self.password} is not taken at {self.endpoint}")


def test_what_a_third_partys_check_says_is_told_without_secrets() -> None:
    with pytest.raises(SettingsError) as wrong:
        Table({"password": "s3cret", "endpoint": "http://u:p@host/a"}, "handlers.careless").read(Careless)
    assert str(wrong.value) == "handlers.careless: *** is not taken at http://***@host/a"


@dataclass(frozen=True)
class Outer:
    tls: NfsSettings
    folders: Mapping[str, Path]


def test_a_table_in_a_third_partys_table_is_read_too_and_its_mistakes_are_told_with_their_place(home: Path) -> None:
    table = {"tls": {"pool": "gold", "ca": "ca.pem"}, "folders": {"a": "x"}}
    path = Path("/etc/lading")
    read = Table({"outer": table}, "handlers", "lading.toml", path).section("outer").read(Outer)
    assert read == Outer(NfsSettings("gold", ca=path / "ca.pem"), {"a": path / "x"})
    told = "LADING_HANDLERS__OUTER__TLS__RETRIES: handlers.outer.tls.retries: expected a whole number, got 'x'"
    settings = settings_of({"handlers": {"outer": table}}, LADING_HANDLERS__OUTER__TLS__RETRIES="x")
    with pytest.raises(SettingsError) as wrong:
        settings.handlers.tables["outer"].read(Outer)
    assert str(wrong.value) == told


@pytest.mark.parametrize("secret", ["hunter2", "12345", '"quoted"', "true"])
def test_secrets_are_known_wherever_they_are_configured_and_no_repr_shows_them(secret: str) -> None:
    document = {
        "catalog": {"kind": "elsewhere", "auth": {"password": "hunter3"}},
        "handlers": {"nfs": {"token": "hunter4"}},
    }
    settings = settings_of(
        document, LADING_HANDLERS__S3__SECRET_KEY=secret, LADING_HANDLERS__S3__ACCESS_KEY="AKIA",
        LADING_HANDLERS__S3__ENDPOINT="http://s3.example",
    )  # fmt: skip
    assert {"hunter3", "hunter4", "AKIA", secret} <= {*secrets_of(settings)}
    assert settings.handlers.tables["s3"].read(S3HandlerSettings).secret_key == secret
    assert not re.search(f"hunter|{secret}|AKIA", repr(settings.handlers) + repr(settings.catalog))
