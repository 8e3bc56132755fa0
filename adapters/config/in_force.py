"""The settings in force, and where each is from."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from lading.adapters.config.settings import (
    DEFAULT_KIND,
    NetworkSettings,
    ThirdPartySettings,
    load_document,
    merged,
    typed_settings,
)
from lading.adapters.config.table import Table, is_secret_key
from lading.adapters.config.toml import key_lines, key_text
from lading.adapters.handlers.built_in import BUILT_IN, settings_type
from lading.ports.redaction import redacted

__all__ = ["Origin", "Setting", "settings_in_force"]

_MASK: Final = "***"


class Origin(NamedTuple):
    """Where a setting is from. A default has neither file nor variable."""

    file: str | None = None
    line: int | None = None
    variable: str | None = None

    def __str__(self) -> str:
        if self.file is None:
            return self.variable or "default"
        return self.file if self.line is None else f"{self.file}:{self.line}"


class Setting(NamedTuple):
    """One setting."""

    section: str
    """With dots: `landing`, `handlers.http`, `catalogs.ubuntu`."""
    key: str
    value: object
    """As TOML has it, with secrets masked; None: not set."""
    origin: Origin


def settings_in_force(path: str | None, environ: Mapping[str, str]) -> Iterator[Setting]:
    """The settings that `load_settings` reads, section by section. Raises SettingsError."""
    document = load_document(path, environ)
    root = merged(document, environ)
    settings = typed_settings(root, environ)
    origins = _Origins(document)
    yield from _of(origins, root.section("catalog"), ("catalog",), settings.catalog)
    for name, remote in settings.remotes.items():
        yield from _of(origins, root.section("catalogs").section(name), ("catalogs", name), remote)
    for section in ("associations", "journal", "locks"):
        yield from _of(origins, root.section(section), (section,), getattr(settings, section))
    handlers = root.section("handlers")
    yield Setting("handlers", "order", settings.handlers.order, origins.of(handlers, ("handlers", "order")))
    for name, table in settings.handlers.tables.items():
        typed = table.read(settings_type(name)) if name in BUILT_IN else table
        yield from _of(origins, table, ("handlers", name), typed)
    yield from _of(origins, root.section("landing"), ("landing",), settings.landing)
    network = root.section("network")
    yield from _of(origins, network, ("network",), network.read(NetworkSettings))


class _Origins:
    """Where the values of tables are from."""

    def __init__(self, document: Mapping[str, object]) -> None:
        self._document = document
        self._file: str = getattr(document, "source", "")
        self._lines = key_lines(Path(self._file).read_text(encoding="utf-8")) if self._file else {}

    def of(self, table: Table, name: tuple[str, ...], *, is_other_kind: bool = False) -> Origin:
        """The origin of a key in the table. `is_other_kind`: what the file says of the table is of another kind."""
        variable = table.variables.get(name[-1])
        if variable is not None:
            return Origin(variable=variable.name)
        if name[0] == "locks" and name[1] != "kind" and not self._has(name) and self.kind(("associations",)) == "etcd":
            name = ("associations", *name[1:])  # locks in etcd use the same cluster
        if is_other_kind or not self._has(name):
            return Origin()
        lines = (self._lines.get(name[:length]) for length in range(len(name), 0, -1))
        return Origin(self._file, next((line for line in lines if line is not None), None))

    def kind(self, section: tuple[str, ...]) -> object:
        """The kind that the file gives to a section; None: it gives none, and means the default."""
        return self._value((*section, "kind"))

    def _has(self, name: tuple[str, ...]) -> bool:
        return self._value(name) is not None

    def _value(self, name: tuple[str, ...]) -> object:
        found: object = self._document
        for key in name:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found


def _of(origins: _Origins, table: Table, section: tuple[str, ...], typed: object) -> Iterator[Setting]:
    """The settings of one section: those of its dataclass, or of a third party's table as it was configured."""
    values: Mapping[str, Any]
    if isinstance(typed, ThirdPartySettings):
        values = {"kind": typed.kind, **typed.options}
    elif isinstance(typed, Table):
        values = typed
    else:
        values = {each.name: getattr(typed, each.name) for each in fields(typed) if each.init}  # type: ignore[arg-type]  # a dataclass
    values = dict(sorted(values.items(), key=lambda item: item[0] != "kind"))
    is_other_kind = "kind" in values and values["kind"] != (origins.kind(section) or DEFAULT_KIND)
    for key, value in values.items():
        origin = origins.of(table, (*section, key), is_other_kind=is_other_kind)
        yield Setting(".".join(map(key_text, section)), key, _shown(key, value), origin)


def _shown(key: str, value: object, *, is_secret: bool = False) -> object:
    """A value as TOML has it: without None in tables, and with secrets and the credentials of URLs masked."""
    is_secret = is_secret or is_secret_key(key)
    if is_dataclass(value) and not isinstance(value, type):
        value = {each.name: getattr(value, each.name) for each in fields(value)}
    if isinstance(value, Mapping):
        return {name: _shown(str(name), each, is_secret=is_secret) for name, each in value.items() if each is not None}
    if isinstance(value, list | tuple | set | frozenset):
        return [_shown(key, each, is_secret=is_secret) for each in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, str):
        return _MASK if is_secret and value else redacted(value)
    return value
