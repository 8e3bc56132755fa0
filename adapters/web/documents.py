"""Small documents on servers, read whole."""

from typing import NamedTuple

from lading.adapters.stream.pipeline import SourceBroken
from lading.adapters.web.mirrors import Mirrors
from lading.adapters.web.remote import RemoteStream

__all__ = ["Document", "read_document"]


class Document(NamedTuple):
    content: bytes
    media_type: str
    """The Content-Type, in lower case and without parameters; empty where there is none."""


def read_document(mirrors: Mirrors, most: int) -> Document:
    """Reads a document of at most so many bytes, with retries. Raises HttpRefused and SourceBroken."""
    stream = RemoteStream(mirrors)
    content, piece = bytearray(), memoryview(bytearray(1 << 16))
    try:
        stream.open()
        while count := stream.readinto(piece):
            content += piece[:count]
            if len(content) > most:
                raise SourceBroken(f"its answer has more than {most} bytes")
    finally:
        stream.close()
    return Document(bytes(content), mirrors.media_type)
