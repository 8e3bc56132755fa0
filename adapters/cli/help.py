"""`lading help`."""

import click

from lading.adapters.cli.command import command
from lading.adapters.cli.completions import complete_commands

__all__ = ["help_"]


@command(
    "help",
    examples=[
        ("lading help fetch", "Shows what lading fetch --help shows."),
        ("lading help catalog add", "Shows the help of a command in a group."),
    ],
)
@click.argument("names", nargs=-1, metavar="[COMMAND [SUBCOMMAND]]", shell_complete=complete_commands)
@click.pass_context
def help_(context: click.Context, names: tuple[str, ...]) -> None:
    """Show the help of COMMAND; without it, list all commands."""
    context = context.find_root()
    for name in names:
        if not isinstance(context.command, click.Group):
            raise click.UsageError(f"{context.command_path} has no subcommand {name!r}", context)
        _, found, _ = context.command.resolve_command(context, [name])
        context = click.Context(found or context.command, info_name=name, parent=context)
    click.echo(context.get_help())
