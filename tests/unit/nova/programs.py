"""A catalog, a handler and a program's loop, as those that use the original API have them."""

from collections.abc import Callable
from datetime import UTC, datetime

from returns.result import Result, Success
from tests.unit.nova.legacy_handlers import NOVA, ScriptedHandler, fetching

from lading import Association, Image, Landing, Location, Refusal, Work
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.nova import ImageHandlers
from lading.adapters.nova.handlers import Turn
from lading.ports.context import Context
from lading.ports.failures import CatalogFailure

GOLD, LEAD = "pool://gold/noble", "pool://lead/noble"
NOBLE = Image("noble", name="Noble Numbat", size=5, locations=[Location(LEAD), Location(GOLD, {"store": "gold"})])
META: dict[str, object] = {
    **dict.fromkeys(("disk_format", "container_format", "checksum", "os_hash_algo", "os_hash_value", "owner")),
    **dict.fromkeys(("is_public", "min_disk", "min_ram", "created_at", "updated_at", "deleted", "deleted_at")),
    "id": "noble", "name": "Noble Numbat", "size": 5, "status": "active", "properties": {},
}  # fmt: skip
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

Install = Callable[..., None]


class Catalog(MemoryCatalog):
    """Writes down who asked for what."""

    def __init__(self, *images: Image) -> None:
        super().__init__(images)
        self.asked: list[tuple[str, Context]] = []

    def find(self, reference: str, context: Context) -> Result[Image, CatalogFailure]:
        self.asked.append((reference, context))
        return super().find(reference, context)


class ScriptedNativeHandler:
    """One of lading's own handlers: answers the next thing on its list, and then that it is done."""

    is_local = True

    def __init__(
        self, name: str = "native", *answers: Result[Landing, Refusal], schemes: frozenset[str] | None
    ) -> None:
        self.name = name
        self.schemes = schemes
        self.answers = list(answers)
        self.works: list[Work] = []

    def fetch(self, work: Work) -> Result[Landing, Refusal]:
        self.works.append(work)
        return self.answers.pop(0) if self.answers else Success(Landing("native"))

    def remove(self, work: Work) -> Result[None, Refusal]:
        return self.fetch(work).map(lambda _: None)

    def move(self, work: Work, destination: str) -> Result[Landing, Refusal]:
        return self.fetch(work)


def loaded_handlers(handlers: ImageHandlers) -> list[ScriptedHandler]:
    loaded = [handler for handler in handlers.loaded if isinstance(handler, ScriptedHandler)]
    assert len(loaded) == len(handlers.loaded)
    return loaded


def fetched(handlers: ImageHandlers, path: str = "/vm", image_id: str = "noble") -> list[Turn]:
    return list(fetching(handlers.handle_image(NOVA, image_id, target_path=path), image_id, path))


def recorded(associations: MemoryAssociations, path: str = "/vm") -> Association:
    association = associations.get(path).unwrap()
    assert association is not None
    return association
