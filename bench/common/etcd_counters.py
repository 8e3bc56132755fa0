"""The counters of a member of etcd."""

import urllib.request
from collections import Counter

from tests.integration.services.etcd import Member


def counters(member: Member) -> Counter[str]:
    """The member's counters by name. Those of gRPC are by the name of the method."""
    found: Counter[str] = Counter()
    with urllib.request.urlopen(f"{member.url}/metrics", timeout=30) as answer:  # noqa: S310
        for line in answer.read().decode().splitlines():
            name, _, value = line.rpartition(" ")
            if name.startswith("grpc_server_started_total{"):
                found[name.partition('grpc_method="')[2].partition('"')[0]] += int(float(value))
            elif name.startswith("etcd_") and "{" not in name:
                found[name] = int(float(value))
    return found
