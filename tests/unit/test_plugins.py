"""Which of several distributions' adapters with one name is used, and whose a bug is."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lading.adapters.nova.handlers import GROUP
from lading.adapters.plugins import CATALOGS, HANDLERS, discover, owner_of

Install = Callable[..., None]
OWN, STRANGERS = "lading.adapters.handlers.file:FileHandler", "stranger:Handler"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs distributions that name `carrier` in a group, before all others: found in the order of their values."""

    def install(group: str, *values: str) -> None:
        folders = []
        for number, value in enumerate(values):
            metadata = tmp_path / str(number) / f"some_{number}-1.dist-info"
            metadata.mkdir(parents=True)
            metadata.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: some-{number}\nVersion: 1\n")
            metadata.joinpath("entry_points.txt").write_text(f"[{group}]\ncarrier = {value}\n")
            folders.append(str(metadata.parent))
        monkeypatch.setattr(sys, "path", [*folders, *sys.path])

    return install


@pytest.mark.parametrize("group", [HANDLERS, CATALOGS, GROUP])
@pytest.mark.parametrize("values", [(OWN, STRANGERS), (STRANGERS, OWN)], ids=["found first", "found last"])
def test_of_one_name_lading_s_own_is_used(
    install: Install, caplog: pytest.LogCaptureFixture, group: str, values: tuple[str, ...]
) -> None:
    install(group, *values)
    assert discover(group)["carrier"].value == OWN
    assert caplog.messages == [f"{STRANGERS} is not used: {OWN} has the name 'carrier' in {group}"]


@pytest.mark.parametrize("group", [HANDLERS, CATALOGS, GROUP])
@pytest.mark.parametrize("values", [("one:Handler", "two:Handler"), ("two:Handler", "one:Handler")])
def test_of_one_name_of_two_strangers_the_first_found_is_used(
    install: Install, caplog: pytest.LogCaptureFixture, group: str, values: tuple[str, ...]
) -> None:
    install(group, *values)
    first, second = values
    assert discover(group)["carrier"].value == first
    assert caplog.messages == [f"{second} is not used: {first} has the name 'carrier' in {group}"]


@pytest.mark.parametrize("is_first", [True, False])
def test_a_built_in_handler_is_not_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_first: bool
) -> None:
    metadata = tmp_path / "stranger-1.dist-info"
    metadata.mkdir()
    metadata.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1\n")
    metadata.joinpath("entry_points.txt").write_text(f"[{HANDLERS}]\nfile = {STRANGERS}\n")
    site = [str(tmp_path)]
    monkeypatch.setattr(sys, "path", [*site, *sys.path] if is_first else [*sys.path, *site])
    assert discover(HANDLERS)["file"].value.startswith("lading.")


def test_a_value_used_twice_is_no_warning(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    install(HANDLERS, STRANGERS, STRANGERS)
    assert discover(HANDLERS)["carrier"].value == STRANGERS
    assert caplog.messages == []


def test_a_bug_is_of_the_distribution_whose_code_ran_last(install: Install) -> None:
    install(HANDLERS, "acme.catalogs.glance:Catalog", "acme.locks:Locks", "solo.adapters:Handler")
    assert owner_of(["lading.adapters.cli.main", "acme.catalogs.glance", "json.decoder"]) == "some-0 1"
    assert owner_of(["lading.adapters.cli.main", "acme.locks.files"]) == "some-1 1"
    assert owner_of(["lading.adapters.cli.main", "solo.network", "urllib3"]) == "some-2 1"
    # Nothing tells whose of the two the shared package is.
    assert owner_of(["lading.adapters.cli.main", "acme.common"]) == "lading"
    assert owner_of(["lading.adapters.cli.main", "acme.locks", "lading.domain.fetches"]) == "lading"
    assert owner_of(["__main__"]) == "lading"
