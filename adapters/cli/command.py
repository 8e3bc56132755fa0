"""The classes of the commands: common options, examples in the help, and import of a command when it is used."""

from collections import UserDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from typing_extensions import override

from lading.adapters.cli.common_options import CommonOptions

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["Command", "CommandGroup", "Entry", "Example", "MainGroup", "command", "group"]

Example = tuple[str, str]
"""A command line, and its effect."""


class _CommonOption(click.Option):
    """An option that each command has."""


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:  # noqa: ANN401 - of any option
    options = CommonOptions.of(context)
    if parameter.name == "verbose":
        options.verbose += value
    elif value:
        setattr(options, str(parameter.name), value)


def _complete_clouds(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> "list[CompletionItem[str]]":
    from lading.adapters.cli.completions import complete_clouds  # noqa: PLC0415 - `--help` does not need it

    return complete_clouds(context, parameter, incomplete)


def _common_options() -> list[click.Parameter]:
    config = (
        "Read the settings from FILE. Default: the first of $LADING_CONFIG, ./lading.toml, "
        "~/.config/lading/lading.toml and /etc/lading/lading.toml."
    )
    cloud = "Search images in the Glance of the cloud NAME, as clouds.yaml defines it."
    quiet = "Print only errors, and JSON where it is asked for."
    log = "Log each step to standard error; -vv: also debug messages and tracebacks."
    kept: Mapping[str, Any] = {"expose_value": False, "callback": _keep}
    return [
        _CommonOption(["--json"], is_flag=True, help="Print JSON for programs: one object on each line.", **kept),
        _CommonOption(["--config"], type=click.Path(), metavar="FILE", help=config, **kept),
        _CommonOption(["--os-cloud"], metavar="NAME", help=cloud, shell_complete=_complete_clouds, **kept),
        _CommonOption(["-v", "--verbose"], count=True, help=log, **kept),
        _CommonOption(["-q", "--quiet"], is_flag=True, help=quiet, **kept),
        _CommonOption(["--full"], is_flag=True, help="Print all digits of a digest. Default: the first 12.", **kept),
    ]


class Command(click.Command):
    """A command with the common options, and with examples in its help."""

    def __init__(self, *args: Any, examples: Sequence[Example] = (), **kwargs: Any) -> None:  # noqa: ANN401 - click's
        super().__init__(*args, **kwargs)
        self.params += _common_options()
        self.examples = examples

    def option_records(self, context: click.Context) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """The options and their help: the command's own, and the common ones."""
        own: list[tuple[str, str]] = []
        common: list[tuple[str, str]] = []
        for each in self.get_params(context):
            if isinstance(each, click.Option) and (record := each.get_help_record(context)) is not None:
                (common if isinstance(each, _CommonOption) else own).append(record)
        return own, common

    @override
    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own, common = self.option_records(ctx)
        for title, records in (("Options", own), ("Common options, before or after the command", common)):
            with formatter.section(title):
                formatter.write_dl(records)

    @override
    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            with formatter.section("Examples"):
                for line, effect in self.examples:
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")  # not wrapped: it is to be copied
                    with formatter.indentation():
                        formatter.write_text(effect)


class CommandGroup(Command, click.Group):
    """A command with subcommands."""

    command_class = Command

    @override
    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_commands(ctx, formatter)
        Command.format_options(self, ctx, formatter)


def command(name: str | None = None, *, examples: Sequence[Example]) -> Callable[[Callable[..., None]], Command]:
    """Makes a Command of a function."""
    return click.command(name, cls=Command, examples=examples)


def group(*, examples: Sequence[Example] = (), **options: Any) -> Callable[[Callable[..., None]], CommandGroup]:  # noqa: ANN401 - click's
    """Makes a CommandGroup of a function."""
    return click.group(cls=CommandGroup, examples=examples, **options)


class Entry(NamedTuple):
    """A command that is not imported yet."""

    place: str
    """`module:attribute`."""
    help: str
    """One line."""


class _LateCommands(UserDict[str, click.Command]):
    """The commands by name. A command is imported when it is looked up."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        super().__init__()
        self._entries = entries

    def __getitem__(self, name: str) -> click.Command:
        if name not in self.data:
            module, _, attribute = self._entries[name].place.partition(":")
            found: click.Command = getattr(import_module(module), attribute)
            found.short_help = self._entries[name].help
            self.data[name] = found
        return self.data[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


class MainGroup(CommandGroup):
    """The group of all commands, in sections. Its help and the completion of names import no command."""

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - click's
        sections: Mapping[str, Mapping[str, Entry]],
        synonyms: Mapping[str, str],
        **kwargs: Any,  # noqa: ANN401 - click's
    ) -> None:
        """`synonyms`: words of other programs, and the command that does the same."""
        self.sections = sections
        self._synonyms = synonyms
        self._entries = {name: entry for entries in sections.values() for name, entry in entries.items()}
        super().__init__(*args, commands=_LateCommands(self._entries), **kwargs)

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        CommonOptions.of(ctx).words = tuple(args)
        return super().parse_args(ctx, args)

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self._entries))
        for title, entries in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:{width}}", entry.help) for name, entry in entries.items()])

    @override
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] in self._synonyms and not ctx.resilient_parsing:
            meant = self._synonyms[args[0]]
            raise click.UsageError(f"No such command {args[0]!r}. Did you mean {meant!r}?", ctx)
        return super().resolve_command(ctx, args)

    @override
    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem[str]]":
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - `--help` does not need it

        commands = [
            CompletionItem(name, help=entry.help)
            for name, entry in self._entries.items()
            if name.startswith(incomplete)
        ]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]
