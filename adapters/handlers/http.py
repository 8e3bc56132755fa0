"""Images on web servers, mirrors of each other where there are several."""

from typing import Self

from lading.adapters.config.settings import read_table
from lading.adapters.handlers.remote import RemoteHandler
from lading.adapters.handlers.settings import HttpHandlerSettings
from lading.adapters.handlers.setup import HandlerSetup
from lading.adapters.web.guard import Guard
from lading.adapters.web.http import HttpOptions
from lading.domain.cost import Cost

__all__ = ["HttpHandler"]


class HttpHandler(RemoteHandler):
    """Takes `http://` and `https://`: plain and signed URLs, credentials in the URL, TLS verified."""

    name = "http"
    schemes = frozenset({"http", "https"})
    is_local = True

    @classmethod
    def from_setup(cls, setup: HandlerSetup) -> Self:
        settings = read_table(HttpHandlerSettings, setup.settings, "handlers.http")
        network = setup.network_trusting(settings.ca_file, cls.name)
        guard = Guard.of(
            settings.allowed_schemes, settings.allowed_ports, settings.allowed_hosts, settings.allowed_networks
        )
        options = HttpOptions(
            settings.connect_seconds,
            settings.stall_seconds,
            network,
            guard,
            first_byte_seconds=settings.first_byte_seconds,
        )
        return cls(options, setup.files, connections=settings.connections)

    def cost(self, target: str) -> Cost:
        return Cost.HTTP
