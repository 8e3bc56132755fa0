"""`lading config`: the settings in force with their origins, and a settings file that is made of the dataclasses."""

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Run
from tests.unit.test_names_in_docs import KNOWN

from lading.adapters.config.settings import BUILT_IN_KINDS, Settings, read_settings
from lading.adapters.config.template import template
from lading.adapters.config.toml import key_lines
from lading.adapters.handlers.built_in import BUILT_IN, settings_type

FILE = """\
[landing]
mode = "0640"
max_size = "20G"

[handlers]
order = ["file", "oci"]
oci = { passwords = { "registry.example:5000" = "me:hunter2" } }

[catalogs.lab]
kind = "file"
folder = "lab"
"""


def comparable(settings: Settings) -> tuple[object, ...]:
    """The settings, and those of the built-in handlers as they read them."""
    handlers = settings.handlers
    typed: dict[str, object] = {name: handlers.table(name).read(settings_type(name)) for name in BUILT_IN}
    return replace(settings, handlers=replace(handlers, tables={}), source=""), typed


def origins(run: Run, *words: str, **variables: str) -> dict[str, tuple[object, str]]:
    """Each setting's value, and where it is from."""
    done = run("config", "--json", *words, **variables)
    assert done.exit_code == 0, done.stderr
    records = map(json.loads, done.stdout.splitlines())
    return {
        f"{each['section']}.{each['key']}": (
            each["value"], f"{each['file']}:{each['line']}" if each["file"] else each["variable"] or "default",
        )
        for each in records
    }  # fmt: skip


def test_each_setting_has_its_file_and_line_its_variable_or_the_default(run: Run, tmp_path: Path) -> None:
    (tmp_path / "lading.toml").write_text(FILE)
    found = origins(run, LADING_LANDING__VERIFY="no")
    assert found["landing.mode"] == ("0640", f"{tmp_path}/lading.toml:2")
    assert found["landing.max_size"][1] == f"{tmp_path}/lading.toml:3"
    assert found["landing.verify"] == (False, "LADING_LANDING__VERIFY")
    assert found["landing.unpack"] == (True, "default")
    assert found["handlers.order"] == (["file", "oci"], f"{tmp_path}/lading.toml:6")
    assert found["catalogs.lab.folder"] == (f"{tmp_path}/lab", f"{tmp_path}/lading.toml:11")
    assert found["associations.kind"] == ("memory", "LADING_ASSOCIATIONS__KIND")
    assert found["journal.kind"] == ("memory", "default")


def test_a_key_of_another_kind_in_the_file_is_not_the_origin(run: Run, tmp_path: Path) -> None:
    (tmp_path / "lading.toml").write_text("[catalog]\nkind = 'oci'\nmirrors = []\n")
    assert origins(run, LADING_CATALOG__KIND="url")["catalog.mirrors"] == ([], "default")
    (tmp_path / "lading.toml").write_text("[locks]\nfolder = '/locks'\n")
    etcd = {"LADING_LOCKS__KIND": "etcd", "LADING_LOCKS__ENDPOINTS": "http://e:1"}
    assert origins(run, **etcd)["locks.folder"] == (f"{tmp_path}/.local/share/lading/locks", "default")


def test_locks_in_etcd_have_the_cluster_of_the_associations(run: Run, tmp_path: Path) -> None:
    (tmp_path / "lading.toml").write_text(
        "[associations]\nkind = 'etcd'\nendpoints = ['http://e:1']\n[locks]\nkind = 'etcd'\n"
    )
    found = origins(run, LADING_ASSOCIATIONS__KIND="etcd")
    assert found["locks.endpoints"] == (["http://e:1"], f"{tmp_path}/lading.toml:3")
    assert found["locks.kind"] == ("etcd", f"{tmp_path}/lading.toml:5")


def test_an_option_for_a_cloud_is_in_force(run: Run) -> None:
    assert origins(run, "--os-cloud", "gold")["catalog.cloud"][0] == "gold"


def test_the_settings_are_printed_as_toml_that_means_the_same(run: Run, tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "LADING_ASSOCIATIONS__KIND": "memory"}
    document = tomllib.loads(FILE.replace('"lab"', f'"{tmp_path}/lab"'))
    del document["handlers"]["oci"]
    expected = read_settings(document, environ)
    (tmp_path / "lading.toml").write_text(FILE.replace("oci =", "#"))
    printed = read_settings(tomllib.loads(run("config").stdout), {"HOME": str(tmp_path)})
    assert comparable(printed) == comparable(expected)


def test_secrets_are_masked(run: Run, tmp_path: Path) -> None:
    (tmp_path / "lading.toml").write_text(FILE)
    passwords = '{ "registry.example" = "me:hunter2" }'
    proxy = {"LADING_NETWORK__PROXY": "http://me:hunter2@proxy.example:3128"}
    for words in (["config"], ["config", "--json"]):
        done = run(*words, **proxy, LADING_HANDLERS__OCI__PASSWORDS=passwords)
        assert (done.exit_code, "hunter2" in done.output) == (0, False)
        assert "proxy.example:3128" in done.stdout


def test_a_third_partys_table_is_printed_as_it_is(run: Run, tmp_path: Path) -> None:
    (tmp_path / "lading.toml").write_text("[catalog]\nkind = 'shelf'\nrows = 3\ntoken = 'hunter2'\n")
    found = origins(run)
    assert found["catalog.rows"] == (3, f"{tmp_path}/lading.toml:3")
    assert found["catalog.token"][0] == "***"


def test_a_wrong_setting_is_an_error(run: Run) -> None:
    done = run("config", LADING_LANDING__MODE="rw")
    assert (done.exit_code, "expected three octal digits" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("[a.b]\nc = 1 # d = 2\n\n\n[e]\nc.d = 3", {("a", "b"): 1, ("a", "b", "c"): 2, ("e",): 5, ("e", "c", "d"): 6}),
        ('["x.y"]\n"a b" = [\n  1,\n]', {("x.y",): 1, ("x.y", "a b"): 2}),
        ('a = """\nb = 1\n"""\nb = 2', {("a",): 1}),
    ],
)
def test_the_lines_of_keys_are_found(text: str, lines: dict[tuple[str, ...], int]) -> None:
    assert key_lines(text) == lines


# The file to begin with.


def test_the_file_to_begin_with_means_the_defaults(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    assert read_settings(tomllib.loads(template(home)), home) == read_settings({}, home)


def test_each_default_in_the_file_is_the_default_in_force(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    text = re.sub(r"\n# With kind.*?(?=\n\n)", "", template(home), flags=re.DOTALL)  # they are no defaults
    text = re.sub(r"# A remote.*?\n\n", "", text, flags=re.DOTALL).replace("#order", "# order")
    changed = re.sub(r"(?m)^#(\w+ = (?! #).*)", r"\1", text)
    assert changed.count("\nmode = ") == 1
    read = read_settings(tomllib.loads(changed.replace("~", str(tmp_path))), home)
    assert comparable(read) == comparable(read_settings({}, home))


def test_the_file_lists_each_setting_of_each_kind() -> None:
    text = template({"HOME": "/home/me"})
    for section in ("associations", "journal", "locks", "landing", "network", "catalog"):
        part = text.partition(f"\n[{section}]\n")[2].partition("\n[")[0]
        listed = set(re.findall(r"(?m)^#(\w+) =", part))
        assert listed >= KNOWN[section], section
        for kind in {*BUILT_IN_KINDS.get(section, ())} - {"file", "memory"}:
            assert f'# With kind = "{kind}":' in part
    for section in (each for each in KNOWN if each.startswith("handlers.")):
        part = text.partition(f"\n[{section}]\n")[2].partition("\n[")[0]
        assert set(re.findall(r"(?m)^#(\w+) =", part)) == KNOWN[section], section


def test_the_file_is_written_for_its_owner_and_not_over_another(run: Run, tmp_path: Path) -> None:
    path = tmp_path / ".config" / "lading" / "lading.toml"
    assert f"{path}: written" in run("config", "init").stdout
    assert (path.read_text(), path.stat().st_mode & 0o777) == (template({"HOME": str(tmp_path)}), 0o600)
    path.write_text("[landing]\n")
    refused = run("config", "init")
    assert (refused.exit_code, f"{path} exists; --force replaces it" in refused.stderr) == (2, True)
    assert path.read_text() == "[landing]\n"
    assert run("config", "init", "--force").exit_code == 0
    assert [each.name for each in path.parent.iterdir()] == ["lading.toml"]
    assert path.read_text() == template({"HOME": str(tmp_path)})


def test_the_file_is_written_where_the_option_or_the_variable_says(run: Run, tmp_path: Path) -> None:
    assert json.loads(run("config", "init", "--config", "mine.toml", "--json").stdout) == {
        "file": f"{tmp_path}/mine.toml"
    }
    assert run("config", "init", LADING_CONFIG="other.toml").exit_code == 0
    assert (tmp_path / "mine.toml").read_text() == (tmp_path / "other.toml").read_text()
    assert "cannot be written" in run("config", "init", "--config", "/dev/null/x").stderr


def test_the_file_is_printed_on_request(run: Run, tmp_path: Path) -> None:
    done = run("config", "init", "--stdout")
    assert done.stdout == template({"HOME": str(tmp_path)})
    assert [*tmp_path.iterdir()] == []
