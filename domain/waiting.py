"""The reason of a wait at a lock, for messages."""

from typing import Final

from lading.ports.locks import Locks, SupportsHolder

__all__ = ["holder_text", "wait_reason"]

_UNKNOWN: Final = "another operation"


def holder_text(locks: Locks, name: str, does: str) -> str:
    """The process that holds the name, if it is known, and what it does: `process 4242, which …`."""
    process = locks.holder(name) if isinstance(locks, SupportsHolder) else None
    return f"{_UNKNOWN if process is None else f'process {process}'}, which {does}"


def wait_reason(locks: Locks, name: str, does: str) -> str | None:
    """The reason of a wait for the name; None when it is free now. Raises StoreUnavailable."""
    with locks.hold(name, wait=False) as is_free:
        return None if is_free else holder_text(locks, name, does)
