"""Dialogues: what they say, what they expect, and how they tell what came instead."""

from __future__ import annotations

from typing import Any

import pytest
from trio.testing import MockClock

from edgestack.testing import Dialogue, DialogueError
from edgestack.testing.dialogue import RESET
from edgestack.testing.fixtures import AsyncEdges, Edges

TEXT = '[[route]]\nmatch = "/"\nrespond = "hello"'

GOOD = """
    -- an answer in full
    >> GET / HTTP/1.1
    >> Host: a
    >>
    << HTTP/1.1 200 OK
    << Server: edgestack
    << {any}Content-Length: 5
    << {end}
    <| hello
    -- and any
    >> GET / HTTP/1.1
    >> Host: a
    >> Connection: close
    >>
    <~ 200
    <!
"""


def test_over_tls(edge: Edges) -> None:
    edge(text=TEXT).talk(GOOD)


def test_over_tcp(edge: Edges) -> None:
    edge(text=TEXT, tls=False).talk(Dialogue(GOOD))


async def test_in_memory(edge_memory: AsyncEdges, mock_clock: MockClock) -> None:
    await (await edge_memory(text=TEXT)).talk(GOOD)


async def test_over_sockets_of_trio(edge_trio: AsyncEdges) -> None:
    site = await edge_trio(text=TEXT)
    connection = await site.talk(">> GET / HTTP/1.0\n>>\n<~ 200\n<!")
    await connection.close()


def test_the_difference(edge: Edges) -> None:
    """Line by line, told as soon as it is certain."""
    with pytest.raises(DialogueError) as told:
        edge(text=TEXT).talk("""
            >> GET / HTTP/1.1
            >> Host: a
            >>
            << HTTP/1.1 404 Not Found
            << Server: edgestack
            << {end}
        """)
    lines = str(told.value).splitlines()
    assert lines[:4] == [
        "the server said (- expected, + received):",
        "- HTTP/1.1 404 Not Found",
        "+ HTTP/1.1 200 OK",
        "  Server: edgestack",
    ]


def held(text: str, *came: bytes) -> list[Any]:
    """Hold a dialogue by hand: what it wished for."""
    talk, wishes, pieces = Dialogue(text).hold(), [], list(came)
    answer: Any = None
    while True:
        try:
            wish, what = talk.send(answer)
        except StopIteration:
            return wishes
        wishes.append((wish, what))
        answer = pieces.pop(0) if wish in ("receive", "silent") else None


def test_what_it_wishes() -> None:
    """Lines that follow each other are one; escapes are bytes."""
    wishes = held(">> GET /\n>| \\x00\\r\\n\n== 2.5\n<-\n<< ok\n>!\n<!", b"", b"ok\r\n", b"")
    assert wishes == [
        ("send", b"GET /\r\n\x00\r\n"), ("pass", 2.5), ("silent", None), ("receive", None), ("eof", None),
        ("receive", None),
    ]  # fmt: skip


def test_pieces_are_put_together() -> None:
    assert len(held(">> x\n<< HTTP/1.1 200 OK\n<| hello", b"HTTP/1", b".1 200 OK\r\nhel", b"lo")) == 4


MISMATCHES = {
    "another line": (("<< one\n<< two",), (b"one\r\nthree\r\n",), "- two\n\\+ three"),
    "it closed": (("<< one\n<< two",), (b"one\r\n", b""), "the server closed after.*\n  one\n- two"),
    "it was reset": (("<| one",), (RESET,), "the server closed after"),
    "more before the close": (("<!",), (b"surprise", b""), r"\+ surprise"),
    "another status": (("<~ 404",), (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",), "status 404 was to come"),
    "half an answer": (("<~ 200",), (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", b""), "no answer of status 200"),
    "not silent": (("<-",), (b"surprise",), "nothing was to be said"),
}


@pytest.mark.parametrize(("said", "came", "words"), MISMATCHES.values(), ids=MISMATCHES)
def test_mismatches(said: tuple[str], came: tuple[bytes, ...], words: str) -> None:
    with pytest.raises(DialogueError, match=words):
        held(*said, *came)


def test_silence() -> None:
    """Whoever holds the dialogue says that nothing more will come."""
    for text, words in (("<< x", "nothing more came"), ("<!", "did not close"), ("<~ 200", "no answer of status")):
        talk = Dialogue(text).hold()
        assert next(talk) == ("receive", None)
        with pytest.raises(DialogueError, match=words):
            talk.throw(TimeoutError())


def test_a_line_that_means_nothing() -> None:
    with pytest.raises(ValueError, match="what does 'GET /' mean"):
        Dialogue("GET /")


def test_time_does_not_pass_in_a_thread(edge: Edges) -> None:
    with pytest.raises(ValueError, match="edge_memory"):
        edge(text=TEXT).talk("== 1")
