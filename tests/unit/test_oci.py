"""References, logins and manifests of registries."""

import base64
import json
from pathlib import Path

import pytest

from lading import SettingsError
from lading.adapters.oci.credentials import Keychain, auth_files
from lading.adapters.oci.manifest import Manifest, disk_format
from lading.adapters.oci.reference import Login, Reference

NOBLE = Reference.of("oci://registry.example:5000/vms/noble:1")
BASIC = base64.b64encode(b"me:pass:word").decode()
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DIGEST = f"sha256:{'ab' * 32}"


# References.


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("oci://registry.example/noble", "oci://registry.example/noble:latest"),
        (f"oci://registry.example/noble@{DIGEST}", f"oci://registry.example/noble@{DIGEST}"),
        (f"oci://registry.example/noble:1@{DIGEST}", f"oci://registry.example/noble:1@{DIGEST}"),
        ("oci://[::1]:5000/a/b_c/d-e.f:V1.2_3-x", "oci://[::1]:5000/a/b_c/d-e.f:V1.2_3-x"),
        ("oci://docker.io/noble:1", "oci://docker.io/library/noble:1"),
        ("oci://docker.io/vms/noble:1", "oci://docker.io/vms/noble:1"),
        ("oci://me:pass%2Fword@registry.example/noble:1", "oci://registry.example/noble:1"),
    ],
)
def test_a_reference_is_shown_without_credentials_and_means_the_same(url: str, shown: str) -> None:
    named = Reference.of(url)
    assert str(named) == shown
    assert str(Reference.of(shown)) == shown
    assert Reference.of(named.url) == named
    assert "pass" not in repr(named)


# Logins.


@pytest.mark.parametrize(
    ("auths", "login"),
    [
        ({"registry.example:5000": {"auth": BASIC}}, Login("me", "pass:word")),
        ({"https://registry.example:5000/v2/": {"auth": BASIC}}, Login("me", "pass:word")),
        ({"registry.example:5000/vms/noble": {"auth": BASIC}, "registry.example:5000": {}}, Login("me", "pass:word")),
        ({"registry.example:5000": {"identitytoken": "t", "auth": BASIC}}, Login("", "t", is_identity_token=True)),
        ({"registry.example": {"auth": BASIC}}, None),
        ({"registry.example:5000/vm": {"auth": BASIC}}, None),
        ({"registry.example:5000": {}}, None),
        ({"registry.example:5000": 7}, None),
        ([], None),
        (None, None),
    ],
)
def test_a_login_is_found_by_the_registrys_name(tmp_path: Path, auths: object, login: Login | None) -> None:
    path = tmp_path / "auth.json"
    path.write_text(json.dumps({"auths": auths}))
    assert Keychain(files=[tmp_path / "absent.json", path]).find(NOBLE) == login


@pytest.mark.parametrize("auth", ["no base64!", base64.b64encode(b"no colon").decode(), "/w==", 987654321])
def test_a_login_that_cannot_be_read_is_named_and_not_shown(tmp_path: Path, auth: object) -> None:
    path = tmp_path / "auth.json"
    path.write_text(json.dumps({"auths": {"registry.example:5000": {"auth": auth}}}))
    with pytest.raises(SettingsError, match=r"auth\.json: registry\.example:5000: expected the base64 form") as raised:
        Keychain(files=[path]).find(NOBLE)
    assert str(auth) not in str(raised.value).replace("5000", "")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        Keychain(files=[tmp_path]).find(NOBLE)


def test_dockers_old_file_and_its_names_of_docker_hub_are_known(tmp_path: Path) -> None:
    (tmp_path / ".dockercfg").write_text(json.dumps({"https://index.docker.io/v1/": {"auth": BASIC}}))
    keychain = Keychain(files=auth_files({"HOME": str(tmp_path)}))
    assert keychain.find(Reference.of("oci://docker.io/noble")) == Login("me", "pass:word")


def test_a_login_in_a_reference_and_in_the_settings_goes_before_files(tmp_path: Path) -> None:
    path = tmp_path / "auth.json"
    path.write_text("{")
    keychain = Keychain({"registry.example:5000": "we:ours"}, [path])
    assert keychain.find(NOBLE) == Login("we", "ours")
    assert keychain.find(Reference.of("oci://you:yours@registry.example:5000/a")) == Login("you", "yours")
    assert "ours" not in repr(keychain.find(NOBLE))


# Manifests.


def entry(disk_type: str | None, *, os: str | None = "linux", architecture: str | None = "amd64") -> dict[str, object]:
    platform = {"os": os, "architecture": architecture}
    annotations = {"annotations": {"disktype": disk_type}} if disk_type else {}
    return {"mediaType": OCI_MANIFEST, "digest": DIGEST, "size": 1, "platform": platform, **annotations}


@pytest.mark.parametrize(
    ("disk_types", "chosen"),
    [
        (["applehv", "hyperv", "qemu", "raw"], "qemu"),
        (["hyperv", "applehv"], "applehv"),
        (["hyperv"], "hyperv"),
        ([None, "raw"], "raw"),
        (["gce", None], ""),
    ],
)
def test_the_disk_type_that_qemu_opens_best_is_chosen(disk_types: list[str | None], chosen: str) -> None:
    index = Manifest(json.dumps({"manifests": [entry(each) for each in disk_types]}).encode(), OCI_INDEX)
    assert index.for_host("amd64").disk_type == chosen


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        (entry("gce"), "it has no disk of a known type; it has sha256:abababababab (gce, amd64, 1 B)"),
        (entry("qemu", os="darwin"), "it has nothing for linux on amd64"),
        (entry("qemu", architecture="arm64"), "it has nothing for linux on amd64"),
    ],
)
def test_an_index_without_a_disk_for_this_host_is_refused(only: dict[str, object], expected: str) -> None:
    index = Manifest(json.dumps({"manifests": [only]}).encode(), OCI_INDEX)
    with pytest.raises(ValueError, match=expected.replace("(", r"\(").replace(")", r"\)")):
        index.for_host("amd64")


@pytest.mark.parametrize(
    ("title", "disk_type", "expected"),
    [
        ("noble.qcow2", None, "qcow2"),
        ("fedora.x86_64.applehv.raw.zst", "applehv", "raw"),
        ("noble.RAW", None, "raw"),
        ("noble.img.xz", None, None),
        ("noble.tar", "qemu", "qcow2"),
        ("", "hyperv", "vhdx"),
        ("", "raw", "raw"),
        ("", "gce", None),
    ],
)
def test_the_format_is_told_by_title_or_disk_type(title: str, disk_type: str | None, expected: str | None) -> None:
    layer = entry(None) | {"annotations": {"org.opencontainers.image.title": title}}
    manifest = Manifest(json.dumps({"layers": [layer]}).encode(), OCI_MANIFEST)
    index = Manifest(json.dumps({"manifests": [entry(disk_type)]}).encode(), OCI_INDEX)
    assert disk_format(manifest, manifest.disk(), index.entries[0]) == expected
