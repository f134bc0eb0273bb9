"""One process: hundreds of edges inside tests, and seconds for each hundred, as JSON. Started by `fixture.py`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import trio
from trio.testing import MockClock

import edgestack.certs.issuing  # noqa: F401 # imports are not counted, those neither that the first key would do
from edgestack.testing import Edge
from edgestack.testing.loop_thread import the_loop

EDGES = 100


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """What each of them serves."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def on_sockets() -> None:
    """A test with the fixture `edge`."""
    with Edge(app=app) as site:
        assert site.get("/").text == "hello"


async def in_memory() -> None:
    """A test with the fixture `edge_memory`."""
    async with Edge(app=app, memory=True) as site:
        assert (await site.get("/")).text == "hello"


def in_a_loop() -> None:
    """pytest-trio runs a loop for each test."""
    trio.run(in_memory, clock=MockClock())


def timed(test: Callable[[], None], count: int) -> float:
    """Seconds for so many."""
    began = time.perf_counter()
    for _ in range(count):
        test()
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    tests = {"sockets": on_sockets, "memory": in_a_loop}
    with the_loop():  # as a session of pytest holds it
        first = {kind: timed(test, 1) * 1000 for kind, test in tests.items()}
        found: dict[str, Any] = {
            kind: [timed(test, EDGES) for _ in range(int(sys.argv[1]))] for kind, test in tests.items()
        }
    print(json.dumps({**found, "first": first}))


if __name__ == "__main__":
    main()
