"""The order is a law: each of its rules, over generated cases, against the plain model."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import reference
from tests.reference import NOWHERE, Case, Event, RecordingCatalog, RecordingStore, ScriptedHandler, Spec, World
from tests.strategies import (
    IMAGE,
    TARGET,
    answers,
    blanks,
    cases,
    configured_names,
    fates,
    known_cases,
    landings,
    led_cases,
    location_refusals,
    locations,
    paddings,
    recordings,
    scheme_sets,
    spellings,
)

from lading import Association, Dispatcher, FetchRequest, Handler, Image, Location, Refusal, Unconfigured
from lading.domain.loading import Loaded, load_handlers
from lading.domain.matcher import matching


def fetched(events: list[Event]) -> list[tuple[str, ...]]:
    return [event[1:] for event in events if event[0] == "fetch"]


def with_locations(urls: list[str]) -> Image:
    return replace(IMAGE, locations=[Location(url) for url in urls])


def deeds(case: Case) -> set[str]:
    return {event[0] for event in World(case).course().events}


def first_turns(case: Case) -> list[str]:
    """The handlers of a case, each once, by their first turn."""
    return list(dict.fromkeys(handler for handler, _ in fetched(reference.steps(case))))


# Everything at once.


@given(cases())
def test_a_fetch_goes_as_the_model_says_deed_by_deed(case: Case) -> None:
    assert World(case).course() == reference.course(case)


@given(cases(image_id=st.just(IMAGE.id) | st.none()))
def test_the_plan_is_the_models_order(case: Case) -> None:
    assert World(case).plan() == fetched(reference.steps(case))


@given(st.data(), cases())
def test_nothing_happens_before_its_turn(data: st.DataObject, case: Case) -> None:
    world, steps = World(case), reference.steps(case)
    turns = data.draw(st.integers(0, len(fetched(steps))))
    list(islice(world.dispatcher.attempts(world.request), turns))
    assert world.told() == reference.asked_before(turns, steps)


@given(cases())
def test_asking_for_the_attempts_does_nothing_yet(case: Case) -> None:
    world = World(case)
    world.dispatcher.attempts(world.request)
    assert world.events == []


# 1. An associated handler goes first; when it handles, the catalog is never asked.


@given(led_cases())
def test_rule_1_an_associated_handler_goes_first_with_its_recorded_location(case: Case) -> None:
    assert fetched(World(case).course().events)[0] == reference.led_by(case)


@given(led_cases(answers=st.tuples(landings())))
def test_rule_1_when_the_associated_handler_handles_the_catalog_is_never_asked(case: Case) -> None:
    assert "ask" not in deeds(case)


@given(led_cases(answers=st.tuples(location_refusals())))
def test_rule_1_when_the_associated_handler_refuses_the_whole_ordinary_order_follows(case: Case) -> None:
    assert fetched(World(case).course().events)[1:] == reference.pairs(case) + reference.independent(case)


# 2. Handlers go in configured order; within a handler, locations go in the catalog's order.


@given(known_cases())
def test_rule_2_handlers_go_in_configured_order_and_their_locations_in_the_catalogs(case: Case) -> None:
    assert World(case).plan() == reference.pairs(case) + reference.independent(case)


# 3. A handler with no schemes matches every location in its turn, and gets one more turn with None at the end.


@given(st.lists(locations()))
def test_rule_3_no_schemes_match_every_location(places: list[Location]) -> None:
    assert matching(places, frozenset()) == places


@given(known_cases())
def test_rule_3_each_independent_handler_has_one_more_turn_after_every_located_attempt(case: Case) -> None:
    plan, last = World(case).plan(), reference.independent(case)
    assert plan[len(plan) - len(last) :] == last
    assert NOWHERE not in [url for _, url in plan[: len(plan) - len(last)]]


# 4. `schemes is None` matches nothing. No locations match nothing. Schemes are compared case-insensitively.


@given(st.lists(locations()))
def test_rule_4_schemes_of_none_match_nothing(places: list[Location]) -> None:
    assert matching(places, None) == []


@given(scheme_sets())
def test_rule_4_no_locations_match_nothing(schemes: frozenset[str] | None) -> None:
    assert matching([], schemes) == []


@given(st.lists(locations()), scheme_sets())
def test_rule_4_a_location_is_matched_by_its_scheme(places: list[Location], schemes: frozenset[str] | None) -> None:
    taken = [each for each in places if reference.takes(Spec("any", schemes), each.url)]
    assert matching(places, schemes) == taken


@given(st.data(), known_cases())
def test_rule_4_a_schemes_spelling_is_all_the_same(data: st.DataObject, case: Case) -> None:
    respelt = [data.draw(spellings(each.scheme)) + each.url[len(each.scheme) :] for each in case.image.locations]
    plan = World(replace(case, image=with_locations(respelt))).plan()
    assert [handler for handler, _ in plan] == [handler for handler, _ in World(case).plan()]


# 5. The target is stripped. A blank or missing target is never looked up and never associated.


@given(st.data(), cases(target=st.just(TARGET)))
def test_rule_5_white_space_around_the_target_changes_nothing(data: st.DataObject, case: Case) -> None:
    assert World(replace(case, target=data.draw(paddings(TARGET)))).course() == World(case).course()


@given(cases(target=blanks()))
def test_rule_5_a_blank_target_is_neither_looked_up_nor_associated(case: Case) -> None:
    assert deeds(case).isdisjoint({"recall", "record"})


# 6. With no image id, the catalog is not asked; only the association and location-independent handlers are tried.


@given(cases(image_id=blanks() | st.none()))
def test_rule_6_with_no_image_id_the_catalog_is_not_asked(case: Case) -> None:
    assert "ask" not in deeds(case)


@given(cases(image_id=blanks() | st.none(), recorded=st.none()))
def test_rule_6_with_no_image_id_only_independent_handlers_are_tried(case: Case) -> None:
    assert World(case).plan() == reference.independent(case)


# 7. The first attempt that handles ends it. When none does: NoHandlerAvailable(image_id, target, attempts).


@given(known_cases())
def test_rule_7_the_first_attempt_that_handles_is_the_last_that_is_made(case: Case) -> None:
    course = World(case).course()
    assert len(fetched(course.events)) == len(course.tried)
    assert None not in [refusal for _, _, refusal in course.tried[:-1]]


@given(cases())
def test_rule_7_every_attempt_is_told_in_order_with_its_reason(case: Case) -> None:
    assert World(case).course().tried == reference.course(case).tried


# 8. A refusal rules out its location, its handler, or the request.


@given(known_cases(), location_refusals())
def test_rule_8_a_refusal_of_the_location_rules_out_nothing_else(case: Case, refusal: Refusal) -> None:
    refused = replace(case, answers=(refusal,) * 100)
    assert fetched(World(refused).course().events) == World(case).plan()


@given(led_cases() | known_cases())
def test_rule_8_a_refusal_of_the_handler_rules_out_the_rest_of_its_turns_also_the_last(case: Case) -> None:
    refused = replace(case, answers=(Unconfigured("no"),) * 100)
    assert [handler for handler, _ in fetched(World(refused).course().events)] == first_turns(case)


@given(known_cases() | led_cases())
def test_rule_8_a_refusal_of_the_request_is_the_last_word(case: Case) -> None:
    course = World(case).course()
    scopes = [refusal.scope for _, _, refusal in course.tried if refusal]
    assert "request" not in scopes[:-1]
    assert course.end == "no handler" or "request" not in scopes


@given(led_cases(answers=answers(location_refusals())))
def test_rule_8_with_only_location_refusals_the_order_is_exactly_the_origins(case: Case) -> None:
    assert fetched(World(case).course().events) == reference.origin(case)


@given(known_cases(answers=answers(location_refusals())))
def test_rule_8_so_it_is_without_an_association(case: Case) -> None:
    assert fetched(World(case).course().events) == reference.origin(case)


# 9. A preview is the same walk as a fetch.


@given(cases() | led_cases())
def test_rule_9_a_preview_tries_what_a_fetch_tries_and_ends_as_it_ends(case: Case) -> None:
    previewed, fetched = World(case).preview(), World(case).course()
    assert (previewed.tried, previewed.end) == (fetched.tried, fetched.end)


@given(cases() | led_cases())
def test_rule_9_a_preview_does_nothing(case: Case) -> None:
    assert {event[0] for event in World(case).preview().events} <= {"recall", "ask", "preview"}


# Loading handlers from configured names.


class Workshop(Mapping[str, Callable[[], Handler]]):
    """What is available, and what was built of it; some of it can't be."""

    def __init__(self, fates: Mapping[str, bool]) -> None:
        self._fates = fates
        self.built: list[str] = []

    def __getitem__(self, name: str) -> Callable[[], Handler]:
        return lambda: self._build(name, fine=self._fates[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._fates)

    def __len__(self) -> int:
        return len(self._fates)

    def _build(self, name: str, *, fine: bool) -> Handler:
        if not fine:
            raise ImportError(f"no module for {name}")
        self.built.append(name)
        return ScriptedHandler(Spec(name, None), [], iter(()))


class Lines(logging.Handler):
    """Keeps what is warned of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextmanager
def warned() -> Iterator[list[str]]:
    handler, logger = Lines(), logging.getLogger("lading.domain")
    logger.addHandler(handler)
    yield handler.lines
    logger.removeHandler(handler)


def names_of(loaded: Loaded) -> tuple[list[str], list[str]]:
    return [handler.name for handler in loaded.handlers], [skipped.name for skipped in loaded.skipped]


@given(configured_names(), fates())
def test_loading_keeps_the_order_and_skips_duplicates_unknown_names_and_failures(
    names: list[str], fates: dict[str, bool]
) -> None:
    assert names_of(load_handlers(names, Workshop(fates))) == reference.loaded(names, fates)


@given(configured_names(), fates())
def test_loading_skips_blanks_and_strips_names(names: list[str], fates: dict[str, bool]) -> None:
    tidy = [name.strip() for name in names if name.strip()]
    assert names_of(load_handlers(names, Workshop(fates))) == names_of(load_handlers(tidy, Workshop(fates)))


@given(configured_names(), fates())
def test_loading_warns_once_for_each_skipped_name_and_names_it(names: list[str], fates: dict[str, bool]) -> None:
    with warned() as lines:
        loaded = load_handlers(names, Workshop(fates))
    assert lines == [f"handler {each.name} is skipped: {each.reason}" for each in loaded.skipped]


@given(configured_names(), fates())
def test_loading_builds_each_handler_once(names: list[str], fates: dict[str, bool]) -> None:
    workshop = Workshop(fates)
    assert [handler.name for handler in load_handlers(names, workshop).handlers] == workshop.built


class PreparedHandler(ScriptedHandler):
    """Writes down what it is offered; not every one bears it."""

    def __init__(self, name: str, offered: list[tuple[str, list[str]]], *, fine: bool) -> None:
        super().__init__(Spec(name, None), [], iter(()))
        self._offered = offered
        self._fine = fine

    def prepare(self, associations: Iterable[Association]) -> None:
        self._offered.append((self.name, [association.target for association in associations]))
        if not self._fine:
            raise OSError("no device")


# Preparing handlers.


def dispatcher_of(handlers: Iterable[Handler], store: RecordingStore) -> Dispatcher:
    return Dispatcher(handlers, RecordingCatalog([IMAGE], []), store)


QUIET: dict[str, Callable[[Dispatcher], object]] = {
    "plan": lambda dispatcher: dispatcher.plan(FetchRequest(IMAGE.id, TARGET)),
    "preview": lambda dispatcher: dispatcher.preview(FetchRequest(IMAGE.id, TARGET)),
    "report": lambda dispatcher: dispatcher.report(TARGET),
    "forget": lambda dispatcher: dispatcher.forget("/vms/9/disk"),
    "recover nothing": lambda dispatcher: list(dispatcher.recover()),
}
WORKING: dict[str, Callable[[Dispatcher], object]] = {
    "prepare": lambda dispatcher: dispatcher.prepare(),
    "fetch": lambda dispatcher: dispatcher.fetch(FetchRequest(IMAGE.id, TARGET)),
    "remove": lambda dispatcher: dispatcher.remove(TARGET),
    "move": lambda dispatcher: dispatcher.move(TARGET, "/vms/2/disk"),
    "verify": lambda dispatcher: dispatcher.verify(TARGET),
}


@given(st.lists(st.sampled_from([*QUIET, *WORKING])), st.lists(recordings()))
def test_handlers_are_prepared_once_by_the_first_operation_that_may_call_one(
    operations: list[str], recorded: list[Association]
) -> None:
    offered: list[tuple[str, list[str]]] = []
    dispatcher = dispatcher_of([PreparedHandler("a", offered, fine=True)], RecordingStore(recorded, []))
    for position, operation in enumerate(operations):
        {**QUIET, **WORKING}[operation](dispatcher)
        assert len(offered) == any(each in WORKING for each in operations[: position + 1])


@given(st.dictionaries(st.sampled_from("abc"), st.booleans()), st.lists(recordings()))
def test_each_handler_is_offered_its_own_associations_once(fates: dict[str, bool], recorded: list[Association]) -> None:
    store, offered = RecordingStore(recorded, []), list[tuple[str, list[str]]]()
    with warned():
        dispatcher_of([PreparedHandler(name, offered, fine=fates[name]) for name in fates], store).prepare()
    assert offered == [(name, [each.target for each in store.list(handler=name)]) for name in fates]


@given(st.dictionaries(st.sampled_from("abc"), st.booleans()))
def test_a_handler_that_raises_when_prepared_is_a_warning_that_names_it(fates: dict[str, bool]) -> None:
    with warned() as lines:
        dispatcher_of([PreparedHandler(name, [], fine=fates[name]) for name in fates], RecordingStore([], [])).prepare()
    assert lines == [
        f"handler {name} could not be prepared: raised OSError; the debug log has more"
        for name in fates
        if not fates[name]
    ]


# The same laws as examples.

RBD, HTTP, ANY, NONE = frozenset({"rbd"}), frozenset({"http", "https"}), frozenset[str](), None


@pytest.mark.parametrize(
    ("schemes", "urls", "order"),
    [
        # Configured order first, within it the catalog's.
        ([HTTP, RBD], ["rbd://1", "http://2", "https://3"], ["0 http://2", "0 https://3", "1 rbd://1"]),
        # An independent handler takes all, and goes once more at the very end.
        ([RBD, ANY], ["rbd://1", "http://2"], ["0 rbd://1", "1 rbd://1", "1 http://2", "1"]),
        ([ANY, RBD, ANY], ["rbd://1"], ["0 rbd://1", "1 rbd://1", "2 rbd://1", "0", "2"]),
        # No turn for a handler that takes nothing, and none without locations but for the independent.
        ([NONE, RBD], ["rbd://1"], ["1 rbd://1"]),
        ([NONE, RBD, ANY], [], ["2"]),
        ([], ["rbd://1"], []),
        # It is the whole scheme that counts, in any case.
        ([RBD], ["RBD://1", "rbd+x://2", "plain", "rbd"], ["0 RBD://1"]),
    ],
)
def test_the_order_of_attempts(schemes: list[frozenset[str] | None], urls: list[str], order: list[str]) -> None:
    specs = tuple(Spec(str(n), each) for n, each in enumerate(schemes))
    plan = World(Case(specs, with_locations(urls), IMAGE.id, TARGET)).plan()
    assert [f"{handler} {url}".removesuffix(f" {NOWHERE}") for handler, url in plan] == order
