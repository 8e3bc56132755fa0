"""Folders for what is nobody else's business."""

from contextlib import suppress
from pathlib import Path

__all__ = ["make_private"]


def make_private(folder: Path) -> None:
    """Have the folder there, and those above it; the ones that are made are for their owner only. Raises OSError."""
    # By itself mkdir makes those above with whatever the umask lets through.
    for each in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        with suppress(FileExistsError):
            each.mkdir(mode=0o700)
