"""What `import lading` promises: its names, the values they make, and that it stays light."""

import hashlib
import inspect
from collections.abc import Iterator
from importlib.metadata import version
from typing import get_args, get_type_hints

import pytest

import lading
from lading import Context, Digest, FetchRequest, Image, Location
from lading.adapters.container import open_container
from lading.adapters.library import fetch
from lading.ports.observer import NullObserver

PROMISED = [
    "ANONYMOUS",
    "AS_SHIPPED",
    "AmbiguousDigest",
    "AmbiguousImage",
    "Association",
    "AssociationStore",
    "Attempt",
    "AttemptPreview",
    "AttemptResult",
    "ByteStream",
    "CatalogFailure",
    "CatalogUnavailable",
    "Check",
    "Context",
    "Cost",
    "Digest",
    "Dispatcher",
    "Explanation",
    "Faulted",
    "FetchFailure",
    "FetchRequest",
    "FetchResult",
    "Fingerprint",
    "Folder",
    "Forbidden",
    "Forgotten",
    "Form",
    "Handler",
    "HandlerNotLoaded",
    "HandlerRefused",
    "HostTarget",
    "Image",
    "ImageCatalog",
    "ImageData",
    "ImageListing",
    "ImageNotActive",
    "ImageNotFound",
    "ImageRegistry",
    "ImageUnproven",
    "ImageWithoutData",
    "Intent",
    "Journal",
    "LadingError",
    "Landing",
    "Location",
    "LocationMatcher",
    "LockLost",
    "Locks",
    "Mismatched",
    "NewestImage",
    "NoHandlerAvailable",
    "NoImageData",
    "NotAssociated",
    "NotHeld",
    "NullJournal",
    "NullLocks",
    "NullObserver",
    "Observer",
    "Outcome",
    "PartialData",
    "Proof",
    "Recovered",
    "Refusal",
    "Report",
    "Scope",
    "SettingsError",
    "Shipped",
    "Signature",
    "Signer",
    "State",
    "StoreUnavailable",
    "SupportsCost",
    "SupportsForms",
    "SupportsHolder",
    "SupportsHosts",
    "SupportsPrepare",
    "SupportsPreview",
    "SupportsRecovery",
    "SupportsReport",
    "SupportsSharing",
    "SupportsSteps",
    "SupportsVerification",
    "SupportsWaiting",
    "TargetFailed",
    "TargetFailure",
    "TargetFull",
    "TargetInUse",
    "TargetNotWritable",
    "TargetOccupied",
    "TargetTooSmall",
    "TargetUnresolved",
    "TooLarge",
    "Unavailable",
    "Unconfigured",
    "Unsafe",
    "Unsettled",
    "Unsupported",
    "Verb",
    "Work",
    "__version__",
    "fetch",
    "open_container",
]


def test_the_facade_names_what_is_promised_in_order() -> None:
    assert lading.__all__ == PROMISED == sorted(PROMISED)


@pytest.mark.parametrize("name", PROMISED)
def test_every_promised_name_can_be_imported(name: str) -> None:
    assert hasattr(lading, name)


def test_names_of_an_earlier_version_are_gone() -> None:
    with pytest.raises(AttributeError, match="module 'lading' has no attribute 'Staged'"):
        lading.Staged  # type: ignore[attr-defined]  # noqa: B018 - it is looked up


def test_the_version_is_the_installed_one() -> None:
    assert lading.__version__ == version("lading")


def test_a_container_can_be_opened_from_the_facade() -> None:
    assert lading.open_container is open_container


def test_an_image_can_be_fetched_from_the_facade() -> None:
    assert lading.fetch is fetch


def parts(annotation: object) -> Iterator[type]:
    """The classes that a type annotation is made of."""
    inner = get_args(annotation)
    if inner:
        yield from (each for one in inner for each in parts(one))
    if isinstance(annotation, type):
        yield annotation


def mentioned(owner: type) -> Iterator[tuple[str, type]]:
    """The classes that the signatures of a class's public methods mention, with the method."""
    for name, method in inspect.getmembers(owner, inspect.isfunction):
        if name == "__init__" or not name.startswith("_"):
            for each in get_type_hints(method).values():
                yield from ((name, part) for part in parts(each))


SPOKEN = [getattr(lading, name) for name in PROMISED if isinstance(getattr(lading, name), type)]


@pytest.mark.parametrize("owner", SPOKEN, ids=lambda each: each.__name__)
def test_what_a_signature_mentions_is_promised_too(owner: type) -> None:
    lacking = [
        f"{name}: {each.__name__}"
        for name, each in mentioned(owner)
        if each.__module__.startswith("lading.") and each.__name__ not in PROMISED
    ]
    assert lacking == []


# The values.


def test_a_digest_is_lower_case_and_hashlib_knows_its_algorithm() -> None:
    digest = Digest("SHA256", hashlib.sha256(b"noble").hexdigest().upper())
    assert digest == Digest("sha256", hashlib.new(digest.algorithm, b"noble").hexdigest())
    assert str(digest) == f"sha256:{digest.value}"


@pytest.mark.parametrize(
    ("image", "promised"),
    [
        (Image("1", digest=Digest("sha512", "ab"), checksum="cd"), Digest("sha512", "ab")),
        (Image("1", checksum="CD"), Digest("md5", "cd")),
        (Image("1", checksum=""), None),
        (Image("1"), None),
    ],
)
def test_an_image_promises_the_strongest_hash_that_it_has(image: Image, promised: Digest | None) -> None:
    assert image.expected_digest == promised


def test_an_image_keeps_its_locations_whatever_becomes_of_the_list() -> None:
    locations = [Location("rbd://1")]
    image = Image("1", locations=locations)
    locations.clear()
    assert image.locations == (Location("rbd://1"),)


def test_values_can_be_told_apart_and_kept_in_sets_also_with_metadata_and_properties() -> None:
    plain, keyed = Location("rbd://1"), Location("rbd://1", {"store": "gold"})
    assert len({plain, keyed, Location("rbd://1")}) == 2
    assert len({Image("1", properties={"os": "linux"}), Image("1")}) == 2


@pytest.mark.parametrize(
    ("image_id", "target", "request_"),
    [
        (" noble\n", "\t/vms/1/disk ", FetchRequest("noble", "/vms/1/disk")),
        ("  ", " ", FetchRequest()),
        (None, None, FetchRequest(None, "")),
    ],
)
def test_a_request_is_stripped(image_id: str, target: str, request_: FetchRequest) -> None:
    assert FetchRequest(image_id, target) == request_


def test_a_caller_is_shown_without_the_token() -> None:
    token = object()
    assert repr(token) not in repr(FetchRequest("noble", context=Context("user", "project", token)))


def test_the_silent_observer_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    NullObserver().progress(1, None)
    assert capsys.readouterr() == ("", "")
