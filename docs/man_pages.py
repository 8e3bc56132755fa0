"""Writes the man pages of all commands to a folder: `make man`. They are made of what `--help` prints.

Not by click-man: its pages have no examples, and a line of text that begins with a dot is a command of roff there.
"""

import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

import click

from lading.adapters.cli.command import Command, MainGroup
from lading.adapters.cli.exits import Exit
from lading.adapters.cli.main import cli

__all__ = ["pages"]

_FILES: Final = (
    ("./lading.toml, ~/.config/lading/lading.toml, /etc/lading/lading.toml", "The settings: the first that exists."),
    ("~/.local/share/lading/", "The catalog and the record of targets, unless the settings name others."),
)


def pages() -> Iterator[tuple[str, str]]:
    """The pages, each with its file name: `lading.1`, `lading-fetch.1`, `lading-catalog-add.1`, …"""
    yield from _pages(cli.make_context("lading", [], resilient_parsing=True))


def _pages(context: click.Context) -> Iterator[tuple[str, str]]:
    yield f"{_page_name(context)}.1", _page(context)
    if isinstance(context.command, click.Group):
        for name, command in context.command.commands.items():
            yield from _pages(click.Context(command, info_name=name, parent=context))


def _page(context: click.Context) -> str:
    command = context.command
    assert isinstance(command, Command), context.command_path
    title = _escaped(_page_name(context))
    short = "fetch VM disk images, verified" if context.parent is None else command.get_short_help_str(200)
    own, common = command.option_records(context)
    lines = [
        f'.TH {title.upper()} 1 "" "lading {version("lading")}" "lading manual"',
        *(".SH NAME", rf"{title} \- {_escaped(short.rstrip('.'))}"),
        *(".SH SYNOPSIS", rf"\fB{_escaped(context.command_path)}\fP {_usage(context)}"),
        *(".SH DESCRIPTION", *_text(command.help or "")),
        *(_commands(context, command) if isinstance(command, click.Group) else ()),
        *(".SH OPTIONS", *_tagged(own)),
        *(".SH COMMON OPTIONS", "They may also stand before the command.", *_tagged(common)),
        *(".SH EXAMPLES", *_examples(command)),
    ]
    if context.parent is None:
        codes = [(str(int(each)), each.name.replace("_", " ").capitalize()) for each in Exit]
        lines += [".SH EXIT STATUS", *_tagged(codes), ".SH FILES", *_tagged(_FILES)]
    else:
        lines += [".SH SEE ALSO", rf"\fB{_escaped(_page_name(context.parent))}\fP(1)"]
    return "\n".join([*lines, ""])


def _commands(context: click.Context, group: click.Group) -> Iterator[str]:
    sections = group.sections if isinstance(group, MainGroup) else {"Commands": group.commands}
    for title, names in sections.items():
        yield f".SH {title.upper()}"
        for name in names:
            yield from (".TP", rf"\fB{_escaped(f'{_page_name(context)}-{name}')}\fP(1)")
            yield _escaped(group.commands[name].get_short_help_str(200))


def _usage(context: click.Context) -> str:
    return _escaped(" ".join(context.command.collect_usage_pieces(context)))


def _text(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(text.split("\n\n")):
        yield from [".PP"] if number else []
        yield _escaped(" ".join(paragraph.split()))


def _tagged(records: Sequence[tuple[str, str]]) -> Iterator[str]:
    for tag, text in records:
        yield from (".TP", rf"\fB{_escaped(tag)}\fP", _escaped(text))


def _examples(command: Command) -> Iterator[str]:
    for line, effect in command.examples:
        yield from (".TP", rf"\fB{_escaped(line)}\fP", _escaped(effect))


def _page_name(context: click.Context) -> str:
    return context.command_path.replace(" ", "-")


def _escaped(text: str) -> str:
    r"""The text for roff, where `\`, `-` and a line that begins with `.` or `'` have a meaning."""
    text = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{text}" if text.startswith((".", "'")) else text


def _write(folder: Path) -> None:
    for stale in folder.glob("*.1"):
        stale.unlink()
    for name, page in pages():
        (folder / name).write_text(page)


if __name__ == "__main__":
    _write(Path(sys.argv[1]))
