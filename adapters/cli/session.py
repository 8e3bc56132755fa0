"""What every command shares: its options, the container, and how it ends."""

import functools
import logging
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, NoReturn, ParamSpec, TypeVar

import click
from returns.result import Failure, Result, Success

from lading.adapters.cli.exits import exit_code
from lading.adapters.cli.logs import log_to_stderr
from lading.adapters.cli.masking import keep_secret
from lading.adapters.cli.output import as_json, error_record, print_error
from lading.domain.failures import HandlerNotLoaded, NoHandlerAvailable, NotAssociated, TargetUnresolved
from lading.ports.catalog import ImageListing, ImageRegistry
from lading.ports.failures import AmbiguousImage, ImageNotFound, LadingError
from lading.ports.journal import Verb

if TYPE_CHECKING:
    from lading.adapters.container import Container

__all__ = ["Session", "command_options"]

_log = logging.getLogger(__name__)
_HINTS: Final[Mapping[type[LadingError], str]] = {
    AmbiguousImage: "`lading catalog show ID` tells them apart",
    ImageNotFound: "`lading catalog ls` lists them",
    NotAssociated: "`lading ls` lists what is",
    HandlerNotLoaded: "add it to [handlers] order",
}
"""What to do next."""
_Value = TypeVar("_Value")
_Given = ParamSpec("_Given")


class Session:
    """One run of a command."""

    def __init__(self, *, config: str | None, cloud: str | None, json: bool) -> None:
        self._config = config
        self._cloud = cloud
        self.json = json
        self.recovers = True
        """Whether what was cut off earlier is seen to before the command begins."""
        self.variables: dict[str, str] = {}
        """Of settings, as options have them; to be set before the container is asked for."""

    @functools.cached_property
    def container(self) -> "Container":
        # Imported late: `--help` and completion do without it.
        from lading.adapters.config.settings import load_settings, secrets_of  # noqa: PLC0415
        from lading.adapters.container import open_container  # noqa: PLC0415

        # Options say what these variables would.
        named = {"LADING_CATALOG__KIND": "glance", "LADING_CATALOG__CLOUD": self._cloud} if self._cloud else {}
        settings = load_settings(self._config, {**os.environ, **named, **self.variables})
        keep_secret(secrets_of(settings))
        _log.info("settings: %s", settings.source)
        return open_container(settings, recover=self.recovers)

    def value(self, outcome: Result[_Value, LadingError]) -> _Value:
        """What came out, or the end of the command."""
        if isinstance(outcome, Failure):
            self.fail(outcome.failure())
        return outcome.unwrap()

    def fail(self, failure: LadingError) -> NoReturn:
        """End the command: the failure in words, in JSON too if that was asked for, and its exit code."""
        hint = self._hint(failure)
        print_error(f"{failure}; {hint}" if hint else str(failure))
        if self.json:
            as_json(error_record(failure))
        sys.exit(exit_code(failure))

    def _hint(self, failure: LadingError) -> str | None:
        if isinstance(failure, ImageNotFound):
            return self._hint_not_found(failure)
        if isinstance(failure, NoHandlerAvailable):
            names = ", ".join(each.name for each in self.container.loaded().skipped)
            return f"not loaded: {names} (`lading handlers` says why)" if names else None
        if isinstance(failure, AmbiguousImage) and isinstance(self.container.catalog(), ImageRegistry):
            return f"{_HINTS[AmbiguousImage]}, `lading catalog rm ID` forgets one"
        if isinstance(failure, TargetUnresolved):
            target = shlex.quote(failure.target)
            return f"`lading recover --discard {target}` gives it up, and leaves what can't be removed"
        if isinstance(failure, NotAssociated) and self._is_begun(failure.target):
            target = shlex.quote(failure.target)
            return f"a fetch to it is not finished: fetch it again, or end it: lading recover --discard {target}"
        return _HINTS.get(type(failure))

    def _is_begun(self, target: str) -> bool:
        pending = self.container.journal().pending(target)
        return isinstance(pending, Success) and (intent := pending.unwrap()) is not None and intent.verb is Verb.FETCH

    def _hint_not_found(self, failure: ImageNotFound) -> str | None:
        if failure.hint or not isinstance(self.container.catalog(), ImageListing):
            return None
        hints = [_HINTS[ImageNotFound]]
        # Other clients would have asked the cloud.
        if self.container.settings().catalog.kind in {"file", "memory"}:
            if cloud := os.environ.get("OS_CLOUD"):
                hints.append(f"OS_CLOUD is set, but that cloud was not asked: --os-cloud {shlex.quote(cloud)} does")
            elif os.environ.get("OS_AUTH_URL"):
                hints.append("OS_AUTH_URL is set, but that cloud was not asked: LADING_CATALOG__KIND=glance does")
        return "; ".join(hints)


def command_options(command: Callable[_Given, None]) -> Callable[..., None]:
    """`--json`, `--config`, `--os-cloud` and `-v`, handed to the command as its first argument, a Session."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON: one object, or one a line.")
    @click.option("--config", type=click.Path(), metavar="FILE", help="The settings file.")
    @click.option("--os-cloud", metavar="NAME", help="The Glance of this cloud in clouds.yaml.")
    @click.option("-v", "--verbose", count=True, help="Say what happens; -vv: say it all, with tracebacks.")
    @functools.wraps(command)
    def run(
        *args: object, as_json: bool, config: str | None, os_cloud: str | None, verbose: int, **kwargs: object
    ) -> None:
        log_to_stderr(verbose)
        session = Session(config=config, cloud=os_cloud, json=as_json)
        try:
            command(session, *args, **kwargs)  # type: ignore[arg-type]  # ParamSpec can't say "and a Session first"
        except LadingError as failure:
            session.fail(failure)

    return run
