"""What edges leave behind, which is nothing; and what they cost, which is little."""

from __future__ import annotations

import gc
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from edgestack.testing import Edge, ScriptedUpstream
from edgestack.testing.authority import the_authority
from edgestack.testing.fixtures import Edges

FIRST, FURTHER = 0.015, 0.005
"""Seconds that an edge may cost, imports excluded."""


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def threads() -> set[threading.Thread]:
    """But for trio's, which are kept for a while and then go by themselves."""
    return {thread for thread in threading.enumerate() if not thread.name.startswith("Trio thread ")}


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def files() -> set[str]:
    """Those of this process; its authority has a folder until the end."""
    the_authority()
    own = f"edgestack-tests-{os.getpid()}-"
    return {path.name for path in Path(tempfile.gettempdir()).iterdir() if path.name.startswith(own)}


def busy_edge(**options: Any) -> None:
    """Requests, a failing upstream, one that hangs, a client that stays connected, a reload, a recording."""
    api = ScriptedUpstream("api").sequence(200, 503)
    hanging = ScriptedUpstream("hanging").hangs()
    with Edge(app=app, proxy={"/api/": api, "/hanging/": hanging}, **options) as site:
        for path in ("/", "/api/x", "/api/y"):
            site.get(path)
        kept, waits = site.connect(), site.connect()
        kept.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert kept.recv(1000)
        waits.sendall(b"GET /hanging/ HTTP/1.1\r\nHost: a\r\n\r\n")
        site.reload(app=app)
        site.get("/")


def test_nothing_is_left() -> None:
    """No thread, no descriptor, no temporary file beyond the authority's own folder."""
    busy_edge()
    before = (threads(), descriptors(), files())
    for _ in range(3):
        busy_edge()
    assert (threads(), descriptors(), files()) == before
    assert len(files()) == 1


def test_nothing_is_left_in_a_loop() -> None:
    """The same without a thread; and no task."""

    async def run(memory: bool) -> None:
        api = ScriptedUpstream("api").hangs()
        async with Edge(app=app, proxy={"/api/": api}, memory=memory) as site:
            await site.get("/")
            connection = await site.connect()
            await connection.send(b"GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n")
            await site.settle()
        assert trio.lowlevel.current_statistics().tasks_living == tasks

    async def both() -> None:
        nonlocal tasks
        tasks = trio.lowlevel.current_statistics().tasks_living
        await run(memory=True)
        await run(memory=False)

    tasks = 0
    trio.run(both, clock=MockClock())
    before = (threads(), descriptors(), files())
    trio.run(both, clock=MockClock())
    assert (threads(), descriptors(), files()) == before


def test_a_start_that_fails_leaves_nothing() -> None:
    before = (threads(), descriptors(), files())
    for _ in range(3):
        with pytest.raises(Exception, match="sever"), Edge(text="[sever]"):
            raise AssertionError("it must not start")
    assert (threads(), descriptors(), files()) == before


@pytest.fixture
def one_core() -> Iterator[None]:
    """As in the bench: on two cores, what passes between threads costs as much again, at the machine's pleasure."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    yield
    os.sched_setaffinity(0, allowed)


def cost() -> float:
    """Seconds of processor time for an edge, its start and its end."""
    began = time.process_time()
    with Edge(app=app):
        pass
    return time.process_time() - began


def test_costs(edge: Edges, one_core: None) -> None:
    """Processor time, the least of several: what else runs on this machine is not what is asked about."""
    edge(app=app)  # keys, contexts, modules, the loop
    spent = [cost() for _ in range(30)]
    assert min(spent) < FURTHER, (min(spent), statistics.median(spent))


def test_the_first_one(one_core: None) -> None:
    """With a loop and a thread of its own."""
    cost()
    spent = [cost() for _ in range(10)]
    assert min(spent) < FIRST, (min(spent), statistics.median(spent))
