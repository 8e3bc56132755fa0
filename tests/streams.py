"""Documents of simplestreams, as Ubuntu's mirror and the Incus servers have them."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from tests.openpgp import Key, Keys

__all__ = [
    "INCUS", "INCUS_LIST", "INDEX", "UBUNTU", "UBUNTU_LIST", "digest", "disk", "incus_tree", "index", "signed",
    "ubuntu_tree",
]  # fmt: skip

INDEX: Final = "streams/v1/index"
UBUNTU_LIST: Final = "streams/v1/com.ubuntu.cloud:released:download"
INCUS_LIST: Final = "streams/v1/images"
Tree = dict[str, bytes]
"""A mirror's files by path."""


def disk(path: str, ftype: str = "disk1.img", **fields: object) -> dict[str, object]:
    content = path.encode()
    return {"ftype": ftype, "path": path, "sha256": digest(path), "size": len(content), **fields}


def digest(path: str) -> str:
    """The digest of the bytes that a test's mirror has at this path: the path itself."""
    return hashlib.sha256(path.encode()).hexdigest()


def _ubuntu_product(
    version: str, release: str, arch: str, aliases: str, serials: tuple[str, ...]
) -> tuple[str, dict[str, object]]:
    folder = f"server/releases/{release}"
    versions = {
        serial: {
            "label": "release",
            "pubname": f"ubuntu-{release}-{version}-{arch}-server-{serial}",
            "items": {
                "manifest": {"ftype": "manifest", "path": f"{folder}/{serial}/{arch}.manifest", "size": 10},
                "disk1.img": disk(f"{folder}/release-{serial}/ubuntu-{version}-{arch}.img", md5="ab" * 16),
                "root.tar.xz": disk(f"{folder}/release-{serial}/ubuntu-{version}-{arch}.tar.xz", "root.tar.xz"),
                "vmdk": disk(f"{folder}/release-{serial}/ubuntu-{version}-{arch}.vmdk", "vmdk"),
            },
        }
        for serial in serials
    }
    return f"com.ubuntu.cloud:server:{version}:{arch}", {
        "aliases": aliases,
        "arch": arch,
        "os": "ubuntu",
        "release": release,
        "release_title": f"{version} LTS",
        "support_eol": "2029-05-31",
        "supported": True,
        "version": version,
        "versions": versions,
    }


UBUNTU: Final[dict[str, Any]] = {
    "content_id": "com.ubuntu.cloud:released:download",
    "datatype": "image-downloads",
    "format": "products:1.0",
    "updated": "Sun, 01 Nov 2026 10:00:00 +0000",
    "_aliases": {},
    "products": dict(
        [
            _ubuntu_product(
                "24.04", "noble", "amd64", "24.04,n,noble,default", ("20260901.9", "20260901.10", "20261101")
            ),
            _ubuntu_product("24.04", "noble", "arm64", "24.04,n,noble,default", ("20261101",)),
            _ubuntu_product("22.04", "jammy", "amd64", "22.04,j,jammy", ("20261001",)),
            (
                "com.ubuntu.cloud:server:11.04:amd64",
                {
                    "aliases": "11.04,n,natty",
                    "arch": "amd64",
                    "version": "11.04",
                    "versions": {"20121028": {"items": {"tar.gz": disk("natty.tar.gz", "tar.gz")}}},
                },
            ),
        ]
    ),
}


def _incus_product(release: str, variant: str, arch: str = "amd64") -> tuple[str, dict[str, object]]:
    names = {"bookworm": "12", "trixie": "13"}
    short = [] if variant != "default" else [f"debian/{names[release]}", f"debian/{release}"]
    long = [f"debian/{names[release]}/{variant}", f"debian/{release}/{variant}"]
    versions = {}
    for serial in ("20260720_05:24", "20260721_05:24"):
        folder = f"images/debian/{release}/{arch}/{variant}/{serial}"
        versions[serial] = {
            "items": {
                "disk.20260720_05:24.qcow2.vcdiff": disk(f"{folder}/disk.vcdiff", "disk-kvm.img.vcdiff"),
                "disk.qcow2": disk(f"{folder}/disk.qcow2", "disk-kvm.img"),
                "incus.tar.xz": {
                    **disk(f"{folder}/incus.tar.xz", "incus.tar.xz"),
                    "combined_disk-kvm-img_sha256": "cd" * 32,
                },
                "root.squashfs": disk(f"{folder}/rootfs.squashfs", "squashfs"),
            }
        }
    return f"debian:{release}:{arch}:{variant}", {
        "aliases": ",".join([*long[:1], *short, *long[1:]]),
        "arch": arch,
        "os": "Debian",
        "release": release,
        "release_title": release,
        "variant": variant,
        "versions": versions,
    }


INCUS: Final[dict[str, Any]] = {
    "content_id": "images",
    "datatype": "image-downloads",
    "format": "products:1.0",
    "products": dict(
        [
            _incus_product("bookworm", "default"),
            _incus_product("bookworm", "cloud"),
            _incus_product("trixie", "default"),
            _incus_product("bookworm", "default", "arm64"),
        ]
    ),
}


def index(document: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The index of a mirror with that one list of images to download, and one of another kind."""
    entry = {"datatype": "image-downloads", "format": "products:1.0", "path": path, "products": [*document["products"]]}
    other = {"datatype": "image-ids", "format": "products:1.0", "path": "streams/v1/aws.json", "products": []}
    return {
        "format": "index:1.0",
        "updated": document.get("updated"),
        "index": {document["content_id"]: entry, "com.ubuntu.cloud:released:aws": other},
    }


def incus_tree() -> Tree:
    """The files of an Incus server, which are not signed."""
    return {
        f"{INDEX}.json": _json(index(INCUS, f"{INCUS_LIST}.json")),
        f"{INCUS_LIST}.json": _json(INCUS),
        **_disks(INCUS),
    }


def ubuntu_tree(document: Mapping[str, Any] = UBUNTU) -> Tree:
    """The files of Ubuntu's mirror, without signatures."""
    return {
        f"{INDEX}.json": _json(index(document, f"{UBUNTU_LIST}.json")),
        f"{UBUNTU_LIST}.json": _json(document),
        **_disks(document),
    }


def signed(keys: Keys, key: Key, document: Mapping[str, Any] = UBUNTU, *, clear: bool = True) -> Tree:
    """The files of Ubuntu's mirror: with detached signatures, and clear-signed ones beside them."""
    tree = ubuntu_tree(document)
    for path in (f"{INDEX}.json", f"{UBUNTU_LIST}.json"):
        tree[f"{path}.gpg"] = keys.sign(tree[path], key, options=("--armor",))
    if clear:
        listed = f"{UBUNTU_LIST}.sjson"
        tree[f"{INDEX}.sjson"] = keys.clear_sign(_json(index(document, listed)), key)
        tree[listed] = keys.clear_sign(_json(document), key)
    return tree


def _disks(document: Mapping[str, Any]) -> Tree:
    paths = [
        item["path"]
        for product in document["products"].values()
        for version in product["versions"].values()
        for item in version["items"].values()
    ]
    return {path: path.encode() for path in paths}


def _json(document: object) -> bytes:
    return json.dumps(document, indent=1).encode()
