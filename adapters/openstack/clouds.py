"""Mistakes in clouds.yaml, secure.yaml and `OS_*`: the file, the setting, what is expected.

openstacksdk reads these, and raises any exception for many a mistake. Its words are not shown: they may repeat secrets.
"""

import difflib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lading.adapters.web.network import Named, NetworkPolicy
from lading.adapters.web.urls import web_url
from lading.ports.failures import SettingsError
from lading.ports.redaction import redacted_url

if TYPE_CHECKING:
    from openstack.config import OpenStackConfig
    from openstack.config.cloud_region import CloudRegion

__all__ = ["account_of_cloud", "check_cloud", "cloud_network", "diagnose"]

_USERS: Final = ("username", "user_id", "application_credential_name", "application_credential_id", "client_id")
"""The settings that name an account."""
_PASSWORDS: Final = frozenset({"password", "v3password", "v2password"})
_MOST_NAMES: Final = 20
"""Clouds in one message."""
_SECRETS: Final = ("password", "secret", "token", "passcode")


class _Cloud:
    """One cloud's settings, and their places for messages."""

    def __init__(self, config: "OpenStackConfig", region: "CloudRegion") -> None:
        self.values: Mapping[str, Any] = region.config
        self._is_variables = region.name == config.envvar_key
        self._where = f"{config.config_filename}: clouds.{region.name}"

    def place(self, key: str) -> str:
        if self._is_variables:
            return f"OS_{key.rpartition('.')[2].upper()}"
        return f"{self._where}.{key}"

    def error(self, key: str, expected: str, found: object) -> SettingsError:
        secret = any(word in key for word in _SECRETS)
        shown = "something else" if secret or not isinstance(found, str | int | float) else repr(found)[:60]
        return SettingsError(f"{self.place(key)}: expected {expected}, got {shown}")

    def path(self, key: str) -> Named | None:
        value = self.values.get(key)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise self.error(key, "the path of a PEM file", value)
        return Named(os.path.expanduser(value), self.place(key))  # noqa: PTH111 - as openstacksdk does


def cloud_network(config: "OpenStackConfig", region: "CloudRegion", network: NetworkPolicy) -> NetworkPolicy:
    """The network policy with the certificates of the cloud's own settings. Raises SettingsError."""
    cloud = _Cloud(config, region)
    verify = cloud.values.get("verify", True)
    if verify is None:
        verify = True
    if not isinstance(verify, bool):
        raise cloud.error("verify", "true or false, without quotes", verify)
    own = replace(
        network,
        verify=verify and not cloud.values.get("insecure"),
        ca_file=cloud.path("cacert") or network.ca_file,
        certificate=cloud.path("cert"),
        key=cloud.path("key"),
    )
    if own.ca_file is not None or own.certificate is not None:
        own.tls_context()  # a mistake is found now: keystoneauth would fail at the first request
    return own


def check_cloud(config: "OpenStackConfig", region: "CloudRegion") -> None:
    """Raises SettingsError for settings that openstacksdk accepts and keystoneauth does not."""
    cloud = _Cloud(config, region)
    timeout = cloud.values.get("api_timeout")
    try:
        seconds = 1.0 if timeout is None else float(timeout)
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise cloud.error("api_timeout", "a number of seconds", timeout)
    auth = cloud.values.get("auth") or {}
    for key in ("auth_url", "endpoint"):
        if (url := auth.get(key)) is not None and not _is_url(url):
            raise SettingsError(f"{cloud.place(f'auth.{key}')}: expected a URL like https://keystone.example:5000/v3")
    if cloud.values.get("auth_type") in _PASSWORDS:
        if not auth.get("username") and not auth.get("user_id"):
            raise SettingsError(f"{cloud.place('auth.username')}: missing")
        if not auth.get("password"):
            raise SettingsError(f"{cloud.place('auth.password')}: missing; it may be in secure.yaml")


def account_of_cloud(config: "OpenStackConfig", region: "CloudRegion") -> str:
    """The Keystone, the user and the project of a cloud, and where they are set, for messages. No secret."""
    auth = region.config.get("auth") or {}
    user = next((auth[key] for key in _USERS if auth.get(key)), None)
    project = auth.get("project_name") or auth.get("project_id")
    is_variables = region.name == config.envvar_key
    parts = (
        redacted_url(str(auth.get("auth_url") or auth.get("endpoint") or "")),
        f"user {user}" if user else "",
        f"project {project}" if project else "",
        "set by OS_*" if is_variables else f"set by {config.config_filename}: clouds.{region.name}",
    )
    return ", ".join(filter(None, parts))


def diagnose(cloud: str | None) -> SettingsError | None:
    """The mistake in the files, after openstacksdk has failed; None where none is found."""
    return next(_faults(cloud or os.environ.get("OS_CLOUD")), None)


def _faults(cloud: str | None) -> Iterator[SettingsError]:
    from openstack.config import loader  # noqa: PLC0415 - loaded by now

    has_main = False
    for variable, places in (
        ("OS_CLIENT_CONFIG_FILE", loader.CONFIG_FILES),
        ("OS_CLIENT_SECURE_FILE", loader.SECURE_FILES),
    ):
        named = os.environ.get(variable)
        # As openstacksdk does. Path.exists would raise for a file whose folder may not be searched.
        if named and not os.path.exists(named):  # noqa: PTH110
            yield SettingsError("there is no such file, or it cannot be looked at", place=f"{variable}: {named}")
        path = next((each for each in ([named] if named else []) + places if os.path.exists(each)), None)  # noqa: PTH110
        if path is None:
            continue
        is_main = places is loader.CONFIG_FILES
        has_main = has_main or is_main
        yield from _file_faults(path, cloud, is_main=is_main)
    if cloud is None and "OS_AUTH_URL" not in os.environ:
        yield SettingsError(
            "no cloud is named",
            expected="OS_CLOUD, a cloud in the settings, or OS_AUTH_URL",
            found="none of them",
            advice="--os-cloud NAME names a cloud of clouds.yaml",
        )
    if cloud is not None and not has_main:
        yield SettingsError(
            f"there is no clouds.yaml, which would define the cloud {cloud!r}",
            place=f"searched: {_searched(loader.CONFIG_FILES)}",
            advice="OS_CLIENT_CONFIG_FILE names a file elsewhere",
        )


def _file_faults(path: str, cloud: str | None, *, is_main: bool) -> Iterator[SettingsError]:
    try:
        clouds = _read(path).get("clouds")
    except _InvalidFile as fault:
        yield SettingsError(str(fault), place=path)
        return
    if not isinstance(clouds, dict):
        yield SettingsError("clouds: expected a mapping of clouds by name", place=path)
    elif cloud is not None and cloud in clouds:
        for each in _cloud_faults(clouds[cloud], whole=is_main):
            yield SettingsError(f"clouds.{cloud}{each}", place=path)
    elif cloud is not None and is_main:
        yield _unknown_cloud(cloud, path, sorted(map(str, clouds)))


def _unknown_cloud(cloud: str, path: str, known: Sequence[str]) -> SettingsError:
    shown = ", ".join(known[:_MOST_NAMES]) + (f" and {len(known) - _MOST_NAMES} more" if known[_MOST_NAMES:] else "")
    close = difflib.get_close_matches(cloud, known, n=1)
    return SettingsError(
        f"there is no cloud {cloud!r}",
        place=path,
        found=f"the clouds {shown}" if known else "no clouds",
        advice=f"did you mean {close[0]}?" if close else "",
    )


def _searched(places: Sequence[str]) -> str:
    """The searched files, each once; of the names that differ in their ending only the first.

    >>> _searched(["/a/clouds.yaml", "/a/clouds.yml", "/a/clouds.json", "/b/clouds.yaml", "/b/clouds.yml"])
    '/a/clouds.yaml, /b/clouds.yaml'
    """
    first = {os.path.splitext(each)[0]: each for each in reversed(places)}  # noqa: PTH122 - a text, as openstacksdk's
    return ", ".join(reversed(first.values()))


def _cloud_faults(settings: object, *, whole: bool) -> Iterator[str]:
    if not isinstance(settings, dict):
        yield ": expected a mapping of settings"
        return
    for key, value in settings.items():
        if isinstance(value, str) and "{" in value and key not in _SECRETS:
            yield f".{key}: a `{{` is written `{{{{` here"
    auth = settings.get("auth", {})
    if not isinstance(auth, dict):
        yield ".auth: expected a mapping"
        return
    if not isinstance(url := auth.get("auth_url", ""), str) or "{" in url:
        yield ".auth.auth_url: expected a URL like https://keystone.example:5000/v3"
    auth_type = settings.get("auth_type", "password")
    known = _known_options(auth_type)
    if known is None:
        yield f".auth_type: {str(auth_type)[:60]!r} is none that is installed"
        return
    for key in auth:
        if str(key).replace("-", "_") not in known:
            yield f".auth.{str(key)[:60]}: unknown key (known: {', '.join(sorted(known))})"
    if whole and "auth_url" in known and not auth.get("auth_url"):
        yield ".auth.auth_url: missing"


def _known_options(auth_type: object) -> frozenset[str] | None:
    from keystoneauth1.exceptions import NoMatchingPlugin  # noqa: PLC0415 - loaded by now
    from keystoneauth1.loading import get_plugin_loader  # noqa: PLC0415

    try:
        options = get_plugin_loader(str(auth_type)).get_options()
    except NoMatchingPlugin:
        return None
    return frozenset(
        name.replace("-", "_")
        for option in options
        for name in (option.dest, option.name, *(o.name for o in option.deprecated))
    )


class _InvalidFile(Exception):
    """A file cannot be used; the message says why."""


def _read(path: str) -> Mapping[str, Any]:
    import yaml  # type: ignore[import-untyped] # noqa: PLC0415 - openstacksdk's

    try:
        with Path(path).open(encoding="utf-8") as file:  # a stream, so that errors quote nothing
            document = yaml.safe_load(file)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        at = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise _InvalidFile(f"is no YAML{at}") from None
    except (yaml.YAMLError, ValueError):
        raise _InvalidFile("is no YAML") from None
    except OSError as error:
        raise _InvalidFile(f"cannot be read: {error.strerror}") from None
    if not isinstance(document, dict):
        raise _InvalidFile("expected a mapping with `clouds:`")
    return document


def _is_url(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(web_url(value))
    except ValueError:
        return False
