"""`[catalogs.NAME]` configures a remote, beside `[catalog]`."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.unit.settings.files import error, settings_of, write

from lading.adapters.catalogs.glance_settings import GlanceCatalogSettings
from lading.adapters.catalogs.url_settings import UrlCatalogSettings
from lading.adapters.config.settings import (
    FileCatalogSettings,
    MemoryCatalogSettings,
    ThirdPartySettings,
    load_settings,
)
from lading.adapters.plugins import policies


def test_remotes_stand_beside_the_default_catalog(tmp_path: Path) -> None:
    path = write(
        tmp_path / "lading.toml",
        '[catalog]\nkind = "memory"\n[catalogs.lab]\nkind = "file"\nfolder = "images"\n'
        '[catalogs.cloud]\nkind = "glance"\ncloud = "mine"\n[catalogs.debian]\nkind = "url"\n'
        'mirrors = ["https://cloud.debian.org/images/cloud/"]\n',
    )
    settings = load_settings(str(path), {"HOME": "/home/me"})
    assert settings.catalog == MemoryCatalogSettings()
    assert settings.remotes == {
        "lab": FileCatalogSettings(tmp_path / "images"),
        "cloud": GlanceCatalogSettings("mine"),
        "debian": UrlCatalogSettings(("https://cloud.debian.org/images/cloud/",)),
    }


def test_a_third_party_s_remote_has_its_own_table() -> None:
    remote = settings_of({"catalogs": {"ours": {"kind": "elsewhere", "url": "x"}}}).remotes["ours"]
    assert isinstance(remote, ThirdPartySettings)
    assert (remote.kind, remote.options) == ("elsewhere", {"url": "x"})


@pytest.mark.parametrize(
    ("table", "demanded"),
    [
        ({"kind": "elsewhere", "policy": "checksum"}, "checksum"),
        ({"kind": "elsewhere"}, "none"),
        ({"kind": "glance", "policy": "checksum"}, "checksum"),
        ({"kind": "url"}, "none"),
        ({"kind": "url", "keyring": "/k.gpg"}, "signature"),
        ({"kind": "url", "keyring": "/k.gpg", "policy": "checksum"}, "checksum"),
    ],
)
def test_each_remote_has_a_policy(table: dict[str, object], demanded: str) -> None:
    settings = settings_of({"catalogs": {"ours": table}})
    remote = settings.remotes["ours"]
    assert remote.demanded == demanded
    assert policies(settings) == {None: "none", "ours": demanded}
    if isinstance(remote, ThirdPartySettings):
        assert remote.options == {}, "the policy is lading's"


def test_a_variable_configures_a_remote_and_another_kind_drops_its_table() -> None:
    document = {"catalogs": {"My-Lab": {"kind": "file", "folder": "/srv"}, "other": {"kind": "memory"}}}
    settings = settings_of(
        document, LADING_CATALOGS__MY_LAB__KIND="glance", LADING_CATALOGS__MY_LAB__CLOUD="mine",
        LADING_CATALOGS__NEW__KIND="memory",
    )  # fmt: skip
    assert settings.remotes.pop("other") == MemoryCatalogSettings()  # type: ignore[attr-defined]  # a dict
    assert {*settings.remotes.values()} == {GlanceCatalogSettings("mine"), MemoryCatalogSettings()}


@pytest.mark.parametrize(
    ("catalogs", "told"),
    [
        (
            {"lab": {}},
            "catalogs.lab.kind: missing, expected one of file, glance, memory, oci, simplestreams, url, or a third",
        ),
        ({"lab": {"kind": "file"}}, "catalogs.lab.folder: missing, expected a path"),
        ({"lab": {"kind": "file", "foldr": "/x"}}, "catalogs.lab.foldr: unknown key, did you mean folder? (known: "),
        (
            {"lab": {"kind": "oci", "username": "me", "password": "hush"}},
            "catalogs.lab: registry: expected with a username: a password is for one registry",
        ),
        (
            {"lab": {"kind": "oci", "registry": "host", "username": "me"}},
            "catalogs.lab: username, password: expected both, or neither",
        ),
        ({"lab": {"kind": "oci", "registry": "host/vms:1"}}, "catalogs.lab: registry: expected"),
        ({"lab": {"kind": "oci", "registry": "me:hush@host"}}, "catalogs.lab: registry: expected"),
        ({"lab": {"kind": "oci", "mirrors": ["host"]}}, "catalogs.lab: registry: expected with mirrors"),
        ({"lab": {"kind": "oci", "registry": "a", "mirrors": ["b:c"]}}, "catalogs.lab: mirrors: expected HOST"),
        ({"lab": {"kind": "oci", "registry": "https://host"}}, "catalogs.lab: registry: expected"),
        ({"lab": {"kind": "url", "policy": "signature"}}, 'catalogs.lab: policy: "signature" needs a keyring'),
        (
            {"lab": {"kind": "glance", "policy": "signature"}},
            'the defaults: catalogs.lab: policy = "signature" needs [landing] certificates or key_manager',
        ),
        ({"lab": {"kind": "mine", "policy": 5}}, "catalogs.lab.policy: expected 'none' or 'checksum' or 'signature'"),
        ({"lab": 5}, "catalogs.lab: expected a table, got 5"),
        ({"https": {"kind": "memory"}}, "catalogs.https: the name of a remote is no prefix; expected a name of"),
        ({"a:b": {"kind": "memory"}}, "catalogs.'a:b': the name of a remote is no prefix; expected a name of"),
        ({"web": {"kind": "url", "mirrors": "x"}}, "catalogs.web.mirrors: expected a list, got 'x'"),
        (
            {"web": {"kind": "url", "mirrors": ["ftp://me:hush@host/"]}},
            "catalogs.web: mirrors: it is not an http or https URL with a host",
        ),
        ({"web": {"kind": "url", "mirrors": ["https://host/?a"]}}, "catalogs.web: mirrors: expected URLs of folders"),
    ],
)
def test_a_wrong_remote_is_named_with_what_was_expected(catalogs: Mapping[str, object], told: str) -> None:
    assert error({"catalogs": catalogs}).startswith(told)
