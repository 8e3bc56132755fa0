"""Completion: what is offered, a shell takes as one plain word, and executes nothing of it."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.adapters.cli.arguments import safe_completions

NAMES = st.text("ab2.,/~:=@%+-_é;&|<>(){}[]$`'\"\\!#*?^ \t\n\r\x1b\u202e\udc9b", min_size=1, max_size=6)
HOSTILE = [
    "evil;touch${IFS}owned;#", "a&&reboot", "a|b", "`id`", "$(id)", "$HOME", "a'b", 'a"b', "a\\b", "!!", "a>b", "<a",
    "{a,b}", "*", "a?", "[ab]", "~", "~root", "#a", "=ls", "%self", "-n", "--force", "a b", "a\tb", "a\nb", "a^b",
    "a,b", "\x1b[2J", "a\u202eb", "a\u2028b", "a\xa0b", "", "(a)", "a\udc9b",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_a_shell_expands_is_not_offered(name: str) -> None:
    assert safe_completions([name], "") == []


@pytest.mark.parametrize(
    "name", ["noble", "debian:12", "noble-24.04_amd64+x.img", "2", "für", "日本", "a=b@c%d", "/a/b"]
)
def test_a_plain_name_is_offered(name: str) -> None:
    assert safe_completions([name, "else"], name[:1]) == [name]


@given(st.lists(NAMES, max_size=30))
def test_bash_takes_each_word_that_is_offered_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    words = safe_completions(names, "")
    if words:
        folder = tmp_path_factory.getbasetemp()
        assert said_by_bash(words, folder) == words


def said_by_bash(words: list[str], folder: Path) -> list[str]:
    script = f"printf '%s\\0' {' '.join(words)}"
    done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, check=True)
    assert done.stderr == b""
    return done.stdout.decode().split("\0")[:-1]
