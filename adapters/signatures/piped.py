"""Detached OpenPGP signatures over images, verified while the bytes are read."""

import os
from base64 import b64decode
from collections.abc import Sequence
from contextlib import suppress
from fcntl import F_SETPIPE_SZ, fcntl
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Final

from lading.adapters.signatures.openpgp import verify_detached
from lading.adapters.stream.errors import Refused
from lading.adapters.stream.threads import Thread, join
from lading.domain.refusals import Unavailable
from lading.ports.image import Signature, Signer

__all__ = ["PipedCheck"]

_PIPE: Final = 1 << 20
"""Bytes that the pipe holds, where the system allows it."""


class PipedCheck:
    """Feeds gpgv or sqv by a pipe: a SignatureCheck. The tool starts with the first bytes."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._running: tuple[FileIO, Thread] | None = None
        """The end of the pipe to write to, and the thread that runs the tool at the other end."""
        self._signer: Signer | None = None
        self._fault: BaseException | None = None

    def take(self, data: memoryview) -> None:
        pipe = self._begin()
        # A tool that has ended, because it cannot read the keyring for example, gives its reason at the end.
        with suppress(BrokenPipeError):
            while data:
                data = data[pipe.write(data) :]

    def signer(self) -> Signer:
        self._begin()  # the image may be empty
        self.close()
        if self._fault is not None:
            raise self._fault
        if self._signer is None:
            raise Refused(Unavailable(f"{self._signature.url} was not verified: its check was ended"))
        return self._signer

    def close(self) -> None:
        if self._running is not None:
            pipe, thread = self._running
            pipe.close()
            join(thread)

    def _begin(self) -> FileIO:
        if self._running is None:
            read, write = os.pipe()
            self._running = FileIO(write, "w"), Thread(partial(self._verify, FileIO(read)))
            with suppress(OSError):
                fcntl(write, F_SETPIPE_SZ, _PIPE)
            self._running[1].start()
        return self._running[0]

    def _verify(self, read: FileIO) -> None:
        value = b64decode(self._signature.value)
        keyrings: Sequence[Path] = [Path(each) for each in self._signature.keyrings]
        try:
            self._signer = verify_detached(read.fileno(), value, keyrings, self._signature.url)
        except BaseException as fault:  # noqa: BLE001 - raised again by `signer`
            self._fault = fault
        finally:
            read.close()  # ends the writing
