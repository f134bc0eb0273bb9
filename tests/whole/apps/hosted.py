"""A bare WSGI application for the tests of worker classes: it tells its environ, waits, and brings its process down."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

StartResponse = Callable[[str, list[tuple[str, str]]], Any]
_busy = threading.Lock()
_ended: list[str] = []
_released = threading.Event()


def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    page = environ["PATH_INFO"].strip("/").partition("/")[0]
    if page == "exit":
        os._exit(7)
    if page == "orphan" and os.fork():
        os._exit(8)
    elif page == "orphan":
        os.closerange(0, 3)  # nothing but the line to the edge is of interest
        signal.alarm(30)
        signal.pause()
    if page == "crash":
        ctypes.string_at(0)
    if page == "fail":
        raise ValueError("as it was asked to")
    if page in ("own", "late"):
        start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
        return [b"the application's own"] if page == "own" else failing()
    if page.endswith("-stream"):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return streamed(page)
    body = b"".join(PAGES[page](environ))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def environ_told(environ: dict[str, Any]) -> Iterable[bytes]:
    told = {name: value for name, value in environ.items() if isinstance(value, str | bool)}
    yield json.dumps(told).encode()


def echoed(environ: dict[str, Any]) -> Iterable[bytes]:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    yield environ["wsgi.input"].read(length)


def process(environ: dict[str, Any]) -> Iterable[bytes]:
    yield str(os.getpid()).encode()


def held(environ: dict[str, Any]) -> Iterable[bytes]:
    """Waits for a line in the FIFO that the query names."""
    yield Path(environ["QUERY_STRING"]).read_bytes()


def alone(environ: dict[str, Any]) -> Iterable[bytes]:
    """Whether nobody else was in here meanwhile."""
    if not _busy.acquire(blocking=False):
        yield b"two at a time"
        return
    try:
        sum(range(300_000))
        yield b"alone"
    finally:
        _busy.release()


def sleepy(environ: dict[str, Any]) -> Iterable[bytes]:
    """Waits for what never comes; that it was ended is told to who asks for /ended."""
    try:
        threading.Event().wait()  # patched, it waits in the library's hub
        yield b"awake"
    finally:
        _ended.append("sleepy")


def ended(environ: dict[str, Any]) -> Iterable[bytes]:
    yield " ".join(_ended).encode()


def release(environ: dict[str, Any]) -> Iterable[bytes]:
    """Have a slow stream go on."""
    _released.set()
    yield b"released"


def stuck(environ: dict[str, Any]) -> Iterable[bytes]:
    """Computes, and never waits."""
    while True:
        sum(range(1000))
    yield b""


def failing() -> Iterable[bytes]:
    """Fails at the last moment at which nothing has left."""
    yield b""
    raise ValueError("as it was asked to")


def streamed(page: str) -> Iterable[bytes]:
    """Two answers that are made piece by piece."""
    try:
        if page == "slow-stream":
            yield b"begun, "
            _released.wait()
            yield b"ended"
        else:
            yield b""
            threading.Event().wait()
    except BaseException:
        _ended.append(page)
        raise


PAGES = {
    "environ": environ_told, "echo": echoed, "process": process, "held": held, "alone": alone, "": process,
    "sleepy": sleepy, "ended": ended, "release": release, "stuck": stuck, "show": process,
}  # fmt: skip
