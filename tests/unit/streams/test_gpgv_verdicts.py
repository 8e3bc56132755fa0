"""gpgv's verdicts, as its lines for programs tell them."""

import pytest

from lading.adapters.signatures.openpgp import _gpgv_verdicts as gpgv_verdicts

VALID = "[GNUPG:] VALIDSIG SUB 2026-11-26 1 0 4 0 22 8 00 PRIMARY"


def good(*lines: str) -> list[str]:
    return [each.key for each in gpgv_verdicts("\n".join(lines)) if not each.reason]


def test_a_good_signature_names_the_primary_key() -> None:
    assert good("[GNUPG:] NEWSIG", "[GNUPG:] GOODSIG ID name", "[GNUPG:] NOTATION_NAME n", VALID) == ["PRIMARY"]


@pytest.mark.parametrize("verdict", ["EXPSIG", "EXPKEYSIG", "REVKEYSIG", "BADSIG", "ERRSIG"])
def test_a_valid_signature_that_is_not_good_does_not_count(verdict: str) -> None:
    lines = ["[GNUPG:] GOODSIG ID name", f"[GNUPG:] {verdict} ID 22 8 00 1 9", VALID]
    assert not good(*lines)
    assert not good("[GNUPG:] NEWSIG", VALID)
    assert not good(f"gpgv: {VALID}", "gpgv: [GNUPG:] GOODSIG ID name", VALID)


@pytest.mark.parametrize(
    "line", [VALID.replace(" 22 8 ", " 22 2 "), VALID.removesuffix(" PRIMARY"), "[GNUPG:] VALIDSIG x"]
)
def test_a_valid_signature_with_sha1_or_without_a_primary_key_does_not_count(line: str) -> None:
    assert not good("[GNUPG:] GOODSIG ID name", line)


def test_a_good_signature_after_a_bad_one_counts() -> None:
    assert good("[GNUPG:] EXPKEYSIG ID name", VALID, "[GNUPG:] GOODSIG ID name", VALID) == ["PRIMARY"]


@pytest.mark.parametrize("text", ["", "\n", "[GNUPG:]", "[GNUPG:] ERRSIG", "[GNUPG:] GOODSIG", "[GNUPG:] ERRSIG ID 2"])
def test_lines_that_end_early_are_no_good_signature(text: str) -> None:
    assert not good(text)
