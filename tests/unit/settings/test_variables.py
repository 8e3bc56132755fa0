"""Variables go over the file."""

import copy
from pathlib import Path

import pytest
from tests.unit.settings.files import error, settings_of, write

from lading.adapters.config.settings import (
    FileCatalogSettings,
    LandingSettings,
    MemoryCatalogSettings,
    ThirdPartySettings,
    load_settings,
)
from lading.adapters.config.table import Table
from lading.adapters.etcd.settings import EtcdLocksSettings
from lading.adapters.handlers.file import FileHandlerSettings


def test_a_variable_overrides_the_file() -> None:
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
def test_a_flag_in_a_variable_has_several_spellings(said: str, *, meant: bool) -> None:
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
def test_a_variable_of_a_third_party_is_a_toml_value_or_a_text(said: str, meant: object) -> None:
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


def test_a_dash_in_a_name_is_an_underscore_in_a_variable() -> None:
    settings = settings_of({"handlers": {"My-http": {}}}, LADING_HANDLERS__MY_HTTP__RETRIES="3")
    assert settings.handlers.tables["My-http"] == {"retries": 3}


def test_reading_changes_nothing_of_the_document() -> None:
    document = {"handlers": {"nfs": {"tls": {"verify": True}}}, "catalog": {"kind": "elsewhere", "x": 1}}
    before = copy.deepcopy(document)
    settings_of(document, LADING_HANDLERS__NFS__TLS__VERIFY="false", LADING_CATALOG__KIND="memory")
    assert document == before


def test_another_kind_in_a_variable_drops_the_options_of_the_file() -> None:
    document = {"catalog": {"kind": "elsewhere", "cloud": "mine", "folder": "/glance"}}
    assert settings_of(document, LADING_CATALOG__KIND="memory").catalog == MemoryCatalogSettings()
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
    assert told == "LADING_CATALOG__FOLDER: catalog.folder: unknown key (known: kind, policy)"


def test_variables_of_the_cluster_of_associations_are_those_of_the_locks_too(home: Path) -> None:
    settings = settings_of(
        {"locks": {"kind": "etcd", "timeout": 3}},
        LADING_ASSOCIATIONS__KIND="etcd",
        LADING_ASSOCIATIONS__ENDPOINTS="http://a:1,http://b:1",
        LADING_ASSOCIATIONS__CA_FILE="ca.pem",
        LADING_ASSOCIATIONS__TIMEOUT="7",
    )
    assert isinstance(settings.locks, EtcdLocksSettings)
    assert settings.locks.endpoints == ("http://a:1", "http://b:1")
    assert (settings.locks.ca_file, settings.locks.timeout) == (Path.cwd() / "ca.pem", 3)


@pytest.mark.parametrize(
    "name",
    [
        "LADING_",
        "LADING_VERIFY",
        "LADING_CATALOG",
        "LADING_CATALOG__",
        "LADING_CATALOG____KIND",
        "LADING___KIND",
        "LADING_CATALOG" + "__A" * 10_000,
    ],
)
def test_an_unknown_variable_is_an_error_that_lists_the_known_ones(name: str) -> None:
    assert error({}, **{name: "x"}) == (
        f"{name}: names no setting (known: LADING_CONFIG, LADING_CATALOG__…, LADING_CATALOGS__…, "
        "LADING_ASSOCIATIONS__…, LADING_JOURNAL__…, LADING_LOCKS__…, LADING_HANDLERS__…, LADING_LANDING__…, "
        "LADING_NETWORK__…)"
    )


def test_a_variable_of_an_unknown_section_is_compared_with_the_known_ones() -> None:
    assert error({}, LADING_LANDNG__MODE="0640").startswith(
        "LADING_LANDNG__MODE: names no setting, did you mean LADING_LANDING__MODE? (known: LADING_CONFIG, "
    )


def test_variables_of_other_programs_are_ignored() -> None:
    settings = settings_of(
        {}, PATH="/bin", _LADING_COMPLETE="bash_source", lading_catalog__kind="memory", XLADING_A="1"
    )
    assert settings.source == "the defaults"
