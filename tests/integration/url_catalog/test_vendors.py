"""The layouts of vendors, as small fixtures: each is found and verified by the URL alone."""

import hashlib
import json
import lzma
from base64 import b64encode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.faulty_server import FaultyServer, Reply
from tests.integration.url_catalog.conftest import DATA, OTHER
from tests.openpgp import Key, Keys

import lading
from lading.adapters.config.settings import Settings, read_settings

Files = Mapping[str, bytes]


class Signing(NamedTuple):
    """The vendor's own tools."""

    keys: Keys
    key: Key

    def clear(self, text: str) -> bytes:
        return self.keys.clear_sign(text.encode(), self.key)

    def detached(self, data: bytes) -> bytes:
        return self.keys.sign(data, self.key)

    def armored(self, data: bytes) -> bytes:
        return self.keys.sign(data, self.key, options=("--armor",))


class Vendor(NamedTuple):
    image: str
    files: Callable[[bytes, Signing], Files]
    """The files beside the image, by its bytes."""
    signs: str = ""
    """The signed file: `sums`, `image`, or an empty text."""
    is_packed: bool = False
    lists_folder: bool = False


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha512(data: bytes) -> str:
    return hashlib.sha512(data).hexdigest()


def ubuntu(data: bytes, signing: Signing) -> Files:
    sums = f"{OTHER} *jammy-server-cloudimg-amd64.img\n{sha256(data)} *{VENDORS['Ubuntu'].image}\n".encode()
    return {"SHA256SUMS": sums, "SHA256SUMS.gpg": signing.armored(sums)}


def debian(data: bytes, signing: Signing) -> Files:
    return {"SHA512SUMS": f"{'ef' * 64}  other.raw\n{sha512(data)}  {VENDORS['Debian'].image}\n".encode()}


def debian_json(data: bytes, signing: Signing) -> Files:
    digest = b64encode(hashlib.sha512(data).digest()).decode().rstrip("=")
    upload = {
        "kind": "Upload",
        "metadata": {"annotations": {"cloud.debian.org/digest": f"sha512:{digest}"}},
        "data": {"ref": "bookworm/20260901-2001/debian-12-generic-amd64-20260901-2001.qcow2"},
    }
    other = {**upload, "data": {"ref": "bookworm/20260901-2001/debian-12-generic-amd64-20260901-2001.tar.xz"}}
    build = {"kind": "Build", "data": {"packages": [{"name": "adduser"}]}, "metadata": {}}
    return {"debian-12-generic-amd64.json": json.dumps({"items": [build, other, upload]}).encode()}


def fedora(data: bytes, signing: Signing) -> Files:
    image = VENDORS["Fedora"].image
    text = f"# {image}: {len(data)} bytes\nSHA256 ({image}) = {sha256(data)}\n"
    return {"Fedora-Cloud-43-1.6-x86_64-CHECKSUM": signing.clear(text)}


def coreos(data: bytes, signing: Signing) -> Files:
    image = VENDORS["Fedora CoreOS"].image
    described = {"path": image, "sha256": sha256(data), "uncompressed-sha256": sha256(DATA), "size": len(data)}
    meta = json.dumps({"buildid": "43.20261101.3.0", "images": {"qemu": described}}).encode()
    return {"meta.json": meta, f"{image}.sig": signing.detached(data)}


def centos(data: bytes, signing: Signing) -> Files:
    image = VENDORS["CentOS Stream"].image
    return {f"{image}.SHA256SUM": f"# {image}: 448968K bytes\nSHA256 ({image}) = {sha256(data)}\n".encode()}


def alma(data: bytes, signing: Signing) -> Files:
    image = VENDORS["AlmaLinux"].image
    sums = f"{OTHER}  AlmaLinux-9-GenericCloud-9.6.x86_64.qcow2\n{sha256(data)}  {image}\n".encode()
    return {"CHECKSUM": sums, "CHECKSUM.asc": signing.armored(sums)}


def rocky(data: bytes, signing: Signing) -> Files:
    line = f"SHA256 ({VENDORS['Rocky'].image}) = {sha256(data)}\n"
    return {"CHECKSUM": (line + line).encode()}


def opensuse(data: bytes, signing: Signing) -> Files:
    image = VENDORS["openSUSE"].image
    sums = f"{sha256(data)} {image}\n".encode()
    return {f"{image}.sha256": sums, f"{image}.sha256.asc": signing.armored(sums)}


def arch(data: bytes, signing: Signing) -> Files:
    image = VENDORS["Arch"].image
    return {f"{image}.SHA256": f"{sha256(data)}  {image}\n".encode(), f"{image}.sig": signing.detached(data)}


def alpine(data: bytes, signing: Signing) -> Files:
    return {f"{VENDORS['Alpine'].image}.sha512": sha512(data).encode()}


def flatcar(data: bytes, signing: Signing) -> Files:
    image = VENDORS["Flatcar"].image
    text = (
        f"# MD5 HASH\n{hashlib.md5(data, usedforsecurity=False).hexdigest()}  {image}\n"
        f"# SHA1 HASH\n{hashlib.sha1(data, usedforsecurity=False).hexdigest()}  {image}\n"
        f"# SHA512 HASH\n{sha512(data)}  {image}\n"
    )
    return {f"{image}.DIGESTS": text.encode(), f"{image}.DIGESTS.asc": signing.clear(text)}


def freebsd(data: bytes, signing: Signing) -> Files:
    image = VENDORS["FreeBSD"].image
    return {
        "CHECKSUM.SHA256": f"SHA256 ({image}) = {sha256(data)}\n".encode(),
        "CHECKSUM.SHA512": f"SHA512 ({image}) = {sha512(data)}\n".encode(),
    }


VENDORS: Mapping[str, Vendor] = {
    "Ubuntu": Vendor("noble-server-cloudimg-amd64.img", ubuntu, "sums"),
    "Debian": Vendor("debian-12-generic-amd64.raw", debian),
    "Debian's JSON": Vendor("debian-12-generic-amd64.qcow2", debian_json),
    "Fedora": Vendor("Fedora-Cloud-Base-Generic-43-1.6.x86_64.raw", fedora, "sums", lists_folder=True),
    "Fedora CoreOS": Vendor("fedora-coreos-43.20261101.3.0-metal.x86_64.raw.xz", coreos, "image", is_packed=True),
    "CentOS Stream": Vendor("CentOS-Stream-GenericCloud-10-latest.x86_64.raw", centos),
    "AlmaLinux": Vendor("AlmaLinux-9-GenericCloud-latest.x86_64.raw", alma, "sums"),
    "Rocky": Vendor("Rocky-9-GenericCloud.latest.x86_64.raw", rocky),
    "openSUSE": Vendor("openSUSE-Leap-15.6.x86_64-NoCloud.raw", opensuse, "sums"),
    "Arch": Vendor("Arch-Linux-x86_64-cloudimg.raw", arch, "image"),
    "Alpine": Vendor("nocloud_alpine-3.22.1-x86_64-bios-cloudinit-r0.raw", alpine),
    "Flatcar": Vendor("flatcar_production_qemu_image.raw", flatcar, "sums"),
    "FreeBSD": Vendor("FreeBSD-14.3-RELEASE-amd64.raw.xz", freebsd, is_packed=True),
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings({"catalog": {"kind": "memory"}}, {"HOME": str(tmp_path / "home")})


def publish(server: FaultyServer, vendor: Vendor, signing: Signing) -> str:
    data = lzma.compress(DATA) if vendor.is_packed else DATA
    files = {vendor.image: data, **vendor.files(data, signing)}
    for name, content in files.items():
        server.answer(f"/v/{name}", Reply(content))
    if vendor.lists_folder:
        server.answer("/v/", Reply("".join(f'<a href="{name}">{name}</a>' for name in files).encode()))
    return server.url(f"/v/{vendor.image}")


@pytest.mark.parametrize("name", VENDORS)
def test_an_image_of_the_vendor_is_verified_by_its_url_alone(
    server: FaultyServer, settings: Settings, keys: Keys, vendor: Key, tmp_path: Path, name: str
) -> None:
    url = publish(server, VENDORS[name], Signing(keys, vendor))
    fetched = lading.fetch(url, tmp_path / "1.img", settings=settings)
    assert (tmp_path / "1.img").read_bytes() == DATA
    assert (fetched.landing.verified, fetched.landing.signed_by) == (True, None)
    assert fetched.image is not None
    assert str(fetched.image.proof.digest_from).startswith(server.url("/v/"))


@pytest.mark.parametrize("name", [name for name, vendor in VENDORS.items() if vendor.signs])
def test_a_signing_vendor_is_verified_by_its_keyring(
    server: FaultyServer, settings: Settings, keys: Keys, vendor: Key, stranger: Key, tmp_path: Path, name: str
) -> None:
    url = publish(server, VENDORS[name], Signing(keys, vendor))
    fetched = lading.fetch(url, tmp_path / "1.img", keyrings=(vendor.keyring,), settings=settings)
    assert (tmp_path / "1.img").read_bytes() == DATA
    assert (fetched.landing.verified, fetched.landing.signed_by) == (True, vendor.signer)
    failures = (lading.ImageUnproven, lading.NoHandlerAvailable)
    with pytest.raises(failures, match=f"it is signed by the key {vendor.fingerprint}, which no keyring has"):
        lading.fetch(url, tmp_path / "2.img", keyrings=(stranger.keyring,), settings=settings)
    assert not (tmp_path / "2.img").exists()


@pytest.mark.parametrize("name", [name for name, vendor in VENDORS.items() if not vendor.signs])
def test_a_vendor_that_does_not_sign_is_refused_with_a_keyring(
    server: FaultyServer, settings: Settings, keys: Keys, vendor: Key, tmp_path: Path, name: str
) -> None:
    url = publish(server, VENDORS[name], Signing(keys, vendor))
    with pytest.raises(lading.ImageUnproven, match="is not signed: no signature is beside it"):
        lading.fetch(url, tmp_path / "1.img", keyrings=(vendor.keyring,), settings=settings)
