"""One reading of the configuration, made ready to be served: at the start, and at each reload beside the one before.

    begin(config, options)            sockets, access log, development certificate, applications
    begin(config, options, handed=…)  the same in a worker: the supervisor has bound the sockets
    begin(config, options, before)    the same; what is unchanged is what the generation before has
      └ after.succeeds(before)        it serves now: what only the one before had is let go
      └ after.fails(before)           it does not: what only this one has is let go

Once listeners, logs and certificates are open, the process becomes the user that is wanted, and only then is anything
imported. What can fail quickly comes before what is slow. Whatever fails, all that was opened on the way is closed
again. Slow (an import, a lookup), so it runs on a thread while the generation before goes on serving; nothing here
touches a loop.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgestack.certs.authority import Development, development_certificate
from edgestack.compose import Plan, compose
from edgestack.config.map_checks import own_variables
from edgestack.config.model import App, Config, Listener
from edgestack.content.loading import load
from edgestack.errors import ConfigError
from edgestack.http.variables import Scope
from edgestack.phases.access_log import AccessLog
from edgestack.phases.log_file import LoggedLines
from edgestack.process.hooks import adjust
from edgestack.process.host_group import HostGroup
from edgestack.process.identity import become, give_away, identity_of
from edgestack.process.logs import access_logger
from edgestack.process.options import Options
from edgestack.process.sockets import Sockets, inherited, wanted
from edgestack.upstream.hosted import Hosted
from edgestack.wire.tls import Certificates

__all__ = ["Generation", "begin", "renewed"]


@dataclass(frozen=True, slots=True)
class Generation:
    """All that serves what one reading of the configuration says."""

    said: Config
    """As it was read."""
    options: Options
    passed: tuple[Listener, ...]
    """The sockets that systemd passed to this process."""
    sockets: Sockets
    access_log: AccessLog | None
    development: Development | None
    config: Config
    """With what is known only now: bound listeners, the development certificate, files never to be served."""
    plan: Plan
    applications: Mapping[App, Callable[..., Any] | Hosted]
    certificates: Certificates | None
    """Loaded while the keys could be read; None without TLS, and after a reload."""
    groups: tuple[HostGroup, ...] = ()
    """The processes of those that are hosted."""

    def close(self) -> None:
        """The end of all."""
        self.sockets.close()
        if self.access_log is not None:
            self.access_log.close()

    def succeeds(self, before: Generation) -> None:
        """It is served now. (Sockets that are gone, and the log, were closed by the stack.)"""
        before.sockets.left(self.sockets)

    def fails(self, before: Generation) -> None:
        """The one before goes on."""
        for group in self.groups:
            group.abandon()
        self.sockets.abandoned(before.sockets)
        if self.access_log is not None and self.access_log is not before.access_log:
            self.access_log.close()


def begin(
    config: Config,
    options: Options,
    before: Generation | None = None,
    importing: Callable[[], AbstractContextManager[None]] = nullcontext,
    handed: tuple[Sockets, tuple[Listener, ...]] | None = None,
) -> Generation:
    """Make a generation.

    :param before: the one that serves.
    :param handed: sockets that the supervisor has bound, and those that systemd passed to it.
    :param importing: entered while applications are imported; what it raises is raised here.
    :raises ConfigError: what the user wrote cannot be served; nothing has changed.
    """
    backlog = config.server.processes.backlog
    with ExitStack() as undo:
        if handed is not None:
            passed = handed[1]
            sockets = handed[0].changed(wanted(config, options, passed))
            undo.callback(sockets.close)
        elif before is None:
            passed = tuple(inherited(os.environ, os.getpid(), any(one.tls for one in config.listeners)))
            sockets = Sockets.bind(wanted(config, options, passed), backlog)
            undo.callback(sockets.close)
        else:
            passed = before.passed
            sockets = before.sockets.changed(wanted(config, options, passed), backlog)
            undo.callback(sockets.abandoned, before.sockets)
        access_log = _access_log(config, before)
        if access_log is not None and (before is None or access_log is not before.access_log):
            undo.callback(access_log.close)
        development = development_certificate() if options.development_certificate else None
        completed = _completed(config, sockets, development, options)
        plan = compose(completed)
        certificates = None
        if before is None:
            certificates = Certificates.of(completed.tls, development.learn if development else None, adjust(options))
            _drop(config, sockets)
        with importing():
            applications, groups = _applications(plan, before)
        undo.pop_all()
    return Generation(
        config, options, passed, sockets, access_log, development, completed, plan, applications, certificates, groups
    )


def _drop(config: Config, sockets: Sockets) -> None:
    """Be the user that is wanted: everything that only root may open is open, and nothing of the application's has run.

    :raises ConfigError: we may not.
    """
    identity = identity_of(config.server.processes)
    if identity is not None:
        log = config.server.log
        own = [path for path in (log.access, log.error) if path not in ("-", "off")]
        for path in (*own, *(one.path for one in sockets.listeners if one.path)):
            give_away(path, identity)
        become(identity)


def renewed(before: Generation) -> Generation:
    """The same, with fresh processes for the applications that are hosted: new code always means a fresh process.

    :raises ConfigError: one of them cannot be loaded; nothing has changed.
    """
    applications, groups = _applications(before.plan, before)
    return replace(before, applications=applications, groups=groups)


def _applications(
    plan: Plan, before: Generation | None
) -> tuple[dict[App, Callable[..., Any] | Hosted], tuple[HostGroup, ...]]:
    """Every application: hosted by fresh processes, or loaded into this one, unless it is there already.

    :raises ConfigError: one cannot be loaded; no process is left behind.
    """
    if not plan.config.server.processes.hosting:
        here = before.applications if before is not None else {}
        kept = {app: found for app, found in here.items() if not isinstance(found, Hosted)}
        return {app: kept[app] if app in kept else load(app.target, app.folder) for app in plan.applications}, ()
    with ExitStack() as undo:
        groups = []
        for app in plan.applications:
            groups.append(HostGroup(app, plan.config))
            undo.callback(groups[-1].abandon)
        for group in groups:
            group.wait()
        undo.pop_all()
    return {group.app: group.hosted for group in groups}, tuple(groups)


def _access_log(config: Config, before: Generation | None) -> AccessLog | None:
    """The log that is open already, where nothing is said of it that was not said before; else another one."""
    if before is not None and _log_section(config) == _log_section(before.said):
        return before.access_log
    wanted = config.server.log
    logger = access_logger()
    if wanted.access == "off" and logger is None:
        return None
    try:
        scope = Scope(maps=own_variables(config.maps, config.all_sites()))
        formats = dict(config.log_formats)
        file = LoggedLines(logger) if logger is not None else None
        return AccessLog(
            wanted.access, wanted.format, at_once=config.server.dev, formats=formats, scope=scope, file=file
        )
    except OSError as error:
        why = f"the access log {wanted.access} cannot be opened: {error.strerror}"
        raise ConfigError(why, key="access-log") from None


def _log_section(config: Config) -> tuple[object, ...]:
    log = config.server.log
    noted = frozenset(own_variables((), config.all_sites()))
    return log.access, log.format, log.config, config.server.dev, config.log_formats, config.maps, noted


def _completed(config: Config, sockets: Sockets, development: Development | None, options: Options) -> Config:
    """The configuration with what is known only now: bound listeners, the certificate, and files never to be served."""
    log_files = [Path(path) for path in (config.server.log.access, config.server.log.error) if path not in ("-", "off")]
    own = [options.pid_file, options.ready_file, *(Path(one.path) for one in sockets.listeners if one.path)]
    private = [*config.server.private_paths, *log_files, *(path for path in own if path is not None)]
    tls = config.tls
    if development is not None:
        tls = replace(tls, certificates=((development.cert, development.key),))
        private += sorted(development.cert.parent.iterdir())  # the authority's key above all
    server = replace(config.server, private_paths=tuple(path.absolute() for path in private))
    return replace(config, server=server, listeners=sockets.listeners, tls=tls)
