"""The services as fixtures. What the machine lacks is a skip that says so; a service that doesn't start is an error.

The session's instances are shared: a test makes images of its own, and stops or freezes only what it started itself.
"""

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Protocol

import pytest
from tests.faulty_server import FaultyServer
from tests.integration.services.cache import Cache, Unbuildable, cache, environment, newer_etcd
from tests.integration.services.ceph import GIBIBYTE, Ceph, ceph, lacking, link_modules
from tests.integration.services.cinder import Cinder, cinder
from tests.integration.services.etcd import Etcd, etcd
from tests.integration.services.glance import Glance, Stores, glance
from tests.integration.services.keystone import Keystone, keystone
from tests.integration.services.nginx import Nginx, nginx
from tests.integration.services.registry import Registry, registry
from tests.integration.services.rgw import Rgw, lacking_gateway, rgw
from tests.integration.services.squid import Squid, squid
from tests.packages import needs


class StartGlance(Protocol):
    """Starts one more Glance, which ends with the test."""

    def __call__(
        self,
        *,
        locations: bool = True,
        direct_url: bool = True,
        keystone: Keystone | None = None,
        stores: Stores | None = None,
    ) -> Glance: ...


class StartKeystone(Protocol):
    """Starts one more Keystone, which ends with the test; `expiration` is in seconds."""

    def __call__(self, *, expiration: int = 3600) -> Keystone: ...


class StartCeph(Protocol):
    """Starts one more Ceph, which ends with the test."""

    def __call__(self, *, auth: bool = False, size: int = 8 * GIBIBYTE) -> Ceph: ...


class StartEtcd(Protocol):
    """Starts one more etcd, which ends with the test."""

    def __call__(self, size: int = 1, *, tls: bool = False, options: Sequence[str] = ()) -> Etcd: ...


class StartRgw(Protocol):
    """Starts one more gateway to the session's Ceph, which ends with the test."""

    def __call__(self, *, keystone: Keystone | None = None) -> Rgw: ...


class StartCinder(Protocol):
    """Starts one more Cinder in the session's Ceph, which ends with the test."""

    def __call__(self, keystone: Keystone) -> Cinder: ...


@pytest.fixture(scope="session")
def services() -> Cache:
    """The cache, with the services' virtual environment in it."""
    kept = cache()
    try:
        environment(kept)
    except Unbuildable as reason:
        pytest.skip(f"no environment for the services: {reason}")
    return kept


@pytest.fixture(scope="session")
def glance_open(services: Cache, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Glance]:
    """Shows locations and the direct URL, and believes any token that `token` makes."""
    with glance(tmp_path_factory.mktemp("glance-open"), services, locations=True, direct_url=True) as running:
        yield running


@pytest.fixture(scope="session")
def glance_hidden(services: Cache, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Glance]:
    """As Glance is by default: neither locations nor the direct URL in an image. Believes any token."""
    with glance(tmp_path_factory.mktemp("glance-hidden"), services, locations=False, direct_url=False) as running:
        yield running


@pytest.fixture(name="keystone", scope="session")
def keystone_(services: Cache, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keystone]:
    """Its catalog names no image service before `glance_keystone` is asked for."""
    with keystone(tmp_path_factory.mktemp("keystone"), services) as running:
        yield running


@pytest.fixture(scope="session")
def glance_keystone(services: Cache, keystone: Keystone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Glance]:
    """With real authentication; neither locations nor the direct URL in an image."""
    folder = tmp_path_factory.mktemp("glance-keystone")
    with glance(folder, services, locations=False, direct_url=False, keystone=keystone) as running:
        yield running


@pytest.fixture
def start_glance(services: Cache, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartGlance]:
    """For a Glance of the test's own, to stop, kill or freeze."""
    with ExitStack() as started:

        def start(
            *,
            locations: bool = True,
            direct_url: bool = True,
            keystone: Keystone | None = None,
            stores: Stores | None = None,
        ) -> Glance:
            folder, shown = tmp_path_factory.mktemp("glance"), {"locations": locations, "direct_url": direct_url}
            ours = glance(folder, services, keystone=keystone, stores=stores, **shown)
            return started.enter_context(ours)

        yield start


@pytest.fixture
def start_keystone(services: Cache, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartKeystone]:
    """For a Keystone of the test's own, for example with tokens that expire while one looks."""
    with ExitStack() as started:

        def start(*, expiration: int = 3600) -> Keystone:
            folder = tmp_path_factory.mktemp("keystone")
            return started.enter_context(keystone(folder, services, expiration=expiration))

        yield start


@pytest.fixture(name="nginx", scope="session")
def nginx_(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """Serves `nginx.folder`, into which a test puts files of its own."""
    needs("nginx")
    with nginx(tmp_path_factory.mktemp("nginx")) as running:
        yield running


@pytest.fixture(name="registry", scope="session")
def registry_(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry for anybody."""
    needs("docker-registry")
    with FaultyServer() as unused, registry(tmp_path_factory.mktemp("registry"), unused) as running:
        yield running


@pytest.fixture(scope="session")
def private_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that wants a user and a password."""
    needs("docker-registry")
    with FaultyServer() as unused, registry(tmp_path_factory.mktemp("private"), unused, "htpasswd") as running:
        yield running


@pytest.fixture(scope="session")
def token_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that wants tokens, of the server that it plays at its `realm`."""
    needs("docker-registry")
    with FaultyServer() as realm, registry(tmp_path_factory.mktemp("tokens"), realm, "token") as running:
        yield running


@pytest.fixture(name="squid", scope="session")
def squid_() -> Iterator[Squid]:
    """A proxy for anybody."""
    needs("squid")
    with squid() as running:
        yield running


@pytest.fixture(scope="session")
def private_squid() -> Iterator[Squid]:
    """A proxy that wants credentials."""
    needs("squid")
    with squid(user="carrier", password="p@ss:word") as running:
        yield running


@pytest.fixture(scope="session")
def ceph_modules(tmp_path_factory: pytest.TempPathFactory) -> None:
    """From here on this process imports `rados` and `rbd`."""
    if reason := lacking():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("ceph-modules") / "python"
    link_modules(folder)
    sys.path.append(str(folder))
    # os-brick looks for them once, when it is first imported.
    if (brick := sys.modules.get("os_brick.initiator.linuxrbd")) is not None:
        vars(brick).update(rados=importlib.import_module("rados"), rbd=importlib.import_module("rbd"))


@pytest.fixture(name="ceph", scope="session")
def ceph_(ceph_modules: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ceph]:
    """Takes any client."""
    with ceph(tmp_path_factory.mktemp("ceph")) as running:
        yield running


@pytest.fixture
def start_ceph(ceph_modules: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartCeph]:
    """For a Ceph of the test's own, to stop, kill or freeze, or to give keys."""
    with ExitStack() as started:

        def start(*, auth: bool = False, size: int = 8 * GIBIBYTE) -> Ceph:
            return started.enter_context(ceph(tmp_path_factory.mktemp("ceph"), auth=auth, size=size))

        yield start


@pytest.fixture(scope="session")
def storage_keystone(services: Cache, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keystone]:
    """Another one: its catalog names `rgw`, `cinder` and `glance_stores` once they are asked for."""
    with keystone(tmp_path_factory.mktemp("keystone"), services) as running:
        yield running


@pytest.fixture(name="rgw", scope="session")
def rgw_(ceph: Ceph, storage_keystone: Keystone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rgw]:
    """Also takes the tokens of `storage_keystone`."""
    if reason := lacking_gateway():
        pytest.skip(reason)
    with rgw(tmp_path_factory.mktemp("rgw"), ceph, keystone=storage_keystone) as running:
        yield running


@pytest.fixture
def start_rgw(ceph: Ceph, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartRgw]:
    """For a gateway of the test's own, to stop, kill or freeze."""
    if reason := lacking_gateway():
        pytest.skip(reason)
    with ExitStack() as started:

        def start(*, keystone: Keystone | None = None) -> Rgw:
            return started.enter_context(rgw(tmp_path_factory.mktemp("rgw"), ceph, keystone=keystone))

        yield start


@pytest.fixture(name="cinder", scope="session")
def cinder_(
    services: Cache, ceph: Ceph, storage_keystone: Keystone, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cinder]:
    """Its volumes are in `ceph`, its users in `storage_keystone`."""
    with cinder(tmp_path_factory.mktemp("cinder"), services, ceph, storage_keystone) as running:
        yield running


@pytest.fixture(scope="session")
def stores(ceph: Ceph, rgw: Rgw, cinder: Cinder) -> Stores:
    """For a Glance that has them all."""
    return Stores(ceph, rgw, cinder)


@pytest.fixture(scope="session")
def glance_stores(
    services: Cache, storage_keystone: Keystone, stores: Stores, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Glance]:
    """With every store, and real authentication by `storage_keystone`; shows locations and the direct URL."""
    folder, shown = tmp_path_factory.mktemp("glance-stores"), {"locations": True, "direct_url": True}
    with glance(folder, services, keystone=storage_keystone, stores=stores, **shown) as running:
        yield running


@pytest.fixture
def start_cinder(services: Cache, ceph: Ceph, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartCinder]:
    """For a Cinder of the test's own, to stop, kill or freeze; its Keystone must be the test's own too."""
    with ExitStack() as started:

        def start(keystone: Keystone) -> Cinder:
            return started.enter_context(cinder(tmp_path_factory.mktemp("cinder"), services, ceph, keystone))

        yield start


@pytest.fixture(name="etcd", scope="session")
def etcd_(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """Of one member. A test uses a namespace of its own."""
    needs("etcd")
    with etcd(tmp_path_factory.mktemp("etcd")) as running:
        yield running


@pytest.fixture(scope="session")
def etcd_of_three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """Of three members. A test that stops one starts it again."""
    needs("etcd")
    with etcd(tmp_path_factory.mktemp("etcd-three"), 3) as running:
        yield running


@pytest.fixture(scope="session")
def etcd_of_pypi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """Of one member, of a later release than Debian's."""
    try:
        command = newer_etcd(cache())
    except Unbuildable as reason:
        pytest.skip(f"no etcd from PyPI: {reason}")
    with etcd(tmp_path_factory.mktemp("etcd-pypi"), command=str(command)) as running:
        yield running


@pytest.fixture
def start_etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartEtcd]:
    """For an etcd of the test's own, to stop, kill or freeze."""
    needs("etcd")
    with ExitStack() as started:

        def start(size: int = 1, *, tls: bool = False, options: Sequence[str] = ()) -> Etcd:
            return started.enter_context(etcd(tmp_path_factory.mktemp("etcd"), size, tls=tls, options=options))

        yield start
