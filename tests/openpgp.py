"""OpenPGP keys and signatures for tests, made by gpg in a home of their own."""

import subprocess
from pathlib import Path
from typing import Final, NamedTuple

from lading import Signer

__all__ = ["Key", "Keys"]

_LONG_AGO: Final = ("--faked-system-time", "20200101T000000!")


class Key(NamedTuple):
    """A key, and its keyring."""

    fingerprint: str
    keyring: Path

    @property
    def signer(self) -> Signer:
        """The signer where gpgv finds the signature good."""
        return Signer(self.fingerprint, str(self.keyring), "gpgv")


class Keys:
    """A home of gpg's, in which keys are made."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._home = folder / "gnupg"
        self._home.mkdir(mode=0o700)

    def make(self, name: str, *, is_expired: bool = False, binding: str = "SHA512") -> Key:
        """Makes a key to sign with. An expired one expired years ago. `binding`: the hash that binds it to its name."""
        options, expiry = (_LONG_AGO, "20200201T000000") if is_expired else ((), "never")
        if binding == "SHA1":
            options = _LONG_AGO  # when that was usual
        self._gpg(*options, "--cert-digest-algo", binding, "--quick-generate-key", name, "ed25519", "sign", expiry)
        listed = self._gpg("--with-colons", "--list-keys", name).decode().splitlines()
        fingerprint = next(line.split(":")[9] for line in listed if line.startswith("fpr:"))
        return Key(fingerprint, self.export(name, f"{name}.gpg"))

    def export(self, name: str, file_name: str, *options: str) -> Path:
        """Writes the public key of that name to a file."""
        path = self._folder / file_name
        path.write_bytes(self._gpg(*options, "--export", name))
        return path

    def revoke(self, key: Key) -> None:
        """Revokes the key, by the certificate that gpg made with it."""
        certificate = self._home / "openpgp-revocs.d" / f"{key.fingerprint}.rev"
        certificate.write_text(certificate.read_text().replace(":-----BEGIN", "-----BEGIN"))
        self._gpg("--import", str(certificate))
        key.keyring.write_bytes(self._gpg("--export", key.fingerprint))

    def clear_sign(self, text: bytes, *keys: Key) -> bytes:
        return self._gpg(*_users(keys), "--clear-sign", stdin=text)

    def sign(self, data: bytes, *keys: Key, options: tuple[str, ...] = ()) -> bytes:
        """Makes a detached signature."""
        return self._gpg(*options, *_users(keys), "--detach-sign", stdin=data)

    def sign_long_ago(self, data: bytes, key: Key) -> bytes:
        return self.sign(data, key, options=_LONG_AGO)

    def _gpg(self, *arguments: str, stdin: bytes = b"") -> bytes:
        home = ("--homedir", str(self._home), "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "")
        done = subprocess.run(["gpg", *home, *arguments], input=stdin, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def close(self) -> None:
        """Ends the agent that gpg started in the background."""
        subprocess.run(["gpgconf", "--homedir", str(self._home), "--kill", "all"], check=False, capture_output=True)


def _users(keys: tuple[Key, ...]) -> list[str]:
    return [word for key in keys for word in ("--local-user", key.fingerprint)]
