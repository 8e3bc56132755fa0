"""The documentation site is built strictly."""

import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
PAGE = """# lading

[a page](missing.md), [a file](../missing.py), [a heading](#missing), [of another page](orphan.md#missing)

<script src="https://cdn.example/tracker.js"></script>
"""


def test_broken_links_orphans_and_other_hosts_fail_the_build(tmp_path: Path) -> None:
    source = tmp_path / "docs"
    source.mkdir()
    (source / "static").mkdir()
    (source / "index.md").write_text(PAGE)
    (source / "orphan.md").write_text("# Orphan\n")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "-c", DOCS, source, tmp_path / "site"],
        check=False, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode != 0
    for fault in (
        "'missing.md'", "there is no ../missing.py", "target not found: 'missing'", "in doc 'orphan': 'missing'",
        "orphan.md: WARNING: document isn't included in any toctree", "https://cdn.example/tracker.js",
    ):  # fmt: skip
        assert fault in done.stderr, fault
