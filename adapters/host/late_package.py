"""Packages of which only submodules are needed, and whose `__init__` loads much else."""

import sys
import threading
from importlib.util import find_spec, module_from_spec
from types import ModuleType

from typing_extensions import override

__all__ = ["init_late"]

_running = threading.RLock()


def init_late(name: str) -> None:
    """Lets the package run its `__init__` when something of it is used that is not a submodule.

    Until then its submodules are imported without it. A package that is already imported, or not installed, stays as
    it is. Whoever uses the package finds what it always has.
    """
    if name in sys.modules or (spec := find_spec(name)) is None or spec.loader is None:
        return
    package = module_from_spec(spec)
    package.__class__ = _LatePackage
    sys.modules.setdefault(name, package)
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, sys.modules[name])


class _LatePackage(ModuleType):
    """A package whose `__init__` has not run. Its class is an ordinary module's afterwards."""

    @override
    def __getattr__(self, name: str) -> object:
        """Runs the `__init__`, unless a special attribute or a submodule is missing, which Python then imports."""
        spec = self.__spec__
        if name.startswith("__") or spec is None or spec.loader is None or find_spec(f"{spec.name}.{name}"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        with _running:
            if type(self) is _LatePackage:
                spec.loader.exec_module(self)
                self.__class__ = ModuleType  # type: ignore[assignment]  # its slots are the same
        value: object = getattr(self, name)
        return value
