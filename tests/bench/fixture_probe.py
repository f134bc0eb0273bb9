"""One process: the first edge of a session and the next ones, in milliseconds of processor time; then hundreds of edges
inside tests, and seconds for each hundred. As JSON. Started by `fixture.py`.

    fixture_probe.py ROUNDS        0: only the first edge and the next ones
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable
from importlib import import_module
from statistics import median
from typing import Any

import trio
from trio.testing import MockClock

from edgestack import codecs
from edgestack.testing import Edge
from edgestack.testing.loop_thread import the_loop

EDGES = 100
NEXT = 20
"""Edges after the first, of which each is timed."""
LATE = ("edgestack.certs.issuing", "cryptography.hazmat.backends.openssl", "encodings.idna", "isal.isal_zlib")
"""What the first edge would import; imports are not counted."""


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


def cost() -> float:
    """Milliseconds of processor time for an edge's start and its end, without the request between them."""
    began = time.process_time()
    with Edge(app=app) as site:
        ready = time.process_time()
        assert site.get("/").text == "hello"
        asked = time.process_time()
    return (ready - began + time.process_time() - asked) * 1000


def main() -> None:
    """Measure and print."""
    for name in LATE:
        import_module(name)
    codecs.available()
    rounds = int(sys.argv[1])
    tests = {"sockets": on_sockets, "memory": in_a_loop}
    with the_loop():  # as a session of pytest holds it
        found: dict[str, Any] = {"first": cost(), "next": median(cost() for _ in range(NEXT))}
        for kind, test in tests.items():
            found[kind] = [timed(test, EDGES) for _ in range(rounds)]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
