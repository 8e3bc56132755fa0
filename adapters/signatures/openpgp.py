"""OpenPGP signatures, verified by gpgv or sqv in the sandbox.

A signature counts if a key in a keyring made it, and that key is neither expired nor revoked. Signatures with SHA-1 or
MD5 do not count. One good signature is enough: vendors sign with an old and a new key while they change keys.
"""

import binascii
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

from lading.adapters.formats.conversion.run import run
from lading.adapters.formats.conversion.sandbox import Limits, Tool
from lading.adapters.stream.errors import Refused, error_text
from lading.domain.refusals import Mismatched, Unconfigured
from lading.ports.image import Signer

__all__ = ["SignedText", "is_clear_signed", "split_clear_signed", "verify_clear_signed", "verify_detached"]

_GPGV: Final = Tool("gpgv", "gpgv", "gnupg2")
_SQV: Final = Tool("sqv", "sqv", "sequoia-sqv")
_LARGEST_KEYRING: Final = 16 << 20
_LARGEST_SIGNATURE: Final = 1 << 20
_SECONDS: Final = 60
"""For a small file; a large one may take longer, see `_limits`."""
_RATE: Final = 10 << 20
"""Bytes a second that even a busy host hashes."""
_PIPED: Final = 4 << 40
_TEXT_BEGIN: Final = b"-----BEGIN PGP SIGNED MESSAGE-----"
_SIGNATURE_BEGIN: Final = b"-----BEGIN PGP SIGNATURE-----"
_SIGNATURE_END: Final = b"-----END PGP SIGNATURE-----"
_KEY_BEGIN: Final = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"
_KEY_END: Final = b"-----END PGP PUBLIC KEY BLOCK-----"
_BLANK_LINE: Final = re.compile(rb"^[ \t\r]*\n", re.MULTILINE)
_BAD: Final = {
    "EXPSIG": "the signature by the key {} has expired",
    "EXPKEYSIG": "the key {} has expired",
    "REVKEYSIG": "the key {} is revoked",
    "BADSIG": "the signature by the key {} does not match: the file was changed after it was signed",
}
"""gpgv's verdicts, and what they mean. https://github.com/gpg/gnupg/blob/master/doc/DETAILS has all."""
_WEAK: Final = "the key {} signed it with {}, which can be forged"
_UNCHECKED: Final = "the signature by the key {} cannot be verified"
_WEAK_HASHES: Final = {"1": "MD5", "2": "SHA-1", "3": "RIPEMD-160"}
"""By number (RFC 9580, section 9.5)."""


class SignedText(NamedTuple):
    """A text, and the key that signed it."""

    text: bytes
    """Exactly what is signed: without what stands around it, dash escapes undone, lines without trailing blanks."""
    signer: Signer


def is_clear_signed(document: bytes) -> bool:
    """Tells whether the document has a signed message (RFC 9580, section 7)."""
    return _line_start(document, _TEXT_BEGIN, 0) >= 0


def verify_clear_signed(document: bytes, keyrings: Sequence[Path], name: str) -> SignedText:
    """Verifies a clear-signed document, and returns its text. `name` is the document's, for messages.

    The result is what was verified: the tool gets the text that is returned, not the document, whose other lines
    anybody may have added. Raises Refused; see `verify_detached`.
    """
    text, signature = split_clear_signed(document, name)
    return SignedText(text, verify_detached(text, signature, keyrings, name))


def split_clear_signed(document: bytes, name: str) -> tuple[bytes, bytes]:
    """The text and the signature of the first signed message in the document, unverified (RFC 9580, section 7).

    Raises Refused where there is none.
    """
    begin = _line_start(document, _TEXT_BEGIN, 0)
    header_end = _BLANK_LINE.search(document, begin) if begin >= 0 else None
    start = header_end.end() if header_end else -1
    stop = _line_start(document, _SIGNATURE_BEGIN, start) if start >= 0 else -1
    end = _line_start(document, _SIGNATURE_END, stop) if stop >= 0 else -1
    if end < 0:
        raise Refused(Mismatched(f"{name} is not clear-signed"))
    text = document[start:stop]
    if any(blank in text for blank in (b" \n", b"\t\n", b"\r\n")):
        text = b"\n".join(line.rstrip(b" \t\r") for line in text.split(b"\n"))
    text = text.removesuffix(b"\n").removeprefix(b"- ").replace(b"\n- ", b"\n")
    return text, document[stop : end + len(_SIGNATURE_END)] + b"\n"


def verify_detached(signed: bytes | int, signature: bytes, keyrings: Sequence[Path], name: str) -> Signer:
    """Verifies a detached signature, armored or binary. Returns the signer: the fingerprint of its primary key.

    `signed` are the bytes, or a descriptor of a file, which is read from its start, or of a pipe. Keyrings may be
    armored or binary; `name` is the signed file's, for messages. Raises Refused: Mismatched where no signature counts,
    which says which key and which file; Unconfigured where a keyring cannot be read, or neither tool is installed.
    """
    if len(signature) > _LARGEST_SIGNATURE:
        raise Refused(Mismatched(f"the signature of {name} is larger than {_LARGEST_SIGNATURE} bytes"))
    size = len(signed) if isinstance(signed, bytes) else _size(signed)
    with ExitStack() as stack:
        rings = [_memory_file(stack, _keyring(path)) for path in keyrings]
        signature_file = _memory_file(stack, signature)
        signed_file = _memory_file(stack, signed) if isinstance(signed, bytes) else signed
        descriptors = {**dict.fromkeys(rings, "the keyring"), signature_file: "the signature", signed_file: name}
        files = [f"--keyring=/dev/fd/{ring}" for ring in rings]
        files += [f"/dev/fd/{signature_file}", f"/dev/fd/{signed_file}"]
        tool = _installed_tool()
        verdicts = _verdicts(tool, files, descriptors, _limits(size))
    for verdict in verdicts:
        if not verdict.reason:
            return Signer(verdict.key, ", ".join(map(str, keyrings)), tool.name)
    reasons = "; ".join(verdict.reason for verdict in verdicts) or "there is no signature"
    raise Refused(Mismatched(f"{name}: {reasons} (keyring: {', '.join(map(str, keyrings)) or 'none'})"))


class _Verdict(NamedTuple):
    """A tool's verdict on one signature."""

    key: str
    """The primary key's fingerprint where the signature is good, else what is known of the key."""
    reason: str = ""
    """Empty: the signature is good."""


def _installed_tool() -> Tool:
    """gpgv, or sqv where only that is installed. Raises Refused.

    sqv accepts what a key signed before it expired, refuses keys that are bound to their names with SHA-1, and does not
    say which key it refuses.
    """
    tool = next((tool for tool in (_GPGV, _SQV) if tool.is_installed), None)
    if tool is None:
        packages = f"install {_GPGV.debian} (Debian, Ubuntu) or {_GPGV.fedora} (Fedora)"
        raise Refused(Unconfigured(f"neither gpgv nor sqv is installed: {packages}"))
    return tool


def _verdicts(tool: Tool, files: Sequence[str], descriptors: Mapping[int, str], limits: Limits) -> Sequence[_Verdict]:
    """The tool's verdicts on each signature."""
    options = ["--homedir=/nonexistent", "--status-fd=1"] if tool is _GPGV else []
    output: list[bytes] = []
    # gpgv's status is 0 also for an expired key, and 2 where one of two signatures is by an unknown key.
    status = run(tool, [*options, *files], descriptors, limits, output.append, answers=range(128))
    text = b"".join(output).decode(errors="replace")
    if tool is _GPGV:
        return [*_gpgv_verdicts(text)]
    # sqv prints the fingerprints of the primary keys whose signatures are good, if they are enough.
    good = [_Verdict(line) for line in text.splitlines() if status == 0]
    return good or [_Verdict("", "sqv finds no valid signature")]


def _gpgv_verdicts(text: str) -> Iterator[_Verdict]:
    """The verdicts in gpgv's lines for programs. A good signature has two: GOODSIG, and after it VALIDSIG."""
    is_good = False
    for line in text.splitlines():
        marker, _, rest = line.partition(" ")
        keyword, *fields = rest.split(" ")
        if marker != "[GNUPG:]" or not fields:
            continue
        if keyword == "VALIDSIG" and is_good:
            yield _valid(fields)
        elif keyword in _BAD:
            yield _Verdict(fields[0], _BAD[keyword].format(fields[0]))
        elif keyword == "ERRSIG":
            yield _unchecked(fields)
        if keyword == "GOODSIG" or keyword in _BAD or keyword in {"ERRSIG", "NEWSIG"}:
            is_good = keyword == "GOODSIG"


def _valid(fields: Sequence[str]) -> _Verdict:
    """The verdict of a VALIDSIG line: `FINGERPRINT DATE TIME EXPIRY VERSION - ALGORITHM HASH CLASS PRIMARY`.

    gpgv's `--weak-digest` would also refuse an old key that is bound to its name with SHA-1. Such a key comes from a
    keyring that the operator trusts, where nobody can have forged it.
    """
    _, _, _, _, _, _, _, hash_number, _, primary = (*fields, *[""] * 10)[:10]
    if hash_number in _WEAK_HASHES:
        return _Verdict(primary, _WEAK.format(primary, _WEAK_HASHES[hash_number]))
    return _Verdict(primary, "" if primary else _UNCHECKED.format(fields[0]))


def _unchecked(fields: Sequence[str]) -> _Verdict:
    """The verdict of an ERRSIG line: `KEYID ALGORITHM HASH CLASS TIME REASON [FINGERPRINT]`."""
    key, _, hash_number, _, _, reason, fingerprint = (*fields, *[""] * 7)[:7]
    key = key if fingerprint in {"", "-"} else fingerprint
    if reason == "9":
        return _Verdict(key, f"it is signed by the key {key}, which no keyring has")
    if hash_number in _WEAK_HASHES:
        return _Verdict(key, _WEAK.format(key, _WEAK_HASHES[hash_number]))
    return _Verdict(key, _UNCHECKED.format(key))


def _size(descriptor: int) -> int:
    """Bytes of the file, for a bound of time. A pipe's are not known, and come as slowly as a server sends them."""
    status = os.fstat(descriptor)
    return _PIPED if stat.S_ISFIFO(status.st_mode) else status.st_size


def _limits(size: int) -> Limits:
    seconds = _SECONDS + size // _RATE
    return Limits(processor=seconds, seconds=seconds, file_size=0)


def _memory_file(stack: ExitStack, content: bytes) -> int:
    """A file in memory, closed with the stack."""
    descriptor = os.memfd_create("lading", os.MFD_CLOEXEC)
    stack.callback(os.close, descriptor)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    return descriptor


def _keyring(path: Path) -> bytes:
    """The keyring in binary form. gpgv reads no other. Raises Refused."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_KEYRING + 1)
    except OSError as error:
        raise Refused(Unconfigured(f"the keyring {path} cannot be read: {error_text(error)}")) from error
    if len(content) > _LARGEST_KEYRING:
        raise Refused(Unconfigured(f"the keyring {path} is larger than {_LARGEST_KEYRING} bytes"))
    if _line_start(content, _KEY_BEGIN, 0) < 0:
        return content
    try:
        return b"".join(_unarmored(content))
    except ValueError as error:
        raise Refused(Unconfigured(f"the keyring {path} is not in OpenPGP's text form: {error}")) from error


def _unarmored(content: bytes) -> Iterator[bytes]:
    """The keys of each block of text (RFC 9580, section 6.2). Raises ValueError."""
    begin = _line_start(content, _KEY_BEGIN, 0)
    while begin >= 0:
        header_end = _BLANK_LINE.search(content, begin)
        end = _line_start(content, _KEY_END, begin)
        if header_end is None or end < header_end.end():
            raise ValueError("a block of it does not end")
        lines = content[header_end.end() : end].split()
        yield binascii.a2b_base64(b"".join(line for line in lines if not line.startswith(b"=")), strict_mode=True)
        begin = _line_start(content, _KEY_BEGIN, end)


def _line_start(content: bytes, line: bytes, start: int) -> int:
    """The position of the first line that begins so, from `start` on; -1: there is none."""
    if content.startswith(line, start) and (start == 0 or content[start - 1 : start] == b"\n"):
        return start
    found = content.find(b"\n" + line, start)
    return found + 1 if found >= 0 else -1
