"""What is given to the commands: how it is read, and how the shell completes it."""

import logging
import os
import re
import shlex
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from typing_extensions import override

from lading.adapters.codec.sizes import bytes_from
from lading.adapters.stream.safe_open import absolute_path
from lading.ports.catalog import ImageListing, ImageRegistry
from lading.ports.image import Image

__all__ = [
    "PATH",
    "SIZE",
    "complete_images",
    "file_name",
    "in_use_option",
    "is_folder",
    "local_target",
    "names_folder",
    "offered",
    "target_in",
]

_Command = TypeVar("_Command", bound=Callable[..., Any])
PATH: Final = click.Path(readable=False)
"""Completed as a path; whether anything is there, and who may read it, is found out when it is used."""
_PLAIN: Final = re.compile(r"[\w./+@][\w./+@:=%-]*")
"""A word without any character that bash, zsh or fish expands; at its beginning `-`, `=` and `%` have a meaning too."""
_LONGEST_NAME: Final = 255
"""Bytes (NAME_MAX of Linux's file systems)."""
_NAMED_FORMATS: Final = (".img", ".raw", ".qcow2", ".vmdk", ".vhd", ".vhdx", ".vdi", ".iso")
"""A name that ends like this says its format, or that it is a disk."""
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")


class _Size(click.ParamType[int]):
    """Bytes, or KiB, MiB, GiB, TiB by their first letter, as qemu-img and rbd have them."""

    name = "bytes"

    @override
    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return bytes_from(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


SIZE: Final = _Size()


def in_use_option(told: str) -> Callable[[_Command], _Command]:
    """`--even-if-in-use`, which this says in the command's help."""
    return click.option("--even-if-in-use", is_flag=True, help=told)


def local_target(text: str) -> str:
    """A target as associations know it: a path of this host made absolute, `scheme:…` as it is.

    >>> local_target("rbd:vms/disk"), local_target("/usr/../vms/1")
    ('rbd:vms/disk', '/vms/1')
    """
    text = text.strip()
    if not text:
        raise click.BadParameter("a target must not be blank")
    return text if _SCHEME.match(text) else absolute_path(text)


def names_folder(text: str) -> bool:
    """Whether a target means a file in a folder: the path ends in a slash."""
    text = text.strip()
    return text.endswith("/") and not _SCHEME.match(text)


def is_folder(text: str) -> bool:
    """Whether it names a folder, or is the path of one, as mv(1) has it."""
    text = text.strip()
    # Path.is_dir raises where something can't be looked at; the handler tells that better.
    return names_folder(text) or (bool(text) and not _SCHEME.match(text) and os.path.isdir(text))  # noqa: PTH112


def target_in(folder: str, name: str) -> str:
    """The target of that name in a folder, which must be there. Raises BadParameter."""
    path = local_target(folder)
    try:
        mode = Path(path).stat().st_mode
    except FileNotFoundError as error:
        advice = f"make it (mkdir -p {shlex.quote(path)}), or name a file, without a slash at the end"
        raise click.BadParameter(f"there is no folder {path}: {advice}") from error
    except OSError as error:
        raise click.BadParameter(f"the folder {path} can't be looked at: {error.strerror}") from error
    if not stat.S_ISDIR(mode):
        raise click.BadParameter(f"{path} is no folder: name a file, without a slash at the end")
    return str(Path(path) / name)


def file_name(image: Image) -> str:
    """What a target in a folder is called: the image's name and format, or its id where the name is no safe file name.

    Raises BadParameter when the id is none either.

    >>> file_name(Image("1", "noble", disk_format="qcow2")), file_name(Image("1", "noble.img", disk_format="raw"))
    ('noble.qcow2', 'noble.img')
    >>> file_name(Image("155d900f", "debian/12", disk_format="raw")), file_name(Image("155d900f", "..", size=1))
    ('155d900f.raw', '155d900f')
    """
    for stem in (image.name or "", image.id):
        has_ending = image.disk_format is None or stem.lower().endswith(_NAMED_FORMATS)
        name = stem if has_ending else f"{stem}.{image.disk_format}"
        if _is_safe_name(stem) and _is_safe_name(name):
            return name
    raise click.BadParameter(f"neither the name nor the id of {image.id!r} is a safe file name: name the file yourself")


def _is_safe_name(name: str) -> bool:
    """Whether a stranger's word may be a file's name. Control characters and those that turn text are not printable."""
    is_plain = name.isprintable() and "/" not in name and not name.startswith((".", "-")) and name == name.strip()
    return bool(name) and is_plain and len(os.fsencode(name)) <= _LONGEST_NAME


def complete_images(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The names and ids that begin like this. Nothing is said, whatever goes wrong: somebody is typing."""
    logging.disable()
    try:
        from lading.adapters.config.settings import load_settings  # noqa: PLC0415 - likewise
        from lading.adapters.container import open_container  # noqa: PLC0415 - nothing else that is completed needs it

        catalog = open_container(load_settings(context.params.get("config")), recover=False).catalog()
        # Of the host's own catalog only: a cloud may take its time, and be asked again and again.
        images = catalog.images() if isinstance(catalog, ImageListing) and isinstance(catalog, ImageRegistry) else ()
        words = dict.fromkeys(word for image in images for word in (image.name, image.id) if word)
    except Exception:  # noqa: BLE001 - see above
        return []
    return offered(words, incomplete)


def offered(words: Iterable[str], incomplete: str) -> list[str]:
    """The words that begin like this and that every shell takes as one plain word, and a command as no option.

    Bash inserts a word as it is, without quotes, and Enter executes what is in it. fish ends it at a comma.

    >>> offered(["noble-24.04", "no$(reboot)", "no;reboot", "no pe", "-n", "jammy"], "")
    ['noble-24.04', 'jammy']
    """
    return [word for word in words if word.startswith(incomplete) and _PLAIN.fullmatch(word)]
