"""Clouds by the command line: which one is asked, and mistakes in its settings."""

import json
from pathlib import Path

import pytest
from tests.faulty_server import BEFORE_THE_HEAD, STALL, FaultyServer, Reply
from tests.integration.conftest import Lading


@pytest.mark.parametrize(
    ("variables", "hint"),
    [
        ({"OS_CLOUD": "my gold"}, "OS_CLOUD is set, but that cloud was not asked: --os-cloud 'my gold' does"),
        ({"OS_AUTH_URL": "http://keystone"}, "that cloud was not asked: LADING_CATALOG__KIND=glance does"),
    ],
)
def test_an_image_not_found_says_which_cloud_was_not_asked(
    lading: Lading, noble: Path, faulty_server: FaultyServer, variables: dict[str, str], hint: str
) -> None:
    for command in (("fetch", "jammy", "vms/1"), ("explain", "jammy", "vms/1"), ("catalog", "show", "jammy")):
        failed = lading(*command, **variables)
        assert (failed.returncode, hint in failed.stderr) == (3, True), failed.stderr
    close_one = lading("fetch", "nobel", "vms/1", **variables)
    assert "did you mean noble?" in close_one.stderr
    assert hint in close_one.stderr
    of_urls = {**variables, "LADING_CATALOG__KIND": "url"}
    assert hint in lading("fetch", "jammy", "vms/1", **of_urls).stderr
    missing = lading("fetch", faulty_server.answer("/jammy.img", Reply(status=404)), "vms/1", **variables)
    assert (missing.returncode, "cloud" in missing.stderr) == (3, False), missing.stderr
    assert "cloud" not in lading("fetch", "jammy", "vms/1").stderr
    assert lading("fetch", "noble", "vms/1", **variables).stderr == ""


def test_a_cloud_that_is_not_configured_is_an_error_that_names_it(lading: Lading) -> None:
    failed = lading("fetch", "noble", "vms/1", "--os-cloud", "gold")
    assert failed.returncode == 2
    assert "gold" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_mistake_in_clouds_yaml_is_a_settings_error_for_every_command(lading: Lading, host: Path) -> None:
    variables = {"OS_CLIENT_CONFIG_FILE": f"{host}/clouds.yaml", "PYTHONWARNINGS": "default"}
    (host / "clouds.yaml").write_text("clouds: {gold: {auth: {auth_url: 'http://127.0.0.1:1/v3', username: me}}}")
    for command in (["fetch", "noble", "vms/1"], ["explain", "noble", "vms/1"], ["catalog", "ls"]):
        failed = lading(*command, "--os-cloud", "gold", "--json", **variables)
        told = json.loads(failed.stdout)
        assert (failed.returncode, told["error"]) == (2, "settings_error"), failed.stderr
        assert f"{host}/clouds.yaml: clouds.gold.auth.password: missing" in told["message"]


def test_a_glance_that_never_begins_an_image_is_given_up(
    lading: Lading, host: Path, faulty_server: FaultyServer
) -> None:
    image = {"id": "noble", "status": "active", "size": 5, "disk_format": "raw"}
    faulty_server.answer("/v2/images/noble", Reply(json.dumps(image).encode()))
    faulty_server.answer("/v2/images/noble/file", Reply(b"noble", after=BEFORE_THE_HEAD, then=STALL))
    auth = f"{{endpoint: '{faulty_server.url('')}', token: t}}"
    (host / "clouds.yaml").write_text(f"clouds: {{gold: {{auth_type: admin_token, auth: {auth}}}}}")
    variables = {
        "OS_CLIENT_CONFIG_FILE": f"{host}/clouds.yaml",
        "LADING_CATALOG__KIND": "glance",
        "LADING_CATALOG__CLOUD": "gold",
        "LADING_CATALOG__FIRST_BYTE_SECONDS": "0.2",
        "PYTHONWARNINGS": "ignore",
    }
    failed = lading("fetch", "noble", "vms/1", **variables)
    assert "the server sent nothing for 0.2 seconds" in failed.stderr
    assert failed.returncode == 4
