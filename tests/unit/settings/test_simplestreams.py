"""The settings of the kind simplestreams, of the default catalog and of remotes."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from lading.adapters.catalogs.simplestreams.settings import SimplestreamsCatalogSettings
from lading.adapters.config.settings import read_settings
from lading.ports.failures import SettingsError

URL = "https://cloud-images.ubuntu.com/releases/"


def catalog(table: Mapping[str, object], **variables: str) -> SimplestreamsCatalogSettings:
    read = read_settings({"catalog": {"kind": "simplestreams", **table}}, {"HOME": "/home/me", **variables}).catalog
    assert isinstance(read, SimplestreamsCatalogSettings)
    return read


def test_the_cache_is_beneath_the_users_by_default() -> None:
    assert catalog({"url": URL}).cache == Path("/home/me/.cache/lading/simplestreams")
    assert catalog({"url": URL}, XDG_CACHE_HOME="/c").cache == Path("/c/lading/simplestreams")
    assert catalog({"url": URL, "cache": "/var/cache/x"}).cache == Path("/var/cache/x")


def test_a_remote_has_the_same_settings() -> None:
    remotes = {"ubuntu": {"kind": "simplestreams", "url": URL, "keyring": "/k.gpg"}}
    read = read_settings({"catalogs": remotes}, {"HOME": "/home/me"})
    assert read.remotes["ubuntu"] == catalog({"url": URL, "keyring": "/k.gpg"})


@pytest.mark.parametrize(
    ("table", "demanded"),
    [
        ({}, "checksum"),
        ({"keyring": "/k.gpg"}, "signature"),
        ({"keyring": "/k.gpg", "policy": "checksum"}, "checksum"),
        ({"keyring": "/k.gpg", "policy": "none"}, "none"),
        ({"keyring": "/k.gpg", "policy": "signature"}, "signature"),
    ],
)
def test_a_keyring_means_signatures_unless_the_policy_says_otherwise(table: dict[str, object], demanded: str) -> None:
    assert catalog({"url": URL, **table}).demanded == demanded


@pytest.mark.parametrize(
    ("url", "root", "index"),
    [
        ("https://host", "https://host/", None),
        ("https://host/a/", "https://host/a/", None),
        ("https://host/a/streams/v1/", "https://host/a/", None),
        ("https://host/a/streams/v1/index2.sjson", "https://host/a/", "streams/v1/index2.sjson"),
    ],
)
def test_the_url_is_the_mirrors_root_or_its_index(url: str, root: str, index: str | None) -> None:
    assert catalog({"url": url}).root_and_index == (root, index)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({}, "catalog.url: missing, expected a text"),
        ({"url": "ftp://me:hush@host/"}, "catalog: url: it is not an http or https URL with a host"),
        ({"url": f"{URL}?a=1"}, "catalog: url: expected a URL without a query"),
        ({"url": URL, "policy": "signature"}, 'catalog: policy: "signature" needs a keyring'),
        ({"url": URL, "policy": "all"}, "catalog.policy: expected 'none' or 'checksum' or 'signature', got 'all'"),
        ({"url": URL, "stale_hours": -1}, "catalog: stale_hours: expected 0 or more"),
        ({"url": URL, "keyrings": []}, "catalog.keyrings: unknown key, did you mean keyring?"),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_expected(table: dict[str, object], told: str) -> None:
    with pytest.raises(SettingsError) as error:
        catalog(table)
    assert str(error.value).startswith(told)


def test_credentials_in_the_url_are_in_no_repr() -> None:
    assert "hush" not in repr(catalog({"url": "https://me:hush@host/"}))
