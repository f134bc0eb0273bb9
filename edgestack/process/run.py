"""One serving process, from checked configuration to exit status. The only place that brings the parts together.

    serve(config, options)
      ├ checks, limits, error log, pid file          what can fail quickly
      ├ sockets                                      a port in use is told at once
      ├ development certificate, application         what is slow
      ├ Stack(compose(config))                       certificates are loaded here
      └ trio.run(_live)
          signals opened ─ stack.serve accepts ─ ready file, banner, browser ─ an order ─ drain
      logs flushed, files removed; os._exit when an application thread cannot be ended

Everything opened on the way is closed on the way out, in reverse order, whichever step failed. `ConfigError` is raised
through, for `cli.py` to tell.
"""

from __future__ import annotations

import gc
import logging
import os
import resource
import sys
import webbrowser
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import trio

from edgestack import __version__
from edgestack.certs.authority import Development, development_certificate
from edgestack.compose import compose
from edgestack.config.model import App, Config, Listener, Tls
from edgestack.content.files import hidden_names
from edgestack.content.loading import load
from edgestack.errors import ConfigError
from edgestack.phases.access_log import AccessLog
from edgestack.process.banner import Scene, banner, friendly, wants_colour
from edgestack.process.checks import check
from edgestack.process.logs import open_error_log
from edgestack.process.markers import claim_pid_file, write_ready_file
from edgestack.process.options import Options
from edgestack.process.signals import INTERRUPTED, has_terminal, leave, signals_to_receive, wait_for_order
from edgestack.process.sockets import Sockets, inherited
from edgestack.stack import Stack
from edgestack.wire.x509 import read_certificate

__all__ = ["serve"]

SWITCH_INTERVAL = 0.0005
"""Seconds: beside computing application threads the loop waits a tenth of the default (design: 60 ms became 6)."""

log = logging.getLogger("edgestack.error")


def serve(config: Config, options: Options) -> int:
    """Serve until told to stop.

    :return: 0 after a graceful stop, 130 after a second SIGINT, 1 when the server itself broke (told in the error log).
    :raises ConfigError: what the user wrote cannot be served.
    """
    running: list[str] = []
    with ExitStack() as at_exit:
        status = _Process(config, options, at_exit).live(running)
    if running or status == INTERRUPTED:  # the interpreter would wait for, or crash beside, threads that never end
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


class _Process:
    """What is opened, step by step, for one call of `serve`."""

    def __init__(self, config: Config, options: Options, at_exit: ExitStack) -> None:
        self.options = options
        self.at_exit = at_exit
        check(config, options)
        raise_descriptor_limit()
        sys.setswitchinterval(SWITCH_INTERVAL)
        self.error_log = open_error_log(config.server.log)
        at_exit.callback(self.error_log.close)
        if options.pid_file is not None:
            at_exit.callback(claim_pid_file(options.pid_file).remove)
        self.sockets = Sockets.bind(_listeners(config, options))
        at_exit.callback(self.sockets.close)
        self.access_log = _open_access_log(config)
        if self.access_log is not None:
            at_exit.callback(self.access_log.close)
        self.development = development_certificate() if options.development_certificate else None
        self.config = _completed(config, self.sockets, self.development, options)
        self.stack = _stack(self.config, self.access_log, self.development)
        gc.collect()
        gc.freeze()  # what the application made at its import is not looked at again by every collection

    def live(self, running: list[str]) -> int:
        """Serve until told to stop; the exit status.

        :param running: gets the application threads that could not be ended.
        """
        try:
            status, threads = trio.run(self._live)
        except Exception:
            log.critical("the server broke", exc_info=True)
            return 1
        for thread in threads:
            log.warning("this application thread still ran and was left behind: %s", thread)
        running += threads
        return status

    async def _live(self) -> tuple[int, list[str]]:
        grace = self.config.server.timeouts.graceful
        terminal = has_terminal()
        with trio.open_signal_receiver(*signals_to_receive()) as signals:
            async with trio.open_nursery() as nursery:
                await nursery.start(self.stack.serve, self.sockets.pairs)
                self._announce(nursery)
                await wait_for_order(signals, self._reopen_logs, terminal=terminal)
                outcome = await leave(signals, lambda: self.stack.drain(grace), self._reopen_logs)
                nursery.cancel_scope.cancel()
        return outcome

    def _announce(self, nursery: trio.Nursery) -> None:
        """Tell everybody who waits that connections are accepted."""
        urls = self.sockets.urls()
        if self.options.ready_file is not None:
            self.at_exit.callback(write_ready_file(self.options.ready_file, urls).remove)
        scene = _scene(self.config, self.options, self.sockets, self.development)
        sys.stderr.write(banner(scene, colour=wants_colour(sys.stderr, os.environ)) + "\n")
        sys.stderr.flush()
        address = next((friendly(url) for url in urls if url.startswith("http")), None)
        if self.options.open_browser and address is not None:
            nursery.start_soon(_open_browser, address)

    def _reopen_logs(self) -> None:
        self.error_log.reopen()
        if self.access_log is not None:
            self.access_log.reopen()
        log.info("logs reopened")


async def _open_browser(url: str) -> None:
    """Starting a browser may take its time; the loop does not wait for it, nor does the exit."""
    await trio.to_thread.run_sync(webbrowser.open, url, abandon_on_cancel=True)


def raise_descriptor_limit() -> None:
    """Allow as many open files as the system lets us (E11)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError):  # macOS: the hard limit is "infinity" and may not be asked for
            return


def _listeners(config: Config, options: Options) -> list[Listener]:
    """Those that systemd passed where they are wanted, else the configured ones; redirects in any case."""
    redirects = [listener for listener in config.listeners if listener.redirect]
    secure = any(listener.tls for listener in config.listeners)
    passed = inherited(os.environ, os.getpid(), secure) if options.inherit else []
    return [*passed, *redirects] if passed else list(config.listeners)


def _open_access_log(config: Config) -> AccessLog | None:
    wanted = config.server.log
    if wanted.access == "off":
        return None
    try:
        return AccessLog(wanted.access, wanted.format, at_once=config.server.dev)
    except OSError as error:
        why = f"the access log {wanted.access} cannot be opened: {error.strerror}"
        raise ConfigError(why, key="access-log") from None


def _completed(config: Config, sockets: Sockets, development: Development | None, options: Options) -> Config:
    """The configuration with what is known only now: bound listeners, the certificate, and files never to be served."""
    log_files = [Path(path) for path in (config.server.log.access, config.server.log.error) if path not in ("-", "off")]
    own = [options.pid_file, options.ready_file, *(Path(one.path) for one in sockets.listeners if one.path)]
    private = [*config.server.private_paths, *log_files, *(path for path in own if path is not None)]
    tls = config.tls
    if development is not None:
        tls = Tls(((development.cert, development.key),))
        private += sorted(development.cert.parent.iterdir())  # the authority's key above all
    server = replace(config.server, private_paths=tuple(path.absolute() for path in private))
    return replace(config, server=server, listeners=sockets.listeners, tls=tls)


def _stack(config: Config, access_log: AccessLog | None, development: Development | None) -> Stack:
    """Load the applications and make what serves them."""
    plan = compose(config)
    applications: dict[App, Callable[..., Any]] = {app: load(app.target) for app in plan.applications}
    return Stack(plan, applications, access_log, unknown_host=development.learn if development else None)


def _scene(config: Config, options: Options, sockets: Sockets, development: Development | None) -> Scene:
    root = next((route.static.root for route in config.routes if route.static is not None), None)
    return Scene(
        version=__version__,
        urls=tuple(sockets.urls()),
        static="" if root is None else _shown(root) + "/",
        hidden=() if root is None else hidden_names(root),
        app=", ".join(route.app.target for route in config.routes if route.app is not None),
        threads=config.server.threads,
        certificate="" if development is None else _shown(development.ca),
        trusted=development is not None and _trusted(development),
        redirects=tuple(map(str, sockets.redirect_ports())),
        dev=config.server.dev,
        notes=options.notes,
    )


def _trusted(development: Development) -> bool:
    """Whether a store of this machine is known to hold the development authority; runs no command."""
    from edgestack.certs.running import describe_machine
    from edgestack.certs.trust import Authority, trust_steps

    authority = Authority(development.ca, read_certificate(development.ca.read_bytes()))
    return any(step.present for step in trust_steps(describe_machine(), authority))


def _shown(path: Path) -> str:
    """A path as short as it can be said here."""
    return os.path.relpath(path) if path.absolute().is_relative_to(Path.cwd()) else str(path)
