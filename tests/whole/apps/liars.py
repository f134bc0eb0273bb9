"""Applications that break PEP 3333, or do what surprises a server: each is one function, its name the path."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

TEXT = [("Content-Type", "text/plain")]
MANY = 100 << 20


def sized(length: int) -> list[tuple[str, str]]:
    return [*TEXT, ("Content-Length", str(length))]


def too_long(environ: Any, start: Any) -> Any:
    start("200 OK", sized(5))
    return [b"123", b"4567", b"89"]


def too_short(environ: Any, start: Any) -> Any:
    start("200 OK", sized(50))
    return [b"123", b"45"]


def too_short_in_one(environ: Any, start: Any) -> Any:
    start("200 OK", sized(50))
    return [b"12345"]


def nothing_of_many(environ: Any, start: Any) -> Any:
    start("200 OK", sized(50))
    return []


def raises_at_once(environ: Any, start: Any) -> Any:
    start("200 OK", TEXT)
    raise LookupError("a lie")


def raises_first(environ: Any, start: Any) -> Any:
    start("200 OK", TEXT)
    raise LookupError("a lie")
    yield b""


def raises_midway(environ: Any, start: Any) -> Iterator[bytes]:
    start("200 OK", TEXT)
    yield b"first"
    raise LookupError("a lie")


def raises_midway_of_a_length(environ: Any, start: Any) -> Iterator[bytes]:
    start("200 OK", sized(50))
    yield b"first"
    raise LookupError("a lie")


def raises_base(environ: Any, start: Any) -> Any:
    raise SystemExit(3)


def raises_keyboard_interrupt(environ: Any, start: Any) -> Any:
    raise KeyboardInterrupt


def starts_twice(environ: Any, start: Any) -> Any:
    start("200 OK", TEXT)
    start("200 OK", TEXT)
    return [b"x"]


def changes_its_mind(environ: Any, start: Any) -> Any:
    """Legal: exc_info says why."""
    start("200 OK", sized(5))
    try:
        raise LookupError("inside")
    except LookupError:
        start("503 Busy", sized(4), sys.exc_info())
    return [b"busy"]


def never_starts(environ: Any, start: Any) -> Any:
    return [b"x"]


def gives_text(environ: Any, start: Any) -> Any:
    start("200 OK", TEXT)
    return "text"


def gives_list_of_text(environ: Any, start: Any) -> Any:
    start("200 OK", TEXT)
    return ["text"]


def gives_bytes(environ: Any, start: Any) -> Any:
    """Legal to iterate, and a common mistake: its items are numbers."""
    start("200 OK", TEXT)
    return b"bytes"


def gives_none(environ: Any, start: Any) -> Any:
    start("200 OK", TEXT)


def gives_number(environ: Any, start: Any) -> Any:
    start("200 OK", TEXT)
    return 7


def bad_status(environ: Any, start: Any) -> Any:
    start("OK", TEXT)
    return [b"x"]


def number_status(environ: Any, start: Any) -> Any:
    start(200, TEXT)
    return [b"x"]


def splits_the_response(environ: Any, start: Any) -> Any:
    start("200 OK", [("X-Name", "a\r\nSet-Cookie: stolen=1")])
    return [b"x"]


def hop_by_hop(environ: Any, start: Any) -> Any:
    start("200 OK", [("Connection", "close")])
    return [b"x"]


def chunks_itself(environ: Any, start: Any) -> Any:
    start("200 OK", [("Transfer-Encoding", "chunked")])
    return [b"1\r\nx\r\n0\r\n\r\n"]


def number_value(environ: Any, start: Any) -> Any:
    start("200 OK", [("X-Number", 5)])
    return [b"x"]


def not_latin(environ: Any, start: Any) -> Any:
    start("200 OK", [("X-Name", "☃")])
    return [b"x"]


def body_in_204(environ: Any, start: Any) -> Any:
    start("204 No Content", TEXT)
    return [b"surprise"]


def body_in_304(environ: Any, start: Any) -> Any:
    start("304 Not Modified", TEXT)
    return [b"surprise"]


class Closing:
    closed = 0
    raises = False

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = iter(pieces)

    def __iter__(self) -> Iterator[bytes]:
        return self.pieces

    def close(self) -> None:
        type(self).closed += 1
        if self.raises:
            raise LookupError("a lie while closing")


class BadlyClosing(Closing):
    raises = True


def closes(environ: Any, start: Any) -> Any:
    start("200 OK", TEXT)
    return Closing(b"x", b"y")


def closes_badly(environ: Any, start: Any) -> Any:
    start("200 OK", TEXT)
    return BadlyClosing(b"x", b"y")


def closed(environ: Any, start: Any) -> Any:
    start("200 OK", TEXT)
    return [f"{Closing.closed} {BadlyClosing.closed}".encode()]


def forks(environ: Any, start: Any) -> Any:
    """A child that inherits everything, and ends."""
    pid = os.fork()
    if not pid:
        os._exit(7)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    start("200 OK", TEXT)
    return [f"child left with {status}".encode()]


def many_pieces(environ: Any, start: Any) -> Any:
    start("200 OK", TEXT)
    return [b"x" * (1 << 20)] * (MANY >> 20)


def one_large_piece(environ: Any, start: Any) -> Any:
    start("200 OK", TEXT)
    return [bytes(MANY)]


def empty_pieces(environ: Any, start: Any) -> Any:
    start("200 OK", TEXT)
    return [b"", b"", b"x", b"", b"y", b""]


def writes(environ: Any, start: Any) -> Any:
    write = start("200 OK", TEXT)
    write(b"one ")
    write(b"two ")
    return [b"three"]


def reads_too_much(environ: Any, start: Any) -> Any:
    start("200 OK", TEXT)
    stream = environ["wsgi.input"]
    return [b"|".join([stream.read(3), stream.readline(), stream.read(), stream.read(), stream.read(10)])]


def says_something(environ: Any, start: Any) -> Any:
    environ["wsgi.errors"].write("said by the application\n")
    start("200 OK", TEXT)
    return [b"x"]


def cries_wolf(environ: Any, start: Any) -> Any:
    """Forges a line of the log."""
    print("x\n2026-01-01 00:00:00 +0000 critical: wolf", file=environ["wsgi.errors"])
    start("200 OK", TEXT)
    return [b"x"]


def spoils_the_environ(environ: Any, start: Any) -> Any:
    environ.clear()
    start("200 OK", TEXT)
    return [b"cleared"]


def starts_a_thread(environ: Any, start: Any) -> Any:
    thread = threading.Thread(target=len, args=("",))
    thread.start()
    thread.join()
    start("200 OK", TEXT)
    return [b"joined"]


APPLICATIONS: dict[str, Callable[[Any, Any], Any]] = {
    f"/{name}": value for name, value in list(globals().items()) if callable(value) and name != "sized"
}


def app(environ: Any, start_response: Any) -> Any:
    return APPLICATIONS[environ["PATH_INFO"]](environ, start_response)
