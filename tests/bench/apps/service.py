"""The WSGI application of the cases about latency: it greets, computes, streams, and swallows uploads.

/hello            fourteen bytes
/burn             pure Python that never waits: holds the GIL whenever it may; the same sum each time
/stream?SIZE      SIZE bytes in pieces of 16 KiB, of no announced length, so that the server must frame them
/upload           reads the body to its end and answers with its length
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

PIECE = b"edgestack streams 32 bytes here\n" * 512
TURNS = 400_000
"""About 25 ms alone on one core of 2023; eight of them at once keep eight threads hungry all the time."""


def burn() -> bytes:
    """Compute for a while without a system call."""
    total = 0
    for number in range(TURNS):
        total = (total + number * number) % 1_000_003
    return b"%d\n" % total


def stream(size: int) -> Iterator[bytes]:
    """`size` bytes, piece by piece."""
    while size > 0:
        yield PIECE[:size]
        size -= len(PIECE)


def whole(start_response: Any, body: bytes) -> list[bytes]:
    """One piece of known length."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Choose by path; see the top of the file."""
    path = environ["PATH_INFO"]
    if path == "/burn":
        return whole(start_response, burn())
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return stream(int(environ["QUERY_STRING"]))
    if path == "/upload":
        return whole(start_response, b"%d\n" % len(environ["wsgi.input"].read()))
    return whole(start_response, b"Hello, world!\n")
