"""The sources of settings: the file and the environment's variables."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from lading.adapters.config.table import Table, Variable
from lading.ports.failures import SettingsError

__all__ = ["read_file", "read_variables"]

_PREFIX: Final = "LADING_"
_RESERVED: Final = frozenset({"LADING_CONFIG"})
_DEEPEST: Final = 8
"""The most keys in the name of a variable."""
_LARGEST: Final = 1 << 20
"""Bytes of the largest settings file."""


def read_file(path: Path, *, trusted: bool = True) -> Table | None:
    """Reads a TOML file as a table; None if there is no such file.

    `trusted` False: the file is refused unless its owner is the user or root.
    """
    try:
        path = path.expanduser().absolute()
        with path.open("rb") as file:
            owner, content = os.fstat(file.fileno()).st_uid, file.read(_LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RuntimeError) as error:
        raise SettingsError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not trusted and owner not in (0, os.geteuid()):
        raise SettingsError(
            f"{path}: is owned by another user (uid {owner})", advice=f"to use it nevertheless: --config {path}"
        )
    if len(content) > _LARGEST:
        raise SettingsError(f"{path}: is larger than {_LARGEST} bytes")
    import tomllib  # noqa: PLC0415 - without a file there is nothing to parse

    try:
        return Table(tomllib.loads(content.decode()), "", str(path), path.parent)
    except ValueError as error:
        raise SettingsError(f"{path}: is no TOML: {error}") from error
    except RecursionError as error:
        raise SettingsError(f"{path}: is nested too deeply") from error


def read_variables(environ: Mapping[str, str], sections: Sequence[str]) -> Sequence[Variable]:
    """The variables that are settings, in the order in which they apply: a table's before those of its keys."""
    found = [
        Variable(name, text, tuple(name.removeprefix(_PREFIX).lower().split("__")))
        for name, text in environ.items()
        if name.startswith(_PREFIX) and name not in _RESERVED
    ]
    for variable in found:
        if not 1 < len(variable.path) <= _DEEPEST or not all(variable.path) or variable.path[0] not in sections:
            known = ", ".join((*sorted(_RESERVED), *(f"{_PREFIX}{section.upper()}__…" for section in sections)))
            raise SettingsError(f"{variable.name}: names no setting{_meant(variable, sections)} (known: {known})")
    return sorted(found, key=lambda variable: (len(variable.path), variable.name))


def _meant(variable: Variable, sections: Sequence[str]) -> str:
    """The name that the variable would have in the section that is close to its own; empty if there is none."""
    import difflib  # noqa: PLC0415 - only an error needs it

    section, *keys = variable.path
    close = difflib.get_close_matches(section, sections, 1)
    if not close or section in close or not 0 < len(keys) < _DEEPEST or not all(keys):
        return ""
    return f", did you mean {_PREFIX}{'__'.join((close[0], *keys)).upper()}?"
