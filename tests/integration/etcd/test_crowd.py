"""Many processes change one record in an etcd of three members, and one member is killed every few seconds.

LADING_TORTURE makes it 16 processes with 1,000 operations each; LADING_SEED makes a run again.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest
from tests.etcd_record import etcd_associations, etcd_locks
from tests.integration.etcd.crowd import COUNTERS, SCOPE
from tests.integration.etcd.hosts import lock_keys, wait_until
from tests.integration.services.fixtures import StartEtcd
from tests.torture import TORTURE

PROCESSES: Final = 16 if TORTURE else 4
OPERATIONS: Final = 1000 if TORTURE else 50
KILL_SECONDS: Final = 3.0
"""Between the deaths of two members."""
HANGING_SECONDS: Final = 3600 if TORTURE else 240
SEED: Final = int(os.environ.get("LADING_SEED") or random.SystemRandom().randrange(1 << 32))


def test_nothing_acknowledged_is_lost_or_doubled_while_members_die(
    tmp_path: Path, start_etcd: StartEtcd, capsys: pytest.CaptureFixture[str]
) -> None:
    etcd, chance, killed = start_etcd(3), random.Random(SEED), 0
    numbers = map(str, (SEED, PROCESSES, OPERATIONS))
    command = [sys.executable, "-m", "tests.integration.etcd.crowd", *numbers, "crowd", str(tmp_path), *etcd.endpoints]
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    began = time.monotonic()
    with subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True) as crowd:
        try:
            while crowd.poll() is None:
                assert time.monotonic() < began + HANGING_SECONDS
                member = chance.choice(etcd.members)
                member.process.kill()
                killed += 1
                member.start(wait=False)
                try:
                    crowd.wait(KILL_SECONDS)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            crowd.kill()
        seconds = time.monotonic() - began
        assert crowd.returncode == 0, crowd.stderr and crowd.stderr.read()
    for member in etcd.members:
        member.process.wait_ready(member.is_ready)
    reports: list[dict[str, Any]] = [json.loads((tmp_path / f"{me}.json").read_text()) for me in range(PROCESSES)]
    refusals: Counter[str] = sum((Counter(each["refusals"]) for each in reports), Counter())
    with capsys.disabled():
        print(  # noqa: T201
            f"\n{PROCESSES} × {OPERATIONS} operations in {seconds:.0f} s, {killed} members killed (seed {SEED}), "
            f"{sum(refusals.values())} refused: {dict(refusals.most_common(4))}"
        )
    assert [wrong for each in reports for wrong in each["wrong"]] == []
    store = etcd_associations(etcd, "crowd", locks=etcd_locks(etcd, "crowd", scope=SCOPE))
    recorded = {each.target: each.size for each in store.list()}
    for number in range(COUNTERS):
        target = f"/counter/{number}"
        counted = sorted(count for each in reports for name, count in each["counted"] if name == target)
        uncertain = sum(each["uncertain"].count(target) for each in reports)
        assert len(counted) == len(set(counted)), "two processes were told the same number"
        last = recorded.get(target) or 0
        assert max(counted, default=0) <= last
        assert len(counted) <= last <= len(counted) + uncertain, "a count is lost, or recorded twice"
    for each in reports:
        lost = {target: values for target, values in each["own"].items() if recorded.get(target) not in values}
        assert lost == {}
    # Whatever could not be released is free when its lease has expired.
    wait_until(lambda: lock_keys(etcd, "crowd") == [])
