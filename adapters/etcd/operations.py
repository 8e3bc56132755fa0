"""Operations and comparisons of etcd's transactions, as its JSON gateway takes them."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = [
    "KeyValue", "Op", "as_base64", "created_at", "delete", "get", "modified_at", "newest_before", "prefix_end", "put",
]  # fmt: skip

Op = Mapping[str, Any]
"""An operation or a comparison."""


class KeyValue(NamedTuple):
    """A key with its value."""

    key: bytes
    value: bytes
    created_at: int
    """The revision of its creation."""
    modified_at: int
    """The revision of its last change."""

    @classmethod
    def of(cls, found: Mapping[str, str]) -> "KeyValue":
        return cls(
            b64decode(found["key"]),
            b64decode(found.get("value", "")),
            int(found["create_revision"]),
            int(found["mod_revision"]),
        )


def as_base64(data: bytes) -> str:
    """The bytes as the gateway takes them."""
    return b64encode(data).decode()


def prefix_end(prefix: bytes) -> bytes:
    r"""The first key behind all those with this prefix, which does not end in 0xff.

    >>> prefix_end(b"targets/")
    b'targets0'
    """
    return prefix[:-1] + bytes([prefix[-1] + 1])


def created_at(key: bytes, revision: int) -> Op:
    """The comparison that the key was created at the revision; 0: that it does not exist."""
    return {"key": as_base64(key), "target": "CREATE", "result": "EQUAL", "create_revision": str(revision)}


def modified_at(key: bytes, revision: int) -> Op:
    """The comparison that the key was last changed at the revision; 0: that it does not exist."""
    return {"key": as_base64(key), "target": "MOD", "result": "EQUAL", "mod_revision": str(revision)}


def get(key: bytes, end: bytes | None = None, *, oldest: bool = False) -> Op:
    """Gets the key, or all keys from it to before `end`. `oldest`: only the one that was created first."""
    found: dict[str, Any] = {"key": as_base64(key)}
    if end is not None:
        found["range_end"] = as_base64(end)
    if oldest:
        found |= {"sort_target": "CREATE", "sort_order": "ASCEND", "limit": "1"}
    return {"request_range": found}


def newest_before(key: bytes, end: bytes, revision: int) -> Op:
    """Gets the key that was created last before the revision, of all keys from `key` to before `end`."""
    return {
        "request_range": {
            "key": as_base64(key), "range_end": as_base64(end), "max_create_revision": str(revision - 1),
            "sort_target": "CREATE", "sort_order": "DESCEND", "limit": "1",
        }
    }  # fmt: skip


def put(key: bytes, value: bytes, lease: int | None = None) -> Op:
    """Sets the key. With a lease, it is deleted when that expires."""
    return {
        "request_put": {"key": as_base64(key), "value": as_base64(value), **({"lease": str(lease)} if lease else {})}
    }


def delete(key: bytes) -> Op:
    """Deletes the key."""
    return {"request_delete_range": {"key": as_base64(key)}}
