"""An etcd that takes only clients with a certificate, and only users: what it lets in, and what refusals say."""

import json
import logging
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest
from tests.etcd_record import etcd_associations, etcd_locks
from tests.integration.etcd.users import Users
from tests.integration.services.certificates import certificates
from tests.integration.services.etcd import Etcd, etcd
from tests.integration.services.fixtures import StartEtcd
from tests.integration.services.running import Process, free_port
from tests.packages import needs, program

from lading.adapters.cli.exits import Exit
from lading.adapters.etcd.cluster import Cluster
from lading.adapters.etcd.operations import get, put
from lading.ports.failures import StoreUnavailable
from lading.sdk.contracts.association_stores import association

GUARD: Final = 180.0
"""Seconds after which something hangs."""
TIMEOUT: Final = 20.0
"""Seconds: a refusal that waits for them is too slow."""
PASSWORD: Final = "p4ssM4RK"  # noqa: S105 - it opens nothing
NAMESPACE: Final = "ours"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    needs("etcd")
    with etcd(tmp_path_factory.mktemp("etcd-secured"), tls=True) as running:
        users = Users(running)
        users.add("lading", PASSWORD, NAMESPACE)
        users.add("nobody", PASSWORD)
        yield running


@pytest.fixture
def given(secured: Etcd, tmp_path: Path) -> dict[str, Any]:
    """Settings with all that it takes to get in."""
    own = secured.members[0].certificates
    assert own is not None
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    return {
        "ca_file": own.authority, "cert_file": own.server, "key_file": own.key, "timeout": TIMEOUT,
        "user": "lading", "password_file": tmp_path / "password",
    }  # fmt: skip


def refusal(etcd: Etcd, settings: dict[str, Any]) -> str:
    """What a call is refused with, well before its timeout."""
    began = time.monotonic()
    with pytest.raises(StoreUnavailable) as refused:
        Cluster(etcd.settings(**settings)).transaction([get(f"{NAMESPACE}/x".encode())])
    assert time.monotonic() - began < TIMEOUT / 2
    said = str(refused.value)
    for jargon in ("\n", "urllib3", "Pool", "Errno", "_ssl.c", "Error(", "etcdserver"):
        assert jargon not in said
    return said


def test_a_client_with_a_certificate_and_a_user_gets_in(secured: Etcd, given: dict[str, Any]) -> None:
    store = etcd_associations(secured, NAMESPACE, **given)
    store.put(association("/a")).unwrap()
    assert list(store.list()) == [association("/a")]


def test_a_certificate_of_another_authority_is_not_trusted(
    secured: Etcd, given: dict[str, Any], tmp_path: Path
) -> None:
    other = certificates(tmp_path)
    assert refusal(secured, given | {"ca_file": other.authority}) == (
        f"etcd cannot be used: {secured.endpoints[0]}: its certificate is not trusted: "
        "unable to get local issuer certificate"
    )


def test_a_certificate_for_another_address_is_not_trusted(secured: Etcd, given: dict[str, Any], tmp_path: Path) -> None:
    port = free_port()
    behind, elsewhere = secured.endpoints[0].removeprefix("https://"), f"127.0.0.2:{port}"
    relay = [program("etcd") or "", "gateway", "start", "--endpoints", behind, "--listen-addr", elsewhere]
    process = Process(relay, tmp_path, ())
    process.start(lambda: "ready to proxy" in process.log.read_text())
    try:
        assert refusal(secured, given | {"endpoints": (f"https://{elsewhere}",)}) == (
            f"etcd cannot be used: https://{elsewhere}: its certificate is not trusted: IP address mismatch, "
            "certificate is not valid for '127.0.0.2'"
        )
    finally:
        process.kill()


def test_a_client_without_a_certificate_is_refused(secured: Etcd, given: dict[str, Any]) -> None:
    assert refusal(secured, given | {"cert_file": None, "key_file": None}) == (
        f"etcd cannot be used: {secured.endpoints[0]}: it ends TLS: "
        "it may require a client certificate (cert_file, key_file), or use no TLS"
    )


def test_a_client_with_a_certificate_of_another_authority_is_refused(
    secured: Etcd, given: dict[str, Any], tmp_path: Path
) -> None:
    other = certificates(tmp_path)
    assert refusal(secured, given | {"cert_file": other.server, "key_file": other.key}) == (
        f"etcd cannot be used: {secured.endpoints[0]}: it ends TLS: "
        f"it may not trust the certificate {other.server}, or use no TLS"
    )


def test_a_user_with_a_common_name_in_its_certificate_is_refused(secured: Etcd, given: dict[str, Any]) -> None:
    """By etcd, whatever the user: its gateway cannot tell its own certificate from the client's."""
    own = secured.members[0].certificates
    assert own is not None
    assert refusal(secured, given | {"cert_file": own.client}) == (
        f"etcd cannot be used: {secured.endpoints[0]}: "
        "where it has users, a client certificate must not have a common name (CN)"
    )


def test_an_etcd_without_the_gateway_is_refused(start_etcd: StartEtcd) -> None:
    etcd = start_etcd(options=["--enable-grpc-gateway=false"])
    assert refusal(etcd, {"timeout": TIMEOUT}).endswith("it has no JSON gateway: start etcd with --enable-grpc-gateway")


def test_https_to_an_etcd_without_tls_is_refused(secured: Etcd, etcd: Etcd, given: dict[str, Any]) -> None:
    plain = etcd.endpoints[0].replace("http:", "https:")
    assert refusal(secured, given | {"endpoints": (plain,)}).startswith(f"etcd cannot be used: {plain}: it ends TLS")


@pytest.mark.parametrize("name", ["ca_file", "cert_file", "key_file"])
def test_a_file_that_cannot_be_read_is_named(secured: Etcd, given: dict[str, Any], tmp_path: Path, name: str) -> None:
    absent = tmp_path / "absent"
    assert refusal(secured, given | {name: absent}) == f"{absent}: it cannot be read: No such file or directory"


@pytest.mark.parametrize("name", ["ca_file", "cert_file", "key_file"])
def test_a_file_that_is_no_certificate_is_named(
    secured: Etcd, given: dict[str, Any], tmp_path: Path, name: str
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("no certificate\n")
    said = refusal(secured, given | {name: wrong})
    assert str(wrong) in said
    assert ": expected " in said


def test_an_encrypted_key_is_refused_without_a_prompt(secured: Etcd, given: dict[str, Any], tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization as pem  # noqa: PLC0415 - only here

    key = pem.load_pem_private_key(given["key_file"].read_bytes(), None)
    encrypted, form = tmp_path / "encrypted", pem.PrivateFormat.PKCS8
    encrypted.write_bytes(key.private_bytes(pem.Encoding.PEM, form, pem.BestAvailableEncryption(b"secret")))
    assert refusal(secured, given | {"key_file": encrypted}).endswith(
        f"{encrypted}: expected a certificate and its key, not encrypted"
    )


def test_a_wrong_password_is_refused(secured: Etcd, given: dict[str, Any]) -> None:
    given["password_file"].write_text("wr0ngM4RK")
    said = refusal(secured, given)
    assert said == "etcd refuses: authentication failed, invalid user ID or password"


def test_a_password_that_cannot_be_read_is_named(secured: Etcd, given: dict[str, Any], tmp_path: Path) -> None:
    given["password_file"].unlink()
    assert refusal(secured, given) == (
        f"{tmp_path}/password: the password for etcd cannot be read: No such file or directory"
    )
    given["password_file"].write_bytes(b"\xff")
    assert refusal(secured, given) == f"{tmp_path}/password: the password for etcd is no UTF-8"


def test_a_client_that_names_no_user_is_told_to(secured: Etcd, given: dict[str, Any]) -> None:
    said = refusal(secured, given | {"user": None, "password_file": None})
    assert said == "etcd refuses: permission denied: it has users: configure user and password_file"


def test_a_user_where_etcd_has_none_is_refused(secured: Etcd, etcd: Etcd, given: dict[str, Any]) -> None:
    assert refusal(secured, given | {"endpoints": etcd.endpoints}) == "etcd refuses: authentication is not enabled"


def test_a_user_without_permission_is_refused(secured: Etcd, given: dict[str, Any]) -> None:
    assert refusal(secured, given | {"user": "nobody"}) == "etcd refuses: permission denied"
    locks = etcd_locks(secured, NAMESPACE, **given | {"user": "nobody"})
    with pytest.raises(StoreUnavailable, match=r"^etcd refuses: permission denied$"), locks.hold("a"):
        pass


def test_a_user_has_no_other_namespace(secured: Etcd, given: dict[str, Any]) -> None:
    refused = etcd_associations(secured, "theirs", **given).put(association("/a"))
    assert str(refused.failure()) == "etcd refuses: permission denied"


def test_a_token_that_is_no_longer_valid_is_replaced(secured: Etcd, given: dict[str, Any]) -> None:
    """A member forgets all tokens when it starts."""
    (member,) = secured.members
    store, locks = etcd_associations(secured, NAMESPACE, **given), etcd_locks(secured, NAMESPACE, **given)
    with locks.hold("a"):
        store.put(association("/b")).unwrap()
        member.process.kill()
        member.start()
        assert store.get("/b").unwrap() == association("/b")
        locks.require("a")
        assert locks.fence("a") is None
    with locks.hold("a", wait=False) as held:
        assert held


def test_a_waiter_is_a_user_too(secured: Etcd, given: dict[str, Any]) -> None:
    one, other = (etcd_locks(secured, NAMESPACE, host, scope="s", **given) for host in ("host1", "host2"))
    order: list[str] = []

    def wait() -> None:
        with other.hold("target /a"):
            order.append("second")

    with ThreadPoolExecutor(1) as elsewhere:
        with one.hold("target /a"):
            waiting = elsewhere.submit(wait)
            time.sleep(0.5)
            order.append("first")
        waiting.result(GUARD)
    assert order == ["first", "second"]


def test_credentials_are_in_no_log_and_in_no_key(
    secured: Etcd,
    given: dict[str, Any],
    host: Path,
    environment: dict[str, str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    cluster = Cluster(secured.settings(**given))
    cluster.transaction([put(f"{NAMESPACE}/x".encode(), b"")])
    token = secured.members[0].ask("auth/authenticate", {"name": "lading", "password": PASSWORD})["token"]
    monkeypatch.setattr(cluster, "_token", token)
    cluster.transaction([get(f"{NAMESPACE}/x".encode())])
    assert token not in caplog.text
    names = {"ca_file": "CA_FILE", "cert_file": "CERT_FILE", "key_file": "KEY_FILE", "password_file": "PASSWORD_FILE"}
    variables = {f"LADING_ASSOCIATIONS__{name}": str(given[key]) for key, name in names.items()} | {
        "LADING_ASSOCIATIONS__KIND": "etcd", "LADING_ASSOCIATIONS__ENDPOINTS": secured.endpoints[0],
        "LADING_ASSOCIATIONS__NAMESPACE": NAMESPACE, "LADING_ASSOCIATIONS__USER": "lading",
        "LADING_LOCKS__KIND": "etcd",
    }  # fmt: skip
    said = caplog.text
    for password in (PASSWORD, "wr0ngM4RK"):
        given["password_file"].write_text(password)
        done = subprocess.run(
            [sys.executable, "-m", "lading", "fetch", "-vv", "nothing", "vms/1"], cwd=host, check=False,
            env=environment | variables, capture_output=True, text=True, timeout=GUARD,
        )  # fmt: skip
        assert done.returncode == (Exit.IMAGE_NOT_FOUND if password == PASSWORD else Exit.FAILED), done.stderr
        said += done.stdout + done.stderr
    root = secured.members[0].ask("auth/authenticate", {"name": "root", "password": "r00tM4RK"})["token"]
    everything = secured.members[0].ask("kv/range", {"key": "AA==", "range_end": "AA=="}, token=root)
    said += json.dumps(everything)
    assert "M4RK" not in said
    assert b64encode(PASSWORD.encode()).decode() not in said
