"""The options that each command has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import click

__all__ = ["CommonOptions"]


@dataclass
class CommonOptions:
    """The values of the options that each command has. They may be given before the command's name and after it."""

    json: bool = False
    config: str | None = None
    os_cloud: str | None = None
    verbose: int = 0
    quiet: bool = False
    full: bool = False
    words: Sequence[str] = ()
    """The command line, without the program's name."""

    @classmethod
    def of(cls, context: click.Context) -> "CommonOptions":
        """The values of a command line, of whose contexts this is one."""
        options: CommonOptions = context.meta.setdefault(__name__, cls())
        return options

    def environment(self, environ: Mapping[str, str]) -> Mapping[str, str]:
        """The environment for the settings: --os-cloud means the same as two variables."""
        cloud = {"LADING_CATALOG__KIND": "glance", "LADING_CATALOG__CLOUD": self.os_cloud} if self.os_cloud else {}
        return {**environ, **cloud}
