"""The shell completes commands, images and paths."""

import subprocess
import sys
from pathlib import Path

from tests.integration.conftest import Lading


def test_the_shell_completes_commands(lading: Lading) -> None:
    done = lading(_LADING_COMPLETE="bash_complete", COMP_WORDS="lading fe", COMP_CWORD="1")
    assert "fetch" in done.stdout


def completed(lading: Lading, words: str, **variables: str) -> tuple[str, ...]:
    done = lading(
        _LADING_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(words.count(" ")), **variables
    )  # fmt: skip
    assert done.stderr == ""
    return tuple(sorted(filter(None, done.stdout.splitlines())))


def test_the_shell_completes_images_and_paths(lading: Lading, noble: Path, host: Path) -> None:
    lading("catalog", "add", str(noble), "--name", "no shell takes this", "--id", "nothing-else")
    assert completed(lading, "lading fetch no") == ("plain,noble", "plain,nothing-else")
    assert completed(lading, "lading fetch noble vm") == ("file,vm",)


def test_completion_is_silent_about_what_goes_wrong(lading: Lading, noble: Path, host: Path) -> None:
    (host / "broken.toml").write_text("[catalog")
    assert completed(lading, "lading fetch --config broken.toml no") == ()
    assert completed(lading, "lading fetch no", LADING_CATALOG__FOLDER="/dev/null") == ()
    (host / "home" / ".local" / "share" / "lading" / "catalog" / "broken.json").write_text("{")
    assert completed(lading, "lading fetch no") == ("plain,noble",)


def test_recorded_targets_are_completed_also_without_their_folder(lading: Lading, noble: Path, host: Path) -> None:
    assert lading("fetch", "noble", "vms/1.img").returncode == 0
    assert completed(lading, f"lading rm {host}/v") == (f"file,{host}/v", f"plain,{host}/vms/1.img")
    assert completed(lading, "lading rm vms/") == ("file,vms/", "plain,vms/1.img")


def test_bash_completes_a_remote_and_an_image_in_it(lading: Lading, host: Path, environment: dict[str, str]) -> None:
    (host / "lading.toml").write_text("[catalogs.lab]\nkind = 'file'\nfolder = 'lab'\n")
    (host / "lab").mkdir()
    (host / "lab" / "1.json").write_text('{"id": "1234", "name": "noble", "status": "active"}')
    command = host / "lading"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m lading "$@"\n')
    command.chmod(0o755)
    script = f"""
{lading("completion", "bash").stdout}
compopt() {{ :; }}
for line in "lading --json fe" "lading fetch la" "lading fetch lab:no" "lading fetch 'a b"; do
    COMP_LINE="$line" COMP_POINT=${{#line}}
    _lading_completion {command}
    echo "$line: ${{COMPREPLY[*]}}"
done
"""
    done = subprocess.run(["bash", "-c", script], cwd=host, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "lading --json fe: fetch",
        "lading fetch la: lab:",
        "lading fetch lab:no: noble",
        "lading fetch 'a b: ",
    ]
    assert done.stderr == ""
