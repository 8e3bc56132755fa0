"""The command line's entry point."""

import errno
import logging
import os
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

import click

from lading.adapters.cli.catalog import catalog
from lading.adapters.cli.exits import Exit
from lading.adapters.cli.fetch import explain, fetch
from lading.adapters.cli.handlers import handlers
from lading.adapters.cli.logs import exception_lines
from lading.adapters.cli.maintenance import forget, recover, verify
from lading.adapters.cli.masking import masked
from lading.adapters.cli.output import as_json, print_error, printable
from lading.adapters.cli.streams import OutputLost, let_go, take_over
from lading.adapters.cli.targets import ls, mv, rm, show

__all__ = ["cli", "main"]


_EXHAUSTED: Final = {
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "raise the limit of the host's open files (fs.file-max)",
    errno.ENOMEM: "raise the limit of memory, or end other programs",
    errno.ENOSPC: "make room on that disk",
    errno.EDQUOT: "make room within the quota",
}
"""What is no bug, wherever it happens, and what to do."""
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lading", message="%(prog)s %(version)s")
def cli() -> None:
    """Bring VM disk images to this host by the cheapest way, and remember which way it was."""


for command in (fetch, explain, rm, mv, ls, show, verify, recover, forget, handlers, catalog):
    cli.add_command(command)


def main() -> NoReturn:
    """Run the command line; every outcome ends here, as a message and an exit code."""
    take_over()
    for number in _SIGNALS:
        # Whoever has it ignored, as nohup does, means it.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        sys.exit(_run())
    finally:
        let_go()


def _run() -> int:
    code: int
    try:
        try:
            # What a command returns is None; `--help` and `--version` return their exit code.
            code = cli.main(prog_name="lading", standalone_mode=False) or Exit.DONE
            sys.stdout.flush()
        finally:
            _restore_signals()
    except click.ClickException as error:
        code = _misused(error)
    except (KeyboardInterrupt, click.Abort):
        code = _ended("interrupted", "interrupted; what can be resumed is kept, the rest is removed", Exit.INTERRUPTED)
    except _Terminated as ended:
        told = f"ended by {ended.signal.name}; what can be resumed is kept, the rest is removed"
        code = _ended("interrupted", told, 128 + ended.signal)
    except OutputLost as lost:
        code = _unheard(lost)
    except Exception as error:  # noqa: BLE001 - the last resort: a bug is told in one line too
        code = _broken(error)
    return code


def _misused(error: click.ClickException) -> int:
    """What click found wrong, as click says it: without any command that is the help."""
    message = error.format_message()
    context = error.ctx if isinstance(error, click.UsageError) else None
    lines = [f"Error: {printable(masked(message), sys.stderr)}"]
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        lines = [message]
    elif context is not None:
        lines = [context.get_usage(), f"Try '{context.command_path} --help' for help.", "", *lines]
    with suppress(OSError):
        click.echo("\n".join(lines), err=True)
    _print_error("usage", message)
    return error.exit_code


def _unheard(lost: OutputLost) -> int:
    if lost.is_unwanted:
        return Exit.PIPE_CLOSED
    print_error(f"the output can't be written: {lost}")
    return Exit.FAILED


def _broken(error: Exception) -> int:
    if isinstance(error, FileNotFoundError) and not _is_somewhere():
        told = "the current folder is gone: go to another one, or name what you mean by absolute paths"
        return _ended("usage", told, Exit.USAGE)
    if isinstance(error, OSError) and error.errno in _EXHAUSTED:
        where = f": {os.fsdecode(error.filename)}" if isinstance(error.filename, str | bytes) else ""
        told = f"the system has no more to give: {error.strerror}{where}; {_EXHAUSTED[error.errno]}"
        return _ended("system_exhausted", told, Exit.FAILED)
    if logging.getLogger().isEnabledFor(logging.DEBUG):
        with suppress(OSError):
            for line in exception_lines(error):
                click.echo(printable(masked(line), sys.stderr), err=True)
    todo = "run the command again with -vv, and give what it prints to whoever maintains lading for you"
    told = f"internal error, {type(error).__name__} in {_module_of(error)}. This is a bug of lading's: {todo}"
    return _ended("internal_error", told, Exit.INTERNAL)


def _module_of(error: Exception) -> str:
    """The module that raised it: whose bug it is."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return str(frames[-1].f_globals.get("__name__"))


def _ended(kind: str, message: str, code: int) -> int:
    print_error(message)
    _print_error(kind, message)
    return code


def _print_error(kind: str, message: str) -> None:
    """The error as JSON, if that was asked for: no command has read its options yet, or none is running any more."""
    arguments = sys.argv[1:]
    if "--json" in arguments[: arguments.index("--") if "--" in arguments else None]:
        with suppress(OutputLost):
            as_json({"error": kind, "message": masked(message)})


def _is_somewhere() -> bool:
    try:
        return bool(Path.cwd())
    except FileNotFoundError:
        return False


class _Terminated(SystemExit):
    """The end by a signal."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = signal.Signals(number)


def _interrupt(number: int, _frame: object) -> NoReturn:
    """End by unwinding, so that nothing is left behind. A second signal ends at once, and leaves it to recovery."""
    is_second = any(signal.getsignal(each) is signal.SIG_DFL for each in _SIGNALS)
    # The others keep this handler: Python complains of a signal that is pending when its handler goes.
    signal.signal(number, signal.SIG_DFL)
    if is_second:
        signal.raise_signal(number)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise _Terminated(number)


def _restore_signals() -> None:
    """Have the signals end this process as they end any other; what comes now is no time to unwind from."""
    for number in _SIGNALS:
        if signal.getsignal(number) is _interrupt:
            signal.signal(number, signal.SIG_DFL)
