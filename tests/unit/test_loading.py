"""Handlers from configured names: what is told of those that are passed over."""

import logging
from collections.abc import Callable

import pytest
from tests.reference import PricedHandler, ScriptedHandler, Spec

from lading import Cost, Handler
from lading.adapters.handlers.setup import PackageMissing
from lading.domain.loading import Loaded, Skipped, load_handlers
from lading.ports.failures import SettingsError


def handler(name: str, cost: Cost | None = None) -> Handler:
    spec = Spec(name, frozenset())
    return PricedHandler(spec, lambda _: cost) if cost else ScriptedHandler(spec, [], iter(()))


def builds(name: str, cost: Cost | None = None) -> Callable[[], Handler]:
    return lambda: handler(name, cost)


def lacks_a_package() -> Handler:
    raise ImportError("No module named 'rados'")


def is_misconfigured() -> Handler:
    raise TypeError("missing 1 required positional argument: 'pool'")


AVAILABLE = {"file": builds("file"), "download": builds("download"), "rbd": lacks_a_package, "s3": is_misconfigured}


@pytest.mark.parametrize(
    ("names", "loaded", "skipped"),
    [
        (["download", "file"], ["download", "file"], []),
        ([" file\n", "", "  "], ["file"], []),
        (["file", "file "], ["file"], [Skipped("file", "named twice")]),
        (["nfs", "file"], ["file"], [Skipped("nfs", "unknown (known: download, file, rbd, s3)")]),
        (["rbd"], [], [Skipped("rbd", "could not be built: raised ImportError; the debug log has more")]),
        (["File"], [], [Skipped("File", "unknown, did you mean file? (known: download, file, rbd, s3)")]),
        ([], [], []),
    ],
)
def test_names_give_handlers_or_reasons(names: list[str], loaded: list[str], skipped: list[Skipped]) -> None:
    outcome = load_handlers(names, AVAILABLE)
    assert ([each.name for each in outcome.handlers], list(outcome.skipped)) == (loaded, skipped)


def test_without_names_all_that_can_be_built_are_loaded_the_cheapest_first() -> None:
    available = {
        "download": builds("download", Cost.DOWNLOAD),
        "silent": builds("silent"),
        "file": builds("file", Cost.LOCAL_COPY),
        "pool": builds("pool", Cost.CLONE),
    }
    assert [each.name for each in load_handlers(None, available).handlers] == ["pool", "file", "silent", "download"]


def test_that_a_package_is_missing_for_a_handler_that_nobody_named_is_no_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def lacks_bindings() -> Handler:
        raise PackageMissing("python3-rbd is not installed")

    for names, levels in ((None, []), (["rbd"], ["WARNING"])):
        caplog.clear()
        outcome = load_handlers(names, {"rbd": lacks_bindings})
        assert outcome.skipped == (Skipped("rbd", "python3-rbd is not installed", lacks_package=True),)
        assert [each.levelname for each in caplog.records if each.levelno >= logging.WARNING] == levels


def test_a_handler_that_nobody_named_and_that_is_broken_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    load_handlers(None, {"s3": is_misconfigured})
    assert [each.levelname for each in caplog.records] == ["WARNING"]


def test_settings_that_a_handler_cannot_use_are_told_in_their_own_words() -> None:
    def misread() -> Handler:
        raise SettingsError("lading.toml: handlers.pool.pol: unknown key, did you mean pool?")

    told = Skipped("pool", "lading.toml: handlers.pool.pol: unknown key, did you mean pool?")
    assert load_handlers(["pool"], {"pool": misread}).skipped == (told,)


def test_a_handler_that_goes_by_the_name_of_another_is_skipped() -> None:
    available = {"file": builds("file"), "alias": builds("file")}
    outcome = load_handlers(["file", "alias"], available)
    assert [each.name for each in outcome.handlers] == ["file"]
    assert outcome.skipped == (Skipped("alias", "it goes by the name file, which is taken"),)


def test_when_nothing_is_available_the_reason_says_so() -> None:
    assert load_handlers(["file"], {}) == Loaded((), (Skipped("file", "unknown (known: none)"),))


def test_each_skipped_name_is_a_warning_and_its_trace_is_there_for_those_who_debug(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG, "lading"):
        load_handlers(["s3"], AVAILABLE)
    debug, warning = caplog.records
    assert (debug.levelname, debug.exc_info is not None) == ("DEBUG", True)
    assert (warning.levelname, warning.getMessage()) == (
        "WARNING",
        "handler s3 is skipped: could not be built: raised TypeError; the debug log has more",
    )


def test_an_interrupt_while_a_handler_is_built_is_not_swallowed() -> None:
    def interrupted() -> Handler:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_handlers(["file"], {"file": interrupted})


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ModuleNotFoundError("word", name="rados"), "No module named 'rados'"),
        (ModuleNotFoundError("word"), "could not be built: raised ModuleNotFoundError; the debug log has more"),
    ],
)
def test_an_import_that_fails_names_the_module_and_repeats_no_words(error: Exception, reason: str) -> None:
    def fails() -> Handler:
        raise error

    outcome = load_handlers(["rbd"], {"rbd": fails})
    assert outcome.skipped == (Skipped("rbd", reason, lacks_package=True),)
