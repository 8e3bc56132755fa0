"""Credentials for registries, from the settings and from the files of podman, skopeo and docker.

https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md
"""

import base64
import binascii
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from lading.adapters.codec.documents import read_json
from lading.adapters.oci.reference import DOCKER_HUB, Login, Reference
from lading.adapters.stream.errors import error_text
from lading.adapters.stream.threads import watchdog
from lading.ports.failures import SettingsError

__all__ = ["Keychain", "auth_files"]

_IDENTITY: Final = "<token>"
"""The user name with which a helper marks an identity token."""
_HELPER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LONGEST: Final = 1 << 20
"""Bytes of a file, or of a helper's answer."""
_HELPER_SECONDS: Final = 30.0
_DOCKER_HUB_NAMES: Final = frozenset({"index.docker.io", "registry-1.docker.io"})
_ABSENT: Final = b"credentials not found"
"""The words of docker's helpers for credentials that they do not have."""


class Keychain:
    """Finds the credentials for a repository. Files are read anew each time: logins expire."""

    def __init__(self, passwords: Mapping[str, str] | None = None, files: Sequence[Path] = ()) -> None:
        """`passwords`: `user:password` by registry or repository. `files`: the first with credentials counts."""
        self._passwords = dict(passwords or {})
        self._files = tuple(files)

    def find(self, reference: Reference) -> Login | None:
        """The credentials; None: there are none. Raises SettingsError, which names the file or the helper."""
        if reference.login is not None:
            return reference.login
        for name in _names(reference):
            if name in self._passwords:
                user, _, password = self._passwords[name].partition(":")
                return Login(user, password)
        for path in self._files:
            document = _read(path)
            if document is not None and (login := _in_document(document, reference, path)) is not None:
                return login
        return None

    def __str__(self) -> str:
        return ", ".join(map(str, self._files)) or "no file"


def auth_files(environ: Mapping[str, str] | None = None) -> Sequence[Path]:
    """The files in which podman, skopeo and docker keep logins, in their order; only `$REGISTRY_AUTH_FILE` if set."""
    environ = os.environ if environ is None else environ
    if named := environ.get("REGISTRY_AUTH_FILE"):
        return [Path(named)]
    home = environ.get("HOME") or str(Path.home())
    config = environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
    runtime = environ.get("XDG_RUNTIME_DIR") or f"/run/containers/{os.getuid()}"
    return [
        Path(runtime, "containers/auth.json" if environ.get("XDG_RUNTIME_DIR") else "auth.json"),
        Path(config, "containers/auth.json"),
        Path(environ.get("DOCKER_CONFIG") or f"{home}/.docker", "config.json"),
        Path(home, ".dockercfg"),
    ]


def _names(reference: Reference) -> Iterator[str]:
    """The keys that may have the credentials, the longest path first."""
    name = f"{reference.registry}/{reference.repository}"
    while name:
        yield name
        name = name.rpartition("/")[0]


def _read(path: Path) -> Mapping[str, object] | None:
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error_text(error)}") from error
    try:
        document = read_json(content or b"{}")
    except ValueError:
        document = None
    if len(content) > _LONGEST or not isinstance(document, dict):
        raise SettingsError(f"{path}: expected a JSON object with logins, as `podman login` writes it")
    return {"auths": document} if path.name == ".dockercfg" else document


def _in_document(document: Mapping[str, object], reference: Reference, path: Path) -> Login | None:
    helpers, auths = document.get("credHelpers"), document.get("auths")
    helper = helpers.get(reference.registry) if isinstance(helpers, dict) else None
    if (helper := helper or document.get("credsStore")) is not None:
        login = _from_helper(helper, reference.registry, path)
        if login is not None:
            return login
    known = {_plain(key): value for key, value in auths.items()} if isinstance(auths, dict) else {}
    for name in _names(reference):
        if isinstance(entry := known.get(name), dict) and (login := _from_entry(entry, name, path)) is not None:
            return login
    return None


def _plain(key: str) -> str:
    """A key without what docker writes around it: `https://index.docker.io/v1/` is `docker.io`."""
    name = re.sub(r"/v[12]/?$", "", re.sub(r"^https?://", "", key)).rstrip("/")
    return DOCKER_HUB if name in _DOCKER_HUB_NAMES else name


def _from_entry(entry: Mapping[str, object], name: str, path: Path) -> Login | None:
    token = entry.get("identitytoken")
    if isinstance(token, str) and token:
        return Login("", token, is_identity_token=True)
    packed = entry.get("auth")
    if not packed:
        return None
    try:
        user, colon, password = base64.b64decode(str(packed), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        colon = ""
    if not colon:
        raise SettingsError(f"{path}: {name}: expected the base64 form of user:password in auth")
    return Login(user, password.rstrip("\0"))


def _from_helper(helper: object, registry: str, path: Path) -> Login | None:
    """The credentials of `docker-credential-NAME get`; see https://github.com/docker/docker-credential-helpers."""
    if not isinstance(helper, str) or not _HELPER.fullmatch(helper):
        raise SettingsError(f"{path}: expected the name of a credential helper")
    program = f"docker-credential-{helper}"
    server = "https://index.docker.io/v1/" if registry == DOCKER_HUB else registry
    try:
        code, output = _run([program, "get"], server.encode())
    except OSError as error:
        raise SettingsError(f"{path}: {program} cannot be run: {error_text(error)}") from error
    if code != 0 and output.startswith(_ABSENT):
        return None
    try:
        answer = read_json(output) if code == 0 and len(output) <= _LONGEST else None
    except ValueError:
        answer = None
    user, secret = (answer.get("Username"), answer.get("Secret")) if isinstance(answer, dict) else (None, None)
    if not isinstance(user, str) or not isinstance(secret, str):
        raise SettingsError(f"{path}: {program} gives no credentials for {registry} (exit code {code})")
    return Login(user, secret, is_identity_token=user == _IDENTITY)


def _run(command: Sequence[str], text: bytes) -> tuple[int, bytes]:
    """The exit code and the output of the helper, which is killed after some time. Raises OSError."""
    with subprocess.Popen(  # noqa: S603 - a program that the user's own file names, without a shell
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as running:
        assert running.stdin is not None  # noqa: S101 - pipes, see above
        assert running.stdout is not None  # noqa: S101
        with watchdog(_HELPER_SECONDS, partial(_kill, running.pid)):
            with suppress(BrokenPipeError):
                running.stdin.write(text)
                running.stdin.close()
            output = running.stdout.read(_LONGEST + 1)
            if len(output) > _LONGEST:
                _kill(running.pid)
            running.wait()
    return running.returncode, output.strip()


def _kill(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
