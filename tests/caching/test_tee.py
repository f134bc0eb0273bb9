"""An application's answer on its way, on a thread or on the loop: stored before its end can be seen (D9)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from edgestack.caching.fetching import Copy
from edgestack.caching.stream import CopiedStream
from edgestack.caching.tee import Fetching, Tee
from edgestack.errors import Disconnected
from edgestack.http.bodies import Outlet
from edgestack.http.messages import Response

BODY = b"the whole of it"


class Kept:
    """A copy that writes down what becomes of it (fetching.py)."""

    def __init__(self, order: list[str]) -> None:
        self.order = order
        self.body: bytes | None = b""

    @property
    def taking(self) -> bool:
        return self.body is not None

    def piece(self, data: bytes) -> None:
        if self.body is not None:
            self.body += data

    def whole(self, data: bytes) -> None:
        self.piece(data)
        self.over(True)

    def paused(self, paused: bool) -> None:
        if self.body is not None and not paused:
            self.order.append("asked")

    def over(self, complete: bool) -> None:
        if self.body is not None:
            self.order.append(f"stored {self.body.decode()}" if complete else "dropped")
        self.body = None


class Watched:
    """An outlet and a fetch that write down what is asked of them, in order."""

    def __init__(self) -> None:
        self.order: list[str] = []

    def judged(self, response: Response) -> Any:
        return SimpleNamespace(head=object(), validated=False)

    def seen(self, verdict: Any, response: Response) -> tuple[Response, bool]:
        return response, False

    def filtered(self, response: Response) -> Response:
        return response

    def copy(self, verdict: Any) -> Kept:
        return Kept(self.order)

    def head(self, response: Response) -> None:
        self.order.append("head")

    def piece(self, data: bytes) -> None:
        self.order.append(f"sent {data.decode()}")

    def finish(self) -> None:
        self.order.append("finished")

    def broken(self, why: str = "") -> None:
        self.order.append("broken")


@pytest.fixture
def watched() -> Watched:
    return Watched()


def tee(watched: Watched) -> Tee:
    return Tee(cast(Fetching, watched), cast(Outlet, watched))


def test_with_a_length_before_the_piece_that_completes_it(watched: Watched) -> None:
    """Who has read so many bytes asks again at once, and is to find it stored."""
    made = tee(watched)
    made.head(Response(200, (), b"", len(BODY)))
    made.piece(BODY[:3])
    made.piece(BODY[3:])
    made.finish()
    assert watched.order == ["head", "sent the", "stored the whole of it", "sent  whole of it", "finished"]


def test_in_one_piece(watched: Watched) -> None:
    tee(watched).whole(Response(200, (), b"", len(BODY)), BODY)
    assert watched.order == ["head", "stored the whole of it", "sent the whole of it", "finished"]


def test_without_a_length_before_the_end(watched: Watched) -> None:
    made = tee(watched)
    made.head(Response(200, (), (), None))
    made.piece(b"")
    made.piece(BODY)
    made.finish()
    assert watched.order == ["head", "sent ", "sent the whole of it", "stored the whole of it", "finished"]


def test_what_is_broken_off_is_dropped(watched: Watched) -> None:
    made = tee(watched)
    made.head(Response(200, (), (), None))
    made.piece(BODY)
    made.broken()
    made.closed()
    assert watched.order == ["head", f"sent {BODY.decode()}", "dropped", "broken"]


def test_a_second_head_drops_what_belonged_to_the_first(watched: Watched) -> None:
    made = tee(watched)
    made.head(Response(200, (), (), None))
    made.head(Response(200, (), b"", len(BODY)))
    made.piece(BODY)
    assert watched.order == ["head", "dropped", "head", "stored the whole of it", "sent the whole of it"]


# --- a stream made on the loop ----------------------------------------------------------------------------------------


class Made:
    """A stream of an application's."""

    def __init__(self, order: list[str], pieces: Iterable[bytes], failure: Exception | None = None) -> None:
        self.order = order
        self.pieces = iter(pieces)
        self.failure = failure

    def __aiter__(self) -> Made:
        return self

    async def __anext__(self) -> bytes:
        for piece in self.pieces:
            return piece
        if self.failure is not None:
            raise self.failure
        raise StopAsyncIteration

    def close(self) -> None:
        self.order.append("closed")

    async def aclose(self) -> None:
        self.close()


STREAMS: list[tuple[str, int | None, list[bytes], Exception | None, list[str]]] = [
    ("without a length", None, [b"ab", b"", b"c"], None,
     ["asked", "sent ab", "asked", "sent ", "asked", "sent c", "asked", "stored abc", "end", "closed"]),
    ("with one", 3, [b"ab", b"c"], None,
     ["asked", "sent ab", "asked", "stored abc", "sent c", "closed", "end", "closed"]),
    ("more than announced", 3, [b"ab", b"cde", b"f"], None,
     ["asked", "sent ab", "asked", "stored abc", "sent c", "closed", "end", "closed"]),
    ("nothing announced", 0, [b"ab"], None, ["stored ", "closed", "end", "closed"]),
    ("less than announced", 4, [b"ab", b"c"], None,
     ["asked", "sent ab", "asked", "sent c", "asked", "dropped", "end", "closed"]),
    ("broken off", None, [b"ab"], Disconnected(), ["asked", "sent ab", "asked", "dropped", "Disconnected", "closed"]),
    ("nothing at all", None, [], None, ["asked", "stored ", "end", "closed"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("length", "pieces", "failure", "expected"), [one[1:] for one in STREAMS], ids=[one[0] for one in STREAMS]
)
async def test_a_stream(
    length: int | None, pieces: list[bytes], failure: Exception | None, expected: list[str]
) -> None:
    """What is stored is what was sent, and all of it; the application is asked no further than it is to answer (F9)."""
    order: list[str] = []
    stream = CopiedStream(Made(order, pieces, failure), cast(Copy, Kept(order)), length)
    try:
        async for piece in stream:
            order.append(f"sent {piece.decode()}")
        order.append("end")
    except Disconnected:
        order.append("Disconnected")
    await stream.aclose()
    assert order == expected


async def test_a_stream_that_is_let_go() -> None:
    """In its middle, and before anybody has asked for a piece; a generator is closed too."""
    for begun in (True, False):
        order: list[str] = []
        stream = CopiedStream(Made(order, [b"ab", b"c"]), cast(Copy, Kept(order)), None)
        if begun:
            await anext(stream)
            order.clear()
        stream.close()
        assert order == ["dropped", "closed"]

    async def made() -> AsyncGenerator[bytes, None]:
        try:
            yield b"ab"
            yield b"c"
        finally:
            order.append("closed")

    order = []
    stream = CopiedStream(made(), cast(Copy, Kept(order)), None)
    await anext(stream)
    await stream.aclose()
    assert order == ["asked", "dropped", "closed"]
