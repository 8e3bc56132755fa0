"""What the properties range over. Each strategy constructs what it is named for."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from typing import Any, NamedTuple, get_args
from urllib.parse import quote

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from tests.reference import Case, Spec, shown

from lading import (
    Association,
    Digest,
    Image,
    Landing,
    Location,
    Refusal,
    Scope,
)
from lading.ports.journal import Intent, Verb
from lading.sdk.contracts.strategies import (
    any_associations,
    any_images,
    any_locations,
    any_targets,
    any_texts,
    forms,
    json_objects,
)

SCHEMES = ("file", "http", "https", "rbd", "s3", "swift+https", "x-pool.v2")
IMAGE = Image(id="155d900f-4e14-4e4c-a73d-069cbf4541e6", name="noble")
OTHER_IMAGE = Image(id="00000000-0000-0000-0000-000000000001", name="jammy")
NAMESAKE = Image(id="00000000-0000-0000-0000-000000000002", name="noble")
TARGET = "/vms/1/disk"
LANDED_AT = datetime(2026, 1, 1, tzinfo=UTC)
HUSH = "HUSH"
"""Begins and ends every secret, and occurs in nothing else."""

REASONS = ("no", "not here", "HTTP 403")
_LOCATION_REFUSALS = [each for each in get_args(Refusal) if each.scope is Scope.LOCATION]
_OTHER_REFUSALS = [each for each in get_args(Refusal) if each.scope is not Scope.LOCATION]


# Spellings.


def _spelt(text: str) -> list[str]:
    return [text.lower(), text.upper(), text.title()]


def _padded(text: str) -> list[str]:
    return [text, f"  {text}", f"\t{text}\n"]


def spellings(text: str) -> SearchStrategy[str]:
    """The text in lower, upper and mixed case."""
    return st.sampled_from(_spelt(text))


def paddings(text: str) -> SearchStrategy[str]:
    """The text with and without white space around it."""
    return st.sampled_from(_padded(text))


def schemes() -> SearchStrategy[str]:
    return st.sampled_from([spelt for scheme in SCHEMES for spelt in _spelt(scheme)])


def blanks() -> SearchStrategy[str]:
    return st.text(" \t\n", max_size=3)


# Locations.


def urls() -> SearchStrategy[str]:
    """Well-formed, from so few parts that some repeat."""
    spelt = [each for scheme in SCHEMES for each in _spelt(scheme)]
    hosts = ["host", "user@host", "user:word@host", "host:8080"]
    paths = ["noble", "gold/noble", "noble?sig=abc"]
    return st.sampled_from(["{}://{}/{}".format(*parts) for parts in product(spelt, hosts, paths)])


def locations() -> SearchStrategy[Location]:
    return urls().map(Location)


def secrets() -> SearchStrategy[str]:
    """Any text, between two marks."""
    return st.text(max_size=20).map(lambda text: f"{HUSH}{text}{HUSH}")


def quoted_secrets() -> SearchStrategy[str]:
    return secrets().map(lambda secret: quote(secret, safe=""))


def urls_with_quoted_secrets() -> SearchStrategy[str]:
    """With a password, a signature, a fragment, or several of them, as RFC 3986 would have them written."""
    return st.builds(
        "{}://{}{}/gold/noble.img{}{}".format,
        schemes(),
        st.just("") | st.builds("{}:{}@".format, quoted_secrets(), quoted_secrets()),
        st.sampled_from(["host", "host:8080", "[2001:db8::1]", "[::1]:8080", ""]),
        st.just("") | quoted_secrets().map("?X-Amz-Expires=60&X-Amz-Signature={}".format),
        st.just("") | quoted_secrets().map("#{}".format),
    )


def urls_with_unquoted_secrets() -> SearchStrategy[str]:
    """As glance_store writes S3 secrets: base64 with its `/` and `+`, or anything else, and no quoting at all."""
    raw = st.text("abcXYZ019/+=?#@:%", max_size=12).map(lambda text: f"{HUSH}{text}{HUSH}")
    schemes = st.sampled_from([spelt for scheme in ("s3", "s3+http", "s3+https") for spelt in _spelt(scheme)])
    hosts = st.sampled_from(["host", "host:8080", "http://host:8080"])
    return st.builds("{}://{}:{}@{}/bucket/key".format, schemes, raw, raw, hosts)


def urls_with_unquoted_passwords() -> SearchStrategy[str]:
    """Of any scheme, where the part of the password before a `/` may look like a port."""
    begun = st.integers(0, 99_999).map("{}/".format) | st.text("abc019+=?#@:%/", max_size=8)
    raw = st.builds("{}{}{}".format, begun, st.just(HUSH), st.text("abc019/+=?#@:%", max_size=8))
    return st.builds("{}://user:{}@{}/gold/noble.img".format, schemes(), raw, st.sampled_from(["host", "host:8080"]))


def opaque_urls_with_secrets() -> SearchStrategy[str]:
    """As qemu names an image of Ceph's."""
    names = st.sampled_from(["key", "password", "secret", "Key"])
    beginnings = st.sampled_from(["", "/"])
    return st.builds("{}:{}pool/noble:id=user:{}={}:conf=a".format, schemes(), beginnings, names, secrets())


def urls_with_odd_slashes() -> SearchStrategy[str]:
    """With as many slashes as clients take for two, or none before a password, and a path that may begin in it."""
    raw = st.builds("{}{}{}".format, st.text("abc019/@#?", max_size=4), st.just(HUSH), st.text("abc019@#?", max_size=4))
    remote = st.sampled_from([spelt for scheme in ("http", "swift+https", "x-pool.v2") for spelt in _spelt(scheme)])
    slashes = st.sampled_from(["/", "//", "///", "////", "\\", "\\\\", "\\/\\/"])
    return st.builds("{}:{}user:{}@host/gold/noble.img".format, remote, slashes, raw)


def nested_urls_with_secrets() -> SearchStrategy[str]:
    """A URL within the path of another, as caches and proxies have them, also percent-encoded."""
    inner = urls_with_odd_slashes() | urls_with_quoted_secrets().filter(lambda url: HUSH in url)
    quoted = st.builds("http://user:{}@host/noble?sig={}".format, quoted_secrets(), quoted_secrets())
    return (inner | quoted.map(lambda url: quote(url, safe=""))).map("http://cache/at/{}".format)


def urls_with_secrets() -> SearchStrategy[str]:
    return (
        urls_with_quoted_secrets()
        | urls_with_odd_slashes()
        | nested_urls_with_secrets()
        | urls_with_unquoted_secrets()
        | urls_with_unquoted_passwords()
        | opaque_urls_with_secrets()
    )


def url_like_texts() -> SearchStrategy[str]:
    """Any text, and text made of what URLs are made of."""
    parts = st.sampled_from(["s3", "http", "rbd", "user", "host", "80", *":/?#@[]*% \t", "//", "://", "***", "***@"])
    return st.text() | st.lists(parts, max_size=10).map("".join)


# Handlers, images, what is recorded.


def scheme_sets() -> SearchStrategy[frozenset[str] | None]:
    """Takes nothing, takes anything, takes some."""
    return st.none() | st.just(frozenset[str]()) | st.frozensets(schemes(), min_size=1, max_size=3)


def handler_specs(*, min_size: int = 0) -> SearchStrategy[tuple[Spec, ...]]:
    """Handlers with names of their own, in configured order."""
    sets = st.lists(scheme_sets(), min_size=min_size, max_size=4)
    return sets.map(lambda several: tuple(Spec(f"handler-{n}", each) for n, each in enumerate(several)))


def images() -> SearchStrategy[Image]:
    """The image that all is about, with locations."""
    return st.lists(locations(), max_size=5).map(lambda places: replace(IMAGE, locations=places))


class Memory(NamedTuple):
    """What becomes an association of TARGET, once the image's locations are known."""

    handler: str
    image: Image | None
    place: int

    def association(self, places: Sequence[Location]) -> Association:
        """With no location, a plain one, one of the catalog's without its credentials, or one that it doesn't have."""
        gone = ["http://***@gone/noble", "http://gone/noble?***"]
        urls = ["http://host/noble", *(shown(each.url) for each in places), *gone]
        candidates = [None, *map(Location, urls)]
        return Association(TARGET, self.handler, self.image, candidates[self.place % len(candidates)], LANDED_AT)


def memories() -> SearchStrategy[Memory]:
    """With one of the handlers or one that isn't loaded, about this image, another or none."""
    handlers = st.sampled_from(["handler-0", "handler-1", "handler-2", "not-loaded"])
    about = st.sampled_from([IMAGE, IMAGE, OTHER_IMAGE, NAMESAKE, None])
    return st.builds(Memory, handlers, about, st.integers(0, 8))


def recordings() -> SearchStrategy[Association]:
    """Associations of a few targets with a few handlers."""
    return st.builds(
        Association,
        target=st.sampled_from(["/vms/1/disk", "/vms/2/disk", "/vms/3/disk"]),
        handler=st.sampled_from("abc"),
        image=st.just(IMAGE),
        location=st.none() | locations(),
        landed_at=st.just(LANDED_AT),
    )


# Answers.


def location_refusals() -> SearchStrategy[Refusal]:
    return st.sampled_from([kind(reason) for kind in _LOCATION_REFUSALS for reason in REASONS])


def refusals() -> SearchStrategy[Refusal]:
    """Of every kind and every scope."""
    return location_refusals() | st.sampled_from([kind(reason) for kind in _OTHER_REFUSALS for reason in REASONS])


def landings() -> SearchStrategy[Landing]:
    """New ones, and those that were there already."""
    digest = Digest("sha256", "ab" * 32)
    return st.sampled_from(
        [Landing(), Landing("copy", 10, digest, verified=True), Landing(present=True), Landing("copy", present=True)]
    )


def answers(scripted: SearchStrategy[Refusal]) -> SearchStrategy[tuple[Landing | Refusal, ...]]:
    """Such refusals, and at times a landing that ends them."""
    endings = st.just(()) | st.tuples(landings())
    return st.builds(lambda several, ending: (*several, *ending), st.lists(scripted, max_size=8), endings)


# Cases.


def image_ids() -> SearchStrategy[str | None]:
    """The image's id, its name, none, or one that the catalog doesn't have."""
    known = st.sampled_from([*_padded(IMAGE.id), *_padded("noble")])
    return known | known | blanks() | st.none() | st.just("unknown")


def targets() -> SearchStrategy[str]:
    """The target that may be recorded, none, or another."""
    return st.just(TARGET) | paddings(TARGET) | blanks() | st.just("/vms/2/disk")


def _case(fields: dict[str, Any]) -> Case:
    memory = fields["recorded"]
    return Case(**fields | {"recorded": memory and memory.association(fields["image"].locations)})


def cases(**narrowed: SearchStrategy[Any]) -> SearchStrategy[Case]:
    """Requests of all kinds; a law narrows the fields that it is about."""
    fields: dict[str, SearchStrategy[Any]] = {
        "handlers": handler_specs(),
        "image": images(),
        "image_id": image_ids(),
        "target": targets(),
        "recorded": st.none() | memories(),
        "answers": answers(refusals()),
    }
    return st.fixed_dictionaries(fields | narrowed).map(_case)


def known_cases(**narrowed: SearchStrategy[Any]) -> SearchStrategy[Case]:
    """About an image that the catalog has, with nothing recorded."""
    return cases(**{"image_id": st.just(IMAGE.id), "recorded": st.none()} | narrowed)


def led_cases(**narrowed: SearchStrategy[Any]) -> SearchStrategy[Case]:
    """Cases in which an associated handler leads, with a location that holds no credentials, or with none."""
    led = {
        "handlers": handler_specs(min_size=2),
        "target": paddings(TARGET),
        "recorded": st.builds(
            Memory, st.sampled_from(["handler-0", "handler-1"]), st.sampled_from([IMAGE, None]), st.integers(0, 1)
        ),
    }
    return known_cases(**led | narrowed)


# Names of handlers, as configured.


def configured_names() -> SearchStrategy[list[str]]:
    """Some twice, some unknown, some blank, some with white space around them."""
    names = ["download", "file", "rbd", "s3", "unknown", ""]
    return st.lists(st.sampled_from([padded for name in names for padded in _padded(name)]), max_size=8)


def fates() -> SearchStrategy[dict[str, bool]]:
    """The available names, and whether a handler can be built from each."""
    return st.dictionaries(st.sampled_from(["download", "file", "rbd", "s3"]), st.booleans())


# What stores hold: whatever the values' own descriptions allow.


def intents() -> SearchStrategy[Intent]:
    return st.builds(
        Intent,
        target=any_targets(),
        verb=st.sampled_from(Verb),
        handler=any_texts(),
        began_at=st.datetimes(timezones=st.just(UTC)),
        image=st.none() | any_images(),
        location=st.none() | any_locations(),
        destination=st.none() | any_targets(),
        force=st.booleans(),
        even_if_in_use=st.booleans(),
        recorded=st.none() | any_associations(),
        form=forms(),
        notes=json_objects(),
    )
