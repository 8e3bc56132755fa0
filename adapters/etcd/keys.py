"""The keys of the record: targets by host, and what says which targets hold an image."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote_from_bytes

from lading.adapters.codec.text import as_text, from_text

__all__ = ["Keys", "Scopes"]

_VERSION: Final = "1"
"""Of the layout. A later one will have keys of its own, so that an earlier lading never reads them."""


class Scopes:
    """The part of the record that a target belongs to: this host's, or that of hosts which share its storage."""

    def __init__(self, host: str, scope: str | Mapping[str, str] | None = None) -> None:
        """`scope`: the name of what is shared, of all targets, or by the folder that is mounted on all hosts."""
        self._host = host
        self.default = scope if isinstance(scope, str) else host
        folders = scope if isinstance(scope, Mapping) else {}
        # A folder in another one goes first.
        self._folders = sorted(((each.rstrip("/") + "/", name) for each, name in folders.items()), reverse=True)

    @property
    def names(self) -> frozenset[str]:
        """All names: the host's and those that it shares."""
        return frozenset({self.default, *(name for _, name in self._folders)})

    def of(self, target: str) -> str:
        """The name of the target's scope.

        >>> scopes = Scopes("host1", {"/mnt/vms": "nfs1"})
        >>> scopes.of("/mnt/vms/1.img"), scopes.of("/mnt/vms2/1.img")
        ('nfs1', 'host1')
        """
        return next((name for folder, name in self._folders if target.startswith(folder)), self.default)

    def is_shared(self, target: str) -> bool:
        """Tells whether other hosts see the target too."""
        return self.of(target) != self._host


class Keys:
    """The keys in a namespace.

        NAMESPACE/1/targets/HOST/TARGET            the association, as a JSON document
        NAMESPACE/1/images/NAME/HOST/TARGET        its summary; NAME is the image's id or a digest
        NAMESPACE/1/handlers/HANDLER/HOST/TARGET   nothing: a host's handlers find their own associations
        NAMESPACE/1/locks/HOST/LOCK/LEASE          the holder of a lock, or a waiter
        NAMESPACE/1/changes/HOST                   the id of the last change that the host handed over

    Targets are as they are, so that keys are in the order of targets. The other parts are percent-encoded.
    """

    def __init__(self, namespace: str) -> None:
        self._root = f"{namespace}/{_VERSION}"

    def targets(self, host: str | None = None) -> bytes:
        """The prefix of the associations of a host, or of all."""
        return self._prefix("targets", *([host] if host is not None else []))

    def target(self, host: str, target: str) -> bytes:
        return self.targets(host) + as_text(target)

    def image_names(self, start: str = "") -> bytes:
        """The prefix of the targets that hold an image whose id or digest begins with this text."""
        return self._prefix("images", start)[:-1]

    def images(self, name: str, host: str | None = None) -> bytes:
        """The prefix of the targets that hold the image of this id or digest."""
        return self._prefix("images", name, *([host] if host is not None else []))

    def image(self, name: str, host: str, target: str) -> bytes:
        return self.images(name, host) + as_text(target)

    def handlers(self, handler: str, host: str) -> bytes:
        """The prefix of the targets of a host that the handler fetched."""
        return self._prefix("handlers", handler, host)

    def handler(self, handler: str, host: str, target: str) -> bytes:
        return self.handlers(handler, host) + as_text(target)

    def lock(self, host: str, name: str) -> bytes:
        """The name of a lock, as the lock service of etcd takes it."""
        return self._prefix("locks", host, name)[:-1]

    def last_change(self, host: str) -> bytes:
        return self._prefix("changes", host)[:-1]

    def place(self, key: bytes, prefix: bytes) -> tuple[str, str]:
        """The host and the target of a key with this prefix, which names no host.

        Where the prefix names no image either, the first is the image's name.
        """
        host, _, target = key[len(prefix) :].partition(b"/")
        return _unquoted(host), from_text(target)

    def _prefix(self, *parts: str) -> bytes:
        quoted = [quote_from_bytes(as_text(part), safe=":@ ") for part in parts]
        return "/".join((self._root, *quoted, "")).encode()


def _unquoted(part: bytes) -> str:
    if b"%" not in part:
        return from_text(part)
    from urllib.parse import unquote_to_bytes  # noqa: PLC0415 - seldom needed

    return from_text(unquote_to_bytes(part))
