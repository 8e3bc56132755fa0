"""Output: whatever a stranger calls things, no terminal takes it for a command."""

import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lading.adapters.cli.output import printable
from lading.adapters.cli.streams import OUTPUT_ERRORS

ENCODINGS = st.sampled_from(["utf-8", "latin-1", "ascii", "cp1252", "koi8-r"])
TEXTS = st.text(
    st.characters() | st.characters(categories=["Cs", "Cc", "Cf"]) | st.sampled_from("\udcc2\udc9b\udce2\udc80\udcae")
)


def on_terminal(text: str, encoding: str) -> str:
    """The characters that a terminal of that encoding makes of the text; bytes that are none are surrogates."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    return printable(text, stream).encode(encoding, OUTPUT_ERRORS).decode(encoding, "surrogateescape")


@given(TEXTS, ENCODINGS)
@example("\udcc2\udc9b31m", "utf-8")
@example("\udc9b31m", "latin-1")
def test_no_control_character_reaches_a_terminal(text: str, encoding: str) -> None:
    assert all(each.isprintable() or "\udc80" <= each <= "\udcff" for each in on_terminal(text, encoding))


@given(st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" ")))
def test_what_can_be_printed_stays_as_it_is(text: str) -> None:
    assert on_terminal(text, "utf-8") == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\udcc2\udc9b31m", r"\x9b31m"),
        ("\udce2\udc80\udcaegnp.exe", r"\u202egnp.exe"),
        ("\x1b]0;title\x07\x9b\u2066\u200f\r\n", r"\x1b]0;title\x07\x9b\u2066\u200f\r\n"),
        ("/vms/caf\udce9", "/vms/caf\udce9"),
        ("/vms/caf\udcc3\udca9", "/vms/café"),
        ("\ud800", r"\ud800"),
    ],
)
def test_controls_are_spelt_out_and_bytes_of_paths_stay(text: str, shown: str) -> None:
    assert on_terminal(text, "utf-8") == shown
