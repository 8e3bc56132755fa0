"""The command line in this process."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lading.adapters.cli import session
from lading.adapters.cli.main import cli

Run = Callable[..., Result]


def _no_log(verbosity: int, *, quiet: bool) -> None:
    pass


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Run]:
    """Runs a command, in an empty home: `run("ls", "--json", LADING_LANDING__MODE="0640")`. Nothing lasts."""
    monkeypatch.chdir(tmp_path)
    # It would replace the hooks of this process.
    monkeypatch.setattr(session, "log_to_stderr", _no_log)

    def run(*arguments: str, **variables: str) -> Result:
        memory = {"HOME": str(tmp_path), "LADING_ASSOCIATIONS__KIND": "memory"}
        return CliRunner().invoke(cli, arguments, prog_name="lading", env=memory | variables)

    yield run
    logging.disable(logging.NOTSET)  # completion disables it
