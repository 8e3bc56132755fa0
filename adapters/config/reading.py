"""Reading settings: files and environment variables into tables, and tables into frozen dataclasses."""

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, fields
from pathlib import Path
from types import NoneType
from typing import Final, Literal, NewType, TypeVar, get_args, get_origin, get_type_hints

from lading.adapters.config.values import Given, Table, Variable, secret_values
from lading.ports.failures import SettingsError
from lading.ports.redaction import redacted

__all__ = ["Bytes", "bytes_from", "read_file", "read_table", "read_variables"]

Bytes = NewType("Bytes", int)
"""A setting's size: a whole number, or a text like `20G`."""

_Read = TypeVar("_Read")
_PREFIX: Final = "LADING_"
_RESERVED: Final = frozenset({"LADING_CONFIG"})
_DEEPEST: Final = 8
"""Keys on the way to a value, of those that variables give."""
_LARGEST: Final = 1 << 20
"""Bytes of a settings file."""
_BYTES: Final = re.compile(r"([1-9][0-9]{0,18})([KMGT]?)(?:i?B)?", re.IGNORECASE)
_FLAGS: Final = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


def read_file(path: Path, *, trusted: bool = True) -> Table | None:
    """The table that a TOML file holds; None if there is no such file.

    One that isn't trusted may be anybody's: it is refused unless it is the user's own, or root's.
    """
    try:
        path = path.expanduser().absolute()
        with path.open("rb") as file:
            owner, content = os.fstat(file.fileno()).st_uid, file.read(_LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RuntimeError) as error:
        raise SettingsError(f"{path}: can't be read: {getattr(error, 'strerror', None) or error}") from error
    if not trusted and owner not in (0, os.geteuid()):
        raise SettingsError(f"{path}: is of another user (uid {owner}), name it to have it used all the same")
    if len(content) > _LARGEST:
        raise SettingsError(f"{path}: is larger than {_LARGEST} bytes")
    import tomllib  # noqa: PLC0415 - without a file there is nothing to parse

    try:
        return Table(tomllib.loads(content.decode()), str(path), path.parent)
    except ValueError as error:
        raise SettingsError(f"{path}: is no TOML: {error}") from error
    except RecursionError as error:
        raise SettingsError(f"{path}: is nested too deeply") from error


def read_variables(environ: Mapping[str, str], sections: Iterable[str]) -> Sequence[Variable]:
    """The variables that set something, those of tables before those in them."""
    found = [
        Variable(name, text, tuple(name.removeprefix(_PREFIX).lower().split("__")))
        for name, text in environ.items()
        if name.startswith(_PREFIX) and name not in _RESERVED
    ]
    for variable in found:
        if not 1 < len(variable.path) <= _DEEPEST or not all(variable.path) or variable.path[0] not in sections:
            known = ", ".join((*sorted(_RESERVED), *(f"{_PREFIX}{section.upper()}__…" for section in sections)))
            raise SettingsError(f"{variable.name}: names no setting (known: {known})")
    return sorted(found, key=lambda variable: (len(variable.path), variable.name))


def bytes_from(text: str) -> int:
    """Bytes, or KiB, MiB, GiB, TiB by their first letter, as qemu-img and rbd have them. Raises ValueError.

    >>> bytes_from("20G"), bytes_from("512")
    (21474836480, 512)
    """
    found = _BYTES.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no size; expected bytes, or a number and K, M, G or T: 20G")
    return int(found[1]) << 10 * " KMGT".index(found[2].upper() or " ")


def read_table(cls: type[_Read], table: Mapping[str, object], where: str) -> _Read:
    """The dataclass that the table describes; `where` is the table's dotted name, for messages.

    Fields may be bool, int, float, str, Path, Bytes, a Literal of texts, a `tuple[…, ...]` of these, and each of them
    or None. Paths come out absolute. Raises SettingsError for a key that is no field, a missing one, a value of another
    type, and for a ValueError from the dataclass's own `__post_init__`.

    >>> from lading.adapters.config.settings import FileCatalogSettings
    >>> read_table(FileCatalogSettings, {"folder": Path("/srv/catalog")}, "catalog")
    FileCatalogSettings(folder=PosixPath('/srv/catalog'), kind='file')
    """
    table = table if isinstance(table, Table) else Table(table)
    known = {field.name: field for field in fields(cls) if field.init}  # type: ignore[arg-type]  # it is a dataclass
    for key in table:
        if key not in known:
            raise table.unknown(key, where, known)
    hints = get_type_hints(cls)
    values: dict[str, object] = {}
    for key, field in known.items():
        if key in table:
            values[key] = _read(hints[key], table.given(key, where))
        elif field.default is MISSING and field.default_factory is MISSING:
            raise SettingsError(f"{table.given(key, where).place}: missing, expected {_expected(hints[key])}")
    try:
        return cls(**values)
    except ValueError as error:
        told = str(error)
        for secret in secret_values(table):
            told = told.replace(secret, "***") if secret else told
        raise SettingsError(redacted(f"{table.source}: {where}: {told}".removeprefix(": "))) from error


def _read(hint: object, given: Given) -> object:
    """The value as what the hint expects."""
    origin, arguments = get_origin(hint), get_args(hint)
    if NoneType in arguments:
        if given.value is None or (given.variable and not given.value):
            return None
        return _read(_something(arguments), given)
    if origin is tuple:
        given = _as_list(given)
        if isinstance(given.value, list | tuple):
            return tuple(_read(arguments[0], given.item(*each)) for each in enumerate(given.value))
    elif origin is Literal:
        if given.value in arguments:
            return given.value
    else:
        with suppress(ValueError, OverflowError, RuntimeError, OSError):
            return _SCALARS[hint][1](given)
    raise given.misfit(_expected(hint))


def _as_list(given: Given) -> Given:
    """A variable's text as the list that it is: a TOML array, or items with commas between."""
    if given.variable is None:
        return given
    if given.variable.text.lstrip().startswith("["):
        return given._replace(value=given.variable.value, variable=None)
    return given._replace(value=[item.strip() for item in given.variable.text.split(",") if item.strip()])


def _as_bool(given: Given) -> bool:
    return _only(bool, _FLAGS.get(str(given.value).lower()) if given.variable else given.value)


def _as_int(given: Given) -> int:
    return _only(int, int(str(given.value)) if given.variable else given.value)


def _as_bytes(given: Given) -> int:
    return bytes_from(given.value if isinstance(given.value, str) else str(_only(int, given.value)))


def _as_float(given: Given) -> float:
    value = float(str(given.value)) if given.variable else given.value
    value = float(value) if type(value) is int else _only(float, value)
    if not math.isfinite(value):
        raise ValueError(value)
    return value


def _as_path(given: Given) -> Path:
    if isinstance(given.value, Path):
        return given.value
    text = _only(str, given.value)
    if not text.strip() or "\0" in text:
        raise ValueError(text)
    return (given.folder or Path.cwd()) / Path(text).expanduser()


def _only(kind: type[_Read], value: object) -> _Read:
    # Not isinstance: True is an int to Python, but none to TOML.
    if type(value) is not kind:
        raise ValueError(value)
    return value


_SCALARS: Final[Mapping[object, tuple[str, Callable[[Given], object]]]] = {
    bool: ("true or false", _as_bool),
    int: ("a whole number", _as_int),
    float: ("a number", _as_float),
    Bytes: ("bytes, or a text like 20G", _as_bytes),
    str: ("a text", lambda given: _only(str, given.value)),
    Path: ("a path", _as_path),
}


def _expected(hint: object) -> str:
    arguments = get_args(hint)
    if NoneType in arguments:
        return _expected(_something(arguments))
    if get_origin(hint) is tuple:
        return "a list"
    return " or ".join(map(repr, arguments)) if arguments else _SCALARS[hint][0]


def _something(arguments: tuple[object, ...]) -> object:
    """What is there besides None."""
    return next(each for each in arguments if each is not NoneType)
