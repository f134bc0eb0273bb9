"""A bare WSGI application for the tests of worker classes: it tells its environ, waits, and brings its process down."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
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
    if page == "hang":
        ctypes.PyDLL(None).pause()  # with the interpreter's lock: nothing runs any more
    if page == "fail":
        raise ValueError("as it was asked to")
    if page in ODD:
        return ODD[page](environ, start_response)
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


def inherited(environ: dict[str, Any]) -> Iterable[bytes]:
    """What a program gets of this process's descriptors that is started as carelessly as may be."""
    yield subprocess.run(["ls", "-l", "/proc/self/fd"], close_fds=False, stdout=subprocess.PIPE, check=True).stdout


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


def short(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Announces more than there is."""
    start_response("200 OK", [("Content-Length", "100")])
    return [b"short"]


def given(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """The status that the query says, and a body, whether there may be one or not."""
    start_response(f"{environ['QUERY_STRING']} As Asked", [])
    return [b"body"]


def breaks(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Fails within its answer."""
    start_response("200 OK", [])
    yield b"begun"
    raise ValueError("within the answer")


def pieces(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """A piece, and another one when there is a line in the FIFO that the query names."""
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    yield b"one"
    yield Path(environ["QUERY_STRING"]).read_bytes()


def moved(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Leads to where the query says."""
    start_response("302 Found", [("Location", environ["QUERY_STRING"])])
    return []


def own(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """An error of its own."""
    start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
    return [b"the application's own"]


def late(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Fails at the last moment at which nothing has left."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b""
    raise ValueError("as it was asked to")


def slow_stream(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Has begun, and takes its time."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"begun, "
    _released.wait()
    yield b"ended"


def sleepy_stream(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Never begins."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    try:
        yield b""
        threading.Event().wait()
    finally:
        _ended.append("sleepy-stream")


ODD = {
    "short": short, "given": given, "breaks": breaks, "pieces": pieces, "moved": moved, "own": own, "late": late,
    "slow-stream": slow_stream, "sleepy-stream": sleepy_stream,
}  # fmt: skip
"""Those that answer for themselves."""
PAGES = {
    "environ": environ_told, "echo": echoed, "process": process, "held": held, "alone": alone, "inherited": inherited,
    "": process, "sleepy": sleepy, "ended": ended, "release": release, "show": process,
}  # fmt: skip
