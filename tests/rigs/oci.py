"""The rig of the oci handler: a blob in a registry."""

import hashlib
import uuid

import pytest
from tests.integration.services.registry import Registry
from tests.rigs.rig import Folder

from lading import Location, Work
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.oci import OciHandler, OciHandlerSettings
from lading.adapters.web.network import DIRECT
from lading.sdk.contracts import DATA, IMAGE, HandlerRig

__all__ = ["oci_rig"]


@pytest.fixture
def oci_rig(folder: Folder, transfer: FileDestination, registry: Registry) -> HandlerRig:
    # A registry keeps one copy of a blob, and remembers for a while where one was.
    repository = f"contract/{uuid.uuid4().hex}"
    pushed = registry.push_blob(repository, DATA)
    assert pushed.digest == f"sha256:{hashlib.sha256(DATA).hexdigest()}"
    work = Work(folder.target("1"), IMAGE, Location(f"oci://{registry.host}/{repository}@{pushed.digest}"))
    settings = OciHandlerSettings(insecure=(registry.host,))
    handler = OciHandler(settings.registries(DIRECT, first_wait=0.01), transfer)
    return HandlerRig(handler, work, folder, lambda: registry.delete_blob(repository, pushed.digest))
