"""The lease of a process: it is kept alive while the process holds a lock."""

import logging
import threading
import time
from functools import partial
from typing import Final

from lading.adapters.etcd.cluster import Cluster
from lading.adapters.etcd.gateway import LeaseGone
from lading.adapters.stream.event import Event
from lading.adapters.stream.threads import Thread
from lading.ports.failures import StoreUnavailable

__all__ = ["Lease"]

_log = logging.getLogger(__name__)
_RENEWALS: Final = 3
"""Renewals within the time of a lease."""


def _now() -> float:
    """Seconds that no change of the clock moves, and that pass while the machine sleeps too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """A lease in etcd. `seconds` after the process has died, it expires, and its locks are free."""

    def __init__(self, cluster: Cluster, seconds: int) -> None:
        """Grants the lease. Raises StoreUnavailable."""
        self._cluster = cluster
        self._seconds = seconds
        began = _now()
        self.id: Final = cluster.grant(seconds)
        self._expires_at = began + seconds
        self.is_lost = False
        """True when etcd has said that the lease is gone."""
        self._is_retired = False
        self._holders: set[object] = set()
        self._guard = threading.Lock()
        self._released = Event()

    @property
    def is_valid(self) -> bool:
        """True while the lease cannot have expired, whatever etcd says or does not say."""
        return not self.is_lost and _now() < self._expires_at

    def hold(self, holder: object) -> bool:
        """Keeps the lease alive until the holder's `release`. False: it is too old; take another one."""
        with self._guard:
            if self.is_lost or self._is_retired:
                return False
            if not self._holders:
                if _now() > self._expires_at - self._seconds / 2:
                    return False
                self._released = Event()
                Thread(partial(self._keep_alive, self._released), "lading-etcd-lease").start()
            self._holders.add(holder)
            return True

    def release(self, holder: object) -> None:
        """Lets the lease expire, once no holder is left. It is not revoked: the next lock may use it.

        A holder that could not hold it, or was interrupted meanwhile, may release it all the same.
        """
        with self._guard:
            self._holders.discard(holder)
            if not self._holders:
                self._released.set()

    def retire(self) -> None:
        """Lets no other lock use the lease, so that a key which could not be deleted expires with it."""
        self._is_retired = True

    def _keep_alive(self, released: Event) -> None:
        while not released.wait(self._seconds / _RENEWALS):
            began = _now()
            try:
                self._cluster.keep_alive(self.id, within=self._seconds / _RENEWALS)
                self._expires_at = began + self._seconds
            except LeaseGone:
                self.is_lost = True
                _log.warning("the lease of this process's locks in etcd has expired")
                return
            except StoreUnavailable as failure:
                _log.warning("the lease of this process's locks is not renewed: %s", failure)
