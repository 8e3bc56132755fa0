"""Laws of references to several catalogs."""

from hypothesis import given
from hypothesis import strategies as st
from returns.result import Success

from lading import ANONYMOUS, Image, Location
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.catalogs.remotes import RoutingCatalog, split_reference

REMOTES = ("lab", "ubuntu")
WORDS = st.text("abl:u", min_size=1, max_size=6)
"""Ids and names, some with what looks like a remote's prefix."""


def images(catalog: str) -> st.SearchStrategy[list[Image]]:
    """Images with one location each, which tells the catalog that they are in."""
    made = st.builds(Image, WORDS, WORDS).map(
        lambda image: Image(image.id, image.name, locations=[Location(f"{catalog}://{image.id}")])
    )
    return st.lists(made, unique_by=lambda image: image.id, max_size=4)


@given(images("default"), st.fixed_dictionaries({name: images(name) for name in REMOTES}), WORDS)
def test_an_id_leads_back_to_the_image_and_to_its_own_catalog(
    own: list[Image], others: dict[str, list[Image]], reference: str
) -> None:
    makers = {name: (lambda found=found: MemoryCatalog(found)) for name, found in others.items()}
    catalog = RoutingCatalog(MemoryCatalog(own), makers)
    for asked in (reference, *(f"{name}:{reference}" for name in REMOTES)):
        remote, rest = split_reference(asked, REMOTES)
        outcome = catalog.find(asked, ANONYMOUS)
        plain = MemoryCatalog(own if remote is None else others[remote]).find(rest, ANONYMOUS)
        assert isinstance(outcome, Success) == isinstance(plain, Success)
        if isinstance(outcome, Success) and split_reference(outcome.unwrap().id, REMOTES)[0] == remote:
            image = outcome.unwrap()
            assert catalog.find(image.id, ANONYMOUS) == outcome
            [location] = catalog.locations(image, ANONYMOUS).unwrap()
            assert location.scheme == (remote or "default")
