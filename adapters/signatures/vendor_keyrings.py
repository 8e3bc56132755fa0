"""Keyrings that packages of vendors install, by the vendor's servers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["installed_keyrings"]

_KEYRINGS: Final = {
    "ubuntu.com": ("usr/share/keyrings/ubuntu-cloudimage-keyring.gpg", "usr/share/keyrings/ubuntu-archive-keyring.gpg"),
    "cdimage.debian.org": ("usr/share/keyrings/debian-role-keys.gpg",),
    "fedoraproject.org": ("etc/pki/rpm-gpg/RPM-GPG-KEY-fedora-*-primary",),
    "almalinux.org": ("etc/pki/rpm-gpg/RPM-GPG-KEY-AlmaLinux-*",),
    "opensuse.org": (
        "usr/lib/rpm/gnupg/keys/gpg-pubkey-29b700a4-*.asc",
        "usr/lib/rpm/gnupg/keys/gpg-pubkey-3dbdc284-*.asc",
    ),
}
"""Files beneath the root, by the domain whose servers publish what the keys sign.

Of the packages ubuntu-cloudimage-keyring, ubuntu-keyring, debian-keyring, fedora-gpg-keys, almalinux-release and
openSUSE-build-key.
"""


def installed_keyrings(host: str, root: Path = Path("/")) -> tuple[Path, ...]:
    """The installed keyrings of the vendor with this server; none for other servers.

    >>> installed_keyrings("ubuntu.com.evil.example")
    ()
    """
    return tuple(_found(host.lower(), root))


def _found(host: str, root: Path) -> Iterator[Path]:
    for domain, patterns in _KEYRINGS.items():
        if host == domain or host.endswith(f".{domain}"):
            for pattern in patterns:
                yield from sorted(each for each in root.glob(pattern) if each.is_file())
