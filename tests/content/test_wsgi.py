"""Answers of WSGI applications, told to an outlet: criteria F5 to F11, and the loop's side of F14 (PEP 3333)."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from wsgi_kit import FakeBody, FakeChain, FakeOutlet, Told, call, get

from edgestack.content.app_head import read_head
from edgestack.content.wsgi import Wsgi, WsgiCall
from edgestack.errors import AppError, ClientError, Disconnected
from edgestack.http.facts import Facts
from edgestack.http.messages import Exchange, Response

PLAIN = [("Content-Type", "text/plain")]


class Closing:
    """An iterable that counts what is done to it."""

    def __init__(self, *steps: Any) -> None:
        self.steps = iter(steps)
        self.taken = 0
        self.closed: list[int] = []

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        step = next(self.steps)
        self.taken += 1
        if isinstance(step, BaseException):
            raise step
        if callable(step):
            step = step()
        return step  # type: ignore[no-any-return]

    def close(self) -> None:
        self.closed.append(threading.get_ident())


def gives(result: Any, status: str = "200 OK", headers: Any = PLAIN) -> Callable[..., Any]:
    def application(environ: dict[str, Any], start_response: Any) -> Any:
        start_response(status, list(headers))
        return result

    return application


# --- F5, F9: when the head leaves, and how long the body is -----------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("result", "announced", "length", "body"),
    [
        pytest.param([b"hello"], None, 5, b"hello", id="F9 one element gets its length"),
        pytest.param((b"hello",), None, 5, b"hello", id="F9 a tuple of one too"),
        pytest.param([b"hello"], 5, 5, b"hello", id="F9 as announced"),
        pytest.param([b"hel", b"lo"], None, None, b"hello", id="F9 two elements: chunked"),
        pytest.param([b"hel", b"lo"], 5, 5, b"hello", id="F9 two elements, announced"),
        pytest.param([b"", b"hello", b""], None, None, b"hello", id="F5 empty pieces around"),
    ],
)
def test_lengths(result: Any, announced: int | None, length: int | None, body: bytes, method: str) -> None:
    """F9; the same for HEAD, whose body the wire leaves out (E5)."""
    headers = PLAIN if announced is None else [*PLAIN, ("Content-Length", str(announced))]
    told = call(gives(result, headers=headers), get(method=method))
    assert (told.status, told.reason, told.length, told.end, told.log) == (200, "OK", length, "finish", "")
    assert told.pairs == tuple(PLAIN)
    if method == "GET":
        assert told.body == body


@pytest.mark.parametrize("as_iterator", [False, True], ids=["list", "iterator"])
@pytest.mark.parametrize("result", [[], [b""], (), [b"", b""]], ids=repr)
@pytest.mark.parametrize(
    ("method", "status", "length"),
    [
        ("GET", "200 OK", 0),
        ("HEAD", "200 OK", None),
        ("GET", "204 No Content", None),
        ("GET", "304 Not Modified", None),
    ],
)
def test_an_empty_answer_still_sends_its_head(
    result: Any, as_iterator: bool, method: str, status: str, length: int | None
) -> None:
    """F5; F9: for HEAD, 204 and 304 no length is made up."""
    told = call(gives(iter(result) if as_iterator else result, status), get(method=method))
    assert (told.status, told.length, told.body, told.end) == (int(status[:3]), length, b"", "finish")


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", "200 OK"), ("GET", "204 No Content"), ("GET", "304 Not Modified")]
)
def test_an_endless_stream_without_a_body_ends(method: str, status: str) -> None:
    """F8, F14: after the head of an answer without a body no thread is held by the rest of the stream."""
    result = Closing(b"", b"a", *[b"more"] * 9)
    told = call(gives(result, status), get(method=method))
    assert told.end == "finish"
    assert result.taken == 2
    assert len(result.closed) == 1


def test_fields_leave_with_the_first_piece_that_is_not_empty() -> None:
    """F5: until then the outlet is told nothing."""
    outlet = FakeOutlet()
    seen: list[list[str]] = []

    def step(data: bytes) -> Callable[[], bytes]:
        def take() -> bytes:
            seen.append(list(outlet.calls))
            return data

        return take

    call(gives(Closing(step(b""), step(b"a"), step(b"b"), step(b""))), outlet=outlet)
    assert seen == [[], [], ["head", "piece"], ["head", "piece", "piece"]]
    assert outlet.calls[-1] == "finish"


def test_start_response_during_the_first_next() -> None:
    """F5."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("202 Accepted", PLAIN)
        yield b"x"

    told = call(application)
    assert (told.status, told.body, told.length) == (202, b"x", None)


def test_a_generator_that_yields_nothing_still_answers() -> None:
    """F5."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", PLAIN)
        yield from ()

    assert call(application).length == 0


def test_write_and_the_iterable_keep_their_order() -> None:
    """F6."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterator[bytes] | list[bytes]:
        write = start_response("200 OK", PLAIN)
        write(b"one ")
        write(b"")
        write(b"two ")
        return [b"three"]

    told = call(application)
    assert (told.body, told.length) == (b"one two three", None)


def test_write_inside_the_iteration() -> None:
    """F6."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        write = start_response("200 OK", PLAIN)
        yield b"a"
        write(b"b")
        yield b"c"

    assert call(application).body == b"abc"


@pytest.mark.parametrize(
    ("pieces", "end", "body", "words"),
    [
        pytest.param([b"1234"], "broken", b"1234", "announced 5 bytes and gave 4", id="F9 n-1"),
        pytest.param([b"12345"], "finish", b"12345", "", id="F9 n"),
        pytest.param([b"123456"], "finish", b"12345", "gave more", id="F9 n+1"),
        pytest.param([b"12", b"34"], "broken", b"1234", "announced 5 bytes and gave 4", id="F9 n-1 in pieces"),
        pytest.param([b"12", b"345"], "finish", b"12345", "", id="F9 n in pieces"),
        pytest.param([b"12", b"3456", b"7"], "finish", b"12345", "gave more", id="F9 n+1 in pieces"),
        pytest.param([b"12345", b"", b"6"], "finish", b"12345", "gave more", id="F9 a piece too many"),
    ],
)
@pytest.mark.parametrize("by", ["iterable", "write"])
def test_the_announced_length_holds(pieces: list[bytes], end: str, body: bytes, words: str, by: str) -> None:
    """F9: excess is dropped and logged, a short body breaks the connection and is logged."""

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [("content-length", "5")])
        if by == "iterable":
            return pieces
        for piece in pieces:
            write(piece)
        return []

    told = call(application)
    assert (told.end, told.body, told.length) == (end, body, 5)
    assert words in told.log if words else not told.log
    assert told.log.count("the application announced") <= 1
    assert told.pairs == ()


def test_a_length_without_any_body_is_a_500() -> None:
    """F9, F11: nothing has left, so the client may be told."""
    told = call(gives([], headers=[("Content-Length", "5")]))
    assert (told.status, told.end) == (500, "finish")
    assert "announced 5 bytes and gave none" in told.log


def test_head_may_announce_a_length() -> None:
    """F9, E5: a HEAD has GET's length and no body."""
    told = call(gives([], headers=[("Content-Length", "5")]), get(method="HEAD"))
    assert (told.status, told.length, told.end, told.log) == (200, 5, "finish", "")


# --- F7: exc_info -----------------------------------------------------------------------------------------------------


def with_exc_info(begin: bool, clear: bool = False) -> Callable[..., Any]:
    def application(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [*PLAIN, ("X-First", "1")])
        if begin:
            yield b"begun"
        try:
            raise ValueError("late trouble")
        except ValueError:
            start_response("503 Down", PLAIN, sys.exc_info())
        yield b"sorry"

    return application


def test_exc_info_before_the_head_replaces_it() -> None:
    """F7."""
    told = call(with_exc_info(begin=False))
    assert (told.status, told.reason, told.body, told.end) == (503, "Down", b"sorry", "finish")
    assert "x-first" not in told.fields


def test_exc_info_after_the_head_raises_it_again() -> None:
    """F7, F11."""
    told = call(with_exc_info(begin=True))
    assert (told.status, told.body, told.end) == (200, b"begun", "broken")
    assert "ValueError: late trouble" in told.log


def test_a_second_call_without_exc_info_raises() -> None:
    """F7: and it raises in the application, which may catch it."""
    raised = []

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", PLAIN)
        try:
            start_response("404 Not Found", [])
        except AppError as error:
            raised.append(str(error))
        return [b"x"]

    assert call(application).status == 200
    assert "second time" in raised[0]


def test_a_second_call_that_is_not_caught_is_a_500() -> None:
    """F7."""

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", PLAIN)
        start_response("200 OK", PLAIN)
        return [b"x"]

    told = call(application)
    assert told.status == 500
    assert "second time, without exc_info" in told.log


def test_the_reference_to_exc_info_is_cleared() -> None:
    """F7: no cycle keeps the traceback's frames, and what they hold, until the collector comes by."""

    class Held:
        pass

    refs = []

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        held = Held()
        refs.append(weakref.ref(held))
        start_response("200 OK", PLAIN)
        try:
            raise ValueError
        except ValueError:
            start_response("500 Oops", PLAIN, sys.exc_info())
        return [b"x"]

    gc.disable()
    try:
        call(application)
        assert refs[0]() is None
    finally:
        gc.enable()


# --- F8: close --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "method", "leaves_after", "status", "end"),
    [
        pytest.param([b"a", b"b"], "GET", None, 200, "finish", id="F8 to the end"),
        pytest.param([b"a", b"b"], "HEAD", None, 200, "finish", id="F8 HEAD"),
        pytest.param([], "GET", None, 200, "finish", id="F8 empty"),
        pytest.param([ValueError()], "GET", None, 500, "finish", id="F8 raises first"),
        pytest.param([b"a", ValueError()], "GET", None, 200, "broken", id="F8 raises later"),
        pytest.param([b"a", SystemExit()], "GET", None, 200, "broken", id="F8 exits"),
        pytest.param([b"a", b"b", b"c"], "GET", 1, 200, "broken", id="F8 the client leaves"),
        pytest.param([b"a", b"b", b"c"], "GET", 0, 200, "broken", id="F8 somebody else answered"),
        pytest.param(["text"], "GET", None, 500, "finish", id="F8 gives str"),
    ],
)
def test_close_is_called_once(steps: list[Any], method: str, leaves_after: int | None, status: int, end: str) -> None:
    """F8: on the application's own thread, whatever happened."""
    result = Closing(*steps)
    told = call(gives(result), get(method=method), outlet=FakeOutlet(leaves_after))
    assert (told.status, told.end) == (status, end)
    assert result.closed == [threading.get_ident()]


def test_close_is_called_when_start_response_never_was() -> None:
    """F8, F11."""
    result = Closing(b"a")
    told = call(lambda environ, start_response: result)
    assert told.status == 500
    assert "without a call of start_response" in told.log
    assert len(result.closed) == 1


def test_a_client_that_leaves_is_no_error_of_the_application() -> None:
    """F8: nothing in the log, and no more than one piece asked for."""
    result = Closing(*[b"x"] * 9)
    told = call(gives(result), outlet=FakeOutlet(leaves_after=2))
    assert told.log == ""
    assert result.taken == 3


def test_a_close_that_raises_after_a_whole_answer() -> None:
    """F8, F11: the answer stands; the log is told."""

    class Bad(Closing):
        def close(self) -> None:
            raise ValueError("cannot close")

    told = call(gives(Bad(b"a")))
    assert (told.body, told.end) == (b"a", "finish")
    assert "cannot close" in told.log


def test_the_body_is_closed_after_the_call_or_when_there_is_none() -> None:
    """F4, F14."""
    for application in (gives([b"x"]), gives(Closing(ValueError()))):
        body = FakeBody(b"data")
        call(application, get(method="POST", body=body))
        assert body.file.closed
    body = FakeBody(b"data")
    answer = Wsgi(gives([b"x"]))(get(method="POST", body=body))
    assert isinstance(answer, WsgiCall)
    answer.discard()
    assert body.file.closed
    WsgiCall(get(), Wsgi(gives([])), None).discard()


# --- F10: what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        pytest.param("200", PLAIN, "NNN reason", id="F10 no reason, not even a space"),
        pytest.param("OK", PLAIN, "NNN reason", id="F10 no number"),
        pytest.param("20 OK", PLAIN, "NNN reason", id="F10 two digits"),
        pytest.param("2000 OK", PLAIN, "NNN reason", id="F10 four digits"),
        pytest.param("٢٠٠ OK", PLAIN, "NNN reason", id="F10 other digits"),
        pytest.param(b"200 OK", PLAIN, "NNN reason", id="F10 bytes for status"),
        pytest.param(200, PLAIN, "NNN reason", id="F10 int for status"),
        pytest.param("100 Continue", PLAIN, "from 200 on", id="F10 1xx"),
        pytest.param("101 Switching Protocols", PLAIN, "from 200 on", id="F10 101"),
        pytest.param("199 Odd", PLAIN, "from 200 on", id="F10 n-1"),
        pytest.param("200 OK\r\nX: y", PLAIN, "reason phrase", id="F10 CRLF in status"),
        pytest.param("200 O\u20acK", PLAIN, "reason phrase", id="F10 status not latin-1"),
        pytest.param("200 OK", None, "no list", id="F10 None for headers"),
        pytest.param("200 OK", [("X",)], "tuple", id="F10 one of a pair"),
        pytest.param("200 OK", [("X", "y", "z")], "tuple", id="F10 three of a pair"),
        pytest.param("200 OK", ["ab"], "tuple", id="F10 str for a pair"),
        pytest.param("200 OK", [("X", b"y")], "not str", id="F10 bytes for value"),
        pytest.param("200 OK", [(b"X", "y")], "not str", id="F10 bytes for name"),
        pytest.param("200 OK", [("X", 5)], "not str", id="F10 int for value"),
        pytest.param("200 OK", [("X", None)], "not str", id="F10 None for value"),
        pytest.param("200 OK", [("X", "a\r\nY: b")], "cannot be sent", id="F10 CRLF"),
        pytest.param("200 OK", [("X", "a\nb")], "cannot be sent", id="F10 LF"),
        pytest.param("200 OK", [("X", "a\rb")], "cannot be sent", id="F10 CR"),
        pytest.param("200 OK", [("X", "a\0b")], "cannot be sent", id="F10 NUL"),
        pytest.param("200 OK", [("X", "\u20ac")], "cannot be sent", id="F10 not latin-1"),
        pytest.param("200 OK", [("X Y", "a")], "field name", id="F10 space in name"),
        pytest.param("200 OK", [("X:", "a")], "field name", id="F10 colon in name"),
        pytest.param("200 OK", [("", "a")], "field name", id="F10 no name"),
        pytest.param("200 OK", [("Connection", "close")], "hop by hop", id="F10 Connection"),
        pytest.param("200 OK", [("transfer-encoding", "chunked")], "hop by hop", id="F10 Transfer-Encoding"),
        pytest.param("200 OK", [("Upgrade", "websocket")], "hop by hop", id="F10 Upgrade"),
        pytest.param("200 OK", [("Keep-Alive", "x")], "hop by hop", id="F10 Keep-Alive"),
        pytest.param("200 OK", [("Trailer", "x")], "hop by hop", id="F10 Trailer"),
        pytest.param("200 OK", [("Content-Length", "x")], "no number", id="F10 length no number"),
        pytest.param("200 OK", [("Content-Length", "-1")], "no number", id="F10 length below zero"),
        pytest.param("200 OK", [("Content-Length", "+1")], "no number", id="F10 length with a sign"),
        pytest.param("200 OK", [("Content-Length", "1, 1")], "no number", id="F10 length as a list"),
        pytest.param("200 OK", [("Content-Length", "1"), ("content-length", "1")], "twice", id="F10 length twice"),
    ],
)
@pytest.mark.parametrize("times", [1, 2], ids=["new", "again"])
def test_refused_heads(status: Any, headers: Any, words: str, times: int) -> None:
    """F10: a 500 and a clear line in the log; seeing it again does not make it right."""

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response(status, headers)
        return [b"secret"]

    for _ in range(times):
        told = call(application)
    assert (told.status, told.end) == (500, "finish")
    assert words in told.log
    assert told.exchange.request_id in told.log
    assert b"secret" not in told.body
    assert words.encode() not in told.body


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [("200 OK", 200, "OK"), ("200 ", 200, ""), ("299 Very Odd", 299, "Very Odd"), ("999 Caf\xe9", 999, "Caf\xe9")],
)
def test_statuses_that_are_right(status: str, code: int, reason: str) -> None:
    """F10."""
    told = call(gives([b"x"], status))
    assert (told.status, told.reason, told.end) == (code, reason, "finish")


def test_fields_are_passed_on_as_given() -> None:
    """F10: repeated ones, tabs and latin-1 included; any iterable of pairs; str subclasses become str."""

    class Safe(str):
        pass

    headers = [("Set-Cookie", "a=1"), ("set-cookie", "b=2"), ("X-Text", "a\tb \xe9"), (Safe("X-Safe"), Safe("s"))]

    def giving(given: Any) -> Callable[..., Any]:
        return lambda environ, start_response: start_response("200 OK", given) and [b"x"]

    lists = [list(pair) for pair in headers]
    for given in (headers, tuple(headers), lists, iter(headers), iter(lists)):
        told = call(giving(given))
        assert told.pairs == tuple(headers)
        assert all(type(text) is str for pair in told.pairs for text in pair)


def test_blanks_around_a_value_are_no_part_of_it() -> None:
    """RFC 9110 §5.5; Django's Set-Cookie begins with one."""
    given = [("Set-Cookie", " a=1; Path=/"), ("X-Text", "\ta b \t"), ("X-Empty", " ")]
    assert call(gives([b"x"], headers=given)).pairs == (
        ("Set-Cookie", "a=1; Path=/"), ("X-Text", "a b"), ("X-Empty", ""),
    )  # fmt: skip


@pytest.mark.parametrize("name", ["Date", "Server", "X-Request-Id", "dAtE"])
def test_what_the_wire_writes_itself_is_dropped(name: str) -> None:
    """F10: exactly one Date, Server and X-Request-Id leave, and they are the wire's."""
    assert call(gives([b"x"], headers=[(name, "mine")])).pairs == ()


def test_heads_seen_before_are_shared() -> None:
    """F10: the wire then encodes a repeated head once; a client's own cookies are not remembered."""
    assert read_head("200 OK", [("X-Shared", "1")]) is read_head("200 OK", [("X-Shared", "1")])
    assert read_head("200 OK", [("Set-Cookie", "1")]) is not read_head("200 OK", [("Set-Cookie", "1")])
    head = read_head("200 OK", [("X-Shared", "1")])
    assert head.with_length(3) is head.with_length(3)
    assert head.with_length(4).length == 4


@pytest.mark.parametrize(
    ("result", "words"),
    [
        pytest.param(None, "returned NoneType", id="F10 forgot to return"),
        pytest.param("text", "returned str", id="F10 str itself"),
        pytest.param(b"bytes", "returned bytes", id="F10 bytes itself"),
        pytest.param(["text"], "gave str as a piece", id="F10 str in a list"),
        pytest.param([b"", "text"], "gave str as a piece", id="F10 str later"),
        pytest.param([bytearray(b"x")], "gave bytearray as a piece", id="F10 bytearray"),
        pytest.param([None], "gave NoneType as a piece", id="F10 None"),
        pytest.param(5, "returned int: an iterable of bytes", id="F10 no iterable"),
    ],
)
def test_refused_bodies(result: Any, words: str) -> None:
    """F10: bytes, and an iterable of them."""
    told = call(gives(result))
    assert (told.status, told.end) == (500, "finish")
    assert words in told.log


def test_a_subclass_of_bytes_is_bytes() -> None:
    """F10: Django's SafeBytes."""

    class Safe(bytes):
        pass

    told = call(gives([Safe(b"safe")]))
    assert told.body == b"safe"


# --- F11: exceptions --------------------------------------------------------------------------------------------------


def boom(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    raise LookupError("the secret cupboard is empty")


@pytest.mark.parametrize(
    ("dev", "address", "shown"),
    [
        pytest.param(False, "127.0.0.1", False, id="F11 not in production"),
        pytest.param(True, "127.0.0.1", True, id="F11 development"),
        pytest.param(True, "::1", True, id="F11 development, IPv6"),
        pytest.param(True, "::ffff:127.0.0.1", True, id="F11 development, both families"),
        pytest.param(True, "192.0.2.1", False, id="F11 development, from elsewhere"),
        pytest.param(True, "unix:", False, id="F11 development, behind a unix socket"),
    ],
)
def test_an_exception_before_the_head(dev: bool, address: str, shown: bool) -> None:
    """F11: 500; the traceback, from the application's first frame on, in the log, and in the page in development."""
    told = call(boom, get("/x?y", facts=Facts(address)), dev=dev)
    assert (told.status, told.end) == (500, "finish")
    assert (b"secret cupboard" in told.body) is shown
    assert f"{told.exchange.request_id}: GET /x?y: the application raised LookupError" in told.log
    assert "in boom" in told.log
    assert "content/wsgi.py" not in told.log


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), MemoryError()], ids=repr)
def test_whatever_is_raised_is_a_500(error: BaseException) -> None:
    """F11: `run` raises nothing; a thread is not the application's to end."""
    told = call(gives(Closing(error)))
    assert (told.status, told.end) == (500, "finish")
    assert type(error).__name__ in told.log


def test_an_exception_after_the_head_breaks_the_connection() -> None:
    """F11."""
    told = call(gives(Closing(b"some", ValueError("midway"))))
    assert (told.status, told.body, told.end) == (200, b"some", "broken")
    assert "midway" in told.log


def test_an_exception_before_the_first_piece_replaces_what_was_announced() -> None:
    """F5, F11: start_response alone sends nothing."""
    told = call(gives(Closing(b"", ValueError("early")), headers=[("X-Secret", "1")]))
    assert told.status == 500
    assert "x-secret" not in told.fields


def test_an_error_page_that_fails() -> None:
    """F11: the log has both, and the connection is broken."""

    class Broken(FakeChain):
        def errors(self, exchange: Exchange, error: Any) -> Response:
            raise RuntimeError("no page either")

    told = call(boom, get(chain=Broken()))
    assert told.end == "broken"
    assert "secret cupboard" in told.log
    assert "no page either" in told.log


def test_a_client_that_leaves_before_the_error_page() -> None:
    """F11: nobody is there to be told, and the log has the one error."""

    class Gone(FakeOutlet):
        def head(self, response: Response) -> None:
            self._note("head")
            raise Disconnected

    told = call(boom, outlet=Gone())
    assert told.end == "broken"
    assert told.log.count("Traceback") == 1


def test_filters_see_every_head_in_their_order() -> None:
    """The chain's filters: applied once to each head that leaves, error pages included."""

    def add(mark: str) -> Callable[[Exchange, Response], Response]:
        def apply(exchange: Exchange, response: Response) -> Response:
            return response.with_(fields=(*response.fields, ("X-Mark", mark)))

        return apply

    for application in (gives([b"x"]), gives([b"x", b"y"]), gives([]), boom):
        told = call(application, get(chain=FakeChain(add("1"), add("2"))))
        assert [value for name, value in told.pairs if name == "X-Mark"] == ["1", "2"]


def test_a_filter_that_fails_is_a_500_or_a_break() -> None:
    """F11: never an exception out of `run`."""

    def bad(exchange: Exchange, response: Response) -> Response:
        raise RuntimeError("bad filter")

    told = call(gives([b"x"]), get(chain=FakeChain(bad)))
    assert told.end == "broken"
    assert told.log.count("bad filter") >= 2


# --- F14 on the loop's side -------------------------------------------------------------------------------------------


async def test_no_thread_waits_for_an_upload() -> None:
    """F14: a body that is here is a call at once; one that is not is awaited on the loop."""
    body = FakeBody(b"data", here=False)
    answer = Wsgi(gives([b"x"]))(get(method="POST", body=body))
    assert not isinstance(answer, WsgiCall)
    ready = await answer
    assert isinstance(ready, WsgiCall)
    outlet = FakeOutlet()
    ready.run(outlet)
    assert Told(outlet, ready.exchange, "").body == b"x"
    assert body.asked == ["nowait", "wait"]


@pytest.mark.parametrize(("size", "refused"), [(9, False), (10, False), (11, True)])
def test_413_before_reading(size: int, refused: bool) -> None:
    """F14, E8: by Content-Length, without asking for the body."""
    body = FakeBody(b"x" * size)
    wsgi = Wsgi(gives([b"x"]), limit=10)
    if refused:
        with pytest.raises(ClientError) as caught:
            wsgi(get(method="POST", body=body))
        assert caught.value.status == 413
        assert body.asked == []
    else:
        assert isinstance(wsgi(get(method="POST", body=body)), WsgiCall)
