"""What is given to the commands: how it is read, and how the shell completes it."""

import logging
import os
import re
from typing import Final

import click
from typing_extensions import override

from lading.ports.catalog import ImageListing, ImageRegistry

__all__ = ["PATH", "SIZE", "complete_images", "local_target"]

PATH: Final = click.Path(readable=False)
"""Completed as a path; whether anything is there, and who may read it, is found out when it is used."""
_BYTES: Final = re.compile(r"([1-9][0-9]{0,18})([KMGT]?)(?:i?B)?", re.IGNORECASE)
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


def local_target(text: str) -> str:
    """A target as associations know it: a path of this host made absolute, `scheme:…` as it is.

    >>> local_target("rbd:vms/disk"), local_target("/vms/../vms/1")
    ('rbd:vms/disk', '/vms/1')
    """
    text = text.strip()
    if not text:
        raise click.BadParameter("a target must not be blank")
    return text if _SCHEME.match(text) else os.path.abspath(text)  # noqa: PTH100 - pathlib would resolve symlinks


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
    return [word for word in words if word.startswith(incomplete) and _is_one_word(word)]


def _is_one_word(text: str) -> bool:
    """Whether shells take it as it is: they split what completes at white space, and show the rest on a terminal."""
    return text.isprintable() and " " not in text
