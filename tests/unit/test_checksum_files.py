"""Checksum files as vendors publish them, and as strangers might."""

import json
from base64 import b64encode

import pytest

from lading import Digest
from lading.adapters.catalogs.checksum_files import LENGTHS, Checksums, checksums_of

NAME = "noble.img"
HEX = {algorithm: ("ab12" * 32)[:length] for algorithm, length in LENGTHS.items()}
OTHER = {algorithm: ("cd34" * 32)[:length] for algorithm, length in LENGTHS.items()}
SHA256, SHA512 = Digest("sha256", HEX["sha256"]), Digest("sha512", HEX["sha512"])
SIGNED = f"""-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA256

# {NAME}: 12 bytes
- SHA256 ({NAME}) = {HEX["sha256"]}
-----BEGIN PGP SIGNATURE-----

iQIzBAEBCAAdFiEE
-----END PGP SIGNATURE-----
"""
FCOS = {
    "architectures": {
        "x86_64": {
            "artifacts": {
                "qemu": {
                    "formats": {
                        "qcow2.xz": {
                            "disk": {
                                "location": f"https://builds.example/{NAME}",
                                "signature": f"https://builds.example/{NAME}.sig",
                                "sha256": HEX["sha256"],
                                "uncompressed-sha256": OTHER["sha256"],
                            }
                        }
                    }
                },
                "metal": {"formats": {"iso": {"disk": {"location": "https://b/live.iso", "sha256": OTHER["sha256"]}}}},
            }
        }
    }
}
VENDORS = {
    "Ubuntu": (f"{OTHER['sha256']} *jammy.img\n{HEX['sha256']} *{NAME}\n", SHA256),
    "Debian": (f"{HEX['sha512']}  {NAME}\n", SHA512),
    "Fedora": (SIGNED, SHA256),
    "CentOS Stream": (f"# {NAME}: 448968K\nSHA256 ({NAME}) = {HEX['sha256']}\n", SHA256),
    "Alma": (f"{HEX['sha256']}  {NAME}\n{OTHER['sha256']}  latest.img\n", SHA256),
    "Rocky": (f"SHA256 ({NAME}) = {HEX['sha256']}\n" * 2, SHA256),
    "openSUSE 15, one blank": (f"{HEX['sha256']} {NAME}\n", SHA256),
    "Arch": (f"{HEX['sha256']}  {NAME}\n", SHA256),
    "Alpine": (f"{HEX['sha512']}\n", SHA512),
    "Flatcar": (
        f"# MD5 HASH\n{HEX['md5']}  {NAME}\n# SHA1 HASH\n{HEX['sha1']}  {NAME}\n# SHA512 HASH\n{HEX['sha512']}  {NAME}",
        SHA512,
    ),
    "FreeBSD": (f"SHA512 ({NAME}) = {HEX['sha512']}\nSHA512 (other.xz) = {OTHER['sha512']}\n", SHA512),
    "OpenSSL": (f"SHA2-256({NAME})= {HEX['sha256']}\n", SHA256),
    "CirrOS": (f"{HEX['md5']}  {NAME}\n", Digest("md5", HEX["md5"])),
    "Fedora's releases": (json.dumps([{"link": f"https://f/{NAME}", "sha256": HEX["sha256"], "size": "1"}]), SHA256),
    "GitHub": (json.dumps({"assets": [{"name": NAME, "digest": f"sha256:{HEX['sha256']}"}]}), SHA256),
    "with a BOM and CRLF": (f"\ufeff{HEX['sha256'].upper()}  ./{NAME}\r\n", SHA256),
}


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_vendors_file_gives_the_strongest_digest(vendor: str) -> None:
    text, digest = VENDORS[vendor]
    found = checksums_of(text.encode(), NAME, alone=True)
    assert found == Checksums(digest)
    assert found.is_weak == (vendor == "CirrOS")


def test_a_stream_has_the_digest_of_the_disk_inside_too() -> None:
    assert checksums_of(json.dumps(FCOS).encode(), NAME) == Checksums(SHA256, Digest("sha256", OTHER["sha256"]))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html><body>404 page</body></html>",
        f"<a href={NAME}>{HEX['sha256']}</a>",
        f"{HEX['sha256']}  not-{NAME}",
        f"{HEX['sha256']}  {NAME}.asc",
        f"{HEX['sha256'][:-1]}  {NAME}",
        f"{HEX['sha256']}",
        f"SHA256 ({NAME}) = {HEX['sha512']}",
        f"BLAKE2b ({NAME}) = {HEX['sha512']}",
        f"# WHIRLPOOL HASH\n{HEX['sha512']}  {NAME}",
        f"# {HEX['sha256']}  {NAME}",
        "{" * 100_000,
        json.dumps({"name": NAME, "sha256": 5, "digest": ["sha256"]}),
        '{"name": "' + NAME + '", "sha256": "' + HEX["sha256"] + '", "sha256": "' + OTHER["sha256"] + '"}',
        f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n{HEX['sha256']}  {NAME}",
    ],
)
def test_what_does_not_list_the_file_gives_nothing(text: str) -> None:
    assert checksums_of(text.encode(), NAME) is None


def debian(name: str, digest: object) -> bytes:
    upload = {"data": {"ref": f"bookworm/{name}"}, "metadata": {"annotations": {"cloud.debian.org/digest": digest}}}
    return json.dumps({"items": [{"data": 5, "metadata": {"annotations": 5}}, upload]}).encode()


def test_debians_digests_are_in_base64_without_padding() -> None:
    digest = f"sha512:{b64encode(bytes.fromhex(HEX['sha512'])).decode().rstrip('=')}"
    for name in ("noble.img", "noble-20260901-2001.img"):
        assert checksums_of(debian(name, digest), NAME) == Checksums(SHA512)
    for name in ("noble.img.xz", "noble-arm64-20260901-2001.img", "noble-20260901.img", "jammy.img"):
        assert checksums_of(debian(name, digest), NAME) is None
    for wrong in ("sha512:", "sha512:????", digest[:-4], 5, f"sha256:{digest[7:]}"):
        assert checksums_of(debian(NAME, wrong), NAME) is None


def test_lines_around_a_signed_text_are_dropped() -> None:
    forged = f"{OTHER['sha256']}  {NAME}\n"
    assert checksums_of(f"{forged}{SIGNED}{forged}".encode(), NAME) == Checksums(SHA256)


def test_an_entry_of_the_very_name_goes_before_those_in_folders() -> None:
    text = f"{OTHER['sha256']}  arm64/{NAME}\n{HEX['sha256']}  {NAME}\n"
    assert checksums_of(text.encode(), NAME) == Checksums(SHA256)
    assert checksums_of(f"{HEX['sha256']}  amd64/{NAME}\n".encode(), NAME) == Checksums(SHA256)


def test_a_name_that_coreutils_escapes_is_read() -> None:
    assert checksums_of(f"\\{HEX['sha256']}  a\\\\b.img\n".encode(), "a\\b.img") == Checksums(SHA256)


@pytest.mark.parametrize(
    "text",
    [
        f"{HEX['sha256']}  {NAME}\n{OTHER['sha256']}  {NAME}\n",
        f"{HEX['sha256']}  {NAME}\nSHA256 ({NAME}) = {OTHER['sha256']}\n",
        f"{HEX['sha512']}  {NAME}\n{HEX['md5']} *{NAME}\n{OTHER['md5']} *{NAME}\n",
        f"{HEX['sha256']}  amd64/{NAME}\n{OTHER['sha256']}  arm64/{NAME}\n",
        json.dumps([{"name": NAME, "sha256": HEX["sha256"]}, {"name": NAME, "sha256": OTHER["sha256"]}]),
    ],
)
def test_two_digests_of_one_file_are_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=rf"two (sha256|md5) digests of {NAME}"):
        checksums_of(text.encode(), NAME)
