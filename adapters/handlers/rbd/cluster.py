"""A Ceph cluster, through the distribution's own bindings: asked within a time, and its errors in words."""

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from typing import Any, Final

from lading.adapters.handlers.rbd.names import PoolImage, Snapshot
from lading.adapters.handlers.rbd.settings import RbdHandlerSettings
from lading.adapters.stream.errors import Refused
from lading.domain.refusals import Refusal, TargetFailed, Unavailable, Unconfigured, Unsupported

__all__ = ["Absent", "Cluster", "cluster_errors", "connected", "words"]

_RELEASES: Final = ("mimic", "nautilus", "octopus", "pacific", "quincy", "reef", "squid", "tentacle")
"""From which on clients know clones of snapshots that are not protected (docs.ceph.com, RBD layering)."""
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_FORBIDDEN: Final = frozenset({errno.EPERM, errno.EACCES})
_SILENT: Final = frozenset({errno.ETIMEDOUT})


class Absent(Exception):
    """What was named is not there; in words."""


class NotReached(Exception):
    """The cluster cannot be talked to as things are configured; in words that say what to do."""


class Cluster:
    """A connection to a cluster, for one thread."""

    def __init__(self, handle: Any) -> None:  # noqa: ANN401 - the bindings have no types
        self._handle = handle
        self.fsid: str = handle.get_fsid()

    def lacks(self, snapshot: Snapshot) -> Refusal | None:
        """Why it cannot have that: two clusters may have pools and images of the same names."""
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
        """Whether clones are of the second version: of snapshots that are not protected, and into other namespaces.

        None when the user may not know.
        """
        import rados  # noqa: PLC0415 - see `connected`

        try:
            _, answer, _ = self._handle.mon_command(json.dumps({"prefix": "osd dump", "format": "json"}), b"")
            least = json.loads(answer)["require_min_compat_client"]
        except (rados.Error, ValueError, KeyError):
            return None
        return least in _RELEASES and self._handle.conf_get("rbd_default_clone_format") != "1"


def opened(ioctx: Any, where: PoolImage, snapshot: str | None, *, read_only: bool) -> Any:  # noqa: ANN401 - see above
    """An open Image, for the caller to close. Raises Absent."""
    import rbd  # noqa: PLC0415 - see `connected`

    try:
        return rbd.Image(ioctx, where.name, snapshot=snapshot, read_only=read_only)
    except rbd.ImageNotFound:
        named = f"snapshot {snapshot} of an image {where}" if snapshot else f"image {where}"
        raise Absent(f"there is no {named}") from None


@contextmanager
def connected(settings: RbdHandlerSettings) -> Iterator[Cluster]:
    """The configured cluster. Raises NotReached, and the bindings' errors."""
    import rados  # noqa: PLC0415 - the distribution's package, needed by whoever comes here only

    handle = _configured(settings)
    try:
        try:
            handle.connect(timeout=ceil(settings.connect_timeout))
        except rados.ObjectNotFound:
            reason = f"there is no key for client.{settings.user} where the configuration says"
            raise NotReached(f"{reason}; [handlers.rbd] user names another user") from None
        except rados.Error as error:
            if number_of(error) not in _FORBIDDEN:
                raise
            raise NotReached(f"the cluster does not take client.{settings.user}'s key") from None
        yield Cluster(handle)
    finally:
        handle.shutdown()


def _configured(settings: RbdHandlerSettings) -> Any:  # noqa: ANN401 - see above
    import rados  # noqa: PLC0415 - see `connected`

    # Where none is named, the bindings look where Ceph's own programs do.
    conf = str(settings.ceph_conf) if settings.ceph_conf else rados.Rados.DEFAULT_CONF_FILES
    seconds = str(ceil(settings.connect_timeout))  # Ceph takes whole ones
    try:
        handle = rados.Rados(rados_id=settings.user, conffile=conf)
    except rados.ObjectNotFound:
        named = settings.ceph_conf or "/etc/ceph/ceph.conf"
        raise NotReached(f"there is no {named}; [handlers.rbd] ceph_conf names the cluster's") from None
    except rados.Error as error:
        raise NotReached(f"{settings.ceph_conf or 'ceph.conf'} cannot be used: {words(error)}") from None
    for option, value in {
        # Of every kind, so that nothing waits for a cluster that is gone.
        "client_mount_timeout": seconds,
        "rados_mon_op_timeout": seconds,
        "rados_osd_op_timeout": seconds,
        # What is read is read once: a cache costs a copy.
        "rbd_cache": "false",
        # Errors are told in refusals.
        "log_to_stderr": "false",
        "err_to_stderr": "false",
    }.items():
        handle.conf_set(option, value)
    return handle


@contextmanager
def cluster_errors(settings: RbdHandlerSettings, *, writes: str = "") -> Iterator[None]:
    """Raises Refused for the block's errors: the one table of this room. `writes`: the target that the block makes."""
    import rados  # noqa: PLC0415 - see `connected`
    import rbd  # noqa: PLC0415 - see `connected`

    try:
        yield
    except Absent as absent:
        raise Refused(Unavailable(str(absent))) from absent
    except NotReached as reason:
        raise Refused(Unconfigured(str(reason))) from reason
    except (rados.Error, rbd.Error) as error:
        raise Refused(_meant(error, settings, writes)) from error


def _meant(error: Exception, settings: RbdHandlerSettings, writes: str) -> Refusal:
    number = number_of(error)
    if number in _SILENT:
        return Unavailable(f"the cluster does not answer within {settings.connect_timeout:g} s")
    if number in _FORBIDDEN:
        return Unavailable(f"client.{settings.user} may not do that: {words(error)}")
    if number == errno.EBUSY:
        return Unavailable(f"somebody has it open ({words(error)}); Ceph lets go of who died after half a minute")
    if writes and number in _FULL:
        return TargetFailed(f"{writes} cannot be made: {words(error)}")
    return Unavailable(words(error))


def number_of(error: Exception) -> int | None:
    """The errno, which the bindings do not always give, nor always with one sign."""
    number = getattr(error, "errno", None)
    return abs(number) if isinstance(number, int) else None


def words(error: Exception) -> str:
    """What the bindings say, on one line and without Python's marks."""
    return " ".join(str(error).replace("b'", "'").split())
