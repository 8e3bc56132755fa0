"""Handlers re-establish what a restart of the host lost: attached volumes, mounts."""

import logging
import threading
from collections.abc import Iterable
from typing import final

from lading.domain.handler import Handler, SupportsPrepare
from lading.domain.handler_calls import exception_reason
from lading.ports.association_store import AssociationStore
from lading.ports.failures import StoreUnavailable

__all__ = ["Preparation"]

_log = logging.getLogger(__name__)


@final
class Preparation:
    """Prepares each handler once. Safe to share between threads."""

    def __init__(self, handlers: Iterable[Handler], associations: AssociationStore) -> None:
        self._unprepared = list(handlers)
        self._associations = associations
        self._lock = threading.RLock()

    def prepare(self) -> None:
        """Offers each handler its own associations, unless that was done before. A failure is a warning.

        Returns when all handlers are prepared, also where another thread prepares them.
        """
        with self._lock:
            while self._unprepared:
                self._prepare_handler(self._unprepared.pop(0))

    def _prepare_handler(self, handler: Handler) -> None:
        if not isinstance(handler, SupportsPrepare):
            return
        try:
            handler.prepare(self._associations.list(handler=handler.name))
        except StoreUnavailable as failure:
            # The operation that needs the store fails with it.
            _log.info("handler %s is not prepared: %s", handler.name, failure)
        except Exception as error:  # noqa: BLE001 - the failure of one handler does not stop the others
            _log.debug("handler %s could not be prepared", handler.name, exc_info=True)
            _log.warning("handler %s could not be prepared: %s", handler.name, exception_reason(error))
