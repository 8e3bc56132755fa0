"""A catalog of a mirror: what is requested, verified, cached and refused."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.faulty_server import FaultyServer, Reply, redirect
from tests.integration.streams.conftest import MakeCatalog, serve
from tests.openpgp import Key, Keys
from tests.streams import INCUS, INDEX, UBUNTU, UBUNTU_LIST, digest, incus_tree, index, signed, ubuntu_tree

from lading.adapters.catalogs.policy import flaw
from lading.adapters.catalogs.simplestreams.catalog import SimplestreamsCatalog
from lading.ports.context import ANONYMOUS
from lading.ports.failures import CatalogFailure, CatalogUnavailable, ImageNotFound, ImageUnproven, SettingsError
from lading.ports.image import Image

OLDER = {**UBUNTU, "updated": "Sat, 31 Oct 2026 10:00:00 +0000"}
NOBLE = "server/releases/noble/release-20261101/ubuntu-24.04-amd64.img"


def found(catalog: SimplestreamsCatalog, reference: str = "noble") -> Image:
    return catalog.find(reference, ANONYMOUS).unwrap()


def failure(catalog: SimplestreamsCatalog, reference: str = "noble") -> CatalogFailure:
    return catalog.find(reference, ANONYMOUS).failure()


def paths(server: FaultyServer) -> list[str]:
    return [each.path.removeprefix("/") for each in server.requests]


def test_images_of_an_incus_server_are_found_without_a_keyring(mirror: FaultyServer, make_catalog: MakeCatalog) -> None:
    serve(mirror, incus_tree())
    image = found(make_catalog(), "debian/12/cloud")
    url = mirror.url("/images/debian/bookworm/amd64/cloud/20260721_05:24/disk.qcow2")
    assert [each.url for each in image.locations] == [url]
    assert image.proof.signed_by is None
    assert len(list(make_catalog().images())) == 6


@pytest.mark.parametrize("clear", [True, False])
def test_a_signed_mirror_is_verified_and_the_key_is_told(
    mirror: FaultyServer, make_catalog: MakeCatalog, keys: Keys, vendor: Key, clear: bool
) -> None:
    serve(mirror, signed(keys, vendor, clear=clear))
    assert found(make_catalog(keyring=vendor.keyring)).proof.signed_by == vendor.signer
    ends = {True: [".sjson", ".sjson"], False: [".sjson", ".json", ".json.gpg", ".json", ".json.gpg"]}[clear]
    assert [re.search(r"\.s?json.*", each)[0] for each in paths(mirror)] == ends  # type: ignore[index]


@pytest.mark.parametrize("clear", [True, False])
def test_a_strangers_signature_is_refused_and_names_key_and_file(
    mirror: FaultyServer, make_catalog: MakeCatalog, keys: Keys, vendor: Key, stranger: Key, clear: bool
) -> None:
    serve(mirror, signed(keys, stranger, clear=clear))
    reason = str(failure(make_catalog(keyring=vendor.keyring)))
    assert f"{INDEX}.{'sjson' if clear else 'json'}: it is signed by the key {stranger.fingerprint}" in reason
    assert str(vendor.keyring) in reason


def test_a_changed_list_of_products_is_refused(
    mirror: FaultyServer, make_catalog: MakeCatalog, keys: Keys, vendor: Key
) -> None:
    tree = signed(keys, vendor)
    listed = f"{UBUNTU_LIST}.sjson"
    serve(mirror, {**tree, listed: tree[listed].replace(digest(NOBLE).encode(), b"0" * 64)})
    assert f"{listed}: the signature by the key" in str(failure(make_catalog(keyring=vendor.keyring)))


def test_another_signed_list_in_its_place_is_refused(
    mirror: FaultyServer, make_catalog: MakeCatalog, keys: Keys, vendor: Key
) -> None:
    daily = signed(keys, vendor, {**UBUNTU, "content_id": "com.ubuntu.cloud:daily:download"})
    listed = f"{UBUNTU_LIST}.sjson"
    serve(mirror, {**signed(keys, vendor), listed: daily[listed]})
    assert "it is another list than com.ubuntu.cloud:released:download" in str(
        failure(make_catalog(keyring=vendor.keyring))
    )


def test_a_document_without_its_signature_is_refused(
    mirror: FaultyServer, make_catalog: MakeCatalog, vendor: Key
) -> None:
    serve(mirror, ubuntu_tree())
    assert re.search(r"index\.json: no signature .*404", str(failure(make_catalog(keyring=vendor.keyring))))


def test_a_signature_that_is_replaced_after_its_document_is_waited_for(
    mirror: FaultyServer, make_catalog: MakeCatalog, keys: Keys, vendor: Key
) -> None:
    old, new = signed(keys, vendor, OLDER, clear=False), signed(keys, vendor, clear=False)
    serve(mirror, new)
    path = f"{INDEX}.json.gpg"
    mirror.answer(f"/{path}", Reply(old[path]), Reply(new[path]))
    assert found(make_catalog(keyring=vendor.keyring)).name == "24.04"
    mirror.answer(f"/{path}", Reply(old[path]))
    cold = make_catalog(keyring=vendor.keyring, cache=Path("/nonexistent/cache"))
    assert "does not match: the file was changed" in str(failure(cold))


def test_policies_decide_what_is_verified(
    mirror: FaultyServer, make_catalog: MakeCatalog, stranger: Key, vendor: Key, keys: Keys
) -> None:
    serve(mirror, signed(keys, stranger))
    assert found(make_catalog(keyring=vendor.keyring, policy="checksum")).proof.signed_by is None
    assert isinstance(failure(make_catalog(keyring=vendor.keyring)), ImageUnproven)


def test_an_image_without_a_checksum_is_accepted_by_policy_none_only(
    mirror: FaultyServer, make_catalog: MakeCatalog
) -> None:
    document: dict[str, Any] = copy.deepcopy(UBUNTU)
    for version in document["products"]["com.ubuntu.cloud:server:24.04:amd64"]["versions"].values():
        version["items"] = {"d": {"ftype": "disk1.img", "path": "noble.img"}}
    serve(mirror, ubuntu_tree(document))
    image = found(make_catalog())
    assert (flaw(image, "checksum"), flaw(image, "none")) == ("it has no checksum", None)


def test_a_list_that_is_only_clear_signed_is_read_without_a_keyring(
    mirror: FaultyServer, make_catalog: MakeCatalog, keys: Keys, vendor: Key
) -> None:
    serve(mirror, {path: content for path, content in signed(keys, vendor).items() if not path.endswith(".json")})
    assert found(make_catalog()).name == "24.04"


@pytest.mark.parametrize("url", ["{}", "{}/", "{}/streams/v1/index.json", "{}/streams/v1/"])
def test_the_url_is_the_root_or_the_index(mirror: FaultyServer, make_catalog: MakeCatalog, url: str) -> None:
    serve(mirror, ubuntu_tree())
    image = found(make_catalog(url=url.format(mirror.url(""))))
    assert image.locations[0].url == mirror.url(f"/{NOBLE}")


def test_credentials_of_the_url_are_sent_and_not_shown(mirror: FaultyServer, make_catalog: MakeCatalog) -> None:
    serve(mirror, ubuntu_tree())
    catalog = make_catalog(url=mirror.url("/", userinfo="me:hush"))
    found(catalog)
    assert all(each.headers["authorization"].startswith("Basic ") for each in mirror.requests)
    for hidden in (str(failure(catalog, "x")), str(catalog), repr(make_catalog)):
        assert "hush" not in hidden


def test_an_unknown_name_is_not_found_and_near_ones_are_told(mirror: FaultyServer, make_catalog: MakeCatalog) -> None:
    serve(mirror, ubuntu_tree())
    outcome = failure(make_catalog(), "nobel")
    assert isinstance(outcome, ImageNotFound)
    assert str(outcome) == f"no image 'nobel' in the stream {mirror.url('/')}; near: noble"


def test_locations_of_a_recorded_image_are_found_by_its_id(mirror: FaultyServer, make_catalog: MakeCatalog) -> None:
    serve(mirror, ubuntu_tree())
    image = found(make_catalog())
    assert make_catalog().locations(Image(image.id, image.name), ANONYMOUS).unwrap() == image.locations


def test_a_redirect_to_a_private_address_is_refused(mirror: FaultyServer, make_catalog: MakeCatalog) -> None:
    mirror.answer(f"/{INDEX}.json", redirect("http://169.254.169.254/latest"))
    assert "a metadata service's address" in str(failure(make_catalog()))
    mirror.answer(f"/{INDEX}.json", redirect(f"http://localhost:{mirror.port}/x"))
    assert f"port {mirror.port} of localhost is not allowed" in str(failure(make_catalog()))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is no JSON"),
        (b"<html>", "it is no JSON"),
        (b"[" * 100000, "it is nested too deeply"),
        (b"{}", "it is no index"),
        (b"\xff", "it is no JSON"),
        (b" " * (5 << 20), "it has more than 4 MiB"),
        (json.dumps(index(INCUS, "../../x.json")).encode(), "outside the mirror"),
    ],
)
def test_a_hostile_index_is_a_failure(
    mirror: FaultyServer, make_catalog: MakeCatalog, content: bytes, reason: str
) -> None:
    serve(mirror, {f"{INDEX}.json": content})
    catalog = make_catalog()
    assert isinstance(failure(catalog), CatalogUnavailable)
    assert reason in str(failure(catalog))
    with pytest.raises(CatalogUnavailable):
        list(catalog.images())


def test_a_mirror_without_an_index_is_told(mirror: FaultyServer, make_catalog: MakeCatalog) -> None:
    root = mirror.url("/")
    assert str(failure(make_catalog())) == f"{root}{INDEX}.json and {root}{INDEX}.sjson: not on the server"


def test_a_missing_tool_or_keyring_is_an_error_of_the_settings(
    mirror: FaultyServer, make_catalog: MakeCatalog, keys: Keys, vendor: Key, tmp_path: Path
) -> None:
    serve(mirror, signed(keys, vendor))
    outcome = failure(make_catalog(keyring=tmp_path / "none.gpg"))
    assert isinstance(outcome, SettingsError)
    assert str(outcome) == f"the keyring {tmp_path}/none.gpg cannot be read: No such file or directory"


def test_a_process_requests_the_lists_once_a_minute(mirror: FaultyServer, make_catalog: MakeCatalog) -> None:
    serve(mirror, ubuntu_tree())
    catalog = make_catalog()
    for _ in range(3):
        found(catalog)
    assert len(mirror.requests) == 2
