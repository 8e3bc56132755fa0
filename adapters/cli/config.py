"""`lading config`: the settings in force, and a settings file to begin with."""

import os
from collections.abc import Iterator, Mapping
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from lading.adapters.cli.command import group
from lading.adapters.cli.common_options import CommonOptions
from lading.adapters.cli.output import as_json, say
from lading.adapters.cli.session import Session, command_options
from lading.adapters.host.private_files import make_private, open_private

if TYPE_CHECKING:
    from lading.adapters.config.in_force import Setting

__all__ = ["config"]

_WIDTH: Final = 60
"""The most characters before the column of origins."""


@group(
    invoke_without_command=True,
    examples=[
        ("lading config", "Prints the settings in force, each with the file and line, or the variable, it is from."),
        ("lading config --json", "Prints a JSON object for each setting."),
        ("lading config init", "Writes ~/.config/lading/lading.toml, with each setting as a comment."),
    ],
)
@click.pass_context
@command_options
def config(session: Session, context: click.Context) -> None:
    """Print the settings in force as TOML, each with its origin: a file and line, a variable, or the default.

    Secrets are masked. Defaults that are not set are listed as comments.
    """
    if context.invoked_subcommand is not None:
        return
    from lading.adapters.config.in_force import settings_in_force  # noqa: PLC0415 - `--help` does without it

    options = CommonOptions.of(context)
    settings = [*settings_in_force(options.config, options.environment(os.environ))]
    if session.json:
        for record in _json_records(settings):
            as_json(record)
    else:
        for line in _toml_lines(settings):
            say(line)


def _json_records(settings: "list[Setting]") -> Iterator[Mapping[str, object]]:
    for each in settings:
        origin = each.origin
        yield {
            "section": each.section,
            "key": each.key,
            "value": each.value,
            "file": origin.file,
            "line": origin.line,
            "variable": origin.variable,
        }


def _toml_lines(settings: "list[Setting]") -> Iterator[str]:
    from lading.adapters.config.toml import key_text, value_text  # noqa: PLC0415 - `--help` does without it

    for number, (section, each) in enumerate(groupby(settings, attrgetter("section"))):
        if number:
            yield ""
        yield f"[{section}]"
        lines = {
            f"# {key} is not set" if value is None else f"{key_text(key)} = {value_text(value)}": origin
            for _, key, value, origin in each
        }
        width = min(max(map(len, lines)), _WIDTH)
        yield from (f"{line:<{width}}  # {origin}" for line, origin in lines.items())


@config.command(
    short_help="Write a settings file with each setting as a comment.",
    examples=[
        ("lading config init", "Writes ~/.config/lading/lading.toml."),
        ("lading config init --config /etc/lading/lading.toml", "Writes the settings of all users of this host."),
        ("lading config init --stdout", "Prints the file; nothing is written."),
    ],
)
@click.option("--force", is_flag=True, help="Replace the file where there is one.")
@click.option("--stdout", is_flag=True, help="Print the file; do not write it.")
@click.pass_context
@command_options
def init(session: Session, context: click.Context, *, force: bool, stdout: bool) -> None:
    """Write a settings file in which each setting is a comment with its default.

    The file is that of --config or $LADING_CONFIG, or else ~/.config/lading/lading.toml. Only its owner may read it: it
    may get passwords.
    """
    from lading.adapters.config.settings import user_file  # noqa: PLC0415 - `--help` does without it
    from lading.adapters.config.template import template  # noqa: PLC0415 - likewise

    content = template(os.environ)
    if stdout:
        click.echo(content, nl=False)
        return
    named = CommonOptions.of(context).config or os.environ.get("LADING_CONFIG")
    path = Path(named) if named else user_file(os.environ)
    if path is None:
        raise click.UsageError("this user has no home folder: name a file with --config")
    path = path.absolute()
    try:
        _write(path, content, replace=force)
    except FileExistsError:
        raise click.UsageError(f"{path} exists; --force replaces it, --stdout prints what it would be") from None
    except OSError as error:
        raise click.UsageError(f"{path} cannot be written: {error.strerror}") from error
    if session.json:
        as_json({"file": str(path)})
    else:
        say(f"{path}: written; only its owner may read it")


def _write(path: Path, content: str, *, replace: bool) -> None:
    """Writes the file in one step. Raises FileExistsError for one that is not to be replaced, and OSError."""
    make_private(path.parent)
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with open(open_private(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
        file.write(content)
    try:
        if replace:
            new.replace(path)
        else:
            path.hardlink_to(new)
    finally:
        new.unlink(missing_ok=True)
