"""OpenStack's APIs under gunicorn, and their configuration files."""

import configparser
import io
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.integration.services.access import GUNICORN, AccessLog
from tests.integration.services.asking import responds
from tests.integration.services.running import LOOPBACK, Process, free_port

PLUGGED: Final = Path(__file__).parent / "plugged"
"""Modules that run inside a service."""
QUIET: Final = {"PYTHONWARNINGS": "ignore", "PYTHONDONTWRITEBYTECODE": "1"}


@dataclass(slots=True)
class WsgiServer:
    """One worker with eight threads on a port of loopback, which it keeps over restarts."""

    application: str
    """`module:object`."""
    environment: Path
    """The virtual environment."""
    folder: Path
    health: str
    """The path that answers 200 once it is ready."""
    variables: Mapping[str, str]
    port: int = field(default_factory=free_port)
    process: Process = field(init=False)

    def __post_init__(self) -> None:
        # Both services parse sys.argv as their own, so that gunicorn's settings can't be there.
        settings = {
            "wsgi_app": self.application,
            "bind": f"{LOOPBACK}:{self.port}",
            "workers": 1,
            "threads": 8,
            "timeout": 300,
            "graceful_timeout": 1,
            "control_socket_disable": True,
            "accesslog": str(self.folder / "access.log"),
            "access_log_format": GUNICORN,
        }
        text = "".join(f"{name} = {value!r}\n" for name, value in settings.items())
        (self.folder / "gunicorn.conf.py").write_text(text)
        self.process = Process(
            [str(self.environment / "bin" / "python"), "-m", "gunicorn"],
            self.folder,
            [self.port],
            {**QUIET, "PYTHONPATH": str(PLUGGED), **self.variables},
        )

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def log(self) -> AccessLog:
        return AccessLog(self.folder / "access.log")

    def start(self) -> None:
        self.process.start(lambda: responds(self.url + self.health, 200))


def ini(sections: Mapping[str, Mapping[str, object]]) -> str:
    """The text of an oslo.config or PasteDeploy file."""
    parser = configparser.ConfigParser(interpolation=None, default_section="")
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # documented for keeping the case
    parser.read_dict({name: {key: shown(value) for key, value in each.items()} for name, each in sections.items()})
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()


def shown(value: object) -> str:
    """A value as configuration files have it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def manage(environment: Path, module: str, *arguments: str) -> None:
    """Run a service's command for its administrator. Raises RuntimeError with what it wrote when it fails."""
    program = f"import sys; from {module} import main; sys.exit(main())"
    command = [str(environment / "bin" / "python"), "-I", "-W", "ignore", "-c", program, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{module} {' '.join(arguments)}: {done.stdout}{done.stderr}")


def privileged(environment: Path, settings: Path) -> str:
    """The command by which oslo.privsep becomes root, where it is root; the script for it names another folder."""
    program = "from oslo_privsep.daemon import helper_main; helper_main()"
    return f"{environment}/bin/python -c '{program}' --config-file {settings}"
