"""Users of an etcd, and what they may do."""

from base64 import b64encode
from typing import Final

from tests.integration.services.etcd import Etcd, Member

ROOT: Final = "r00tM4RK"
"""The password of root."""


def text(key: str) -> str:
    return b64encode(key.encode()).decode()


class Users:
    """The users of an etcd in which authentication is on."""

    def __init__(self, etcd: Etcd) -> None:
        self._member: Member = etcd.members[0]
        self._member.ask("auth/user/add", {"name": "root", "password": ROOT})
        self._member.ask("auth/user/grant", {"user": "root", "role": "root"})
        self._member.ask("auth/enable", {})

    def add(self, name: str, password: str, namespace: str | None = None) -> None:
        """A user who may read and write the namespace; None: nothing."""
        self._ask("auth/user/add", {"name": name, "password": password})
        if namespace is not None:
            self._ask("auth/role/add", {"name": name})
            ends = {"key": text(f"{namespace}/"), "range_end": text(f"{namespace}0")}
            self._ask("auth/role/grant", {"name": name, "perm": {"permType": "READWRITE", **ends}})
            self._ask("auth/user/grant", {"user": name, "role": name})

    def _ask(self, path: str, question: object) -> None:
        token = self._member.ask("auth/authenticate", {"name": "root", "password": ROOT})["token"]
        self._member.ask(path, question, token=token)
