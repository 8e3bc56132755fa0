"""The storage that tests start does what its fixtures say."""

import importlib
import os
import subprocess
from typing import Any

import pytest
from tests.integration.services.ceph import POOLS, Ceph, CephError
from tests.integration.services.fixtures import StartCeph

DATA = os.urandom(100_000)


def read(ceph: Ceph, pool: str, image: str, snap: str, user: str = "admin") -> bytes:
    """What this very process reads with the modules of the machine."""
    rados: Any = importlib.import_module("rados")
    rbd: Any = importlib.import_module("rbd")
    with (
        rados.Rados(conffile=str(ceph.conf), rados_id=user) as cluster,
        cluster.open_ioctx(pool) as pool_,
        rbd.Image(pool_, image, snapshot=snap, read_only=True) as opened,
    ):
        found: bytes = opened.read(0, opened.size())
        return found


# Ceph


def test_ceph_keeps_images_and_this_process_reads_them(ceph: Ceph, tmp_path: os.PathLike[str]) -> None:
    name = os.path.basename(tmp_path)
    location = ceph.put(DATA, "images", name)
    assert location == f"rbd://{ceph.fsid}/images/{name}/snap"
    assert ceph.get("images", name, "snap") == read(ceph, "images", name, "snap") == DATA
    with pytest.raises(CephError, match="is protected"):
        ceph.rbd("snap", "rm", f"images/{name}@snap")
    ceph.delete("images", name)
    assert name not in ceph.images("images")


def test_ceph_has_its_pools_and_clones_from_one_to_another(ceph: Ceph) -> None:
    assert set(ceph.ceph("osd", "pool", "ls").split()) >= set(POOLS)
    ceph.put(DATA, "images", "parent")
    ceph.rbd("clone", "images/parent@snap", "vms/child")
    assert ceph.get("vms", "child") == DATA
    ceph.delete("vms", "child")
    ceph.delete("images", "parent")


def test_ceph_is_frozen_stopped_and_started_with_what_it_has(start_ceph: StartCeph) -> None:
    ceph = start_ceph()
    ceph.put(DATA, "vms", "disk")
    command = ["rbd", "--conf", str(ceph.conf), "info", "vms/disk"]
    ceph.freeze(only_storage=True)
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(command, check=True, capture_output=True, timeout=1)
    assert "1 osds" in ceph.ceph("osd", "stat")
    ceph.thaw(only_storage=True)
    subprocess.run(command, check=True, capture_output=True, timeout=10)
    ceph.freeze()
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(command, check=True, capture_output=True, timeout=1)
    ceph.thaw()
    for only_storage in (True, False):
        ceph.stop(only_storage=only_storage)
        with pytest.raises(subprocess.TimeoutExpired):
            subprocess.run(command, check=True, capture_output=True, timeout=1)
        ceph.start(only_storage=only_storage)
        assert ceph.get("vms", "disk", "snap") == DATA


def test_ceph_with_keys_turns_away_whose_key_is_revoked(start_ceph: StartCeph) -> None:
    ceph = start_ceph(auth=True)
    ceph.put(DATA, "vms", "disk")
    ceph.user("tenant", mon="profile rbd", osd="profile rbd pool=vms")
    assert read(ceph, "vms", "disk", "snap", "tenant") == DATA
    ceph.limit("tenant", mon="profile rbd", osd="profile rbd pool=images")
    with pytest.raises(Exception, match=r"(?i)permi"):
        read(ceph, "vms", "disk", "snap", "tenant")
    ceph.revoke("tenant")
    with pytest.raises(Exception, match=r"(?i)permi"):
        read(ceph, "vms", "disk", "snap", "tenant")
