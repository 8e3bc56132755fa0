"""Certificates in a cloud's Barbican.

https://docs.openstack.org/barbican/latest/api/reference/secrets.html
"""

import re
import threading
from typing import TYPE_CHECKING

from lading.adapters.codec.documents import read_json
from lading.adapters.openstack.cloud import connect_cloud, get_with_retries, vendor_errors
from lading.adapters.stream.errors import Refused
from lading.adapters.web.network import NetworkPolicy
from lading.domain.refusals import Unavailable, Unconfigured
from lading.ports.failures import CatalogUnavailable, SettingsError

if TYPE_CHECKING:
    from keystoneauth1.adapter import Adapter
    from requests import Response

__all__ = ["Barbican"]

_ABSENT = frozenset({400, 404, 406})
"""Statuses of the answer for what Barbican does not have, or cannot have."""
_OK = 200


class Barbican:
    """The Barbican of a cloud in clouds.yaml: a CertificateSource. The ids are those of secrets."""

    def __init__(self, cloud: str, network: NetworkPolicy | None = None) -> None:
        self._cloud = cloud
        self._network = network
        self._lock = threading.Lock()
        self._client: Adapter | None = None

    def __str__(self) -> str:
        return f"the Barbican of the cloud {self._cloud}"

    def read(self, name: str) -> bytes | None:
        try:
            described = self._get(name, "application/json")
            if described is None:
                return None
            kind = _content_type(described)
            payload = self._get(f"{name}/payload", kind) if kind else None
        except CatalogUnavailable as failure:
            raise Refused(Unavailable(f"{self} cannot be read: {failure}")) from failure
        except SettingsError as error:
            raise Refused(Unconfigured(f"{self}: {error}")) from error
        return None if payload is None else bytes(payload.content)

    def _get(self, path: str, accept: str) -> "Response | None":
        """The answer; None where there is no such secret. Raises CatalogUnavailable and SettingsError."""
        with self._lock:
            if self._client is None:
                self._client = connect_cloud(self._cloud, "key-manager", network=self._network)
            client = self._client
        with vendor_errors("Barbican cannot be found", client):
            endpoint: str | None = client.get_endpoint()
        if not endpoint:
            raise CatalogUnavailable("the cloud's service catalog has no key-manager endpoint")
        url = f"{re.sub(r'/v1/?$', '', endpoint.rstrip('/'))}/v1/secrets/{path}"
        response = get_with_retries(client, url, headers={"Accept": accept}, authenticated=True, service="Barbican")
        if response.status_code in _ABSENT:
            return None
        if response.status_code != _OK:
            raise CatalogUnavailable(f"Barbican answers with HTTP {response.status_code}")
        return response


def _content_type(described: "Response") -> str | None:
    """The type of the secret's payload, which has to be requested by that. Raises CatalogUnavailable."""
    try:
        document = read_json(described.content)
    except ValueError as error:
        raise CatalogUnavailable("Barbican answers with what is no JSON") from error
    types = document.get("content_types") if isinstance(document, dict) else None
    kind = types.get("default") if isinstance(types, dict) else None
    return kind if isinstance(kind, str) else None
