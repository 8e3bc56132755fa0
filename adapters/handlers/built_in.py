"""The built-in handlers' names, and the types of their settings."""

from collections.abc import Mapping
from pkgutil import resolve_name
from typing import Final

__all__ = ["BUILT_IN", "settings_type"]

BUILT_IN: Final[Mapping[str, str]] = {
    "file": "lading.adapters.handlers.file:FileHandlerSettings",
    "rbd": "lading.adapters.handlers.rbd.settings:RbdHandlerSettings",
    "s3": "lading.adapters.handlers.s3:S3HandlerSettings",
    "swift": "lading.adapters.handlers.swift:SwiftHandlerSettings",
    "cinder": "lading.adapters.handlers.cinder.settings:CinderHandlerSettings",
    "oci": "lading.adapters.handlers.oci:OciHandlerSettings",
    "http": "lading.adapters.handlers.http:HttpHandlerSettings",
    "download": "lading.adapters.handlers.download:DownloadHandlerSettings",
}
"""By name. Handlers of equal cost are tried in this order, where no order is configured."""


def settings_type(name: str) -> type:
    """The dataclass of a built-in handler's table. The call loads its module."""
    kind: type = resolve_name(BUILT_IN[name])
    return kind
