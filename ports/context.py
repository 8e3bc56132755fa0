"""Who asks."""

from dataclasses import dataclass, field
from typing import Final

__all__ = ["ANONYMOUS", "Context"]


@dataclass(frozen=True, slots=True)
class Context:
    """The caller on whose behalf a request is made.

    `token` is opaque to lading, handed on to catalogs and handlers, and shown by no repr.

    >>> Context(user_id="u", token="secret")
    Context(user_id='u', project_id=None)
    """

    user_id: str | None = None
    project_id: str | None = None
    token: object | None = field(default=None, repr=False)
    caller: object | None = field(default=None, repr=False, compare=False)
    """The embedding program's own request context: handed on as it is to its own catalogs and handlers."""


ANONYMOUS: Final = Context()
"""A caller who says nothing of themselves."""
