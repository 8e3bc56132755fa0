"""What `make fuzz` drives by coverage, driven by chance: whatever bytes come, only what is documented comes out."""

import io
import json
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fuzz.targets import TARGETS
from tests.packed import COMPRESS, tar_of
from tests.streams import INCUS

from lading.adapters.sqlite.record_file import header_line, transaction_line

ZIPPED = io.BytesIO()
with zipfile.ZipFile(ZIPPED, "w", zipfile.ZIP_DEFLATED) as archive:
    archive.writestr("a.img", b"noble" * 50)
INTENT = {
    "verb": "fetch", "handler": "http", "began_at": "2026-01-01T00:00:00+00:00", "force": False, "location": None,
    "image": None,
}  # fmt: skip
LANDED = {"file": [1, 2, 3, 4, 5], "method": "x", "digest": ["md5", "0"], "verified": True, "inspected_by": None}
NOTES = {"landed": LANDED, "moving": [1, 2, 3, 4, 5]}
LAYER = {
    "mediaType": "application/octet-stream", "digest": f"sha256:{'ab' * 32}", "size": 1, "platform": {"os": "linux"},
    "annotations": {"org.opencontainers.image.title": "noble.raw.xz", "disktype": "raw"},
}  # fmt: skip
SIGNED = (
    b"-----BEGIN PGP SIGNED MESSAGE-----|Hash: x||- a |-----BEGIN PGP SIGNATURE-----||x|-----END PGP SIGNATURE-----|"
)
SEEDS = {
    "urls": [b"http://user:p%40ss@host:80/noble.img?sig=1#x", b"s3://KEY:sec/ret@host/bucket/key", b"file:///%2e%2e/x"],
    "checksums": [
        f"{'ab' * 32} *noble.img\nSHA512 (noble.img) = {'cd' * 64}\n".encode(),
        json.dumps([{"name": "noble.img", "sha256": "ab" * 32}]).encode(),
        b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n- x\n-----BEGIN PGP SIGNATURE-----\n",
    ],
    "documents": [json.dumps({"id": "a", "size": 1, "locations": [{"url": "file:///x", "metadata": {}}]}).encode()],
    "settings": [b'[catalog]\nkind = "file"\nfolder = "x"\n[handlers.http]\nallowed_ports = [80]\n'],
    "answers": [
        b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\nX: a\r\n b\r\n\r\nnoble",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nnoble\r\n0\r\n\r\n",
    ],
    "record": [header_line("0", "", 1) + transaction_line([b'["remove","/vms/1"]', b'["note","/vms/1",{}]'])],
    "packed": [
        *(compress(b"noble" * 50) for compress in COMPRESS.values()),
        tar_of(("a.img", b"noble")),
        ZIPPED.getvalue(),
    ],
    "references": [f"oci://me:p%40ss@[::1]:5000/vms/no-ble:1.2@sha256:{'ab' * 32}".encode(), b"oci://docker.io/noble"],
    "manifests": [json.dumps({"layers": [LAYER], "manifests": [LAYER]}).encode()],
    "streams": [json.dumps(INCUS).encode()],
    "clear_signed": [SIGNED.replace(b"|", b"\n")],
    "journal": [json.dumps(INTENT).encode() + b"\0" + json.dumps(NOTES).encode()],
}


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
def test_only_what_is_documented_comes_out(name: str, data: st.DataObject) -> None:
    seed = data.draw(st.sampled_from(SEEDS[name]))
    start = data.draw(st.integers(0, len(seed)))
    stop = data.draw(st.integers(start, len(seed)))
    mutated = seed[:start] + data.draw(st.binary(max_size=8)) + seed[stop:]
    TARGETS[name](data.draw(st.one_of(st.binary(max_size=200), st.just(mutated))))
