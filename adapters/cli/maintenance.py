"""`lading recover`, `lading forget` and `lading verify`: interrupted operations, and targets that changed."""

import os
import shlex
import sys
from collections.abc import Iterable, Iterator

import click
from returns.result import Success

from lading.adapters.cli.arguments import PATH, local_target
from lading.adapters.cli.exits import Exit, exit_code
from lading.adapters.cli.masking import masked
from lading.adapters.cli.output import as_json, say, size_text
from lading.adapters.cli.progress import watching
from lading.adapters.cli.session import Session, command_options
from lading.adapters.config.settings import FileAssociationsSettings
from lading.adapters.destinations.file.partial import part_path
from lading.domain.dispatcher import Dispatcher
from lading.domain.failures import HandlerRefused
from lading.domain.handler import State
from lading.domain.recovery import Outcome, Recovered
from lading.domain.targets import Forgotten
from lading.ports.association import Association
from lading.ports.failures import StoreUnavailable

__all__ = ["forget", "recover", "verify"]


@click.command(short_help="Finish, resume or roll back interrupted operations.", epilog="Example: lading recover")
@click.argument("target", type=PATH, required=False)
@click.option(
    "--discard", is_flag=True, help="Remove partial downloads; do not resume them. With TARGET: give up what remains."
)
@click.option(
    "--rebuild",
    is_flag=True,
    help="Rebuild a damaged or lost database from what can be verified. A damaged one is kept aside.",
)
@command_options
def recover(session: Session, target: str | None, *, discard: bool, rebuild: bool) -> None:
    """Recover interrupted fetches, removals and moves, for example after a crash.

    With TARGET, only the operation from or to that target. A finished operation is recorded, a fetch is resumed, and
    the others are rolled back.

    With TARGET and --discard, an operation that cannot be resolved is given up: it is no longer pending, and the data
    that it may have left stays where it is.
    """
    session.recovers = False  # it is this command that tells what becomes of what
    if rebuild:
        if target is not None:
            raise click.UsageError("--rebuild takes no target")
        _rebuild(session)
        return
    place = None if target is None else local_target(target)
    dispatcher = session.container.dispatcher()
    is_open = False
    for found in dispatcher.recover(place, keep=not discard, give_up=discard and place is not None):
        recovered = _resume(dispatcher, found) if found.outcome is Outcome.KEPT else found
        is_open = is_open or recovered.is_open
        _tell(session, recovered)
    if is_open:
        sys.exit(Exit.FAILED)


def _rebuild(session: Session) -> None:
    from lading.adapters.sqlite.rebuild import rebuild  # noqa: PLC0415 - seldom needed

    settings = session.container.settings().associations
    if not isinstance(settings, FileAssociationsSettings):
        session.fail(StoreUnavailable('only the database of [associations] kind = "file" can be rebuilt'))
    done = session.value(rebuild(settings.path, session.container.dispatcher().proven))
    if session.json:
        as_json(
            {
                "aside": str(done.aside),
                "kept": [each.target for each in done.kept],
                "dropped": [{"target": each.target, "reason": each.why} for each in done.dropped],
                "damaged": done.damaged,
            }
        )
        return
    for each in done.dropped:
        say(f"{each.target}: no longer recorded: {each.why}")
    if done.damaged:
        say(f"{done.damaged} entries of the record are damaged; what they held is not known")
    say(f"{len(done.kept)} targets are recorded again; what was there is kept as {done.aside}")


def _resume(dispatcher: Dispatcher, kept: Recovered) -> Recovered:
    image = kept.intent.image
    with watching(image.id if image else kept.intent.target) as observer:
        return dispatcher.resume(kept, observer)


def _tell(session: Session, found: Recovered) -> None:
    intent = found.intent
    if session.json:
        as_json(
            {
                "target": intent.target,
                "verb": intent.verb,
                "destination": intent.destination,
                "image": intent.image.id if intent.image else None,
                "handler": intent.handler,
                "outcome": found.outcome,
                "resumed": found.kept,
                "reason": masked(found.reason) if found.reason else None,
            }
        )
        return
    where = f" to {intent.destination}" if intent.destination else ""
    more = f", {size_text(found.kept)} of it had come" if found.kept else ""
    why = f": {masked(found.reason)}" if found.reason else ""
    if found.outcome is Outcome.UNRESOLVED:
        why += f"; `lading recover --discard {shlex.quote(intent.target)}` gives it up"
    say(f"{intent.target}: {intent.verb}{where} by {intent.handler} is {found.outcome}{more}{why}")


@click.command(short_help="Remove the record of a target; keep the target.", epilog="Example: lading forget /vms/1.img")
@click.argument("target", type=PATH)
@command_options
def forget(session: Session, target: str) -> None:
    """Remove the record of TARGET and of its interrupted operations, but not the target itself.

    Use it when lading can no longer act on the target: its disk or its handler is gone, for example. The command prints
    what stays. To remove a target with its record: lading rm.
    """
    session.recovers = False  # it is to be forgotten as it is
    target = local_target(target)
    forgotten = session.value(session.container.dispatcher().forget(target))
    recorded, begun = forgotten.association, forgotten.intents
    left = _left(forgotten)
    if session.json:
        as_json(
            {
                "target": target,
                "recorded": recorded is not None,
                "handler": recorded.handler if recorded else begun[0].handler,
                "identity": recorded.identity if recorded else None,
                "begun": [each.verb for each in begun],
                "left": left,
            }
        )
        return
    say(f"{target}: forgotten")
    for each in left:
        # A move has two ends, and what is recorded of the other one is not forgotten.
        is_recorded = session.value(session.container.associations().get(each)) is not None
        say(f"{each} is still there, and " + ("stays recorded" if is_recorded else "is not lading's any more"))
    if recorded is not None and recorded.identity is not None:
        say(f"what {recorded.handler} knows as {recorded.identity} is left as it is")
    for intent in begun:
        if not intent.target.startswith("/"):
            say(f"what the {intent.verb} by {intent.handler} began there is left as it is")


def _left(forgotten: Forgotten) -> list[str]:
    """The files of this host that are still there. Others only their handler can see."""
    recorded = forgotten.association
    targets = [recorded.target] if recorded is not None and recorded.identity is None else []
    for each in forgotten.intents:
        ends = [end for end in (each.target, each.destination) if end and end.startswith("/")]
        targets += [path for end in ends for path in (end, part_path(end))]
    return [path for path in dict.fromkeys(targets) if path.startswith("/") and os.path.lexists(path)]


@click.command(
    short_help="Read targets and compare their digests.", epilog="Example: lading verify /vms/1.img /vms/2.img"
)
@click.argument("targets", type=PATH, nargs=-1, metavar="[TARGET]...")
@click.option("--all", "everything", is_flag=True, help="Verify all recorded targets.")
@command_options
def verify(session: Session, targets: tuple[str, ...], *, everything: bool) -> None:
    """Read each TARGET, compare its digest with the recorded one, and inspect its format again.

    The exit code is 8 when a target has changed or is missing. A guest changes the target that it runs from.
    """
    if everything == bool(targets):
        raise click.UsageError("name the targets, or --all")
    code = Exit.DONE
    for target in _recorded(session) if everything else map(local_target, targets):
        code = max(code, _verify(session, target))
    if code is not Exit.DONE:
        sys.exit(code)


def _recorded(session: Session) -> Iterator[str]:
    associations: Iterable[Association] = session.container.associations().list()
    return (association.target for association in associations)


def _verify(session: Session, target: str) -> Exit:
    outcome = session.container.dispatcher().verify(target)
    if isinstance(outcome, Success):
        association = outcome.unwrap()
        state = "intact" if association.digest else "unverified"
        _report(session, target, state, association, None if association.digest else "no digest of it is known")
        return Exit.DONE
    failure = outcome.failure()
    match failure:
        case StoreUnavailable():
            session.fail(failure)
        case HandlerRefused():
            _report(session, target, failure.state or State.UNKNOWN, None, failure.refusal.reason)
        case _:
            _report(session, target, State.UNKNOWN, None, str(failure))
    return exit_code(failure)


def _report(session: Session, target: str, state: str, association: Association | None, reason: str | None) -> None:
    reason = masked(reason) if reason else None
    digest = str(association.digest) if association and association.digest else None
    if session.json:
        inspected_by = association.inspected_by if association else None
        as_json({"target": target, "state": state, "digest": digest, "inspected_by": inspected_by, "reason": reason})
    else:
        say(f"{target}: {state}{f', {digest}' if digest else ''}{f': {reason}' if reason else ''}")
