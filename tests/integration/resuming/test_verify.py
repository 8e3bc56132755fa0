"""A target that has changed is told from one that is intact."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.resuming.host import (
    DATA,
    IMAGE,
    PROMISING_NOTHING,
    Host,
    a_byte_more,
    a_changed_byte,
    a_symlink_there,
    replaced,
)

from lading import Mismatched, State, Unsupported, Work
from lading.adapters.codec.sizes import exact_size
from lading.adapters.destinations.file.destination import Rules


def test_an_intact_target_is_verified(fetched: Host) -> None:
    [recorded] = fetched.associations.list()
    verified = fetched.dispatcher.verify(str(fetched.target)).unwrap()
    assert verified.checked is not None
    assert verified.checked.state is State.INTACT
    assert replace(verified, checked=None) == recorded
    assert list(fetched.associations.list()) == [verified]


def test_a_target_with_a_new_time_is_intact_and_recorded_so(fetched: Host) -> None:
    os.utime(fetched.target, (1, 1))
    verified = fetched.dispatcher.verify(str(fetched.target)).unwrap()
    assert verified.fingerprint is not None
    assert verified.fingerprint.mtime_ns == 10**9
    assert list(fetched.associations.list()) == [verified]
    assert fetched.fetch().unwrap().landing.present


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (a_changed_byte, "digest mismatch: expected sha256:"),
        (a_byte_more, f"expected {exact_size(len(DATA))}, found {exact_size(len(DATA) + 1)}"),
        (Path.unlink, "is gone"),
        (replaced, "is another file than the one that was fetched"),
        (a_symlink_there, "is no longer a file"),
    ],
    ids=["byte", "size", "gone", "replaced", "symlink"],
)
def test_a_changed_target_is_told(fetched: Host, change: Callable[[Path], None], words: str) -> None:
    [recorded] = fetched.associations.list()
    change(fetched.target)
    refusal = fetched.transfer.verify(Work(str(fetched.target), association=recorded)).failure()
    assert isinstance(refusal, Mismatched)
    assert words in str(refusal)
    assert list(fetched.associations.list()) == [recorded]


def test_without_a_digest_the_size_of_a_target_is_compared(host: Host) -> None:
    host.image = PROMISING_NOTHING
    host.fetch().unwrap()
    assert host.dispatcher.verify(str(host.target)).unwrap().digest is None
    a_changed_byte(host.target)
    assert host.dispatcher.verify(str(host.target)).unwrap().digest is None
    a_byte_more(host.target)
    assert "size mismatch: expected" in str(host.dispatcher.verify(str(host.target)).failure())


def test_a_target_that_landed_unverified_is_verified(host: Host) -> None:
    host.rules = Rules(verify=False)
    assert host.fetch().unwrap().landing.digest is None
    assert host.dispatcher.verify(str(host.target)).unwrap().digest == IMAGE.digest


def test_an_unrecorded_target_cannot_be_verified(host: Host) -> None:
    assert isinstance(host.transfer.verify(Work(str(host.target))).failure(), Unsupported)
