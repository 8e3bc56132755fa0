"""Settings of the cinder handler."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["CinderHandlerSettings"]


@dataclass(frozen=True, slots=True)
class CinderHandlerSettings:
    cloud: str | None = None
    """The name in clouds.yaml of the cloud with the Cinder and its credentials. None: the `OS_*` variables'."""
    host: str | None = None
    """The name of this host in attachments; None: its hostname."""
    ceph_conf: Path | None = None
    """The configuration for volumes in a Ceph; None: Cinder's answer, with the keyrings at Ceph's default paths."""
    root_helper: str | None = None
    """The command that runs others as root, for example `sudo`; None: lading itself runs as root."""
    multipath: bool = False
    """True: volumes are attached by all their paths, with multipathd."""
    timeout: float = 60.0
    """Seconds to wait until Cinder has finished an operation on a volume."""

    def __post_init__(self) -> None:
        if self.timeout <= 0:
            raise ValueError("timeout: expected more than 0 seconds")
