"""`Edge`: one edge for the length of a block. The door of everything else here.

with Edge("edgestack.toml", replace={"upstream.backend": fake}) as site: …      a thread, real sockets
async with Edge(app=app) as site: …                                             in this loop, real sockets
async with Edge(app=app, memory=True) as site: …                                in this loop, no sockets at all
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from traceback import format_exception
from types import TracebackType
from typing import Any

import trio

from edgestack.testing.async_site import AsyncSite, held_for_sockets
from edgestack.testing.guards import Findings, chosen
from edgestack.testing.layout import Wanted
from edgestack.testing.loop_thread import the_loop
from edgestack.testing.running import Running
from edgestack.testing.scripted import ScriptedUpstream
from edgestack.testing.site import Site

__all__ = ["Edge"]


class Edge:
    """An edge with a configuration of production's, or of the test's."""

    def __init__(
        self,
        config: str | Path | None = None,
        *,
        text: str = "",
        replace: Mapping[str, Any] | None = None,
        upstreams: Iterable[ScriptedUpstream] = (),
        guards: bool | Iterable[str] = True,
        memory: bool = False,
        portable: bool | None = None,
        **options: Any,
    ) -> None:
        """
        :param config: an `edgestack.toml`; its listeners get free ports of the loopback, its certificates the test
            authority's place.
        :param text: a configuration, instead of a file; relative paths begin in the current folder.
        :param replace: what stands in the way of a test. `"upstream.NAME"`: a `ScriptedUpstream`, the address of a
            server that runs ("127.0.0.1:9001"), or a list of those. `"app.MODULE:NAME"`: a WSGI application. Any other
            key with its tables ("server.timeouts.keepalive"): a value as TOML has it.
        :param upstreams: scripted ones, which take the place of what has their names: a group, a server of one, or the
            host that a route proxies to.
        :param guards: True for all, False for none, or the names of some of `GUARDS`.
        :param memory: no sockets; for `async with` only.
        :param portable: True for the driver that serves where there is no epoll, here too; in memory it always does.
        :param options: those of `edgestack serve`, with underscores: `app` (a callable, or "module:name"), `static`,
            `listing`, `proxy` (a URL, a `ScriptedUpstream`, or a dict of those by prefix), `threads`, `max_body`, …
        :raises ValueError: there is no such guard; `config` and `text` are both given.
        """
        if config is not None and text:
            raise ValueError("a file and a text are two configurations: give one")
        named = {one.name: one for one in upstreams}
        for standing in _standing(options.get("proxy")):
            named.setdefault(standing.name, standing)
        file = Path(config) if config is not None else None
        self._wanted = Wanted(file, text, options, dict(replace or {}), named, memory, portable)
        self._guards = chosen(guards)
        self._around: Callable[[Any], Any] | None = None
        self._exit: ExitStack
        self._async_exit: AsyncExitStack
        self._running: Running

    def around(self, outer: Callable[[Any], Any]) -> Edge:
        """Put something around every application: `outer(application)` is called instead."""
        self._around = outer
        return self

    def _run(self) -> Running:
        self._running = running = Running(self._wanted, Findings(self._guards))
        if self._around is not None:
            running.around(self._around)
        return running

    def __enter__(self) -> Site:
        """Serve, in a thread.

        :raises ConfigErrors: the configuration makes no sense.
        """
        if self._wanted.memory:
            raise ValueError("in memory there is nothing that a test in another loop could connect to: `async with`")
        with ExitStack() as undo:
            running = self._run()
            running.keep_errors()
            loop = undo.enter_context(the_loop())
            serving = loop.serve(running)
            undo.callback(serving.stop)
            site = Site(running, loop, undo.enter_context(ExitStack()))
            undo.callback(site._end_recordings)
            self._exit = undo.pop_all()
        return site

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Stop; nothing is left. An error of the block is told what functions of scripted upstreams had raised.

        :raises GuardError: a guard has found something, and nothing else was raised.
        """
        self._exit.close()
        self.finish()
        if error is None:
            self.check()
            return
        for text in self.raised():
            error.add_note(text)

    async def __aenter__(self) -> AsyncSite:
        """Serve, in this loop.

        :raises ConfigErrors: the configuration makes no sense.
        """
        async with AsyncExitStack() as undo:
            nursery = await undo.enter_async_context(trio.open_nursery())
            undo.callback(nursery.cancel_scope.cancel)
            site = await undo.enter_async_context(self.serving_in(nursery))
            self._async_exit = undo.pop_all()
        return site

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """See `__exit__`. What the block raised is raised as it is, in no group."""
        await self._async_exit.aclose()
        self.finish()
        if error is None:
            self.check()

    def finish(self) -> None:
        """After its end: have the guards look at what is left."""
        self._running.finish()

    def check(self) -> None:
        """Tell what the guards have found so far, once.

        :raises GuardError: something.
        """
        __tracebackhide__ = True  # pytest's word for frames that say nothing to whoever reads the report
        self._running.findings.check()

    def raised(self) -> list[str]:
        """What functions of scripted upstreams raised, each with its traceback; `check` does not raise it any more."""
        told = "a function of a scripted upstream raised:\n"
        return [told + "".join(format_exception(error)).rstrip() for error in self._running.findings.raised()]

    def serving_in(self, nursery: trio.Nursery) -> _ServingIn:
        """`async with edge.serving_in(nursery) as site`: its tasks live there, and end with the block."""
        return _ServingIn(self._run(), nursery)


class _ServingIn:
    """An edge in somebody's nursery."""

    def __init__(self, running: Running, nursery: trio.Nursery) -> None:
        self._running = running
        self._nursery = nursery
        self._exit: AsyncExitStack
        self._scope = trio.CancelScope()
        self._ended = trio.Event()

    async def __aenter__(self) -> AsyncSite:
        async with AsyncExitStack() as undo:
            if not self._running.wanted.memory:
                await undo.enter_async_context(held_for_sockets())
            await self._nursery.start(self._serve)
            site = AsyncSite(self._running)
            self._exit = undo.pop_all()
        self._site = site
        return site

    async def _serve(self, *, task_status: trio.TaskStatus[None]) -> None:
        try:
            with self._scope:
                await self._running.run(task_status=task_status)
        finally:
            self._ended.set()

    async def __aexit__(self, *_: object) -> None:
        with trio.CancelScope(shield=True):
            await self._site.leave()
            self._scope.cancel()
            await self._ended.wait()
            await self._exit.aclose()


def _standing(proxy: Any) -> list[ScriptedUpstream]:
    """Scripted upstreams among the targets of `proxy`."""
    said = proxy.values() if isinstance(proxy, Mapping) else [proxy]
    return [one for one in said if isinstance(one, ScriptedUpstream)]
