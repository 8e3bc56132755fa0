"""The hand-over of changes to etcd: whatever fails meanwhile, each is in etcd once, or is reported."""

import itertools
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from returns.result import Success
from tests.etcd_record import etcd_associations
from tests.faulty_stores import through
from tests.integration.services.etcd import Etcd
from tests.strategies import IMAGE, OTHER_IMAGE
from tests.torture import TORTURE

from lading.adapters.codec.associations import decode_association
from lading.adapters.etcd import queued
from lading.adapters.etcd.associations import EtcdAssociations
from lading.adapters.etcd.cluster import Cluster
from lading.adapters.etcd.keys import Keys, Scopes
from lading.adapters.etcd.operations import prefix_end
from lading.adapters.etcd.queued import QueuedAssociations
from lading.adapters.etcd.settings import EtcdSettings
from lading.adapters.memory.locks import MemoryLocks
from lading.adapters.sqlite.database import Database
from lading.adapters.sqlite.local_copy import LocalCopy
from lading.ports.association import Association
from lading.ports.handover import Change
from lading.ports.image import Image

NAMES = itertools.count()
TARGETS = ("/vms/1", "/vms/2")
DEAD = EtcdSettings(endpoints=("http://127.0.0.1:1",), timeout=0.01)
HOSTS = ("A", "B")
"""Two hosts that were given one name, so that each changes what the other has recorded."""


class Killed(BaseException):
    """The process is killed here."""


@dataclass(frozen=True)
class Fault:
    """What happens at a step of an operation: a call to etcd, or a change of the copy."""

    step: int
    is_kill: bool
    """False: etcd is away for this one call."""
    is_done: bool
    """True: the step was made, and nothing is known of it."""


FAULTS = st.none() | st.builds(Fault, st.integers(0, 9), st.booleans(), st.booleans())


@dataclass
class Process:
    """A process of a host, which fails to order."""

    etcd: Etcd
    namespace: str
    copy: LocalCopy
    decided: list[Change]
    """Every change that was ever queued."""
    is_reached: bool = True
    fault: Fault | None = None
    steps: int = 0
    store: QueuedAssociations = field(init=False)

    def __post_init__(self) -> None:
        cluster = through(Cluster(self.etcd.settings()), self.call_etcd)
        shared = EtcdAssociations(cluster, Keys(self.namespace), Scopes("host1"))
        self.store = QueuedAssociations(shared, through(self.copy, self.call_copy), MemoryLocks())

    def run(self, operation: Callable[[QueuedAssociations], object], fault: Fault | None) -> object:
        """The outcome of the operation; None when it was killed."""
        self.fault, self.steps = fault, 0
        try:
            return operation(self.store)
        except Killed:
            return None
        finally:
            self.fault = None

    def call_etcd(self, verb: str, act: Callable[[], Any]) -> Any:  # noqa: ANN401 - what it stands for answers
        fault = self.next_fault()
        if not self.is_reached or (fault and not fault.is_kill and not fault.is_done):
            return Cluster(DEAD).transaction([])
        if fault and fault.is_kill and not fault.is_done:
            raise Killed
        outcome = act()
        if fault:
            if fault.is_kill:
                raise Killed
            Cluster(DEAD).transaction([])
        return outcome

    def call_copy(self, verb: str, act: Callable[[], Any]) -> Any:  # noqa: ANN401 - see above
        fault = self.next_fault()
        if fault and fault.is_kill and not fault.is_done:
            raise Killed
        outcome = act()
        if verb == "change":
            self.decided += [each for each in self.copy.changes() if each not in self.decided]
        if fault and fault.is_kill:
            raise Killed
        return outcome

    def next_fault(self) -> Fault | None:
        self.steps += 1
        return self.fault if self.fault and self.fault.step == self.steps - 1 else None


class Hosts(RuleBasedStateMachine):
    """Two hosts, the first with two processes, and one etcd, which each host may not reach."""

    etcd: ClassVar[Etcd]

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.namespace = f"handover-{next(NAMES)}"
        self.copies = {name: LocalCopy(Database(self.folder / f"{name}.db")) for name in HOSTS}
        self.decided: dict[str, list[Change]] = {name: [] for name in HOSTS}
        self.processes = [
            (name, Process(self.etcd, self.namespace, self.copies[name], self.decided[name]))
            for name in ("A", "A", "B")
        ]
        self.times = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=each) for each in itertools.count())

    @rule(host=st.sampled_from(HOSTS), is_reached=st.booleans())
    def connect_or_cut_off(self, host: str, is_reached: bool) -> None:
        for name, process in self.processes:
            if name == host:
                process.is_reached = is_reached

    @rule(
        number=st.integers(0, 2),
        path=st.sampled_from(TARGETS),
        image=st.sampled_from((IMAGE, OTHER_IMAGE)),
        fault=FAULTS,
    )
    def put(self, number: int, path: str, image: Image, fault: Fault | None) -> None:
        association = Association(path, "file", image, None, next(self.times))
        _, process = self.processes[number]
        if (outcome := process.run(lambda store: store.put(association), fault)) is not None:
            assert outcome == Success(None)
            self.check_decided(process, path, association)

    @rule(number=st.integers(0, 2), path=st.sampled_from(TARGETS), fault=FAULTS)
    def remove(self, number: int, path: str, fault: Fault | None) -> None:
        _, process = self.processes[number]
        before = len(process.decided)
        if (outcome := process.run(lambda store: store.remove(path), fault)) is not None:
            assert outcome == Success(None)
            # Of a target that the host does not know nothing is decided. Others may have recorded it.
            if len(process.decided) > before:
                self.check_decided(process, path, None)

    @rule(number=st.integers(0, 2), fault=FAULTS)
    def hand_over(self, number: int, fault: Fault | None) -> None:
        self.processes[number][1].run(lambda store: store.hand_over(), fault)

    @rule(number=st.integers(0, 2), fault=FAULTS)
    def list(self, number: int, fault: Fault | None) -> None:
        self.processes[number][1].run(lambda store: [*store.list()], fault)

    def check_decided(self, process: Process, target: str, association: Association | None) -> None:
        """What was decided is what the host reads, until others are known to have decided otherwise."""
        lost = [each.own for each in process.copy.conflicts() if each.target == target]
        assert process.copy.get(target) == association or association in lost

    def teardown(self) -> None:
        if not hasattr(self, "folder"):
            return
        for _, process in self.processes:
            process.is_reached = True
        for _, process in self.processes:
            assert process.store.hand_over().reason is None
        # Once more: what the last host handed over is news to the first.
        assert [[*process.store.hand_over().made] for _, process in self.processes] == [[]] * 3
        shared = [*etcd_associations(self.etcd, self.namespace).list()]
        assert [[*process.store.list()] for _, process in self.processes] == [shared] * 3
        assert [[*copy.list()] for copy in self.copies.values()] == [shared] * 2
        by_id = {each.id: (name, each) for name in HOSTS for each in self.decided[name]}
        made = check_history(self.etcd, self.namespace, {each.id: each for _, each in by_id.values()})
        for name, copy in self.copies.items():
            assert copy.changes() == []
            own = [each for each in self.decided[name] if each in made]
            assert own == [each for each in made if by_id[each.id][0] == name], "the order is another one"
            lost = [(each.target, each.own) for each in copy.conflicts()]
            for each in self.decided[name]:
                # Others may have removed it before.
                assert each in made or each.after is None or (each.target, each.after) in lost, "a change is lost"
        shutil.rmtree(self.folder)


def check_history(etcd: Etcd, namespace: str, decided: Mapping[str, Change]) -> Sequence[Change]:
    """Replays all hand-overs, which are all that ever changed this namespace. Returns them, in etcd's order.

    Each must have changed its target from what its host knew to what it decided, and nothing else, and only once.
    """
    cluster, keys = Cluster(etcd.settings()), Keys(namespace)
    mark, targets = keys.last_change("host1"), keys.targets("host1")
    made: list[Change] = []
    after: dict[str, Association] | None = None
    revision = 0
    while True:
        found, _ = cluster.page(mark, mark + b"\0", limit=1, revision=revision)
        revision = found[0].modified_at if found else 1
        values, _ = cluster.page(targets, prefix_end(targets), limit=99, revision=revision) if found else ((), 0)
        state = {each.target: each for each in (decode_association(value.value) for value in values)}
        if after is not None:
            change = made[0]
            assert state.get(change.target) == change.before
            assert after == {
                key: each for key, each in {**state, change.target: change.after}.items() if each is not None
            }
        if not found:
            return made
        change = decided[found[0].value.decode()]
        assert change not in made, "it was made twice"
        made.insert(0, change)
        after, revision = state, revision - 1


def test_each_change_is_in_etcd_once_or_is_reported(etcd: Etcd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queued, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(Hosts, "etcd", etcd, raising=False)
    run_state_machine_as_test(
        Hosts, settings=hypothesis_settings(max_examples=max(40, TORTURE), stateful_step_count=20, deadline=None)
    )
