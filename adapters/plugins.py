"""Built-in and third-party adapters, both found by entry point."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from lading.adapters.catalogs.file import FileCatalog
from lading.adapters.catalogs.glance import GlanceCatalog
from lading.adapters.catalogs.glance_settings import GlanceCatalogSettings
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.adapters.catalogs.oci_settings import OciCatalogSettings
from lading.adapters.catalogs.policy import Policy
from lading.adapters.catalogs.simplestreams.settings import SimplestreamsCatalogSettings
from lading.adapters.catalogs.url import UrlCatalog
from lading.adapters.catalogs.url_settings import UrlCatalogSettings
from lading.adapters.config.settings import (
    BUILT_IN_KINDS,
    AssociationsSettings,
    CatalogSettings,
    FileCatalogSettings,
    LocksSettings,
    MemoryCatalogSettings,
    Settings,
    ThirdPartySettings,
)
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.built_in import BUILT_IN
from lading.adapters.handlers.file import FileHandlerSettings
from lading.adapters.handlers.http import HttpHandlerSettings
from lading.adapters.handlers.setup import HandlerSetup
from lading.adapters.signatures.certificates import CertificateFolder, Certificates
from lading.adapters.web.http import HttpOptions
from lading.domain.handler import Handler
from lading.domain.handler_calls import exception_reason
from lading.ports.association_store import AssociationStore
from lading.ports.catalog import ImageCatalog
from lading.ports.failures import LadingError, SettingsError
from lading.ports.journal import Journal
from lading.ports.locks import Locks

__all__ = [
    "ASSOCIATIONS",
    "CATALOGS",
    "HANDLERS",
    "LOCKS",
    "THIRD_PARTY",
    "adapter_of",
    "available_handlers",
    "build_catalog",
    "certificates",
    "check_kind",
    "discover",
    "origin",
    "owner_of",
    "policies",
    "remotes",
    "require_etcd",
    "require_inspection",
    "third_party",
    "url_schemes",
]

_log = logging.getLogger(__name__)
HANDLERS: Final = "lading.handlers"
CATALOGS: Final = "lading.catalogs"
ASSOCIATIONS: Final = "lading.associations"
LOCKS: Final = "lading.locks"
THIRD_PARTY: Final = "third_party"
_GROUPS: Final[Mapping[str, str]] = {
    "catalog": CATALOGS,
    "catalogs": CATALOGS,
    "associations": ASSOCIATIONS,
    "locks": LOCKS,
}
"""By section of the settings."""
_PORTS: Final[Mapping[str, type]] = {CATALOGS: ImageCatalog, ASSOCIATIONS: AssociationStore, LOCKS: Locks}
"""The port that the adapters of a group must have."""


def discover(group: str) -> Mapping[str, EntryPoint]:
    """The group's entry points by name. For a duplicate name, lading's own is used, else the first, with a warning.

    Raises OSError when the system has no file descriptor left to search for them.
    """
    found: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: not entry.value.startswith("lading.")):
        used = found.setdefault(entry.name, entry)
        if used.value != entry.value:
            _log.warning("%s is not used: %s has the name %r in %s", entry.value, used.value, entry.name, group)
    if not found:
        # importlib.metadata ignores a folder that it cannot open. This raises the error.
        with os.scandir(Path(__file__).parent):
            pass
    return found


def origin(entry: EntryPoint) -> str:
    """The name and version of the entry point's distribution."""
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value


def owner_of(modules: Sequence[str]) -> str:
    """The distribution of the last call whose code is lading's or a third party's adapter's; `lading` where none is.

    `modules`: of the calls, the outermost first. A third party's distribution has its version.
    """
    entries = (entry for group in (HANDLERS, *_PORTS) for entry in entry_points(group=group))
    found = {entry.module: origin(entry) for entry in entries if not entry.value.startswith("lading.")}
    packages: dict[str, set[str]] = {}
    for module, distribution in found.items():
        packages.setdefault(module.partition(".")[0], set()).add(distribution)
    # Several distributions may share a namespace.
    own = {package: only for package, (only, *more) in packages.items() if not more}
    owners = {"lading": "lading", **own, **found}
    parts = (module.split(".") for module in reversed(modules))
    names = (".".join(each[:count]) for each in parts for count in range(len(each), 0, -1))
    return next((owners[name] for name in names if name in owners), "lading")


def available_handlers(
    settings: Settings, files: FileDestination, catalog: ImageCatalog, journal: Journal
) -> Mapping[str, Callable[[], Handler]]:
    """A factory for each installed handler, by name. A handler's module is imported by its factory."""
    found = discover(HANDLERS)
    tables = settings.handlers.tables
    if unknown := sorted(tables.keys() - found.keys()):
        import difflib  # noqa: PLC0415 - only an error needs it

        close = difflib.get_close_matches(unknown[0], found, 1)
        meant = f", did you mean {close[0]}?" if close else ""
        known = ", ".join(sorted(found))
        raise SettingsError(
            f"{settings.source}: handlers.{unknown[0]}: no handler has this name{meant} (known: {known})"
        )
    # Where no order is configured, handlers of equal cost are tried in this order: BUILT_IN's, then third parties'.
    names = [*(name for name in BUILT_IN if name in found), *(name for name in found if name not in BUILT_IN)]
    setups = {
        name: HandlerSetup(settings.handlers.table(name), files, catalog, journal, settings.network) for name in names
    }
    return {name: partial(_load_handler, found[name], setups[name]) for name in names}


def _load_handler(entry: EntryPoint, setup: HandlerSetup) -> Handler:
    handler: Handler = entry.load()(setup)
    if _log.isEnabledFor(logging.INFO):  # the distribution's metadata take milliseconds to read
        _log.info("handler %s is loaded, from %s", entry.name, origin(entry))
    return handler


def build_catalog(  # noqa: PLR0911 - one for each kind
    place: str, options: CatalogSettings, settings: Settings
) -> ImageCatalog:
    """The catalog of a table, `catalog` or `catalogs.NAME`. Raises SettingsError."""
    match options:
        case MemoryCatalogSettings():
            return MemoryCatalog()
        case FileCatalogSettings():
            allowed = settings.handlers.table("file").read(FileHandlerSettings).allowed_folders
            return FileCatalog(options.folder, allowed)
        case GlanceCatalogSettings():
            return GlanceCatalog.from_settings(options, network=settings.network)
        case SimplestreamsCatalogSettings():
            from lading.adapters.catalogs.simplestreams.catalog import SimplestreamsCatalog  # noqa: PLC0415 - few use it

            _, dot, name = place.partition(".")
            return SimplestreamsCatalog(options, _http_options(settings), prefix=f"{name}:" if dot else "")
        case UrlCatalogSettings():
            keyring = options.keyring if options.demanded == "signature" else None
            return UrlCatalog(_http_options(settings), options.mirrors, keyring)
        case OciCatalogSettings():
            return _oci_catalog(settings, options)
        case ThirdPartySettings():
            adapter: ImageCatalog = third_party(place, options, settings.source)
            return adapter


def remotes(settings: Settings) -> Mapping[str, Callable[[], ImageCatalog]]:
    """What makes each remote, by name."""
    return {
        name: partial(build_catalog, f"catalogs.{name}", options, settings)
        for name, options in settings.remotes.items()
    }


def certificates(settings: Settings) -> Certificates | None:
    """The certificates for signatures of Glance's images; None: those are not verified."""
    landing = settings.landing
    if landing.certificates is not None:
        return Certificates(CertificateFolder(landing.certificates), landing.trusted_certificates)
    if landing.key_manager is None:
        return None
    from lading.adapters.signatures.barbican import Barbican  # noqa: PLC0415 - few use it

    return Certificates(Barbican(landing.key_manager, settings.network), landing.trusted_certificates)


def policies(settings: Settings) -> Mapping[str | None, Policy]:
    """The policy of each remote, and under None that of the default catalog."""
    return {None: settings.catalog.demanded, **{name: each.demanded for name, each in settings.remotes.items()}}


def url_schemes(settings: Settings) -> Mapping[str, Callable[[], ImageCatalog]]:
    """What makes the catalog of each kind of URL, by scheme."""
    web = dict.fromkeys(("http", "https"), partial(_url_catalog, settings))
    own = settings.catalog if isinstance(settings.catalog, OciCatalogSettings) else OciCatalogSettings()
    return {**web, "oci": partial(_oci_catalog, settings, own)}


def _url_catalog(settings: Settings) -> UrlCatalog:
    return UrlCatalog(_http_options(settings))


def _http_options(settings: Settings) -> HttpOptions:
    """Connects as the http handler does."""
    http = settings.handlers.table("http").read(HttpHandlerSettings)
    network = settings.network.trusting(http.ca_file, "[handlers.http] ca_file")
    return http.http_options(network, http.guard())


def _oci_catalog(settings: Settings, options: OciCatalogSettings) -> ImageCatalog:
    """Connects and signs in as the oci handler does."""
    # Few programs read from a registry.
    from lading.adapters.catalogs.oci import OciCatalog  # noqa: PLC0415
    from lading.adapters.handlers.oci import OciHandlerSettings  # noqa: PLC0415

    access = settings.handlers.table("oci").read(OciHandlerSettings)
    return OciCatalog(access.registries(settings.network), options)


def adapter_of(settings: AssociationsSettings | LocksSettings) -> str:
    """The name of the container's provider for this kind."""
    return THIRD_PARTY if isinstance(settings, ThirdPartySettings) else settings.kind


def check_kind(section: str, settings: CatalogSettings | AssociationsSettings | LocksSettings, source: str) -> None:
    """Raises SettingsError where no adapter of the section's kind is installed. `source` is where it is configured.

    `section` is `catalogs.NAME` for a remote.
    """
    name = section.partition(".")[0]
    found = discover(_GROUPS[name]) if isinstance(settings, ThirdPartySettings) else {}
    if isinstance(settings, ThirdPartySettings) and settings.kind not in found:
        known = ", ".join(sorted({*BUILT_IN_KINDS[name], *found}))
        raise SettingsError(f"{source}: {section}.kind: expected one of {known}, got {settings.kind!r}")


def third_party(section: str, settings: ThirdPartySettings, source: str) -> Any:  # noqa: ANN401 - a section's port
    """A third party's adapter for the section, built with its own table. Raises SettingsError."""
    group = _GROUPS[section.partition(".")[0]]
    return _build(discover(group)[settings.kind], _PORTS[group], f"{source}: {section}.kind", settings.options)


def _build(entry: EntryPoint, port: type, place: str, options: Mapping[str, object]) -> object:
    named = f"{place}: {entry.name}, from {origin(entry)},"
    try:
        adapter: object = entry.load()(options)
    except LadingError as error:  # a wrong setting: the message names its place
        raise SettingsError(f"{named} cannot be used: {exception_reason(error)}") from error
    except ModuleNotFoundError as error:
        raise SettingsError(f"{named} cannot be imported: {error.name} is not installed") from error
    except Exception as error:
        _log.debug("%s could not be built", entry.value, exc_info=True)
        raise SettingsError(f"{named} could not be built: {exception_reason(error)}") from error
    verbs = [name for name, value in vars(port).items() if callable(value) and not name.startswith("_")]
    if lacking := [name for name in verbs if not callable(getattr(adapter, name, None))]:
        raise SettingsError(f"{named} is no {port.__name__}: a {type(adapter).__name__} lacks {', '.join(lacking)}")
    return adapter


def require_inspection(settings: Settings) -> None:
    """Raises SettingsError when formats must be inspected and the packages for that are not installed."""
    if settings.landing.inspect and not all(map(find_spec, ("oslo_utils", "cryptography"))):
        raise SettingsError(
            f"{settings.source}: landing.inspect needs oslo.utils and cryptography: pip install 'lading[inspect]', "
            "or set landing.inspect = false, and trust the catalog's formats"
        )


def require_etcd(settings: Settings) -> None:
    """Raises SettingsError when something is in etcd and urllib3 is not installed."""
    for section, kind in (("associations", settings.associations.kind), ("locks", settings.locks.kind)):
        if kind == "etcd" and find_spec("urllib3") is None:
            raise SettingsError(
                f"{settings.source}: {section}.kind = \"etcd\" needs urllib3: pip install 'lading[etcd]'"
            )
