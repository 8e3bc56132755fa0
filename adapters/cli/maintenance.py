"""`lading recover`, `lading forget` and `lading verify`: interrupted operations, and targets that changed."""

import os
import shlex
import sys
from collections.abc import Iterable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from returns.result import Success

from lading.adapters.cli.arguments import PATH, local_target, path_hint
from lading.adapters.cli.command import command
from lading.adapters.cli.completions import complete_targets
from lading.adapters.cli.exits import Exit, exit_code
from lading.adapters.cli.handovers import Handover
from lading.adapters.cli.masking import masked
from lading.adapters.cli.messages import cut_digests
from lading.adapters.cli.output import as_json, say
from lading.adapters.cli.progress import image_title, progress_bar, progress_option
from lading.adapters.cli.session import Session, command_options
from lading.adapters.cli.verifications import Verified, verify_each
from lading.adapters.codec.sizes import size_text
from lading.adapters.destinations.file.partial import noted_part
from lading.domain.dispatcher import Dispatcher
from lading.domain.failures import HandlerRefused, NotAssociated
from lading.domain.recovery import Outcome, Recovered
from lading.domain.targets import Forgotten
from lading.ports.association import Association, State
from lading.ports.failures import StoreUnavailable
from lading.ports.observer import Observer

if TYPE_CHECKING:
    from lading.adapters.config.settings import AssociationsSettings

__all__ = ["forget", "recover", "verify"]


@command(
    examples=[
        ("lading recover", "Finishes, resumes or rolls back what was interrupted, and prints each outcome."),
        ("lading recover --discard", "Removes partial downloads; it does not resume them."),
        ("lading recover --discard rbd:vms/1", "Gives up the operation on this target, which cannot be resolved."),
    ]
)
@click.argument("target", type=PATH, required=False, shell_complete=complete_targets)
@click.option(
    "--discard", is_flag=True, help="Remove partial downloads; do not resume them. With TARGET: give up what remains."
)
@click.option(
    "--rebuild",
    is_flag=True,
    help="Rebuild a damaged or lost database from what can be verified. A damaged one is kept aside.",
)
@progress_option
@command_options
def recover(session: Session, target: str | None, *, discard: bool, rebuild: bool) -> None:
    """Recover interrupted fetches, removals and moves, for example after a crash.

    With TARGET, only the operation from or to that target. A finished operation is recorded, a fetch is resumed, and
    the others are rolled back.

    With TARGET and --discard, an operation that cannot be resolved is given up: it is no longer pending, and the data
    that it may have left stays where it is.

    With [associations] offline = "queue", changes that were made while etcd was away are handed over. The command
    prints what is handed over, what is pending, and where others had changed the same target: that stays, and is
    printed again until it is acknowledged with TARGET and --discard.
    """
    session.recovers = False  # this command recovers them itself, and prints each outcome
    if rebuild:
        if target is not None:
            raise click.UsageError("--rebuild takes no target")
        _rebuild(session)
        return
    place = None if target is None else local_target(target)
    handover = Handover(session, place)
    handover.make()
    dispatcher = session.container.dispatcher()
    outcomes: list[Recovered] = []
    for found in dispatcher.recover(place, keep=not discard, give_up=discard and place is not None):
        outcomes.append(_resume(dispatcher, found) if found.can_resume else found)
        _print_outcome(session, outcomes[-1])
    if discard and place is not None:
        handover.acknowledge(place)
    handover.print_open()
    if place is not None and not outcomes and not handover.has_printed and not session.json:
        say(f"nothing to recover for {place}")
    if handover.is_open or any(each.is_open for each in outcomes):
        sys.exit(Exit.FAILED)


def _rebuild(session: Session) -> None:
    from lading.adapters.sqlite.rebuild import rebuild  # noqa: PLC0415 - seldom needed

    path = _database(session.container.settings().associations)
    if path is None:
        session.fail(StoreUnavailable('only the database of [associations] kind = "file" can be rebuilt'))
    done = session.value(rebuild(path, session.container.dispatcher().proven))
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
        say(f"{done.damaged} entries of the record are damaged and cannot be read")
    targets = "1 target is" if len(done.kept) == 1 else f"{len(done.kept)} targets are"
    say(f"{targets} recorded again; the earlier database is kept as {done.aside}")


def _database(settings: "AssociationsSettings") -> Path | None:
    """The database of this host's associations; None: they are not in one."""
    # `--help` does without them.
    from lading.adapters.config.settings import FileAssociationsSettings  # noqa: PLC0415
    from lading.adapters.etcd.settings import EtcdAssociationsSettings  # noqa: PLC0415

    match settings:
        case FileAssociationsSettings():
            return settings.path
        case EtcdAssociationsSettings(offline="queue"):
            return settings.copy
    return None


def _resume(dispatcher: Dispatcher, kept: Recovered) -> Recovered:
    image = kept.intent.image
    with progress_bar(image_title(image.id) if image else kept.intent.target) as observer:
        return dispatcher.resume(kept, observer)


def _print_outcome(session: Session, found: Recovered) -> None:
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
    kept = f", from {size_text(found.kept)} of partial data" if found.kept else ""
    reason = f": {masked(found.reason)}" if found.reason else ""
    if found.outcome is Outcome.UNRESOLVED:
        reason += f"; to give it up: lading recover --discard {shlex.quote(intent.target)}"
    if found.outcome is Outcome.INCOMPLETE:
        reason += f"; repeat the fetch, or end it: lading forget {shlex.quote(intent.target)}"
    text = f"{intent.target}: {intent.verb}{where} by {intent.handler} is {found.outcome}{kept}{reason}"
    session.say(text, is_problem=found.is_open)


@command(
    examples=[
        ("lading forget /vms/1.img", "Removes the record; the file stays."),
        ("lading forget rbd:vms/1 --json", "Prints what stays as a JSON object."),
    ]
)
@click.argument("target", type=PATH, shell_complete=complete_targets)
@command_options
def forget(session: Session, target: str) -> None:
    """Remove the record of TARGET and of its interrupted operations, but not the target itself.

    Use it when lading can no longer act on the target: its disk or its handler is gone, for example. The command prints
    what stays. To remove a target with its record: lading rm.
    """
    session.recovers = False  # the target stays as it is
    target = local_target(target)
    forgotten = session.value(session.container.dispatcher().forget(target))
    recorded, begun = forgotten.association, forgotten.intents
    left = _remaining_files(forgotten)
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
        # The other end of a move may be recorded. That record stays.
        is_recorded = session.value(session.container.associations().get(each)) is not None
        say(f"{each} still exists, and is " + ("still recorded" if is_recorded else "no longer recorded"))
    if recorded is not None and recorded.identity is not None:
        say(f"{recorded.identity} of {recorded.handler} still exists")
    for intent in begun:
        if not intent.target.startswith("/"):
            say(f"data of the interrupted {intent.verb} by {intent.handler} may still exist")


def _remaining_files(forgotten: Forgotten) -> list[str]:
    """The target's files on this host that still exist. Only the handler can see what is in its storage."""
    recorded = forgotten.association
    targets = [recorded.target] if recorded is not None and recorded.identity is None else []
    for each in forgotten.intents:
        ends = [end for end in (each.target, each.destination) if end and end.startswith("/")]
        targets += [path for end in ends for path in (end, noted_part(end, each.notes))]
    return [path for path in dict.fromkeys(targets) if path.startswith("/") and os.path.lexists(path)]


@command(
    examples=[
        ("lading verify /vms/1.img /vms/2.img", "Reads both, and prints whether each is intact."),
        ("lading verify --all --quiet", "Reads all recorded targets; the exit code is 8 when one has changed."),
    ]
)
@click.argument("targets", type=PATH, nargs=-1, shell_complete=complete_targets, metavar="[TARGET]...")
@click.option("--all", "everything", is_flag=True, help="Verify all recorded targets.")
@command_options
def verify(session: Session, targets: tuple[str, ...], *, everything: bool) -> None:
    """Read each TARGET, compare its digest with the recorded one, and inspect its format again.

    Several targets are read at the same time, as many as this host has cores, and printed in order.
    The exit code is 8 when a target has changed or is missing. A guest changes the target that it runs from.
    """
    if everything == bool(targets):
        raise click.UsageError("name the targets, or --all")
    names = _recorded(session) if everything else [local_target(each) for each in targets]
    dispatcher = session.container.dispatcher()
    code = Exit.DONE
    with closing(verify_each(partial(_verify, dispatcher), names)) as outcomes:
        for target, outcome in outcomes:
            code = max(code, _print_verified(session, target, outcome))
    if code is not Exit.DONE:
        sys.exit(code)


def _recorded(session: Session) -> list[str]:
    associations: Iterable[Association] = session.container.associations().list()
    return [association.target for association in associations]


def _verify(dispatcher: Dispatcher, target: str, observer: Observer) -> Verified:
    return dispatcher.verify(target, observer=observer)


def _print_verified(session: Session, target: str, outcome: Verified) -> Exit:
    if isinstance(outcome, Success):
        association = outcome.unwrap()
        state = "intact" if association.digest else "unverified"
        _print_state(session, target, state, association, None if association.digest else "no digest of it is known")
        return Exit.DONE
    failure = outcome.failure()
    match failure:
        case StoreUnavailable():
            session.fail(failure)
        case HandlerRefused():
            _print_state(session, target, failure.state or State.UNKNOWN, None, str(failure.refusal))
        case NotAssociated():
            reason = "; ".join(filter(None, (str(failure), path_hint(target))))
            _print_state(session, target, State.UNKNOWN, None, reason)
        case _:
            _print_state(session, target, State.UNKNOWN, None, str(failure))
    return exit_code(failure)


def _print_state(
    session: Session, target: str, state: str, association: Association | None, reason: str | None
) -> None:
    reason = masked(reason) if reason else None
    digest = str(association.digest) if association and association.digest else None
    if session.json:
        inspected_by = association.inspected_by if association else None
        as_json({"target": target, "state": state, "digest": digest, "inspected_by": inspected_by, "reason": reason})
    else:
        text = f"{state}{f', {digest}' if digest else ''}{f': {reason}' if reason else ''}"
        session.say(f"{target}: {text if session.full else cut_digests(text)}", is_problem=association is None)
