"""Modules that a fresh process imports, and those that it does not."""

import subprocess
import sys
from pathlib import Path


def test_importing_lading_loads_nothing_heavy() -> None:
    script = "import sys; before = set(sys.modules); import lading; print(*sorted(set(sys.modules) - before))"
    output = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True).stdout
    loaded = {module.partition(".")[0] for module in output.split()}
    assert "lading" in loaded
    assert loaded.isdisjoint({"dependency_injector", "click", "rich", "sqlite3", "oslo_utils", "cryptography"})
    assert "lading.adapters" not in output.split()


def test_help_loads_no_settings() -> None:
    program = (
        "import sys, lading.adapters.cli.main\n"
        "assert not {'lading.adapters.config.settings', 'lading.adapters.container'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_no_parser_is_imported_when_there_is_nothing_to_parse(tmp_path: Path) -> None:
    code = """import sys, lading.adapters.config.settings as settings
settings.load_settings(None, {"HOME": "/x"})
print("tomllib" in sys.modules)"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_only_configured_handlers_are_imported(tmp_path: Path) -> None:
    code = """import sys, lading.adapters.config.settings as settings
settings.load_settings(sys.argv[1], {"HOME": "/x"})
print(*sorted(each for each in sys.modules if each.startswith("lading.adapters.handlers.")))"""
    for text, imported in (
        ("", ["built_in"]),
        ("[handlers.cinder]\ncloud = 'gold'\n[handlers.rbd]\nuser = 'nova'\n",
         ["built_in", "cinder", "cinder.settings", "rbd", "rbd.settings"]),
    ):  # fmt: skip
        (tmp_path / "lading.toml").write_text(text)
        command = [sys.executable, "-c", code, str(tmp_path / "lading.toml")]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert done.stdout.split() == [f"lading.adapters.handlers.{name}" for name in imported]


def test_the_inspectors_are_loaded_with_the_first_bytes_only() -> None:
    program = (
        "import sys, lading.adapters.destinations.file.destination, lading.adapters.formats.scan\n"
        "assert not {'oslo_utils', 'importlib.metadata'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_decompressors_and_readers_of_archives_are_loaded_for_packed_images_only() -> None:
    program = (
        "import sys, lading.adapters.formats.unpacking.unpacked\n"
        "assert not {'isal', 'backports.zstd', 'lz4', 'lzma', 'tarfile', 'zipfile', 'xml'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_simplestreams_and_signatures_are_loaded_where_they_are_configured_only(tmp_path: Path) -> None:
    code = """import sys
from lading.adapters.config.settings import load_settings
from lading.adapters.container import open_container
open_container(load_settings(sys.argv[1], {"HOME": sys.argv[2]}), recover=False).default_catalog()
loaded = "lading.adapters.catalogs.simplestreams.catalog", "lading.adapters.signatures.openpgp"
print(*(each in sys.modules for each in loaded))"""
    for text, expected in (
        ("", "False False\n"),
        ("[catalog]\nkind = 'simplestreams'\nurl = 'https://mirror.example'\n", "True True\n"),
    ):
        (tmp_path / "lading.toml").write_text(text)
        command = [sys.executable, "-c", code, str(tmp_path / "lading.toml"), str(tmp_path)]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == expected


def test_the_client_of_etcd_is_loaded_with_the_first_call_only(tmp_path: Path) -> None:
    code = """import sys
from lading.adapters.config.settings import load_settings
from lading.adapters.container import open_container
container = open_container(load_settings(sys.argv[1], {"HOME": sys.argv[2]}), recover=False)
store = container.associations()
print(type(store).__name__, "urllib3" in sys.modules)
try:
    list(store.list())
except Exception as failure:
    print(type(failure).__name__, "urllib3" in sys.modules)
"""
    for text, printed in (
        ("", ["FileAssociations False"]),
        ('[associations]\nkind = "etcd"\nendpoints = ["http://127.0.0.1:1"]\ntimeout = 0.1\n',
         ["EtcdAssociations False", "StoreUnavailable True"]),
    ):  # fmt: skip
        (tmp_path / "lading.toml").write_text(text)
        command = [sys.executable, "-c", code, str(tmp_path / "lading.toml"), str(tmp_path)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines() == printed


def test_the_inspectors_and_the_clouds_settings_load_without_their_packages_other_modules() -> None:
    program = (
        "import sys\n"
        "from lading.adapters.formats.inspection import Inspection\n"
        "from lading.adapters.openstack.cloud import connect_cloud\n"
        "Inspection().prepare()\n"
        "try: connect_cloud('no such cloud')\n"
        "except Exception: pass\n"
        "assert {'oslo_utils.imageutils.format_inspector', 'openstack.config'} <= sys.modules.keys()\n"
        "assert not {'oslo_utils.strutils', 'openstack.connection'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_registries_are_loaded_with_the_first_reference_to_one_only(tmp_path: Path) -> None:
    code = """import sys
from lading.adapters.config.settings import load_settings
from lading.adapters.container import open_container
from lading.ports.context import ANONYMOUS
catalog = open_container(load_settings(None, {"HOME": sys.argv[1]}), recover=False).catalog()
for reference in ("noble", "oci://127.0.0.1:1/noble"):
    catalog.find(reference, ANONYMOUS)
    print("lading.adapters.oci.registry" in sys.modules)
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
