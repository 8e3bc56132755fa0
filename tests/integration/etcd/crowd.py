"""Many processes at one record in etcd. Each writes down what was acknowledged to it, and what may have happened.

`python -m tests.integration.etcd.crowd SEED PROCESSES OPERATIONS NAMESPACE FOLDER ENDPOINT …`
"""

import json
import os
import sys
import traceback
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Final

from lading import Association, StoreUnavailable
from lading.adapters.etcd.associations import EtcdAssociations
from lading.adapters.etcd.cluster import Cluster
from lading.adapters.etcd.keys import Keys, Scopes
from lading.adapters.etcd.locks import EtcdLocks
from lading.adapters.etcd.settings import EtcdSettings
from lading.domain.handler_calls import value_or_raise

SCOPE: Final = "shared"
OWN: Final = 6
"""Targets that one process alone writes."""
COUNTERS: Final = 3
EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
KINDS: Final = {"put": 35, "remove": 10, "get": 25, "count": 30}
"""What a process does, and how often of a hundred times."""


@dataclass
class Report:
    """What one process has seen."""

    counted: list[tuple[str, int]] = field(default_factory=list)
    """The values that it was told are recorded, with their counters."""
    uncertain: list[str] = field(default_factory=list)
    """The counters of refused counts: each may be recorded."""
    own: dict[str, list[int | None]] = field(default_factory=dict)
    """What its targets may hold: one value, or several after refusals."""
    refusals: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


class Porter:
    """One of the processes."""

    def __init__(self, seed: int, me: int, settings: EtcdSettings, namespace: str) -> None:
        self._seed, self._me = seed, me
        keys = Keys(namespace)
        self._locks = EtcdLocks(Cluster(settings), keys, host=f"host{me}", scope=SCOPE, seconds=15)
        self._store = EtcdAssociations(Cluster(settings), keys, Scopes(f"host{me}", SCOPE), self._locks.fence)
        self.report = Report()
        self._refusals: Counter[str] = Counter()

    def work(self, operations: int) -> Report:
        for number in range(operations):
            chance = Random(f"{self._seed}/{self._me}/{number}")
            (kind,) = chance.choices(list(KINDS), list(KINDS.values()))
            try:
                if kind == "count":
                    self._count(f"/counter/{chance.randrange(COUNTERS)}")
                else:
                    self._change(kind, f"/own/{self._me}/{chance.randrange(OWN)}", number)
            except StoreUnavailable as refused:
                self._refusals[str(refused)] += 1
            except Exception:  # noqa: BLE001 - it is reported
                self.report.wrong.append(traceback.format_exc())
        self.report.refusals = dict(self._refusals)
        return self.report

    def _change(self, kind: str, target: str, number: int) -> None:
        possible = self.report.own.setdefault(target, [None])
        if kind == "get":
            found = value_or_raise(self._store.get(target))
            if (found.size if found else None) not in possible:
                self.report.wrong.append(f"{target} holds {found}, expected one of {possible}")
            return
        new = number if kind == "put" else None
        possible.append(new)  # until it is acknowledged
        value_or_raise(self._store.remove(target) if new is None else self._store.put(association(target, number)))
        self.report.own[target] = [new]

    def _count(self, target: str) -> None:
        """Reads, adds one, writes: under the lock."""
        with self._locks.hold(f"target {target}"):
            found = value_or_raise(self._store.get(target))
            count = (found.size or 0 if found else 0) + 1
            self.report.uncertain.append(target)
            value_or_raise(self._store.put(association(target, count)))
            self.report.uncertain.pop()
            self.report.counted.append((target, count))


def association(target: str, number: int) -> Association:
    return Association(target, "crowd", None, None, EPOCH, size=number)


def main() -> None:
    seed, processes, operations = map(int, sys.argv[1:4])
    namespace, folder, *endpoints = sys.argv[4:]
    settings = EtcdSettings(endpoints=tuple(endpoints))
    children = []
    for me in range(processes):
        if (child := os.fork()) == 0:
            report = Porter(seed, me, settings, namespace).work(operations)
            Path(folder, f"{me}.json").write_text(json.dumps(vars(report)))
            os._exit(0)
        children.append(child)
    sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))


if __name__ == "__main__":
    main()
