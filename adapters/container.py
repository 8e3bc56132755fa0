"""The wiring. Only entry points import it: dependency-injector takes a tenth of a second to load."""

import logging
from collections.abc import Callable as Function
from collections.abc import Mapping

from dependency_injector.containers import DeclarativeContainer
from dependency_injector.providers import Callable, Dependency, Object, Provider, Selector, Singleton

from lading.adapters import plugins
from lading.adapters.catalogs.remotes import RoutingCatalog
from lading.adapters.config.settings import (
    FileLocksSettings,
    Settings,
    load_settings,
)
from lading.adapters.destinations.file.destination import FileDestination, Rules
from lading.adapters.etcd.associations import EtcdAssociations
from lading.adapters.etcd.fenced_journal import fenced
from lading.adapters.etcd.locks import EtcdLocks
from lading.adapters.etcd.queued import queued_associations
from lading.adapters.flock.locks import FileLocks
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.memory.journal import MemoryJournal
from lading.adapters.memory.locks import MemoryLocks
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.sqlite.associations import FileAssociations
from lading.adapters.sqlite.database import Database
from lading.adapters.sqlite.journal import FileJournal
from lading.adapters.sqlite.verified_files import FileVerifiedFiles
from lading.domain.dispatcher import Dispatcher
from lading.domain.handler import Handler
from lading.domain.loading import Loaded, load_handlers
from lading.ports.association_store import AssociationStore
from lading.ports.catalog import ImageCatalog
from lading.ports.failures import StoreUnavailable
from lading.ports.journal import Journal, NullJournal
from lading.ports.locks import Locks
from lading.ports.verified_files import VerifiedFiles

__all__ = ["Container", "embedded_handlers", "open_container"]

_log = logging.getLogger(__name__)
HandlerFactory = Function[[], Handler]


class Container(DeclarativeContainer):
    """All providers. Each object is built once, when it is first needed."""

    # Config
    settings: Provider[Settings] = Dependency(instance_of=Settings)
    _options = settings.provided

    # Catalogs
    default_catalog: Provider[ImageCatalog] = Singleton(plugins.build_catalog, "catalog", _options.catalog, settings)
    catalog: Provider[RoutingCatalog] = Singleton(
        RoutingCatalog, default_catalog, Callable(plugins.remotes, settings), Callable(plugins.url_schemes, settings),
        Callable(plugins.policies, settings),
    )  # fmt: skip

    # Locks
    memory_locks: Provider[Locks] = Singleton(MemoryLocks)
    file_locks: Provider[Locks] = Singleton(FileLocks, _options.locks.folder)
    etcd_locks: Provider[Locks] = Singleton(EtcdLocks.from_settings, _options.locks)
    third_party_locks: Provider[Locks] = Singleton(plugins.third_party, "locks", _options.locks, _options.source)
    locks: Provider[Locks] = Selector(
        Callable(plugins.adapter_of, _options.locks),
        memory=memory_locks, file=file_locks, etcd=etcd_locks, third_party=third_party_locks,
    )  # fmt: skip

    # Associations
    database: Provider[Database] = Singleton(Database, _options.associations.path)
    memory_associations: Provider[AssociationStore] = Singleton(MemoryAssociations)
    file_associations: Provider[AssociationStore] = Singleton(FileAssociations, database)
    etcd_associations: Provider[EtcdAssociations] = Singleton(
        EtcdAssociations.from_settings, _options.associations, locks
    )
    queued: Provider[AssociationStore] = Singleton(
        queued_associations, etcd_associations, Singleton(Database, _options.associations.copy), locks
    )
    etcd_store: Provider[AssociationStore] = Selector(
        _options.associations.offline, refuse=etcd_associations, queue=queued
    )
    third_party_associations: Provider[AssociationStore] = Singleton(
        plugins.third_party, "associations", _options.associations, _options.source
    )
    associations: Provider[AssociationStore] = Selector(
        Callable(plugins.adapter_of, _options.associations),
        memory=memory_associations, file=file_associations, etcd=etcd_store,
        third_party=third_party_associations,
    )  # fmt: skip

    # Journal and verified files
    journal_database: Provider[Database] = Singleton(Database, _options.journal.path)
    memory_journal: Provider[Journal] = Singleton(MemoryJournal)
    file_journal: Provider[Journal] = Singleton(FileJournal, journal_database)
    journal: Provider[Journal] = Singleton(
        fenced, Selector(_options.journal.kind, memory=memory_journal, file=file_journal), locks
    )
    memory_verified: Provider[VerifiedFiles] = Singleton(MemoryVerifiedFiles)
    file_verified: Provider[VerifiedFiles] = Singleton(FileVerifiedFiles, journal_database)
    verified: Provider[VerifiedFiles] = Selector(_options.journal.kind, memory=memory_verified, file=file_verified)

    # Handlers
    files: Provider[FileDestination] = Singleton(
        FileDestination,
        verified,
        Singleton(
            Rules,
            verify=_options.landing.verify,
            inspect=_options.landing.inspect,
            allow_unverified=_options.landing.allow_unverified,
            mode=_options.landing.bits,
            require_space=_options.landing.require_space,
            max_size=_options.landing.max_size,
            max_unpacked=_options.landing.max_unpacked,
            unpack=_options.landing.unpack,
            format=_options.landing.format,
            require_signature=_options.landing.require_signature,
            certificates=Callable(plugins.certificates, settings),
        ),
        journal=journal,
        locks=locks,
        associations=associations,
    )
    available_handlers: Provider[Mapping[str, HandlerFactory]] = Singleton(
        plugins.available_handlers, settings=settings, files=files, catalog=catalog, journal=journal
    )
    loaded: Provider[Loaded] = Singleton(load_handlers, _options.handlers.order, available_handlers)

    # Dispatcher
    dispatcher: Provider[Dispatcher] = Singleton(
        Dispatcher, handlers=loaded.provided.handlers, catalog=catalog, associations=associations, journal=journal,
        locks=locks, files=files, by_cost=_options.handlers.by_cost,
    )  # fmt: skip


def open_container(settings: Settings | None = None, *, recover: bool = True) -> Container:
    """Opens the container of these settings, by default of `load_settings`.

    `recover`: interrupted operations are finished, undone, or kept to be resumed, by handlers and a Dispatcher of their
    own, so that providers can still be overridden. Raises SettingsError.
    """
    settings = settings or load_settings()
    plugins.require_inspection(settings)
    plugins.require_etcd(settings)
    plugins.check_kind("catalog", settings.catalog, settings.source)
    for name, remote in settings.remotes.items():
        plugins.check_kind(f"catalogs.{name}", remote, settings.source)
    plugins.check_kind("associations", settings.associations, settings.source)
    plugins.check_kind("locks", settings.locks, settings.source)
    if isinstance(settings.locks, FileLocksSettings):
        FileLocks(settings.locks.folder).sweep()
    container = Container(settings=Object(settings))
    if recover:
        _recover(container, settings)
    return container


def embedded_handlers(
    catalog: ImageCatalog, associations: AssociationStore, settings: Settings | None = None
) -> Mapping[str, HandlerFactory]:
    """Factories of the installed handlers by name, for a program with its own catalog and store.

    Locks and verified files are in this process's memory. Raises SettingsError.
    """
    settings = settings or load_settings()
    plugins.require_inspection(settings)
    return Container(
        settings=Object(settings),
        catalog=Object(catalog),
        associations=Object(associations),
        journal=Object(NullJournal()),
        locks=Object(MemoryLocks()),
        verified=Object(MemoryVerifiedFiles()),
    ).available_handlers()


def _recover(container: Container, settings: Settings) -> None:
    try:
        # Handlers are built only where there is something to recover, and not for the container's own Dispatcher.
        if next(container.journal().list(), None) is None:
            return
        own = Container(
            settings=Object(settings), associations=container.associations, verified=container.verified,
            journal=container.journal, locks=container.locks,
        )  # fmt: skip
        for _ in own.dispatcher().recover():
            pass
    except StoreUnavailable as failure:
        # The operation that needs the store fails with it.
        _log.info("interrupted operations are not recovered: %s", failure)
