"""The shell completes commands, images and paths."""

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
    for command in ("fetch", "explain", "who-has", "ls --image", "catalog show", "catalog rm"):
        assert completed(lading, f"lading {command} no") == ("plain,noble", "plain,nothing-else")
    for command in (
        "fetch noble",
        "explain noble",
        "rm",
        "show",
        "mv",
        "mv a",
        "ls --config",
        "catalog add",
        "associations copy --to",
    ):
        assert completed(lading, f"lading {command} vm") == ("file,vm",)


def test_completion_is_silent_about_what_goes_wrong(lading: Lading, noble: Path, host: Path) -> None:
    (host / "broken.toml").write_text("[catalog")
    assert completed(lading, "lading fetch --config broken.toml no") == ()
    assert completed(lading, "lading fetch no", LADING_CATALOG__FOLDER="/dev/null") == ()
    (host / "home" / ".local" / "share" / "lading" / "catalog" / "broken.json").write_text("{")
    assert completed(lading, "lading fetch no") == ("plain,noble",)
