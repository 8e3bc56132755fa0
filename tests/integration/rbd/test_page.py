"""The commands of docs/how-to/ceph.md, with a real Ceph. A catalog in a folder stands for Glance."""

import json
import random
from hashlib import sha512
from pathlib import Path

from tests.integration.services.ceph import Ceph
from tests.pages import ROOT, Host, run_page


def test_the_commands_of_the_ceph_page_print_what_it_shows(ceph: Ceph, tmp_path: Path) -> None:
    data = bytes(510) + b"\x55\xaa" + random.Random(24).randbytes(4 << 20)
    document = {
        "id": "155d900f-4e14-4e4c-a73d-069cbf4541e6", "name": "noble", "status": "active", "disk_format": "raw",
        "container_format": "bare", "size": len(data), "os_hash_algo": "sha512",
        "os_hash_value": sha512(data).hexdigest(), "locations": [{"url": ceph.put(data, "images", "noble")}],
    }  # fmt: skip
    host = Host(tmp_path, variables={**ceph.variables, "LADING_CATALOG__FOLDER": str(tmp_path / "catalog")})
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog" / "noble.json").write_text(json.dumps(document))
    run_page(ROOT / "docs" / "how-to" / "ceph.md", host)
