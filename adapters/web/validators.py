"""What a server says of the state of a resource, to tell it from another state (RFC 9110, section 8.8)."""

from typing import NamedTuple, Self

__all__ = ["Validators"]


class Validators(NamedTuple):
    """An answer's ETag and Last-Modified, as they are; None where there is none."""

    etag: str | None = None
    modified: str | None = None

    @classmethod
    def of(cls, noted: str | None) -> Self:
        """From one of both, as it was noted."""
        is_etag = noted is not None and noted.startswith(('"', "W/"))
        return cls(noted, None) if is_etag else cls(None, noted)

    @property
    def noted(self) -> str | None:
        """The one of both that tells more."""
        return self.etag or self.modified

    @property
    def is_strong(self) -> bool:
        """Tells any two states apart, byte by byte. A weak ETag or a date does not."""
        return self.etag is not None and self.etag.startswith('"')

    def is_same(self, other: Self) -> bool | None:
        """Tells whether both are of one state; None where nothing in them can be compared.

        Compares weakly, and like with like: what is absent says nothing.

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
        """Tells whether this proves the very bytes of the other: by one strong ETag in both."""
        return self.is_strong and self.etag == other.etag
