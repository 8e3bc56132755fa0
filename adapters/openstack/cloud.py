"""The OpenStack client libraries, as far as they are needed here. They are loaded when they are first used."""

import logging
import random
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from lading.adapters.web.network import NetworkPolicy
from lading.adapters.web.waiting import LOGGER as WAITING
from lading.ports.failures import CatalogUnavailable, LadingError, SettingsError
from lading.ports.redaction import redacted

if TYPE_CHECKING:
    from keystoneauth1.adapter import Adapter
    from requests import Response
    from tenacity import RetryCallState

    from lading.adapters.openstack.transport import Limits

__all__ = ["connect_cloud", "get_patiently", "vendor_errors"]

_log = logging.getLogger(__name__)
_RETRIED: Final = frozenset({408, 429, 500, 502, 503, 504})
_TRIES: Final = 5
_LONGEST_WAIT: Final = 60.0
"""Seconds."""
_REFUSED_BY_PROXY: Final = re.compile(r"Tunnel connection failed: 4\d\d")
"""http.client's words."""


def connect_cloud(
    cloud: str | None,
    service: str = "image",
    *,
    extra: str = "glance",
    network: NetworkPolicy | None = None,
    limits: "Limits | None" = None,
) -> "Adapter":
    """A client of the cloud's service of that type: of the cloud of that name in clouds.yaml, or as `OS_*` says.

    It follows the network policy (None: the environment's), but for what the cloud's own settings say of certificates,
    and waits no longer than the limits, or the cloud's `api_timeout`. Raises SettingsError for a mistake in clouds.yaml
    or in `OS_*`, and CatalogUnavailable where a package is missing; `extra` is lading's extra that brings it.
    """
    try:
        from keystoneauth1.adapter import Adapter  # noqa: PLC0415
        from openstack.config import OpenStackConfig  # noqa: PLC0415

        from lading.adapters.openstack.clouds import check_cloud, cloud_network, diagnose  # noqa: PLC0415
        from lading.adapters.openstack.transport import DEFAULT_LIMITS, follow_policy  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise CatalogUnavailable(f"{error.name} is not installed: pip install 'lading[{extra}]'") from error
    try:
        config = OpenStackConfig(app_name="lading")
        region = config.get_one(cloud=cloud)
        check_cloud(config, region)
        network = cloud_network(config, region, network or NetworkPolicy.of_environment())
        session = region.get_session()
        follow_policy(session, network, limits or DEFAULT_LIMITS)
        return Adapter(
            session,
            service_type=service,
            interface=region.get_interface(service),
            region_name=region.get_region_name(service),
            endpoint_override=region.get_endpoint(service),
        )
    except SettingsError:
        raise
    except Exception as error:
        # openstacksdk answers mistakes in its files with any exception, whose words may repeat secrets.
        _log.debug("the cloud's settings are refused", exc_info=True)
        fault = diagnose(cloud) or f"openstacksdk raised {type(error).__name__}; the debug log has more"
        raise SettingsError(f"the cloud's settings cannot be used: {fault}") from error


def get_patiently(client: "Adapter", url: str, *, headers: Mapping[str, str], authenticated: bool) -> "Response":
    """What the URL answers, asked again while that may help. Raises CatalogUnavailable when there is no answer.

    A redirect is the answer: keystoneauth would send the token wherever it leads.
    """
    from tenacity import Retrying, retry_if_exception, retry_if_result, stop_after_attempt  # noqa: PLC0415

    server = f"Glance at {'://'.join(urlsplit(url)[:2])}"
    retrying = Retrying(
        retry=retry_if_exception(_may_pass) | retry_if_result(lambda answer: answer.status_code in _RETRIED),
        stop=stop_after_attempt(_TRIES),
        wait=_wait,
        before_sleep=lambda state: WAITING.info("waiting for %s, try %d", server, state.attempt_number + 1),
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
    )
    with vendor_errors("Glance can't be asked"):
        answer: Response = retrying(
            client.get, url, headers=dict(headers), authenticated=authenticated, raise_exc=False, redirect=False
        )
    return answer


def _may_pass(error: BaseException) -> bool:
    """Whether the next connection may succeed. One that ends by a limit has been waited for long enough."""
    from keystoneauth1.exceptions import ConnectFailure  # noqa: PLC0415 - loaded with the client

    return isinstance(error, ConnectFailure) and not _REFUSED_BY_PROXY.search(str(error))


def _wait(state: "RetryCallState") -> float:
    """Seconds: a random time that grows, or longer where the server asks for it."""
    own = random.uniform(0, min(0.5 * 2**state.attempt_number, _LONGEST_WAIT))  # noqa: S311 - full jitter, no secret
    outcome = state.outcome
    if outcome is None or outcome.failed:
        return own
    asked = outcome.result().headers.get("Retry-After", "")
    return max(own, min(float(asked), _LONGEST_WAIT)) if asked.isdecimal() else own


@contextmanager
def vendor_errors(what: str) -> Iterator[None]:
    """keystoneauth's exceptions, as what they mean here: the one table of this adapter."""
    from keystoneauth1.exceptions import (  # noqa: PLC0415 - loaded with the client
        ClientException,
        ConnectTimeout,
        HttpError,
        Unauthorized,
    )
    from keystoneauth1.exceptions import ConnectionError as Disconnected  # noqa: PLC0415

    try:
        yield
    except LadingError as error:  # of the network policy
        raise CatalogUnavailable(f"{what}: {error}") from error
    except Unauthorized as error:
        raise CatalogUnavailable(f"{what}: the cloud doesn't take the credentials") from error
    except ConnectTimeout as error:
        limit = "api_timeout in clouds.yaml, or OS_API_TIMEOUT, is how many seconds that may take"
        raise CatalogUnavailable(f"{what}: {_single_line(error)}; {limit}") from error
    except Disconnected as error:
        raise CatalogUnavailable(f"{what}: there is no connection{_server(error)}: {_root(error)}") from error
    except HttpError as error:
        # Without the server's words, which may repeat what it was sent.
        raise CatalogUnavailable(f"{what}: HTTP {error.http_status}") from error
    except ClientException as error:
        raise CatalogUnavailable(f"{what}: {_single_line(error)}") from error
    except Exception as error:
        # keystoneauth's own are ClientExceptions. Whatever else it raises is about what it was given.
        _log.debug("keystoneauth raised", exc_info=True)
        told = f"keystoneauth raised {type(error).__name__}; the debug log has more"
        raise CatalogUnavailable(f"{what}: {told}; are the cloud's settings right?") from error


def _server(error: BaseException) -> str:
    """Which one it was, as far as requests tells."""
    url = getattr(getattr(error.__context__, "request", None), "url", None)
    if not isinstance(url, str):
        return ""
    parts = urlsplit(url)
    return f" to {parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _root(error: BaseException) -> str:
    """What the system says, beneath what the libraries make of it."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return (error.strerror if isinstance(error, OSError) else None) or _single_line(error)


def _single_line(error: BaseException) -> str:
    return redacted(" ".join(str(error).split()))[:300]
