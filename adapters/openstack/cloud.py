"""Clients of OpenStack clouds, and their errors. The client libraries are loaded when they are first used."""

import logging
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from lading.adapters.host.late_package import init_late
from lading.adapters.stream.errors import error_text
from lading.adapters.web.network import NetworkPolicy
from lading.adapters.web.retries import MOST_TRIES, TRANSIENT_STATUSES, backoff, retry_after_seconds
from lading.adapters.web.wait_log import LOGGER as WAITING
from lading.ports.failures import CatalogUnavailable, LadingError, SettingsError
from lading.ports.redaction import redacted

if TYPE_CHECKING:
    from keystoneauth1.adapter import Adapter
    from requests import Response

    from lading.adapters.openstack.transport import Limits

__all__ = ["account_of", "connect_cloud", "get_with_retries", "vendor_errors"]

_log = logging.getLogger(__name__)
_FIRST_WAIT: Final = 1.0
"""Seconds; see `backoff`."""
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
    """A client for the cloud's service of that type: for a cloud in clouds.yaml, or without a name for that of `OS_*`.

    The client follows the network policy (None: the environment's), except for certificates that the cloud's own
    settings name. It waits no longer than the limits, or than the cloud's `api_timeout`. Raises SettingsError for a
    mistake in clouds.yaml or in `OS_*`, and CatalogUnavailable where a package is missing; `extra` is the extra of
    lading's that brings the client libraries.
    """
    try:
        init_late("openstack")  # it loads the clients of all services, and only its configuration is needed
        from openstack.config import OpenStackConfig  # noqa: PLC0415

        from lading.adapters.openstack.clouds import account_of_cloud, check_cloud, cloud_network, diagnose  # noqa: PLC0415
        from lading.adapters.openstack.transport import DEFAULT_LIMITS, CloudAdapter, follow_policy  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise CatalogUnavailable(f"{error.name} is not installed", advice=f"pip install 'lading[{extra}]'") from error
    try:
        config = OpenStackConfig(app_name="lading")
        region = config.get_one(cloud=cloud)
        check_cloud(config, region)
        network = cloud_network(config, region, network or NetworkPolicy.of_environment())
        session = region.get_session()
        follow_policy(session, network, limits or DEFAULT_LIMITS)
        client = CloudAdapter(
            session,
            service_type=service,
            interface=region.get_interface(service),
            region_name=region.get_region_name(service),
            endpoint_override=region.get_endpoint(service),
        )
        client.account = account_of_cloud(config, region)
    except SettingsError:
        raise
    except Exception as error:
        # For mistakes in its files openstacksdk raises any exception, whose words may repeat secrets.
        _log.debug("the cloud's settings are refused", exc_info=True)
        unknown = f"the cloud's settings cannot be used: openstacksdk raised {type(error).__name__}"
        raise diagnose(cloud) or SettingsError(unknown, advice="-vv logs more") from error
    return client


def get_with_retries(
    client: "Adapter", url: str, *, headers: Mapping[str, str], authenticated: bool, service: str = "Glance"
) -> "Response":
    """The response to a GET, retried while that may help. Raises CatalogUnavailable where there is none.

    A redirect is not followed: keystoneauth would send the token wherever it leads.
    """
    from keystoneauth1.exceptions import ConnectFailure  # noqa: PLC0415 - loaded with the client

    server = f"{service} at {'://'.join(urlsplit(url)[:2])}"
    failures = 0
    with vendor_errors(f"{service} cannot be asked", client):
        while True:
            failures += 1
            retry_after = None
            try:
                response = client.get(
                    url, headers=dict(headers), authenticated=authenticated, raise_exc=False, redirect=False
                )
            except ConnectFailure as error:
                # One that reached the time limit is no ConnectFailure: the server had its time.
                if failures == MOST_TRIES or _REFUSED_BY_PROXY.search(str(error)):
                    raise
            else:
                if failures == MOST_TRIES or response.status_code not in TRANSIENT_STATUSES:
                    return response
                retry_after = retry_after_seconds(response.headers.get("Retry-After", ""))
            WAITING.info("waiting for %s, try %d", server, failures + 1)
            time.sleep(backoff(failures, first_wait=_FIRST_WAIT, retry_after=retry_after))


def account_of(client: "Adapter") -> str:
    """The client's account for messages; empty where it is not known."""
    from lading.adapters.openstack.transport import CloudAdapter  # noqa: PLC0415 - loads keystoneauth

    return client.account if isinstance(client, CloudAdapter) else ""


@contextmanager
def vendor_errors(what: str, client: "Adapter") -> Iterator[None]:
    """Raises CatalogUnavailable for the exceptions that the client raises: the one table of this adapter.

    `what` begins the message: `Glance cannot be found`.
    """
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
        reason = f"{what}: the cloud does not accept the credentials"
        raise CatalogUnavailable(reason, place=account_of(client)) from error
    except ConnectTimeout as error:
        limit = "api_timeout in clouds.yaml, or OS_API_TIMEOUT, is how many seconds that may take"
        raise CatalogUnavailable(f"{what}: {_single_line(error)}", advice=limit) from error
    except Disconnected as error:
        reason = f"{what}: there is no connection{_server(error)}: {_root(error)}"
        raise CatalogUnavailable(reason, place=account_of(client)) from error
    except HttpError as error:
        # Without the server's words, which may repeat what it was sent.
        raise CatalogUnavailable(f"{what}: HTTP {error.http_status}") from error
    except ClientException as error:
        raise CatalogUnavailable(f"{what}: {_single_line(error)}") from error
    except Exception as error:
        # keystoneauth's own are ClientExceptions. Whatever else it raises is about what it was given.
        _log.debug("keystoneauth raised", exc_info=True)
        reason = f"{what}: keystoneauth raised {type(error).__name__}; are the cloud's settings right?"
        raise CatalogUnavailable(reason, place=account_of(client), advice="-vv logs more") from error


def _server(error: BaseException) -> str:
    """The server of the failed request, as `" to https://host"`; empty where requests does not tell it."""
    url = getattr(getattr(error.__context__, "request", None), "url", None)
    if not isinstance(url, str):
        return ""
    parts = urlsplit(url)
    return f" to {parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _root(error: BaseException) -> str:
    """The system's own words, from beneath the libraries' exceptions."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return _single_line(error)


def _single_line(error: BaseException) -> str:
    return redacted(" ".join(error_text(error).split()))[:300]
