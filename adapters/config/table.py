"""Tables of settings as configured. They know the source of each value, and are read as typed settings."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import partial
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from lading.adapters.codec.sizes import Bytes, bytes_from
from lading.ports.failures import SettingsError
from lading.ports.redaction import redacted

__all__ = ["Table", "Variable", "is_secret_key", "secret_values", "type_text", "without_none"]

_Read = TypeVar("_Read")
_BARE: Final = re.compile(r"[A-Za-z0-9_-]{1,60}")
_SECRETS: Final = ("password", "secret", "token", "key")
_WIDTH: Final = 60
_FLAGS: Final = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
_LISTS: Final = (tuple, list, set, frozenset)
_TYPE_TEXTS: Final[Mapping[object, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Bytes: "bytes, or a text like 20G",
    Path: "a path",
    **dict.fromkeys(_LISTS, "a list"),
    **dict.fromkeys((dict, Mapping), "a table"),
}
"""The types of settings, for messages."""
_POSITIONS: Final = re.compile(r" - at `\$((?:\[\d+\])+)`$")
"""The end of msgspec's message where an item of a list is of another type."""


class Variable(NamedTuple):
    """An environment variable."""

    name: str
    text: str
    path: tuple[str, ...]
    """The keys of its setting, in lower case, and with `_` for `-`."""

    @property
    def value(self) -> object:
        """The value where no type is expected: a TOML value if the text is one, else the text."""
        import tomllib  # noqa: PLC0415 - most runs have no such variable

        try:
            read = tomllib.loads(f"value = {self.text}")
        except (ValueError, RecursionError):
            return self.text
        # A text of several lines could contain other keys.
        return read["value"] if len(read) == 1 else self.text

    def value_as(self, expected: object) -> object:
        """The value where that type is expected. Numbers are still text."""
        kind = _kind(expected)
        if kind is bool:
            return _FLAGS.get(self.text.lower(), self.text)
        if kind in (int, float):
            return self.text.strip()
        if kind in (str, Path, Bytes, Literal):
            return self.text
        if kind in _LISTS and not self.text.lstrip().startswith("["):
            return [item.strip() for item in self.text.split(",") if item.strip()]
        return self.value


class Table(dict[str, object]):
    """A table of the settings, as configured. The tables in it are Tables too."""

    def __init__(
        self, values: Mapping[str, object], name: str = "", source: str = "", folder: Path | None = None
    ) -> None:
        """`name` is dotted, `source` a file. Relative paths are relative to `folder`; None: to the current folder."""
        super().__init__()
        self.name = name
        self.source = source
        self.folder = folder
        self.variables: dict[str, Variable] = {}
        """The variables that gave values, by key. The other values are the source's."""
        self._read: dict[type, Any] = {}
        for key, value in values.items():
            self[key] = self._inner(key, value) if isinstance(value, Mapping) else value

    def _inner(self, key: str, values: Mapping[str, object]) -> "Table":
        return Table(values, self._dotted(key), self.source, self.folder)

    def section(self, key: str) -> "Table":
        """The table of that key, an empty one if there is none. Raises SettingsError."""
        section = self.setdefault(key, self._inner(key, {}))
        if not isinstance(section, Table):
            raise self.type_error(key, "a table")
        return section

    def put(self, path: Sequence[str], variable: Variable) -> None:
        """Sets the value at that path to the variable's. Raises SettingsError where the path leads into a value."""
        key = next((each for each in self if each.lower().replace("-", "_") == path[0]), path[0])
        if len(path) == 1:
            self[key], self.variables[key] = variable.value, variable
            return
        if key not in self:
            self[key], self.variables[key] = self._inner(key, {}), variable
        inner = self[key]
        if not isinstance(inner, Table):
            raise SettingsError(f"{variable.name}: {self._dotted(key)} is a value, no table")
        inner.put(path[1:], variable)

    def read(self, kind: type[_Read]) -> _Read:
        """The table as that dataclass, converted once.

        Fields may have any type that msgspec converts JSON's values to, and Path, which becomes absolute, and Bytes.
        Raises SettingsError for an unknown or missing key, a value of another type, and a ValueError from the
        dataclass's `__post_init__`.

        >>> from lading.adapters.handlers.file import FileHandlerSettings
        >>> Table({"allowed_folders": ["/srv/images"]}, "handlers.file").read(FileHandlerSettings)
        FileHandlerSettings(allowed_folders=(PosixPath('/srv/images'),))
        """
        if kind not in self._read:
            self._read[kind] = self._converted(kind)
        settings: _Read = self._read[kind]
        return settings

    def _converted(self, kind: type[_Read]) -> _Read:
        known = {field.name: field for field in fields(kind) if field.init}  # type: ignore[arg-type]  # a dataclass
        hints = get_type_hints(kind)
        for key in self:
            if key not in known:
                raise self.unknown(key, known)
        for key, field in known.items():
            if key not in self and field.default is MISSING and field.default_factory is MISSING:
                raise SettingsError(f"{self.place(key)}: missing, expected {type_text(without_none(hints[key]))}")
        values = {key: self.value(key, hints[key]) for key in known if key in self}
        try:
            return kind(**values)
        except ValueError as error:
            reason = str(error)
            for secret in secret_values(self):
                reason = reason.replace(secret, "***") if secret else reason
            raise SettingsError(redacted(f"{self.source}: {self.name}: {reason}".removeprefix(": "))) from error

    def value(self, key: str, hint: object) -> Any:  # noqa: ANN401 - of the hint's type
        """The value of that key as that type. Raises SettingsError."""
        expected, value, variable = without_none(hint), self.get(key), self._variable(key)
        if expected is not hint and (value is None or (variable is not None and not variable.text)):
            return None
        if is_dataclass(expected):
            return self.section(key).read(expected)  # type: ignore[arg-type]  # a type, no instance
        if variable is not None:
            value = variable.value_as(expected)
        import msgspec  # noqa: PLC0415 - `--help` reads no settings

        folder = self.folder if variable is None else None
        try:
            converted = msgspec.convert(
                value, expected, strict=variable is None, dec_hook=partial(_path_or_bytes, folder=folder)
            )
        except (msgspec.ValidationError, ValueError) as error:  # UnicodeError is a ValueError
            raise self._conversion_error(key, value, expected, str(error)) from error
        if isinstance(converted, float) and not math.isfinite(converted):
            raise self.type_error(key, type_text(expected))
        return converted

    def _conversion_error(self, key: str, value: object, expected: object, message: str) -> SettingsError:
        """The error of the value, or of the item to which msgspec's message points."""
        positions = _POSITIONS.search(message)
        if positions is None:
            return self.type_error(key, type_text(expected))
        for position in re.findall(r"\d+", positions[1]):
            if _kind(expected) in _LISTS and isinstance(value, list | tuple) and int(position) < len(value):
                value, expected = value[int(position)], get_args(expected)[0]
        return self._error(key, positions[1], type_text(without_none(expected)), value)

    def type_error(self, key: str, expected: str) -> SettingsError:
        """The error that the value of that key is not as expected."""
        variable = self._variable(key)
        return self._error(key, "", expected, self.get(key) if variable is None else variable.text)

    def _error(self, key: str, positions: str, expected: str, value: object) -> SettingsError:
        shown = "something else, which is not shown" if is_secret_key(self._dotted(key)) else _shown(value)
        return SettingsError(f"{self.place(key)}{positions}: expected {expected}, got {shown}")

    def unknown(self, key: str, known: Iterable[str]) -> SettingsError:
        """The error that the key is unknown."""
        import difflib  # noqa: PLC0415 - only an error needs it

        known = sorted(known)
        near = difflib.get_close_matches(key[:_WIDTH], known, 1)
        meant = f", did you mean {near[0]}?" if near else ""
        return SettingsError(f"{self.place(key)}: unknown key{meant} (known: {', '.join(known) or 'none'})")

    def place(self, key: str) -> str:
        """The file or the variable that gave the value of that key, and the dotted key."""
        variable = self.variables.get(key)
        return ": ".join(filter(None, (variable.name if variable else self.source, self._dotted(key))))

    def _variable(self, key: str) -> Variable | None:
        """The variable that gave the value of that key; None for a table, whose values have their own."""
        return None if isinstance(self.get(key), Table) else self.variables.get(key)

    def _dotted(self, key: str) -> str:
        return ".".join(filter(None, (self.name, key if _BARE.fullmatch(key) else repr(key[:_WIDTH]))))


def without_none(hint: object) -> object:
    """The type without None, where it may be None."""
    arguments = get_args(hint)
    return Union[tuple(each for each in arguments if each is not NoneType)] if NoneType in arguments else hint  # noqa: UP007 - of as many as there are


def _kind(expected: object) -> object:
    """`tuple` of `tuple[str, ...]`."""
    return get_origin(expected) or expected


def type_text(expected: object) -> str:
    """A type of settings in words, for example `bytes, or a text like 20G`."""
    if get_origin(expected) is Literal:
        return " or ".join(map(repr, get_args(expected)))
    if get_origin(expected) in {Union, UnionType}:
        return " or ".join(map(type_text, get_args(expected)))
    return _TYPE_TEXTS.get(_kind(expected)) or f"a {getattr(expected, '__name__', expected)}"


def _path_or_bytes(expected: type, value: object, *, folder: Path | None) -> object:
    """Converts what msgspec does not know. Raises ValueError."""
    if expected is Bytes:
        # Not isinstance: True is an int in Python, but not in TOML.
        return Bytes(bytes_from(value if isinstance(value, str) else str(value) if type(value) is int else ""))
    if isinstance(value, Path):
        return value
    if expected is not Path or not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError(value)
    try:
        return (folder or Path.cwd()) / Path(value).expanduser()
    except (OSError, RuntimeError) as error:
        raise ValueError(value) from error


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, str) and "://" in value:
        return "a URL"  # it may contain credentials
    try:
        shown = str(value).lower() if isinstance(value, bool) else repr(value)
    except ValueError:
        return "a number of more digits than can be shown"
    return f"{shown[:_WIDTH]}…" if len(shown) > _WIDTH else shown


def secret_values(values: object, *, is_secret: bool = False) -> Iterator[str]:
    """The texts in these values, at any depth, whose keys mark them as secret.

    >>> [*secret_values({"user": "u", "auth": {"password": "p", "old_tokens": ["a", "b"]}})]
    ['p', 'a', 'b']
    """
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from secret_values(value, is_secret=is_secret or is_secret_key(str(key)))
            if isinstance(values, Table) and key in values.variables and (is_secret or is_secret_key(key)):
                yield values.variables[key].text  # the value may be a number
    elif isinstance(values, list | tuple):
        for value in values:
            yield from secret_values(value, is_secret=is_secret)
    elif is_secret and isinstance(values, str):
        yield values


def is_secret_key(key: str) -> bool:
    """Tells whether the key is a secret's by its name."""
    return any(word in key.lower() for word in _SECRETS)
