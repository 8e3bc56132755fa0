"""The order of attempts. It is a law: see ARCHITECTURE.md."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Final

from lading.domain.attempts import Attempt, FetchRequest
from lading.domain.failures import HandlerNotLoaded
from lading.domain.handler import Handler, Landing, Work
from lading.domain.handler_calls import call_catalog, value_or_raise
from lading.domain.ledger import Ledger
from lading.domain.matcher import LocationMatcher
from lading.domain.refusals import Scope
from lading.domain.volume_backed import disks_elsewhere
from lading.ports.association import Association
from lading.ports.catalog import ImageCatalog
from lading.ports.failures import (
    AmbiguousImage,
    CatalogUnavailable,
    ImageNotActive,
    ImageNotFound,
    ImageUnproven,
    ImageWithoutData,
)
from lading.ports.image import Image
from lading.ports.location import Location

__all__ = ["CATALOG_FAILURES", "Order"]

_log = logging.getLogger(__name__)
CATALOG_FAILURES: Final = (
    ImageNotFound,
    AmbiguousImage,
    ImageNotActive,
    ImageWithoutData,
    ImageUnproven,
    CatalogUnavailable,
)
"""The members of CatalogFailure."""
_MOST_LOCATIONS: Final = 256
"""The locations of an image that are tried. Thousands that never answer could keep a host busy for hours."""


class Order:
    """The order of the attempts of a fetch. All methods raise the failures of the catalog and the store."""

    def __init__(
        self,
        handlers: Iterable[Handler],
        catalog: ImageCatalog,
        ledger: Ledger,
        record: Callable[[Handler, Work, Landing], None],
        *,
        by_cost: bool,
    ) -> None:
        """`record` records what an attempt landed. `by_cost`: the cheapest handler for each target goes first."""
        self._by_name = {handler.name: handler for handler in handlers}
        self._matcher = LocationMatcher(self._by_name.values(), by_cost=by_cost)
        self._catalog = catalog
        self._ledger = ledger
        self._record = record

    def attempts(self, request: FetchRequest) -> Iterator[Attempt]:
        """Yields all attempts in order, lazily: nothing is looked up before its turn."""
        association = self._ledger.association(request.target)
        work = Work(
            request.target, None, None, request.context, association, request.force, request.observer,
            form=request.form, even_if_in_use=request.even_if_in_use, reverify=request.reverify,
        )  # fmt: skip
        if association is not None and _leads(association, request):
            yield from self._by_association(association, work, request)
        image = self._image(request)
        work = replace(work, image=image)
        for handler, location in self._matcher.pairs(image.locations if image else (), request.target):
            yield Attempt(handler, replace(work, location=location), self._record)
        for handler in self._matcher.independent(request.target):
            yield Attempt(handler, work, self._record)

    def turns(self, request: FetchRequest) -> Iterator[Attempt]:
        """Yields the attempts in order, without those that a refusal rules out. The caller settles each in its turn."""
        ruled_out: set[str] = set()
        for attempt in self.attempts(request):
            if attempt.handler.name in ruled_out:
                continue
            yield attempt
            scope = attempt.refusal.scope if attempt.refusal else None
            if scope is Scope.REQUEST:
                return
            if scope is Scope.HANDLER:
                ruled_out.add(attempt.handler.name)

    def _by_association(self, association: Association, work: Work, request: FetchRequest) -> Iterator[Attempt]:
        handler = self._by_name.get(association.handler)
        if handler is None:
            _log.warning("%s", HandlerNotLoaded(association.target, association.handler, tuple(self._by_name)))
            return
        image, location = association.image, association.location
        if location is not None and location.is_redacted:
            image, location = self._with_credentials(image, location, request)
        yield Attempt(handler, replace(work, image=image, location=location), self._record)

    def _with_credentials(
        self, image: Image | None, location: Location, request: FetchRequest
    ) -> tuple[Image | None, Location]:
        """The recorded location with its credentials, which only the catalog has; as recorded where it has none."""
        try:
            found = self._image(request)
        except CATALOG_FAILURES:
            return image, location
        usable = (each for each in found.locations if str(each) == location.url) if found else iter(())
        return next(((found, each) for each in usable), (image, location))

    def _image(self, request: FetchRequest) -> Image | None:
        """The image with its locations, as the catalog has it; None where the request names none.

        Raises the members of CatalogFailure, also for an image without usable data.
        """
        if request.image_id is None:
            return None
        image = value_or_raise(call_catalog(self._catalog.find, request.image_id, request.context))
        if image.status != "active":
            raise ImageNotActive(image.id, image.status)
        if (disks := disks_elsewhere(image)) is not None:
            raise ImageWithoutData(image.id, disks)
        locations = value_or_raise(call_catalog(self._catalog.locations, image, request.context))
        if len(locations) > _MOST_LOCATIONS:
            _log.warning("image %s has %d locations; the first %d are tried", image.id, len(locations), _MOST_LOCATIONS)
        return replace(image, locations=locations[:_MOST_LOCATIONS])


def _leads(association: Association, request: FetchRequest) -> bool:
    """Tells whether the associated handler goes first. It does not for another image: its bytes would be wrong.

    A name may belong to another image by now; a forced request means that one. A record of an image without data, which
    an earlier version fetched as 0 bytes, does not lead either.
    """
    if association.image is not None and disks_elsewhere(association.image) is not None:
        return False
    if request.image_id is None or association.image is None:
        return True
    return request.image_id == association.image.id or (association.is_of(request.image_id) and not request.force)
