"""The form of targets that are block devices."""

import os
import stat
from typing import Final

__all__ = ["is_device"]

_DEVICES: Final = "/dev"


def is_device(target: str) -> bool:
    """Returns True for a block device, and for every path in the file system of `/dev`, whatever is there.

    `/dev/shm` has a file system of its own.
    """
    if not os.path.isabs(target):
        return False
    try:
        return _is_block_device(target) or _is_beneath_dev(os.path.realpath(os.path.dirname(target)))
    except (OSError, ValueError):
        return False


def _is_block_device(target: str) -> bool:
    try:
        return stat.S_ISBLK(os.lstat(target).st_mode)
    except OSError:
        return False


def _is_beneath_dev(folder: str) -> bool:
    if folder != _DEVICES and not folder.startswith(f"{_DEVICES}/"):
        return False
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return os.stat(folder).st_dev == os.stat(_DEVICES).st_dev
