"""A settings file with every setting as a comment, made of the settings' dataclasses and their docstrings."""

import ast
import inspect
import textwrap
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from itertools import pairwise
from pathlib import Path
from typing import Final, get_type_hints

from lading.adapters.config.settings import (
    BUILT_IN_KINDS,
    LandingSettings,
    NetworkSettings,
    default_paths,
    kind_settings,
    typed_settings,
)
from lading.adapters.config.table import Table, type_text, without_none
from lading.adapters.config.toml import value_text
from lading.adapters.handlers.built_in import BUILT_IN, settings_type

__all__ = ["template"]

_WIDTH: Final = 110
_THIRD: Final = ", or a third party's"
_HEAD: Final = """\
# Settings of lading. A setting that begins with # has its default: remove the # to change it.
# The settings in force, and where each is from: lading config
"""
_SECTIONS: Final[Mapping[str, str]] = {
    "catalog": "The catalog of images that have no prefix of a remote.",
    "associations": "The record of targets.",
    "journal": "The operations that have begun.",
    "locks": "The locks of targets.",
}
_REMOTES: Final = """\
# A remote: ubuntu:24.04 is then an image in it. The kinds and their settings are those of [catalog].
#[catalogs.ubuntu]
#kind = "simplestreams"
#url = "https://cloud-images.ubuntu.com/releases/"
"""
_HANDLERS: Final = """\
# The names of the handlers, in the order in which they are tried. Default: all that are installed, the cheapest first.
[handlers]
#order = ["file", "download"]
"""


def template(environ: Mapping[str, str]) -> str:
    """The file's content. The default paths are those of a user with these variables."""
    home, paths = environ.get("HOME", ""), default_paths(environ)
    settings = typed_settings(Table({}), environ)
    blocks = [_HEAD]
    for section, title in _SECTIONS.items():
        typed = getattr(settings, section)
        known: Mapping[str, object] = {each.name: getattr(typed, each.name) for each in fields(typed)}
        kinds = BUILT_IN_KINDS[section]
        choice = f'#kind = "{typed.kind}"  # {", ".join(kinds)}{"" if section == "journal" else _THIRD}'
        blocks.append(_block(f"# {title}\n[{section}]\n{choice}", type(typed), known, home))
        known = paths if section in {"catalog", "associations"} else known
        blocks += [
            _block(f'# With kind = "{kind}":', kind_settings(section, kind), known, home)
            for kind in sorted({*kinds} - {typed.kind, "memory"})
        ]
        if section == "catalog":
            blocks.append(_REMOTES)
    blocks.append(_HANDLERS)
    tables = {f"handlers.{name}": settings_type(name) for name in BUILT_IN}
    tables |= {"landing": LandingSettings, "network": NetworkSettings}
    blocks += [_block(f"[{name}]", kind, {}, home) for name, kind in tables.items()]
    return "\n".join(blocks)


def _block(head: str, kind: type, known: Mapping[str, object], home: str) -> str:
    """The lines of a dataclass, with the docstrings of its fields. `known`: defaults that it does not have itself."""
    hints, docs = get_type_hints(kind), _docs(kind)
    lines = [head]
    for each in fields(kind):
        if each.name == "kind":
            continue
        for part in docs.get(each.name, "").split("\n\n"):
            lines += [f"# {line}" for line in textwrap.wrap(part, _WIDTH)]
        value = known.get(each.name) or _default(each)
        if value is None or value is MISSING:
            expected = type_text(without_none(hints[each.name]))
            lines.append(f"#{each.name} =  # {'required' if value is MISSING else 'not set'}; {expected}")
        else:
            lines.append(f"#{each.name} = {value_text(_plain(value, home))}")
    return "\n".join([*lines, ""])


def _default(field: "Field[object]") -> object:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _plain(value: object, home: str) -> object:
    """A default as TOML has it: sets sorted, and paths beneath the home with `~`."""
    if isinstance(value, Path):
        return f"~{str(value).removeprefix(home)}" if home and value.is_relative_to(home) else str(value)
    return sorted(value) if isinstance(value, frozenset) else value


def _docs(kind: type) -> Mapping[str, str]:
    """The docstrings of a dataclass's fields: the texts below them in the source."""
    docs: dict[str, str] = {}
    for each in reversed(kind.__mro__[:-1]):
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(each))).body
        statements = body.body if isinstance(body, ast.ClassDef) else []
        for field, text in pairwise(statements):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                doc = inspect.cleandoc(str(text.value.value))
                docs[ast.unparse(field.target)] = doc.replace("; None:", "; not set:").replace("None:", "Not set:")
    return docs
