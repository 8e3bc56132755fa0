"""Tables of settings, as configured: each value remembers who gave it."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from lading.ports.failures import SettingsError

__all__ = ["Given", "Table", "Variable", "secret_values"]

_BARE: Final = re.compile(r"[A-Za-z0-9_-]{1,60}")
_SECRETS: Final = ("password", "secret", "token", "key")
_WIDTH: Final = 60


class Variable(NamedTuple):
    """An environment variable."""

    name: str
    text: str
    path: tuple[str, ...]
    """The keys that lead to what it sets, as far as its name can tell: in lower case, and with `_` for `-`."""

    @property
    def value(self) -> object:
        """What it says when nobody knows what is expected: a TOML value if it reads as one, else its text."""
        import tomllib  # noqa: PLC0415 - most runs have no such variable

        try:
            read = tomllib.loads(f"value = {self.text}")
        except (ValueError, RecursionError):
            return self.text
        # A text of several lines could go on with other keys.
        return read["value"] if len(read) == 1 else self.text


class Given(NamedTuple):
    """A value that was given for a key, which is dotted."""

    value: object
    key: str
    source: str
    """The file or the variable."""
    folder: Path | None
    """What its relative paths are relative to; None: the current folder."""
    variable: Variable | None = None
    """The one whose text `value` is, still to be read as what is expected."""

    @property
    def place(self) -> str:
        return f"{self.source}: {self.key}" if self.source else self.key

    def item(self, position: int, value: object) -> "Given":
        """One of the values in this one."""
        return self._replace(key=f"{self.key}[{position}]", value=value)

    def misfit(self, expected: str) -> SettingsError:
        """The error that something else was expected."""
        return SettingsError(f"{self.place}: expected {expected}, got {self._shown()}")

    def _shown(self) -> str:
        if _is_secret(self.key):
            return "something else, which is not shown"
        if isinstance(self.value, Mapping):
            return "a table"
        if isinstance(self.value, list | tuple):
            return "a list"
        if isinstance(self.value, str) and "://" in self.value:
            return "a URL"  # not shown, for it may hold credentials
        try:
            shown = str(self.value).lower() if isinstance(self.value, bool) else repr(self.value)
        except ValueError:
            return "a number of more digits than can be shown"
        return f"{shown[:_WIDTH]}…" if len(shown) > _WIDTH else shown


class Table(dict[str, object]):
    """A table as it was configured. The tables in it are Tables too."""

    def __init__(self, values: Mapping[str, object], source: str = "", folder: Path | None = None) -> None:
        super().__init__({k: Table(v, source, folder) if isinstance(v, Mapping) else v for k, v in values.items()})
        self.source = source
        self.folder = folder
        self.variables: dict[str, Variable] = {}
        """Those that gave its values, by key. The others are its source's."""

    @classmethod
    def of(cls, document: Mapping[str, object]) -> "Table":
        """A copy of the document, as the file has it. Raises SettingsError when it is nested too deeply."""
        source, folder = getattr(document, "source", ""), getattr(document, "folder", None)
        try:
            return cls(document, source, folder)
        except RecursionError as error:
            raise SettingsError(f"{source}: is nested too deeply".removeprefix(": ")) from error

    def only(self, keys: Iterable[str]) -> "Table":
        """These keys of it."""
        part = Table({}, self.source, self.folder)
        part.update({key: self[key] for key in keys if key in self})
        part.variables = {key: self.variables[key] for key in part if key in self.variables}
        return part

    def put(self, path: Sequence[str], variable: Variable, where: str = "") -> None:
        """Have the variable give the value at that path."""
        key = next((each for each in self if each.lower().replace("-", "_") == path[0]), path[0])
        if len(path) == 1:
            self[key], self.variables[key] = variable.value, variable
            return
        if key not in self:
            self[key], self.variables[key] = Table({}, self.source, self.folder), variable
        inner = self[key]
        if not isinstance(inner, Table):
            raise SettingsError(f"{variable.name}: {_dotted(where, key)} is a value, no table")
        inner.put(path[1:], variable, _dotted(where, key))

    def given(self, key: str, where: str) -> Given:
        """The value of that key; `where` is the dotted name of this table."""
        value, variable, dotted = self.get(key), self.variables.get(key), _dotted(where, key)
        if variable is None:
            return Given(value, dotted, self.source, self.folder)
        if isinstance(value, Table):
            return Given(value, dotted, variable.name, None)
        return Given(variable.text, dotted, variable.name, None, variable)

    def unknown(self, key: str, where: str, known: Iterable[str]) -> SettingsError:
        """The error that this key of it is none of those known."""
        import difflib  # noqa: PLC0415 - only an error needs it

        known = sorted(known)
        near = difflib.get_close_matches(key[:_WIDTH], known, 1)
        meant = f", did you mean {near[0]}?" if near else ""
        listed = ", ".join(known) or "none"
        return SettingsError(f"{self.given(key, where).place}: unknown key{meant} (known: {listed})")


def _dotted(where: str, key: str) -> str:
    return ".".join(filter(None, (where, key if _BARE.fullmatch(key) else repr(key[:_WIDTH]))))


def secret_values(values: object, *, is_secret: bool = False) -> Iterator[str]:
    """The texts in these values whose keys say that they are secret, however deep.

    >>> [*secret_values({"user": "u", "auth": {"password": "p", "old_tokens": ["a", "b"]}})]
    ['p', 'a', 'b']
    """
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from secret_values(value, is_secret=is_secret or _is_secret(str(key)))
    elif isinstance(values, list | tuple):
        for value in values:
            yield from secret_values(value, is_secret=is_secret)
    elif is_secret and isinstance(values, str):
        yield values


def _is_secret(key: str) -> bool:
    return any(word in key.lower() for word in _SECRETS)
