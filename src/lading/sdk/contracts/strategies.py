"""Hypothesis strategies for all values that a store must accept."""

import os
from datetime import UTC

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from lading.ports.association import Association, Check, Fingerprint, Folder, Shipped, State
from lading.ports.form import Form
from lading.ports.image import Digest, Image, Proof, Signature, Signer
from lading.ports.location import Location

__all__ = ["any_associations", "any_images", "any_locations", "any_targets", "any_texts", "forms", "json_objects"]


def any_texts(min_size: int = 0) -> SearchStrategy[str]:
    """Texts of all characters, also NUL, lone surrogates, and pairs of them that are not one character."""
    return st.text(st.characters(exclude_categories=()), min_size=min_size)


def any_targets() -> SearchStrategy[str]:
    """Paths of any bytes, as the system allows, and of any text."""
    return st.one_of(st.binary().map(os.fsdecode), any_texts()).map("/vms/{}/disk".format)


def json_objects() -> SearchStrategy[dict[str, object]]:
    plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | any_texts()
    nested = st.recursive(plain, lambda inner: st.lists(inner) | st.dictionaries(any_texts(), inner), max_leaves=5)
    # Among them what an image's document calls its own.
    return st.dictionaries(
        st.sampled_from(["size", "id", "locations", "direct_url", "os_distro"]) | any_texts(), nested
    )


def any_locations() -> SearchStrategy[Location]:
    return st.builds(Location, any_texts(), json_objects())


def any_images() -> SearchStrategy[Image]:
    return st.builds(
        Image,
        id=any_texts().map("id-{}".format),
        name=st.none() | any_texts(),
        size=st.none() | st.integers(min_value=0),
        disk_format=st.none() | any_texts(),
        container_format=st.none() | any_texts(),
        digest=st.none() | st.builds(Digest, any_texts(min_size=1), any_texts(min_size=1)),
        checksum=st.none() | any_texts(),
        content_digest=st.none() | st.builds(Digest, any_texts(min_size=1), any_texts(min_size=1)),
        content_size=st.none() | st.integers(min_value=0),
        status=any_texts(min_size=1),
        locations=st.lists(any_locations(), max_size=2),
        properties=json_objects(),
        proof=proofs(),
    )


def signers() -> SearchStrategy[Signer]:
    return st.builds(Signer, any_texts(), any_texts(), any_texts())


def proofs() -> SearchStrategy[Proof]:
    signatures = st.builds(Signature, any_texts(), st.lists(any_texts(), max_size=2).map(tuple), any_texts())
    return st.builds(Proof, st.none() | any_texts(), st.none() | signers(), st.none() | signatures)


def fingerprints() -> SearchStrategy[Fingerprint]:
    unsigned, signed = st.integers(0, 2**64 - 1), st.integers(-(2**64), 2**64)
    return st.builds(Fingerprint, unsigned, unsigned, unsigned, signed, signed, st.none() | signed)


def folders() -> SearchStrategy[Folder]:
    unsigned = st.integers(0, 2**64 - 1)
    return st.builds(Folder, unsigned, unsigned, st.none() | st.integers(-(2**64), 2**64))


def forms() -> SearchStrategy[Form]:
    texts, sizes = st.none() | any_texts(), st.none() | st.integers(min_value=0)
    return st.builds(
        Form, format=texts, size=sizes, fill=st.booleans(), fix_gpt=st.booleans(), preallocation=texts, member=texts
    )


def digests() -> SearchStrategy[Digest]:
    return st.builds(Digest, any_texts(), any_texts())


def any_associations() -> SearchStrategy[Association]:
    return st.builds(
        Association,
        target=any_targets(),
        handler=any_texts(),
        image=st.none() | any_images(),
        location=st.none() | any_locations(),
        landed_at=st.datetimes(timezones=st.just(UTC)),
        method=st.none() | any_texts(),
        size=st.none() | st.integers(min_value=0),
        digest=st.none() | digests(),
        verified=st.booleans(),
        fingerprint=st.none() | fingerprints(),
        folder=st.none() | folders(),
        checked=st.none() | st.builds(Check, st.sampled_from(State), st.datetimes(timezones=st.just(UTC))),
        format=st.none() | any_texts(),
        virtual_size=st.none() | st.integers(min_value=0),
        shipped=st.none() | st.builds(Shipped, any_texts(), st.integers(min_value=0), st.none() | digests()),
        converted_by=st.none() | any_texts(),
        form=forms(),
        signed_by=st.none() | signers(),
    )
