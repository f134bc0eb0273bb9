"""One serving process, from checked configuration to exit status. The only place that brings the parts together.

    serve(config, options)
      ├ checks, limits, error log, pid file          what can fail quickly
      ├ generation.begin                             sockets; development certificate, applications, a plan
      ├ Stack(plan)                                  certificates are loaded here
      └ trio.run(_live)                              until here a stop order is starting.py's
          signals opened ─ stack.serve accepts ─ control socket, ready file, banner, browser ─ an order ─ drain
                                                                                    └ reload.py: another generation
      logs flushed, files removed; os._exit when an application thread cannot be ended

Everything opened on the way is closed on the way out, in reverse order, whichever step failed. `ConfigError` is raised
through, for `cli.py` to tell.
"""

from __future__ import annotations

import logging
import os
import resource
import shutil
import sys
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import trio

from edgestack import __version__
from edgestack.certs.authority import Development
from edgestack.config.model import Config
from edgestack.content.files import hidden_names
from edgestack.errors import ConfigError
from edgestack.process.banner import Scene, banner, friendly, wants_colour
from edgestack.process.cache_orders import cache_order
from edgestack.process.checks import check
from edgestack.process.code_watch import CodeWatch
from edgestack.process.control import Message
from edgestack.process.control_server import Control
from edgestack.process.generation import begin
from edgestack.process.hosts import Hosts
from edgestack.process.logs import open_error_log
from edgestack.process.markers import Marker, claim_pid_file, ready_text, write_ready_file
from edgestack.process.options import Options
from edgestack.process.proxied import proxied
from edgestack.process.reload import Reloader
from edgestack.process.signals import INTERRUPTED, has_terminal, leave, signals_to_receive, wait_for_order
from edgestack.process.sockets import Sockets
from edgestack.process.starting import Orders, Stopped
from edgestack.process.tuning import freeze, share_the_interpreter
from edgestack.stack import Stack
from edgestack.wire.held_clock import on_thread
from edgestack.wire.x509 import read_certificate

__all__ = ["program_name", "serve"]

log = logging.getLogger("edgestack.error")


def serve(config: Config, options: Options) -> int:
    """Serve until told to stop.

    :return: 0 after a graceful stop, 130 after a second SIGINT or one before anything was served, 1 when the server
        itself broke (told in the error log).
    :raises ConfigError: what the user wrote cannot be served.
    """
    running: list[str] = []
    stopped = False
    with Orders() as orders:
        try:
            with ExitStack() as at_exit:
                status = _Process(config, options, at_exit, orders).live(running)
        except Stopped as order:
            stopped, status = True, order.status
    if running or stopped or status == INTERRUPTED:  # the interpreter would wait for, or crash beside, endless threads
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


class _Process:
    """What is opened, step by step, for one call of `serve`."""

    def __init__(self, config: Config, options: Options, at_exit: ExitStack, orders: Orders) -> None:
        self.options = options
        self.orders = orders
        self.at_exit = at_exit
        check(config, options)
        raise_descriptor_limit()
        share_the_interpreter()
        self.error_log = open_error_log(config.server.log)
        at_exit.callback(self.error_log.close)
        if options.pid_file is not None:
            at_exit.callback(claim_pid_file(options.pid_file).remove)
        generation = begin(config, options, importing=orders.interruptible)
        try:
            unknown = generation.development.learn if generation.development else None
            self.stack = Stack(generation.plan, generation.applications, generation.access_log, unknown)
        except BaseException:
            generation.close()
            raise
        self.reloader = Reloader(self.stack, generation, self.error_log, self._reloaded)
        self.hosts = Hosts(generation.groups)
        at_exit.callback(self._close_generation)
        at_exit.callback(self._end_hosts)
        self.control = Control({"reload": self._reload, "status": self._status, "cache": self._cache})
        self.ready_file: Marker | None = None
        self.started = time.time()
        freeze()

    def live(self, running: list[str]) -> int:
        """Serve until told to stop; the exit status.

        :param running: gets the application threads that could not be ended.
        """
        try:
            status, threads = trio.run(self._live)
        except Exception as error:
            wrong = _refusal(error)
            if wrong is not None:
                raise wrong from None
            log.critical("the server broke", exc_info=True)
            return 1
        for thread in threads:
            log.warning("this application thread still ran and was left behind: %s", thread)
        running += threads
        return status

    async def _live(self) -> tuple[int, list[str]]:
        with trio.open_signal_receiver(*signals_to_receive()) as signals:
            self.orders.obey()  # what came after this is for the receiver
            async with trio.open_nursery() as nursery:
                await nursery.start(self.stack.serve, self.reloader.generation.sockets.pairs)
                self.at_exit.callback(self.control.close)
                self.control.open(os.environ)
                nursery.start_soon(self.control.run)
                self.hosts.bind(nursery)
                self._watch_code(nursery)
                self._announce(nursery)
                await self._wait_for_order(signals, nursery)
                self.reloader.stop()
                grace = self.reloader.generation.config.server.timeouts.graceful
                outcome = await leave(signals, lambda: self.stack.drain(grace), self._reopen_logs)
                nursery.cancel_scope.cancel()
        return outcome

    async def _wait_for_order(self, signals: AsyncIterator[int], nursery: trio.Nursery) -> None:
        """SIGHUP means another reading of a file; of one that was found, where nobody can close a terminal on us."""
        terminal = has_terminal()
        again = self.options.file is not None and not (terminal and self.options.found)
        reload = (lambda: nursery.start_soon(self.reloader.reload_logged)) if again else None
        await wait_for_order(signals, self._reopen_logs, terminal=terminal, reload=reload)

    def _announce(self, nursery: trio.Nursery) -> None:
        """Tell everybody who waits that connections are accepted."""
        generation = self.reloader.generation
        urls = generation.sockets.urls()
        if self.options.ready_file is not None:
            self.ready_file = write_ready_file(self.options.ready_file, urls)
            self.at_exit.callback(self.ready_file.remove)
        scene = _scene(generation.config, self.options, generation.sockets, generation.development)
        sys.stderr.write(banner(scene, colour=wants_colour(sys.stderr, os.environ)) + "\n")
        sys.stderr.flush()
        address = next((friendly(url) for url in urls if url.startswith("http")), None)
        if self.options.open_browser and address is not None:
            nursery.start_soon(_open_browser, address)

    def _reopen_logs(self) -> None:
        self.error_log.reopen()
        self.stack.reopen_logs()
        self.hosts.reopen_logs()
        log.info("logs reopened")

    def _watch_code(self, nursery: trio.Nursery) -> None:
        processes = self.reloader.generation.config.server.processes
        if processes.reload:
            nursery.start_soon(CodeWatch(self.reloader.renew, self.hosts, processes.reload_extra_files).run)

    def _end_hosts(self) -> None:
        self.hosts.end(self.reloader.generation.config.server.timeouts.graceful)

    def _close_generation(self) -> None:
        self.reloader.generation.close()

    # -- the control socket ----------------------------------------------------------------------------------------

    async def _reload(self, request: Message) -> Message:
        return {"warnings": await self.reloader.reload()}

    async def _cache(self, request: Message) -> Message:
        return await cache_order(self.stack.caches, request)

    async def _status(self, request: Message) -> Message:
        return {
            "pid": os.getpid(),
            "version": __version__,
            "started": self.started,
            "file": None if self.options.file is None else str(self.options.file.absolute()),
            "urls": self.reloader.generation.sockets.urls(),
            **self.reloader.statistics(),
            **self.stack.statistics(),
        }

    def _reloaded(self) -> None:
        generation = self.reloader.generation
        self.hosts.adopt(generation.groups, generation.config.server.timeouts.graceful)
        if self.ready_file is not None:
            try:
                self.ready_file.change(ready_text(self.reloader.generation.sockets.urls()))
            except ConfigError as error:
                log.error("the ready file: %s", error)


def _refusal(error: BaseException) -> ConfigError | None:
    """The ConfigError that an application's startup has ended in, whatever nurseries have wrapped around it."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error if isinstance(error, ConfigError) else None


async def _open_browser(url: str) -> None:
    """Starting a browser may take its time; the loop does not wait for it, nor does the exit."""
    import webbrowser

    await on_thread(webbrowser.open, url, abandon_on_cancel=True)


def raise_descriptor_limit() -> None:
    """Allow as many open files as the system lets us (E11)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError):  # macOS: the hard limit is "infinity" and may not be asked for
            return


def _scene(config: Config, options: Options, sockets: Sockets, development: Development | None) -> Scene:
    sites = config.all_sites()
    routes = [route for site in sites for route in site.routes]
    roots = dict.fromkeys(route.static.root for route in routes if route.static is not None)
    hidden = (name for root in roots for name in hidden_names(root))
    return Scene(
        version=__version__,
        urls=tuple(sockets.urls()),
        file="" if options.file is None else _shown(options.file),
        found=options.found,
        sites=tuple(", ".join(site.hosts) or "every other host" for site in sites) if config.sites else (),
        static=", ".join(_shown(root) + "/" for root in roots),
        hidden=tuple(dict.fromkeys(hidden)),
        app=", ".join(dict.fromkeys(route.app.target for route in routes if route.app is not None)),
        files_first=any(route.static is not None and route.app is not None for route in routes),
        threads=config.server.threads,
        proxies=proxied(config),
        certificate="" if development is None else _shown(development.ca),
        trusted=development is not None and _trusted(development),
        redirects=tuple(map(str, sockets.redirect_ports())),
        program=program_name(),
        dev=config.server.dev,
        notes=options.notes,
    )


def _trusted(development: Development) -> bool:
    """Whether a store of this machine is known to hold the development authority; runs no command."""
    from edgestack.certs.running import describe_machine
    from edgestack.certs.trust import Authority, trust_steps

    authority = Authority(development.ca, read_certificate(development.ca.read_bytes()))
    return any(step.present for step in trust_steps(describe_machine(), authority))


def program_name() -> str:
    """What one types to run this program again: not every environment is on the PATH."""
    if shutil.which("edgestack"):
        return "edgestack"
    return sys.argv[0] if Path(sys.argv[0]).name == "edgestack" else f"{_shown(Path(sys.executable))} -m edgestack"


def _shown(path: Path) -> str:
    """A path as short as it can be said here."""
    return os.path.relpath(path) if path.absolute().is_relative_to(Path.cwd()) else str(path)
