"""The base class that handlers of the original API extend."""

# ruff: noqa: PLR0913, PLR0917, FBT001, FBT002 - the original API's signatures

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping

from lading.adapters.nova.plain import stripped

__all__ = ["AssociateFn", "DisassociateFn", "ImageHandler"]

_log = logging.getLogger(__name__)

AssociateFn = Callable[["ImageHandler", str, Mapping[str, object] | None, Mapping[str, object] | None], object]
"""Called as `associate_fn(handler, path, location, image_meta)`."""
DisassociateFn = Callable[["ImageHandler", str], object]
"""Called as `disassociate_fn(handler, path)`."""


class _Handled(threading.local):
    """Whether this thread's last operation was handled."""

    yes: bool = False


class ImageHandler(ABC):
    """Fetches, removes and moves images, says by a boolean whether it did, and has what it did written down by hooks.

    What a subclass has to define are the abstract methods; its `__init__` calls this one.
    """

    def __init__(
        self,
        driver: object,
        *args: object,
        associate_fn: AssociateFn | None = None,
        disassociate_fn: DisassociateFn | None = None,
        **kwargs: object,
    ) -> None:
        self.driver = driver
        self.associate_fn = associate_fn or _nothing
        self.disassociate_fn = disassociate_fn or _nothing
        self._handled = _Handled()

    def fetch_image(
        self,
        context: object,
        image_id: str | None,
        image_meta: dict[str, object] | None,
        path: str,
        user_id: str | None = None,
        project_id: str | None = None,
        location: Mapping[str, object] | None = None,
        **kwargs: object,
    ) -> bool:
        """Bring the image from the location to the path, and have the path associated. Whether it did."""
        self._set_handled(handled=False)
        done = self._fetch_image(context, image_id, image_meta, path, user_id, project_id, location, **kwargs)
        if done:
            self._associate(path, location, image_meta)
        return self._set_handled(handled=bool(done))

    def remove_image(
        self,
        context: object,
        image_id: str | None,
        image_meta: dict[str, object] | None,
        path: str,
        user_id: str | None = None,
        project_id: str | None = None,
        location: Mapping[str, object] | None = None,
        **kwargs: object,
    ) -> bool:
        """Remove what was fetched to the path, and have its association forgotten. Whether it did."""
        self._set_handled(handled=False)
        done = self._remove_image(context, image_id, image_meta, path, user_id, project_id, location, **kwargs)
        if done:
            self._disassociate(path)
        return self._set_handled(handled=bool(done))

    def move_image(
        self,
        context: object,
        image_id: str | None,
        image_meta: dict[str, object] | None,
        src_path: str,
        dst_path: str,
        user_id: str | None = None,
        project_id: str | None = None,
        location: Mapping[str, object] | None = None,
        **kwargs: object,
    ) -> bool:
        """Move what was fetched to the one path to the other, and its association with it. Whether it did."""
        self._set_handled(handled=False)
        done = self._move_image(
            context, image_id, image_meta, src_path, dst_path, user_id, project_id, location, **kwargs
        )
        if done:
            # In this order: at no time is it recorded nowhere.
            self._associate(dst_path, location, image_meta)
            if stripped(src_path) != stripped(dst_path):
                self._disassociate(src_path)
        return self._set_handled(handled=bool(done))

    def last_ops_handled(self, flush: bool = True) -> bool:
        """Whether the last operation that this thread asked for was handled; `flush` forgets it."""
        handled = self._handled.yes
        if flush:
            self._handled.yes = False
        return handled

    @abstractmethod
    def get_schemes(self) -> Collection[str] | None:
        """The URL schemes it takes. Empty: takes any location, and none. None: takes nothing."""

    @abstractmethod
    def is_local(self) -> bool:
        """Whether what it fetches is a file on this host."""

    @abstractmethod
    def _fetch_image(
        self,
        context: object,
        image_id: str | None,
        image_meta: dict[str, object] | None,
        path: str,
        user_id: str | None = None,
        project_id: str | None = None,
        location: Mapping[str, object] | None = None,
        **kwargs: object,
    ) -> bool: ...

    @abstractmethod
    def _remove_image(
        self,
        context: object,
        image_id: str | None,
        image_meta: dict[str, object] | None,
        path: str,
        user_id: str | None = None,
        project_id: str | None = None,
        location: Mapping[str, object] | None = None,
        **kwargs: object,
    ) -> bool: ...

    @abstractmethod
    def _move_image(
        self,
        context: object,
        image_id: str | None,
        image_meta: dict[str, object] | None,
        src_path: str,
        dst_path: str,
        user_id: str | None = None,
        project_id: str | None = None,
        location: Mapping[str, object] | None = None,
        **kwargs: object,
    ) -> bool: ...

    def _set_handled(self, handled: bool) -> bool:
        self._handled.yes = handled
        return handled

    def _associate(
        self, path: object, location: Mapping[str, object] | None, image_meta: Mapping[str, object] | None
    ) -> None:
        if target := stripped(path):
            self._hook("associated", target, lambda: self.associate_fn(self, target, location, image_meta))

    def _disassociate(self, path: object) -> None:
        if target := stripped(path):
            self._hook("disassociated", target, lambda: self.disassociate_fn(self, target))

    def _hook(self, verb: str, target: str, call: Callable[[], object]) -> None:
        """What the hook raises changes nothing about the bytes: they are where they are."""
        try:
            call()
        except Exception as error:  # noqa: BLE001 - an embedding program's function
            _log.debug("a hook of %s raised", type(self).__name__, exc_info=True)
            _log.warning("%s is not %s: the hook raised %s: %s", target, verb, type(error).__name__, error)


def _nothing(*args: object) -> None:
    """The hook of a handler that was given none."""
