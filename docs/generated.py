"""The parts of the site's pages that are made of the sources: settings, commands, exit codes, the Python API.

Each function returns Markdown.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from itertools import pairwise
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import click

import lading
import lading.sdk
from lading.adapters.cli.exits import Exit
from lading.adapters.cli.main import cli
from lading.adapters.codec.sizes import Bytes
from lading.adapters.config import settings
from lading.adapters.config.settings import LandingSettings, NetworkSettings, read_settings
from lading.adapters.handlers.built_in import BUILT_IN, settings_type

__all__ = ["documented_attributes", "settings_tables", "text"]

ROOT: Final = Path(__file__).parents[1]
NAVIGATION: Final[Mapping[str, Sequence[str]]] = {
    "Start": ["tutorial", "how-it-works"],
    "How to": [
        "how-to/libvirt", "how-to/glance", "how-to/ceph", "how-to/ci-farm", "how-to/air-gap", "how-to/embedding", "sdk",
        "nova",
    ],
    "Images": ["remotes", "simplestreams", "signatures", "forms", "conversion"],
    "Targets": ["devices", "shared-storage", "etcd", "etcd-offline"],
    "Handlers": ["handlers/index"],
    "Reference": [
        "command-line", "screens", "reference/commands", "reference/settings", "reference/exit-codes", "json",
        "reference/python", "reference/sdk", "network",
    ],
    "Operate": ["troubleshooting", "guarantees", "security", "upgrade", "figures", "scale", "architecture"],
}  # fmt: skip
"""The pages of each group in the site's navigation. A page that no group has fails the build."""
_WORDS: Final[Mapping[Any, str]] = {
    bool: "true or false", int: "whole number", float: "number", str: "text", Path: "path", Bytes: "size",
}  # fmt: skip
_TIB: Final = 1 << 40
_HOME: Final = "/home/you"
_UNKNOWN_HERE: Final = {"host": "this host's name"}
"""Defaults that differ from host to host."""
_REQUIRED: Final = {"url": "https://images.example/", "endpoints": ["http://127.0.0.1:2379"]}
"""Settings without a default, each with an example: with them the defaults of the others can be read."""
_NEEDED: Final = {"simplestreams": ["url"], "etcd": ["endpoints"]}
"""Those, by the kind that requires them."""


def text(name: str) -> str:
    """The generated text of that name. Raises KeyError."""
    return {
        "navigation": navigation,
        "settings": settings_reference,
        "commands": commands,
        "exit_codes": exit_codes,
        "python": python_api,
        "sdk": sdk_api,
        "upgrade": upgrade_notes,
        "architecture": architecture,
    }[name]()


def navigation() -> str:
    """One table of contents for each group."""
    return "\n".join(
        "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```", ""])
        for caption, pages in NAVIGATION.items()
    )


# Settings.


def settings_tables() -> Iterator[tuple[str, str, type]]:
    """Each table of a settings file: its name, its kind or an empty text, and its dataclass."""
    for section, kinds in (
        ("catalog", settings._CATALOGS),  # noqa: SLF001 - the lists of what is read
        ("associations", settings._ASSOCIATIONS),  # noqa: SLF001
        ("journal", settings._JOURNALS),  # noqa: SLF001
        ("locks", settings._LOCKS),  # noqa: SLF001
    ):
        for kind, settings_class in kinds.items():
            yield section, kind, settings_class
    yield "landing", "", LandingSettings
    yield "network", "", NetworkSettings
    for name in BUILT_IN:
        yield f"handlers.{name}", "", settings_type(name)


def settings_reference() -> str:
    """A table for each table of a settings file."""
    parts = []
    previous = ""
    for section, kind, settings_class in settings_tables():
        if section != previous:
            parts += [f"## [{section}]\n", _SECTIONS.get(section, "")]
            previous = section
        if kind:
            parts.append(f"### [{section}] of kind `{kind}`\n")
        types = get_type_hints(settings_class)
        rows = [
            f"| `{each.name}` | {_words(types[each.name])} | {_default(section, kind, each)} | {_cell(meaning)} |"
            for each, meaning in documented_attributes(settings_class)
            if each.name != "kind"
        ]
        header = ["| setting | type | default | meaning |", "|---|---|---|---|"]
        parts.append("\n".join([*header, *rows, ""]) if rows else "It has no settings.\n")
    return "\n".join(parts)


_SECTIONS: Final = {
    "catalog": "The default catalog. A remote `[catalogs.NAME]` has the same settings, and no defaults for `kind`, "
    "`folder` and `path`. Without a `kind`, it is `file`. Another kind is the entry point of a third party.\n",
    "associations": "The record of the targets. Without a `kind`, it is `file`.\n",
    "journal": "Operations in progress, found again after a crash. Default: beside the associations.\n",
    "locks": "Locks between processes and hosts. Default: beside the journal.\n",
    "landing": "What may land, and in which form.\n",
    "network": "Proxy and certificates, for all servers: see [proxies, certificates, limits](../network.md).\n",
    "handlers.file": "`order` in `[handlers]` lists the handlers that are used, in this order. Default: all that are "
    "installed, the cheapest for the target first. Each handler has a table of its own.\n",
}


def documented_attributes(settings_class: type) -> Iterator[tuple[Field[Any], str]]:
    """The fields of a dataclass, each with the docstring below it, or an empty text."""
    found: dict[str, str] = {}
    for base in reversed(settings_class.__mro__[:-1]):
        found |= _attribute_docstrings(base)
    for each in fields(settings_class):
        yield each, found.get(each.name, "")


def _attribute_docstrings(of: type) -> Mapping[str, str]:
    named: dict[str, str] = {}
    for first, second in pairwise(ast.parse(textwrap.dedent(inspect.getsource(of))).body[0].body):  # type: ignore[attr-defined]  # a class
        match first, second:
            case (
                ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str(doc))),
            ):
                named[name] = inspect.cleandoc(doc)
            case _:
                pass
    return named


def _words(annotation: Any) -> str:  # noqa: ANN401 - an annotation
    if annotation in _WORDS:
        return _WORDS[annotation]
    arguments = [each for each in get_args(annotation) if each not in {NoneType, Ellipsis}]
    origin = get_origin(annotation)
    if origin is Literal:
        return " or ".join(f'`"{each}"`' for each in arguments)
    if origin in {Union, UnionType}:
        return ", or ".join(map(_words, arguments))
    if origin is tuple:
        return f"list: {_words(arguments[0])}"
    return f"table: {_words(arguments[1])}"


def _default(section: str, kind: str, field: Field[Any]) -> str:
    if field.name in _REQUIRED:
        return "required"
    if field.name in _UNKNOWN_HERE and kind == "etcd":
        return _UNKNOWN_HERE[field.name]
    if kind:  # some defaults depend on other settings, and on the user's folders
        needed = {name: value for name, value in _REQUIRED.items() if name in _NEEDED.get(kind, ())}
        read = read_settings({section: {"kind": kind, **needed}}, {"HOME": _HOME})
        default = getattr(getattr(read, section), field.name)
    else:
        default = field.default if field.default_factory is MISSING else field.default_factory()
    return "none" if default is None else f"`{_toml(default)}`"


def _toml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() if value >= _TIB:
            return f'"{value // _TIB}T"'
        case str() | Path():
            return f'"{str(value).replace(_HOME, "~")}"'
        case tuple():
            return f"[{', '.join(map(_toml, value))}]"
        case _:
            return str(value)


def _cell(meaning: str) -> str:
    words = " ".join(meaning.split()).replace("; None: ", "; without it: ").replace("None: ", "Without it: ")
    return words.replace("|", "\\|")


# Commands.


def commands() -> str:
    return "\n".join(_command(cli, "lading", 2))


def _command(command: click.Command, path: str, level: int) -> Iterator[str]:
    context = click.Context(command, info_name=path)
    yield f"{'#' * level} {path}\n"
    yield f"```text\n{path} {' '.join(command.collect_usage_pieces(context))}\n```\n"
    yield from _paragraphs(command.help or "")
    options = [each for each in command.get_params(context) if isinstance(each, click.Option)]
    rows = [each.get_help_record(context) for each in options]
    if shown := [each for each in rows if each is not None]:
        yield "| option | meaning |\n|---|---|"
        yield "\n".join(f"| `{_cell(name)}` | {_escaped(_cell(meaning))} |" for name, meaning in shown)
        yield ""
    yield from _paragraphs(command.epilog or "")
    if isinstance(command, click.Group):
        for name, each in sorted(command.commands.items()):
            if not each.hidden:
                yield from _command(each, f"{path} {name}", level + 1 if path != "lading" else level)


def _paragraphs(help_text: str) -> Iterator[str]:
    """The paragraphs of click's help. Those after a line with a backspace are shown as they are."""
    for each in re.split(r"\n\s*\n", inspect.cleandoc(help_text)):
        kept, found, _ = each.partition("\b\n")
        if found:
            yield f"```text\n{each.replace(chr(8) + chr(10), '')}\n```\n"
        elif kept.strip():
            yield f"{_escaped(' '.join(kept.split()))}\n"


def _escaped(words: str) -> str:
    """Text without Markdown's signs, except that options and the like are code."""
    return re.sub(r"[<>*\\\[\]]", lambda found: f"\\{found[0]}", words)


# Exit codes.


def exit_codes() -> str:
    meanings = _attribute_docstrings(Exit)
    rows = [f"| {each.value} | {_cell(meanings.get(each.name, ''))} |" for each in sorted(Exit)]
    return "\n".join(["| code | meaning |", "|---|---|", *rows])


# The Python API.

_FIRST: Final = "lading.domain.dispatcher"
"""The module that is described first."""


def python_api() -> str:
    return _api(lading)


def sdk_api() -> str:
    return _api(lading.sdk)


def _api(facade: ModuleType) -> str:
    """Each name of the facade with its docstring, by the module that defines it."""
    by_module: dict[str, list[str]] = {}
    for name in facade.__all__:
        if name != "__version__":
            by_module.setdefault(_home_of(facade, name), []).append(name)
    parts = []
    for module, names in sorted(by_module.items(), key=lambda each: (each[0] != _FIRST, each[0])):
        parts.append(f"## {module.rpartition('.')[2].replace('_', ' ').capitalize()}\n")
        parts += [_autodoc(facade, name) for name in names]
    return "\n".join(parts)


def _home_of(facade: ModuleType, name: str) -> str:
    value = getattr(facade, name)
    module = getattr(value, "__module__", "")
    return module if module.startswith("lading") else "lading.values"


def _autodoc(facade: ModuleType, name: str) -> str:
    value = getattr(facade, name)
    kind = "autoclass" if isinstance(value, type) else "autofunction" if callable(value) else "autodata"
    options = "   :members:\n" if kind == "autoclass" else ""
    if isinstance(value, type) and value.__bases__ != (object,):
        options += "   :show-inheritance:\n"
    return f"```{{eval-rst}}\n.. {kind}:: {facade.__name__}.{name}\n{options}```\n"


# Upgrade notes.


def upgrade_notes() -> str:
    """Of each version, what a user or a program must know: the sections Changed, Deprecated, Removed and Security."""
    changelog = (ROOT / "CHANGELOG.md").read_text()
    parts = []
    for version in re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]:
        title, _, body = version.partition("\n")
        kept = [
            f"### {each}"
            for each in re.split(r"^### ", body, flags=re.MULTILINE)[1:]
            if each.partition("\n")[0] in {"Changed", "Deprecated", "Removed", "Security"}
        ]
        parts.append(f"## {title.replace('[', '').replace(']', '')}\n\n{''.join(kept) or 'Nothing to do.'}")
    return re.sub(r"\]\(docs/", "](", "\n".join(parts))


# Internals.


def architecture() -> str:
    """ARCHITECTURE.md without its title."""
    return (ROOT / "ARCHITECTURE.md").read_text().partition("\n")[2]
