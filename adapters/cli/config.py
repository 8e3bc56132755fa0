"""`lading config`."""

from lading.adapters.cli.command import group

__all__ = ["config"]


@group()
def config() -> None:
    """X."""
