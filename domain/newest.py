"""The images that the names of recorded targets mean by now."""

from collections.abc import Iterator
from dataclasses import dataclass

from returns.result import Failure, Result

from lading.domain.handler_calls import call_catalog
from lading.ports.association import Association
from lading.ports.association_store import AssociationStore
from lading.ports.catalog import ImageCatalog
from lading.ports.context import Context
from lading.ports.failures import CatalogFailure
from lading.ports.image import Image

__all__ = ["NewestImage", "newest_images"]


@dataclass(frozen=True, slots=True)
class NewestImage:
    """The image that the name of a target's image means by now."""

    association: Association
    reference: str
    """The name, or the URL without a digest."""
    image: Image | None
    """The image that the reference means by now; None where the catalog does not find it."""
    is_newer: bool | None
    """True where that is another image than the target's; None where that cannot be told."""
    reason: str | None = None
    """The reason why it cannot be told."""


def newest_images(catalog: ImageCatalog, associations: AssociationStore, context: Context) -> Iterator[NewestImage]:
    """Iterates over the recorded targets of this host whose image has a name, ordered by target.

    The catalog is called once for each name. Raises StoreUnavailable.
    """
    found: dict[str, Result[Image, CatalogFailure]] = {}
    for association in associations.list():
        image = association.image
        reference = _reference(image) if image is not None else None
        if image is None or reference is None:
            continue
        if reference not in found:
            found[reference] = call_catalog(catalog.find, reference, context)
        outcome = found[reference]
        if isinstance(outcome, Failure):
            yield NewestImage(association, reference, None, None, str(outcome.failure()))
            continue
        newest = outcome.unwrap()
        is_newer = _is_newer(image, newest)
        reason = None if is_newer is not None else "no digests of one algorithm are known of both"
        yield NewestImage(association, reference, newest, is_newer, reason)


def _reference(image: Image) -> str | None:
    """The reference that means the newest image. The id of an image at a URL is the URL, pinned by a fragment."""
    url, _, pin = image.id.partition("#")
    return url if "=" in pin else image.name


def _is_newer(recorded: Image, newest: Image) -> bool | None:
    """Tells whether it is another image. Two ids with the same digest are one image; an id may be reused."""
    one, other = recorded.expected_digest, newest.expected_digest
    if one is not None and other is not None and one.algorithm == other.algorithm:
        return one != other
    is_one_url = "#" in recorded.id and recorded.id.partition("#")[0] == newest.id.partition("#")[0]
    if is_one_url and (one is not None or other is not None):
        return None
    return recorded.id != newest.id
