"""Which file is read, and what a file says."""

import copy
import os
import pickle
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from tests.unit.settings.files import built_in, load_error, write

from lading.adapters.config.settings import (
    FileAssociationsSettings,
    FileCatalogSettings,
    LandingSettings,
    MemoryCatalogSettings,
    MemorySettings,
    ThirdPartySettings,
    load_settings,
    read_settings,
)
from lading.adapters.config.table import Table

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
    "oci": {
        "allowed_ports": (80, 443),
        "allowed_hosts": (),
        "allowed_networks": (),
        "insecure": (),
        "passwords": {},
        "auth_file": None,
        **READING,
    },
    "cinder": {
        "cloud": None,
        "host": None,
        "ceph_conf": None,
        "root_helper": None,
        "multipath": False,
        "timeout": 60.0,
    },
}

# What it says.


def test_a_full_file_sets_everything(tmp_path: Path) -> None:
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


def test_a_relative_data_home_is_ignored(home: Path) -> None:
    settings = load_settings(None, {"HOME": str(home), "XDG_DATA_HOME": "data"})
    assert settings.catalog == FileCatalogSettings(folder=home / ".local/share/lading/catalog")


def test_what_a_file_leaves_out_has_its_default() -> None:
    settings = read_settings({"landing": {"verify": False}, "catalog": {}}, {"HOME": "/home/me"})
    assert settings.landing == LandingSettings(verify=False, inspect=True)
    assert settings.catalog == FileCatalogSettings(folder=Path("/home/me/.local/share/lading/catalog"))


def test_the_memory_kinds_have_nothing_to_set() -> None:
    settings = read_settings({"catalog": {"kind": "memory"}, "associations": {"kind": "memory"}}, {})
    assert (settings.catalog, settings.associations) == (MemoryCatalogSettings(), MemorySettings())


def test_options_of_a_third_party_stay_as_they_are() -> None:
    options = {"cloud": "mine", "retries": 3, "tls": {"verify": False}, "regions": ["a", {"b": 1}]}
    settings = read_settings({"catalog": {"kind": "elsewhere", **options}}, {"HOME": "/home/me"})
    assert settings.catalog == ThirdPartySettings("elsewhere", Table(options))
    assert list(settings.catalog.options) == list(options)


def test_settings_can_be_copied_and_pickled_and_do_not_change() -> None:
    settings = read_settings({"catalog": {"kind": "elsewhere", "tls": {"ca": "x"}}}, {"HOME": "/home/me"})
    assert copy.deepcopy(settings) == pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301 - our own
    with pytest.raises(FrozenInstanceError):
        settings.landing.verify = False  # type: ignore[misc]  # that is the point


def test_a_relative_path_is_relative_to_the_folder_of_the_file(home: Path) -> None:
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


def test_the_current_folder_is_searched_before_the_config_home(home: Path) -> None:
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
def test_an_error_says_where_a_file_cannot_be_parsed(tmp_path: Path, text: str, told: str) -> None:
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
    assert settings.catalog == MemoryCatalogSettings()
