"""The command line's entry point."""

import errno
import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Final, NoReturn

import click

from lading.adapters.cli.command import MainGroup
from lading.adapters.cli.commands import SECTIONS, SYNONYMS
from lading.adapters.cli.exits import Exit
from lading.adapters.cli.interruption import Interruption
from lading.adapters.cli.masking import masked
from lading.adapters.cli.output import as_json, print_error, printable
from lading.adapters.cli.streams import OutputLost, close_streams, open_streams

__all__ = ["cli", "main"]


_EXHAUSTED: Final = {
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "raise the limit of the host's open files (fs.file-max)",
    errno.ENOMEM: "raise the limit of memory, or end other programs",
    errno.ENOSPC: "free some space on that disk",
    errno.EDQUOT: "free some space within the quota",
}
"""Advice for errors that are not bugs, wherever they are raised."""
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@click.group(
    cls=MainGroup,
    sections=SECTIONS,
    synonyms=SYNONYMS,
    context_settings={"help_option_names": ["-h", "--help"]},
    examples=[
        (
            "lading fetch https://cloud.example/noble.img /vms/1.img --format raw --size 20G",
            "Fetches the image, verified by the checksum file beside it, as a raw disk of 20 GiB.",
        ),
        ("lading catalog add noble.img", "Adds the file noble.img of this folder to the catalog, as noble."),
        ("lading fetch noble /vms/2.img", "Fetches an image of the catalog to a file."),
        ("lading ls", "Lists the targets."),
        ("lading rm /vms/1.img /vms/2.img", "Removes both files and their records."),
    ],
)
@click.version_option(package_name="lading", message="%(prog)s %(version)s")
def cli() -> None:
    """Fetch VM disk images to files, block devices, volumes and clones.

    An IMAGE is an id or a name in the catalog, REMOTE:NAME, or a URL. A TARGET is where the image goes: a path, a block
    device such as /dev/vg0/vm3, rbd:POOL/IMAGE or cinder:NAME.
    A handler transfers the image: it clones, copies or downloads. lading verifies the bytes and records each target
    with its handler, so that rm and mv later use the same handler.

    For the help of a command: lading help COMMAND
    """


def main() -> NoReturn:
    """Runs the command line. Each outcome ends here: as a message and an exit code."""
    open_streams()
    for number in _SIGNALS:
        # A signal that the caller ignores stays ignored, as with nohup.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        sys.exit(_run())
    finally:
        close_streams()


def _run() -> int:
    """Runs the command and returns its exit code."""
    if "_LADING_COMPLETE" in os.environ:
        import_module("lading.adapters.cli.completion")  # it tells click how lading completes in bash
    try:
        try:
            # A command returns None; `--help` and `--version` return their exit code.
            code: int = cli.main(prog_name="lading", standalone_mode=False) or Exit.DONE
            sys.stdout.flush()
        finally:
            _restore_signals()
    except click.ClickException as error:
        return _fail_usage(error)
    except Interruption as ended:
        return _fail("interrupted", ended.reason, 128 + ended.signal, *ended.left)
    except (KeyboardInterrupt, click.Abort):  # before this module's handler of signals is set
        return _fail("interrupted", "interrupted", Exit.INTERRUPTED)
    except OutputLost as lost:
        return _fail_output(lost)
    except Exception as error:  # noqa: BLE001 - the last resort: a bug ends in a message too
        return _fail_unexpected(error)
    return code


def _fail_usage(error: click.ClickException) -> int:
    """Prints click's message for a wrong command; without a command that is the help."""
    message = error.format_message()
    context = error.ctx if isinstance(error, click.UsageError) else None
    lines = [f"Error: {printable(masked(message), sys.stderr)}"]
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        lines = [message]
    elif context is not None:
        lines = [context.get_usage(), f"Try '{context.command_path} --help' for help.", "", *lines]
    with suppress(OSError):
        click.echo("\n".join(lines), err=True)
    _print_json("usage", message)
    return error.exit_code


def _fail_output(lost: OutputLost) -> int:
    if lost.is_pipe_closed:
        return Exit.PIPE_CLOSED
    print_error(f"the output cannot be written: {lost}")
    return Exit.FAILED


def _fail_unexpected(error: Exception) -> int:
    """Prints the message for an exception that no command handles: a missing folder, a full system or a bug."""
    if isinstance(error, FileNotFoundError) and not _has_current_folder():
        return _fail("usage", "the current folder is gone: change to another folder, or use absolute paths", Exit.USAGE)
    if isinstance(error, OSError) and error.errno in _EXHAUSTED:
        where = f": {os.fsdecode(error.filename)}" if isinstance(error.filename, str | bytes) else ""
        message = f"the system's limit is reached: {error.strerror}{where}"
        return _fail("system_exhausted", message, Exit.FAILED, _EXHAUSTED[error.errno])
    if logging.getLogger().isEnabledFor(logging.DEBUG):
        from lading.adapters.cli.logs import exception_lines  # noqa: PLC0415 - `--help` does not need it

        with suppress(OSError):
            for line in exception_lines(error):
                click.echo(printable(masked(line), sys.stderr), err=True)
    modules = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    owner = _owner_of(modules)
    message = f"internal error, {type(error).__name__} in {modules[-1]}: this is a bug in {owner}"
    advice = f"the same command with -vv prints what the developers of {owner.partition(' ')[0]} need"
    return _fail("internal_error", message, Exit.INTERNAL, advice)


def _owner_of(modules: Sequence[str]) -> str:
    """The distribution that has the bug. `modules`: of the calls, the outermost first."""
    try:
        from lading.adapters.plugins import owner_of  # noqa: PLC0415 - only a bug needs it

        return owner_of(modules)
    except Exception:  # noqa: BLE001 - the bug may be there
        return "lading"


def _fail(kind: str, message: str, code: int, *more: str) -> int:
    """Prints the message, and below it more lines. Returns the exit code."""
    print_error(message, *more)
    _print_json(kind, "; ".join((message, *more)))
    return code


def _print_json(kind: str, message: str) -> None:
    """Prints the error as JSON if the arguments have `--json`. Here no command has parsed them."""
    arguments = sys.argv[1:]
    if "--json" in arguments[: arguments.index("--") if "--" in arguments else None]:
        with suppress(OutputLost):
            as_json({"error": kind, "code": kind, "message": masked(message)})


def _has_current_folder() -> bool:
    try:
        return bool(Path.cwd())
    except FileNotFoundError:
        return False


def _interrupt(number: int, _frame: object) -> NoReturn:
    """Handles a signal: raises, so that the command cleans up. A second signal ends the process at once."""
    is_second = any(signal.getsignal(each) is signal.SIG_DFL for each in _SIGNALS)
    # The other signals keep this handler: Python reports an error for a pending signal whose handler is removed.
    signal.signal(number, signal.SIG_DFL)
    if is_second:
        signal.raise_signal(number)
    raise Interruption(number)


def _restore_signals() -> None:
    """Restores the default action of the signals: after the command there is nothing to clean up."""
    for number in _SIGNALS:
        if signal.getsignal(number) is _interrupt:
            signal.signal(number, signal.SIG_DFL)
