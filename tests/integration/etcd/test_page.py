"""docs/etcd.md: its commands work as they are typed, and its tables name each setting with its default."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Final

import pytest
from tests.integration.conftest import Lading, record
from tests.integration.services.fixtures import StartEtcd
from tests.packages import needs

from lading.adapters.etcd.settings import EtcdAssociationsSettings, EtcdLocksSettings

PAGE: Final = (Path(__file__).parents[3] / "docs" / "etcd.md").read_text()
COMMANDS: Final = re.findall(r"^\$ (.*)$", PAGE, re.MULTILINE)
IN_FOLDERS: Final = re.compile(r"/(?=etc/lading/)")
"""The start of a path that the test has in a folder of its own."""


@pytest.mark.parametrize("settings", [EtcdAssociationsSettings, EtcdLocksSettings])
def test_each_setting_is_in_a_table_with_its_default(settings: type) -> None:
    rows = re.findall(r"^\|([^|]+)\|([^|]*)\|", PAGE, re.MULTILINE)
    defaults = {name: default.strip("` ") for names, default in rows for name in re.findall(r"`(\w+)`", names)}
    for each in fields(settings):
        if each.name != "kind":
            assert each.name in defaults, each.name
            if each.default not in {MISSING, None}:
                assert defaults[each.name] == str(each.default), each.name


def test_the_commands_work_as_they_are_typed(
    start_etcd: StartEtcd, host: Path, environment: dict[str, str], lading: Lading, noble: Path
) -> None:
    needs("etcdctl")
    etcd = start_etcd()
    (host / "etc" / "lading").mkdir(parents=True)
    for name in ("etcd-password", "etcd-root-password"):
        (host / "etc" / "lading" / name).write_text("s3cret\n")
    (block,) = re.findall(r"## Settings\n\n```toml\n(.*?)```", PAGE, re.DOTALL)
    block = re.sub(r"endpoints = .*", f'endpoints = {json.dumps(etcd.endpoints)}\nhost = "compute-17"', block)
    block = re.sub(r"ca_file = .*\n", "", IN_FOLDERS.sub(f"{host}/", block))
    here = host / "etc" / "lading"
    (here / "etcd.toml").write_text(f'{block}[journal]\npath = "{host}/journal.sqlite"\n')
    (here / "file.toml").write_text(f'[associations]\npath = "{host}/later.sqlite"\n')
    (here / "lading.toml").write_text("")
    digest = record(lading("fetch", "noble", "vms/1", "--json"))["digest"]
    variables = environment | {
        "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}",
        "ETCDCTL_ENDPOINTS": ",".join(etcd.endpoints),
        "LADING_CONFIG": str(here / "lading.toml"),
    }
    outputs: dict[str, str] = {}
    for command in COMMANDS:
        if "file.toml" in command:  # the page has put the new settings in force
            shutil.copy(here / "etcd.toml", here / "lading.toml")
        typed = IN_FOLDERS.sub(f"{host}/", command).replace("sha512:6344ab01c2d3", digest[:19])
        done = subprocess.run(
            ["bash", "-c", typed], cwd=host, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, (command, done.stderr)
        outputs[command] = done.stdout
    copies = [output for command, output in outputs.items() if "copy" in command]
    assert copies == ["1 copied, 0 recorded there already\n"] * 2
    assert {outputs[each].count("compute-17") for each in outputs if "who-has" in each or "--all" in each} == {1}
