"""The README's first steps print what the README shows."""

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.integration.conftest import Lading

README: Final = (Path(__file__).parents[2] / "README.md").read_text()
FIRST_STEPS: Final = README.partition("## First steps")[2].partition("\n## ")[0]
VARIABLE: Final = {
    r"[0-9a-f]{8}-[0-9a-f-]{27}": "ID",
    r"sha512:[0-9a-f]{12,}…?": "DIGEST",
    r"\d+\.\d s": "TIME",
    r"\d{4}-\d\d-\d\d [\d:+]+": "TIME",
    r"\((copy|reflink)\)": "METHOD",
    r"oslo\.utils [\d.]+": "oslo.utils",
}
"""What differs from run to run and from host to host."""


def block(kind: str) -> str:
    return FIRST_STEPS.partition(f"```{kind}\n")[2].partition("```")[0]


def commands() -> Sequence[tuple[str, str]]:
    """Each command with its output."""
    steps = block("console").removeprefix("$ ").split("\n$ ")
    return [(command, output.strip()) for command, _, output in (step.partition("\n") for step in steps)]


def normal(output: str) -> str:
    for pattern, name in VARIABLE.items():
        output = re.sub(pattern, name, output)
    return output


def test_the_first_steps_print_what_the_readme_shows(host: Path, environment: dict[str, str], lading: Lading) -> None:
    with (host / "images" / "noble.img").open("wb") as disk:
        disk.write(bytes(510) + b"\x55\xaa")
        disk.truncate(64 << 20)
    (host / "lading.toml").write_text(block("toml").replace("/srv", str(host)))
    del environment["LADING_HANDLERS__FILE__ALLOWED_FOLDERS"]
    for command, expected in commands():
        _, *arguments = shlex.split(command.replace("/srv", str(host)))
        done = lading(*arguments)
        assert done.returncode == 0, done.stderr
        assert normal(done.stdout.replace(str(host), "/srv").strip()) == normal(expected), command


def test_there_are_first_steps() -> None:
    assert len(commands()) > 5
    assert all(command.startswith("lading ") for command, _ in commands())


def test_the_document_that_the_readme_shows_is_an_image_of_the_default_catalog(host: Path, lading: Lading) -> None:
    catalog = host / "home" / ".local" / "share" / "lading" / "catalog"
    catalog.mkdir(parents=True)
    (catalog / "noble-web.json").write_text(block("json"))
    shown = json.loads(lading("catalog", "show", "noble-web").stdout)
    (location,) = shown.pop("locations")
    expected = json.loads(block("json"))
    assert [location["url"]] == [each["url"] for each in expected.pop("locations")]
    assert {key: value for key, value in shown.items() if value is not None} == expected
