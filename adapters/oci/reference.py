"""References to what registries have: `oci://HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]`.

The grammar is that of https://pkg.go.dev/github.com/distribution/reference.
"""

import re
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import Final, NamedTuple, Self
from urllib.parse import quote, unquote

from lading.adapters.web.urls import web_url
from lading.ports.image import Digest

__all__ = ["DOCKER_HUB", "Login", "Reference", "digest_of"]

DOCKER_HUB: Final = "docker.io"
_PART: Final = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_URL: Final = re.compile(
    rf"\s*oci://(?:([^@/]*)@)?([^@/?#]+)/({_PART}(?:/{_PART})*)(?::(\w[\w.-]{{0,127}}))?(?:@(\w+:\w+))?\s*",
    re.ASCII,
)
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_LONGEST_REPOSITORY: Final = 255
_FORM: Final = "it is not oci://HOST/REPOSITORY:TAG or oci://HOST/REPOSITORY@sha256:…"


class Login(NamedTuple):
    """The credentials for a registry."""

    user: str
    password: str
    is_identity_token: bool = False
    """The password is a token to get tokens with."""

    def __repr__(self) -> str:
        return "Login()"


@dataclass(frozen=True, slots=True)
class Reference:
    """The name of an image, or of a blob, in a registry."""

    registry: str
    """`host` or `host:port`, in plain form."""
    repository: str
    tag: str | None = None
    digest: Digest | None = None
    """When there is one, the tag is only a remark."""
    login: Login | None = field(default=None, repr=False)

    @classmethod
    def of(cls, url: str) -> Self:
        """Parses a reference. Raises ValueError; its message shows no credentials.

        >>> Reference.of("oci://Registry.Example:5000/vms/noble:1.2")
        Reference(registry='registry.example:5000', repository='vms/noble', tag='1.2', digest=None)
        >>> str(Reference.of("oci://docker.io/noble"))
        'oci://docker.io/library/noble:latest'
        """
        found = _URL.fullmatch(url)
        if found is None or len(found[3]) > _LONGEST_REPOSITORY:
            raise ValueError(_FORM)
        registry, repository = web_url(f"https://{found[2]}/").parts.netloc, found[3]
        if registry == DOCKER_HUB and "/" not in repository:
            repository = f"library/{repository}"
        digest = digest_of(found[5]) if found[5] else None
        return cls(registry, repository, found[4] or (None if digest else "latest"), digest, _login(found[1]))

    @property
    def name(self) -> str:
        """`REPOSITORY:TAG`, without the tag where there is only a digest."""
        return f"{self.repository}:{self.tag}" if self.tag else self.repository

    @property
    def url(self) -> str:
        """The reference with its credentials, which `str` leaves out."""
        if self.login is None:
            return str(self)
        login = f"{quote(self.login.user, safe='')}:{quote(self.login.password, safe='')}@"
        return str(self).replace("oci://", f"oci://{login}", 1)

    @property
    def is_loopback(self) -> bool:
        host = web_url(f"https://{self.registry}/").parts.hostname or ""
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    def with_digest(self, digest: Digest) -> Self:
        """The same repository's content with that digest."""
        return replace(self, tag=None, digest=digest)

    def __str__(self) -> str:
        return f"oci://{self.registry}/{self.name}{f'@{self.digest}' if self.digest else ''}"


def digest_of(text: object) -> Digest:
    """Parses `sha256:HEX` or `sha512:HEX`. Raises ValueError.

    >>> digest_of("md5:ab")
    Traceback (most recent call last):
    ValueError: its digest is not sha256:… or sha512:…
    """
    if not isinstance(text, str) or not _DIGEST.fullmatch(text):
        raise ValueError("its digest is not sha256:… or sha512:…")
    algorithm, _, value = text.partition(":")
    return Digest(algorithm, value)


def _login(userinfo: str | None) -> Login | None:
    if not userinfo:
        return None
    user, colon, password = userinfo.partition(":")
    login = Login(unquote(user), unquote(password))
    if not (colon and all(login[:2]) and login.user.isprintable() and login.password.isprintable()):
        raise ValueError("its credentials are not user:password")
    return login
