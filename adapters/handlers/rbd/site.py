"""Where a target in a pool is, and what it takes to be there."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, NamedTuple, TypeVar

from returns.result import Failure, Result

from lading.adapters.handlers.rbd.cluster import Absent, Cluster, answering, connected
from lading.adapters.handlers.rbd.names import PoolImage, pool_target
from lading.adapters.handlers.rbd.settings import RbdHandlerSettings
from lading.domain.refusals import Refusal, TargetFailed, TargetOccupied
from lading.ports.association import Association

__all__ = ["Site", "another", "at", "in_the_way", "is_another", "taken"]

_Done = TypeVar("_Done")


class Site(NamedTuple):
    """A target's cluster, its pool's ioctx, and itself."""

    cluster: Cluster
    ioctx: Any
    where: PoolImage


def at(
    settings: RbdHandlerSettings,
    target: str,
    act: Callable[[Site], Result[_Done, Refusal]],
    *,
    absent: Result[_Done, Refusal] | None = None,
) -> Result[_Done, Refusal]:
    """What is done at the target, errors of the cluster as refusals; `absent`: what it means that there is no pool."""

    def reach(where: PoolImage) -> Result[_Done, Refusal]:
        with connected(settings) as cluster, ExitStack() as held:
            try:
                ioctx = held.enter_context(cluster.pool(where.pool, where.namespace))
            except Absent as reason:
                return Failure(TargetFailed(str(reason))) if absent is None else absent
            return act(Site(cluster, ioctx, where))

    return pool_target(target).bind(lambda where: answering(settings, lambda: reach(where), writes=str(where)))


def is_another(recorded: Association | None, found: str) -> bool:
    """Whether the image with that id is not the one that is recorded."""
    return recorded is not None and recorded.identity is not None and recorded.identity != found


def another(target: str) -> TargetOccupied:
    return TargetOccupied(f"{target} is another image than the one that was fetched")


def taken(where: PoolImage) -> TargetOccupied:
    return TargetOccupied(f"rbd:{where} exists; nothing is overwritten unasked")


def in_the_way(part: PoolImage) -> TargetOccupied:
    return TargetOccupied(f"rbd:{part} is in the way, and nothing says that lading made it: rename it, or delete it")
