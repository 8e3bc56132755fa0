"""The base class that handlers of the original API extend."""

# ruff: noqa: PLR0913, PLR0917, FBT001, FBT002 - the original API's signatures

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from lading.adapters.nova.convert import stripped
from lading.domain.handler_calls import exception_reason

__all__ = ["AssociateFn", "DisassociateFn", "ImageHandler", "OpenTurn"]

_log = logging.getLogger(__name__)

AssociateFn = Callable[["ImageHandler", str, Mapping[str, object] | None, Mapping[str, object] | None], object]
"""Called as `associate_fn(handler, path, location, image_meta)`."""
DisassociateFn = Callable[["ImageHandler", str], object]
"""Called as `disassociate_fn(handler, path)`."""


@dataclass(eq=False, slots=True)
class OpenTurn:
    """A turn that `handle_image` has yielded and that its caller has not ended."""

    target: str
    image_id: str
    handled: bool = False
    """True when the turn's last operation was handled."""


class _Outcomes(threading.local):
    """The outcomes of one thread's operations on a handler."""

    def __init__(self) -> None:
        self.last = False
        """True when the last operation was handled."""
        self.turns: list[OpenTurn] = []
        """The open turns, the latest last."""


class ImageHandler(ABC):
    """Fetches, removes and moves images, returns a true value on success, and calls the hooks that record it.

    A subclass defines the abstract methods, and its `__init__` calls this one. The value that `_fetch_image` and the
    others return is passed to the caller; an operation was handled when that value is true.
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
        self.associate_fn = associate_fn or _no_hook
        self.disassociate_fn = disassociate_fn or _no_hook
        self._outcomes = _Outcomes()

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
    ) -> object:
        """Transfers the image from the location to the path, and associates the path. Returns the handler's value."""
        turn = self._begin(image_id, path)
        done = self._fetch_image(context, image_id, image_meta, path, user_id, project_id, location, **kwargs)
        if done:
            self._associate(path, location, image_meta)
        self._end(turn, handled=bool(done))
        return done

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
    ) -> object:
        """Removes what was fetched to the path, and its association. Returns the handler's value."""
        turn = self._begin(image_id, path)
        done = self._remove_image(context, image_id, image_meta, path, user_id, project_id, location, **kwargs)
        if done:
            self._disassociate(path)
        self._end(turn, handled=bool(done))
        return done

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
    ) -> object:
        """Moves what was fetched from one path to another, with its association. Returns the handler's value."""
        turn = self._begin(image_id, src_path)
        done = self._move_image(
            context, image_id, image_meta, src_path, dst_path, user_id, project_id, location, **kwargs
        )
        if done:
            # In this order: one of the two paths is recorded at any time.
            self._associate(dst_path, location, image_meta)
            if stripped(src_path) != stripped(dst_path):
                self._disassociate(src_path)
        self._end(turn, handled=bool(done))
        return done

    def last_ops_handled(self, flush: bool = True) -> bool:
        """Returns True when this thread's last operation was handled. `flush` resets it to False.

        `handle_image` does not use this: it keeps the outcome of each of its turns.
        """
        handled = self._outcomes.last
        if flush:
            self._outcomes.last = False
        return handled

    @contextmanager
    def open_turn(self, target: str, image_id: str | None) -> Iterator[OpenTurn]:
        """Attributes this thread's operations to a turn for the duration of the block.

        Several turns may be open: loops over `handle_image` can be nested or interleaved. An operation belongs to the
        turn of its path, else of its image, else to the latest one.
        """
        turn, turns = OpenTurn(target, stripped(image_id)), self._outcomes.turns
        turns.append(turn)
        try:
            yield turn
        finally:
            turns.remove(turn)

    @abstractmethod
    def get_schemes(self) -> Collection[str] | None:
        """Returns the URL schemes that it takes. Empty: any location, and none. None: takes nothing."""

    @abstractmethod
    def is_local(self) -> bool:
        """Returns True when its targets are files of this host."""

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
    ) -> object: ...

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
    ) -> object: ...

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
    ) -> object: ...

    def _set_handled(self, handled: bool) -> None:
        """Sets the outcome of this thread's operation, for a subclass that overrides a public method."""
        self._end(self._outcomes.turns[-1] if self._outcomes.turns else None, handled)

    def _begin(self, image_id: object, path: object) -> OpenTurn | None:
        """Returns the turn of the operation, marked as not handled: that is the outcome if the operation raises."""
        target, image, turns = stripped(path), stripped(image_id), self._outcomes.turns
        matches = [(turn.target == target, turn.image_id == image, place) for place, turn in enumerate(turns)]
        turn = turns[max(matches)[-1]] if turns else None
        self._end(turn, handled=False)
        return turn

    def _end(self, turn: OpenTurn | None, handled: bool) -> None:
        self._outcomes.last = handled
        if turn is not None:
            turn.handled = handled

    def _associate(
        self, path: object, location: Mapping[str, object] | None, image_meta: Mapping[str, object] | None
    ) -> None:
        if target := stripped(path):
            self._call_hook("associated", target, partial(self.associate_fn, self, target, location, image_meta))

    def _disassociate(self, path: object) -> None:
        if target := stripped(path):
            self._call_hook("disassociated", target, partial(self.disassociate_fn, self, target))

    def _call_hook(self, verb: str, target: str, hook: Callable[[], object]) -> None:
        """Calls a hook. Its exception is a warning, because the image was transferred all the same."""
        try:
            hook()
        except Exception as error:  # noqa: BLE001 - an embedding program's function
            _log.debug("a hook of %s raised", type(self).__name__, exc_info=True)
            _log.warning("%s is not %s: the hook: %s", target, verb, exception_reason(error))


def _no_hook(*args: object) -> None:
    """The default hook: does nothing."""
