"""The documents of a mirror: requested, verified, and kept in a cache."""

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from lading.adapters.catalogs.simplestreams.cache import Cache, Copy
from lading.adapters.signatures.openpgp import split_clear_signed, verify_clear_signed, verify_detached
from lading.adapters.stream.errors import Refused
from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.web.changing_documents import ChangingDocuments, is_transient
from lading.adapters.web.http import HttpOptions, HttpRefused
from lading.domain.refusals import Mismatched, Unconfigured
from lading.ports.failures import CatalogUnavailable, ImageUnproven, SettingsError
from lading.ports.image import Signer
from lading.ports.redaction import redacted_url

__all__ = ["Document", "Documents"]

_log = logging.getLogger(__name__)
_ABSENT: Final = frozenset({403, 404, 410})
"""Statuses of a file that a server does not have. Some object stores answer 403."""
_LARGEST_SIGNATURE: Final = 1 << 20
_TRIES: Final = 3
"""For a document and its signature, which a publisher replaces one after the other."""
_RACE_SECONDS: Final = 1.0
_HOUR: Final = 3600.0
_CLEAR_SIGNED: Final = ".sjson"


class Document(NamedTuple):
    """A JSON document, and its signer."""

    tree: object
    size: int
    """Bytes."""
    signed_by: Signer | None

    @property
    def updated(self) -> float | None:
        """When the publisher made it, in seconds since 1970; None: it does not say."""
        from email.utils import parsedate_to_datetime  # noqa: PLC0415 - only a signed document that is new needs it

        text = self.tree.get("updated") if isinstance(self.tree, Mapping) else None
        try:
            return parsedate_to_datetime(text).timestamp() if isinstance(text, str) else None
        except (ValueError, TypeError, OverflowError):
            return None

    def is_older(self, other: "Document") -> bool:
        """Tells whether the publisher signed this one before the other one."""
        if self.signed_by is None or self.updated is None or other.updated is None:
            return False
        return self.updated < other.updated


class Documents:
    """Documents of one mirror. For one thread at a time."""

    def __init__(
        self,
        url: str,
        options: HttpOptions,
        cache: Cache,
        *,
        keyring: Path | None = None,
        is_offline: bool = False,
        stale_hours: float = 0.0,
    ) -> None:
        """`url` is the mirror's root. `keyring` None: no signature is verified."""
        self._url = url
        self._server = ChangingDocuments(options)
        self._cache = cache
        self._keyring = keyring
        self._is_offline = is_offline
        self._stale_hours = stale_hours

    def read(self, paths: Sequence[str], limit: int) -> Document:
        """The first of these documents that the mirror has, of at most `limit` bytes.

        Raises CatalogUnavailable, ImageUnproven where its signature does not count, and SettingsError where the keyring
        cannot be read or no tool is installed.
        """
        names = []
        for path in paths:
            url = f"{self._url}{path}"
            names.append(redacted_url(url))
            try:
                document = self._current(url, limit)
            except (SourceBroken, ValueError) as error:
                raise CatalogUnavailable(f"{names[-1]}: {error}") from error
            except Refused as refused:
                if isinstance(refused.refusal, Unconfigured):
                    raise SettingsError(str(refused)) from refused
                raise ImageUnproven(str(refused)) from refused
            if document is not None:
                return document
        place = f"in the cache {self._cache.folder}, and offline is set" if self._is_offline else "on the server"
        raise CatalogUnavailable(f"{' and '.join(names)}: not {place}")

    def close(self) -> None:
        """Closes the connection. `read` opens another."""
        self._server.close()

    def _current(self, url: str, limit: int) -> Document | None:
        """The document as the server has it, or as its copy in the cache; None: there is none."""
        copy = self._cache.get(url, limit)
        known = None if copy is None else self._opened_copy(url, copy)
        if copy is None or known is None:
            return None if self._is_offline else self._fetched(url, limit, None)
        if self._is_offline:
            _log.info("%s is as of %s, from the cache: offline is set", redacted_url(url), _age(copy))
            return known
        try:
            return self._fetched(url, limit, (copy, known))
        except SourceBroken as broken:
            if not is_transient(broken):
                raise
            hours = (time.time() - copy.confirmed) / _HOUR
            if hours > self._stale_hours:
                raise SourceBroken(
                    f"{broken}; stale_hours = {hours + 1:.0f} would use the copy of {_age(copy)}"
                ) from None
            _log.warning("%s is as of %s, from the cache: %s", redacted_url(url), _age(copy), broken)
            return known

    def _fetched(self, url: str, limit: int, known: tuple[Copy, Document] | None) -> Document | None:
        """Requests the document where it is not the known one. Keeps it in the cache once it is verified."""
        try:
            file = (
                self._server.read_changed(url, limit, known[0].validators) if known else self._server.read(url, limit)
            )
        except HttpRefused as refused:
            if refused.status not in _ABSENT:
                raise
            return None
        if file is None:
            self._cache.confirm(url)
            return known and known[1]
        for tries in range(1, _TRIES + 1):
            copy = Copy(file.content, self._signature(url), file.validators)
            try:
                document = self._opened(url, copy)
                break
            except Refused:
                if copy.signature is None or tries == _TRIES:
                    raise
            time.sleep(_RACE_SECONDS)
            file = self._server.read(url, limit)
        if known is not None and document.is_older(known[1]):
            _log.warning("%s is older than its copy in the cache, which is used", redacted_url(url))
            return known[1]
        self._cache.put(url, copy)
        return document

    def _signature(self, url: str) -> bytes | None:
        """The document's detached signature; None where none is needed. Raises Refused and SourceBroken."""
        if self._keyring is None or url.endswith(_CLEAR_SIGNED):
            return None
        try:
            return self._server.read(f"{url}.gpg", _LARGEST_SIGNATURE).content
        except HttpRefused as refused:
            if refused.status not in _ABSENT:
                raise
            raise Refused(Mismatched(f"{redacted_url(url)}: no signature is beside it: .gpg: {refused}")) from refused

    def _opened_copy(self, url: str, copy: Copy) -> Document | None:
        """The document of a copy; None where it is none, or is not signed as it must be now. Raises Refused."""
        try:
            return self._opened(url, copy)
        except ValueError:
            return None
        except Refused as refused:
            if isinstance(refused.refusal, Unconfigured):
                raise
            _log.info("the copy of %s in the cache is not used: %s", redacted_url(url), refused)
            return None

    def _opened(self, url: str, copy: Copy) -> Document:
        """The copy's document, verified. Raises Refused where its signature does not count, and ValueError."""
        name, text, signed_by = redacted_url(url), copy.content, None
        if self._keyring is None:
            if url.endswith(_CLEAR_SIGNED):
                text, _ = split_clear_signed(copy.content, name)
        elif url.endswith(_CLEAR_SIGNED):
            text, signed_by = verify_clear_signed(copy.content, [self._keyring], name)
        else:
            signed_by = verify_detached(copy.content, copy.signature or b"", [self._keyring], name)
        try:
            return Document(msgspec.json.decode(text), len(text), signed_by)
        except ValueError as error:  # its DecodeError too
            raise ValueError(f"it is no JSON: {error}") from error
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error


def _age(copy: Copy) -> str:
    minutes = max(0, int((time.time() - copy.confirmed) // 60))
    return f"{minutes // 60} h {minutes % 60} min ago"
