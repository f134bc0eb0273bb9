"""`--check-config`: what a start would find out, without opening a listener or a log. Applications are imported.

compose      what the chains need
TLS          do certificates and keys belong together
identity     are there such a user and such a group
application  does it load, in its folder and with its variables
"""

from __future__ import annotations

from edgestack.compose import compose
from edgestack.content.loading import load
from edgestack.process.configuring import Configured
from edgestack.process.hooks import adjust
from edgestack.process.identity import settle
from edgestack.wire.tls import Certificates

__all__ = ["rehearse"]


def rehearse(configured: Configured) -> None:
    """Go through a start.

    :raises ConfigError: it would fail.
    """
    config = configured.config
    plan = compose(config)
    Certificates.of(config.tls, adjust=adjust(configured.options))
    settle(config.server.processes)
    for app in plan.applications:
        load(app.target, app.folder)
