"""What each built-in handler's table in the configuration may say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from lading.adapters.web.guard import Guard
from lading.adapters.web.urls import web_url

__all__ = [
    "BUILT_IN",
    "CinderHandlerSettings",
    "DownloadHandlerSettings",
    "FileHandlerSettings",
    "HttpHandlerSettings",
    "RbdHandlerSettings",
    "S3HandlerSettings",
    "SwiftHandlerSettings",
]


@dataclass(frozen=True, slots=True)
class FileHandlerSettings:
    allowed_folders: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class HttpHandlerSettings:
    connections: int = 4
    """The most at a time for one image; 1: never more than one."""
    connect_seconds: float = 10.0
    stall_seconds: float = 30.0
    """A server that sends next to nothing for so long is given up."""
    first_byte_seconds: float = 120.0
    """How long a server may take before it sends anything: it may have to get the image first, or have it scanned."""
    ca_file: Path | None = None
    """Certificates to trust instead of the system's."""
    # These hold for redirects too. The ports are those of Glance's import_filtering_opts.
    allowed_schemes: tuple[Literal["http", "https"], ...] = ("http", "https")
    allowed_ports: tuple[int, ...] = (80, 443)
    """Empty: any."""
    allowed_hosts: tuple[str, ...] = ()
    """Names; `.images.example` is that domain and all beneath it. Empty: any."""
    allowed_networks: tuple[str, ...] = ()
    """CIDRs and addresses that may be reached, beside all that are public."""

    def __post_init__(self) -> None:
        _check_reading(self.connections, self.connect_seconds, self.stall_seconds, self.first_byte_seconds)
        Guard.of(self.allowed_schemes, self.allowed_ports, self.allowed_hosts, self.allowed_networks)


@dataclass(frozen=True, slots=True)
class DownloadHandlerSettings:
    """Nothing to set."""


@dataclass(frozen=True, slots=True)
class RbdHandlerSettings:
    ceph_conf: Path | None = None
    """None: where Ceph's own programs look, `$CEPH_CONF` and `/etc/ceph/ceph.conf` first."""
    user: str = "admin"
    """Without `client.` before it."""
    connect_timeout: float = 10.0
    """Seconds within which the cluster must answer, at first and ever after."""

    def __post_init__(self) -> None:
        if self.connect_timeout <= 0:
            raise ValueError("connect_timeout: expected more than 0 seconds")
        if not self.user.strip() or self.user.startswith("client."):
            raise ValueError("user: expected a name without client. before it, admin say")


@dataclass(frozen=True, slots=True)
class S3HandlerSettings:
    endpoint: str | None = None
    """`https://s3.example.org`; None: the host that each location names, which must be public."""
    access_key: str | None = None
    """None: those in each location's URL, for the endpoint, or else the host that it names."""
    secret_key: str | None = field(default=None, repr=False)
    region: str | None = None
    """None: the one that is in AWS's own host names, else `us-east-1`, which most other servers take."""
    connections: int = 4
    connect_seconds: float = 10.0
    stall_seconds: float = 30.0
    first_byte_seconds: float = 120.0
    ca_file: Path | None = None

    def __post_init__(self) -> None:
        _check_reading(self.connections, self.connect_seconds, self.stall_seconds, self.first_byte_seconds)
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("access_key, secret_key: expected both, or neither")
        if self.access_key is not None and self.endpoint is None:
            raise ValueError("endpoint: expected, for whom the access_key is: no key is sent to whomever a URL names")
        if self.endpoint is not None:
            _check_endpoint(self.endpoint)


@dataclass(frozen=True, slots=True)
class SwiftHandlerSettings:
    cloud: str | None = None
    """Whose Swift, and whose credentials: its name in clouds.yaml. None: as `OS_*` says, if it does."""
    hosts: tuple[str, ...] = ()
    """Other Keystones and Swifts that a location may name, `host` or `host:port`. They are sent its credentials."""
    connections: int = 4
    connect_seconds: float = 10.0
    stall_seconds: float = 30.0
    first_byte_seconds: float = 120.0
    ca_file: Path | None = None

    def __post_init__(self) -> None:
        _check_reading(self.connections, self.connect_seconds, self.stall_seconds, self.first_byte_seconds)


@dataclass(frozen=True, slots=True)
class CinderHandlerSettings:
    cloud: str | None = None
    """Whose Cinder, and whose credentials: its name in clouds.yaml. None: as `OS_*` says."""
    host: str | None = None
    """What this host is called in attachments; None: its own name."""
    ceph_conf: Path | None = None
    """For volumes that lie in a Ceph; None: what Cinder says of it, with the keyrings where Ceph looks for them."""
    root_helper: str | None = None
    """What runs a command as root, `sudo` for one; None: nothing, for lading is root's."""
    multipath: bool = False
    timeout: float = 60.0
    """Seconds within which a volume must have become what it was asked to become."""

    def __post_init__(self) -> None:
        if self.timeout <= 0:
            raise ValueError("timeout: expected more than 0 seconds")


def _check_reading(connections: int, *seconds: float) -> None:
    if not 1 <= connections <= 16:  # noqa: PLR2004 - more is an attack on the server
        raise ValueError("connections: expected 1 to 16")
    if min(seconds) <= 0:
        raise ValueError("connect_seconds, stall_seconds, first_byte_seconds: expected more than 0")


def _check_endpoint(url: str) -> None:
    try:
        _, userinfo = web_url(url)
    except ValueError:
        userinfo = "?"
    if userinfo:
        raise ValueError("endpoint: expected a URL like https://s3.example.org, without credentials")


BUILT_IN: Final[Mapping[str, type]] = {
    "file": FileHandlerSettings,
    "rbd": RbdHandlerSettings,
    "s3": S3HandlerSettings,
    "swift": SwiftHandlerSettings,
    "cinder": CinderHandlerSettings,
    "http": HttpHandlerSettings,
    "download": DownloadHandlerSettings,
}
"""By name, in the order in which those that cost the same are tried, where none is configured."""
