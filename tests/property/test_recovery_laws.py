"""Interrupted at any step and recovered, an operation is done or undone, and what is recorded is what is there."""

import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st
from returns.result import Success
from tests.property.shelf_host import (
    HANDLERS,
    HERE,
    IMAGES,
    STEPS,
    TARGETS,
    THERE,
    Deed,
    Host,
    Process,
    content,
    deed,
    deeds,
)

from lading import Association, Dispatcher, FetchRequest, NoHandlerAvailable, TargetUnresolved
from lading.ports.journal import Intent, Verb


@given(st.lists(deeds(), max_size=8))
def test_recovery_leaves_no_open_operation_and_only_recorded_files(
    several: list[Deed],
) -> None:
    host = Host()
    for each in several:
        event(f"{each.verb} {'came to its end' if host.do(each) else 'was cut off'}")
    host.recover()
    host.assert_sound()


@given(st.lists(deeds(), max_size=8))
def test_only_force_touches_a_file_that_is_not_the_noted_one(several: list[Deed]) -> None:
    host = Host()
    for each in several:
        before = host.strangers
        host.do(each)
        if each.verb in {"recover", "verify", "move"} or not each.yes:
            assert before.items() <= host.strangers.items()
    before = host.strangers
    host.recover()
    assert before == host.strangers


def is_recorded(intent: Intent, recorded: list[Association]) -> bool:
    """Whether it is a move that is recorded at its end: it is done, whatever is mounted, and may be settled."""
    return intent.verb is Verb.MOVE and intent.target not in {each.target for each in recorded}


@example([deed("fetch")], deed("move", steps=17), [deed("fetch")])
@given(st.lists(deeds(), max_size=5), deeds(), st.lists(deeds(), max_size=5))
def test_where_nothing_is_mounted_nothing_is_settled_or_forgotten(
    before: list[Deed], cut: Deed, while_unmounted: list[Deed]
) -> None:
    host = Host()
    for each in (*before, cut):
        host.do(each)
    recorded, files = list(host.associations.list()), dict(host.disk.files)
    noted = [each for each in host.journal.list() if each.notes and not is_recorded(each, recorded)]
    host.disk.is_mounted = False
    for each in while_unmounted:
        if each.verb != "stranger":
            host.do(each)
    left = list(host.journal.list())
    assert all(each in left for each in noted)
    assert list(host.associations.list()) == recorded
    assert host.disk.files == files
    host.disk.is_mounted = True
    host.recover()
    host.assert_sound()


@given(st.lists(deeds(), max_size=5), deeds(), deeds())
def test_nothing_begins_over_an_unresolved_intent(before: list[Deed], cut: Deed, then: Deed) -> None:
    """The interrupted operation's handler is not loaded any more."""
    host = Host()
    for each in before:
        host.do(each)
    host.recover()
    host.do(cut)
    left = [each for each in host.journal.list() if each.handler == "near" and each.verb is not Verb.REMOVE]
    is_over = any(
        {each.target, each.destination} & {then.target, then.other if then.verb == "move" else then.target}
        for each in left
    )
    if not is_over or then.verb in {"verify", "stranger"}:
        return
    event(f"{then.verb} over the {left[0].verb} that was interrupted")
    before_it = host.all_there_is
    host.do(then._replace(steps=None), loaded=["far"])
    assert host.all_there_is == before_it
    host.recover()
    host.assert_sound()


def ending(dispatcher: Dispatcher, request: FetchRequest) -> object:
    """The handler that a fetch ends with, or its failure."""
    try:
        return dispatcher.fetch_or_raise(request).handler
    except (NoHandlerAvailable, TargetUnresolved) as failure:
        return type(failure), failure.args[:1] if isinstance(failure, TargetUnresolved) else ()


def previewed_ending(dispatcher: Dispatcher, request: FetchRequest) -> object:
    """The handler that a preview says a fetch ends with, or the failure."""
    try:
        previews = dispatcher.preview(request)
    except TargetUnresolved as failure:
        return TargetUnresolved, failure.args[:1]
    return next((each.handler for each in previews if each.would), (NoHandlerAvailable, ()))


@given(st.lists(deeds(), max_size=5), deeds(), st.sets(st.sampled_from(HANDLERS)), st.booleans())
def test_rule_9_a_preview_ends_as_the_fetch_ends_after_any_interrupt(
    before: list[Deed], then: Deed, loaded: set[str], is_mounted: bool
) -> None:
    host, unpreviewed = Host(), Host()
    for each in (host, unpreviewed):
        for some in before:
            each.do(some)
        each.disk.is_mounted = is_mounted
    request = FetchRequest(then.image.id, then.target, force=then.yes)
    previewed = previewed_ending(host.dispatcher(Process(None), then.broken, sorted(loaded)), request)
    fetched = ending(host.dispatcher(Process(None), then.broken, sorted(loaded)), request)
    event(f"it ends in {fetched}")
    assert previewed == fetched
    assert fetched == ending(unpreviewed.dispatcher(Process(None), then.broken, sorted(loaded)), request)
    assert host.disk.files == unpreviewed.disk.files


@given(st.lists(deeds(), max_size=6), st.sampled_from(TARGETS))
def test_an_operation_that_is_given_up_is_settled(several: list[Deed], target: str) -> None:
    host = Host()
    for each in several:
        host.do(each)
    list(host.dispatcher(Process(None), loaded=[]).recover(target, keep=False, give_up=True))
    assert not [each for each in host.journal.list() if target in {each.target, each.destination}]


@given(st.lists(deeds(), max_size=6), st.sampled_from(TARGETS))
def test_a_forgotten_target_is_unknown_and_not_touched(several: list[Deed], target: str) -> None:
    host = Host()
    for each in several:
        host.do(each)
    files, parts = dict(host.disk.files), dict(host.disk.parts)
    host.dispatcher(Process(None), loaded=[]).forget(target)
    assert (host.disk.files, host.disk.parts) == (files, parts)
    assert host.associations.get(target) == Success(None)
    assert not [each for each in host.journal.list() if target in {each.target, each.destination}]


@pytest.mark.parametrize("yes", [False, True], ids=["unforced", "forced"])
def test_with_nothing_recorded_a_removal_is_finished(*, yes: bool) -> None:
    """Whatever came to its place after it was forgotten stays."""
    ends = set()
    for steps in range(STEPS):
        host = Host()
        host.do(deed("fetch"))
        ends.add(host.do(deed("remove", yes=yes, steps=steps)))
        if host.associations.get(HERE) == Success(None):
            host.do(deed("stranger"))
            precious = host.strangers
            host.recover()
            assert host.strangers == precious != {}
            host.assert_sound()
    assert ends == {False, True}


BEFORE = {
    "nothing": [],
    "something kept": [deed("fetch", "near", "far")],
    "the image": [deed("fetch")],
    "the other image": [deed("fetch", image=IMAGES[1])],
    "both ends": [deed("fetch"), deed("fetch")._replace(target=THERE)],
}


@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE)
@pytest.mark.parametrize("broken", [[], ["near"], ["near", "far"]], ids=["sound", "one broken", "all broken"])
@pytest.mark.parametrize("yes", [False, True], ids=["unforced", "forced"])
@pytest.mark.parametrize("verb", ["fetch", "move", "remove", "verify", "recover"])
def test_recovery_makes_sound_what_was_interrupted_at_any_step(
    before: list[Deed], broken: list[str], verb: str, *, yes: bool
) -> None:
    """At each step of it, from the first to the last."""
    for steps in range(STEPS):
        host = Host()
        for each in before:
            host.do(each)
        came_to_its_end = host.do(deed(verb, *broken, yes=yes, steps=steps))
        host.recover()
        host.assert_sound()
        if came_to_its_end:
            return
    raise AssertionError(f"it takes more than {STEPS} steps")


@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE)
@pytest.mark.parametrize("then", ["fetch", "move", "remove", "verify"])
@pytest.mark.parametrize("verb", ["fetch", "move", "remove"])
def test_recovery_makes_sound_what_followed_an_interrupted_operation(before: list[Deed], verb: str, then: str) -> None:
    for steps in range(STEPS):
        ends = set()
        for here, there in ((HERE, THERE), (THERE, HERE)):
            host = Host()
            for each in before:
                host.do(each)
            ends.add(host.do(deed(verb, steps=steps)))
            host.do(deed(then)._replace(target=here, other=there))
            host.recover()
            host.assert_sound()
        if ends == {True}:
            return
    raise AssertionError(f"it takes more than {STEPS} steps")


@given(st.lists(deeds(), max_size=5), st.lists(st.integers(0, STEPS), max_size=5))
def test_recovery_may_be_interrupted_and_repeated(several: list[Deed], ends: list[int]) -> None:
    host = Host()
    for each in several:
        host.do(each)
    for steps in ends:
        host.do(deed("recover", steps=steps))
    host.recover()
    host.assert_sound()


@given(st.lists(deeds(), max_size=5), st.integers(0, STEPS))
def test_a_fetch_resumes_what_an_interrupted_one_brought(before: list[Deed], steps: int) -> None:
    host = Host()
    for each in before:
        host.do(each)
    came_to_its_end = host.do(deed("fetch", steps=steps))
    had_come = 5 if host.disk.parts.get(HERE) == content(IMAGES[0])[:5] else 0
    outcome = host.dispatcher(Process(None), frozenset()).fetch(FetchRequest("a", HERE))
    if isinstance(outcome, Success) and not outcome.unwrap().landing.present and not came_to_its_end:
        assert outcome.unwrap().landing.resumed == had_come


@given(st.lists(deeds(), max_size=6))
def test_recovery_does_not_undo_what_came_to_its_end(several: list[Deed]) -> None:
    host = Host()
    for each in several:
        host.do(each._replace(steps=None))
    files, recorded = dict(host.disk.files), list(host.associations.list())
    host.recover()
    assert (host.disk.files, list(host.associations.list())) == (files, recorded)
