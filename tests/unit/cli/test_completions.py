"""Completion: what is offered for each argument."""

from pathlib import Path

import pytest
from tests.unit.cli.conftest import Run

from lading.adapters.catalogs.file import FileCatalog
from lading.adapters.cli.completion import _Bash
from lading.adapters.cli.main import cli
from lading.ports.image import Image

REMOTES = """\
[catalogs.lab]
kind = "file"
folder = "lab"
[catalogs.debian]
kind = "url"
mirrors = ["https://cloud.debian.example"]
[catalogs.ubuntu]
kind = "simplestreams"
url = "https://streams.example"
"""


@pytest.fixture
def offered(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> "Offered":
    """What a shell offers for a line: `offered("lading fetch no")`."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return Offered(monkeypatch)


class Offered:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __call__(self, line: str, breaks: str = "") -> list[str]:
        self._monkeypatch.setenv("COMP_WORDS", line)
        self._monkeypatch.setenv("_LADING_WORDBREAKS", breaks)
        return _Bash(cli, {}, "lading", "_LADING_COMPLETE").complete().splitlines()


def test_commands_and_common_options_are_offered(offered: Offered) -> None:
    assert offered("lading fe") == ["plain,fetch"]
    assert offered("lading catalog s") == ["plain,show"]
    assert offered("lading --js") == ["plain,--json"]
    assert offered("lading --json ls --q") == ["plain,--quiet"]
    assert offered("lading help cata") == ["plain,catalog"]
    assert offered("lading help catalog a") == ["plain,add"]
    assert offered("lading help rm ") == []


def test_images_remotes_and_images_of_a_local_remote_are_offered(offered: Offered, tmp_path: Path) -> None:
    (tmp_path / "lading.toml").write_text(REMOTES)
    FileCatalog(tmp_path / ".local/share/lading/catalog").add(Image("12345678", "loud")).unwrap()
    FileCatalog(tmp_path / "lab").add(Image("87654321", "noble")).unwrap()
    for command in ("fetch", "explain", "who-has", "catalog show", "catalog rm", "ls --image"):
        assert offered(f"lading {command} l") == ["open,lab:", "plain,loud"]
    assert offered("lading images ") == ["open,lab:", "open,debian:", "open,ubuntu:"]
    assert offered("lading catalog ls u") == ["open,ubuntu:"]
    assert offered("lading fetch lab:") == ["plain,lab:noble", "plain,lab:87654321"]


def test_what_follows_a_colon_is_offered_alone_where_bash_breaks_the_word_there(
    offered: Offered, tmp_path: Path
) -> None:
    (tmp_path / "lading.toml").write_text(REMOTES)
    FileCatalog(tmp_path / "lab").add(Image("87654321", "noble")).unwrap()
    assert offered("lading fetch lab:no", breaks=" \t\n:=") == ["plain,noble"]
    assert offered("lading ls --image=lab:no", breaks=" \t\n:=") == ["plain,noble"]


@pytest.mark.parametrize("reference", ["debian:", "ubuntu:"])
def test_a_remote_on_a_server_offers_no_images_unless_they_are_cached(
    offered: Offered, tmp_path: Path, reference: str
) -> None:
    (tmp_path / "lading.toml").write_text(REMOTES)
    assert offered(f"lading fetch {reference}") == []


def test_installed_handlers_are_offered(offered: Offered) -> None:
    assert offered("lading ls --handler r") == ["plain,rbd"]


def test_formats_are_offered(offered: Offered) -> None:
    assert offered("lading catalog add x --disk-format q") == ["plain,qcow2"]
    assert offered("lading fetch a b --format q") == ["plain,qcow2"]
    assert offered("lading completion f") == ["plain,fish"]


def test_clouds_are_offered(offered: Offered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "clouds.yaml").write_text("clouds:\n  gold: {}\n  silver: {}\n")
    assert offered("lading ls --os-cloud g") == offered("lading --os-cloud g") == ["plain,gold"]
    (tmp_path / "mine.yaml").write_text("clouds: {gates: {}}")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", "mine.yaml")
    assert offered("lading images --os-cloud g") == ["plain,gates"]


@pytest.mark.parametrize("text", ["", "[", "clouds: 1", "a: b"])
def test_a_file_of_clouds_that_is_none_offers_nothing(
    offered: Offered, tmp_path: Path, capfd: pytest.CaptureFixture[str], text: str
) -> None:
    (tmp_path / "clouds.yaml").write_text(text)
    assert offered("lading ls --os-cloud ") == []
    assert capfd.readouterr() == ("", "")


def test_hosts_are_asked_of_etcd_only(offered: Offered) -> None:
    assert offered("lading ls --host ") == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the socket that could not connect
def test_an_unreachable_etcd_offers_no_hosts(
    offered: Offered, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lading.toml").write_text("[associations]\nkind = 'etcd'\nendpoints = ['http://127.0.0.1:1']\n")
    assert offered("lading ls --host ") == []
    assert capfd.readouterr() == ("", "")


def test_paths_are_offered_where_no_target_is_recorded(offered: Offered) -> None:
    of_targets = ("rm", "rm /a", "show", "mv", "verify", "forget", "recover")
    of_files = ("fetch a", "explain a", "mv a", "ls --config", "--config", "catalog add", "associations copy --to")
    for command in (*of_targets, *of_files):
        assert offered(f"lading {command} vm") == ["file,vm"]


def test_wrong_settings_offer_nothing(offered: Offered, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lading.toml").write_text("[catalog")
    assert offered("lading fetch no") == []
    assert offered("lading images ") == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_printed(run: Run, shell: str) -> None:
    done = run("completion", shell)
    assert (done.exit_code, "lading" in done.stdout, done.stderr) == (0, True, "")
