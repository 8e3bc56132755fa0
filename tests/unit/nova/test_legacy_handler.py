"""ImageHandler, the base class of the original API's handlers, by itself and for a Dispatcher."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from returns.result import Failure, Success
from tests.unit.nova.legacy_handlers import (
    NOVA,
    Asked,
    FileWritingHandler,
    ScriptedHandler,
    ScriptedPoolHandler,
    never,
    only_from,
)

from lading import (
    Dispatcher,
    FetchRequest,
    Image,
    Landing,
    Location,
    NoHandlerAvailable,
    TargetOccupied,
    Unsupported,
    Work,
)
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.nova import ImageHandler, LegacyHandler, RequestContext
from lading.adapters.nova.legacy import landed
from lading.domain.handler import Handler
from lading.ports.context import Context

PLACE: dict[str, object] = {"url": "pool://gold/noble", "metadata": {"store": "gold"}}
META: dict[str, object] = {"id": "noble"}
NOBLE = Image("noble", locations=[Location("pool://gold/noble"), Location("http://host/noble")])


class Hooks:
    """Writes down what it is called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def associate(self, *args: object) -> None:
        self.calls.append(("associate", *args))

    def disassociate(self, *args: object) -> None:
        self.calls.append(("disassociate", *args))


@pytest.fixture
def hooks() -> Hooks:
    return Hooks()


@pytest.fixture
def legacy(hooks: Hooks) -> ScriptedHandler:
    return ScriptedHandler("driver", associate_fn=hooks.associate, disassociate_fn=hooks.disassociate)


def raising(*_: object) -> None:
    raise RuntimeError("the ledger is wet")


class TestImageHandler:
    def test_passes_arguments_to_the_subclass_in_the_original_order(self, legacy: ScriptedHandler) -> None:
        legacy.fetch_image(NOVA, "noble", META, "/vm", "ada", "mill", PLACE, speed=9)
        legacy.move_image(NOVA, "noble", META, "/vm", "/vm2", location=PLACE)
        assert legacy.asked == [
            Asked("fetch", (NOVA, "noble", META, "/vm", "ada", "mill", PLACE), {"speed": 9}),
            Asked("move", (NOVA, "noble", META, "/vm", "/vm2", None, None, PLACE), {}),
        ]

    def test_keeps_its_driver_and_goes_without_hooks(self) -> None:
        legacy = ScriptedHandler("driver", unknown="argument")
        assert legacy.driver == "driver"
        assert legacy.fetch_image(NOVA, "noble", META, "/vm")
        assert legacy.remove_image(NOVA, "noble", META, "/vm")

    def test_can_not_be_made_without_its_six_methods(self) -> None:
        with pytest.raises(TypeError, match="abstract"):
            ImageHandler("driver")  # type: ignore[abstract]

    def test_a_fetch_is_associated_once_it_is_done(self, legacy: ScriptedHandler, hooks: Hooks) -> None:
        legacy.does = lambda _: not hooks.calls
        assert legacy.fetch_image(NOVA, "noble", META, "/vm", location=PLACE)
        assert hooks.calls == [("associate", legacy, "/vm", PLACE, META)]

    def test_a_removal_is_disassociated_once_it_is_done(self, legacy: ScriptedHandler, hooks: Hooks) -> None:
        legacy.does = lambda _: not hooks.calls
        assert legacy.remove_image(NOVA, "noble", META, "/vm")
        assert hooks.calls == [("disassociate", legacy, "/vm")]

    def test_a_move_associates_the_destination_before_it_drops_the_source(
        self, legacy: ScriptedHandler, hooks: Hooks
    ) -> None:
        legacy.does = lambda _: not hooks.calls
        assert legacy.move_image(NOVA, "noble", META, "/vm", "/vm2", location=PLACE)
        assert hooks.calls == [("associate", legacy, "/vm2", PLACE, META), ("disassociate", legacy, "/vm")]

    def test_a_move_to_where_it_is_stays_associated(self, legacy: ScriptedHandler, hooks: Hooks) -> None:
        assert legacy.move_image(NOVA, "noble", META, "/vm", " /vm", location=PLACE)
        assert hooks.calls == [("associate", legacy, "/vm", PLACE, META)]

    def test_an_operation_that_is_not_done_calls_no_hook(self, legacy: ScriptedHandler, hooks: Hooks) -> None:
        legacy.does = never
        assert not legacy.fetch_image(NOVA, "noble", META, "/vm")
        assert not legacy.remove_image(NOVA, "noble", META, "/vm")
        assert not legacy.move_image(NOVA, "noble", META, "/vm", "/vm2")
        assert hooks.calls == []

    @pytest.mark.parametrize("path", [None, "", "  \t", 7, Path("/vm"), b"/vm"])
    def test_an_operation_without_a_path_calls_no_hook(self, legacy: ScriptedHandler, hooks: Hooks, path: str) -> None:
        assert legacy.fetch_image(NOVA, "noble", META, path)
        assert legacy.remove_image(NOVA, "noble", META, path)
        assert legacy.move_image(NOVA, "noble", META, path, path)
        assert hooks.calls == []

    def test_hooks_get_the_path_stripped(self, legacy: ScriptedHandler, hooks: Hooks) -> None:
        legacy.move_image(NOVA, "noble", META, " /vm", "/vm2 \n")
        assert [call[2] for call in hooks.calls] == ["/vm2", "/vm"]

    def test_a_hook_that_raises_is_a_warning_and_no_failure(self, caplog: pytest.LogCaptureFixture) -> None:
        legacy = ScriptedHandler("driver", associate_fn=raising, disassociate_fn=raising)
        assert legacy.fetch_image(NOVA, "noble", META, "/vm")
        assert legacy.last_ops_handled()
        assert legacy.remove_image(NOVA, "noble", META, "/vm")
        assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.WARNING]
        assert "/vm is not associated: the hook: raised RuntimeError; the debug log has more" in caplog.text

    def test_gives_the_subclass_own_answer_to_its_caller(self, hooks: Hooks) -> None:
        class Mover(ScriptedHandler):
            def _do(self, asked: Asked) -> object:
                return f"[datastore] {asked.arguments[3]}" if super()._do(asked) else None

        mover = Mover("driver", associate_fn=hooks.associate)
        assert mover.fetch_image(NOVA, "noble", META, "/vm") == "[datastore] /vm"
        assert mover.last_ops_handled() is True
        mover.does = never
        assert mover.remove_image(NOVA, "noble", META, "/vm") is None
        assert mover.move_image(NOVA, "noble", META, "/vm", "/vm2") is None
        assert mover.last_ops_handled() is False
        assert hooks.calls == [("associate", mover, "/vm", None, META)]


class TestLastOpsHandled:
    def test_is_asked_once_unless_it_is_not_flushed(self, legacy: ScriptedHandler) -> None:
        assert not legacy.last_ops_handled()
        legacy.fetch_image(NOVA, "noble", META, "/vm")
        assert legacy.last_ops_handled(flush=False)
        assert legacy.last_ops_handled()
        assert not legacy.last_ops_handled()

    def test_tells_of_the_last_operation_alone(self, legacy: ScriptedHandler) -> None:
        legacy.fetch_image(NOVA, "noble", META, "/vm")
        legacy.does = never
        legacy.fetch_image(NOVA, "noble", META, "/vm")
        assert not legacy.last_ops_handled()

    def test_an_operation_that_raises_was_not_handled(self, legacy: ScriptedHandler) -> None:
        legacy.fetch_image(NOVA, "noble", META, "/vm")
        legacy.does = raising  # type: ignore[assignment]
        with pytest.raises(RuntimeError):
            legacy.fetch_image(NOVA, "noble", META, "/vm")
        assert not legacy.last_ops_handled()

    def test_two_threads_that_share_a_handler_do_not_read_each_others(self, legacy: ScriptedHandler) -> None:
        together = threading.Barrier(2, timeout=10)
        legacy.does = only_from("pool://gold/noble")

        def fetch(url: str) -> bool:
            together.wait()
            legacy.fetch_image(NOVA, "noble", META, "/vm", location={"url": url, "metadata": {}})
            together.wait()
            return legacy.last_ops_handled()

        with ThreadPoolExecutor(2) as threads:
            assert list(threads.map(fetch, ["pool://gold/noble", "pool://lead/noble"])) == [True, False]


class TestLegacyHandler:
    def test_is_a_handler(self, legacy: ScriptedHandler) -> None:
        handler: Handler = LegacyHandler("legacy", legacy)
        assert (handler.name, handler.is_local) == ("legacy", False)

    @pytest.mark.parametrize(
        ("answer", "schemes"),
        [
            (("pool", "http"), {"pool", "http"}),
            (["pool"], {"pool"}),
            ("pool", {"pool"}),
            ("", set()),
            ((), set()),
            (None, None),
        ],
    )
    def test_takes_the_schemes_that_its_handler_answers(
        self, legacy: ScriptedHandler, answer: tuple[str, ...], schemes: set[str] | None
    ) -> None:
        legacy.schemes = answer
        assert LegacyHandler("legacy", legacy).schemes == schemes

    def test_asks_its_handler_in_the_original_words(self, legacy: ScriptedHandler) -> None:
        asker = Context("ada", "mill", "token")
        work = Work("/vm", Image("noble", size=5), Location("pool://gold/noble", {"store": "gold"}), asker)
        assert LegacyHandler("legacy", legacy).fetch(work) == Success(Landing())
        context, image_id, image_meta, path, *rest = legacy.asked[0].arguments
        assert context == RequestContext("ada", "mill", "token")
        assert (image_id, path) == ("noble", "/vm")
        assert isinstance(image_meta, dict)
        assert {key: value for key, value in image_meta.items() if value is not None} == {
            "id": "noble", "size": 5, "status": "active", "properties": {}
        }  # fmt: skip
        assert image_meta["disk_format"] is image_meta["container_format"] is image_meta["checksum"] is None
        assert rest == ["ada", "mill", PLACE]

    def test_gives_its_handler_the_programs_context_and_arguments(self, legacy: ScriptedHandler) -> None:
        own = object()
        handler = LegacyHandler("legacy", legacy, lambda work: {"backend_dest": ("vms", work.target.lstrip("/"))})
        work = Work("/vm", Image("noble"), context=Context("ada", caller=own))
        for answer in (handler.fetch(work), handler.remove(work), handler.move(work, "/vm2")):
            assert isinstance(answer, Success)
        assert [asked.arguments[0] for asked in legacy.asked] == [own] * 3
        assert [asked.named for asked in legacy.asked] == [{"backend_dest": ("vms", "vm")}] * 3

    def test_an_unhandled_operation_refuses_the_location_alone(self, legacy: ScriptedHandler) -> None:
        legacy.does = never
        handler, work = LegacyHandler("legacy", legacy), Work("/vm")
        refusals = [handler.fetch(work), handler.remove(work), handler.move(work, "/vm2")]
        assert refusals == [Failure(Unsupported("not handled"))] * 3

    def test_nothing_at_the_target_is_overwritten_without_force(self, tmp_path: Path) -> None:
        target, source = tmp_path / "vm", tmp_path / "other"
        target.write_text("precious")
        source.write_text("noble")
        handler = LegacyHandler("files", FileWritingHandler("driver"))
        assert isinstance(handler.fetch(Work(str(target))).failure(), TargetOccupied)
        assert isinstance(handler.move(Work(str(source)), str(target)).failure(), TargetOccupied)
        assert target.read_text() == "precious"
        assert handler.fetch(Work(str(target), force=True)).unwrap().size == 5
        assert target.read_text() == "noble"

    def test_removing_what_is_gone_is_a_success(self, tmp_path: Path) -> None:
        legacy = FileWritingHandler("driver")
        legacy.does = never
        assert LegacyHandler("files", legacy).remove(Work(str(tmp_path / "vm"))) == Success(None)

    def test_a_target_that_cannot_be_read_has_landed_all_the_same(self) -> None:
        assert landed(FileWritingHandler("driver"), "\0") == Landing()
        assert landed(FileWritingHandler("driver"), "/") == Landing()


class TestADispatcherWithLegacyHandlers:
    def test_fetches_moves_and_removes_by_them(self, tmp_path: Path) -> None:
        files, pool = FileWritingHandler("driver"), ScriptedPoolHandler("driver")
        pool.does = never
        associations = MemoryAssociations()
        dispatcher = Dispatcher(
            [LegacyHandler("pool", pool), LegacyHandler("files", files)], MemoryCatalog([NOBLE]), associations
        )
        target, other = str(tmp_path / "vm"), str(tmp_path / "vm2")

        staged = dispatcher.fetch(FetchRequest("noble", target)).unwrap()
        assert [str(tried) for tried in staged.attempts] == [
            "pool pool://gold/noble: not handled",
            "files pool://gold/noble: done",
        ]
        recorded = associations.get(target).unwrap()
        assert recorded is not None
        assert (recorded.handler, recorded.size) == ("files", 5)

        again = dispatcher.fetch(FetchRequest("noble", target)).unwrap()
        assert (again.landing.present, len(files.asked)) == (True, 1)

        dispatcher.move(target, other).unwrap()
        dispatcher.remove(other).unwrap()
        assert list(associations.list()) == []
        assert list(tmp_path.iterdir()) == []

    def test_goes_on_after_one_that_raises(self, legacy: ScriptedHandler) -> None:
        broken = ScriptedPoolHandler("driver")
        broken.does = raising  # type: ignore[assignment]
        handlers = [LegacyHandler("broken", broken), LegacyHandler("legacy", legacy)]
        dispatcher = Dispatcher(handlers, MemoryCatalog([NOBLE]), MemoryAssociations())
        assert dispatcher.fetch(FetchRequest("noble", "/vm")).unwrap().handler == "legacy"

    def test_says_what_each_was_asked_when_none_handles(self) -> None:
        pool = ScriptedPoolHandler("driver")
        pool.does = never
        dispatcher = Dispatcher([LegacyHandler("pool", pool)], MemoryCatalog([NOBLE]), MemoryAssociations())
        failure = dispatcher.fetch(FetchRequest("noble", "/vm")).failure()
        assert isinstance(failure, NoHandlerAvailable)
        assert "pool pool://gold/noble: not handled" in str(failure)
