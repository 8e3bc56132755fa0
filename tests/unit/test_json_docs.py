"""docs/json.md lists each code of a refusal, each kind of failure and each exit code."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from lading import LadingError, Refusal, Scope
from lading.adapters.cli.exits import Exit
from lading.adapters.cli.main import cli

DOCS = (Path(__file__).parents[2] / "docs" / "json.md").read_text()
GOES_ON: dict[str, Scope] = {
    "the next location": Scope.LOCATION,
    "the next handler": Scope.HANDLER,
    "nothing": Scope.REQUEST,
}


def test_the_codes_of_refusals_are_listed_with_their_scopes() -> None:
    listed = re.findall(rf"^\| `(\w+)` \| [^|]+ \| ({'|'.join(GOES_ON)}) \|$", DOCS, re.MULTILINE)
    assert {code: GOES_ON[scope] for code, scope in listed} == {each.code: each.scope for each in get_args(Refusal)}


def test_no_two_refusals_share_a_code() -> None:
    assert len({each.code for each in get_args(Refusal)}) == len(get_args(Refusal))


def _kinds(kind: type[LadingError]) -> Iterator[type[LadingError]]:
    for each in kind.__subclasses__():
        # The original functions are not the command line's.
        if not each.__name__.startswith("_") and re.match(r"lading\.(?!adapters\.nova)", each.__module__):
            yield each
        yield from _kinds(each)


def test_the_kinds_of_failures_are_listed() -> None:
    assert all(cli.commands.values())  # imports each command
    table = DOCS.partition("| `error` | meaning |")[2].partition("###")[0]
    listed = set(re.findall(r"`(\w+)`(?=[^|]*\|[^|]*\|$)", table, re.MULTILINE)) - {"active"}
    of_main = {"usage", "interrupted", "system_exhausted", "internal_error"}
    assert listed == of_main | {each.__new__(each).code for each in _kinds(LadingError)}


def test_the_exit_codes_are_listed() -> None:
    listed = {int(each) for each in re.findall(r"^\| (\d+)[,|… \d]* \|", DOCS, re.MULTILINE)}
    assert listed | {Exit.PIPE_CLOSED, Exit.TERMINATED} == set(Exit)
