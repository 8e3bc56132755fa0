"""Cinder's API, scheduler and volume service in one process: no message broker is needed, its transport is fake."""

# ruff: noqa: E402  # the order matters: what patches the standard library goes first
# mypy: disable-error-code="import-not-found,import-untyped"
from cinder import monkey_patch

monkey_patch.patch()

import sys

import eventlet
import os_brick
from cinder import objects, service, utils, version
from cinder.cmd.volume import host_opt
from cinder.common import config, constants
from oslo_config import cfg
from oslo_log import log
from oslo_privsep import priv_context


def main() -> None:
    """Runs until it is stopped. The arguments are those of any service of Cinder's."""
    objects.register_all()
    cfg.CONF(sys.argv[1:], project="cinder", version=version.version_string())
    config.set_middleware_defaults()
    log.setup(cfg.CONF, "cinder")
    utils.get_root_helper = lambda: ""  # neither sudo nor rootwrap: whoever isn't root makes no volumes of images
    priv_context.init(root_helper=[])
    os_brick.setup(cfg.CONF)
    eventlet.spawn(service.Service.create(binary="cinder-scheduler").start)
    for backend in cfg.CONF.enabled_backends:
        cfg.CONF.register_opt(host_opt, group=backend)
        host = f"{cfg.CONF.host}@{backend}"
        service.Service.create(
            host=host, service_name=backend, binary=constants.VOLUME_BINARY, coordination=True
        ).start()
    service.WSGIService("osapi_volume").start()
    while True:
        eventlet.sleep(60)


if __name__ == "__main__":
    main()
