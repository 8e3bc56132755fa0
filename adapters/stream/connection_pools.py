"""Connections of urllib3 that an interrupt at any moment leaves usable. Imported with the first request."""

from queue import Empty, Full, LifoQueue
from typing import Any, Final

from typing_extensions import override
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool

__all__ = ["POOLS"]


class _IdleConnections(LifoQueue[Any]):
    """A queue without a lock, which an interrupt could leave locked: one operation of a list puts or takes."""

    @override
    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        try:
            return self.queue.pop()
        except IndexError:
            raise Empty from None

    @override
    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        if len(self.queue) >= self.maxsize:  # threads at once may put a few more
            raise Full
        self.queue.append(item)


class _Connections(HTTPConnectionPool):
    QueueCls = _IdleConnections


class _TlsConnections(HTTPSConnectionPool):
    QueueCls = _IdleConnections


POOLS: Final[dict[str, type[HTTPConnectionPool]]] = {"http": _Connections, "https": _TlsConnections}
"""For the `pool_classes_by_scheme` of a PoolManager."""
