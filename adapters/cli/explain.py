"""`lading explain`."""

import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import click

from lading.adapters.catalogs.remotes import split_reference
from lading.adapters.catalogs.url_reference import is_url
from lading.adapters.cli.command import command
from lading.adapters.cli.exits import exit_code
from lading.adapters.cli.fetch import request_options
from lading.adapters.cli.masking import masked
from lading.adapters.cli.output import as_json, say, terminal_width
from lading.adapters.cli.session import Session
from lading.adapters.codec.sizes import size_text
from lading.adapters.destinations.device.form import is_device
from lading.adapters.destinations.file.free_space import free_space
from lading.domain.attempts import AttemptPreview, FetchRequest
from lading.domain.failures import NoHandlerAvailable
from lading.domain.refusals import Unsupported
from lading.ports.location import Location

__all__ = ["explain"]

_Command = TypeVar("_Command", bound=Callable[..., Any])
_ALL: Final = "lading.explain.all"
"""The key of `--all` in click's context."""
_LOCAL: Final = frozenset({"file", "filesystem", ""})
"""Schemes of locations on this host."""
_LOCAL_CATALOGS: Final = frozenset({"file", "memory"})


def _all_option(command: _Command) -> _Command:
    help_text = "Show also the attempts that cannot help, and the handlers that take none of the image's locations."
    return click.option("--all", is_flag=True, expose_value=False, callback=_keep_all, help=help_text)(command)


def _keep_all(context: click.Context, _option: click.Parameter, everything: bool) -> None:  # noqa: FBT001 - click's
    context.meta[_ALL] = everything


@command(
    examples=[
        ("lading explain noble /vms/1.img", "Shows which handler would fetch the image, and why no other."),
        ("lading explain noble rbd:vms/1", "Shows whether the image can be cloned in Ceph."),
    ]
)
@_all_option
@request_options
def explain(session: Session, request: FetchRequest) -> None:
    """Show the attempts that fetch would make for IMAGE and TARGET, in order, and whether each would succeed.

    The options are those of fetch, but nothing is transferred or changed. Servers are asked only for what tells whether
    an attempt would succeed. The exit code is 0 when fetch would succeed, else the exit code of fetch.
    """
    previews = session.container.dispatcher().preview(request)
    chosen = next((each for each in previews if each.would), None)
    free = _free_space(request.target)
    if session.json:
        as_json(
            {
                "image": masked(request.image_id) if request.image_id else None,
                "target": request.target,
                "handler": chosen.handler if chosen else None,
                "location": str(chosen.location) if chosen and chosen.location else None,
                "free_space": free,
                "attempts": list(map(_preview_record, previews)),
            }
        )
    else:
        _print_tree(session, request, previews, chosen)
        if free is not None:
            say(f"free space: {size_text(free)} on the disk of {Path(request.target).parent}")
        say(f"network: {_network_text(session, request, previews)}")
    if chosen is None:
        results = tuple(each.result for each in previews)
        sys.exit(exit_code(NoHandlerAvailable(request.image_id, request.target, results)))


def _preview_record(preview: AttemptPreview) -> dict[str, object]:
    return {
        "handler": preview.handler,
        "location": str(preview.location) if preview.location else None,
        "cost": preview.cost,
        "would": preview.would,
        "code": preview.result.refusal.code if preview.result.refusal else None,
        "reason": masked(preview.reason),
    }


def _free_space(target: str) -> int | None:
    """Free bytes on the disk of a target that is a file; None where they cannot be told."""
    if not target.startswith("/") or is_device(target):
        return None
    try:
        return free_space(str(Path(target).parent))
    except OSError:
        return None


def _print_tree(
    session: Session, request: FetchRequest, previews: Sequence[AttemptPreview], chosen: AttemptPreview | None
) -> None:
    say(f"{masked(request.image_id or '')} → {request.target}")
    shows_all = click.get_current_context().meta[_ALL]
    shown = [each for each in previews if shows_all or not _cannot_help(each, previews)]
    branches = [_branch(each, is_chosen=each is chosen) for each in shown]
    if shows_all:
        branches += _idle_handlers(session, previews)
    for position, (heading, reason) in enumerate(branches):
        branch, trunk = ("└─", "  ") if position == len(branches) - 1 else ("├─", "│ ")
        say(f"{branch} {heading}")
        for line in _wrapped(reason):
            say(f"{trunk}    {line}", dim=True)
    if not previews:
        say("└─ no handler takes any of its locations, and none works without a location")
    if hidden := len(previews) - len(shown):
        say(f"not shown, because {'it' if hidden == 1 else 'they'} cannot help: {hidden} of the attempts; see --all")


def _branch(preview: AttemptPreview, *, is_chosen: bool) -> tuple[str, str]:
    """The lines of an attempt: its heading, and what it does or why it cannot."""
    mark = "✓" if preview.would else "✗"
    where = f" {preview.location}" if preview.location else ""
    cost = f"[{preview.cost}] " if preview.cost else ""
    return f"{mark} {preview.handler}{where}{'  ← this one' if is_chosen else ''}", f"{cost}{masked(preview.reason)}"


def _cannot_help(preview: AttemptPreview, previews: Sequence[AttemptPreview]) -> bool:
    """Tells whether the handler is not for this: where none would succeed, all reasons are shown once.

    A handler of any location passes each by: then its attempt without a location decides.
    """
    if not isinstance(preview.result.refusal, Unsupported):
        return False
    independent = {each.handler for each in previews if each.location is None}
    passes_by = preview.location is not None and preview.handler in independent
    return passes_by or any(each.would for each in previews)


def _idle_handlers(session: Session, previews: Sequence[AttemptPreview]) -> Iterator[tuple[str, str]]:
    """The loaded handlers that make no attempt."""
    attempting = {each.handler for each in previews}
    for handler in session.container.loaded().handlers:
        if handler.name not in attempting:
            schemes = ", ".join(sorted(handler.schemes or ())) or "no locations"
            yield f"- {handler.name}", f"makes no attempt: it takes {schemes}"


def _wrapped(text: str) -> list[str]:
    """The lines of a reason on a terminal; elsewhere it stays on one line."""
    return textwrap.wrap(text, max(terminal_width(sys.stdout) - 6, 20)) if sys.stdout.isatty() else [text]


def _network_text(session: Session, request: FetchRequest, previews: Sequence[AttemptPreview]) -> str:
    """The servers that the attempts ask, before one of them moves bytes."""
    settings = session.container.settings()
    reference = request.image_id or ""
    remote, _ = split_reference(reference, settings.remotes)
    kind = (settings.catalog if remote is None else settings.remotes[remote]).kind
    catalog = [] if kind in _LOCAL_CATALOGS or is_url(reference) else [f"the catalog ({kind})"]
    servers = [_server(each.location) for each in previews if each.location and each.location.scheme not in _LOCAL]
    return ", ".join(filter(None, dict.fromkeys([*catalog, *servers]))) or "not used"


def _server(location: Location) -> str | None:
    """The scheme and the host of a location, without credentials; None: it names no server that can be asked."""
    try:
        parts = urlsplit(str(location))
    except ValueError:
        return None
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
