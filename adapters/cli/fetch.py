"""`lading fetch` and `lading explain`."""

import sys
import time

import click
from returns.result import Failure, Result, Success

from lading.adapters.cli.arguments import PATH, SIZE, complete_images, in_use_option, local_target
from lading.adapters.cli.exits import exit_code
from lading.adapters.cli.masking import masked
from lading.adapters.cli.output import as_json, attempt_records, say, size_text, verified_text
from lading.adapters.cli.progress import watching
from lading.adapters.cli.session import Session, command_options
from lading.domain.asking import ask, out_of_reach
from lading.domain.attempts import Attempt, FetchRequest, Staged
from lading.domain.cost import cost_of
from lading.domain.failures import NoHandlerAvailable, Tried
from lading.domain.handler import Foresighted
from lading.domain.refusals import Refusal, Scope

__all__ = ["explain", "fetch"]


@click.command(short_help="Bring an image to a target.")
@click.argument("image", shell_complete=complete_images)
@click.argument("target", type=PATH)
@click.option("--force", is_flag=True, help="Replace what is at the target.")
@in_use_option("With --force: replace it even when another program has it locked, as a guest has its disk.")
@click.option("--size", type=SIZE, help="Make the target that large (20G, say), by a handler that can: rbd, cinder.")
@command_options
def fetch(session: Session, image: str, target: str, *, force: bool, even_if_in_use: bool, size: int | None) -> None:
    """Bring IMAGE (an id or a name) to TARGET by the cheapest handler that can."""
    target = local_target(target)
    started = time.monotonic()
    dispatcher = session.container.dispatcher()
    with watching(image) as observer:
        outcome = dispatcher.fetch(
            FetchRequest(image, target, force=force, even_if_in_use=even_if_in_use, observer=observer, size=size)
        )
    staged = session.value(outcome)
    seconds = time.monotonic() - started
    if session.json:
        as_json(_staged_record(staged, seconds))
    else:
        _tell(staged, seconds)


def _staged_record(staged: Staged, seconds: float) -> dict[str, object]:
    landing = staged.landing
    return {
        "image": staged.image.id if staged.image else None,
        "target": staged.target,
        "handler": staged.handler,
        "location": str(staged.location) if staged.location else None,
        "method": landing.method,
        "present": landing.present,
        "size": landing.size,
        "digest": str(landing.digest) if landing.digest else None,
        "verified": landing.verified,
        "resumed": landing.resumed,
        "seconds": round(seconds, 3),
        "attempts": attempt_records(staged.attempts),
    }


def _tell(staged: Staged, seconds: float) -> None:
    landing = staged.landing
    source = f" from {staged.location}" if staged.location else ""
    if landing.present:
        say(f"{staged.target} is there already: {_named(staged)}, as {staged.handler} put it there{source}")
        return
    resumed = f", {size_text(landing.resumed)} of it there already" if landing.resumed else ""
    how = f"{staged.handler} ({landing.method})" if landing.method not in {None, staged.handler} else staged.handler
    told = f"{size_text(landing.size)} by {how}{source}{resumed}, {verified_text(landing)}, {seconds:.1f} s"
    say(f"{staged.target}: {told}")


def _named(staged: Staged) -> str:
    image = staged.image
    return f"{image.id} {image.name or ''}".rstrip() if image else "no image that has a name"


@click.command(short_help="Show what fetch would try, and why.")
@click.argument("image", shell_complete=complete_images)
@click.argument("target", type=PATH)
@click.option("--force", is_flag=True, help="As if fetch were told to replace what is at the target.")
@in_use_option("As if fetch were told to replace even what another program has locked.")
@click.option("--size", type=SIZE, help="As if fetch were told to make the target that large.")
@command_options
def explain(session: Session, image: str, target: str, *, force: bool, even_if_in_use: bool, size: int | None) -> None:
    """Show the attempts that fetching IMAGE to TARGET would make, in order, and why each would or would not do.

    Touches nothing. Exits as fetch would when none would do.
    """
    target = local_target(target)
    plan = session.container.dispatcher().plan(
        FetchRequest(image, target, force=force, even_if_in_use=even_if_in_use, size=size)
    )
    foreseen = _foresee(plan)
    chosen = next((attempt for attempt, outlook in foreseen if isinstance(outlook, Success)), None)
    if session.json:
        as_json(
            {
                "image": image,
                "target": target,
                "handler": chosen.handler.name if chosen else None,
                "location": str(chosen.location) if chosen and chosen.location else None,
                "attempts": [_outlook_record(attempt, outlook) for attempt, outlook in foreseen],
            }
        )
    else:
        _draw(f"{image} → {target}", foreseen, chosen)
    if chosen is None:
        refused = tuple(Tried(each.handler.name, each.location, outlook.failure()) for each, outlook in foreseen)
        sys.exit(exit_code(NoHandlerAvailable(image, target, refused)))


_Outlook = Result[str, Refusal]


def _foresee(plan: tuple[Attempt, ...]) -> list[tuple[Attempt, _Outlook]]:
    """The plan with what each attempt would come to, as far as the handlers can tell, until the end of the search."""
    foreseen: list[tuple[Attempt, _Outlook]] = []
    ruled_out: set[str] = set()
    for attempt in plan:
        if attempt.handler.name in ruled_out:
            continue
        outlook = _outlook(attempt)
        foreseen.append((attempt, outlook))
        if isinstance(outlook, Failure):
            scope = outlook.failure().scope
            if scope is Scope.HANDLER:
                ruled_out.add(attempt.handler.name)
            elif scope is Scope.REQUEST:
                break
    return foreseen


def _outlook(attempt: Attempt) -> _Outlook:
    if (why_not := out_of_reach(attempt.handler, attempt.work)) is not None:
        return Failure(why_not)
    if not isinstance(attempt.handler, Foresighted):
        return Success("would be tried; this handler can't tell beforehand")
    return ask(attempt.handler, attempt.work, str, attempt.handler.foresee, attempt.work)


def _outlook_record(attempt: Attempt, outlook: _Outlook) -> dict[str, object]:
    return {
        "handler": attempt.handler.name,
        "location": str(attempt.location) if attempt.location else None,
        "cost": cost_of(attempt.handler, attempt.work.target),
        "would": isinstance(outlook, Success),
        "reason": _words(outlook),
    }


def _words(outlook: _Outlook) -> str:
    return masked(outlook.failure().reason if isinstance(outlook, Failure) else outlook.unwrap())


def _draw(title: str, foreseen: list[tuple[Attempt, _Outlook]], chosen: Attempt | None) -> None:
    say(title)
    for position, (attempt, outlook) in enumerate(foreseen):
        branch, trunk = ("└─", "  ") if position == len(foreseen) - 1 else ("├─", "│ ")
        mark = "✓" if isinstance(outlook, Success) else "✗"
        where = f" {attempt.location}" if attempt.location else ""
        say(f"{branch} {mark} {attempt.handler.name}{where}{'  ← this one' if attempt is chosen else ''}")
        cost = cost_of(attempt.handler, attempt.work.target)
        say(f"{trunk}    {f'[{cost}] ' if cost else ''}{_words(outlook)}", dim=True)
    if not foreseen:
        say("└─ no handler takes any of its locations, and none goes without")
