"""What the docs and the docstrings name is there: variables, settings, files, commands and their options."""

import pydoc
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path

import click
import pytest

import lading.sdk.contracts
from lading.adapters import nova
from lading.adapters.cli.main import cli
from lading.adapters.config import settings
from lading.adapters.config.settings import read_settings
from lading.adapters.config.sources import read_variables
from lading.adapters.handlers.built_in import BUILT_IN, settings_type

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md")))
SOURCES = tuple(each for folder in ("adapters", "domain", "ports") for each in sorted((ROOT / folder).rglob("*.py")))
MODULES = {
    each.name
    for folder in ("adapters", "bench", "domain", "examples", "ports", "src", "tests")
    for each in (ROOT / folder).rglob("*.py")
}
KNOWN: Mapping[str, set[str]] = {
    section: {each.name for cls in classes for each in fields(cls)}
    for section, classes in {
        "catalog": settings._CATALOGS.values(),  # noqa: SLF001 - the lists of what is read
        "catalogs": settings._CATALOGS.values(),  # noqa: SLF001
        "associations": settings._ASSOCIATIONS.values(),  # noqa: SLF001
        "journal": settings._JOURNALS.values(),  # noqa: SLF001
        "locks": settings._LOCKS.values(),  # noqa: SLF001
        "landing": [settings.LandingSettings],
        "network": [settings.NetworkSettings],
        **{f"handlers.{name}": [settings_type(name)] for name in BUILT_IN},
    }.items()
} | {"handlers": {"order"}}
"""The settings, by section."""
OTHERS = {"GlanceCatalog", "PoolHandler", "ValueError"}
"""Names in the docs that are of no public module: a module that the text names, an example, Python's own."""


def test_every_section_is_known() -> None:
    assert {name.partition(".")[0] for name in KNOWN} == set(settings._SECTIONS)  # noqa: SLF001 - the list


@pytest.mark.parametrize("path", [*DOCS, *SOURCES], ids=lambda path: str(path.relative_to(ROOT)))
def test_each_variable_and_setting_that_is_named_exists(path: Path) -> None:
    text = path.read_text()
    for name in re.findall(r"\bLADING\w*[A-Z]\b", text):
        assert name == "LADING_CONFIG" or _is_setting(name), f"{name} sets nothing"
    sections = "|".join(map(re.escape, KNOWN))
    for section, key in re.findall(rf"\[({sections})\]`? ([a-z_]+)", text):
        assert key in KNOWN[section], f"[{section}] has no {key}"


def _is_setting(name: str) -> bool:
    (variable,) = read_variables({name: "x"}, settings._SECTIONS)  # noqa: SLF001 - the list
    *section, key = variable.path
    return key in KNOWN["catalogs" if section[0] == "catalogs" else ".".join(section)]


def _examples() -> Iterator[tuple[str, str]]:
    for path in DOCS:
        for number, block in enumerate(re.findall(r"```toml\n(.*?)```", path.read_text(), re.DOTALL)):
            if "entry-points" not in block:
                yield f"{path.name} {number}", block
    (block,) = re.findall(r"\n\n(    \[catalog\].*?)\n\n", settings.__doc__ or "", re.DOTALL)
    yield "settings.py", block


@pytest.mark.parametrize("block", [block for _, block in _examples()], ids=[name for name, _ in _examples()])
def test_each_example_of_a_settings_file_is_one(block: str) -> None:
    assert read_settings(tomllib.loads(block), {"HOME": "/home/me"})


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_each_file_that_the_docs_name_exists(path: Path) -> None:
    text = path.read_text()
    own = set(re.findall(r"^```python\n# (\w+\.py)$", text, re.MULTILINE))
    """Programs that the page itself shows."""
    for name in set(re.findall(r"(?<![\w./-])([\w/-]+\.(?:py|md))\b", text)) - own:
        assert (ROOT / name).exists() or (path.parent / name).exists() or Path(name).name in MODULES, name


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_each_command_and_option_that_the_docs_name_exists(path: Path) -> None:
    for line in re.findall(r"(?:\$ |`)(lading [^`#\n]+)", path.read_text()):
        for words in (each.split() for each in line.split(" · ")):
            command: click.Command = cli
            for word in words[words[0] == "lading" :]:
                if isinstance(command, click.Group) and not word.startswith("-"):
                    names = word.split("|")
                    assert set(names) <= set(command.commands), line
                    command = command.commands[names[0]]
                for option in re.findall(r"--[a-z-]+", word):
                    options = {each for parameter in command.params for each in parameter.opts}
                    assert option in {"--help", "--version"} | options, line


def test_each_message_that_the_troubleshooting_page_lists_exists() -> None:
    text = (ROOT / "docs" / "troubleshooting.md").read_text().partition("## Other messages")[2].partition("\n## ")[0]
    sources = "\n".join(each.read_text() for each in SOURCES)
    for message in re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE):
        assert message in sources, message


def test_help_on_reading_settings_shows_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_TESTER", "hunter2")
    for each in (settings, settings.load_settings, settings.read_settings):
        assert "hunter2" not in pydoc.render_doc(each)


@pytest.mark.parametrize("path", [each for each in DOCS if each.name != "ARCHITECTURE.md"], ids=lambda path: path.name)
def test_each_public_name_that_the_docs_name_exists(path: Path) -> None:
    text = path.read_text()
    known = {name for module in (lading, lading.sdk, lading.sdk.contracts, nova) for name in dir(module)}
    known |= set(re.findall(r"class (\w+)", text)) | OTHERS
    for name in re.findall(r"`(?:(?:lading|nova)\.(?:sdk\.)?)?([A-Z][a-z]+[A-Z][A-Za-z]+)\b(?!-)", text):
        assert name in known, f"{name} is not public"
