"""The handler of images in registries of the OCI. A blob's digest is its name, so a registry cannot swap it."""

from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self

from returns.result import Result

from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.remote import RemoteHandler
from lading.adapters.handlers.remote_settings import RemoteSettings
from lading.adapters.handlers.setup import HandlerSetup
from lading.adapters.oci.credentials import Keychain, auth_files
from lading.adapters.oci.reference import Reference
from lading.adapters.oci.registry import Registries
from lading.adapters.stream.errors import Refused
from lading.adapters.web.guard import Guard
from lading.adapters.web.http import Origin
from lading.adapters.web.mirrors import Mirrors
from lading.adapters.web.network import NetworkPolicy
from lading.domain.cost import Cost
from lading.domain.handler import Landing, Work
from lading.domain.refusals import Refusal, Unsupported
from lading.ports.location import Location

__all__ = ["OciHandler", "OciHandlerSettings"]

_HINT: Final = "[handlers.oci] allowed_hosts, allowed_ports and allowed_networks list what is allowed"


@dataclass(frozen=True)
class OciHandlerSettings(RemoteSettings):
    """What registries, their token servers and their redirects may be, and the credentials; for the catalog too."""

    allowed_ports: tuple[int, ...] = (80, 443)
    """Empty: any."""
    allowed_hosts: tuple[str, ...] = ()
    """Names; `.registry.example` is that domain and its subdomains. Empty: any."""
    allowed_networks: tuple[str, ...] = ()
    """CIDRs and addresses that are allowed beside all public ones."""
    insecure: tuple[str, ...] = ()
    """Registries, `host` or `host:port`, that are requested by http. Each may have any address."""
    passwords: dict[str, str] = field(default_factory=dict, repr=False)
    """`user:password` by registry or repository; before those in the files."""
    auth_file: Path | None = None
    """The only file with logins; None: those of podman and docker."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.guard()
        for name in self.insecure:
            if "/" in name or str(Reference.of(f"oci://{name}/a")) != f"oci://{name}/a:latest":
                raise ValueError("insecure: expected names like registry.example or registry.example:5000")
        if not all(":" in each for each in self.passwords.values()):
            raise ValueError("passwords: expected user:password for each registry")

    def guard(self) -> Guard:
        """The guard of these settings. Raises ValueError."""
        guard = Guard.of(("http", "https"), self.allowed_ports, self.allowed_hosts, self.allowed_networks)
        return replace(guard, hint=_HINT)

    def keychain(self) -> Keychain:
        return Keychain(self.passwords, auth_files() if self.auth_file is None else [self.auth_file])

    def registries(self, network: NetworkPolicy, first_wait: float = 0.5) -> Registries:
        """The registries by these settings, and by the network policy with their `ca_file`. Raises SettingsError."""
        options = self.http_options(network.trusting(self.ca_file, "[handlers.oci] ca_file"), self.guard())
        return Registries(options, self.keychain(), insecure=self.insecure, first_wait=first_wait)


class OciHandler(RemoteHandler):
    """Takes `oci://HOST/REPOSITORY@sha256:…`: a blob of a registry.

    The bytes must have the digest in the location. A location that the operator named may have any address.
    """

    name = "oci"
    schemes = frozenset({"oci"})
    is_local = True

    def __init__(self, registries: Registries, files: FileDestination, *, connections: int = 4) -> None:
        super().__init__(registries.options, files, connections=connections)
        self._registries = registries

    @classmethod
    def from_setup(cls, setup: HandlerSetup) -> Self:
        settings = setup.read(OciHandlerSettings)
        return cls(settings.registries(setup.network), setup.files, connections=settings.connections)

    def cost(self, target: str) -> Cost:
        return Cost.HTTP

    def fetch(self, work: Work) -> Result[Landing, Refusal]:
        return super().fetch(_with_digest(work))

    def preview(self, work: Work) -> Result[str, Refusal]:
        return super().preview(_with_digest(work))

    def mirrors(self, work: Work, location: Location) -> Mirrors:
        try:
            named = _blob(location)
        except ValueError as error:
            raise Refused(Unsupported(str(error))) from None
        return self._registries.blob(named, trusted=location.trusted)

    def origin(self, location: Location) -> Origin:
        raise ValueError("each registry has its own sign-in: locations are not mirrors of each other")


def _with_digest(work: Work) -> Work:
    """The work with the location's digest, where the catalog has none that is as good."""
    if work.image is None or work.location is None or work.image.digest is not None:
        return work
    with suppress(ValueError):  # `mirrors` refuses such a location
        return replace(work, image=replace(work.image, digest=_blob(work.location).digest))
    return work


def _blob(location: Location) -> Reference:
    """The blob that a location names. Raises ValueError."""
    named = Reference.of(location.url)
    if named.digest is None:
        raise ValueError("it names no blob by its digest: expected oci://HOST/REPOSITORY@sha256:…")
    return named
