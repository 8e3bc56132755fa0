"""Settings of the rbd handler."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["RbdHandlerSettings"]


@dataclass(frozen=True, slots=True)
class RbdHandlerSettings:
    ceph_conf: Path | None = None
    """None: the default paths of Ceph's own programs, `$CEPH_CONF` and `/etc/ceph/ceph.conf` first."""
    user: str = "admin"
    """Without the prefix `client.`."""
    connect_timeout: float = 10.0
    """Seconds to wait for each answer of the cluster."""

    def __post_init__(self) -> None:
        if self.connect_timeout <= 0:
            raise ValueError("connect_timeout: expected more than 0 seconds")
        if not self.user.strip() or self.user.startswith("client."):
            raise ValueError("user: expected a name without the prefix client., for example admin")
