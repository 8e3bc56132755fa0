"""The storage that tests start does what its fixtures say."""

import importlib
import os
import socket
import subprocess
import uuid
from typing import Any

import pytest
from tests.integration.services.asking import ask
from tests.integration.services.cache import Cache, environment
from tests.integration.services.ceph import POOLS, Ceph, CephError
from tests.integration.services.cinder import POOL, Cinder
from tests.integration.services.fixtures import StartCeph, StartRgw
from tests.integration.services.glance import ELSEWHERE, SEGMENT, STORES, Glance, Stores
from tests.integration.services.keystone import ADMIN, DEMO, GLANCE, NOVA, SERVICE, Keystone
from tests.integration.services.rgw import KEY, Rgw, S3Key
from tests.integration.services.running import LOOPBACK

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


S3 = """
import sys, boto3
endpoint, access, secret, bucket, key = sys.argv[1:]
client = boto3.client("s3", endpoint_url=endpoint, aws_access_key_id=access, aws_secret_access_key=secret)
sys.stdout.buffer.write(client.get_object(Bucket=bucket, Key=key)["Body"].read())
"""


def s3(rgw: Rgw, services: Cache, credentials: S3Key, bucket: str, key: str) -> bytes:
    """What a stranger's S3 client gets; CalledProcessError when it is turned away."""
    command = [str(environment(services) / "bin" / "python"), "-c", S3, rgw.url, *credentials, bucket, key]
    return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout


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
    subprocess.run(command, check=True, capture_output=True, timeout=60)
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


# Its object gateway


def test_what_swift_puts_s3_gets_until_the_key_is_revoked(rgw: Rgw, services: Cache) -> None:
    bucket, key = rgw.bucket(f"test-{uuid.uuid4()}"), rgw.add_key(S3Key("FURTHER", "a/secret"))
    location = rgw.put(bucket, "a folder/noble.img", DATA)
    assert location == f"s3://{rgw.host}/{bucket}/a folder/noble.img"
    assert rgw.objects(bucket) == ["a folder/noble.img"]
    assert s3(rgw, services, KEY, bucket, "a folder/noble.img") == DATA
    assert s3(rgw, services, key, bucket, "a folder/noble.img") == DATA
    rgw.revoke(key)
    with pytest.raises(subprocess.CalledProcessError) as refused:
        s3(rgw, services, key, bucket, "a folder/noble.img")
    assert b"InvalidAccessKeyId" in refused.value.stderr
    rgw.corrupt(bucket, "a folder/noble.img")
    corrupt = s3(rgw, services, KEY, bucket, "a folder/noble.img")
    assert len(corrupt) == len(DATA)
    assert corrupt != DATA
    rgw.delete(bucket, "a folder/noble.img")
    assert not rgw.has(bucket, "a folder/noble.img")


def test_large_objects_are_one_to_who_reads_them(rgw: Rgw) -> None:
    bucket, parts = rgw.bucket(f"test-{uuid.uuid4()}"), [DATA[:40_000], DATA[40_000:80_000], DATA[80_000:]]
    rgw.put_dynamic(bucket, "dynamic", parts)
    rgw.put_static(bucket, "static", parts)
    assert rgw.get(bucket, "dynamic") == rgw.get(bucket, "static") == DATA
    ranged = {"Range": "bytes=39990-40009"}
    for name in ("dynamic", "static"):
        answer = rgw.ask("GET", f"{bucket}/{name}", headers=ranged).expect(206)
        assert answer.body == DATA[39_990:40_010]


def test_the_gateway_takes_keystones_tokens(rgw: Rgw, storage_keystone: Keystone) -> None:
    token = storage_keystone.token(DEMO)
    catalog = storage_keystone.ask("GET", "/auth/catalog", token=token).json()["catalog"]
    (account,) = {
        endpoint["url"] for each in catalog if each["type"] == "object-store" for endpoint in each["endpoints"]
    }
    container, known = f"{account}/test-{uuid.uuid4()}", {"X-Auth-Token": token, "User-Agent": "a client"}
    ask("PUT", container, headers=known).expect(201)
    ask("PUT", f"{container}/noble.img", DATA, known).expect(201)
    name = container.rpartition("/")[2]
    rgw.accesses(name, at_least=2)
    since = rgw.log.mark()
    ranged = {**known, "Range": "bytes=0-9"}
    assert ask("GET", f"{container}/noble.img", headers=ranged).expect(206).body == DATA[:10]
    ask("GET", f"{container}/noble.img", headers={"X-Auth-Token": "no token", "User-Agent": "a client"}).expect(401)
    seen = [(each.method, each.status, each.range) for each in rgw.accesses(name, since=since, at_least=2)]
    assert seen == [("GET", 206, "bytes=0-9"), ("GET", 401, None)]


def test_a_gateway_is_frozen_killed_and_started(start_rgw: StartRgw) -> None:
    rgw = start_rgw()
    bucket = rgw.bucket(f"test-{uuid.uuid4()}", public=True)
    rgw.put(bucket, "noble.img", DATA)
    url = f"{rgw.url}/{bucket}/noble.img"
    assert ask("GET", url).expect(200).body == DATA
    rgw.freeze()
    with socket.create_connection((LOOPBACK, rgw.port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    rgw.thaw()
    rgw.kill()
    with pytest.raises(ConnectionRefusedError):
        ask("GET", url)
    rgw.start()
    assert ask("GET", url).expect(200).body == DATA


# Cinder


def test_cinder_keeps_volumes_in_the_pool(cinder: Cinder) -> None:
    volume = cinder.create(DATA)
    assert cinder.stored(volume["id"]) in cinder.ceph.images(POOL)
    assert cinder.attachments(volume["id"]) == []
    cinder.reset(volume["id"], "error")
    assert cinder.show(volume["id"])["status"] == "error"
    cinder.reset(volume["id"])
    copy = cinder.create(snapshot_id=cinder.snapshot(volume["id"]))
    assert cinder.read(copy["id"], len(DATA)) == DATA
    cinder.delete(copy["id"])
    assert cinder.stored(copy["id"]) not in cinder.ceph.images(POOL)


# Glance with all of its stores


def test_an_image_is_copied_into_every_store_and_is_there(
    glance_stores: Glance, stores: Stores, storage_keystone: Keystone, services: Cache
) -> None:
    image = glance_stores.create(DATA)
    name, everywhere = image["id"], (*STORES, *ELSEWHERE)
    copied = glance_stores.copy_to(name, *everywhere[1:])
    located = glance_stores.locations(name, token=storage_keystone.token(NOVA))
    assert set(copied["stores"].split(",")) == located.keys() == set(everywhere)
    volume = located["cinder"].rpartition("/")[2]
    account = f"{stores.rgw.url}/swift/v1/AUTH_{storage_keystone.project_id(ADMIN.project)}"
    secret = f"{SERVICE}%3A{GLANCE.name}:{GLANCE.password}"
    assert located == {
        **{store: f"file://{glance_stores.stored(name, store)}" for store in STORES},
        "rbd": stores.ceph.location("images", name),
        "s3": stores.rgw.s3_location("glance-s3", name),
        "swift": f"swift+config://ref1/glance/{name}",
        "swift_user": f"swift+http://{secret}@{storage_keystone.url.removeprefix('http://')}/v3/glance-user/{name}",
        "swift_tenant": f"{account.replace('http', 'swift+http', 1)}/tenant_{name}/{name}",
        "cinder": f"cinder://cinder/{volume}",
    }
    known = {"X-Auth-Token": storage_keystone.token(ADMIN)}
    assert read(stores.ceph, "images", name, "snap") == DATA
    assert s3(stores.rgw, services, KEY, "glance-s3", name) == DATA
    assert ask("GET", f"{account}/tenant_{name}/{name}", headers=known).expect(200).body == DATA
    assert stores.cinder.read(volume, len(DATA)) == DATA
    glance_stores.delete(name)
    assert name not in stores.ceph.images("images")
    assert not stores.rgw.has("glance-s3", name)
    stores.cinder.wait_for_end(volume)


def test_an_image_of_several_segments_is_in_swift_and_a_volume_is_made_of_it(
    glance_stores: Glance, stores: Stores
) -> None:
    data = os.urandom(5 * SEGMENT)
    image = glance_stores.create(data, store="swift")
    assert list(glance_stores.locations(image["id"])) == ["swift"]
    assert glance_stores.ask("GET", f"/v2/images/{image['id']}/file").expect(200).body == data
    volume = stores.cinder.create(imageRef=image["id"])
    assert stores.cinder.read(volume["id"], len(data)) == data
    stores.cinder.delete(volume["id"])
    glance_stores.delete(image["id"])
