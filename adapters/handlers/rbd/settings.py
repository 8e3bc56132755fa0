"""Settings of the rbd handler."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["RbdHandlerSettings"]


@dataclass(frozen=True, slots=True)
class RbdHandlerSettings:
    ceph_conf: Path | None = None
    """None: where Ceph's own programs look, `$CEPH_CONF` and `/etc/ceph/ceph.conf` first."""
    user: str = "admin"
    """Without `client.` before it."""
    connect_timeout: float = 10.0
    """Seconds within which the cluster must answer, at first and ever after."""

    def __post_init__(self) -> None:
        if self.connect_timeout <= 0:
            raise ValueError("connect_timeout: expected more than 0 seconds")
        if not self.user.strip() or self.user.startswith("client."):
            raise ValueError("user: expected a name without client. before it, admin say")
