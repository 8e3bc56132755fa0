"""What it costs to carry an image in some way, so that with no configured order the cheapest way is tried first."""

import logging
from enum import StrEnum
from typing import Final, Protocol, runtime_checkable

from lading.domain.handler import Handler

__all__ = ["Cost", "SupportsCost", "cheapest_first", "cost_of"]

_log = logging.getLogger(__name__)


class Cost(StrEnum):
    """Classes of ways, the cheapest first."""

    CLONE = "clone"
    """No byte moves, whatever the image's size."""
    LOCAL_COPY = "local copy"
    """Bytes move within this host, or not at all where its file system can share them."""
    STORAGE_NETWORK = "storage network"
    """Bytes come from the storage that holds them, without a service in between."""
    HTTP = "http"
    """Bytes come from a web server."""
    DOWNLOAD = "download"
    """Bytes come through the catalog's own service, from wherever it has them."""


_CLASSES: Final = tuple(Cost)


@runtime_checkable
class SupportsCost(Protocol):
    """A handler that tells what its way costs."""

    def cost(self, target: str) -> Cost:
        """What bringing an image to such a target costs. Told by the target's form alone: nothing is looked up."""
        ...


def cost_of(handler: Handler, target: str) -> Cost | None:
    """What the handler says; None when it doesn't, or raises instead."""
    if not isinstance(handler, SupportsCost):
        return None
    try:
        cost = handler.cost(target)
    except Exception:  # noqa: BLE001 - a third party's bug must not keep the others from work
        _log.debug("handler %s raised", handler.name, exc_info=True)
        return None
    return cost if isinstance(cost, Cost) else None


def cheapest_first(handler: Handler, target: str) -> float:
    """A key to sort by. Who doesn't tell comes after all others but the plain download, which always can."""
    cost = cost_of(handler, target)
    return _CLASSES.index(Cost.DOWNLOAD) - 0.5 if cost is None else _CLASSES.index(cost)
