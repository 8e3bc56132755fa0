"""The commands of docs/how-to/glance.md, with a real Glance and a real Keystone."""

import random
from pathlib import Path

import pytest
from tests.integration.services.glance import Glance
from tests.integration.services.keystone import DEMO, Keystone
from tests.pages import ROOT, Host, run_page

# keystoneauth's connection pools are closed when they are collected, and not before.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


def test_the_commands_of_the_glance_page_print_what_it_shows(
    glance_keystone: Glance, keystone: Keystone, tmp_path: Path
) -> None:
    glance_keystone.create(random.Random(24).randbytes(1 << 20), name="ubuntu-24.04")
    named = {"https://keystone.example": keystone.url, "password: secret": f"password: {DEMO.password}"}
    run_page(ROOT / "docs" / "how-to" / "glance.md", Host(tmp_path, named))
