"""What every command shares: its options, the container, and how it ends."""

import functools
import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn, ParamSpec, TypeVar

import click
from returns.result import Failure, Result

from lading.adapters.cli.exits import exit_code
from lading.adapters.cli.output import as_json, error_record
from lading.ports.failures import LadingError

if TYPE_CHECKING:
    from lading.adapters.container import Container

__all__ = ["Session", "command_options"]

_Value = TypeVar("_Value")
_Given = ParamSpec("_Given")


class Session:
    """One run of a command."""

    def __init__(self, *, config: str | None, json: bool) -> None:
        self._config = config
        self.json = json

    @functools.cached_property
    def container(self) -> "Container":
        # Imported late: `--help` and completion do without it.
        from lading.adapters.container import open_container  # noqa: PLC0415
        from lading.adapters.settings import load_settings  # noqa: PLC0415

        return open_container(load_settings(self._config))

    def value(self, outcome: Result[_Value, LadingError]) -> _Value:
        """What came out, or the end of the command: here, and nowhere else, a Result is unwrapped."""
        if isinstance(outcome, Failure):
            self.fail(outcome.failure())
        return outcome.unwrap()

    def fail(self, failure: LadingError) -> NoReturn:
        """End the command: the failure in words, in JSON too if that was asked for, and its exit code."""
        if self.json:
            as_json(error_record(failure))
        click.echo(f"lading: {failure}", err=True)
        sys.exit(exit_code(failure))


def command_options(command: Callable[_Given, None]) -> Callable[..., None]:
    """`--json`, `--config` and `-v`, handed to the command as its first argument, a Session."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON: one object, or one a line.")
    @click.option("--config", type=click.Path(), metavar="FILE", help="The settings file.")
    @click.option("-v", "--verbose", count=True, help="Say what happens; -vv: say it all, with tracebacks.")
    @functools.wraps(command)
    def run(*args: object, as_json: bool, config: str | None, verbose: int, **kwargs: object) -> None:
        level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
        logging.basicConfig(level=level, format="lading: %(levelname)s: %(message)s", force=True)
        session = Session(config=config, json=as_json)
        try:
            command(session, *args, **kwargs)  # type: ignore[arg-type]  # ParamSpec can't say "and a Session first"
        except LadingError as failure:
            session.fail(failure)

    return run
