"""An adapter of os-brick, which connects volumes to this host as devices. os-brick is loaded with the first volume.

Its connectors run commands as root: in this process, which must then be root's, or by `root_helper`.
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
"""Protocols whose volumes are files in a mount, or only for another hypervisor."""
_PREFIX: Final = "_HELPER_COMMAND_PREFIX"
_SUDO: Final = ["sudo"]
"""The default command by which oslo.privsep runs its helper, and the name of its variable."""
_READ: Final = 4 << 20
"""Bytes of one read from Ceph: the default size of an object."""


class Device:
    """A volume on this host: a device with a path, or, in userland, a file-like object."""

    def __init__(self, connector: "HostConnector", info: Mapping[str, Any], found: Mapping[str, Any]) -> None:
        """`found` is os-brick's description of the device."""
        self._connector, self._info, self._found = connector, info, found

    @property
    def path(self) -> str:
        found = self._found["path"]
        return found if isinstance(found, str) else userland_name(self._info)

    def open(self, offset: int, size: int) -> "_Reading":
        """Opens the bytes from `offset` to `size`."""
        source = self._found["path"]
        if isinstance(source, str):
            try:
                opened = open(source, "rb", buffering=0)  # noqa: SIM115, PTH123 - the reading closes it
            except OSError as error:
                advice = "run lading as root, to read devices" if isinstance(error, PermissionError) else ""
                reason = f"{self.path} cannot be read: {error.strerror}"
                raise Refused(Unconfigured(reason, advice=advice)) from None
            opened.seek(offset)
            return _Reading(opened, size - offset, own=True)
        source.seek(offset)
        return _Reading(source, size - offset, own=False)

    def disconnect(self) -> None:
        self._connector.disconnect(self._info, self._found)


class _Reading:
    """A ByteStream over a part of a device."""

    def __init__(self, source: Any, left: int, *, own: bool) -> None:  # noqa: ANN401 - a file-like object
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
        except Exception as error:  # the bindings' errors have no common type
            raise OSError(" ".join(str(error).split()) or type(error).__name__) from error

    def close(self) -> None:
        if self._own:
            self._source.close()


class HostConnector:
    """Connects volumes by os-brick. Raises Refused."""

    def __init__(self, settings: CinderHandlerSettings) -> None:
        self._settings = settings

    def properties(self, host: str, towards: tuple[str, int]) -> dict[str, object]:
        """The connector properties of this host, with its address on the way to `towards`."""
        self._load()
        connector = importlib.import_module("os_brick.initiator.connector")
        multipath = self._settings.multipath
        with _brick_errors("this host's connector properties cannot be read"):
            found = connector.get_connector_properties(
                self._root_helper, _address(towards), multipath, multipath, host=host
            )
        return dict(found)

    def connect(self, info: Mapping[str, Any]) -> Device:
        """Connects the volume of a connection info."""
        protocol = str(info.get("driver_volume_type") or "").lower()
        if info.get("encrypted"):
            raise Refused(Unsupported("the volume is encrypted, and lading cannot get its key"))
        if protocol in _NO_DEVICES or not protocol:
            raise Refused(Unsupported(f"the volume's protocol {protocol or '(none)'} makes no device of it"))
        if protocol == _RBD and not all(map(find_spec, ("rados", "rbd"))):
            advice = "Debian and Ubuntu have them; a virtual environment sees them with --system-site-packages"
            reason = "the volume is in a Ceph: python3-rados and python3-rbd are missing"
            raise Refused(Unconfigured(reason, advice=advice))
        info = self._with_ceph(info) if protocol == _RBD else info
        with _brick_errors(f"os-brick cannot connect it by {protocol}"):
            return Device(self, info, self._brick(protocol).connect_volume(dict(info)))

    def disconnect(self, info: Mapping[str, Any], found: Mapping[str, Any] | None = None) -> None:
        """Disconnects the volume. `found` is os-brick's description of the device; None: another process has it."""
        protocol = str(info.get("driver_volume_type") or "").lower()
        if protocol == _RBD and found is None:
            return  # a userland connection ended with its process
        with _brick_errors(f"os-brick cannot disconnect it by {protocol}"):
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
        """Adds the cluster's configuration, and timeouts, to the connection info.

        os-brick writes a ceph.conf of the monitors' addresses and the keyring. The "keyring" may be any text that a
        ceph.conf may contain.
        """
        conf, seconds = self._settings.ceph_conf, max(1, round(self._settings.timeout))
        lines = [f"{each}_timeout = {seconds}" for each in ("client_mount", "rados_mon_op", "rados_osd_op")]
        # All bytes are read once, so a cache is useless; errors become refusals.
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
    """Loads and configures os-brick, once."""
    if not logging.getLogger().isEnabledFor(logging.DEBUG):
        # It logs errors with a traceback; the refusal reports them.
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
            raise Refused(
                Unconfigured(f"{error.name} is not installed", advice="pip install 'lading[cinder]'")
            ) from None
    if root_helper:
        priv_context.init(root_helper=shlex.split(root_helper))
    elif cfg.CONF.privsep_osbrick.helper_command is None and getattr(priv_context, _PREFIX, _SUDO) == _SUDO:
        # A program that embeds lading may have set it up already. The default would ask for a password, by sudo.
        # The second context is new in os-brick 7.
        contexts = (getattr(privileged, name, None) for name in ("default", "brick_privsep_hide_output"))
        for context in filter(None, contexts):
            context.set_client_mode(False)
    if cfg.CONF.os_brick.lock_path is None:  # a program that embeds lading may have set it
        with suppress(OSError, RuntimeError):  # protocols that need locks report it
            folder = _run_folder()
            make_private(folder)
            cfg.CONF.set_override("lock_path", str(folder), "os_brick")


def _run_folder() -> Path:
    """The folder of os-brick's locks. Raises RuntimeError when the user has no home."""
    if os.geteuid() == 0:
        return Path("/run/lading")
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return (Path(runtime) if runtime else Path.home() / ".local" / "state") / "lading"


def _load_eventlet() -> None:
    """Loads eventlet, which os-brick imports and does not use here, without its warning at each later fork.

    eventlet patches nothing here, so that forks are safe.
    """
    register = os.register_at_fork
    os.register_at_fork = lambda **_: None
    try:
        with suppress(ImportError):
            importlib.import_module("eventlet")
    finally:
        os.register_at_fork = register


@contextmanager
def _brick_errors(what: str) -> Iterator[None]:
    """Raises Refused for the errors of os-brick, and of all that it calls, in the block."""
    try:
        yield
    except Refused:
        raise
    except Exception as error:  # noqa: BLE001 - a driver may raise anything
        _log.debug("%s", what, exc_info=True)
        if type(error).__name__ in {"NoRootWrapSpecified", "PermissionError", "FailedToDropPrivileges"}:
            advice = "run lading as root, or set [handlers.cinder] root_helper"
            raise Refused(Unconfigured(f"{what}: root privileges are required", advice=advice)) from None
        raise Refused(Unavailable(f"{what}: {_error_text(error)}")) from None


def _error_text(error: Exception) -> str:
    """The command that failed, else the error's type: the texts of both may contain credentials."""
    command = getattr(error, "cmd", None)
    if command is not None:
        return f"{str(command).split()[0]} failed with exit code {getattr(error, 'exit_code', '?')}"
    return exception_reason(error)


def is_userland(info: Mapping[str, Any]) -> bool:
    """Returns True for volumes that each process opens itself, without a device in the kernel."""
    return str(info.get("driver_volume_type") or "").lower() == _RBD


def userland_name(info: Mapping[str, Any]) -> str:
    """QEMU's name for a volume in userland."""
    return f"rbd:{info.get('name')}"


def _address(towards: tuple[str, int]) -> str:
    """This host's address on the way to another. Nothing is sent."""
    try:
        family, kind, _, _, place = socket.getaddrinfo(*towards, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(place)
            return str(probe.getsockname()[0])
    except OSError:
        return "127.0.0.1"
