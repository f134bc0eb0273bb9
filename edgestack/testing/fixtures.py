"""What the fixtures of the pytest plugin give: factories of edges, each with the upstreams and attempts of its test.

    Edges         `edge`, and `edge_factory` for the session: sites in a thread
    AsyncEdges    `edge_trio` and `edge_memory`: sites in the loop of the test

A site lives until its fixture ends. What guards have found is raised once: by the call of the test, where that came
through (`check`), or by the end of the fixture.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any, Generic, TypeVar

import trio

from edgestack.errors import ConfigError
from edgestack.testing.async_site import AsyncSite
from edgestack.testing.edge import Edge
from edgestack.testing.guards import GUARDS
from edgestack.testing.records import Attempted
from edgestack.testing.scripted import ScriptedUpstream
from edgestack.testing.site import CommonSite, Site

__all__ = ["AsyncEdges", "Edges"]

S = TypeVar("S", bound=CommonSite)


class _Factory(Generic[S]):
    """What both have."""

    def __init__(self) -> None:
        self.sites: list[S] = []
        """The sites of this fixture, in order."""
        self._upstreams: dict[str, ScriptedUpstream] = {}
        self._edges: list[Edge] = []

    def upstream(self, name: str) -> ScriptedUpstream:
        """The scripted upstream of that name: the same one at each call. Sites that are made from then on find it where
        their configuration names it."""
        return self._upstreams.setdefault(name, ScriptedUpstream(name))

    @property
    def attempts(self) -> list[Attempted]:
        """Each try at an upstream, of all sites, and the status that came of it: `[("a", 503), ("b", 200)]`."""
        return [attempt for site in self.sites for attempt in site.attempts]

    def _edge(self, config: str | Path | None, options: dict[str, Any]) -> Edge:
        upstreams = {**self._upstreams, **{one.name: one for one in options.pop("upstreams", ())}}
        return Edge(config, upstreams=upstreams.values(), **options)

    def _runs(self, edge: Edge, site: S) -> S:
        """It has begun."""
        self._edges.append(edge)
        self.sites.append(site)
        return site

    def check(self) -> None:
        """What the guards have found so far.

        :raises GuardError: something.
        """
        __tracebackhide__ = True
        for site in self.sites:
            site._rest()
        for edge in self._edges:
            edge.check()

    def raised(self) -> str:
        """What functions of scripted upstreams raised; `check` does not raise it any more."""
        return "\n\n".join(text for edge in self._edges for text in edge.raised())

    def exchanges(self) -> str:
        """The last exchanges of all sites, byte for byte."""
        return "\n".join(f"{site.url('')}\n{told}" for site in self.sites if (told := site.exchanges()))


class Edges(_Factory[Site]):
    """Makes sites: `edge(app=app)`. Arguments are those of `Edge`."""

    def __init__(self, guards: frozenset[str] = GUARDS) -> None:
        """:param guards: those that are on where a call says nothing of them."""
        super().__init__()
        self._guards = guards
        self._open = ExitStack()

    def __call__(self, config: str | Path | None = None, /, **options: Any) -> Site:
        """A running site; it ends with the fixture.

        :raises ConfigErrors: the configuration makes no sense.
        """
        __tracebackhide__ = True
        edge = self._edge(config, {"guards": self._guards, **options})
        try:
            site = self._open.enter_context(edge)
        except ConfigError as error:
            raise error.with_traceback(None)  # noqa: B904 # the test's own line is the one that matters
        return self._runs(edge, site)

    def close(self) -> None:
        """End all sites.

        :raises GuardError: what was found, and not told before.
        """
        self._open.close()


class AsyncEdges(_Factory[AsyncSite]):
    """Makes sites: `await edge_memory(app=app)`. Arguments are those of `Edge`."""

    def __init__(self, nursery: trio.Nursery, *, memory: bool) -> None:
        """:param nursery: the sites live there."""
        super().__init__()
        self._nursery = nursery
        self._memory = memory
        self._open = AsyncExitStack()

    async def __call__(self, config: str | Path | None = None, /, **options: Any) -> AsyncSite:
        """A running site; it ends with the fixture.

        :raises ConfigErrors: the configuration makes no sense.
        """
        __tracebackhide__ = True
        edge = self._edge(config, {**options, "memory": self._memory})
        try:
            site = await self._open.enter_async_context(edge.serving_in(self._nursery))
        except ConfigError as error:
            raise error.with_traceback(None)  # noqa: B904 # as above
        return self._runs(edge, site)

    async def close(self) -> None:
        """End all sites.

        :raises GuardError: what was found, and not told before.
        """
        await self._open.aclose()
        for edge in self._edges:
            edge.finish()
            edge.check()
