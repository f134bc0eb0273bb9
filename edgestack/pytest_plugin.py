"""The pytest plugin `edgestack` (entry point `pytest11`): fixtures that serve, and what they leave in the report.

    edge           a real HTTPS edge in a background thread              def test(edge): site = edge(app=app)
    edge_factory   the same for a session: for session fixtures
    edge_trio      real sockets, in the loop of the test                 site = await edge_trio("edgestack.toml")
    edge_memory    no sockets, and time that the test moves              site = await edge_memory(app=app)

Every pytest in the environment loads this file, so it imports nothing that pytest has not: what serves is imported by
the first fixture that is used. The asynchronous two need pytest-trio, and say so where it is missing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from edgestack.testing.fixtures import AsyncEdges, Edges

__all__: list[str] = []

MADE = pytest.StashKey[list[Any]]()
"""The factories that a test has used."""
SECTION = "edgestack: last exchanges"
RAISED = "edgestack: upstreams"


@pytest.fixture(scope="session")
def _edge_session() -> Iterator[None]:
    """One thread for all sites of a session, from the first on."""
    from edgestack.testing.loop_thread import the_loop

    with the_loop():
        yield


@pytest.fixture
def edge(_edge_session: None, request: pytest.FixtureRequest) -> Iterator[Edges]:
    """Serves: `site = edge(app=app)`, `edge("edgestack.toml", replace={...})`; see `edgestack.testing.Edge`."""
    from edgestack.testing.fixtures import Edges

    edges = Edges()
    request.node.stash.setdefault(MADE, []).append(edges)
    yield edges
    edges.close()


@pytest.fixture(scope="session")
def edge_factory(_edge_session: None) -> Iterator[Edges]:
    """The same for a whole session, for fixtures of a wider scope; without the guard `threads`, unless it is asked for:
    in all that time, threads begin that are nobody's fault."""
    from edgestack.testing.fixtures import Edges
    from edgestack.testing.guards import GUARDS

    edges = Edges(GUARDS - {"threads"})
    yield edges
    edges.close()


ASYNCHRONOUS = ("edge_trio", "edge_memory")


class Asynchronous:
    """The fixtures for tests that pytest-trio runs."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Tell whoever has forgotten to let pytest-trio run the test; pytest's own words for that lead elsewhere."""
        asked = [name for name in ASYNCHRONOUS if name in getattr(item, "fixturenames", ())]
        if asked and item.get_closest_marker("trio") is None:
            pytest.fail(
                f"the fixture {asked[0]} is for an `async def` test that pytest-trio runs: "
                "say `trio_mode = true` in pytest's configuration, or mark the test with @pytest.mark.trio",
                pytrace=False,
            )

    @pytest.fixture
    async def edge_trio(self, request: pytest.FixtureRequest) -> AsyncIterator[AsyncEdges]:
        """Serves in the test's own loop, on real sockets: `site = await edge_trio(app=app)`."""
        async with _edges(request, memory=False) as edges:
            yield edges

    @pytest.fixture
    async def edge_memory(self, request: pytest.FixtureRequest) -> AsyncIterator[AsyncEdges]:
        """Serves in the test's own loop, in memory: `site = await edge_memory(app=app)`; with pytest-trio's
        `mock_clock` or `autojump_clock`, in virtual time."""
        async with _edges(request, memory=True) as edges:
            yield edges


@asynccontextmanager
async def _edges(request: pytest.FixtureRequest, *, memory: bool) -> AsyncIterator[AsyncEdges]:
    import trio

    from edgestack.testing.fixtures import AsyncEdges

    async with trio.open_nursery() as nursery:
        edges = AsyncEdges(nursery, memory=memory)
        request.node.stash.setdefault(MADE, []).append(edges)
        yield edges
        await edges.close()
        nursery.cancel_scope.cancel()


class Missing:
    """The same where pytest-trio is not installed."""

    @pytest.fixture
    def edge_trio(self) -> None:
        """Needs pytest-trio."""
        _tell_what_is_missing("edge_trio")

    @pytest.fixture
    def edge_memory(self) -> None:
        """Needs pytest-trio."""
        _tell_what_is_missing("edge_memory")


def _tell_what_is_missing(name: str) -> None:
    other = "memory=True, " if name == "edge_memory" else ""
    pytest.fail(
        f"the fixture {name} needs pytest-trio: pip install pytest-trio; "
        f"with another runner of trio, use `async with edgestack.testing.Edge({other}…)`",
        pytrace=False,
    )


def pytest_configure(config: pytest.Config) -> None:
    """Choose the asynchronous fixtures, once it is known which plugins there are."""
    plugins = config.pluginmanager
    plugins.register(Asynchronous() if plugins.hasplugin("trio") else Missing(), "edgestack-asynchronous")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """A test that came through fails where a guard has found something."""
    __tracebackhide__ = True
    yield
    for edges in item.stash.get(MADE, ()):
        edges.check()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What upstreams have raised, and the last exchanges, stand in the report of a test that failed."""
    report = yield
    made = item.stash.get(MADE, [])
    if made and report.failed:
        report.sections += [(RAISED, text) for edges in made if (text := edges.raised())]
        report.sections += [(SECTION, text) for edges in made if (text := edges.exchanges())]
    if made and call.when == "teardown":
        made.clear()  # items live as long as the session
    return report
