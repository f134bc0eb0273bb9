"""One process: hundreds of edges inside tests, and seconds for each hundred, as JSON. Started by `fixture.py`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

import trio
from trio.testing import MockClock

from edgestack import codecs
from edgestack.testing import Edge
from edgestack.testing.loop_thread import the_loop

EDGES = 100
LATE = ("edgestack.certs.issuing", "cryptography.hazmat.backends.openssl", "encodings.idna")
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


def first(test: Callable[[], None]) -> float:
    """Milliseconds of processor time that it takes once."""
    began = time.process_time()
    test()
    return (time.process_time() - began) * 1000


def main() -> None:
    """Measure and print."""
    for name in LATE:
        import_module(name)
    codecs.available()
    tests = {"sockets": on_sockets, "memory": in_a_loop}
    with the_loop():  # as a session of pytest holds it
        firsts = {kind: first(test) for kind, test in tests.items()}
        found: dict[str, Any] = {
            kind: [timed(test, EDGES) for _ in range(int(sys.argv[1]))] for kind, test in tests.items()
        }
    print(json.dumps({**found, "first": firsts}))


if __name__ == "__main__":
    main()
