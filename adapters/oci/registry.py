"""Registries: sign-in, manifests and the URLs of blobs.

https://github.com/opencontainers/distribution-spec; for tokens https://distribution.github.io/distribution/spec/auth/
"""

import base64
import hashlib
import logging
import re
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Final, NamedTuple
from urllib.parse import quote, urlencode

from lading.adapters.codec.documents import read_json
from lading.adapters.codec.sizes import exact_size
from lading.adapters.oci.credentials import Keychain
from lading.adapters.oci.manifest import ACCEPT, Manifest
from lading.adapters.oci.reference import DOCKER_HUB, Login, Reference
from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.web.http import HttpOptions, HttpRefused, Origin, Unusable, peer_of
from lading.adapters.web.mirrors import Mirrors
from lading.adapters.web.remote import RemoteStream
from lading.adapters.web.urls import web_url
from lading.ports.failures import SettingsError
from lading.ports.image import Digest

__all__ = ["Registries", "ResolvedManifest"]

_log = logging.getLogger(__name__)
_DOCKER_HUB_SERVER: Final = "registry-1.docker.io"
_LONGEST_MANIFEST: Final = 4 << 20
"""Bytes; the specification lets registries refuse longer ones."""
_LONGEST_ANSWER: Final = 1 << 20
"""Bytes of a token server's answer."""
_SECONDS: Final = 120.0
"""The longest time for a manifest, or for a token server's answer, with all retries."""
_CHALLENGE: Final = re.compile(r"(?:^|,)\s*(Bearer|Basic)(?=\s|$)", re.IGNORECASE)
_PARAMETER: Final = re.compile(r'(?<![A-Za-z_])([A-Za-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_LONGEST_CHALLENGE: Final = 4096
_MOST_CHALLENGES: Final = 8
_PAGE: Final = 1000
_MOST_PAGES: Final = 100
_NEXT: Final = re.compile(r"""<[^<>?#]*\?([!-~]+?)>\s*;\s*rel="?next"?""", re.IGNORECASE)
"""The query of the next page, in a Link."""
_LONGEST_LINK: Final = 4096
_TOKEN: Final = re.compile(r"[!-~]{1,65536}")
_SHORTEST_LIFE: Final = 60.0
"""Seconds that a token is valid, where the server does not say so, or says less."""
_CLIENT: Final = "lading"


class ResolvedManifest(NamedTuple):
    manifest: Manifest
    digest: Digest
    """The manifest's own: of its bytes."""


class _Headers(NamedTuple):
    """The headers of requests for a repository."""

    values: Mapping[str, str]
    expires: float
    """On the clock of `time.monotonic`."""


class Registries:
    """The registries. Signs in where one asks for it, and keeps the tokens while they last. Safe to share."""

    def __init__(
        self,
        options: HttpOptions,
        keychain: Keychain,
        *,
        insecure: Collection[str] = (),
        first_wait: float = 0.5,
    ) -> None:
        """`insecure`: registries (`host` or `host:port`) that are requested by http, whatever their address.

        `first_wait`: seconds before the first retry. The guard of the options is for all servers that the operator did
        not name: other registries, token servers, and servers that a registry redirects to.
        """
        self.options = options
        self._keychain = keychain
        self._insecure = frozenset(insecure)
        self._first_wait = first_wait
        self._lock = threading.Lock()
        self._headers: dict[tuple[str, str, Login | None], _Headers] = {}

    def manifest(self, reference: Reference, *, trusted: bool) -> ResolvedManifest:
        """Reads the manifest that a tag or a digest names.

        `trusted`: the operator named the registry, see `Location.trusted`. Raises HttpRefused and SourceBroken.
        """
        named = str(reference.digest) if reference.digest else quote(reference.tag or "latest", safe="")
        mirrors = self._mirrors(reference, f"manifests/{named}", trusted=trusted, headers={"Accept": ACCEPT})
        content = _read(mirrors, _LONGEST_MANIFEST)
        expected = reference.digest
        algorithm = expected.algorithm if expected else "sha256"
        digest = Digest(algorithm, hashlib.new(algorithm, content).hexdigest())
        if expected is not None and digest != expected:
            both = f"expected {_short(expected)}, got {_short(digest)}"
            raise SourceBroken(f"its manifest is not the one that was asked for: {both}")
        try:
            return ResolvedManifest(Manifest(content, mirrors.media_type), digest)
        except ValueError as error:
            raise SourceBroken(str(error)) from None

    def tags(self, reference: Reference, *, trusted: bool) -> Iterator[str]:
        """The tags of the reference's repository. Raises HttpRefused and SourceBroken."""
        return self._names(reference, "tags/list", "tags", trusted=trusted)

    def repositories(self, reference: Reference, *, trusted: bool) -> Iterator[str]:
        """The repositories of the reference's registry; many registries do not list them. Raises as `tags` does."""
        whole = replace(reference, repository="")
        return self._names(whole, "_catalog", "repositories", trusted=trusted)

    def _names(self, reference: Reference, path: str, key: str, *, trusted: bool) -> Iterator[str]:
        """The names of a list, page by page."""
        query = f"n={_PAGE}"
        for _ in range(_MOST_PAGES):
            mirrors = self._mirrors(reference, f"{path}?{query}", trusted=trusted, headers={})
            try:
                document = read_json(_read(mirrors, _LONGEST_ANSWER))
            except ValueError:
                document = None
            names = document.get(key, ()) if isinstance(document, dict) else ()
            if names is not None and not isinstance(names, list):
                raise SourceBroken(f"its answer is no list of {key}")
            yield from (each for each in names or () if isinstance(each, str))
            following = _NEXT.search(mirrors.link[:_LONGEST_LINK])
            if following is None:
                return
            # Only the query: the list is always of this registry.
            query = following[1]
        _log.warning("%s lists more than %d pages of %s: the others are left out", reference.registry, _MOST_PAGES, key)

    def blob(self, reference: Reference, *, trusted: bool) -> Mirrors:
        """The server of the blob that the reference's digest names. Raises nothing: nothing is requested yet."""
        return self._mirrors(reference, f"blobs/{reference.digest}", trusted=trusted, headers={})

    def _mirrors(self, reference: Reference, path: str, *, trusted: bool, headers: Mapping[str, str]) -> Mirrors:
        is_insecure = reference.registry in self._insecure
        scheme = "http" if is_insecure or (trusted and reference.is_loopback) else "https"
        server = _DOCKER_HUB_SERVER if reference.registry == DOCKER_HUB else reference.registry
        url = "/".join(filter(None, (f"{scheme}://{server}/v2", reference.repository, path)))
        plain = Origin(url, headers, trusted=trusted or is_insecure)
        signed = replace(plain, headers={**headers, **self._known_headers(reference)})
        renew = partial(self._signed_in, reference, plain)
        return Mirrors([signed], self.options, renew=renew, first_wait=self._first_wait)

    def _known_headers(self, reference: Reference) -> Mapping[str, str]:
        with self._lock:
            known = self._headers.get(_key(reference))
        return known.values if known is not None and known.expires > time.monotonic() else {}

    def _signed_in(self, reference: Reference, origin: Origin, refused: HttpRefused) -> Origin:
        """The origin with headers that answer the server's challenge. Raises SourceBroken."""
        try:
            login = self._keychain.find(reference)
        except SettingsError as error:
            raise Unusable(str(error)) from error
        challenges = dict(_challenges(refused.challenges))
        if "bearer" in challenges:
            headers = self._token(reference, login, challenges["bearer"], origin)
        elif "basic" in challenges and login is not None and not login.is_identity_token:
            headers = _Headers(_basic(login), float("inf"))
        else:
            found = "those that were found are of no use" if login else f"none were found in {self._keychain}"
            raise Unusable(
                f"{reference.registry} wants credentials, and {found}: podman login {reference.registry},"
                " or set [handlers.oci] passwords"
            )
        with self._lock:
            self._headers[_key(reference)] = headers
        return replace(origin, headers={**origin.headers, **headers.values})

    def _token(
        self, reference: Reference, login: Login | None, challenge: Mapping[str, str], origin: Origin
    ) -> _Headers:
        """Gets a token from the server that the challenge names. Raises SourceBroken."""
        place = f"the token server of {reference.registry}"
        try:
            realm = web_url(challenge.get("realm", "")).parts
        except ValueError:
            raise Unusable(f"{reference.registry} names no token server") from None
        if realm.scheme == "http" and not origin.url.startswith("http://"):
            raise Unusable(f"{place} is one without TLS: no credentials are sent there")
        is_trusted = origin.trusted and peer_of(realm.geturl()) == peer_of(origin.url)
        asked = {"scope": challenge.get("scope") or f"repository:{reference.repository}:pull"}
        if "service" in challenge:
            asked["service"] = challenge["service"]
        if login is not None and login.is_identity_token:
            form = {**asked, "grant_type": "refresh_token", "client_id": _CLIENT, "refresh_token": login.password}
            request = Origin(realm.geturl(), form=urlencode(form), trusted=is_trusted)
        else:
            query = "&".join(filter(None, (realm.query, urlencode(asked))))
            request = Origin(realm._replace(query=query).geturl(), _basic(login) if login else {}, trusted=is_trusted)
        try:
            answer = read_json(_read(Mirrors([request], self.options, first_wait=self._first_wait), _LONGEST_ANSWER))
        except SourceBroken as broken:
            raise Unusable(f"{place} gives no token: {broken}") from broken
        except ValueError:
            answer = None
        return _bearer(answer, place)


def _read(mirrors: Mirrors, most: int) -> bytes:
    """Reads a document of at most so many bytes, with retries. Raises HttpRefused and SourceBroken."""
    stream, deadline = RemoteStream(mirrors), time.monotonic() + _SECONDS
    content, piece = bytearray(), memoryview(bytearray(1 << 16))
    try:
        stream.open()
        while count := stream.readinto(piece):
            content += piece[:count]
            if len(content) > most:
                raise SourceBroken(f"its answer has more than {exact_size(most)}")
            if time.monotonic() > deadline:
                raise SourceBroken(f"its answer takes longer than {_SECONDS:g} seconds")
    finally:
        stream.close()
    return bytes(content)


def _bearer(answer: object, place: str) -> _Headers:
    """The headers by a token server's answer. Raises Unusable."""
    fields = answer if isinstance(answer, dict) else {}
    token, seconds = fields.get("token") or fields.get("access_token"), fields.get("expires_in")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise Unusable(f"{place} answers with no token")
    lasts = max(seconds if isinstance(seconds, int) else 0, _SHORTEST_LIFE)
    return _Headers({"Authorization": f"Bearer {token}"}, time.monotonic() + 0.9 * lasts)


def _basic(login: Login) -> Mapping[str, str]:
    packed = base64.b64encode(f"{login.user}:{login.password}".encode()).decode()
    return {"Authorization": f"Basic {packed}"}


def _challenges(headers: Iterable[str]) -> Iterable[tuple[str, Mapping[str, str]]]:
    """The challenges of `WWW-Authenticate` (RFC 9110, section 11.6.1), by scheme in lower case.

    >>> [*_challenges(['Basic realm="a b", Bearer realm="https://auth.example/token",service=x'])]
    [('basic', {'realm': 'a b'}), ('bearer', {'realm': 'https://auth.example/token', 'service': 'x'})]
    """
    for header in islice(headers, _MOST_CHALLENGES):
        _, *parts = _CHALLENGE.split(header[:_LONGEST_CHALLENGE])
        for scheme, parameters in zip(parts[::2], parts[1::2], strict=True):
            found = {
                name.lower(): re.sub(r"\\(.)", r"\1", quoted) or plain
                for name, quoted, plain in _PARAMETER.findall(parameters)
            }
            yield scheme.lower(), found


def _short(digest: Digest) -> str:
    return f"{digest.algorithm}:{digest.value[:12]}…"


def _key(reference: Reference) -> tuple[str, str, Login | None]:
    return reference.registry, reference.repository, reference.login
