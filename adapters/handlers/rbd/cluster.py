"""A client of a Ceph cluster, by the distribution's bindings, with timeouts and its table of errors."""

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from typing import Any, Final

from lading.adapters.handlers.rbd.names import PoolImage, Snapshot
from lading.adapters.handlers.rbd.settings import RbdHandlerSettings
from lading.adapters.stream.errors import Refused
from lading.domain.refusals import Forbidden, Refusal, TargetFull, Unavailable, Unconfigured, Unsupported

__all__ = ["Absent", "Cluster", "cluster_errors", "connected", "vendor_text"]

_RELEASES: Final = ("mimic", "nautilus", "octopus", "pacific", "quincy", "reef", "squid", "tentacle")
"""The releases whose clients know clones of unprotected snapshots (docs.ceph.com, RBD layering)."""
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_FORBIDDEN: Final = frozenset({errno.EPERM, errno.EACCES})
_SILENT: Final = frozenset({errno.ETIMEDOUT})


class Absent(Exception):
    """A pool, an image or a snapshot does not exist. The message names it."""


class NotReached(Exception):
    """The cluster cannot be reached as configured. The message says what to do."""


class Cluster:
    """A connection to a cluster, for one thread."""

    def __init__(self, handle: Any) -> None:  # noqa: ANN401 - the bindings have no types
        self._handle = handle
        self.fsid: str = handle.get_fsid()

    def lacks(self, snapshot: Snapshot) -> Refusal | None:
        """The refusal of a snapshot in another cluster, which may have pools and images of the same names."""
        if snapshot.fsid == self.fsid:
            return None
        return Unsupported(f"it is in the cluster {snapshot.fsid}, and the configured one is {self.fsid}")

    @contextmanager
    def pool(self, name: str, namespace: str = "") -> Iterator[Any]:
        """The bindings' ioctx. Raises Absent."""
        import rados  # noqa: PLC0415 - see `connected`

        try:
            ioctx = self._handle.open_ioctx(name)
        except rados.ObjectNotFound:
            raise Absent(f"there is no pool {name}") from None
        try:
            ioctx.set_namespace(namespace)
            yield ioctx
        finally:
            ioctx.close()

    def pool_id(self, name: str) -> int:
        """The pool's permanent number, unlike its name. Raises Absent."""
        with self.pool(name) as ioctx:
            number: int = ioctx.get_pool_id()
            return number

    @contextmanager
    def image(self, where: PoolImage, snapshot: str | None = None, *, read_only: bool = True) -> Iterator[Any]:
        """The bindings' Image. Raises Absent."""
        with self.pool(where.pool, where.namespace) as ioctx:
            image = opened(ioctx, where, snapshot, read_only=read_only)
            try:
                yield image
            finally:
                image.close()

    def clones_freely(self) -> bool | None:
        """True when clones are of version 2: of unprotected snapshots too, and into other namespaces.

        None when the user may not read that.
        """
        import rados  # noqa: PLC0415 - see `connected`

        try:
            _, answer, _ = self._handle.mon_command(json.dumps({"prefix": "osd dump", "format": "json"}), b"")
            least = json.loads(answer)["require_min_compat_client"]
        except (rados.Error, ValueError, KeyError):
            return None
        return least in _RELEASES and self._handle.conf_get("rbd_default_clone_format") != "1"


def opened(ioctx: Any, where: PoolImage, snapshot: str | None, *, read_only: bool) -> Any:  # noqa: ANN401 - see above
    """Opens an Image, which the caller closes. Raises Absent."""
    import rbd  # noqa: PLC0415 - see `connected`

    try:
        return rbd.Image(ioctx, where.name, snapshot=snapshot, read_only=read_only)
    except rbd.ImageNotFound:
        named = f"snapshot {snapshot} of an image {where}" if snapshot else f"image {where}"
        raise Absent(f"there is no {named}") from None


@contextmanager
def connected(settings: RbdHandlerSettings) -> Iterator[Cluster]:
    """Connects to the configured cluster while the block runs. Raises NotReached, and the bindings' errors."""
    import rados  # noqa: PLC0415 - the distribution's package, needed only here

    handle = _configured(settings)
    try:
        try:
            handle.connect(timeout=ceil(settings.connect_timeout))
        except rados.ObjectNotFound:
            reason = f"there is no key for client.{settings.user} at the path in the configuration"
            raise NotReached(f"{reason}; [handlers.rbd] user names another user") from None
        except rados.Error as error:
            if number_of(error) not in _FORBIDDEN:
                raise
            raise NotReached(f"the cluster does not accept client.{settings.user}'s key") from None
        yield Cluster(handle)
    finally:
        handle.shutdown()


def _configured(settings: RbdHandlerSettings) -> Any:  # noqa: ANN401 - see above
    import rados  # noqa: PLC0415 - see `connected`

    # By default the bindings search where Ceph's own programs do.
    conf = str(settings.ceph_conf) if settings.ceph_conf else rados.Rados.DEFAULT_CONF_FILES
    seconds = str(ceil(settings.connect_timeout))  # Ceph accepts whole seconds only
    try:
        handle = rados.Rados(rados_id=settings.user, conffile=conf)
    except rados.ObjectNotFound:
        named = settings.ceph_conf or "/etc/ceph/ceph.conf"
        raise NotReached(f"there is no {named}; [handlers.rbd] ceph_conf names the cluster's") from None
    except rados.Error as error:
        raise NotReached(f"{settings.ceph_conf or 'ceph.conf'} cannot be used: {vendor_text(error)}") from None
    for option, value in {
        # Timeouts of every kind, so that nothing waits for a cluster that is gone.
        "client_mount_timeout": seconds,
        "rados_mon_op_timeout": seconds,
        "rados_osd_op_timeout": seconds,
        # All bytes are read once: a cache costs a copy.
        "rbd_cache": "false",
        # Errors become refusals.
        "log_to_stderr": "false",
        "err_to_stderr": "false",
    }.items():
        handle.conf_set(option, value)
    return handle


@contextmanager
def cluster_errors(settings: RbdHandlerSettings, *, writes: str = "") -> Iterator[None]:
    """Raises Refused for the errors of the block. `writes`: the target that the block makes."""
    import rados  # noqa: PLC0415 - see `connected`
    import rbd  # noqa: PLC0415 - see `connected`

    try:
        yield
    except Absent as absent:
        raise Refused(Unavailable(str(absent))) from absent
    except NotReached as reason:
        raise Refused(Unconfigured(str(reason))) from reason
    except (rados.Error, rbd.Error) as error:
        raise Refused(_refusal(error, settings, writes)) from error


def _refusal(error: Exception, settings: RbdHandlerSettings, writes: str) -> Refusal:
    number = number_of(error)
    if number in _SILENT:
        return Unavailable(f"the cluster does not answer within {settings.connect_timeout:g} s")
    if number in _FORBIDDEN:
        return Forbidden(f"client.{settings.user} may not do that: {vendor_text(error)}")
    if number == errno.EBUSY:
        advice = "Ceph releases a client that has died after half a minute"
        return Unavailable(f"another client has it open ({vendor_text(error)})", advice=advice)
    if writes and number in _FULL:
        return TargetFull(f"{writes} cannot be made: {vendor_text(error)}")
    return Unavailable(vendor_text(error))


def number_of(error: Exception) -> int | None:
    """The errno, which some errors of the bindings do not have, and some have as a negative number."""
    number = getattr(error, "errno", None)
    return abs(number) if isinstance(number, int) else None


def vendor_text(error: Exception) -> str:
    """The text of the bindings' error, on one line and without Python's marks."""
    return " ".join(str(error).replace("b'", "'").split())
