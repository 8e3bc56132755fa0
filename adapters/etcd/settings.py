"""Settings of what is kept in etcd."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

__all__ = ["EtcdAssociationsSettings", "EtcdLocksSettings", "EtcdSettings"]

_SHORTEST_LEASE: Final = 5
"""Seconds. A shorter lease can expire in one election of etcd."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdSettings:
    """The cluster, and this host's place in it."""

    endpoints: tuple[str, ...]
    """URLs of the members: `http://HOST:PORT`, or https."""
    ca_file: Path | None = None
    """Certificates to trust for https; None: the system's."""
    cert_file: Path | None = None
    """Certificate of the client."""
    key_file: Path | None = None
    """Private key of `cert_file`."""
    user: str | None = None
    """A user of etcd; None: no password is sent."""
    password_file: Path | None = None
    """A file with the user's password in its first line."""
    namespace: str = "lading"
    """The first part of every key."""
    host: str = field(default_factory=lambda: os.uname().nodename)
    """The name of this host in the record."""
    timeout: float = 10.0
    """Seconds until a call is given up, over all endpoints."""

    def __post_init__(self) -> None:
        if not self.endpoints:
            raise ValueError("endpoints: expected at least one, for example http://127.0.0.1:2379")
        for each in self.endpoints:
            parts = urlsplit(each)
            if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.username:
                raise ValueError("endpoints: expected http://HOST:PORT or https://HOST:PORT, without a path or a user")
        if self.timeout <= 0:
            raise ValueError("timeout: expected more than 0")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file: expected both or neither")
        if (self.user is None) != (self.password_file is None):
            raise ValueError("user and password_file: expected both or neither")
        for name, value in (("host", self.host), ("namespace", self.namespace)):
            if not is_name(value):
                raise ValueError(f"{name}: expected a name without / and control characters")


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdAssociationsSettings(EtcdSettings):
    offline: Literal["refuse", "queue"] = "refuse"
    """While etcd is away: `refuse` operations, or `queue` their changes on this host and hand them over later."""
    copy: Path | None = None
    """The database of this host's copy, where changes are queued."""
    kind: Literal["etcd"] = "etcd"

    def __post_init__(self) -> None:
        EtcdSettings.__post_init__(self)
        if self.offline == "queue" and self.copy is None:
            raise ValueError('copy: expected the path of a database, which offline = "queue" needs')


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdLocksSettings(EtcdSettings):
    scope: str | Mapping[str, str] | None = None
    """The name that the hosts share which share their targets: of all targets, or by folder; None: only this host."""
    lease: int = 30
    """Seconds until the locks of a process that died are free."""
    folder: Path | None = None
    """Folder of the locks of targets that are in no shared folder, where `scope` names folders; None: in memory."""
    kind: Literal["etcd"] = "etcd"

    @property
    def has_local_names(self) -> bool:
        """True when only the targets in some folders are locked in etcd."""
        return isinstance(self.scope, Mapping)

    def __post_init__(self) -> None:
        EtcdSettings.__post_init__(self)
        if self.lease < _SHORTEST_LEASE:
            raise ValueError(f"lease: expected at least {_SHORTEST_LEASE} seconds")
        names = [self.scope] if isinstance(self.scope, str) else [*(self.scope or {}).values()]
        if not all(map(is_name, names)):
            raise ValueError("scope: expected names without / and control characters")
        if isinstance(self.scope, Mapping) and not all(each.startswith("/") for each in self.scope):
            raise ValueError('scope: expected absolute folders, for example {"/mnt/vms" = "nfs1"}')


def is_name(text: str) -> bool:
    """Tells whether the text can be a part of a key."""
    return bool(text) and "/" not in text and text.isprintable()
