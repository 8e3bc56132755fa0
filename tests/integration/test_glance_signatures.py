"""Signed images of a real Glance."""

import os
from pathlib import Path

import pytest
from returns.result import Failure
from tests.certificates import Authority
from tests.integration.services.glance import Glance
from tests.integration.test_glance import catalog_of

from lading import Dispatcher, FetchRequest, FetchResult
from lading.adapters.destinations.file.destination import FileDestination, Rules
from lading.adapters.handlers.download import DownloadHandler
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.signatures.certificates import CertificateFolder, Certificates

# keystoneauth's connection pools are closed when they are collected, and not before.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
DATA = os.urandom(2_000_003)


def test_a_signed_image_is_verified_and_a_changed_or_unsigned_one_refused(glance_open: Glance, tmp_path: Path) -> None:
    authority = Authority.make()
    signing = authority.issue("155d900f-4e14-4e4c-a73d-069cbf4541e6")
    signing.write(tmp_path / "certificates")
    trusted = authority.own.write(tmp_path)
    rules = Rules(
        require_signature=True, certificates=Certificates(CertificateFolder(tmp_path / "certificates"), [trusted])
    )
    catalog = catalog_of(glance_open)
    files = FileDestination(MemoryVerifiedFiles(), rules)
    dispatcher = Dispatcher([DownloadHandler(catalog, files)], catalog, MemoryAssociations())
    ids = {}
    for name, properties in (
        ("signed", signing.properties(DATA)),
        ("changed", signing.properties(DATA[::-1])),
        ("unsigned", {"signed_by": "us", "proof": '{"digest_from": "us"}'}),
    ):
        # Glance itself would ask Barbican, were they there before the data.
        ids[name] = glance_open.create(DATA)["id"]
        patch = [{"op": "add", "path": f"/{key}", "value": value} for key, value in properties.items()]
        headers = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
        glance_open.ask("PATCH", f"/v2/images/{ids[name]}", patch, headers=headers).expect(200)
    fetched = dispatcher.fetch(FetchRequest(ids["signed"], str(tmp_path / "signed"))).unwrap()
    assert isinstance(fetched, FetchResult)
    assert fetched.landing.signed_by is not None
    assert fetched.landing.signed_by.key == f"{signing.id} (CN={signing.id})"
    assert (tmp_path / "signed").read_bytes() == DATA
    for name, told in (("changed", "its bytes are not those that"), ("unsigned", "no signature of it can be verified")):
        outcome = dispatcher.fetch(FetchRequest(ids[name], str(tmp_path / name)))
        assert isinstance(outcome, Failure)
        assert told in str(outcome.failure())
        assert not (tmp_path / name).exists()
