"""The OpenStack client libraries, as far as they are needed here. They are loaded when they are first used."""

import random
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from lading.ports.failures import CatalogUnavailable

if TYPE_CHECKING:
    from keystoneauth1.adapter import Adapter
    from keystoneauth1.session import Session
    from requests import Response
    from tenacity import RetryCallState

__all__ = ["connect_cloud", "get_patiently", "tls_context", "vendor_errors"]

_RETRIED: Final = frozenset({408, 429, 500, 502, 503, 504})
_TRIES: Final = 5
_LONGEST_WAIT: Final = 60.0
"""Seconds."""


def connect_cloud(cloud: str | None, service: str = "image", *, extra: str = "glance") -> "Adapter":
    """A client of the cloud's service of that type: of the cloud of that name in clouds.yaml, or as `OS_*` says.

    Raises CatalogUnavailable; `extra` is lading's that brings what is needed.
    """
    try:
        from keystoneauth1.adapter import Adapter  # noqa: PLC0415
        from openstack.config import OpenStackConfig  # noqa: PLC0415
        from openstack.exceptions import ConfigException  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise CatalogUnavailable(f"{error.name} is not installed: pip install 'lading[{extra}]'") from error
    try:
        with vendor_errors("the cloud's settings don't do"):
            region = OpenStackConfig(app_name="lading").get_one(cloud=cloud)
            return Adapter(
                region.get_session(),
                service_type=service,
                interface=region.get_interface(service),
                region_name=region.get_region_name(service),
                endpoint_override=region.get_endpoint(service),
            )
    except ConfigException as error:
        raise CatalogUnavailable(f"the cloud's settings don't do: {_single_line(error)}") from error


def tls_context(session: "Session") -> ssl.SSLContext | None:
    """How the session verifies servers, for connections of our own; None where that is the system's way."""
    if session.verify is True and not session.cert:
        return None
    context = ssl.create_default_context(cafile=session.verify if isinstance(session.verify, str) else None)
    if session.verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if session.cert:
        context.load_cert_chain(*([session.cert] if isinstance(session.cert, str) else session.cert))
    return context


def get_patiently(client: "Adapter", url: str, *, headers: Mapping[str, str], authenticated: bool) -> "Response":
    """What the URL answers, asked again while that may help. Raises CatalogUnavailable when there is no answer."""
    from keystoneauth1.exceptions import ConnectFailure  # noqa: PLC0415 - loaded with the client
    from tenacity import Retrying, retry_if_exception_type, retry_if_result, stop_after_attempt  # noqa: PLC0415

    retrying = Retrying(
        retry=retry_if_exception_type(ConnectFailure) | retry_if_result(lambda answer: answer.status_code in _RETRIED),
        stop=stop_after_attempt(_TRIES),
        wait=_wait,
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
    )
    with vendor_errors("Glance can't be asked"):
        answer: Response = retrying(
            client.get, url, headers=dict(headers), authenticated=authenticated, raise_exc=False
        )
    return answer


def _wait(state: "RetryCallState") -> float:
    """Seconds: as long as the server asks, or a random time that grows."""
    outcome = state.outcome
    if outcome is not None and not outcome.failed:
        asked = outcome.result().headers.get("Retry-After", "")
        if asked.isdecimal():
            return min(float(asked), _LONGEST_WAIT)
    return random.uniform(0, min(0.5 * 2**state.attempt_number, _LONGEST_WAIT))  # noqa: S311 - full jitter, no secret


@contextmanager
def vendor_errors(what: str) -> Iterator[None]:
    """keystoneauth's exceptions, as what they mean here: the one table of this adapter."""
    from keystoneauth1.exceptions import (  # noqa: PLC0415 - loaded with the client
        ClientException,
        ConnectFailure,
        Unauthorized,
    )

    try:
        yield
    except Unauthorized as error:
        raise CatalogUnavailable(f"{what}: the cloud doesn't take the credentials") from error
    except ConnectFailure as error:
        raise CatalogUnavailable(f"{what}: there is no connection ({_single_line(error)})") from error
    except ClientException as error:
        raise CatalogUnavailable(f"{what}: {_single_line(error)}") from error


def _single_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
