"""The arguments of the commands: parsers, and completion for shells."""

import os
import re
import shlex
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import click
from typing_extensions import override

from lading.adapters.codec.sizes import bytes_from
from lading.adapters.stream.safe_open import absolute_target
from lading.ports.image import Image

__all__ = [
    "DISK_SIZE",
    "PATH",
    "SIZE",
    "file_name",
    "in_use_option",
    "is_folder",
    "local_target",
    "names_folder",
    "path_hint",
    "safe_completions",
    "target_in",
]

_Command = TypeVar("_Command", bound=Callable[..., Any])
PATH: Final = click.Path(readable=False)
"""A path, for completion. It is not checked before it is used."""
_PLAIN: Final = re.compile(r"[\w./+@][\w./+@:=%-]*")
"""A word without characters that bash, zsh or fish expands. As first characters `-`, `=` and `%` have a meaning too."""
_LONGEST_NAME: Final = 255
"""Bytes (NAME_MAX of Linux's file systems)."""
_NAMED_FORMATS: Final = (".img", ".raw", ".qcow2", ".vmdk", ".vhd", ".vhdx", ".vdi", ".iso")
"""Endings of names that already state the format, or that the file is a disk."""
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")


class _Size(click.ParamType[int]):
    """Bytes, or a number with K, M, G or T for KiB, MiB, GiB or TiB, as in qemu-img and rbd."""

    name = "size"

    @override
    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return bytes_from(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _DiskSize(click.ParamType[int | Literal["fill"]]):
    """A size, or `fill`: all of a block device."""

    name = "size"

    @override
    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | Literal["fill"]:
        return "fill" if value == "fill" else SIZE.convert(value, param, ctx)


SIZE: Final = _Size()
DISK_SIZE: Final = _DiskSize()


def in_use_option(help_text: str) -> Callable[[_Command], _Command]:
    """Returns the option `--even-if-in-use`. Commands differ in its help text."""
    return click.option("--even-if-in-use", is_flag=True, help=help_text)


def local_target(text: str) -> str:
    """Returns a target in the form that associations record: an absolute path of this host, or `scheme:…` unchanged.

    Raises BadParameter for a blank target.

    >>> local_target("rbd:vms/disk"), local_target("/usr/../vms/1")
    ('rbd:vms/disk', '/vms/1')
    """
    text = text.strip()
    if not text:
        raise click.BadParameter("a target must not be blank")
    return absolute_target(text)


def path_hint(target: str) -> str | None:
    """Returns the hint for a target with a colon that was meant as a relative path; None for an absolute path.

    >>> path_hint("vm:1.img"), path_hint("/vms/1.img")
    ('for a file of this name: ./vm:1.img', None)
    """
    return f"for a file of this name: ./{target}" if _SCHEME.match(target) else None


def names_folder(text: str) -> bool:
    """Returns True for a path that ends in a slash: the target is a file in that folder."""
    text = text.strip()
    return text.endswith("/") and not _SCHEME.match(text)


def is_folder(text: str) -> bool:
    """Returns True for a path that ends in a slash or that is an existing folder, as in mv(1)."""
    text = text.strip()
    # os.path.isdir returns False where Path.is_dir raises; the handler then has the better message.
    return names_folder(text) or (bool(text) and not _SCHEME.match(text) and os.path.isdir(text))  # noqa: PTH112


def target_in(folder: str, name: str) -> str:
    """Returns the target of that name in a folder, which must exist. Raises BadParameter."""
    path = local_target(folder)
    try:
        mode = Path(path).stat().st_mode
    except FileNotFoundError as error:
        advice = f"make it (mkdir -p {shlex.quote(path)}), or give a file name without a slash at the end"
        raise click.BadParameter(f"there is no folder {path}: {advice}") from error
    except OSError as error:
        raise click.BadParameter(f"the folder {path} cannot be read: {error.strerror}") from error
    if not stat.S_ISDIR(mode):
        raise click.BadParameter(f"{path} is not a folder: give a file name without a slash at the end")
    return str(Path(path) / name)


def file_name(image: Image) -> str:
    """Returns the file name for an image in a folder: its name and format; its id, or the last part of its name, when
    the name is not safe.

    Raises BadParameter when none of them is a safe file name.

    >>> file_name(Image("1", "noble", disk_format="qcow2")), file_name(Image("1", "noble.img", disk_format="raw"))
    ('noble.qcow2', 'noble.img')
    >>> file_name(Image("155d900f", "debian/12", disk_format="raw")), file_name(Image("155d900f", "..", size=1))
    ('155d900f.raw', '155d900f')
    >>> file_name(Image("oci://host/vms/noble@sha256:ab", "oci://host/vms/noble:1.2", disk_format="qcow2"))
    'noble-1.2.qcow2'
    """
    last_part = (image.name or "").rpartition("/")[2].replace(":", "-")
    for stem in (image.name or "", image.id, last_part):
        has_ending = image.disk_format is None or stem.lower().endswith(_NAMED_FORMATS)
        name = stem if has_ending else f"{stem}.{image.disk_format}"
        if _is_safe_name(stem) and _is_safe_name(name):
            return name
    raise click.BadParameter(f"neither the name nor the id of {image.id!r} is a safe file name: give a file name")


def _is_safe_name(name: str) -> bool:
    """Returns True for a catalog's text that may be a file name.

    Control characters and characters that change the direction of text are not printable.
    """
    is_plain = name.isprintable() and "/" not in name and not name.startswith((".", "-")) and name == name.strip()
    return bool(name) and is_plain and len(os.fsencode(name)) <= _LONGEST_NAME


def safe_completions(words: Iterable[str], incomplete: str) -> list[str]:
    """Returns the words with this prefix that each shell reads as one plain word, and no command as an option.

    Bash inserts a word without quotes: what it contains would be executed with Enter. fish ends a word at a comma.

    >>> safe_completions(["noble-24.04", "no$(reboot)", "no;reboot", "no pe", "-n", "jammy"], "")
    ['noble-24.04', 'jammy']
    """
    return [word for word in words if word.startswith(incomplete) and _PLAIN.fullmatch(word)]
