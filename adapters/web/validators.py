"""Validators: what a server says of a file's state, to tell it from another state (RFC 9110, section 8.8)."""

from typing import NamedTuple, Self

__all__ = ["Validators"]


class Validators(NamedTuple):
    """The ETag and Last-Modified of an answer, unchanged; None where there is none."""

    etag: str | None = None
    modified: str | None = None

    @classmethod
    def of(cls, noted: str | None) -> Self:
        """The validators of which one was noted."""
        is_etag = noted is not None and noted.startswith(('"', "W/"))
        return cls(noted, None) if is_etag else cls(None, noted)

    @property
    def noted(self) -> str | None:
        """The one to note for a later comparison: the ETag, else Last-Modified."""
        return self.etag or self.modified

    @property
    def is_strong(self) -> bool:
        """The ETag differs for any two states, byte by byte. A weak ETag or a date may not."""
        return self.etag is not None and self.etag.startswith('"')

    def is_same(self, other: Self) -> bool | None:
        """Tells whether both are of one state; None where nothing in them can be compared.

        Compares weakly, ETag with ETag and date with date.

        >>> Validators('W/"1"', "Sun").is_same(Validators('"1"', "Mon"))
        True
        >>> Validators('"1"', "Sun").is_same(Validators(None, "Mon"))
        False
        >>> Validators('"1"').is_same(Validators(None, "Mon")) is None
        True
        """
        if self.etag and other.etag:
            return self.etag.removeprefix("W/") == other.etag.removeprefix("W/")
        if self.modified and other.modified:
            return self.modified == other.modified
        return None

    def repeats(self, other: Self) -> bool:
        """Tells whether both have the same strong ETag, which proves that the bytes are the same."""
        return self.is_strong and self.etag == other.etag
