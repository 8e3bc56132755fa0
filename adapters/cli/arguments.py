"""What is given to the commands: how it is read, and how the shell completes it."""

import logging
import re
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import click
from typing_extensions import override

from lading.adapters.transfer.opening import absolute_path
from lading.ports.catalog import ImageListing, ImageRegistry

__all__ = ["PATH", "SIZE", "complete_images", "in_use_option", "local_target", "offered"]

_Command = TypeVar("_Command", bound=Callable[..., Any])
PATH: Final = click.Path(readable=False)
"""Completed as a path; whether anything is there, and who may read it, is found out when it is used."""
_BYTES: Final = re.compile(r"([1-9][0-9]{0,18})([KMGT]?)(?:i?B)?", re.IGNORECASE)
_PLAIN: Final = re.compile(r"[\w./+@][\w./+@:=%-]*")
"""A word without any character that bash, zsh or fish expands; at its beginning `-`, `=` and `%` have a meaning too."""
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")


class _Size(click.ParamType[int]):
    """Bytes, or KiB, MiB, GiB, TiB by their first letter, as qemu-img and rbd have them."""

    name = "bytes"

    @override
    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = _BYTES.fullmatch(str(value).strip())
        if found is None:
            self.fail(f"{value!r} is no size; expected bytes, or a number and K, M, G or T: 20G", param, ctx)
        return int(found[1]) << 10 * " KMGT".index(found[2].upper() or " ")


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


def complete_images(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The names and ids that begin like this. Nothing is said, whatever goes wrong: somebody is typing."""
    logging.disable()
    try:
        from lading.adapters.container import open_container  # noqa: PLC0415 - nothing else that is completed needs it
        from lading.adapters.settings import load_settings  # noqa: PLC0415 - likewise

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
