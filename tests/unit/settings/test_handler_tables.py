"""A handler's own table is read into its own dataclass."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import Literal

import pytest
from tests.unit.settings.files import settings_of, write

from lading.adapters.config.settings import load_settings, read_settings, secrets_of
from lading.adapters.config.table import Table
from lading.adapters.handlers.file import FileHandlerSettings
from lading.adapters.handlers.http import HttpHandlerSettings
from lading.adapters.handlers.oci import OciHandlerSettings
from lading.adapters.handlers.remote_settings import RemoteSettings
from lading.adapters.handlers.s3 import S3HandlerSettings
from lading.adapters.handlers.swift import SwiftHandlerSettings
from lading.adapters.web.network import DIRECT
from lading.ports.failures import SettingsError


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


def test_a_table_can_be_read_twice() -> None:
    tables = settings_of({}, LADING_HANDLERS__FILE__ALLOWED_FOLDERS="/a,/b").handlers.tables
    assert tables["file"].read(FileHandlerSettings) == FileHandlerSettings(allowed_folders=(Path("/a"), Path("/b")))


def test_variables_are_read_as_the_types_of_a_handlers_table(home: Path) -> None:
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


def test_variables_say_what_http_may_reach() -> None:
    tables = settings_of(
        {}, LADING_HANDLERS__HTTP__ALLOWED_PORTS="80,8080", LADING_HANDLERS__HTTP__ALLOWED_NETWORKS="10.0.0.0/8,::1"
    ).handlers.tables
    read = tables["http"].read(HttpHandlerSettings)
    assert (read.allowed_ports, read.allowed_networks) == ((80, 8080), ("10.0.0.0/8", "::1"))
    tables = settings_of({}, LADING_HANDLERS__HTTP__ALLOWED_PORTS="").handlers.tables
    assert tables["http"].read(HttpHandlerSettings).allowed_ports == ()


@pytest.mark.parametrize("kind", [HttpHandlerSettings, OciHandlerSettings, S3HandlerSettings, SwiftHandlerSettings])
def test_the_limits_of_a_table_are_those_of_its_connections(kind: type[RemoteSettings]) -> None:
    table = {"connect_seconds": 1.0, "stall_seconds": 2.0, "first_byte_seconds": 3.0}
    options = Table(table, "handlers.mine").read(kind).http_options(DIRECT)
    assert (options.connect_seconds, options.stall_seconds, options.first_byte_seconds) == (1.0, 2.0, 3.0)


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
def test_an_error_in_a_handlers_own_table_names_the_key(table: Mapping[str, object], told: str) -> None:
    with pytest.raises(SettingsError) as raised:
        Table(table, "handlers.nfs").read(NfsSettings)
    assert str(raised.value) == told


def test_an_optional_key_without_a_default_is_required() -> None:
    cls = make_dataclass("Strict", [("ca", Path | None)])
    with pytest.raises(SettingsError, match=r"^handlers\.mine\.ca: missing, expected a path$"):
        Table({}, "handlers.mine").read(cls)
    assert Table({"ca": None}, "handlers.mine").read(cls) == cls(None)


def test_an_error_in_a_handlers_table_names_the_file_or_the_variable(tmp_path: Path) -> None:
    path = write(tmp_path / "lading.toml", '[handlers.nfs]\npool = "gold"\nretries = "x"')
    for environ, source in (({}, str(path)), ({"LADING_HANDLERS__NFS__RETRIES": "x"}, "LADING_HANDLERS__NFS__RETRIES")):
        settings = load_settings(str(path), environ)
        with pytest.raises(SettingsError) as raised:
            settings.handlers.tables["nfs"].read(NfsSettings)
        assert str(raised.value) == f"{source}: handlers.nfs.retries: expected a whole number, got 'x'"


def test_a_table_is_converted_once() -> None:
    table = settings_of({"handlers": {"http": {"connections": 2}}}).handlers.tables["http"]
    assert table.read(HttpHandlerSettings) is table.read(HttpHandlerSettings)


@pytest.mark.parametrize("written", ["20G", "20GiB", 20 << 30, "21474836480"])
def test_a_size_may_be_written_as_bytes_or_with_a_suffix(written: object) -> None:
    assert read_settings({"landing": {"max_size": written}}, {"HOME": "/home/me"}).landing.max_size == 20 << 30
    environ = {"HOME": "/home/me", "LADING_LANDING__MAX_SIZE": str(written)}
    assert read_settings({}, environ).landing.max_size == 20 << 30


@pytest.mark.parametrize("written", ["20X", "-1", 0, -1, 1.5, True, ""])
def test_a_text_that_is_no_size_is_an_error(written: object) -> None:
    with pytest.raises(SettingsError, match=r"landing.max_size: expected bytes, or a text like 20G"):
        read_settings({"landing": {"max_size": written}}, {"HOME": "/home/me"})


@dataclass(frozen=True)
class Careless:
    password: str
    endpoint: str

    def __post_init__(self) -> None:
        raise ValueError(f"{self.password} is not taken at {self.endpoint}")


def test_the_error_of_a_third_partys_check_shows_no_secrets() -> None:
    with pytest.raises(SettingsError) as wrong:
        Table({"password": "s3cret", "endpoint": "http://u:p@host/a"}, "handlers.careless").read(Careless)
    assert str(wrong.value) == "handlers.careless: *** is not taken at http://***@host/a"


@dataclass(frozen=True)
class Outer:
    tls: NfsSettings
    folders: Mapping[str, Path]


def test_an_error_in_a_table_within_a_table_names_its_place(home: Path) -> None:
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
def test_secrets_are_known_and_no_repr_shows_them(secret: str) -> None:
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


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"insecure": ["http://registry.lan:5000"]}, "insecure: expected names like registry.example"),
        ({"insecure": ["registry.lan/vms"]}, "insecure: expected names like registry.example"),
        ({"insecure": ["registry.lan:99999"]}, "http or https URL"),
        ({"passwords": {"registry.lan": "hunter2"}}, "passwords: expected user:password for each registry"),
        ({"allowed_networks": ["10.0.0.1/8"]}, "allowed_networks: 10.0.0.1/8"),
    ],
)
def test_a_mistake_in_the_table_of_registries_is_reported(table: Mapping[str, object], expected: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(expected)) as raised:
        Table(table, "handlers.oci").read(OciHandlerSettings)
    assert "hunter2" not in str(raised.value)


def test_passwords_of_registries_are_secrets() -> None:
    settings = read_settings(
        {
            "catalog": {"kind": "oci", "registry": "registry.lan", "username": "me", "password": "hunter1"},
            "handlers": {"oci": {"passwords": {"registry.lan": "me:hunter2"}}},
        },
        {"HOME": "/x"},
    )
    assert {"hunter1", "me:hunter2"} <= {*secrets_of(settings)}
    assert "hunter" not in repr(settings) + repr(settings.handlers.tables["oci"].read(OciHandlerSettings))
