"""Completion of arguments: what is offered for images, targets, handlers, hosts, clouds and formats.

A key press must be quick and silent. So nothing is printed, an error offers nothing, no interrupted operation is
recovered, and no server is called, with one exception: the names of hosts are read from etcd, for a second at most.
"""

import functools
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from click.shell_completion import CompletionItem

from lading.adapters.cli.arguments import safe_completions
from lading.adapters.cli.common_options import CommonOptions

if TYPE_CHECKING:
    from lading.adapters.config.settings import CatalogSettings, Settings
    from lading.ports.image import Image

__all__ = [
    "complete_clouds",
    "complete_commands",
    "complete_formats",
    "complete_handlers",
    "complete_hosts",
    "complete_images",
    "complete_remotes",
    "complete_targets",
]

_Completion = Callable[[click.Context, click.Parameter, str], "list[CompletionItem[str]]"]
_MOST: Final = 10_000
"""Images or targets that are read."""
_ETCD_SECONDS: Final = 1.0
_FORMATS: Final = ("raw", "qcow2", "vmdk", "vhd", "vhdx", "vdi", "iso", "ploop", "ami", "ari", "aki")
"""Glance's names of formats."""


def _completion(words: Callable[[click.Context, str], Iterable[str]]) -> _Completion:
    """Makes a completion of what returns words. An error prints nothing: the user is typing a command."""

    @functools.wraps(words)
    def complete(context: click.Context, _parameter: click.Parameter, incomplete: str) -> "list[CompletionItem[str]]":
        logging.disable()
        try:
            found = dict.fromkeys(islice(words(context, incomplete), _MOST))
        except Exception:  # noqa: BLE001 - see above
            return []
        return [CompletionItem(each) for each in safe_completions(found, incomplete)]

    return complete


@_completion
def complete_images(context: click.Context, incomplete: str) -> Iterator[str]:
    """The images of this host's catalog, the remotes, and the images of a remote that is on this host or cached."""
    settings = _settings(context)
    remote, colon, _ = incomplete.partition(":")
    if colon and remote in settings.remotes:
        for image in _images(f"catalogs.{remote}", settings.remotes[remote], settings):
            yield from (f"{remote}:{each}" for each in (image.name, image.id) if each)
        return
    yield from (f"{each}:" for each in settings.remotes)
    for image in _images("catalog", settings.catalog, settings):
        yield from (each for each in (image.name, image.id) if each)


@_completion
def complete_remotes(context: click.Context, _incomplete: str) -> Iterator[str]:
    """The configured remotes, each with its colon."""
    return (f"{each}:" for each in _settings(context).remotes)


def complete_targets(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> "list[CompletionItem[str]]":
    """The recorded targets. Where none begins like this: paths."""
    return [CompletionItem(incomplete, type="file"), *_recorded_targets(context, parameter, incomplete)]


@_completion
def _recorded_targets(context: click.Context, incomplete: str) -> Iterator[str]:
    from lading.adapters.config.settings import FileAssociationsSettings  # noqa: PLC0415 - `--help` does without it
    from lading.adapters.sqlite.associations import FileAssociations  # noqa: PLC0415 - likewise
    from lading.adapters.sqlite.database import Database  # noqa: PLC0415 - likewise

    associations = _settings(context).associations
    if not isinstance(associations, FileAssociationsSettings):
        return
    here = f"{Path.cwd()}/"
    for each in FileAssociations(Database(associations.path)).list():
        # A path of the current folder may be written without the folder.
        yield each.target if incomplete.startswith("/") else each.target.removeprefix(here)


@_completion
def complete_handlers(_context: click.Context, _incomplete: str) -> Iterable[str]:
    """The installed handlers."""
    from lading.adapters import plugins  # noqa: PLC0415 - `--help` does without it

    return plugins.discover(plugins.HANDLERS)


@_completion
def complete_hosts(context: click.Context, _incomplete: str) -> Iterable[str]:
    """The hosts in the record of etcd, where it answers within a second."""
    from lading.adapters.etcd.associations import EtcdAssociations  # noqa: PLC0415 - `--help` does without it
    from lading.adapters.etcd.settings import EtcdAssociationsSettings  # noqa: PLC0415 - likewise
    from lading.ports.locks import NullLocks  # noqa: PLC0415 - likewise

    settings = _settings(context).associations
    if not isinstance(settings, EtcdAssociationsSettings):
        return ()
    quick = replace(settings, timeout=min(settings.timeout, _ETCD_SECONDS))
    return EtcdAssociations.from_settings(quick, NullLocks()).hosts()


@_completion
def complete_clouds(_context: click.Context, _incomplete: str) -> Iterable[str]:
    """The clouds in the first clouds.yaml that exists, in openstacksdk's order."""
    import yaml  # type: ignore[import-untyped]  # noqa: PLC0415 - installed with openstacksdk

    named = os.environ.get("OS_CLIENT_CONFIG_FILE")
    home = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    folders = (Path(), home / "openstack", Path("/etc/openstack"))
    places = [folder / f"clouds{ending}" for folder in folders for ending in (".yaml", ".yml")]
    for place in [Path(named), *places] if named else places:
        if place.is_file():
            return (str(each) for each in yaml.safe_load(place.read_text())["clouds"])
    return ()


@_completion
def complete_formats(_context: click.Context, _incomplete: str) -> Iterable[str]:
    """The names of disk formats."""
    return _FORMATS


@_completion
def complete_commands(context: click.Context, _incomplete: str) -> Iterable[str]:
    """The commands, or the subcommands of the command that is named already."""
    command: click.Command | None = context.find_root().command
    for name in context.params.get("names") or ():
        command = command.get_command(context, name) if isinstance(command, click.Group) else None
    return command.list_commands(context) if isinstance(command, click.Group) else ()


def _settings(context: click.Context) -> "Settings":
    from lading.adapters.config.settings import load_settings  # noqa: PLC0415 - `--help` does without it

    options = CommonOptions.of(context)
    return load_settings(options.config, options.environment(os.environ))


def _images(section: str, options: "CatalogSettings", settings: "Settings") -> "Iterable[Image]":
    """The images of a catalog that is on this host, or of the copies that are cached; of any other catalog none."""
    from lading.adapters.catalogs.file import FileCatalog  # noqa: PLC0415 - `--help` does without it
    from lading.adapters.catalogs.simplestreams.settings import SimplestreamsCatalogSettings  # noqa: PLC0415 - likewise
    from lading.adapters.cli.suggestions import is_local  # noqa: PLC0415 - likewise
    from lading.adapters.config.settings import FileCatalogSettings, ThirdPartySettings  # noqa: PLC0415 - likewise
    from lading.ports.catalog import ImageListing  # noqa: PLC0415 - likewise

    if isinstance(options, FileCatalogSettings):
        return FileCatalog(options.folder).images()
    if not isinstance(options, SimplestreamsCatalogSettings | ThirdPartySettings):
        return ()
    from lading.adapters import plugins  # noqa: PLC0415 - likewise; it loads all catalogs

    is_cached = isinstance(options, SimplestreamsCatalogSettings)
    if isinstance(options, SimplestreamsCatalogSettings):
        options = replace(options, offline=True)
    catalog = plugins.build_catalog(section, options, settings)
    return catalog.images() if isinstance(catalog, ImageListing) and (is_cached or is_local(catalog)) else ()
