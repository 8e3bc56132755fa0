"""Image documents, as Glance prints them, and what is wrong with those that it never would."""

import json
from collections.abc import Mapping

import pytest

from lading import Digest, Image, Location
from lading.adapters.codec.documents import catalog_image, image_from_document, image_to_document, read_json

# As a Glance 33 answers `GET /v2/images/{id}`.
PRINTED: Mapping[str, object] = {
    "os_hash_algo": "sha512",
    "os_hash_value": "ab" * 64,
    "name": "noble",
    "disk_format": "qcow2",
    "container_format": "bare",
    "size": 629145600,
    "virtual_size": 3758096384,
    "status": "active",
    "checksum": "cd" * 16,
    "protected": False,
    "min_disk": 0,
    "owner": "8f0c4b7d9b0a4d0e9f2b1c3d4e5f6a7b",
    "hw_disk_bus": "scsi",
    "id": "155d900f-4e14-4e4c-a73d-069cbf4541e6",
    "tags": ["lts"],
    "self": "/v2/images/155d900f-4e14-4e4c-a73d-069cbf4541e6",
    "stores": "fast,slow",
    "locations": [
        {"url": "rbd://fsid/pool/image/snap", "metadata": {"store": "fast"}},
        {"url": "file:///var/lib/glance/155d900f", "metadata": {"store": "slow"}},
    ],
}


def read(document: Mapping[str, object]) -> Image:
    return image_from_document(document).unwrap()


def wrong(document: Mapping[str, object]) -> str:
    return image_from_document(document).failure()


def test_what_glance_printed_is_understood() -> None:
    image = read(PRINTED)
    assert (image.id, image.name, image.size) == ("155d900f-4e14-4e4c-a73d-069cbf4541e6", "noble", 629145600)
    assert (image.disk_format, image.container_format, image.status) == ("qcow2", "bare", "active")
    assert image.digest == Digest("sha512", "ab" * 64)
    assert image.checksum == "cd" * 16
    assert image.locations == (
        Location("rbd://fsid/pool/image/snap", {"store": "fast"}),
        Location("file:///var/lib/glance/155d900f", {"store": "slow"}),
    )


def test_what_is_not_understood_is_kept() -> None:
    assert read(PRINTED).properties == {
        key: PRINTED[key]
        for key in ("virtual_size", "protected", "min_disk", "owner", "hw_disk_bus", "tags", "self", "stores")
    }
    assert image_to_document(read(PRINTED)) == PRINTED


def test_a_document_needs_an_id_and_nothing_else() -> None:
    assert read({"id": "a"}) == Image("a")
    assert image_to_document(Image("a")) == {"id": "a", "status": "active"}


def test_what_glance_prints_as_null_is_unknown() -> None:
    nulls = dict.fromkeys(
        ["name", "size", "disk_format", "container_format", "os_hash_algo", "os_hash_value", "checksum", "locations"]
    )
    assert read({"id": "a", **nulls}) == Image("a")


def test_half_a_hash_is_none() -> None:
    assert read({"id": "a", "os_hash_algo": "sha512"}).digest is None
    assert read({"id": "a", "os_hash_value": "ab"}).digest is None


def test_a_direct_url_is_the_location_where_no_others_are_visible() -> None:
    direct = {"id": "a", "direct_url": "rbd://fsid/pool/image/snap"}
    assert read(direct).locations == (Location("rbd://fsid/pool/image/snap"),)
    assert read({**direct, "locations": []}).locations == read(direct).locations
    assert read({**direct, "locations": [{"url": "file:///a"}]}).locations == (Location("file:///a"),)


def test_a_direct_url_is_no_property() -> None:
    assert read({"id": "a", "direct_url": "http://me:hush@host/a"}).properties == {}


def test_an_image_of_no_bytes_has_a_size() -> None:
    assert read({"id": "a", "size": 0}).size == 0
    assert image_to_document(Image("a", size=0))["size"] == 0


def test_a_document_can_be_written_as_json() -> None:
    image = Image("a", locations=[Location("file:///a", {"store": "b"})], digest=Digest("sha256", "AB"))
    assert read(json.loads(json.dumps(image_to_document(image)))) == image


@pytest.mark.parametrize(
    ("document", "key"),
    [
        ({}, "id"),
        ({"id": None}, "id"),
        ({"id": " "}, "id"),
        ({"id": 5}, "id"),
        ({"id": "a", "name": 5}, "name"),
        ({"id": "a", "name": ["noble"]}, "name"),
        ({"id": "a", "status": True}, "status"),
        ({"id": "a", "os_hash_value": 5}, "os_hash_value"),
        ({"id": "a", "size": "5"}, "size"),
        ({"id": "a", "size": 5.0}, "size"),
        ({"id": "a", "size": True}, "size"),
        ({"id": "a", "size": -1}, "size"),
        ({"id": "a", "locations": {"url": "file:///a"}}, "locations"),
        ({"id": "a", "locations": "file:///a"}, "locations"),
        ({"id": "a", "locations": ["file:///a"]}, "locations[0]"),
        ({"id": "a", "locations": [{"url": "file:///a"}, {"url": 5}]}, "locations[1]"),
        ({"id": "a", "locations": [{"metadata": {}}]}, "locations[0]"),
        ({"id": "a", "locations": [{"url": "file:///a", "metadata": "fast"}]}, "locations[0].metadata"),
        ({"id": "a", "locations": ""}, "locations"),
        ({"id": "a", "locations": False}, "locations"),
        ({"id": "a", "locations": [{"url": "file:///a", "metadata": ""}]}, "locations[0].metadata"),
        ({"id": "a", "direct_url": 5}, "direct_url"),
        ({"id": "a", "proof": "ours"}, "proof"),
        ({"id": "a", "proof": {"digest_from": 5}}, "proof"),
        ({"id": "a", "proof": {"signed_by": {"key": "AB", "tool": "gpgv"}}}, "proof"),
        ({"id": "a", "proof": {"signature": {"value": "AB", "url": "", "keyrings": "/k"}}}, "proof"),
        ({"id": "a", "proof": {"signature": "AB"}}, "proof"),
    ],
)
def test_what_is_wrong_is_said_with_its_key(document: Mapping[str, object], key: str) -> None:
    assert wrong(document).startswith(f"{key}: expected ")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ('"size": 9223372036854775808', "size: expected a whole number of bytes below 2**63, got 9223372036854775808"),
        ('"size": 1' + "0" * 309, "size: expected a whole number of bytes below 2**63, got 1000"),
        ('"size": 1' + "0" * 5000, "size: expected a finite number, got inf"),
        ('"size": 1e999', "size: expected a finite number, got inf"),
        ('"min_ram": NaN', "min_ram: expected a finite number, got nan"),
        ('"x": {"y": [1, -Infinity]}', "x: expected a finite number, got -inf"),
        ('"locations": [{"url": "file:///a", "metadata": {"x": 1e999}}]', "locations: expected a finite number"),
        ('"size": 1, "size": 1', "size: expected one value, got several"),
        ('"x": {"y": 1, "y": 2}', "x: expected one value, got several"),
        ('"x": ' + "[" * 40 + "]" * 40, "x: expected a value of at most 32 levels"),
    ],
)
def test_what_no_image_can_have_is_refused_with_its_key(document: str, words: str) -> None:
    read = read_json(f'{{"id": "a", {document}}}'.encode())
    assert isinstance(read, dict)
    assert catalog_image(read).failure().startswith(words)


def test_the_largest_size_that_a_file_can_have_is_one() -> None:
    assert catalog_image({"id": "a", "size": 2**63 - 1}).unwrap().size == 2**63 - 1


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, '{"id": "a"}'.encode("utf-16")])
def test_what_is_no_json_cannot_be_read(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_json(content)


def test_what_is_wrong_with_a_location_is_said_without_its_credentials() -> None:
    for entry in ("http://me:hush@host/", {"urls": "http://me:hush@host/"}, {"url": ["http://me:hush@host/"]}):
        assert "hush" not in wrong({"id": "a", "locations": [entry]})


def test_a_property_does_not_speak_for_what_is_unknown() -> None:
    image = Image("a", properties={"size": 5, "direct_url": "file:///etc/shadow", "checksum": "ab", "location": "x"})
    assert read(image_to_document(image)) == Image("a")


def test_a_location_of_glance_s_first_api_does_not_pass_for_a_property() -> None:
    assert read({"id": "a", "location": "s3://key:hush@host/noble"}) == Image("a")
