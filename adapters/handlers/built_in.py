"""The built-in handlers' names, and where their settings are declared."""

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
    "http": "lading.adapters.handlers.http:HttpHandlerSettings",
    "download": "lading.adapters.handlers.download:DownloadHandlerSettings",
}
"""By name, in the order in which those that cost the same are tried, where none is configured."""


def settings_type(name: str) -> type:
    """The dataclass of a built-in handler's table. Its module is loaded only now."""
    kind: type = resolve_name(BUILT_IN[name])
    return kind
