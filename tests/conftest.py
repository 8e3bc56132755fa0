"""Hypothesis profiles: `dev` is quick, `ci` looks further. HYPOTHESIS_PROFILE chooses."""

import os
import signal
from collections.abc import Generator

import pytest
from hypothesis import settings
from tests.packages import advice

pytest.register_assert_rewrite("lading.sdk.contracts")

pytest_plugins = [
    "tests.disk.faulty_disk",
    "tests.faulty_server",
    "tests.integration.services.fixtures",
    "tests.loop_devices",
    "tests.quick_folder",
    "tests.rigs.local",
    "tests.rigs.cinder",
    "tests.rigs.oci",
    "tests.rigs.rbd",
    "tests.rigs.s3",
    "tests.rigs.shelf",
    "tests.rigs.swift",
]

# In the background of a script, or under nohup, tests and the commands they run would inherit these as ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

settings.register_profile("dev", max_examples=30, deadline=None)
settings.register_profile("ci", max_examples=200, deadline=None, derandomize=False, print_blob=True)
settings.register_profile("torture", settings.get_profile("ci"), max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


def pytest_make_parametrize_id(val: object) -> str | None:
    """Names bytes by their length: workers must agree on a test's name, and compressed bytes may hold the time."""
    return f"{len(val)} bytes" if isinstance(val, bytes) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Groups the tests for the workers: each file is a group, and all that use a Ceph are one.

    A Ceph takes long to start. With two of them on one machine, librbd once ended the process.
    """
    with_ceph = {item.path for item in items if "ceph_modules" in getattr(item, "fixturenames", ())}
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group("ceph" if item.path in with_ceph else str(item.path)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where TESTS_NO_SKIPS is set, as it is for what lands, a skipped test is a failed one."""
    report = yield
    if report.skipped and os.environ.get("TESTS_NO_SKIPS"):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be skipped: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None]:
    """Says in one line, below the summary, which packages would let the skipped tests run."""
    yield
    skipped = terminalreporter.stats.get("skipped", [])
    if (told := advice(str(report.longrepr) for report in skipped)) is not None:
        terminalreporter.write_line(told)
