"""What the tests need of the system, and how they tell it."""

from pathlib import Path

import pytest
from tests import packages
from tests.packages import advice, needs, want


def test_what_is_not_installed_is_a_skip_that_names_its_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "program", {}.get)
    with pytest.raises(pytest.skip.Exception, match=r"needs nginx \(Debian: nginx-light\)"):
        needs("nginx")


def test_the_advice_names_each_package_once() -> None:
    told = advice([f"('a.py', 1, 'Skipped: {want('cc')}')", want("mkfs.xfs"), want("cc", "a compiler"), "needs root"])
    assert told == (
        "3 tests were skipped for want of packages. To run them, as root:"
        " apt-get install --no-install-recommends gcc libc6-dev xfsprogs"
    )


def test_without_such_skips_there_is_no_advice() -> None:
    assert advice(["needs root to mount ext4"]) is None


def test_the_run_in_ci_installs_the_same_packages() -> None:
    assert "tests/packages.txt" in (Path(__file__).parents[2] / ".ci" / "run").read_text()
