"""The cost of a handler. Where no order is configured, the cheapest handler goes first."""

import logging
from enum import StrEnum
from typing import Final, Protocol, runtime_checkable

from lading.domain.handler import Handler

__all__ = ["Cost", "SupportsCost", "cheapest_first", "cost_of"]

_log = logging.getLogger(__name__)


class Cost(StrEnum):
    """Classes of cost, the cheapest first."""

    CLONE = "clone"
    """No byte moves, however large the image is."""
    LOCAL_COPY = "local copy"
    """Bytes move within this host; none where the file system can share them."""
    STORAGE_NETWORK = "storage network"
    """Bytes come directly from the storage."""
    HTTP = "http"
    """Bytes come from a web server."""
    DOWNLOAD = "download"
    """Bytes come through the catalog's own service."""


_CLASSES: Final = tuple(Cost)


@runtime_checkable
class SupportsCost(Protocol):
    """A handler that reports its cost."""

    def cost(self, target: str) -> Cost:
        """Returns the cost of a fetch to such a target, by the target's form alone: nothing is looked up."""
        ...


def cost_of(handler: Handler, target: str) -> Cost | None:
    """The cost that the handler reports; None when it reports none, or raises."""
    if not isinstance(handler, SupportsCost):
        return None
    try:
        cost = handler.cost(target)
    except Exception:  # noqa: BLE001 - a bug of one handler does not stop the others
        _log.debug("handler %s raised", handler.name, exc_info=True)
        return None
    return cost if isinstance(cost, Cost) else None


def cheapest_first(handler: Handler, target: str) -> float:
    """A sort key. A handler without a cost comes last, but before the download."""
    cost = cost_of(handler, target)
    return _CLASSES.index(Cost.DOWNLOAD) - 0.5 if cost is None else _CLASSES.index(cost)
