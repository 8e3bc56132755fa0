"""Copies of documents on this host's disk."""

import hashlib
import json
import logging
import os
import threading
from base64 import b64decode, b64encode
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from lading.adapters.codec.text import MALFORMED, json_object
from lading.adapters.host.private_files import make_private, open_private
from lading.adapters.stream.errors import error_text
from lading.adapters.web.validators import Validators
from lading.ports.redaction import redacted_url

__all__ = ["Cache", "Copy"]

_log = logging.getLogger(__name__)
_LARGEST_HEAD: Final = 4 << 20


class Copy(NamedTuple):
    """A document as it was published, with its detached signature if it has one."""

    content: bytes
    signature: bytes | None
    validators: Validators
    confirmed: float = 0.0
    """When the server last said that this is the document, in seconds since 1970."""


class Cache:
    """Copies by URL, each a file: a line of JSON, then the document. Replaced in one step.

    A copy that is damaged or cannot be read counts as none. A copy that cannot be written is only logged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, url: str, limit: int) -> Copy | None:
        """The copy, of at most `limit` bytes; None: there is none."""
        try:
            with self._path(url).open("rb") as file:
                head = json_object(file.readline(_LARGEST_HEAD))
                content, confirmed = file.read(limit + 1), os.fstat(file.fileno()).st_mtime
            is_whole = len(content) == head["size"] <= limit
            signature = None if head["signature"] is None else b64decode(head["signature"], validate=True)
            validators = Validators(*(each if isinstance(each, str) else None for each in head["validators"]))
        except FileNotFoundError:
            return None
        except (OSError, *MALFORMED) as error:
            _log.info("the copy of %s in %s cannot be read: %s", redacted_url(url), self.folder, error)
            return None
        return Copy(content, signature, validators, confirmed) if is_whole else None

    def put(self, url: str, copy: Copy) -> None:
        """Stores the copy, confirmed now."""
        head = {
            "validators": list(copy.validators),
            "signature": copy.signature and b64encode(copy.signature).decode(),
            "size": len(copy.content),
        }
        path = self._path(url)
        new = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            make_private(self.folder)
            new.unlink(missing_ok=True)  # left by a crash
            try:
                with os.fdopen(open_private(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
                    file.write(json.dumps(head).encode() + b"\n" + copy.content)
                new.rename(path)
            finally:
                new.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("the lists of images cannot be kept in %s: %s", self.folder, error_text(error))

    def confirm(self, url: str) -> None:
        """Notes that the server still has the document."""
        with suppress(OSError):
            os.utime(self._path(url))

    def _path(self, url: str) -> Path:
        return self.folder / hashlib.sha256(url.encode()).hexdigest()
