"""The recorded targets that hold an image, found by the catalog's image, by an id or by a digest."""

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from returns.result import Failure

from lading.domain.failures import AmbiguousDigest, NotHeld
from lading.domain.handler_calls import call_catalog
from lading.ports.association_store import AssociationStore, HostTarget, SupportsHosts
from lading.ports.catalog import ImageCatalog
from lading.ports.context import Context
from lading.ports.failures import LadingError

__all__ = ["holders"]

_DIGEST: Final = re.compile(r"[a-z0-9_]+:[0-9a-f]{12,}")
"""A digest, or the beginning of one, with twelve hex digits or more."""


def holders(
    reference: str, catalog: ImageCatalog, associations: AssociationStore, context: Context
) -> Iterator[HostTarget]:
    """Iterates over the targets that hold the image, ordered by host and target.

    A digest means the bytes that have it, or else the only recorded digest that begins like it. Any other reference is
    an id, a name or an href of the catalog: its image is found by its digest, whatever id other hosts know it by; an
    image without one, by its id. A reference that the catalog does not find is an id.

    Raises NotHeld where no target holds the image, AmbiguousDigest, the failure of the catalog where nothing is
    recorded of such an id either, and StoreUnavailable.
    """
    reference = reference.strip()
    is_digest = _DIGEST.fullmatch(reference.lower()) is not None
    name, failure = _name_of(reference, catalog, context) if not is_digest else (reference.lower(), NotHeld(reference))
    found = _named(name, associations)
    first = next(found, None)
    if first is None and is_digest:
        found = _named(_whole_digest(name, associations), associations)
        first = next(found, None)
    if first is None:
        raise failure
    yield first
    yield from found


def _name_of(reference: str, catalog: ImageCatalog, context: Context) -> tuple[str, LadingError]:
    """The name under which targets of the image are recorded, and the failure where there are none."""
    outcome = call_catalog(catalog.find, reference, context)
    if isinstance(outcome, Failure):
        return reference, outcome.failure()
    image = outcome.unwrap()
    return str(image.expected_digest or image.id), NotHeld(reference)


def _named(name: str, associations: AssociationStore) -> Iterator[HostTarget]:
    if isinstance(associations, SupportsHosts):
        return associations.holders(name)
    return (HostTarget.of(None, each) for each in associations.list() if name in each.image_names)


def _whole_digest(start: str, associations: AssociationStore) -> str:
    """The only recorded digest that begins like this."""
    if isinstance(associations, SupportsHosts):
        names: Iterable[str] = associations.image_names(start)
    else:
        known = {name for each in associations.list() for name in each.image_names}
        names = sorted(name for name in known if name.startswith(start))
    digests = tuple(islice(names, 2))
    if len(digests) > 1:
        raise AmbiguousDigest(start, digests)
    return digests[0] if digests else start
