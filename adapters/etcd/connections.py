"""One thread's connections to etcd's members, by urllib3. Imported with the first request."""

from queue import Empty, Full, LifoQueue
from ssl import SSLContext
from typing import Any

from typing_extensions import override
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager

__all__ = ["thread_connections"]


class _OwnQueue(LifoQueue[Any]):
    """The idle connections of one thread. It has no lock that an interrupt could leave locked."""

    @override
    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        if not self.queue:
            raise Empty
        return self.queue.pop()

    @override
    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        if len(self.queue) >= self.maxsize:
            raise Full
        self.queue.append(item)


class _Connections(HTTPConnectionPool):
    QueueCls = _OwnQueue


class _TlsConnections(HTTPSConnectionPool):
    QueueCls = _OwnQueue


def thread_connections(tls: SSLContext | None) -> PoolManager:
    """Connections for one thread. They use no proxy: its variables are for images."""
    manager = PoolManager(retries=False, ssl_context=tls)
    manager.pool_classes_by_scheme = {"http": _Connections, "https": _TlsConnections}
    return manager
