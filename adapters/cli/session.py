"""The common part of all commands: options, the container, errors and exit codes."""

import functools
import logging
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, ParamSpec, TypeVar
from urllib.parse import unquote, urlsplit

import click
from returns.result import Failure, Result, Success

from lading.adapters.catalogs.remotes import split_reference
from lading.adapters.cli.arguments import path_hint
from lading.adapters.cli.common_options import CommonOptions
from lading.adapters.cli.exits import Exit, exit_code
from lading.adapters.cli.logs import log_to_stderr
from lading.adapters.cli.masking import keep_secret
from lading.adapters.cli.messages import message_lines
from lading.adapters.cli.output import as_json, error_record, print_error, say
from lading.adapters.cli.streams import OUTPUT_ERRORS
from lading.adapters.cli.suggestions import close_images, close_targets, corrected, full_reference, may_be_short_id
from lading.domain.failures import HandlerNotLoaded, NoHandlerAvailable, NotAssociated, TargetUnresolved
from lading.domain.refusals import Mismatched, Scope, Unsupported
from lading.ports.catalog import ImageListing, ImageRegistry
from lading.ports.failures import AmbiguousImage, ImageNotFound, LadingError
from lading.ports.journal import Verb
from lading.ports.location import Location

if TYPE_CHECKING:
    from lading.adapters.container import Container

__all__ = ["Session", "command_options"]

_log = logging.getLogger(__name__)
_Value = TypeVar("_Value")
_Arguments = ParamSpec("_Arguments")


class Session:
    """One run of a command."""

    def __init__(self, options: CommonOptions) -> None:
        self._options = options
        self.json = options.json
        self.full = options.full
        """True when digests are printed whole."""
        self.recovers = True
        """True when interrupted operations are recovered before the command begins."""
        self.variables: dict[str, str] = {}
        """Settings from options, as environment variables. Set them before the first use of `container`."""

    @functools.cached_property
    def container(self) -> "Container":
        """The wiring for the settings in force. Raises SettingsError."""
        # Imported late: `--help` and completion do not need them.
        from lading.adapters.config.settings import load_settings, secrets_of  # noqa: PLC0415
        from lading.adapters.container import open_container  # noqa: PLC0415

        settings = load_settings(self._options.config, {**self._options.environment(os.environ), **self.variables})
        keep_secret(secrets_of(settings))
        _log.info("settings: %s", settings.source)
        return open_container(settings, recover=self.recovers)

    def full_reference(self, reference: str) -> str:
        """Returns the reference with the full id, where it has the first digits of one. Raises AmbiguousImage."""
        # Another reference needs no settings.
        return full_reference(self.container, reference) if may_be_short_id(reference) else reference

    def value(self, outcome: Result[_Value, LadingError]) -> _Value:
        """Returns the outcome's value. Ends the command on a failure."""
        if isinstance(outcome, Failure):
            self.fail(outcome.failure())
        return outcome.unwrap()

    def say(self, text: str, *, is_problem: bool) -> None:
        """Prints a line of a result. With `--quiet` only a problem is printed, as an error."""
        if not self._options.quiet:
            say(text)
        elif is_problem:
            print_error(text)

    def fail(self, failure: LadingError) -> NoReturn:
        """Ends the command with the failure's exit code. Prints its message, and with `--json` also an object."""
        sys.exit(self.report(failure))

    def report(self, failure: LadingError, **about: object) -> Exit:
        """Prints the failure's message, and with `--json` also an object with `about`. Returns its exit code."""
        hints = self._hints(failure)
        print_error(*message_lines(failure, hints, full=self.full))
        if self.json:
            as_json({**about, **error_record(failure, hints)})
        return exit_code(failure)

    def _hints(self, failure: LadingError) -> list[str]:
        """The next steps for the user, one line each."""
        hints: list[str] = []
        match failure:
            case ImageNotFound():
                hints = self._hints_not_found(failure)
            case AmbiguousImage():
                hints = ["to compare them: lading catalog show ID"]
                if isinstance(self.container.default_catalog(), ImageRegistry):
                    hints.append("to remove one: lading catalog rm ID")
            case NoHandlerAvailable():
                hints = self._hints_not_fetched(failure)
            case HandlerNotLoaded():
                hints = [f"add {failure.handler!r} to [handlers] order; for the reason: lading handlers"]
            case TargetUnresolved():
                command = f"lading recover --discard {shlex.quote(failure.target)}"
                hints = [f"to give the operation up, and leave what cannot be removed: {command}"]
            case NotAssociated():
                hints = self._hints_not_recorded(failure.target)
        return hints

    def _hints_not_fetched(self, failure: NoHandlerAvailable) -> list[str]:
        refusal, attempt = failure.decisive, failure.decisive_attempt
        if refusal is not None and refusal.scope is Scope.REQUEST:
            return []  # no other handler could have helped
        location = attempt.location if attempt else None
        if type(refusal) is Mismatched and location is not None and self._is_registered(failure, location):
            path = unquote(urlsplit(location.url).path)
            return [f"if the file is a newer image: lading catalog add --replace {shlex.quote(path)}"]
        if not isinstance(refusal, Unsupported | None):
            return []  # a handler of this location has been tried
        names = ", ".join(each.name for each in self.container.loaded().skipped)
        return [f"not loaded: {names}; for the reasons: lading handlers"] if names else []

    def _is_registered(self, failure: NoHandlerAvailable, location: Location) -> bool:
        """Tells whether the location is a file's that `lading catalog add` has registered."""
        remote, _ = split_reference(failure.image_id or "", self.container.settings().remotes)
        is_own = remote is None and isinstance(self.container.default_catalog(), ImageRegistry)
        return is_own and location.scheme == "file"

    def _hints_not_recorded(self, target: str) -> list[str]:
        if self._is_interrupted_fetch(target):
            command = f"lading recover --discard {shlex.quote(target)}"
            return [f"a fetch to it is not finished: repeat the fetch, or discard its data: {command}"]
        path = path_hint(target)
        close = close_targets(self.container, target)
        meant = [f"did you mean {' or '.join(close)}?"] if close else []
        return [*meant, *([path] if path else []), "to list the recorded targets: lading ls"]

    def _is_interrupted_fetch(self, target: str) -> bool:
        pending = self.container.journal().pending(target)
        return isinstance(pending, Success) and (intent := pending.unwrap()) is not None and intent.verb is Verb.FETCH

    def _hints_not_found(self, failure: ImageNotFound) -> list[str]:
        remote, _ = split_reference(failure.reference, self.container.settings().remotes)
        cloud = self._hints_cloud() if remote is None and "://" not in failure.reference else []
        if close := close_images(self.container, failure.reference):
            command = corrected({failure.reference: close[0]})
            return [f"did you mean {' or '.join(close)}?", *([command] if command else []), *cloud]
        if failure.advice or not isinstance(self.container.catalog().remote(remote), ImageListing):
            return cloud
        if remote is not None:
            return [f"to list the images: lading catalog ls {remote}:"]
        hints = ["to list the images: lading catalog ls"]
        name, colon, _ = failure.reference.partition(":")
        if colon and name.isidentifier():
            hints = [
                f"no remote is named {name}: [catalogs.{name}] configures one, lading config init writes an example"
            ]
        return [*hints, *cloud]

    def _hints_cloud(self) -> list[str]:
        """The way to the cloud of the environment, which other clients would have asked, where lading did not."""
        from lading.adapters.config.settings import BUILT_IN_KINDS  # noqa: PLC0415 - see `container`

        kind = self.container.settings().catalog.kind
        if kind == "glance" or kind not in BUILT_IN_KINDS["catalog"]:  # a third party's may have asked it
            return []
        if cloud := os.environ.get("OS_CLOUD"):
            return [f"OS_CLOUD is set, but that cloud was not asked: --os-cloud {shlex.quote(cloud)} does"]
        if os.environ.get("OS_AUTH_URL"):
            return ["OS_AUTH_URL is set, but that cloud was not asked: LADING_CATALOG__KIND=glance does"]
        return []


@contextmanager
def _silence() -> Iterator[None]:
    """Discards what the block prints to standard output."""
    with Path(os.devnull).open("w", errors=OUTPUT_ERRORS) as nothing, redirect_stdout(nothing):
        yield


def command_options(command: Callable[_Arguments, None]) -> Callable[..., None]:
    """Makes a Session of the common options, the first argument of the command."""

    @functools.wraps(command)
    def run(*args: object, **kwargs: object) -> None:
        options = CommonOptions.of(click.get_current_context())
        if options.quiet and options.verbose:
            raise click.UsageError("--quiet and --verbose contradict each other: give one of them")
        log_to_stderr(options.verbose, quiet=options.quiet)
        session = Session(options)
        with _silence() if options.quiet and not options.json else nullcontext():
            try:
                command(session, *args, **kwargs)  # type: ignore[arg-type]  # ParamSpec cannot express a Session before the arguments
            except LadingError as failure:
                session.fail(failure)

    return run
