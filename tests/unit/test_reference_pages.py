"""What the site's reference says of settings, commands and exit codes is complete."""

import re
from collections.abc import Iterator

import click
import generated
import pytest

import lading
from lading.adapters.cli.exits import Exit
from lading.adapters.cli.main import cli


def test_each_setting_says_what_it_means() -> None:
    unexplained = {
        f"{settings_class.__name__}.{field.name}"
        for _, _, settings_class in generated.settings_tables()
        for field, meaning in generated.documented_attributes(settings_class)
        if not meaning and field.name != "kind"
    }
    assert unexplained == set()


@pytest.mark.parametrize(
    "row",
    [
        '| `folder` | path | `"~/.local/share/lading/catalog"` |',
        "| `endpoints` | list: text | required |",
        '| `max_unpacked` | size | `"2T"` |',
        '| `format` | `"raw"` or `"qcow2"` | none |',
        "| `allowed_ports` | list: whole number | `[80, 443]` |",
    ],
)
def test_a_setting_has_its_type_and_its_default(row: str) -> None:
    assert row in generated.text("settings")


def test_each_exit_code_says_what_it_means() -> None:
    rows = re.findall(r"^\| (\d+) \| \S.* \|$", generated.text("exit_codes"), re.MULTILINE)
    assert list(map(int, rows)) == sorted(Exit)


def commands(group: click.Group, path: str) -> Iterator[str]:
    for name, each in group.commands.items():
        yield f"{path} {name}"
        if isinstance(each, click.Group):
            yield from commands(each, f"{path} {name}")


def test_each_command_has_a_section() -> None:
    headings = re.findall(r"^##+ (.*)$", generated.text("commands"), re.MULTILINE)
    assert set(headings) == {"lading", *commands(cli, "lading")}


def test_each_name_of_the_facade_is_in_the_api() -> None:
    named = re.findall(r"\.\. auto\w+:: lading\.(\w+)", generated.text("python"))
    assert sorted([*named, "__version__"]) == sorted(lading.__all__)
