"""A catalog whose images are signed as Glance's are."""

import hashlib
import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from tests.certificates import Authority, Signing

from lading.adapters.config.settings import Settings, read_settings

DATA = random.Random(2).randbytes(300_000)
MakeSettings = Callable[..., Settings]


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority.make()


@pytest.fixture(scope="session")
def signing(authority: Authority) -> Signing:
    return authority.issue("155d900f-4e14-4e4c-a73d-069cbf4541e6")


class Images:
    """Documents of images in a folder, and their bytes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, properties: Mapping[str, object], data: bytes = DATA, location: str | None = None) -> str:
        """Adds an image. Returns its id."""
        digest = hashlib.sha256(data).hexdigest()
        (self.folder / "noble.img").write_bytes(data)
        document = {
            "id": f"noble-{digest[:8]}",
            "size": len(data),
            "os_hash_algo": "sha256",
            "os_hash_value": digest,
            "locations": [{"url": location or (self.folder / "noble.img").as_uri(), "metadata": {}}],
            **properties,
        }
        (self.folder / "noble.json").write_text(json.dumps(document))
        return f"noble-{digest[:8]}"


@pytest.fixture
def images(tmp_path: Path) -> Images:
    (tmp_path / "images").mkdir()
    return Images(tmp_path / "images")


@pytest.fixture
def make_settings(images: Images, authority: Authority, signing: Signing, tmp_path: Path) -> MakeSettings:
    """Makes settings with the certificate of `signing`, and with its authority; arguments are of [landing]."""
    signing.write(tmp_path / "certificates")
    authority.own.write(tmp_path)

    def make(policy: str = "none", **landing: object) -> Settings:
        known: dict[str, object] = {
            "certificates": str(tmp_path / "certificates"),
            "trusted_certificates": [str(tmp_path / "authority.pem")],
        }
        known = {key: value for key, value in {**known, **landing}.items() if value is not None}
        return read_settings(
            {
                "catalog": {"kind": "file", "folder": str(images.folder), "policy": policy},
                "handlers": {
                    "file": {"allowed_folders": [str(images.folder)]},
                    "http": {"allowed_networks": ["127.0.0.1"], "allowed_ports": []},
                },
                "landing": known,
            },
            {"HOME": str(tmp_path / "home")},
        )

    return make
