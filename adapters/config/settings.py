"""The configuration: one TOML file, `LADING_…` variables that override it, and defaults.

    [catalog]
    kind = "file"                                   # memory, file, glance, simplestreams, url, oci, or a third party's
    folder = "/srv/lading/catalog"
    [catalogs.NAME]                                 # a remote: NAME:REFERENCE is an image in it
    kind = "url"                                    # as above
    mirrors = ["https://cloud.debian.org/images/cloud"]
    [associations]
    kind = "file"                                   # memory, file, etcd, or a third party's
    path = "/var/lib/lading/associations.sqlite"
    [journal]
    kind = "file"                                   # memory or file
    path = "/var/lib/lading/associations.sqlite"    # default: the associations' path, if they are in a file
    [locks]
    kind = "file"                                   # memory (threads only), file, etcd, or a third party's
    folder = "/var/lib/lading/locks"                # default: beside the journal
    [handlers]
    order = ["file", "download"]                    # default: all installed handlers, the cheapest first
    [handlers.file]
    allowed_folders = ["/srv/images"]
    [landing]
    verify = true
    inspect = true
    allow_unverified = true
    mode = "0600"
    max_size = "200G"                               # default: no limit
    max_unpacked = "2T"                             # of the disk in a packed or converted image
    unpack = true
    format = "raw"                                  # or "qcow2"; default: the image's
    require_signature = false
    certificates = "/etc/lading/certificates"       # for signatures of Glance's images; default: not verified
    trusted_certificates = ["/etc/lading/ca.pem"]
    require_space = true
    [network]
    proxy = "http://proxy.example:3128"             # instead of http_proxy, https_proxy and all_proxy
    no_proxy = ["localhost", ".example.org"]        # instead of the variable no_proxy
    ca_file = "/etc/ssl/ours.pem"                   # instead of REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE and SSL_CERT_FILE

docs/etcd.md has the settings of the kind etcd, docs/simplestreams.md those of the kind simplestreams.
`LADING_HANDLERS__FILE__ALLOWED_FOLDERS=/srv/images,/img` sets `handlers.file.allowed_folders`. Relative paths are
relative to the file's folder, and in a variable to the current one.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final, Literal, TypeVar

from lading.adapters.catalogs.glance_settings import GlanceCatalogSettings
from lading.adapters.catalogs.oci_settings import OciCatalogSettings
from lading.adapters.catalogs.policy import CatalogPolicy, Policy
from lading.adapters.catalogs.remotes import split_reference
from lading.adapters.catalogs.simplestreams.settings import SimplestreamsCatalogSettings
from lading.adapters.catalogs.url_reference import is_url
from lading.adapters.catalogs.url_settings import UrlCatalogSettings
from lading.adapters.codec.sizes import Bytes
from lading.adapters.config.sources import read_file, read_variables
from lading.adapters.config.table import Table, Variable, secret_values
from lading.adapters.etcd.settings import EtcdAssociationsSettings, EtcdLocksSettings, EtcdSettings
from lading.adapters.handlers.built_in import BUILT_IN, settings_type
from lading.adapters.web.network import Named, NetworkPolicy, Proxy
from lading.ports.failures import SettingsError

__all__ = [
    "BUILT_IN_KINDS",
    "DEFAULT_KIND",
    "AssociationsSettings",
    "CatalogSettings",
    "FileAssociationsSettings",
    "FileCatalogSettings",
    "FileJournalSettings",
    "FileLocksSettings",
    "HandlersSettings",
    "JournalSettings",
    "LandingSettings",
    "LocksSettings",
    "MemoryCatalogSettings",
    "MemorySettings",
    "NetworkSettings",
    "Settings",
    "ThirdPartySettings",
    "default_paths",
    "kind_settings",
    "load_document",
    "load_settings",
    "merged",
    "read_settings",
    "secrets_of",
    "typed_settings",
    "user_file",
]

_Kind = TypeVar("_Kind")
_Kinds = Mapping[str, type[_Kind]]
DEFAULT_KIND: Final = "file"
_MAX_UNPACKED: Final = Bytes(2 << 40)
_REMOTE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
"""The name of a remote."""
_SCHEMES: Final = frozenset({"http", "https", "oci"})
"""What begins a reference and is no remote: a URL's scheme."""
_SECTIONS: Final = ("catalog", "catalogs", "associations", "journal", "locks", "handlers", "landing", "network")


@dataclass(frozen=True, slots=True)
class MemorySettings:
    kind: Literal["memory"] = "memory"


@dataclass(frozen=True, slots=True)
class MemoryCatalogSettings(CatalogPolicy):
    kind: Literal["memory"] = "memory"


@dataclass(frozen=True, slots=True)
class FileCatalogSettings(CatalogPolicy):
    folder: Path
    """The folder of the images' documents, one JSON file for each."""
    kind: Literal["file"] = "file"


@dataclass(frozen=True, slots=True)
class FileAssociationsSettings:
    path: Path
    """The database. Its second copy, the record, is beside it."""
    kind: Literal["file"] = "file"


@dataclass(frozen=True, slots=True)
class FileJournalSettings:
    path: Path
    """The database; by default that of the associations."""
    kind: Literal["file"] = "file"


@dataclass(frozen=True, slots=True)
class FileLocksSettings:
    folder: Path
    """The folder of the lock files; by default beside the journal."""
    kind: Literal["file"] = "file"


@dataclass(frozen=True, slots=True)
class ThirdPartySettings:
    """Settings of a third party's adapter."""

    kind: str
    """The name of its entry point."""
    options: Table = field(repr=False)
    """The configured options with their secrets, without the kind; `options.read(…)` returns them as a dataclass."""
    policy: Policy | None = None
    """Of a catalog's images; it is not among the options."""

    @property
    def demanded(self) -> Policy:
        return self.policy or "none"


# For a new kind, add its dataclass above and its name here.
_BuiltInCatalogSettings = (
    MemoryCatalogSettings
    | FileCatalogSettings
    | GlanceCatalogSettings
    | SimplestreamsCatalogSettings
    | UrlCatalogSettings
    | OciCatalogSettings
)
CatalogSettings = _BuiltInCatalogSettings | ThirdPartySettings
_CATALOGS: Final[_Kinds[_BuiltInCatalogSettings]] = {
    "memory": MemoryCatalogSettings,
    "file": FileCatalogSettings,
    "glance": GlanceCatalogSettings,
    "simplestreams": SimplestreamsCatalogSettings,
    "url": UrlCatalogSettings,
    "oci": OciCatalogSettings,
}
AssociationsSettings = MemorySettings | FileAssociationsSettings | EtcdAssociationsSettings | ThirdPartySettings
_ASSOCIATIONS: Final[_Kinds[MemorySettings | FileAssociationsSettings | EtcdAssociationsSettings]] = {
    "memory": MemorySettings,
    "file": FileAssociationsSettings,
    "etcd": EtcdAssociationsSettings,
}
JournalSettings = MemorySettings | FileJournalSettings
_JOURNALS: Final[_Kinds[JournalSettings]] = {"memory": MemorySettings, "file": FileJournalSettings}
LocksSettings = MemorySettings | FileLocksSettings | EtcdLocksSettings | ThirdPartySettings
_LOCKS: Final[_Kinds[MemorySettings | FileLocksSettings | EtcdLocksSettings]] = {
    "memory": MemorySettings,
    "file": FileLocksSettings,
    "etcd": EtcdLocksSettings,
}
BUILT_IN_KINDS: Final[Mapping[str, Sequence[str]]] = {
    "catalog": (*_CATALOGS,), "catalogs": (*_CATALOGS,), "associations": (*_ASSOCIATIONS,),
    "journal": (*_JOURNALS,), "locks": (*_LOCKS,),
}  # fmt: skip
"""By section."""


def kind_settings(section: str, kind: str) -> type:
    """The dataclass of a section's built-in kind."""
    kinds: Mapping[str, Mapping[str, type]] = {
        "catalog": _CATALOGS, "associations": _ASSOCIATIONS, "journal": _JOURNALS, "locks": _LOCKS,
    }  # fmt: skip
    return kinds[section][kind]


@dataclass(frozen=True, slots=True)
class HandlersSettings:
    order: tuple[str, ...] | None
    """None: all installed handlers, the cheapest for each target first."""
    tables: Mapping[str, Table] = field(repr=False)
    """By handler, with their secrets. Every built-in handler has one, and it was checked."""

    def table(self, name: str) -> Table:
        """The handler's own table, an empty one if none is configured."""
        return self.tables.get(name) or Table({}, f"handlers.{name}")

    @property
    def by_cost(self) -> bool:
        return self.order is None


@dataclass(frozen=True, slots=True)
class LandingSettings:
    verify: bool = True
    """True: the bytes are compared with the catalog's digest."""
    inspect: bool = True
    """True: the format of the bytes must be the catalog's, and must be safe to open."""
    allow_unverified: bool = True
    """True: an image without a digest in the catalog is accepted."""
    mode: str = "0600"
    """The mode of new files, in octal digits."""
    require_space: bool = True
    """True: an image that does not fit is refused before the first byte; a sparse one takes less than its size."""
    max_size: Bytes | None = None
    """The largest image that is accepted; None: any."""
    max_unpacked: Bytes = _MAX_UNPACKED
    """The largest disk that a packed or converted image may have."""
    unpack: bool = True
    """True: compressed images, and disks in archives, are unpacked."""
    format: Literal["raw", "qcow2"] | None = None
    """The format of targets for which no other is requested; None: the image's."""
    require_signature: bool = False
    """True: only images are accepted that a trusted key signed: their bytes, or the list that has their digest."""
    certificates: Path | None = None
    """The folder with the certificates of those who sign Glance's images, each in a file ID.pem."""
    key_manager: str | None = None
    """Instead of the folder: a cloud in clouds.yaml, whose Barbican has the certificates."""
    trusted_certificates: tuple[Path, ...] = ()
    """Files of the authorities that must have issued these certificates; none: each in the folder is trusted."""

    def __post_init__(self) -> None:
        if self.certificates is not None and self.key_manager is not None:
            raise ValueError("certificates, key_manager: expected one of them")
        if self.trusted_certificates and not self.verifies_certified:
            raise ValueError("trusted_certificates: expected with certificates, or with key_manager")
        if self.key_manager is not None and not self.trusted_certificates:
            raise ValueError("trusted_certificates: expected with key_manager: each user can store certificates there")
        if not re.fullmatch(r"(0o?)?[0-7]{3}", self.mode):
            raise ValueError("mode: expected three octal digits, for example 0600")

    @property
    def verifies_certified(self) -> bool:
        """Signatures of Glance's images are verified."""
        return self.certificates is not None or self.key_manager is not None

    @property
    def bits(self) -> int:
        """The mode as chmod(2) takes it."""
        return int(self.mode, 8)


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """Proxy and certificates, which override the environment's variables."""

    proxy: str | None = field(default=None, repr=False)
    """`http://[USER:PASSWORD@]HOST[:PORT]`, for http and https; None: the variables'."""
    no_proxy: tuple[str, ...] | None = None
    """Names, addresses, CIDRs, `*`; None: the variable's."""
    ca_file: Path | None = None
    """Certificates to trust instead of the system's; None: the variables'."""


@dataclass(frozen=True, slots=True)
class Settings:
    catalog: CatalogSettings
    """The default catalog."""
    remotes: Mapping[str, CatalogSettings]
    """By name."""
    associations: AssociationsSettings
    handlers: HandlersSettings
    landing: LandingSettings
    journal: JournalSettings
    locks: LocksSettings
    network: NetworkPolicy
    source: str
    """The file and the variables that were read, for messages."""

    def names_url(self, reference: str) -> bool:
        """Tells whether the reference is a URL, or a path beneath the mirrors of a remote of kind `url`."""
        remote, _ = split_reference(reference, self.remotes)
        catalog = self.catalog if remote is None else self.remotes[remote]
        return is_url(reference) or catalog.kind == "url"


def load_settings(path: str | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Reads the settings of the file at `path`, and the variables that override them, by default this process's.

    Without a path: `$LADING_CONFIG`, or else the first that exists of `./lading.toml`,
    `$XDG_CONFIG_HOME/lading/lading.toml` and `/etc/lading/lading.toml`. A named file must exist. A file that is found
    in the current folder must be the user's own or root's. Raises SettingsError.
    """
    # Not a default argument: help() would show it, with every password in it.
    environ = os.environ if environ is None else environ
    return read_settings(load_document(path, environ), environ)


def load_document(path: str | None, environ: Mapping[str, str]) -> Mapping[str, object]:
    """The content of the file that `load_settings` reads; empty if there is none. Raises SettingsError."""
    named = path if path is not None else environ.get("LADING_CONFIG") or None
    if named is not None:
        table = read_file(Path(named))
        if table is None:
            raise SettingsError(f"{named}: no such file")
        return table
    user = user_file(environ)
    places = [Path("lading.toml"), *([user] if user else []), Path("/etc/lading/lading.toml")]
    tables = (read_file(place, trusted=place.is_absolute()) for place in places)
    return next((table for table in tables if table is not None), {})


def user_file(environ: Mapping[str, str]) -> Path | None:
    """The path of the user's own settings file; None where the user has no home."""
    home = _home(environ, "XDG_CONFIG_HOME", ".config")
    return home / "lading.toml" if home else None


def read_settings(document: Mapping[str, object], environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of the document, and the variables that override them, by default this process's.

    A variable that sets another kind than the document's drops that table of the document. Raises SettingsError.
    """
    environ = os.environ if environ is None else environ
    return typed_settings(merged(document, environ), environ)


def merged(document: Mapping[str, object], environ: Mapping[str, str]) -> Table:
    """The document with the variables that override it. Raises SettingsError."""
    root = _copy(document)
    variables = read_variables(environ, _SECTIONS)
    for variable in variables:
        _drop_other_kind(root, variable)
    for variable in variables:
        root.put(variable.path, variable)
    for key in root:
        if key not in _SECTIONS:
            raise root.unknown(key, _SECTIONS)
    return root


def typed_settings(root: Table, environ: Mapping[str, str]) -> Settings:
    """The settings of merged tables, which get the defaults of paths. Raises SettingsError."""
    variables = read_variables(environ, _SECTIONS)
    paths = default_paths(environ)
    database = paths["path"]
    associations = _read_kind(root.section("associations"), _ASSOCIATIONS, paths)
    if isinstance(associations, FileAssociationsSettings):
        database = associations.path
    # The journal and the locks are beside the associations: in a folder, or in memory.
    kind = "memory" if isinstance(associations, MemorySettings) else DEFAULT_KIND
    _share_cluster(root.section("associations"), root.section("locks"))
    journal = _read_kind(root.section("journal"), _JOURNALS, {"path": database}, kind)
    if isinstance(journal, ThirdPartySettings):
        raise root.section("journal").type_error("kind", "one of file, memory")
    if isinstance(journal, FileJournalSettings):
        database = journal.path
    settings = Settings(
        catalog=_read_kind(root.section("catalog"), _CATALOGS, paths),
        remotes=_read_remotes(root.section("catalogs"), {"cache": paths["cache"]}),
        associations=associations,
        journal=journal,
        locks=_read_kind(root.section("locks"), _LOCKS, {"folder": database and database.parent / "locks"}, kind),
        handlers=_read_handlers(root.section("handlers")),
        landing=root.section("landing").read(LandingSettings),
        network=_read_network(root.section("network"), environ),
        source=", ".join((root.source or "the defaults", *(variable.name for variable in variables))),
    )
    _check_policy("catalog", settings.catalog, settings)
    for name, remote in settings.remotes.items():
        _check_policy(f"catalogs.{name}", remote, settings)
    return settings


def default_paths(environ: Mapping[str, str]) -> Mapping[str, Path | None]:
    """The default paths of catalogs and associations, by key; None: there is none, because the user has no home."""
    data, cache = _home(environ, "XDG_DATA_HOME", ".local/share"), _home(environ, "XDG_CACHE_HOME", ".cache")
    return {
        "folder": data and data / "catalog",
        "cache": cache and cache / "simplestreams",
        "path": data and data / "associations.sqlite",
        # A database of its own: associations of the time before etcd are no copy of what etcd has.
        "copy": data and data / "etcd-copy.sqlite",
    }


def _copy(document: Mapping[str, object]) -> Table:
    source = getattr(document, "source", "")
    try:
        return Table(document, "", source, getattr(document, "folder", None))
    except RecursionError as error:
        raise SettingsError(f"{source}: is nested too deeply".removeprefix(": ")) from error


def _read_kind(
    table: Table, kinds: _Kinds[_Kind], files: Mapping[str, Path | None], default: str = DEFAULT_KIND
) -> _Kind | ThirdPartySettings:
    """The table as the settings of its kind. `files` are default paths by key; None: there is none."""
    table.setdefault("kind", default)
    kind = table.value("kind", str)
    if kind not in kinds:
        options = copy(table)
        del options["kind"]
        policy = options.value("policy", Policy | None) if kinds is _CATALOGS else None
        if policy is not None:
            del options["policy"]
        return ThirdPartySettings(kind, options, policy)
    for key, path in files.items():
        if path is not None and key in {each.name for each in fields(kinds[kind])}:  # type: ignore[arg-type]  # a dataclass
            table.setdefault(key, path)
    return table.read(kinds[kind])


def _read_remotes(table: Table, files: Mapping[str, Path | None]) -> Mapping[str, CatalogSettings]:
    """The remotes by name. Each has its own kind and folder: there is no default. `files` as for `_read_kind`."""
    for name in table:
        if not _REMOTE.fullmatch(name) or name.lower() in _SCHEMES:
            schemes = " or ".join(sorted(_SCHEMES))
            expected = f"a name of letters, digits, '_', '-' and '.', and not {schemes}"
            raise SettingsError(f"{table.place(name)}: the name of a remote is no prefix; expected {expected}")
        if "kind" not in (remote := table.section(name)):
            known = ", ".join(sorted(BUILT_IN_KINDS["catalogs"]))
            raise SettingsError(f"{remote.place('kind')}: missing, expected one of {known}, or a third party's")
    return {name: _read_kind(table.section(name), _CATALOGS, files) for name in table}


def _check_policy(name: str, catalog: CatalogSettings, settings: Settings) -> None:
    """Raises SettingsError where signatures are demanded that nothing verifies."""
    is_glance_like = isinstance(catalog, MemoryCatalogSettings | FileCatalogSettings | GlanceCatalogSettings)
    if is_glance_like and catalog.demanded == "signature" and not settings.landing.verifies_certified:
        reason = (
            f'{name}: policy = "signature" needs [landing] certificates or key_manager, for the images of this kind'
        )
        raise SettingsError(f"{settings.source}: {reason}")


def _drop_other_kind(root: Table, variable: Variable) -> None:
    """Drops the table of which the variable sets another kind: its other keys are that kind's."""
    *path, key = variable.path
    depth = 2 if path[0] == "catalogs" else 1
    if key != "kind" or len(path) != depth:
        return
    table = root.section(path[0]) if depth > 1 else root
    name = next((each for each in table if each.lower().replace("-", "_") == path[-1]), path[-1])
    if name in table and table.section(name).get("kind", DEFAULT_KIND) != variable.text:
        del table[name]


def _share_cluster(associations: Table, locks: Table) -> None:
    """Gives the locks in etcd what is configured of the cluster for the associations."""
    if associations.get("kind") == locks.get("kind") == "etcd":
        for each in fields(EtcdSettings):
            if each.name in associations and each.name not in locks:
                locks[each.name] = associations[each.name]
                if each.name in associations.variables:
                    locks.variables[each.name] = associations.variables[each.name]


def _read_handlers(table: Table) -> HandlersSettings:
    for key, value in table.items():
        if key not in {"order", *BUILT_IN} and not isinstance(value, Table):
            raise table.unknown(key, ("order", *BUILT_IN))
    for name in BUILT_IN:
        if section := table.section(name):
            section.read(settings_type(name))  # now, to report a mistake at the start
    order = table.value("order", tuple[str, ...] | None)
    return HandlersSettings(order, {key: value for key, value in table.items() if isinstance(value, Table)})


def _read_network(table: Table, environ: Mapping[str, str]) -> NetworkPolicy:
    settings = table.read(NetworkSettings)
    proxy = None if settings.proxy is None else Named(settings.proxy, table.place("proxy"))
    ca_file = None if settings.ca_file is None else Named(str(settings.ca_file), table.place("ca_file"))
    if proxy is not None:
        Proxy.of(proxy)  # now: a setting is checked when it is read, a variable when it is used
    return NetworkPolicy.of(environ, proxy=proxy, no_proxy=settings.no_proxy, ca_file=ca_file)


def _home(environ: Mapping[str, str], variable: str, fallback: str) -> Path | None:
    """lading's folder by the XDG Base Directory specification, which ignores relative paths."""
    named = Path(environ.get(variable, ""))
    with suppress(RuntimeError):
        folder = named if named.is_absolute() else Path(environ.get("HOME") or "~").expanduser() / fallback
        return folder / "lading" if folder.is_absolute() else None
    return None


def secrets_of(settings: Settings) -> Iterator[str]:
    """The values of the settings whose names mark them as secret."""
    yield from secret_values(settings.handlers.tables)
    for catalog in (settings.catalog, *settings.remotes.values()):
        if isinstance(catalog, OciCatalogSettings) and catalog.password:
            yield catalog.password
    for each in (settings.catalog, *settings.remotes.values(), settings.associations, settings.locks):
        if isinstance(each, ThirdPartySettings):
            yield from secret_values(each.options)
