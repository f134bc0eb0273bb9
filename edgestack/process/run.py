"""One serving process without a supervisor, from checked configuration to exit status.

    serve(config, options)
      ├ checks, limits, error log, pid file            what can fail quickly
      ├ generation.begin                               sockets; development certificate, applications, a plan
      ├ Serving                                        the stack: certificates are loaded here
      └ serving.live                                   until here a stop order is starting.py's
          signals opened ─ stack.serve accepts ─ control socket, ready file, banner, browser ─ an order ─ drain
                                                                                    └ reload.py: another generation
      logs flushed, files removed; os._exit when an application thread cannot be ended

Everything opened on the way is closed on the way out, in reverse order, whichever step failed. `ConfigError` is raised
through, for `cli.py` to tell.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import trio

from edgestack.config.model import Config
from edgestack.errors import ConfigError
from edgestack.neighbours import Neighbours
from edgestack.process.checks import check
from edgestack.process.code_watch import CodeWatch
from edgestack.process.control import Message
from edgestack.process.control_server import Control
from edgestack.process.generation import Generation, begin
from edgestack.process.hooks import AT_WORKERS, Hooks, Server, Worker, hooks_of
from edgestack.process.hosts import Hosts
from edgestack.process.identity import entitle, settle
from edgestack.process.logs import open_error_log
from edgestack.process.markers import Marker, claim_pid_file, ready_text, write_ready_file
from edgestack.process.notify import Systemd
from edgestack.process.options import Options
from edgestack.process.orphans import reap_for_ever
from edgestack.process.reload import Reloader
from edgestack.process.scene import first_page, show_banner
from edgestack.process.serving import Outset, Serving, collected, end_process, tuned
from edgestack.process.signals import INTERRUPTED, has_terminal, wait_for_order
from edgestack.process.starting import Orders, Stopped
from edgestack.wire.held_clock import on_thread

__all__ = ["serve"]

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
                status = _alone(config, options, at_exit, orders).live(running)
        except Stopped as order:
            stopped, status = True, order.status
    if running or stopped or status == INTERRUPTED:
        end_process(status)
    return status


def _alone(config: Config, options: Options, at_exit: ExitStack, orders: Orders) -> Alone:
    """Everything up to the first accept."""
    check(config, options)
    tuned()
    settle(config.server.processes)
    entitle("", config)
    error_log = open_error_log(config.server.log, options)
    at_exit.callback(error_log.close)
    hooks = hooks_of(options)
    server, worker = Server(hooks.cfg), Worker(1, hooks.cfg, os.getpid())
    server.workers[worker.pid] = worker
    hooks.call("on_starting", server)
    at_exit.callback(hooks.call, "on_exit", server)
    if options.pid_file is not None:
        at_exit.callback(claim_pid_file(options.pid_file).remove)
    if config.server.processes.hosting:
        _warn_of(hooks)
    else:
        _be_both(hooks, server, worker, at_exit)
    generation = begin(config, options, importing=orders.interruptible)
    alone = Alone(Outset(generation, error_log, at_exit, orders, hooks, worker), server)
    collected()
    return alone


def _be_both(hooks: Hooks, server: Server, worker: Worker, at_exit: ExitStack) -> None:
    """What is to happen between a server and its worker happens, though both are this process."""
    hooks.call("pre_fork", server, worker)
    at_exit.callback(hooks.call, "child_exit", server, worker)
    hooks.call("post_fork", server, worker)
    at_exit.callback(hooks.call, "worker_exit", server, worker)


def _warn_of(hooks: Hooks) -> None:
    names = sorted(hooks.functions.keys() & AT_WORKERS)
    if names:
        log.warning("not called, since applications are hosted by other processes: %s", ", ".join(names))


class Alone(Serving):
    """Serves, and keeps itself."""

    def __init__(self, outset: Outset, server: Server) -> None:
        """:raises ConfigError: it cannot be served."""
        super().__init__(outset, Neighbours(crowded=_crowded))
        generation = outset.generation
        self.server = server
        self.options = generation.options
        self.reloader = Reloader(self.stack, generation, self.error_log, self._reloaded, self._around)
        self.hosts = Hosts(generation.groups)
        self._hurried = False
        self.at_exit.callback(self._close_generation)
        self.at_exit.callback(self._end_hosts)
        self.systemd = Systemd.of(os.environ)
        self.ready_file: Marker | None = None
        self._told: trio.MemorySendChannel[int]
        """Takes orders that are no signals."""
        verbs = {
            "reload": self._reload, "status": self._status, "cache": self.cache, "stop": self._stop,
            "scale": self._scale, "upstreams": self.upstreams,
        }  # fmt: skip
        self.control = Control(verbs)

    @property
    def generation(self) -> Generation:
        """The one that is served now."""
        return self.reloader.generation

    def begun(self, nursery: trio.Nursery, signals: AsyncIterator[int]) -> AsyncIterator[int]:
        """Tell everybody who waits that connections are accepted."""
        self.at_exit.callback(self.control.close)
        self.control.open(os.environ)
        nursery.start_soon(self.control.run)
        generation = self.generation
        urls = generation.sockets.urls()
        if self.options.ready_file is not None:
            self.ready_file = write_ready_file(self.options.ready_file, urls)
            self.at_exit.callback(self.ready_file.remove)
        show_banner(generation.config, self.options, generation.sockets, generation.development)
        page = first_page(urls)
        if self.options.open_browser and page is not None:
            nursery.start_soon(_open_browser, page)
        self._watch_hosts(nursery)
        self.systemd.ready()
        if self.systemd.watchdog:
            nursery.start_soon(self._feed_watchdog)
        self.hooks.call("when_ready", self.server)
        self._told, orders = trio.open_memory_channel[int](16)
        nursery.start_soon(_forward, signals, self._told)
        return orders

    def _watch_hosts(self, nursery: trio.Nursery) -> None:
        """The processes that host applications, and the code that those are made of."""
        self.hosts.bind(nursery)
        if os.getpid() == 1:
            nursery.start_soon(reap_for_ever, self.hosts.children)
        processes = self.generation.config.server.processes
        if processes.reload:
            nursery.start_soon(CodeWatch(self.reloader.renew, self.hosts, processes.reload_extra_files).run)

    async def _feed_watchdog(self) -> None:
        """As long as this loop runs, it is well."""
        while True:
            await trio.sleep(self.systemd.watchdog)
            self.systemd.alive()

    def _around(self, application: Any, options: Options, *, asgi: bool) -> Any:
        """A gunicorn configuration that was read again may bring other hooks; who runs already keeps those it has."""
        return hooks_of(options).around(application, self.worker, asgi=asgi)

    async def wait(self, orders: AsyncIterator[int], nursery: trio.Nursery) -> int:
        """SIGHUP means another reading of a file, and new code where others host it; but for a file that was named,
        only where nobody can close a terminal on us."""
        terminal, file = has_terminal(), self.options.file
        again = file is not None or bool(self.generation.groups)
        again = again and not (terminal and (file is None or self.options.found))
        reload = partial(nursery.start_soon, self._reload_logged) if again else None
        return await wait_for_order(orders, self.reopen_logs, terminal=terminal, reload=reload)

    def leaving(self) -> None:
        """Nothing is changed any more."""
        self.systemd.stopping()
        self.reloader.stop()
        self.hosts.say_goodbye()

    async def _reload_logged(self) -> None:
        self.hooks.call("on_reload", self.server)
        with self.systemd.reloading():
            await self.reloader.reload_logged()

    def reopen_logs(self) -> None:
        """Those of hosting processes too."""
        super().reopen_logs()
        self.hosts.reopen_logs()

    def live(self, running: list[str]) -> int:
        """See `Serving`."""
        status = super().live(running)
        self._hurried = status == INTERRUPTED
        return status

    def _end_hosts(self) -> None:
        self.hosts.end(at_once=self._hurried)

    def _close_generation(self) -> None:
        self.generation.close()

    # -- the control socket ----------------------------------------------------------------------------------------

    async def _reload(self, request: Message) -> Message:
        with self.systemd.reloading():
            return {"warnings": await self.reloader.reload()}

    async def _stop(self, request: Message) -> Message:
        """As SIGTERM; with "now" as SIGQUIT."""
        self._told.send_nowait(signal.SIGQUIT if request.get("now") else signal.SIGTERM)
        return {}

    async def _scale(self, request: Message) -> Message:
        hint = "start it with --workers 2 or more, and it has a supervisor"
        raise ConfigError("this server is one process without a supervisor: it cannot be scaled", hint=hint)

    async def _status(self, request: Message) -> Message:
        return {
            "file": None if self.options.file is None else str(self.options.file.absolute()),
            "urls": self.generation.sockets.urls(),
            "workers": [],
            **self.reloader.statistics(),
            **self.statistics(),
        }

    def _reloaded(self) -> None:
        self.hosts.adopt(self.generation.groups, self.generation.config.server.timeouts.graceful)
        if self.ready_file is not None:
            try:
                self.ready_file.change(ready_text(self.generation.sockets.urls()))
            except ConfigError as error:
                log.error("the ready file: %s", error)


def _crowded(lost: int) -> None:
    log.error(
        "%d application threads hang and were replaced; they keep what they hold until this process ends. "
        "With --workers 2 or more, a supervisor would replace the process",
        lost,
    )


async def _forward(signals: AsyncIterator[int], to: trio.MemorySendChannel[int]) -> None:
    async for number in signals:
        await to.send(number)


async def _open_browser(url: str) -> None:
    """Starting a browser may take its time; the loop does not wait for it, nor does the exit."""
    import webbrowser

    await on_thread(webbrowser.open, url, abandon_on_cancel=True)
