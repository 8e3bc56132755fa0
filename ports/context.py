"""The caller of a request."""

from dataclasses import dataclass, field
from typing import Final

__all__ = ["ANONYMOUS", "Context"]


@dataclass(frozen=True, slots=True)
class Context:
    """The caller on whose behalf a request is made.

    `token` is opaque to lading: it is passed to catalogs and handlers, and no repr shows it.

    >>> Context(user_id="u", token="secret")
    Context(user_id='u', project_id=None)
    """

    user_id: str | None = None
    project_id: str | None = None
    token: object | None = field(default=None, repr=False)
    caller: object | None = field(default=None, repr=False, compare=False)
    """The request context of the embedding program, passed unchanged to its catalogs and handlers."""


ANONYMOUS: Final = Context()
"""A caller without user, project and token."""
