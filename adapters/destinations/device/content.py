"""The content of a block device, as far as it is recognized."""

import json
import os
import subprocess
from typing import Final

__all__ = ["content_text"]

_SECONDS: Final = 30
_PATH: Final = os.pathsep.join(("/usr/sbin", "/sbin", "/usr/bin", "/bin"))


def content_text(path: str) -> str:
    """The content of a device that is not all zeros, for a message: `an ext4 labelled data`.

    It is recognized by wipefs, which knows file systems, partition tables, volumes and RAID.
    """
    try:
        # With --no-act it reads only.
        done = subprocess.run(  # noqa: S603 - no shell, and the path is a device's
            ["wipefs", "--no-act", "--json", path],  # noqa: S607 - as the system has it
            capture_output=True, check=True, timeout=_SECONDS, env={"PATH": _PATH, "LC_ALL": "C"},
        )  # fmt: skip
        found = json.loads(done.stdout or b"{}").get("signatures", [])
    except FileNotFoundError:
        return "data (to recognize it, wipefs is needed: Debian's package util-linux)"
    except (OSError, subprocess.SubprocessError, ValueError):
        found = []
    texts = [f"{each['type']} labelled {each['label']}" if each.get("label") else str(each["type"]) for each in found]
    return " and ".join(dict.fromkeys(texts)) or "data of an unknown kind"
