"""Catalogs that fail or raise, and images that cannot be fetched."""

from dataclasses import replace
from typing import Any

import pytest
from returns.result import Failure, Result
from tests.strategies import TARGET
from tests.unit.dispatcher.pool import NOBLE, RECORDED, REQUEST, FailingCatalog, Pool, dispatcher, store

from lading import (
    AmbiguousImage,
    CatalogUnavailable,
    Dispatcher,
    FetchRequest,
    ImageNotActive,
    ImageNotFound,
    ImageWithoutData,
    StoreUnavailable,
)
from lading.adapters.catalogs.memory import MemoryCatalog
from lading.ports.failures import CatalogFailure

VOLUME_BACKED = replace(NOBLE, size=0, properties={"block_device_mapping": '[{"boot_index": 0, "snapshot_id": "8f"}]'})

# Catalogs that fail.


@pytest.mark.parametrize("finds", [False, True])
@pytest.mark.parametrize(
    "failure", [ImageNotFound("1", "Glance"), AmbiguousImage("1", ("a", "b")), CatalogUnavailable("HTTP 503")]
)
def test_a_fetch_fails_with_the_catalogs_failure(failure: CatalogFailure, *, finds: bool) -> None:
    pool = Pool()
    failing = Dispatcher([pool], FailingCatalog(failure, finds=finds), store())
    assert failing.fetch(REQUEST).failure() is failure
    with pytest.raises(type(failure)):
        failing.plan(REQUEST)
    assert pool.asked == []


@pytest.mark.parametrize("status", ["queued", "deactivated"])
def test_an_image_that_is_not_active_is_not_fetched(status: str) -> None:
    pool = Pool()
    failure = dispatcher(pool, image=replace(NOBLE, status=status)).fetch(REQUEST).failure()
    assert isinstance(failure, ImageNotActive)
    assert (failure.image_id, failure.status, pool.asked) == ("1", status, [])


def test_the_snapshot_of_a_volume_backed_server_is_not_fetched() -> None:
    pool = Pool()
    failure = dispatcher(pool, image=VOLUME_BACKED).fetch(REQUEST).failure()
    assert isinstance(failure, ImageWithoutData)
    assert (failure.image_id, failure.disks, pool.asked) == ("1", ("volume snapshot 8f",), [])


@pytest.mark.parametrize("image_id", ["1", "noble", None])
def test_an_association_of_a_volume_backed_snapshot_does_not_lead(image_id: str | None) -> None:
    pool, recorded = Pool(), replace(RECORDED, image=replace(VOLUME_BACKED, locations=()))
    outcome = dispatcher(pool, image=VOLUME_BACKED, associations=store(recorded)).fetch(FetchRequest(image_id, TARGET))
    assert isinstance(outcome, Failure)
    assert pool.asked == []


def test_a_catalog_may_fail_once_the_associated_handler_handled() -> None:
    failing = Dispatcher([Pool()], FailingCatalog(CatalogUnavailable("HTTP 503")), store(RECORDED))
    assert failing.fetch(REQUEST).unwrap().handler == "pool"


# Catalogs with bugs.


@pytest.mark.parametrize(
    ("raised", "failure"),
    [
        (KeyError("s3cret"), "the catalog: raised KeyError; the debug log has more"),
        (CatalogUnavailable("HTTP 503"), "HTTP 503"),
        (StoreUnavailable("no http://u:p@host"), "the catalog: no http://***@host"),
    ],
)
@pytest.mark.parametrize("verb", ["find", "locations"])
def test_a_catalog_that_raises_fails(verb: str, raised: Exception, failure: str) -> None:
    def raises(*_: object) -> Result[Any, Any]:
        raise raised

    catalog = MemoryCatalog([NOBLE])
    setattr(catalog, verb, raises)
    outcome = Dispatcher([Pool()], catalog, store()).fetch(REQUEST).failure()
    assert (type(outcome), str(outcome)) == (CatalogUnavailable, failure)
