"""Settings of the cinder handler."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["CinderHandlerSettings"]


@dataclass(frozen=True, slots=True)
class CinderHandlerSettings:
    cloud: str | None = None
    """Whose Cinder, and whose credentials: its name in clouds.yaml. None: as `OS_*` says."""
    host: str | None = None
    """What this host is called in attachments; None: its own name."""
    ceph_conf: Path | None = None
    """For volumes that lie in a Ceph; None: what Cinder says of it, with the keyrings where Ceph looks for them."""
    root_helper: str | None = None
    """What runs a command as root, `sudo` for one; None: nothing, for lading is root's."""
    multipath: bool = False
    timeout: float = 60.0
    """Seconds within which a volume must have become what it was asked to become."""

    def __post_init__(self) -> None:
        if self.timeout <= 0:
            raise ValueError("timeout: expected more than 0 seconds")
