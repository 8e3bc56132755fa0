"""The handler of images on web servers. Several locations of one image are mirrors."""

from dataclasses import dataclass
from typing import Literal, Self

from lading.adapters.handlers.remote import RemoteHandler
from lading.adapters.handlers.remote_settings import RemoteSettings
from lading.adapters.handlers.setup import HandlerSetup
from lading.adapters.web.guard import Guard
from lading.domain.cost import Cost

__all__ = ["HttpHandler", "HttpHandlerSettings"]


@dataclass(frozen=True)
class HttpHandlerSettings(RemoteSettings):
    # The default ports are those of Glance's import_filtering_opts.
    allowed_schemes: tuple[Literal["http", "https"], ...] = ("http", "https")
    """This and the next three hold for redirects too."""
    allowed_ports: tuple[int, ...] = (80, 443)
    """Empty: any."""
    allowed_hosts: tuple[str, ...] = ()
    """Names; `.images.example` is that domain and its subdomains. Empty: any."""
    allowed_networks: tuple[str, ...] = ()
    """CIDRs and addresses that are allowed beside all public ones."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.guard()

    def guard(self) -> Guard:
        """The guard of these settings. Raises ValueError."""
        return Guard.of(self.allowed_schemes, self.allowed_ports, self.allowed_hosts, self.allowed_networks)


class HttpHandler(RemoteHandler):
    """Takes `http://` and `https://`: plain and signed URLs, credentials in the URL, TLS verified."""

    name = "http"
    schemes = frozenset({"http", "https"})
    is_local = True

    @classmethod
    def from_setup(cls, setup: HandlerSetup) -> Self:
        settings = setup.read(HttpHandlerSettings)
        options = settings.http_options(setup.network_trusting(settings.ca_file, cls.name), settings.guard())
        return cls(options, setup.files, connections=settings.connections)

    def cost(self, target: str) -> Cost:
        return Cost.HTTP
