"""The command line's entry point."""

import codecs
import logging
import os
import signal
import sys
import traceback
from typing import NoReturn

import click

from lading.adapters.cli.catalog import catalog
from lading.adapters.cli.exits import Exit
from lading.adapters.cli.fetch import explain, fetch
from lading.adapters.cli.handlers import handlers
from lading.adapters.cli.targets import ls, mv, rm, show

__all__ = ["cli", "main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lading", message="%(prog)s %(version)s")
def cli() -> None:
    """Bring VM disk images to this host by the cheapest way, and remember which way it was."""


for command in (fetch, explain, rm, mv, ls, show, handlers, catalog):
    cli.add_command(command)


def main() -> NoReturn:
    """Run the command line; every outcome ends here, as a message and an exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminate)
    codecs.register_error("lading", _as_it_came)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="lading")  # type: ignore[union-attr]  # both are TextIOWrappers
    try:
        # What a command returns is None; `--help` and `--version` return their exit code.
        code = cli.main(prog_name="lading", standalone_mode=False) or Exit.DONE
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        _say("interrupted; nothing was left behind")
        code = Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has enough; Python must not try to flush the rest at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = Exit.PIPE_CLOSED
    except Exception as error:  # noqa: BLE001 - the last resort: a bug is told in one line too
        if logging.getLogger().isEnabledFor(logging.DEBUG):
            traceback.print_exc()
        _say(f"internal error, {type(error).__name__}: {error} (-vv shows where; please report it)")
        code = Exit.INTERNAL
    sys.exit(code)


def _say(text: str) -> None:
    click.echo(f"lading: {text}", err=True)


def _terminate(number: int, _frame: object) -> NoReturn:
    """End as Ctrl-C does, by unwinding, so that nothing is left behind."""
    sys.exit(128 + number)


def _as_it_came(error: UnicodeError) -> tuple[str | bytes, int]:
    """Paths are bytes: what isn't UTF-8 in them goes out as it came in, and what no terminal can show, escaped."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.lookup_error("backslashreplace")(error)
