"""What references mean in a stream, and what is told of its images."""

import copy
from collections.abc import Mapping
from typing import Any

import pytest
from tests.streams import INCUS, UBUNTU, digest, disk

from lading.adapters.catalogs.simplestreams.products import listings, products
from lading.adapters.catalogs.simplestreams.stream import Stream
from lading.ports.failures import AmbiguousImage
from lading.ports.image import UNPROVEN, Digest, Image

ROOT = "https://mirror.example/releases/"
NOBLE = "server/releases/noble/release-{}/ubuntu-24.04-{}.img"
BOOKWORM = "images/debian/bookworm/amd64/{}/{}/disk.qcow2"


def stream(*documents: Mapping[str, Any], architecture: str = "amd64") -> Stream:
    listed = [product for each in documents for product in products(each, each.get("content_id", "x"), UNPROVEN)]
    return Stream(listed, ROOT, architecture)


def changed(key: str, **fields: object) -> dict[str, Any]:
    """Ubuntu's list with other fields of one product."""
    document = copy.deepcopy(UBUNTU)
    document["products"][key].update(fields)
    return document


def found(reference: str, *documents: Mapping[str, Any], architecture: str = "amd64") -> Image:
    image = stream(*(documents or (UBUNTU,)), architecture=architecture).find(reference)
    assert image is not None
    return image


@pytest.mark.parametrize(
    ("reference", "serial", "arch"),
    [
        ("24.04", "20261101", "amd64"),
        ("noble", "20261101", "amd64"),
        ("n", "20261101", "amd64"),
        ("noble/amd64", "20261101", "amd64"),
        ("noble/x86_64", "20261101", "amd64"),
        ("noble/arm64", "20261101", "arm64"),
        ("noble/aarch64", "20261101", "arm64"),
        ("noble/20260901.9", "20260901.9", "amd64"),
        ("noble/arm64/20261101", "20261101", "arm64"),
        ("com.ubuntu.cloud:server:24.04:arm64", "20261101", "arm64"),
        ("com.ubuntu.cloud:server:24.04:amd64/20260901.10", "20260901.10", "amd64"),
    ],
)
def test_a_reference_of_ubuntus_means_this_image(reference: str, serial: str, arch: str) -> None:
    assert found(reference).locations[0].url == f"{ROOT}{NOBLE.format(serial, arch)}"


@pytest.mark.parametrize(
    ("reference", "variant", "serial"),
    [
        ("debian/12", "default", "20260721_05:24"),
        ("debian/12/default", "default", "20260721_05:24"),
        ("debian/12/cloud", "cloud", "20260721_05:24"),
        ("debian/bookworm/cloud/amd64", "cloud", "20260721_05:24"),
        ("debian/12/20260720_05:24", "default", "20260720_05:24"),
        ("debian:bookworm:amd64:cloud", "cloud", "20260721_05:24"),
    ],
)
def test_a_reference_of_incus_means_this_image(reference: str, variant: str, serial: str) -> None:
    assert found(reference, INCUS).locations[0].url == f"{ROOT}{BOOKWORM.format(variant, serial)}"


@pytest.mark.parametrize(
    "reference",
    ["", "/", "//", "natty", "11.04", "NOBLE", "noble/", "noble/ppc64el", "noble/2026", "noble/20261101/arm64", "\0"],
)
def test_a_reference_that_means_nothing_is_not_found(reference: str) -> None:
    assert stream(UBUNTU).find(reference) is None


def test_the_newest_version_is_the_last_in_natural_order() -> None:
    versions = {serial: {"items": {"d": disk(serial)}} for serial in ("20260901.9", "20260901.10", "beta", "1.20")}
    document = changed("com.ubuntu.cloud:server:22.04:amd64", versions=versions)
    assert found("jammy", document).properties["serial"] == "20260901.10"


def test_an_image_is_found_by_its_digest_in_any_architecture() -> None:
    value = digest(NOBLE.format("20261101", "arm64"))
    assert found(value).id == found(value.upper()).id == found("noble/arm64").id == value


def test_all_that_is_published_of_an_image_is_told() -> None:
    path = NOBLE.format("20261101", "amd64")
    assert found("noble") == Image(
        digest(path),
        "24.04",
        size=len(path),
        disk_format="qcow2",
        digest=Digest("sha256", digest(path)),
        checksum="ab" * 16,
        locations=found("noble").locations,
        properties={
            "os": "ubuntu",
            "release": "noble",
            "release_title": "24.04 LTS",
            "version": "24.04",
            "label": "release",
            "pubname": "ubuntu-noble-24.04-amd64-server-20261101",
            "supported": True,
            "support_eol": "2029-05-31",
            "ftype": "disk1.img",
            "arch": "amd64",
            "product": "com.ubuntu.cloud:server:24.04:amd64",
            "serial": "20261101",
        },
    )


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("noble", "24.04"),
        ("n", "24.04"),
        ("com.ubuntu.cloud:server:24.04:amd64", "24.04"),
        (digest(NOBLE.format("20261101", "amd64")), "24.04"),
        (digest(NOBLE.format("20260901.9", "amd64")), "24.04/20260901.9"),
        ("noble/20261101", "24.04/20261101"),
        ("noble/arm64", "24.04/arm64"),
        ("noble/arm64/20261101", "24.04/arm64/20261101"),
    ],
)
def test_an_images_name_means_the_same_image(reference: str, name: str) -> None:
    image = found(reference)
    assert image.name == name
    assert found(name).id == image.id


def test_a_list_has_all_versions_of_one_architecture_by_name() -> None:
    assert [image.name for image in stream(UBUNTU).images()] == [
        "22.04", "24.04", "24.04/20260901.10", "24.04/20260901.9"
    ]  # fmt: skip
    assert [image.name for image in stream(UBUNTU, architecture="arm64").images()] == ["24.04"]
    assert [image.name for image in stream(INCUS).images()] == [
        "debian/12", "debian/12/20260720_05:24", "debian/12/cloud", "debian/12/cloud/20260720_05:24",
        "debian/13", "debian/13/20260720_05:24",
    ]  # fmt: skip


def test_an_alias_of_several_products_is_ambiguous() -> None:
    document = changed("com.ubuntu.cloud:server:22.04:amd64", aliases="22.04,jammy,n")
    with pytest.raises(AmbiguousImage) as ambiguous:
        stream(document).find("n")
    assert ambiguous.value.ids == ("22.04", "24.04")


def test_products_with_the_same_aliases_are_named_by_their_keys() -> None:
    document = changed("com.ubuntu.cloud:server:22.04:amd64", aliases="24.04,n,noble,default", version="24.04")
    names = [image.name for image in stream(document).images() if "/" not in (image.name or "")]
    assert names == ["com.ubuntu.cloud:server:22.04:amd64", "com.ubuntu.cloud:server:24.04:amd64"]


def test_products_without_aliases_go_by_release_and_version() -> None:
    assert found("jammy", changed("com.ubuntu.cloud:server:22.04:amd64", aliases="")).name == "22.04"
    incus = copy.deepcopy(INCUS)
    del incus["products"]["debian:bookworm:amd64:cloud"]["aliases"]
    assert found("debian/bookworm/cloud", incus).name == "debian/bookworm/cloud"


@pytest.mark.parametrize(
    ("ftypes", "taken", "disk_format"),
    [
        (["uefi1.img", "disk1.img", "disk-kvm.img"], "disk1.img", "qcow2"),
        (["vmdk", "disk-kvm.img"], "disk-kvm.img", "qcow2"),
        (["ova", "vmdk"], "vmdk", "vmdk"),
        (["ova"], "ova", None),
        (["disk.img"], "disk.img", None),
    ],
)
def test_the_disk_of_a_version_is_chosen_by_type(ftypes: list[str], taken: str, disk_format: str | None) -> None:
    items = {ftype: disk(ftype, ftype) for ftype in ftypes}
    image = found("jammy", changed("com.ubuntu.cloud:server:22.04:amd64", versions={"1": {"items": items}}))
    assert (image.properties["ftype"], image.disk_format) == (taken, disk_format)


def test_an_item_without_sha256_has_an_id_of_its_own() -> None:
    items = {"disk1.img": {"ftype": "disk1.img", "path": "a.img", "md5": "ab" * 16}}
    document = changed("com.ubuntu.cloud:server:22.04:amd64", versions={"1": {"items": items}})
    image = found("jammy", document)
    assert image.expected_digest == Digest("md5", "ab" * 16)
    assert found(image.id, document) == image


def test_abbreviated_fields_are_expanded() -> None:
    document = changed("com.ubuntu.cloud:server:22.04:amd64", versions={"1": {"items": {"d": {"t": "disk"}}}})
    document["_aliases"] = {"t": {"disk": disk("jammy.img")}}
    assert found("jammy", document).digest == Digest("sha256", digest("jammy.img"))


def test_a_list_that_abbreviates_too_much_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 64"):
        stream({**UBUNTU, "_aliases": {str(number): {} for number in range(65)}})


@pytest.mark.parametrize("path", ["../a", "a/../b", "/a", "a//b", "./a", "a/", "https://evil/a", "a\\b", "a\nb", "", 1])
def test_a_path_that_leads_out_of_the_mirror_is_left_out(path: object) -> None:
    versions = {
        "2": {"items": {"d": {"ftype": "disk1.img", "path": path}}},
        "1": {"items": {"d": disk("good.img")}},
    }
    assert found("jammy", changed("com.ubuntu.cloud:server:22.04:amd64", versions=versions)).properties["serial"] == "1"


def test_a_path_is_quoted_in_its_url() -> None:
    versions = {"1": {"items": {"d": disk("a b?c#d%2e:é.img")}}}
    image = found("jammy", changed("com.ubuntu.cloud:server:22.04:amd64", versions=versions))
    assert image.locations[0].url == f"{ROOT}a%20b%3Fc%23d%252e:%C3%A9.img"


def test_names_near_a_reference_are_known() -> None:
    assert stream(UBUNTU).near("nobel") == ["noble"]
    assert stream(UBUNTU, architecture="arm64").near("jammy") == ["jammy/amd64"]
    assert stream(INCUS).near("debian/11")[0].startswith("debian/1")
    assert not stream(UBUNTU).near("windows")


@pytest.mark.parametrize(
    "document",
    [None, [], {}, {"index": []}, {"index": {}}, {"index": {"a": {"datatype": "image-ids", "format": "products:1.0"}}}],
)
def test_what_is_no_index_is_refused(document: object) -> None:
    with pytest.raises(ValueError, match=r"^it "):
        listings(document)


@pytest.mark.parametrize("path", ["../x.json", "https://evil.example/x.json", "//evil.example/x.json", 5, None])
def test_an_index_that_leads_out_of_the_mirror_is_refused(path: object) -> None:
    entry = {"datatype": "image-downloads", "format": "products:1.0", "path": path}
    with pytest.raises(ValueError, match="outside the mirror"):
        listings({"index": {"a": entry}})


def test_an_index_of_too_many_lists_is_refused() -> None:
    entry = {"datatype": "image-downloads", "format": "products:1.0", "path": "a.json"}
    with pytest.raises(ValueError, match="more than 64"):
        listings({"index": {str(number): entry for number in range(65)}})


def test_a_list_in_the_place_of_another_is_refused() -> None:
    with pytest.raises(ValueError, match=r"another list than com\.ubuntu\.cloud:daily"):
        list(products(UBUNTU, "com.ubuntu.cloud:daily", UNPROVEN))
