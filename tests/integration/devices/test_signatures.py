"""Signed images on block devices: nothing boots from one whose signature does not count."""

import gzip
from base64 import b64encode
from dataclasses import replace

import pytest
from tests.faulty_server import Reply
from tests.integration.devices.host import DATA, Host, image_of
from tests.openpgp import Key, Keys

from lading import Image, Proof, Signature
from lading.adapters.destinations.rules import Rules


def signed(data: bytes, keys: Keys, key: Key, *, of: bytes | None = None) -> Image:
    """An image whose bytes, or other ones, the key signed."""
    value = b64encode(keys.sign(data if of is None else of, key)).decode()
    return replace(image_of(data), proof=Proof(signature=Signature(value, (str(key.keyring),), "noble.sig")))


@pytest.mark.parametrize("form", ["file", "remote", "packed"])
def test_the_signer_of_the_bytes_as_shipped_is_recorded(host: Host, keys: Keys, vendor: Key, form: str) -> None:
    shipped = gzip.compress(DATA) if form == "packed" else DATA
    image = signed(shipped, keys, vendor)
    if form == "file":
        host.add(image=image)
    else:
        host.serve(Reply(shipped), image=replace(image, disk_format="raw"))
    landing = host.fetch().unwrap().landing
    assert host.device.content(len(DATA)) == DATA
    assert (landing.verified, landing.signed_by) == (True, vendor.signer)
    recorded = host.associations.get(host.target).unwrap()
    assert recorded is not None
    assert recorded.signed_by == vendor.signer


@pytest.mark.parametrize("is_remote", [False, True])
def test_a_device_with_other_bytes_than_the_signed_ones_has_no_head(
    host: Host, keys: Keys, vendor: Key, *, is_remote: bool
) -> None:
    image = signed(DATA, keys, vendor, of=DATA[:-1])
    if is_remote:
        host.serve(Reply(DATA), image=image)
    else:
        host.add(image=image)
    reason = host.refusal().reason
    assert "noble.sig: the signature by the key" in reason
    assert "is incomplete now, and its first MiB is zeros" in reason
    assert host.device.content(1 << 20) == bytes(1 << 20)


def test_an_unsigned_image_is_refused_before_the_device_is_touched(host: Host) -> None:
    host.rules = Rules(require_signature=True)
    before = host.device.content(1 << 20)
    host.add()
    assert "no signature of it can be verified" in host.refusal().reason
    assert host.device.content(1 << 20) == before
