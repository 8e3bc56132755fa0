"""The base class that handlers of the original API extend."""

# ruff: noqa: PLR0913, PLR0917, FBT001, FBT002 - the original API's signatures

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

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
    """A turn that `handle_image` has offered and that its caller has not ended."""

    target: str
    image_id: str
    handled: bool = False
    """Whether the turn's last operation was handled."""


class _Outcomes(threading.local):
    """One thread's view of a handler."""

    def __init__(self) -> None:
        self.last = False
        """Whether the last operation was handled."""
        self.turns: list[OpenTurn] = []
        """The latest last."""


class ImageHandler(ABC):
    """Fetches, removes and moves images, says by a true value whether it did, and calls hooks that record what it did.

    A subclass defines the abstract methods; its `__init__` calls this one. The value that `_fetch_image` and the
    others return is the caller's: its truth alone decides whether the operation was handled.
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
        """Brings the image from the location to the path, and has the path associated. Returns the handler's value."""
        turn = self._began(image_id, path)
        done = self._fetch_image(context, image_id, image_meta, path, user_id, project_id, location, **kwargs)
        if done:
            self._associate(path, location, image_meta)
        self._ended(turn, handled=bool(done))
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
        """Removes what was fetched to the path, and has it disassociated. Returns the handler's value."""
        turn = self._began(image_id, path)
        done = self._remove_image(context, image_id, image_meta, path, user_id, project_id, location, **kwargs)
        if done:
            self._disassociate(path)
        self._ended(turn, handled=bool(done))
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
        turn = self._began(image_id, src_path)
        done = self._move_image(
            context, image_id, image_meta, src_path, dst_path, user_id, project_id, location, **kwargs
        )
        if done:
            # In this order: at no time is it recorded nowhere.
            self._associate(dst_path, location, image_meta)
            if stripped(src_path) != stripped(dst_path):
                self._disassociate(src_path)
        self._ended(turn, handled=bool(done))
        return done

    def last_ops_handled(self, flush: bool = True) -> bool:
        """Whether this thread's last operation was handled; `flush` forgets it.

        `handle_image` does not ask: it keeps the outcome of each of its turns.
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
        """For a subclass that overrides a public method: says how this thread's operation ended."""
        self._ended(self._outcomes.turns[-1] if self._outcomes.turns else None, handled)

    def _began(self, image_id: object, path: object) -> OpenTurn | None:
        """The turn that the operation belongs to. An operation that raises was not handled."""
        target, image, turns = stripped(path), stripped(image_id), self._outcomes.turns
        matches = [(turn.target == target, turn.image_id == image, place) for place, turn in enumerate(turns)]
        turn = turns[max(matches)[-1]] if turns else None
        self._ended(turn, handled=False)
        return turn

    def _ended(self, turn: OpenTurn | None, handled: bool) -> None:
        self._outcomes.last = handled
        if turn is not None:
            turn.handled = handled

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
            _log.warning("%s is not %s: the hook: %s", target, verb, exception_reason(error))


def _nothing(*args: object) -> None:
    """The hook of a handler that was given none."""
