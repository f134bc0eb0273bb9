"""One edge, running in one loop: what its site asks, on that loop.

    running = Running(wanted, guards)
    await nursery.start(running.run)      serves until cancelled; raises ConfigError before that
    running.adopt(other)                  another configuration in its place, as a reload does

Real sockets, or none (`memory`): then connections come by `connect`, on the portable driver, through the listener that
a client would have chosen. Everything here is the loop's, but for what says otherwise.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import trio

from edgestack.asgi import is_asgi
from edgestack.config.model import App, Config, Listener
from edgestack.http.facts import Facts
from edgestack.http.messages import Exchange
from edgestack.process.sockets import Sockets
from edgestack.stack import Stack
from edgestack.testing.authority import the_authority
from edgestack.testing.dialing import Dialed
from edgestack.testing.guards import Findings, ThreadWatch, look_at_cookies
from edgestack.testing.layout import Layout, Places, Wanted, laid_out
from edgestack.testing.pep3333 import Guarded, check_inside
from edgestack.testing.pipes import Pipe, memory_pipe
from edgestack.testing.records import Records
from edgestack.testing.tapping import Tap, Tapped

__all__ = ["Running"]

THREADS_END = 5.0
"""Seconds that application threads get at the end, before one is told of by name."""
AT_REST = 1.0
"""Seconds that exchanges may take to their ends once the client has its answer: thread switches, on a busy machine."""

log = logging.getLogger("edgestack.error")


class Running:
    """One edge."""

    def __init__(self, wanted: Wanted, findings: Findings) -> None:
        """
        :raises ConfigError: the configuration makes no sense, or an application cannot be loaded.
        """
        self.wanted = wanted
        self.findings = findings
        self.records = Records(self._ended)
        self.tap = Tap()
        self._threads = ThreadWatch()
        self._places = Places()
        self._guarded: list[Guarded] = []
        self._outer: Callable[[Any], Any] = lambda app: app
        self._failed: Callable[[Exception], None] | None = None
        self._stack: Stack | None = None
        self._nursery: trio.Nursery | None = None
        self._dialed: Dialed | None = None
        self._number = 0
        self.layout = laid_out(wanted, self._places)
        self.sockets = Sockets()
        self._ports: list[int] = []
        """Of the sockets; known when they are closed, too."""
        self.over = False

    # -- what is served ------------------------------------------------------------------------------------------------

    def around(self, outer: Callable[[Any], Any]) -> None:
        """Put something around every application, outside of the guards; before it runs."""
        self._outer = outer

    def keep_errors(self) -> None:
        """What functions of the test's raise in upstreams is found, not raised in a loop that is not the test's."""
        self._failed = self.findings.failed

    def _applications(self, layout: Layout) -> dict[App, Any]:
        said = layout.config.server.processes.worker_class == "asgi"
        return {app: self._watched(one, is_asgi(one, said=said)) for app, one in layout.applications.items()}

    def _watched(self, application: Any, asgi: bool) -> Any:
        """What is served in its place: guards know WSGI alone."""
        if asgi or not self.findings.guards & {"pep3333", "unclosed", "content-length"}:
            return self._outer(application)
        guarded = Guarded(application, self.findings)
        self._guarded.append(guarded)
        return self._outer(guarded)

    def _ended(self, exchange: Exchange) -> None:
        if "set-cookie" in self.findings.guards and exchange.request is not None:
            look_at_cookies(exchange, self.findings)

    @property
    def stack(self) -> Stack:
        """What serves."""
        assert self._stack is not None, "the edge is not running"
        return self._stack

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """As they were bound; in memory, as they are configured."""
        return self.layout.config.listeners if self.wanted.memory else self.sockets.listeners

    # -- serving -------------------------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled.

        :raises OSError: the loopback has no port that is free.
        """
        layout, memory = self.layout, self.wanted.memory
        if not memory:
            self._bound(Sockets.bind(layout.config.listeners))
        inside = trio.CancelScope()
        try:
            async with trio.open_nursery() as outside:
                await outside.start(self._serve, inside)
                inside.shield = True  # until applications have ended: a cancellation comes here first
                task_status.started()
                try:
                    await trio.sleep_forever()
                finally:
                    await self.stack.lives.end()
                    inside.cancel()
        finally:
            self.over = True
            self.sockets.close()

    async def _serve(self, inside: trio.CancelScope, *, task_status: trio.TaskStatus[None]) -> None:
        layout, memory = self.layout, self.wanted.memory
        with inside:
            async with trio.open_nursery() as self._nursery:
                self._dialed = Dialed(layout.upstreams, self._nursery, memory=memory, failed=self._failed)
                records: Any = self.records
                certificates = the_authority().certificates(layout.config.tls)
                self._stack = Stack(
                    layout.plan, self._applications(layout), records, portable=memory or self.wanted.portable,
                    dialer=self._dialed, certificates=certificates, admitted=None if memory else self.tap,
                )  # fmt: skip
                await self._nursery.start(self._stack.serve, self.sockets.pairs)
                task_status.started()
                await trio.sleep_forever()

    def adopt(self, wanted: Wanted) -> None:
        """Serve another configuration from now on; what is in flight is finished by the one before.

        :raises ConfigError: it makes no sense; nothing has changed.
        """
        layout = laid_out(wanted, self._places)
        assert self._dialed is not None
        sockets = self.sockets if self.wanted.memory else self.sockets.changed(layout.config.listeners)
        try:
            self.stack.adopt(layout.plan, self._applications(layout), sockets=sockets.pairs)
        except BaseException:
            sockets.abandoned(self.sockets)
            raise
        self.sockets.left(sockets)
        self._dialed.upstreams = {**self._dialed.upstreams, **layout.upstreams}
        self.wanted, self.layout = wanted, layout
        self._bound(sockets)

    def _bound(self, sockets: Sockets) -> None:
        self.sockets = sockets
        self._ports = [sock.getsockname()[1] for _, sock in sockets.pairs]

    def finish(self) -> None:
        """After `run`, on any thread: what the guards find at the end."""
        stack = self._stack
        if stack is not None and not stack.threads.stop(THREADS_END):
            for one in stack.threads.still_running():
                self.findings.add("threads", f"this application thread still runs: {one}")
        for guarded in self._guarded:
            guarded.check(self.findings)
        check_inside(self.findings)
        self._threads.check(self.findings)

    # -- what it has done ----------------------------------------------------------------------------------------------

    def at_rest(self) -> bool:
        """Whether no application thread works on an exchange; on any thread."""
        statistics = self.stack.threads.statistics()
        return not (statistics.busy or statistics.waiting)

    def rest(self) -> None:
        """Wait, on a thread that is not the loop's, until the exchanges whose answers were seen have ended."""
        until = time.monotonic() + AT_REST
        pause = threading.Event()
        while not self.at_rest() and time.monotonic() < until:
            pause.wait(0.001)

    def statistics(self) -> dict[str, Any]:
        """Counters and levels; `upstreams` has a state for each peer, by its name."""
        upstreams = {group.name: {peer.address: peer for peer in group.peers} for group in self.stack.upstreams()}
        return {**self.stack.statistics(), "exchanges": len(self.records.lines), "upstreams": upstreams}

    # -- where it is ---------------------------------------------------------------------------------------------------

    def url(self, path: str, host: str) -> str:
        """An absolute URL, of the first listener that is no redirect."""
        listener, port = self._listener(None)
        scheme = "https" if listener.tls else "http"
        usual = 443 if listener.tls else 80
        return f"{scheme}://{host}{'' if port == usual else f':{port}'}{path}"

    def redirect_url(self, path: str, host: str) -> str:
        """The same of the listener that redirects.

        :raises ValueError: there is none.
        """
        at = next((at for at, one in enumerate(self.listeners) if one.redirect), None)
        if at is None:
            raise ValueError("no listener redirects: say redirect_http")
        return f"http://{host}:{80 if self.wanted.memory else self._ports[at]}{path}"

    def _listener(self, scheme: str | None) -> tuple[Listener, int]:
        """The listener that a client of that scheme finds, and its port: in memory the usual one."""
        wanted = [
            (one, at) for at, one in enumerate(self.listeners)
            if (not one.redirect if scheme is None else one.tls == (scheme == "https"))
        ]  # fmt: skip
        if not wanted:
            raise ValueError(f"no listener speaks {scheme or 'anything but redirects'}")
        listener, at = wanted[0]
        if self.wanted.memory:
            return listener, 443 if listener.tls else 80
        return listener, self._ports[at]

    def place(self, url: str) -> tuple[str, str, int, bool, str]:
        """A path or URL taken apart: host as in Host, host name, port, whether TLS is spoken, request-target."""
        whole = url if "://" in url else self.url(url if url.startswith(("/", "*")) else f"/{url}", "localhost")
        parts = urlsplit(whole)
        listener, port = self._listener(parts.scheme)
        name = parts.hostname or "localhost"
        authority = parts.netloc.rpartition("@")[2] or name
        target = whole.partition("#")[0].partition("://")[2].removeprefix(parts.netloc)  # as given: "/x?" has its "?"
        if not target.startswith("/"):
            target = f"/{target}"
        return authority, name, port, listener.tls, "*" if url == "*" else target

    # -- in memory -----------------------------------------------------------------------------------------------------

    def connect(self, scheme: str | None, client: str, sni: str) -> Pipe:
        """A connection in memory; the server's end is served from now on.

        :param client: the address that it comes from.
        """
        listener, port = self._listener(scheme)
        ours, theirs = memory_pipe()
        self._number += 1
        name = sni if listener.tls else ""
        facts = Facts(client, 40000 + self._number, "127.0.0.1", port, "https" if listener.tls else "http", name)
        stream = Tapped(theirs, self.tap.line())
        assert self._nursery is not None
        self._nursery.start_soon(partial(self.stack.serve_stream, stream, facts, listener))
        return ours

    @property
    def config(self) -> Config:
        """What is served."""
        return self.layout.config
