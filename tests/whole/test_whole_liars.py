"""Applications that break PEP 3333 and applications that surprise, each behind one server that must outlive them all.

After each of them the same connection is used again where the answer was framed, and must be broken where it was not:
a client may neither take half an answer for a whole one, nor the rest of one for the next.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from server_kit import Reply, Server, exchange, running

MANY = 100 << 20


@pytest.fixture(scope="module")
def liars(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("liars"), "--app", "liars:app", data=data) as server:
        yield server


def ask(server: Server, target: str, method: str = "GET", body: bytes | None = None) -> Reply:
    """An answer, after which the same connection gives another one."""
    with closing(server.connect()) as connection:
        reply = exchange(connection, method, target, body)
        assert exchange(connection, "GET", "/starts_a_thread").body == b"joined"
    return reply


REFUSED = [
    ("raises_at_once", "LookupError: a lie", "F11"),
    ("raises_first", "LookupError: a lie", "F11"),
    ("raises_base", "SystemExit: 3", "F11"),
    ("raises_keyboard_interrupt", "KeyboardInterrupt", "F11"),
    ("nothing_of_many", "announced 50 bytes and gave none", "F9"),
    ("starts_twice", "start_response was called a second time", "F7"),
    ("never_starts", "without a call of start_response", "F5"),
    ("gives_text", "returned str", "F10"),
    ("gives_list_of_text", "gave str", "F10"),
    ("gives_bytes", "returned bytes", "F10"),
    ("gives_none", "returned NoneType", "F10"),
    ("gives_number", "returned int: an iterable of bytes", "F10"),
    ("bad_status", "the status 'OK'", "F10"),
    ("number_status", "the status 200", "F10"),
    ("splits_the_response", "X-Name", "F10"),
    ("hop_by_hop", "Connection", "F10"),
    ("chunks_itself", "Transfer-Encoding", "F10"),
    ("number_value", "X-Number", "F10"),
    ("not_latin", "X-Name", "F10"),
]


@pytest.mark.parametrize(("name", "said", "criterion"), REFUSED)
def test_a_lie_before_the_answer_is_a_500(liars: Server, name: str, said: str, criterion: str) -> None:
    """F5, F7, F9, F10, F11: a plain page for the client, the truth in the log under the same id."""
    reply = ask(liars, f"/{name}")
    assert (reply.status, reply["Content-Type"]) == (500, "text/plain; charset=utf-8")
    assert said not in reply.text
    assert reply["X-Request-Id"] in reply.text
    assert not reply.all("X-Name")
    assert f"/{name}" in liars.logged(reply, f"{reply['X-Request-Id']}: GET /{name}: ")
    assert any(said in line for line in liars.err.lines)


BROKEN = [
    ("too_short", b"12345", "announced 50 bytes and gave 5", "F9"),
    ("too_short_in_one", b"12345", "announced 50 bytes and gave 5", "F9"),
    ("raises_midway", b"first", "LookupError: a lie", "F11"),
    ("raises_midway_of_a_length", b"first", "LookupError: a lie", "F11"),
]


@pytest.mark.parametrize(("name", "begun", "said", "criterion"), BROKEN)
def test_a_lie_within_the_answer_breaks_the_connection(
    liars: Server, name: str, begun: bytes, said: str, criterion: str
) -> None:
    """F9, F11: the client sees that something is missing, and no error page is mixed into the body."""
    with closing(liars.connect()) as connection:
        connection.request("GET", f"/{name}")
        with connection.getresponse() as response:
            assert response.status == 200
            fields = response.getheaders()
            with pytest.raises(http.client.IncompleteRead) as truncated:
                response.read()
    assert truncated.value.partial == begun
    liars.logged(Reply(200, fields, b""), said)


ALLOWED = [
    ("too_long", 200, b"12345"),
    ("changes_its_mind", 503, b"busy"),
    ("empty_pieces", 200, b"xy"),
    ("writes", 200, b"one two three"),
    ("body_in_204", 204, b""),
    ("body_in_304", 304, b""),
    ("spoils_the_environ", 200, b"cleared"),
    ("forks", 200, b"child left with 7"),
]


@pytest.mark.parametrize(("name", "status", "body"), ALLOWED)
def test_what_is_served_all_the_same(liars: Server, name: str, status: int, body: bytes) -> None:
    """F5, F6, F7, F9, E5; engine, rule 6: a child of the application takes no connection with it."""
    reply = ask(liars, f"/{name}")
    assert (reply.status, reply.body) == (status, body)
    if name == "too_long":
        liars.logged(reply, "announced 5 bytes and gave more")


@pytest.mark.parametrize("name", ["many_pieces", "one_large_piece"])
def test_a_list_of_100_mb(liars: Server, name: str) -> None:
    reply = ask(liars, f"/{name}")
    assert (reply.status, len(reply.body)) == (200, MANY)


def test_reading_past_the_end(liars: Server) -> None:
    """F4."""
    reply = ask(liars, "/reads_too_much", "POST", b"ab\ncdef\nghi")
    assert reply.body == b"ab\n|cdef\n|ghi||"


def test_close_is_called_once(liars: Server) -> None:
    """F8: also where closing fails, which the client does not notice."""
    for name in ("closes", "closes_badly"):
        assert ask(liars, f"/{name}").body == b"xy"
        head = ask(liars, f"/{name}", "HEAD")
        assert (head.status, head.body) == (200, b"")
    liars.logged(None, "GET /closes_badly: the application raised LookupError: a lie while closing")
    liars.logged(None, "HEAD /closes_badly: the application raised LookupError: a lie while closing")
    assert ask(liars, "/closed").text == "2 4"  # the badly closing one counts as one of each


def test_what_the_application_says(liars: Server) -> None:
    """F13: in the error log, under the request's id; no line of it can pass for one of the server's own."""
    reply = ask(liars, "/says_something")
    assert reply["X-Request-Id"] in liars.logged(reply, "said by the application")
    reply = ask(liars, "/cries_wolf")
    assert reply["X-Request-Id"] in liars.logged(reply, "wolf")
