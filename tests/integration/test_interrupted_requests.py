"""Requests to a cloud that are interrupted at any moment: the session answers the next ones, of each thread.

LADING_TORTURE tries every place; LADING_SEED makes a run again.
"""

import logging
import os
import random
from typing import Final

import pytest
from keystoneauth1.session import Session
from tests.faulty_server import FaultyServer, Reply
from tests.interrupts import elsewhere, interrupt_each
from tests.torture import TORTURE

from lading.adapters.openstack.transport import follow_policy
from lading.adapters.web.network import DIRECT

SEED: Final = int(os.environ.get("LADING_SEED") or random.SystemRandom().randrange(1 << 32))


def counts(path: str) -> bool:
    """Before Python 3.13 an interrupt in the standard library's logging can leave the lock of all loggers locked."""
    return not path.startswith(os.path.dirname(logging.__file__))


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupted_request_leaves_the_session_usable(faulty_server: FaultyServer) -> None:
    url = faulty_server.answer("/", Reply(b"{}", headers=[("Set-Cookie", "node=3")]))
    session = Session()
    follow_policy(session, DIRECT)

    def request() -> bytes:
        return bytes(session.get(url, authenticated=False).content)

    for place in interrupt_each(request, SEED, most=0 if TORTURE else 200, counts=counts):
        assert elsewhere(request) == b"{}", place
        assert request() == b"{}"
        assert faulty_server.requests[-1].headers["cookie"] == "node=3"
