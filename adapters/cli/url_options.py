"""The options of commands that take an image by its URL."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from lading.adapters.catalogs.url_reference import with_options

if TYPE_CHECKING:
    from lading.adapters.cli.session import Session

__all__ = ["UrlOptions", "url_options"]


class UrlOptions(NamedTuple):
    """The options on an image at a URL."""

    checksum: str | None
    checksums: str | None
    mirrors: tuple[str, ...]
    keyrings: tuple[str, ...]
    unverified: bool

    def reference(self, session: "Session", image: str) -> str:
        """The image's reference with the options in it. Raises BadParameter for an image that is at no URL.

        `--unverified` overrides [landing] allow_unverified: call this before the first use of the session's container.
        """
        if not any(self):
            return image
        if self.unverified and self.keyrings:
            raise click.UsageError("--unverified and --keyring contradict each other")
        if self.unverified:
            session.variables["LADING_LANDING__ALLOW_UNVERIFIED"] = "true"
        if not session.container.settings().names_url(image):
            raise click.BadParameter(
                "--checksum, --checksums, --mirror, --keyring and --unverified are for an image at a URL",
                param_hint="IMAGE",
            )
        try:
            return with_options(
                image,
                checksum=self.checksum,
                checksums=self.checksums,
                mirrors=self.mirrors,
                keyrings=self.keyrings,
                unverified=self.unverified,
            )
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--checksum") from None


def url_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options to a command, which gets them as `url`."""

    @click.option("--checksum", metavar="ALGORITHM:HEX", help="The digest of the image at a URL.")
    @click.option(
        "--checksums",
        metavar="URL",
        help="The checksum file of the image at a URL. Default: one beside it, by the names that vendors use.",
    )
    @click.option("--mirror", "mirrors", metavar="URL", multiple=True, help="Another URL of the same file. Repeatable.")
    @click.option(
        "--keyring",
        "keyrings",
        metavar="FILE",
        type=click.Path(exists=True, dir_okay=False),
        multiple=True,
        help="A file with OpenPGP keys, one of which must have signed the image or its checksum file. Repeatable.",
    )
    @click.option(
        "--unverified", is_flag=True, help="Search no checksum file, and accept an image at a URL without a digest."
    )
    @functools.wraps(command)
    def run(
        *args: Any,  # noqa: ANN401 - the command's own
        checksum: str | None,
        checksums: str | None,
        mirrors: tuple[str, ...],
        keyrings: tuple[str, ...],
        unverified: bool,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        command(*args, url=UrlOptions(checksum, checksums, mirrors, keyrings, unverified), **kwargs)

    return run
