"""The help: grouped commands, examples that are valid, common options in each place, and man pages of the same text."""

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import man_pages
import pytest
from tests.packages import needs
from tests.unit.cli.conftest import Run

from lading.adapters.cli.command import Command
from lading.adapters.cli.commands import SECTIONS, SYNONYMS
from lading.adapters.cli.main import cli

MAN = Path(__file__).parents[3] / "docs" / "man"


def commands(group: click.Group, *names: str) -> Iterator[tuple[str, Command]]:
    """All commands that are no groups, by what is typed."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *names, name)
        else:
            assert isinstance(command, Command)
            yield " ".join((*names, name)), command


COMMANDS = dict(commands(cli))


def test_the_help_lists_each_command_in_its_section(run: Run) -> None:
    text = run("--help").stdout
    for title, entries in SECTIONS.items():
        section = text.partition(f"{title}:\n")[2].partition("\n\n")[0]
        assert [line.split()[0] for line in section.splitlines()] == [*entries]


def test_each_entry_leads_to_its_command() -> None:
    assert {name: command.name for name, command in cli.commands.items()} == {name: name for name in cli.commands}


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_examples_of_its_own_with_their_effect(name: str) -> None:
    examples = COMMANDS[name].examples
    assert 2 <= len(examples) <= 3
    for line, effect in examples:
        assert f"lading {name}" in line
        assert effect.endswith(".")


def examples() -> Iterator[str]:
    """The words after `lading` in all examples."""
    for command in (cli, *cli.commands.values(), *COMMANDS.values()):
        assert isinstance(command, Command)
        for line, _ in command.examples:
            yield line.partition("lading ")[2].partition(" ||")[0].partition(" >")[0].rstrip(")")


@pytest.mark.parametrize("example", sorted(set(examples())))
def test_each_example_is_a_valid_command_line(example: str) -> None:
    words = shlex.split(example)
    command: click.Command = cli
    context = cli.make_context("lading", [], resilient_parsing=True)
    while words and isinstance(command, click.Group) and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    assert command.make_context(command.name, words, parent=context).args == []


def test_help_shows_what_the_option_shows(run: Run) -> None:
    assert run("help").stdout == run("--help").stdout
    assert run("help", "fetch").stdout == run("fetch", "--help").stdout == run("fetch", "-h").stdout
    assert run("help", "catalog", "add").stdout == run("catalog", "add", "--help").stdout


def test_help_on_what_is_no_command_is_a_usage_error(run: Run) -> None:
    assert "No such command 'fetc'. (Did you mean one of: 'fetch', 'forget'?)" in run("help", "fetc").stderr
    assert "lading rm has no subcommand 'x'" in run("help", "rm", "x").stderr


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["fecth"], "Did you mean 'fetch'?"),
        (["catalog", "ad"], "Did you mean 'add'?"),
        (["ls", "--imge", "noble"], "Did you mean one of: '--image', "),
        *([[word], f"Did you mean {meant!r}?"] for word, meant in SYNONYMS.items()),
    ],
)
def test_a_wrong_word_is_compared_with_the_known_ones(run: Run, words: list[str], answer: str) -> None:
    done = run(*words)
    assert (done.exit_code, answer in done.stderr) == (2, True)


@pytest.mark.parametrize(
    "words",
    ["--json config", "config --json", "--config mine.toml --json config", "--json config --config mine.toml"],
)
def test_common_options_stand_before_or_after_the_command(run: Run, tmp_path: Path, words: str) -> None:
    (tmp_path / "mine.toml").write_text("[landing]\nmode = '0640'\n")
    lines = run(*words.split()).stdout.splitlines()
    assert all(line.startswith("{") for line in lines)
    assert any("mine.toml" in line for line in lines) == ("mine.toml" in words)


def test_a_group_takes_the_common_options_of_its_commands(run: Run) -> None:
    assert run("catalog", "--json", "show", "noble").stdout.startswith('{"error": "image_not_found"')


def test_quiet_prints_errors_only(run: Run) -> None:
    done = run("-q", "config")
    assert (done.exit_code, done.output) == (0, "")
    failed = run("rm", "/nothing/there", "--quiet")
    assert (failed.exit_code, failed.stdout) == (6, "")
    assert "/nothing/there" in failed.stderr
    assert '"key": "mode"' in run("config", "-q", "--json").stdout


def test_quiet_and_verbose_contradict_each_other(run: Run) -> None:
    assert "give one of them" in run("-q", "ls", "-v").stderr


def test_the_help_imports_no_command() -> None:
    code = """import sys
from lading.adapters.cli.main import cli
cli.main(["--help"], standalone_mode=False)
heavy = {"dependency_injector", "rich", "msgspec", "sqlite3", "lading.adapters.config", "lading.adapters.cli.fetch"}
print(heavy & sys.modules.keys(), file=sys.stderr)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "set()\n"


def test_the_man_pages_are_those_of_the_commands() -> None:
    written = {path.name: path.read_text() for path in MAN.iterdir()}
    assert written == dict(man_pages.pages()), "make man writes them anew"


def test_man_prints_each_page_without_a_warning() -> None:
    needs("man", "groff")
    for page in (MAN / "lading.1", MAN / "lading-fetch.1", MAN / "lading-config-init.1"):
        command = ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", str(page)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin"})
        assert done.stderr == ""


def test_text_that_roff_would_execute_is_escaped() -> None:
    assert man_pages._escaped(".so /etc/passwd") == r"\&.so /etc/passwd"  # noqa: SLF001
    assert man_pages._escaped(r"\fB -x") == r"\efB \-x"  # noqa: SLF001
