"""The commands, with a registry."""

import os
from pathlib import Path

from tests.integration.conftest import Lading, record
from tests.integration.services.registry import PASSWORD, USER, Registry

DATA = os.urandom(1 << 20)


def test_a_reference_is_fetched_without_any_setting(
    lading: Lading, host: Path, registry: Registry, repository: str
) -> None:
    pushed = registry.push_artifact(repository, DATA, "1.2")
    reference = f"oci://{registry.host}/{repository}:1.2"
    explained = lading("explain", reference, "vms/1")
    assert explained.returncode == 0, explained
    assert f"oci oci://{registry.host}/{repository}@sha256:" in explained.stdout
    assert lading("fetch", reference, "vms/1").returncode == 0
    assert (host / "vms" / "1").read_bytes() == DATA
    shown = record(lading("show", "vms/1", "--json"))
    assert (shown["handler"], shown["image"]) == ("oci", f"oci://{registry.host}/{repository}@{pushed.digest}")
    again = lading("fetch", reference, "vms/1")
    assert (again.returncode, "is there already" in again.stdout) == (0, True)


def test_a_tag_that_is_not_there_is_no_image(lading: Lading, registry: Registry, repository: str) -> None:
    refused = lading("fetch", f"oci://{registry.host}/{repository}:absent", "vms/1")
    assert (refused.returncode, f"in the registry {registry.host}" in refused.stderr) == (3, True)


def test_a_remote_brings_its_own_password(
    lading: Lading, host: Path, private_registry: Registry, repository: str
) -> None:
    private_registry.push_artifact(repository, DATA, "1")
    (host / "lading.toml").write_text(
        f'[catalogs.lab]\nkind = "oci"\nregistry = "{private_registry.host}/vms"\n'
        f'username = "{USER}"\npassword = "{PASSWORD}"\n'
    )
    reference = f"lab:{repository.removeprefix('vms/')}:1"
    done = [lading("fetch", reference, "vms/1"), lading("fetch", reference, "vms/1", "--force"), lading("ls", "--json")]
    assert [each.returncode for each in done] == [0, 0, 0], done
    assert (host / "vms" / "1").read_bytes() == DATA
    assert PASSWORD not in str(done)
    written = [path for path in host.rglob("*") if path.is_file() and path.name != "lading.toml"]
    assert not [path for path in written if PASSWORD.encode() in path.read_bytes()]


def test_the_tags_of_a_registry_are_listed(lading: Lading, host: Path, registry: Registry, repository: str) -> None:
    for name, tag in ((repository, "1.2"), (repository, "1.10"), (f"{repository}/arm", "1")):
        registry.push_artifact(name, DATA, tag)
    (host / "lading.toml").write_text(
        f'[catalogs.lab]\nkind = "oci"\nregistry = "{registry.host}/vms"\n'
        f'[catalogs.one]\nkind = "oci"\nregistry = "{registry.host}/{repository}"\n'
    )
    name = repository.removeprefix("vms/")
    rows = [line.split("\t") for line in lading("images", "lab:", "--filter", name).stdout.splitlines()]
    assert [each[1] for each in rows] == [f"lab:{name}/arm:1", f"lab:{name}:1.10", f"lab:{name}:1.2"]
    listed = [line.split("\t")[1] for line in lading("images", "one:").stdout.splitlines()]
    assert listed == ["one::1.10", "one::1.2", "one:arm:1"]
    shown = [lading("catalog", "show", each).returncode for each in (rows[1][0], rows[2][1], *listed)]
    assert shown == [0] * 5


def test_a_tag_that_moved_is_outdated_and_a_digest_never_is(
    lading: Lading, host: Path, registry: Registry, repository: str
) -> None:
    pushed = registry.push_artifact(repository, DATA, "latest")
    (host / "lading.toml").write_text(f'[catalogs.lab]\nkind = "oci"\nregistry = "{registry.host}/vms"\n')
    whole, own = f"oci://{registry.host}/{repository}", f"lab:{repository.removeprefix('vms/')}"
    references = [f"{whole}:latest", f"{own}:latest", f"{whole}@{pushed.digest}", f"{own}@{pushed.digest}"]
    for number, reference in enumerate(references):
        assert lading("fetch", reference, f"vms/{number}").returncode == 0
    assert (lading("outdated").returncode, lading("outdated").stderr) == (0, "")
    registry.push_artifact(repository, DATA[::-1], "latest")
    told = lading("outdated")
    rows = [line.split("\t")[:2] for line in told.stdout.splitlines()]
    assert (told.returncode, told.stderr) == (9, "")
    assert rows == [[str(host / "vms" / str(number)), references[number]] for number in (0, 1)]
    assert lading("fetch", references[0], "vms/").returncode == 0
    assert f"{repository.rpartition('/')[2]}-latest" in os.listdir(host / "vms")


def test_the_default_catalog_may_be_a_registry(
    lading: Lading, host: Path, private_registry: Registry, repository: str
) -> None:
    private_registry.push_artifact(repository, DATA, "1")
    variables = {
        "LADING_CATALOG__KIND": "oci",
        "LADING_CATALOG__REGISTRY": private_registry.host,
        "LADING_CATALOG__USERNAME": USER,
        "LADING_CATALOG__PASSWORD": PASSWORD,
    }
    done = lading("fetch", f"{repository}:1", "vms/1", **variables)
    assert (done.returncode, (host / "vms" / "1").read_bytes()) == (0, DATA), done
