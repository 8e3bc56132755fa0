"""Proofs and signers as fields of a document."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TypeGuard

from lading.ports.image import UNPROVEN, Proof, Signature, Signer

__all__ = ["proof_field", "proof_from_field", "signer_field", "signer_from_field"]


def proof_field(proof: Proof) -> dict[str, object] | None:
    """The proof as JSON has it; None for one that says nothing."""
    return None if proof == UNPROVEN else asdict(proof)


def proof_from_field(known: object) -> Proof:
    """The proof of this field. Raises ValueError when it describes none.

    >>> proof_from_field({"digest_from": "given"})
    Proof(digest_from='given', signed_by=None, signature=None)
    """
    if known is None:
        return UNPROVEN
    if not isinstance(known, Mapping) or not isinstance(source := known.get("digest_from"), str | None):
        raise ValueError("expected an object with a digest_from")  # noqa: TRY004 - the document is wrong
    return Proof(source, signer_from_field(known.get("signed_by")), _signature(known.get("signature")))


def signer_field(signer: Signer | None) -> dict[str, object] | None:
    """The signer as JSON has it."""
    return asdict(signer) if signer else None


def signer_from_field(known: object) -> Signer | None:
    """The signer of this field. Raises ValueError when it describes none."""
    if known is None:
        return None
    if not _has_texts(known, "key", "found_in", "tool"):
        raise ValueError("expected a signer with a key, found_in and a tool")
    return Signer(known["key"], known["found_in"], known["tool"])


def _signature(known: object) -> Signature | None:
    if known is None:
        return None
    keyrings = known.get("keyrings") if isinstance(known, Mapping) else None
    if not _has_texts(known, "value", "url") or not isinstance(keyrings, list | tuple):
        raise ValueError("expected a signature with a value, keyrings and a url")
    return Signature(known["value"], tuple(map(str, keyrings)), known["url"])


def _has_texts(known: object, *keys: str) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(known, Mapping) and all(isinstance(known.get(key), str) for key in keys)
