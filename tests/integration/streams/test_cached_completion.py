"""The shell completes the images of a mirror as they are in the cache."""

from pathlib import Path

from tests.faulty_server import FaultyServer
from tests.integration.streams.conftest import MakeCatalog, serve
from tests.streams import ubuntu_tree
from tests.unit.cli.conftest import Run, run
from tests.unit.cli.test_completions import Offered, offered

__all__ = ["offered", "run"]


def test_images_of_a_mirror_are_offered_without_a_request(
    mirror: FaultyServer, make_catalog: MakeCatalog, offered: Offered, run: Run, tmp_path: Path
) -> None:
    serve(mirror, ubuntu_tree())
    (tmp_path / "lading.toml").write_text(
        f'[catalogs.ubuntu]\nkind = "simplestreams"\nurl = "{mirror.url("/")}"\ncache = "cache"\n'
    )
    assert offered("lading fetch ubuntu:") == []
    names = [f"plain,ubuntu:{image.name}" for image in make_catalog().images()]
    requests = len(mirror.requests)
    assert set(names) <= set(offered("lading fetch ubuntu:"))
    assert len(mirror.requests) == requests
    assert names
