"""`lading associations`: copies what is recorded to another store."""

import logging
import os
import shlex
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from lading.adapters.cli.arguments import PATH
from lading.adapters.cli.command import group
from lading.adapters.cli.exits import Exit
from lading.adapters.cli.masking import keep_secret
from lading.adapters.cli.output import as_json, say
from lading.adapters.cli.session import Session, command_options
from lading.domain.copies import Copied, copy_associations
from lading.domain.failures import TargetUnresolved
from lading.ports.failures import SettingsError
from lading.ports.locks import Locks

if TYPE_CHECKING:
    from lading.adapters.container import Container

__all__ = ["associations"]

_log = logging.getLogger(__name__)


@group(
    examples=[("lading associations copy --to /etc/lading/etcd.toml", "Copies the records to the store of that file.")]
)
def associations() -> None:
    """Copy the associations, the records of targets, to another store."""


@associations.command(
    short_help="Copy all associations to another store.",
    examples=[
        (
            "lading associations copy --to /etc/lading/etcd.toml",
            "Copies the records of this host to the store of those settings, for example etcd.",
        ),
        (
            "lading associations copy --to /etc/lading/etcd.toml --replace",
            "Replaces what is recorded differently there, too.",
        ),
    ],
)
@click.option("--to", type=PATH, required=True, metavar="FILE", help="The settings of the other store.")
@click.option("--replace", is_flag=True, help="Replace what is recorded differently there.")
@command_options
def copy(session: Session, to: str, *, replace: bool) -> None:
    """Copy all associations of this host to the store of the settings in FILE.

    Each copy is read back and compared. Nothing is removed here. A target that is recorded differently there stays as
    it is, and is named; the exit code is then 5. An interrupted copy is finished by the next one.

    While an operation is interrupted, nothing is copied: run lading recover first. The variables LADING_… do not apply
    to FILE.
    """
    here, there = session.container, _container(to)
    if here.settings().associations == there.settings().associations:
        raise click.BadParameter(f"{to} has the same store as the settings in force", param_hint="--to")
    _require_settled(here, "lading recover")
    _require_settled(there, f"lading recover --config {shlex.quote(to)}")
    targets: dict[Copied, list[str]] = defaultdict(list)
    copies = copy_associations(here.associations(), there.associations(), _locks(here, there), replace=replace)
    for target, outcome in copies:
        targets[outcome].append(target)
        if outcome is Copied.WAITING:
            _log.warning("%s: an operation on it is in progress; it is copied after that", target)
        if outcome is Copied.DIFFERENT and not session.json:
            session.say(f"{target}: is recorded differently there; --replace replaces that record", is_problem=True)
    _print_counts(session, targets)
    if targets[Copied.DIFFERENT]:
        sys.exit(Exit.TARGET_CONFLICT)


def _container(path: str) -> "Container":
    """The wiring for the settings in the file alone. Raises SettingsError."""
    # `--help` does without them.
    from lading.adapters.config.settings import MemorySettings, load_settings, secrets_of  # noqa: PLC0415
    from lading.adapters.container import open_container  # noqa: PLC0415 - likewise

    # The variables are of the settings in force: they would name the same store for both.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LADING_")}
    settings = load_settings(path, environ)
    keep_secret(secrets_of(settings))
    if isinstance(settings.associations, MemorySettings):
        raise SettingsError(f'{settings.source}: [associations] kind = "memory" keeps nothing after the command')
    return open_container(settings)


def _require_settled(container: "Container", command: str) -> None:
    """Raises TargetUnresolved for an operation in the journal: its target may not be what is recorded."""
    for intent in container.journal().list():
        raise TargetUnresolved(intent.target, intent.verb, intent.destination, f"finish it first: {command}")


def _locks(here: "Container", there: "Container") -> Sequence[Locks]:
    """The locks of both. Where they are the same, once: this process would wait for itself."""
    own, other = here.locks(), there.locks()
    probe = f"copy {os.urandom(8).hex()}"  # no other process holds it
    with own.hold(probe), other.hold(probe, wait=False) as are_different:
        return [own, other] if are_different else [own]


def _print_counts(session: Session, targets: Mapping[Copied, Sequence[str]]) -> None:
    counts: dict[str, int] = {each: len(targets[each]) for each in (Copied.COPIED, Copied.REPLACED, Copied.PRESENT)}
    if session.json:
        as_json({**counts, "different": targets[Copied.DIFFERENT]})
        return
    replaced = f", {counts[Copied.REPLACED]} replaced" if counts[Copied.REPLACED] else ""
    say(f"{counts[Copied.COPIED]} copied{replaced}, {counts[Copied.PRESENT]} recorded there already")
