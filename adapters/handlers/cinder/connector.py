"""os-brick, which makes a volume a device of this host. It is loaded when the first volume is connected.

What its connectors run as root they run in this process, which must then be root's, or through `root_helper`.
"""

import importlib
import logging
import os
import shlex
import socket
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from lading.adapters.handlers.cinder.settings import CinderHandlerSettings
from lading.adapters.host.private_files import make_private
from lading.adapters.stream.errors import Refused
from lading.domain.handler_calls import exception_reason
from lading.domain.refusals import Unavailable, Unconfigured, Unsupported

__all__ = ["Device", "HostConnector", "is_userland", "userland_name"]

_log = logging.getLogger(__name__)
_RBD: Final = "rbd"
_NO_DEVICES: Final = frozenset({"glusterfs", "nfs", "quobyte", "scality", "smbfs", "vmdk", "vzstorage"})
"""Protocols whose volumes are files in a mount, or the business of another hypervisor."""
_PREFIX: Final = "_HELPER_COMMAND_PREFIX"
_SUDO: Final = ["sudo"]
"""What oslo.privsep runs its helper by where nobody has said otherwise, and what it keeps that in."""
_READ: Final = 4 << 20
"""Bytes of one read from Ceph: an object's, as they are by default."""


class Device:
    """A volume as this host has it: a device with a path, or, in userland, something to read from."""

    def __init__(self, bricks: "HostConnector", info: Mapping[str, Any], found: Mapping[str, Any]) -> None:
        self._bricks, self._info, self._found = bricks, info, found

    @property
    def path(self) -> str:
        found = self._found["path"]
        return found if isinstance(found, str) else userland_name(self._info)

    def open(self, offset: int, size: int) -> "_Reading":
        """Its bytes from the offset to the size, which is all that is read of it."""
        source = self._found["path"]
        if isinstance(source, str):
            try:
                opened = open(source, "rb", buffering=0)  # noqa: SIM115, PTH123 - the reading closes it
            except OSError as error:
                advice = "; lading must be run as root to read devices" if isinstance(error, PermissionError) else ""
                raise Refused(Unconfigured(f"{self.path} cannot be read: {error.strerror}{advice}")) from None
            opened.seek(offset)
            return _Reading(opened, size - offset, own=True)
        source.seek(offset)
        return _Reading(source, size - offset, own=False)

    def disconnect(self) -> None:
        self._bricks.disconnect(self._info, self._found)


class _Reading:
    """A ByteStream over a part of a device."""

    def __init__(self, source: Any, left: int, *, own: bool) -> None:  # noqa: ANN401 - a file, or what is like one
        self._source, self._left, self._own = source, left, own
        self._ahead = memoryview(b"")

    def readinto(self, buffer: memoryview, /) -> int:
        if not self._ahead:
            # os-brick's reader of Ceph has no readinto, and each of its reads waits for the cluster.
            self._ahead = memoryview(self._read(min(_READ, self._left)))
            self._left -= len(self._ahead)
        count = min(len(buffer), len(self._ahead))
        buffer[:count] = self._ahead[:count]
        self._ahead = self._ahead[count:]
        return count

    def _read(self, count: int) -> bytes:
        try:
            return bytes(self._source.read(count))
        except OSError:
            raise
        except Exception as error:  # the bindings', which have no common type
            raise OSError(" ".join(str(error).split()) or type(error).__name__) from error

    def close(self) -> None:
        if self._own:
            self._source.close()


class HostConnector:
    """What os-brick does for lading. Raises Fault."""

    def __init__(self, settings: CinderHandlerSettings) -> None:
        self._settings = settings

    def connector(self, host: str, towards: tuple[str, int]) -> dict[str, object]:
        """How this host presents itself to storage; `towards` tells which of its addresses is the one to name."""
        self._load()
        connector = importlib.import_module("os_brick.initiator.connector")
        multipath = self._settings.multipath
        with _vendor("this host cannot be described"):
            found = connector.get_connector_properties(
                self._root_helper, _address(towards), multipath, multipath, host=host
            )
        return dict(found)

    def connect(self, info: Mapping[str, Any]) -> Device:
        """Have the volume on this host, by what Cinder says of its attachment."""
        protocol = str(info.get("driver_volume_type") or "").lower()
        if info.get("encrypted"):
            raise Refused(Unsupported("the volume is encrypted, and its key is not for lading"))
        if protocol in _NO_DEVICES or not protocol:
            raise Refused(Unsupported(f"the volume is reached by {protocol or 'nothing'}, which makes no device of it"))
        if protocol == _RBD and not all(map(find_spec, ("rados", "rbd"))):
            advice = "Debian and Ubuntu have them; a virtual environment sees them with --system-site-packages"
            raise Refused(Unconfigured(f"the volume is in a Ceph: python3-rados and python3-rbd are missing; {advice}"))
        info = self._with_ceph(info) if protocol == _RBD else info
        with _vendor(f"os-brick cannot connect it by {protocol}"):
            return Device(self, info, self._brick(protocol).connect_volume(dict(info)))

    def disconnect(self, info: Mapping[str, Any], found: Mapping[str, Any] | None = None) -> None:
        """Have it on this host no longer; `found` is what connecting it gave, if that was here."""
        protocol = str(info.get("driver_volume_type") or "").lower()
        if protocol == _RBD and found is None:
            return  # what another process had open of it is closed with that
        with _vendor(f"os-brick cannot disconnect it by {protocol}"):
            self._brick(protocol).disconnect_volume(dict(info), found or {}, force=True, ignore_errors=True)

    @property
    def _root_helper(self) -> str:
        return self._settings.root_helper or ""

    def _brick(self, protocol: str) -> Any:  # noqa: ANN401 - os-brick has no types
        self._load()
        connector = importlib.import_module("os_brick.initiator.connector")
        return connector.InitiatorConnector.factory(
            protocol, self._root_helper, use_multipath=self._settings.multipath, do_local_attach=False
        )

    def _with_ceph(self, info: Mapping[str, Any]) -> Mapping[str, Any]:
        """With what the cluster's configuration says, and times within which it must answer.

        os-brick writes a ceph.conf of the monitors' addresses and of what it takes for a keyring; it could be anything
        that a ceph.conf holds.
        """
        conf, seconds = self._settings.ceph_conf, max(1, round(self._settings.timeout))
        lines = [f"{each}_timeout = {seconds}" for each in ("client_mount", "rados_mon_op", "rados_osd_op")]
        # Whatever is read is read once; what cannot be read is told in refusals.
        lines += ["rbd_cache = false", "log_to_stderr = false", "err_to_stderr = false"]
        try:
            own = conf.read_text(encoding="utf-8") if conf else ""
        except (OSError, ValueError) as error:
            raise Refused(Unconfigured(f"[handlers.cinder] ceph_conf: {conf} cannot be read: {error}")) from None
        return {**info, "keyring": "\n".join([*lines, str(info.get("keyring") or ""), own])}

    def _load(self) -> None:
        _load(self._settings.root_helper)


@cache
def _load(root_helper: str | None) -> None:
    """os-brick, once, as it shall be used here."""
    if not logging.getLogger().isEnabledFor(logging.DEBUG):
        # What it logs with a traceback is told in a refusal.
        logging.getLogger("os_brick").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _load_eventlet()
        try:
            privileged = importlib.import_module("os_brick.privileged")
            importlib.import_module("os_brick.initiator.connector")
            priv_context = importlib.import_module("oslo_privsep.priv_context")
            cfg = importlib.import_module("oslo_config.cfg")
        except ModuleNotFoundError as error:
            raise Refused(Unconfigured(f"{error.name} is not installed: pip install 'lading[cinder]'")) from None
    if root_helper:
        priv_context.init(root_helper=shlex.split(root_helper))
    elif cfg.CONF.privsep_osbrick.helper_command is None and getattr(priv_context, _PREFIX, _SUDO) == _SUDO:
        # Not so in a program that has set it up already. By itself it would ask for a password, by sudo.
        # The second one came with os-brick 7.
        contexts = (getattr(privileged, name, None) for name in ("default", "brick_privsep_hide_output"))
        for context in filter(None, contexts):
            context.set_client_mode(False)
    if cfg.CONF.os_brick.lock_path is None:  # the program that lading is part of may have set it
        with suppress(OSError, RuntimeError):  # protocols that need locks say so
            folder = _run_folder()
            make_private(folder)
            cfg.CONF.set_override("lock_path", str(folder), "os_brick")


def _run_folder() -> Path:
    """Where os-brick's locks lie. Raises RuntimeError when the user has no home."""
    if os.geteuid() == 0:
        return Path("/run/lading")
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return (Path(runtime) if runtime else Path.home() / ".local" / "state") / "lading"


def _load_eventlet() -> None:
    """What os-brick loads and does not use here, without what warns whenever a process forks from then on.

    With it nothing is patched, so that forking is what it was.
    """
    register = os.register_at_fork
    os.register_at_fork = lambda **_: None
    try:
        with suppress(ImportError):
            importlib.import_module("eventlet")
    finally:
        os.register_at_fork = register


@contextmanager
def _vendor(what: str) -> Iterator[None]:
    """What os-brick and all that it calls raise, as what it means here: the one table of this module."""
    try:
        yield
    except Refused:
        raise
    except Exception as error:  # noqa: BLE001 - there is no telling what a driver raises
        _log.debug("%s", what, exc_info=True)
        if type(error).__name__ in {"NoRootWrapSpecified", "PermissionError", "FailedToDropPrivileges"}:
            advice = "run lading as root, or set [handlers.cinder] root_helper"
            raise Refused(Unconfigured(f"{what}: that takes root's privileges; {advice}")) from None
        raise Refused(Unavailable(f"{what}: {_words(error)}")) from None


def _words(error: Exception) -> str:
    """Which command failed, else the type of what was raised: the words of either may hold credentials."""
    command = getattr(error, "cmd", None)
    if command is not None:
        return f"{str(command).split()[0]} failed with exit code {getattr(error, 'exit_code', '?')}"
    return exception_reason(error)


def is_userland(info: Mapping[str, Any]) -> bool:
    """Whether such volumes are opened by whoever uses them, with nothing of them in the kernel."""
    return str(info.get("driver_volume_type") or "").lower() == _RBD


def userland_name(info: Mapping[str, Any]) -> str:
    """What QEMU calls it."""
    return f"rbd:{info.get('name')}"


def _address(towards: tuple[str, int]) -> str:
    """This host's address on the way there. Nothing is sent."""
    try:
        family, kind, _, _, place = socket.getaddrinfo(*towards, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(place)
            return str(probe.getsockname()[0])
    except OSError:
        return "127.0.0.1"
