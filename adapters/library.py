"""Calls for programs that use a settings file, in one line each."""

import os
from dataclasses import replace
from typing import Literal

from lading.adapters.catalogs.url_reference import with_options
from lading.adapters.codec.sizes import bytes_from
from lading.adapters.config.settings import Settings, load_settings
from lading.adapters.container import open_container
from lading.adapters.stream.safe_open import absolute_path, absolute_target
from lading.domain.attempts import FetchRequest, FetchResult
from lading.ports.form import Form
from lading.ports.observer import NullObserver, Observer

__all__ = ["fetch"]


def fetch(  # noqa: PLR0913 - all but two have defaults
    image: str,
    target: str | os.PathLike[str],
    *,
    checksum: str | None = None,
    checksums: str | None = None,
    mirrors: tuple[str, ...] = (),
    keyrings: tuple[str | os.PathLike[str], ...] = (),
    unverified: bool = False,
    format: Literal["raw", "qcow2"] | None = None,  # noqa: A002 - as the option is called
    size: int | str | None = None,
    force: bool = False,
    observer: Observer | None = None,
    settings: Settings | None = None,
) -> FetchResult:
    """Fetches the image to the target, as `lading fetch` does: verified, and completely or not at all.

    `image` is a URL, `REMOTE:NAME`, or an id or a name in the catalog. `target` is a path, or `rbd:POOL/IMAGE` and the
    like. For an image at a URL: `checksum` is its digest, `ALGORITHM:HEX`; `checksums` the URL of its checksum file, by
    default one beside it; `mirrors` are URLs of the same file; `keyrings` are files with OpenPGP keys, one of which
    must have signed the image or its checksum file; `unverified` searches no checksum file, and accepts the image
    without a digest. `size` is in bytes, or a text like `20G`, or `fill`: all of a block device. `force`
    replaces what is at the target. `settings` are by default those of `load_settings`.

        lading.fetch("ubuntu:24.04", "/vms/1.img", format="raw", size="20G")

    Raises NoHandlerAvailable and the other members of FetchFailure, SettingsError, and ValueError for a wrong argument.
    A program that fetches often opens a container once, and calls its Dispatcher.
    """
    if format not in {None, "raw", "qcow2"}:
        raise ValueError(f"format: expected raw or qcow2, got {format!r}")
    settings = settings or load_settings()
    if checksum or checksums or mirrors or keyrings or unverified:
        if not settings.names_url(image.strip()):
            raise ValueError("checksum, checksums, mirrors, keyrings and unverified are for an image at a URL")
        image = with_options(
            image.strip(), checksum=checksum, checksums=checksums, mirrors=mirrors,
            keyrings=[os.fspath(each) for each in keyrings], unverified=unverified,
        )  # fmt: skip
    if unverified:
        settings = replace(settings, landing=replace(settings.landing, allow_unverified=True))
    is_fill = size == "fill"
    form = Form(format, None if is_fill or size is None else bytes_from(str(size)), is_fill)
    place = absolute_target(target) if isinstance(target, str) else absolute_path(os.fspath(target))
    request = FetchRequest(image, place, force=force, observer=observer or NullObserver(), form=form)
    return open_container(settings).dispatcher().fetch_or_raise(request)
