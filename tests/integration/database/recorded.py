"""What is recorded in the databases of these tests, also by earlier versions."""

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import chain

import pytest

from lading.adapters.sqlite import schema
from lading.ports.association import Association
from lading.ports.failures import StoreUnavailable
from lading.ports.image import Image
from lading.ports.location import Location

NOBLE = Association(
    "/vms/1/disk", "file", Image("155d900f"), Location("file:///noble.img"), datetime(2026, 1, 1, tzinfo=UTC)
)


def refusal(use: Callable[[], object]) -> str:
    with pytest.raises(StoreUnavailable) as refused:
        use()
    return str(refused.value)


VERSION_2 = (
    *chain.from_iterable(schema.MIGRATIONS[:2]),
    "PRAGMA user_version = 2",
    """
    INSERT INTO associations VALUES ('/vms/1/disk', 'file', '155d900f', '{"landed_at":"2026-01-01T00:00:00+00:00",
    "method":"copy","size":3,"digest":["sha256","abababababababababababababababababababababababababababababababab"],
    "verified":true,"fingerprint":[2049,131,3,1767225600000000000,1767225600000000001],"inspected_by":null,
    "identity":null,"location":{"url":"file:///noble.img","metadata":{}},"image":{"id":"155d900f","status":"active"},
    "crc32":"fa78b16d"}')
    """,
    """
    INSERT INTO intents VALUES ('/vms/2/disk', NULL, '{"verb":"fetch","handler":"http",
    "began_at":"2026-01-01T00:00:00+00:00","force":false,"location":null,
    "image":{"id":"155d900f","status":"active"}}', '{"part":{"image":"155d900f"}}')
    """,
    """
    INSERT INTO verifications VALUES (1, '2049', '131', 'sha256', '3', '1767225600000000000', '1767225600000000001',
    'abababababababababababababababababababababababababababababababab')
    """,
)
"""What the version before births were recorded has written."""
