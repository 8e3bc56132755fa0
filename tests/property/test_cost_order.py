"""With no configured order the cheapest way goes first: the law, against the plain model with its handlers sorted."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests import reference
from tests.reference import NOWHERE, PricedHandler, RecordingCatalog, RecordingStore, ScriptedHandler, Spec
from tests.strategies import known_cases

from lading import Cost, Dispatcher, FetchRequest, FetchResult, Handler, Image, Location
from lading.domain.cost import cost_of
from lading.ports.form import Form

CHEAPEST_FIRST = ("clone", "local copy", "storage network", "http", "not told", "download")
"""Who tells nothing comes before the download, which always can."""
IMAGE = Image("id", locations=[Location("pool://a"), Location("http://b/c")])
BOTH = frozenset({"pool", "http"})


def handler(spec: Spec, price: str) -> Handler:
    return ScriptedHandler(spec, [], iter(())) if price == "not told" else PricedHandler(spec, lambda _: Cost(price))


def planned(handlers: list[Handler], target: str) -> list[tuple[str, str]]:
    dispatcher = Dispatcher(handlers, RecordingCatalog([IMAGE], []), RecordingStore([], []), by_cost=True)
    plan = dispatcher.plan(FetchRequest(IMAGE.id, target))
    return [(each.handler.name, each.location.url if each.location else NOWHERE) for each in plan]


@given(st.data(), known_cases())
def test_the_plan_is_the_models_order_of_the_handlers_sorted_by_cost(data: st.DataObject, case: reference.Case) -> None:
    prices = {spec.name: data.draw(st.sampled_from(CHEAPEST_FIRST), spec.name) for spec in case.handlers}
    ordered = sorted(case.handlers, key=lambda spec: CHEAPEST_FIRST.index(prices[spec.name]))
    dispatcher = Dispatcher(
        [handler(spec, prices[spec.name]) for spec in case.handlers],
        RecordingCatalog([case.image], []),
        RecordingStore([], []),
        by_cost=True,
    )
    plan = dispatcher.plan(FetchRequest(case.image.id, case.target))
    told = [(each.handler.name, each.location.url if each.location else NOWHERE) for each in plan]
    model = replace(case, handlers=tuple(ordered))
    assert told == reference.pairs(model) + reference.independent(model)


def test_what_a_handler_costs_may_depend_on_the_target() -> None:
    pool = PricedHandler(Spec("pool", BOTH), lambda to: Cost.CLONE if to.startswith("pool:") else Cost.STORAGE_NETWORK)
    file = PricedHandler(Spec("file", BOTH), lambda _: Cost.LOCAL_COPY)
    assert [name for name, _ in planned([file, pool], "pool:vm")] == ["pool", "pool", "file", "file"]
    assert [name for name, _ in planned([file, pool], "/vm")] == ["file", "file", "pool", "pool"]


def test_a_configured_order_is_kept_whatever_the_handlers_cost() -> None:
    handlers = [handler(Spec("web", BOTH), "http"), handler(Spec("pool", BOTH), "clone")]
    dispatcher = Dispatcher(handlers, RecordingCatalog([IMAGE], []), RecordingStore([], []))
    plan = dispatcher.plan(FetchRequest(IMAGE.id, "/vm"))
    assert [each.handler.name for each in plan] == ["web", "web", "pool", "pool"]


def test_one_that_raises_or_answers_nonsense_when_asked_for_its_cost_counts_as_silent() -> None:
    def raises(_: str) -> Cost:
        raise RuntimeError("a bug")

    def says_free(_: str) -> Cost:
        return "free"  # type: ignore[return-value]  # a third party's mistake

    assert [cost_of(PricedHandler(Spec("odd", BOTH), price), "/vm") for price in (raises, says_free)] == [None, None]


def test_a_form_is_requested_only_of_handlers_that_take_forms() -> None:
    class Stretching(PricedHandler):
        takes_forms = True

    handlers = [
        PricedHandler(Spec("stiff", BOTH), lambda _: Cost.CLONE),
        Stretching(Spec("soft", BOTH), lambda _: Cost.HTTP),
    ]
    dispatcher = Dispatcher(handlers, RecordingCatalog([IMAGE], []), RecordingStore([], []), by_cost=True)
    attempts = dispatcher.fetch(FetchRequest(IMAGE.id, "/vm", form=Form(size=1 << 40))).failure()
    assert not isinstance(attempts, FetchResult)
    reasons = {tried.handler: tried.refusal.reason for tried in attempts.attempts if tried.refusal}  # type: ignore[union-attr]
    assert "no other format or size" in reasons["stiff"]
    assert reasons["soft"] == reference.DECLINED.reason
