"""Images as they are published, in a real registry: what the catalog says of them, and what lands."""

import hashlib
import io
import lzma
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from tests.images import qcow2
from tests.integration.oci.conftest import OciHost
from tests.integration.services.registry import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    EMPTY,
    OCI_MANIFEST,
    PASSWORD,
    USER,
    Registry,
)
from tests.packages import needs

from lading import ANONYMOUS, Digest, Dispatcher, FetchRequest, Image, ImageNotFound
from lading.adapters.catalogs.oci import OciCatalog
from lading.adapters.catalogs.oci_settings import OciCatalogSettings
from lading.adapters.codec.sizes import size_text
from lading.adapters.destinations.file.destination import FileDestination
from lading.adapters.handlers.oci import OciHandler, OciHandlerSettings
from lading.adapters.memory.associations import MemoryAssociations
from lading.adapters.memory.verified_files import MemoryVerifiedFiles
from lading.adapters.oci.manifest import host_architecture

DATA = os.urandom((1 << 20) + 512)
TAR = "application/vnd.docker.image.rootfs.diff.tar.gzip"
CONFIG = "application/vnd.docker.container.image.v1+json"


def container_disk(*names: str) -> bytes:
    """A layer as KubeVirt's containerDisk has it: the disk below `disk/`, uid 107."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        folder = tarfile.TarInfo("disk")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o555
        archive.addfile(folder)
        for name in names:
            entry = tarfile.TarInfo(f"disk/{name}")
            entry.size, entry.uid, entry.gid, entry.mode = len(DATA), 107, 107, 0o444
            archive.addfile(entry, io.BytesIO(DATA))
    return packed.getvalue()


def manifest_of(image: Image) -> str:
    """The digest of the manifest, in the image's id."""
    return image.id.rpartition("@")[2]


def test_an_artifact_of_one_blob_lands_verified(registry: Registry, repository: str, oci_host: OciHost) -> None:
    pushed = registry.push_artifact(repository, DATA, "1.2", title="noble.raw")
    reference = f"oci://{registry.host}/{repository}:1.2"
    image = oci_host.find(reference).unwrap()
    assert image.id == f"oci://{registry.host}/{repository}@{pushed.digest}"
    assert (image.name, image.size, image.disk_format) == (f"oci://{registry.host}/{repository}:1.2", len(DATA), "raw")
    assert image.digest == Digest("sha256", hashlib.sha256(DATA).hexdigest())
    assert [str(each) for each in image.locations] == [f"oci://{registry.host}/{repository}@{image.digest}"]
    landing = oci_host.fetch(reference)
    assert (landing.verified, landing.method, oci_host.landed) == (True, "oci", DATA)


def test_an_image_is_found_by_its_manifests_digest(registry: Registry, repository: str, oci_host: OciHost) -> None:
    pushed = registry.push_artifact(repository, DATA)
    image = oci_host.find(f"oci://{registry.host}/{repository}@{pushed.digest}").unwrap()
    assert image.id == image.name == f"oci://{registry.host}/{repository}@{pushed.digest}"


def test_the_disk_is_taken_out_of_a_container_disk(registry: Registry, repository: str, oci_host: OciHost) -> None:
    layer = registry.push_blob(repository, container_disk("noble.raw"), TAR)
    config = registry.push_blob(repository, b'{"architecture": "amd64", "os": "linux"}', CONFIG)
    document = {"schemaVersion": 2, "config": config.descriptor(), "layers": [layer.descriptor()]}
    registry.push_manifest(repository, {**document, "mediaType": DOCKER_MANIFEST}, "v2", DOCKER_MANIFEST)
    landing = oci_host.fetch(f"oci://{registry.host}/{repository}:v2")
    assert (landing.verified, oci_host.landed) == (True, DATA)


def test_several_files_in_a_container_disk_are_listed(registry: Registry, repository: str, oci_host: OciHost) -> None:
    registry.push_artifact(repository, container_disk("one.raw", "two.raw"), "1")
    refused = oci_host.fetch_image(oci_host.find(f"oci://{registry.host}/{repository}:1").unwrap()).failure()
    assert "disk/one.raw, disk/two.raw; choose one with --member" in str(refused)


@pytest.mark.parametrize("architecture", [host_architecture(), os.uname().machine])
def test_an_index_gives_the_disk_of_this_host_in_qemus_form(
    registry: Registry, repository: str, oci_host: OciHost, architecture: str
) -> None:
    """As podman's machine-os is published: disk types as annotations, architectures as uname or Go names them."""
    disk = qcow2()
    wanted = registry.push_artifact(repository, lzma.compress(disk), title="machine.qcow2.xz")
    other = registry.push_artifact(repository, DATA, title="machine.raw")
    entries = [
        other.descriptor(annotations={"disktype": "applehv"}, platform={"os": "linux", "architecture": architecture}),
        other.descriptor(annotations={"disktype": "qemu"}, platform={"os": "linux", "architecture": "s390x"}),
        other.descriptor(platform={"os": "unknown", "architecture": "unknown"}),
        wanted.descriptor(annotations={"disktype": "qemu"}, platform={"os": "linux", "architecture": architecture}),
    ]
    registry.push_index(repository, entries, "5.6")
    reference = f"oci://{registry.host}/{repository}:5.6"
    image = oci_host.find(reference).unwrap()
    assert (manifest_of(image), image.disk_format) == (wanted.digest, "qcow2")
    oci_host.fetch(reference)
    assert oci_host.landed == disk


def test_a_docker_list_gives_the_manifest_of_this_host(registry: Registry, repository: str, oci_host: OciHost) -> None:
    layer, config = (
        registry.push_blob(repository, container_disk("a.raw"), TAR),
        registry.push_blob(repository, b"{}", CONFIG),
    )
    document = {
        "schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": config.descriptor(), "layers": [layer.descriptor()],
    }  # fmt: skip
    mine = registry.push_manifest(repository, document, media_type=DOCKER_MANIFEST)
    entries = [mine.descriptor(platform={"os": "linux", "architecture": host_architecture()})]
    listed = {"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": entries}
    registry.push_manifest(repository, listed, "1", DOCKER_LIST)
    assert manifest_of(oci_host.find(f"oci://{registry.host}/{repository}:1").unwrap()) == mine.digest


def test_another_architecture_is_refused_with_those_that_there_are(
    registry: Registry, repository: str, oci_host: OciHost
) -> None:
    pushed = registry.push_artifact(repository, DATA)
    registry.push_index(repository, [pushed.descriptor(platform={"os": "linux", "architecture": "s390x"})], "1")
    failure = oci_host.failure(f"oci://{registry.host}/{repository}:1")
    assert f"it has nothing for linux on {host_architecture()}" in failure
    assert "s390x" in failure


def test_several_layers_are_refused_and_listed(registry: Registry, repository: str, oci_host: OciHost) -> None:
    layers = [registry.push_blob(repository, each) for each in (DATA, DATA[:-512])]
    config = registry.push_blob(repository, b"{}", EMPTY)
    titled = [
        each.descriptor(annotations={"org.opencontainers.image.title": f"disk-{number}.raw"})
        for number, each in enumerate(layers)
    ]
    registry.push_manifest(repository, {"schemaVersion": 2, "config": config.descriptor(), "layers": titled}, "1")
    failure = oci_host.failure(f"oci://{registry.host}/{repository}:1")
    assert "it has 2 layers" in failure
    assert all(f"disk-{number}.raw, {size_text(each.size)}" in failure for number, each in enumerate(layers))


def test_a_checksum_beside_the_disk_is_no_disk(registry: Registry, repository: str, oci_host: OciHost) -> None:
    config = registry.push_blob(repository, b"{}", EMPTY)
    layers = [
        registry.push_blob(repository, data).descriptor(annotations={"org.opencontainers.image.title": title})
        for data, title in ((b"sums", "SHA256SUMS"), (DATA, "noble.raw"))
    ]
    registry.push_manifest(repository, {"schemaVersion": 2, "config": config.descriptor(), "layers": layers}, "1")
    assert oci_host.find(f"oci://{registry.host}/{repository}:1").unwrap().size == len(DATA)


def test_a_virtual_machine_of_tart_is_refused(registry: Registry, repository: str, oci_host: OciHost) -> None:
    layer = registry.push_blob(repository, DATA, "application/vnd.cirruslabs.tart.disk.v2")
    config = registry.push_blob(repository, b"{}", EMPTY)
    document = {"schemaVersion": 2, "config": config.descriptor(), "layers": [layer.descriptor()]}
    registry.push_manifest(repository, document, "1")
    assert "virtual machine of tart" in oci_host.failure(f"oci://{registry.host}/{repository}:1")


@pytest.mark.parametrize("name", ["{repository}:absent", "nothing/here", "{repository}@sha256:" + "0" * 64])
def test_what_is_not_there_is_not_found(registry: Registry, repository: str, oci_host: OciHost, name: str) -> None:
    registry.push_artifact(repository, DATA, "1")
    reference = f"oci://{registry.host}/{name.format(repository=repository)}"
    failure = oci_host.find(reference).failure()
    assert isinstance(failure, ImageNotFound)
    assert failure.reference == reference


def test_a_configured_registry_is_not_typed_again(registry: Registry, repository: str, oci_host: OciHost) -> None:
    """Each name leads back to the image."""
    pushed = registry.push_artifact(repository, DATA, "1.2")
    for prefix, name in {
        registry.host: f"{repository}:1.2",
        f"{registry.host}/vms": f"{repository.removeprefix('vms/')}:1.2",
        f"{registry.host}/{repository}/": ":1.2",
    }.items():
        oci_host.catalog_settings = OciCatalogSettings(prefix)
        image = oci_host.find(name).unwrap()
        assert (manifest_of(image), image.name) == (pushed.digest, name)
        assert oci_host.find(image.id).unwrap().digest == image.digest
    assert manifest_of(oci_host.find(f"@{pushed.digest}").unwrap()) == pushed.digest


@pytest.mark.parametrize("name", ["noble", "", ":", "noble:", "http://host/noble", "../noble", "x" * 5000, "\0"])
def test_what_is_no_reference_is_not_found(oci_host: OciHost, name: str) -> None:
    failure = oci_host.find(name).failure()
    assert isinstance(failure, ImageNotFound)
    assert failure.reference == name


def test_a_recorded_image_has_its_location_again(registry: Registry, repository: str, oci_host: OciHost) -> None:
    """An association keeps an image without its locations."""
    registry.push_artifact(repository, DATA, "1")
    found = oci_host.find(f"oci://{registry.host}/{repository}:1").unwrap()
    (again,) = OciCatalog(oci_host.registries()).locations(found.redacted(), ANONYMOUS).unwrap()
    assert (again, again.trusted) == (found.locations[0], True)


def test_a_media_type_in_the_manifest_is_not_needed(registry: Registry, repository: str, oci_host: OciHost) -> None:
    """skopeo leaves it out: the Content-Type tells it."""
    layer, config = registry.push_blob(repository, DATA), registry.push_blob(repository, b"{}", EMPTY)
    document = {"schemaVersion": 2, "config": config.descriptor(), "layers": [layer.descriptor()]}
    registry.push_manifest(repository, document, "1", OCI_MANIFEST)
    assert oci_host.find(f"oci://{registry.host}/{repository}:1").unwrap().disk_format is None


def test_a_blob_that_the_registry_lost_comes_from_a_mirror(
    registry: Registry, private_registry: Registry, repository: str, oci_host: OciHost, tmp_path: Path
) -> None:
    """Its digest is its name, so it may come from anywhere."""
    own, mirrored = f"lost/{repository}", f"kept/{repository}"
    registry.push_artifact(own, DATA, "1")
    private_registry.push_artifact(mirrored, DATA)
    oci_host.catalog_settings = OciCatalogSettings(f"{registry.host}/lost", mirrors=(f"{private_registry.host}/kept",))
    oci_host.settings = OciHandlerSettings(passwords={private_registry.host: f"{USER}:{PASSWORD}"})
    image = oci_host.find(f"{repository}:1").unwrap()
    registry.delete_blob(own, str(image.digest))
    assert [each.url for each in image.locations] == [
        f"oci://{registry.host}/{own}@{image.digest}",
        f"oci://{private_registry.host}/{mirrored}@{image.digest}",
    ]
    catalog = OciCatalog(oci_host.registries(), oci_host.catalog_settings)
    files = FileDestination(MemoryVerifiedFiles())
    dispatcher = Dispatcher(
        handlers=[OciHandler(oci_host.registries(), files)], catalog=catalog, associations=MemoryAssociations()
    )
    result = dispatcher.fetch(FetchRequest(f"{repository}:1", str(tmp_path / "vms" / "vm"))).unwrap()
    assert result.location == image.locations[1]
    assert oci_host.landed == DATA


@pytest.mark.parametrize("form", ["oci", "v2s2"])
def test_a_container_disk_of_the_usual_tools_lands(
    registry: Registry, repository: str, oci_host: OciHost, tmp_path: Path, form: str
) -> None:
    """Built by umoci and pushed by skopeo. Their manifests have no mediaType."""
    needs("umoci", "skopeo")
    disk, layout = tmp_path / "files" / "noble.raw", f"{tmp_path}/layout"
    disk.parent.mkdir()
    disk.write_bytes(DATA)
    for command in (
        ["umoci", "init", "--layout", layout],
        ["umoci", "new", "--image", f"{layout}:v"],
        ["umoci", "insert", "--rootless", "--image", f"{layout}:v", str(disk.parent), "/disk"],
        ["skopeo", "copy", "--insecure-policy", "--dest-tls-verify=false", "-f", form, f"oci:{layout}:v",
         f"docker://{registry.host}/{repository}:v"],
    ):  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
    oci_host.fetch(f"oci://{registry.host}/{repository}:v")
    assert oci_host.landed == DATA
