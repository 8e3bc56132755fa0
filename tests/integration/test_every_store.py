"""One Glance, five kinds of stores, the command as an operator runs it: who serves, and who does when one can't."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.conftest import Lading
from tests.integration.services.glance import Glance, Stores
from tests.integration.services.keystone import ADMIN, Keystone
from tests.integration.services.rgw import S3Key
from tests.integration.services.running import LOOPBACK

SEGMENTS = 4
DATA = os.urandom(SEGMENTS * 1_024_000)
"""As large as Glance's Swift store makes several segments of."""
HANDLERS = {
    "first": "file",
    "rbd": "rbd",
    "s3": "s3",
    "swift_user": "swift",
    "swift_tenant": "swift",
    "cinder": "cinder",
}


@pytest.fixture
def key(stores: Stores) -> S3Key:
    """A key of the test's own, to be revoked."""
    return stores.rgw.add_key(S3Key("EVERYSTORE", "a/secret+of/its+own"))


@pytest.fixture
def environment(
    host: Path, glance_stores: Glance, stores: Stores, storage_keystone: Keystone, key: S3Key
) -> dict[str, str]:
    """What an operator sets: the cloud by `OS_*`, the rest in one file."""
    (host / "lading.toml").write_text(
        f"""
[catalog]
kind = "glance"
[associations]
path = "associations.sqlite"
[handlers.file]
allowed_folders = ["{glance_stores.server.folder}"]
[handlers.rbd]
ceph_conf = "{stores.ceph.conf}"
connect_timeout = 5
[handlers.s3]
endpoint = "{stores.rgw.url}"
access_key = "{key.access}"
secret_key = "{key.secret}"
region = "default"
connect_seconds = 2
[handlers.swift]
hosts = ["{LOOPBACK}"]
connect_seconds = 2
[handlers.cinder]
ceph_conf = "{stores.ceph.conf}"
"""
    )
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(host / "home"),
        "PYTHONPATH": str(stores.ceph.python_path),
        **storage_keystone.variables(ADMIN),
    }


Told = dict[str, Any]


@pytest.fixture
def tell(lading: Lading) -> Callable[..., Told]:
    """What a command that must succeed says in JSON."""

    def told(*arguments: str, **variables: str) -> Told:
        done = lading(*arguments, "--json", **variables)
        assert done.returncode == 0, done.stderr
        assert secrets_in(done) == 0
        told: Told = json.loads(done.stdout)
        return told

    return told


def secrets_in(done: subprocess.CompletedProcess[str]) -> int:
    """How often a secret is in what was said."""
    said = done.stdout + done.stderr
    return sum(said.count(secret) for secret in ("a/secret+of/its+own", "glance-password", "admin-password"))


@pytest.fixture
def image(glance_stores: Glance) -> Iterator[Told]:
    image = glance_stores.create(DATA)
    yield image
    glance_stores.delete(image["id"])


@pytest.mark.parametrize("store", HANDLERS)
def test_an_image_is_fetched_from_where_it_lies_moved_fetched_again_by_the_same_handler_and_removed(
    host: Path, glance_stores: Glance, tell: Callable[..., Told], lading: Lading, store: str
) -> None:
    image = glance_stores.create(DATA, store=store)
    fetched = tell("fetch", image["id"], "vms/1")
    assert (fetched["handler"], fetched["verified"], fetched["size"]) == (HANDLERS[store], True, len(DATA))
    assert (host / "vms" / "1").read_bytes() == DATA
    tell("mv", "vms/1", "vms/2")
    assert tell("show", "vms/2")["state"] == "intact"
    assert tell("fetch", image["id"], "vms/2")["present"]
    # Another process, and what was there is lost: the recorded handler leads, without the catalog where it can.
    (host / "vms" / "2").unlink()
    elsewhere = {"LADING_CATALOG__KIND": "file", "LADING_CATALOG__FOLDER": str(host / "images")}
    redacted = store == "swift_user"
    again = tell("fetch", image["id"], "vms/2", **({} if redacted else elsewhere))
    assert (again["handler"], len(again["attempts"])) == (HANDLERS[store], 1)
    assert (host / "vms" / "2").read_bytes() == DATA
    tell("rm", "vms/2")
    assert list((host / "vms").iterdir()) == []
    glance_stores.delete(image["id"])


def test_where_one_store_after_the_other_breaks_the_next_one_serves_and_is_recorded(
    host: Path,
    glance_stores: Glance,
    stores: Stores,
    tell: Callable[..., Told],
    lading: Lading,
    key: S3Key,
) -> None:
    image = glance_stores.create(DATA)
    name = image["id"]
    glance_stores.copy_to(name, "rbd", "s3", "swift_user", "cinder")
    locations = glance_stores.locations(name)
    volume = locations["cinder"].rpartition("/")[2]
    order = [each["handler"] for each in tell("explain", name, "vms/x")["attempts"]]
    assert list(dict.fromkeys(order)) == ["file", "rbd", "s3", "swift", "cinder", "download"]

    def served_by(handler: str, attempts: int) -> None:
        target = f"vms/{handler}"
        fetched = tell("fetch", name, target)
        assert (fetched["handler"], len(fetched["attempts"])) == (handler, attempts), fetched["attempts"]
        assert (host / target).read_bytes() == DATA
        assert tell("show", target)["handler"] == handler
        # So that no other target of this host is copied from.
        tell("rm", target)
        assert list((host / "vms").iterdir()) == []

    served_by("file", 1)
    glance_stores.corrupt(name, "first")
    served_by("rbd", 2)
    stores.ceph.delete("images", name)
    served_by("s3", 3)
    stores.rgw.revoke(key)
    served_by("swift", 4)
    stores.rgw.stop()
    try:
        served_by("cinder", 5)
        stores.cinder.reset(volume, "error")
        done = lading("fetch", name, "vms/none", "-v")
    finally:
        stores.rgw.start()
    assert done.returncode == 10
    assert secrets_in(done) == 0
    for handler, why in {
        "file": "digest mismatch",
        "rbd": f"there is no snapshot snap of an image images/{name}",
        "s3": "s3",
        "swift": "swift",
        "cinder": "error",
        "download": "download",
    }.items():
        assert handler in done.stderr
        assert why in done.stderr
    assert list((host / "vms").iterdir()) == []
    assert stores.cinder.attachments(volume) == []
    stores.cinder.reset(volume)


def test_an_image_in_rbd_is_cloned_for_a_target_in_a_pool_and_by_nobody_else(
    glance_stores: Glance, stores: Stores, tell: Callable[..., Told], image: Told
) -> None:
    glance_stores.copy_to(image["id"], "rbd", "s3")
    plan = tell("explain", image["id"], "rbd:vms/1", "--size", "1G")["attempts"]
    assert (plan[0]["handler"], plan[0]["cost"], plan[0]["would"]) == ("rbd", "clone", True)
    assert not any(each["would"] for each in plan[1:])
    fetched = tell("fetch", image["id"], "rbd:vms/1", "--size", "1G")
    assert (fetched["handler"], fetched["method"], fetched["size"], fetched["verified"]) == (
        "rbd",
        "clone",
        1 << 30,
        False,
    )
    shown = tell("show", "rbd:vms/1")
    assert (shown["state"], shown["details"]["parent"]) == ("intact", f"images/{image['id']}@snap")
    assert tell("verify", "rbd:vms/1")["state"] == "intact"
    assert tell("show", "rbd:vms/1")["verified"]
    tell("mv", "rbd:vms/1", "rbd:vms/2")
    assert stores.ceph.images("vms") == ["2"]
    tell("rm", "rbd:vms/2")
    assert stores.ceph.images("vms") == []


def test_without_ceph_s_bindings_the_handler_is_skipped_with_the_name_of_the_package(
    lading: Lading, image: Told
) -> None:
    done = lading("handlers", PYTHONPATH="")
    assert "python3-rados and python3-rbd are not installed" in done.stdout
    assert done.stderr == ""
    refused = lading("fetch", image["id"], "rbd:vms/1", PYTHONPATH="")
    assert "not loaded: rbd; for the reasons: lading handlers" in refused.stderr
    named = lading("handlers", PYTHONPATH="", LADING_HANDLERS__ORDER="rbd,file")
    assert "handler rbd is skipped: python3-rados and python3-rbd are not installed" in named.stderr
