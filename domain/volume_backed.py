"""Snapshots of servers that boot from a volume: images without data of their own."""

import json
from collections.abc import Mapping, Sequence

from lading.ports.image import Image

__all__ = ["disks_elsewhere"]

_KINDS = ("snapshot", "volume", "image")


def disks_elsewhere(image: Image) -> tuple[str, ...] | None:
    """The disks of an image without data of its own, for messages, the boot disk first; None for other images.

    Nova registers the snapshot of a volume-backed server as an image of 0 bytes, with the digests of nothing. Its
    property `block_device_mapping` names, as JSON, the volume snapshots that such a server is made of
    (nova.compute.api.API.snapshot_volume_backed).

    >>> mapping = '[{"boot_index": 0, "source_type": "snapshot", "snapshot_id": "8f0c"}]'
    >>> disks_elsewhere(Image("1", size=0, properties={"block_device_mapping": mapping}))
    ('volume snapshot 8f0c',)
    """
    mapping = image.properties.get("block_device_mapping")
    if image.size or not mapping:
        return None
    devices = _devices(mapping)
    if devices is None:
        return ()
    named = sorted(
        (each for each in devices if not each.get("no_device")), key=lambda each: each.get("boot_index") != 0
    )
    return tuple(filter(None, map(_place, named))) if named else None


def _devices(mapping: object) -> list[Mapping[str, object]] | None:
    """The mapping's entries; None when it cannot be read."""
    try:
        devices = json.loads(mapping) if isinstance(mapping, str) else mapping
    except (ValueError, RecursionError):
        return None
    if not isinstance(devices, Sequence) or isinstance(devices, str):
        return None
    return [each for each in devices if isinstance(each, Mapping)]


def _place(device: Mapping[str, object]) -> str:
    """The source of one disk; empty for a blank disk, and for one without a source."""
    for kind in _KINDS:
        if isinstance(name := device.get(f"{kind}_id"), str) and name:
            return f"volume snapshot {name}" if kind == "snapshot" else f"{kind} {name}"
    return ""
