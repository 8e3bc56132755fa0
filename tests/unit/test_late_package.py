"""Packages whose `__init__` runs late: as soon as something of it is used, and not before."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

from lading.adapters.host.late_package import init_late


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a package whose `__init__` imports a submodule `heavy`, and that has a submodule `light`."""
    name = f"late_{tmp_path.name.replace('-', '_')}"
    outer = tmp_path / name
    (outer / "inner").mkdir(parents=True)
    (outer / "__init__.py").touch()
    (outer / "inner" / "__init__.py").write_text("from . import heavy\nVALUE = heavy.VALUE\n")
    (outer / "inner" / "heavy.py").write_text("VALUE = 5\n")
    (outer / "inner" / "light.py").write_text("from . import sibling\nVALUE = sibling.VALUE\n")
    (outer / "inner" / "sibling.py").write_text("VALUE = 7\n")
    monkeypatch.syspath_prepend(tmp_path)
    return f"{name}.inner"


def test_a_submodule_is_imported_without_the_rest(package: str) -> None:
    init_late(package)
    assert import_module(f"{package}.light").VALUE == 7
    assert f"{package}.heavy" not in sys.modules


def test_the_first_use_of_the_package_itself_runs_its_init(package: str) -> None:
    init_late(package)
    module = import_module(package)
    assert (module.VALUE, module.heavy.VALUE) == (5, 5)
    assert getattr(sys.modules[package.rpartition(".")[0]], "inner") is module  # noqa: B009 - mypy knows no such package


def test_a_name_that_the_package_lacks_is_an_attribute_error(package: str) -> None:
    init_late(package)
    with pytest.raises(AttributeError, match="no attribute 'nonesuch'"):
        _ = import_module(package).nonesuch


def test_an_imported_package_stays_as_it_is(package: str) -> None:
    module = import_module(package)
    init_late(package)
    assert sys.modules[package] is module


def test_a_package_that_is_not_installed_is_imported_as_ever() -> None:
    init_late("no_such_package")
    with pytest.raises(ModuleNotFoundError):
        import_module("no_such_package")
