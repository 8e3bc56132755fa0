"""The wiring. Only entry points import it: dependency-injector takes a tenth of a second to load."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from dependency_injector.containers import DeclarativeContainer
from dependency_injector.providers import Dependency, Object, Provider, Selector, Singleton

from lading.adapters import plugins
from lading.adapters.associations.file import FileAssociations
from lading.adapters.associations.memory import MemoryAssociations
from lading.adapters.catalogs.file import FileCatalog
from lading.adapters.catalogs.glance import GlanceCatalog
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.database import Database
from lading.adapters.settings import (
    AssociationsSettings,
    CatalogSettings,
    Settings,
    ThirdPartySettings,
    load_settings,
)
from lading.adapters.transfer.transfer import Transfer
from lading.adapters.verifications.file import FileVerifiedFiles
from lading.adapters.verifications.memory import MemoryVerifiedFiles
from lading.domain.dispatcher import Dispatcher
from lading.domain.handler import Handler
from lading.domain.loading import Loaded, load_handlers, prepare_handlers
from lading.ports.association_store import AssociationStore
from lading.ports.catalog import ImageCatalog
from lading.ports.verified_files import VerifiedFiles

__all__ = ["Container", "open_container"]

_Kind = TypeVar("_Kind")


class Container(DeclarativeContainer):
    """Everything, each built when it is first asked for, and once."""

    # Config
    settings: Provider[Settings] = Dependency(instance_of=Settings)
    _options = settings.provided

    # Catalogs
    memory_catalog: Provider[ImageCatalog] = Singleton(MemoryCatalog)
    file_catalog: Provider[ImageCatalog] = Singleton(
        FileCatalog, folder=_options.catalog.folder, allowed_folders=_options.handlers.tables["file"]["allowed_folders"]
    )
    glance_catalog: Provider[ImageCatalog] = Singleton(GlanceCatalog.from_settings, _options.catalog)
    catalog: Selector[ImageCatalog] = Selector(
        _options.catalog.kind, memory=memory_catalog, file=file_catalog, glance=glance_catalog
    )

    # Associations
    database: Provider[Database] = Singleton(Database, _options.associations.path)
    memory_associations: Provider[AssociationStore] = Singleton(MemoryAssociations)
    file_associations: Provider[AssociationStore] = Singleton(FileAssociations, database)
    associations: Selector[AssociationStore] = Selector(
        _options.associations.kind, memory=memory_associations, file=file_associations
    )
    memory_verified: Provider[VerifiedFiles] = Singleton(MemoryVerifiedFiles)
    file_verified: Provider[VerifiedFiles] = Singleton(FileVerifiedFiles, database)
    verified: Selector[VerifiedFiles] = Selector(_options.associations.kind, memory=memory_verified, file=file_verified)

    # Handlers
    transfer: Provider[Transfer] = Singleton(
        Transfer, verified, verify=_options.landing.verify, inspect=_options.landing.inspect
    )
    available_handlers: Provider[Mapping[str, Callable[[], Handler]]] = Singleton(
        plugins.available_handlers, settings=settings, transfer=transfer, catalog=catalog
    )
    loaded: Provider[Loaded] = Singleton(load_handlers, _options.handlers.order, available_handlers)
    handlers: Provider[Sequence[Handler]] = Singleton(prepare_handlers, loaded.provided.handlers, associations)

    # Dispatcher
    dispatcher: Provider[Dispatcher] = Singleton(
        Dispatcher, handlers=handlers, catalog=catalog, associations=associations
    )


def open_container(settings: Settings | None = None) -> Container:
    """The container of these settings, or of those that are found (see `load_settings`).

    Raises SettingsError.
    """
    settings = settings or load_settings()
    plugins.require_inspection(settings)
    container = Container(settings=Object(settings))
    _admit(container.catalog, plugins.CATALOGS, settings.catalog, f"{settings.source}: catalog.kind")
    _admit(container.associations, plugins.ASSOCIATIONS, settings.associations, f"{settings.source}: associations.kind")
    container.verified.set_providers(
        **{settings.associations.kind: container.memory_verified, **container.verified.providers}
    )
    return container


def _admit(kinds: Selector[_Kind], group: str, settings: CatalogSettings | AssociationsSettings, place: str) -> None:
    """Let a third party's adapter be selected too."""
    if isinstance(settings, ThirdPartySettings):
        factory = plugins.third_party(group, settings.kind, tuple(kinds.providers), place)
        kinds.set_providers(**{settings.kind: Singleton(factory, settings.options)}, **kinds.providers)
