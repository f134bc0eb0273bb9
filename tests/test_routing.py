"""The spine: which chain, in what order its links run, and what becomes of errors."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from edgestack.errors import AppError, ClientError, Disconnected, EdgeError, Refused
from edgestack.http.facts import Facts
from edgestack.http.messages import AppCall, Exchange, Request, Response
from edgestack.http.target import ASTERISK, read_path
from edgestack.routing import Chain, nothing, spine


def exchange(target: str) -> Exchange:
    raw, _, query = target.partition("?")
    path = ASTERISK if raw == "*" else read_path(raw)
    fields = {"host": "a"}
    return Exchange(
        Facts(), Request("GET", target, "HTTP/1.1", list(fields.items()), fields, path, query, "a", True), 1, 0
    )


def page(exchange: Exchange, error: EdgeError) -> Response:
    return Response(error.status, (), f"{error.status} {error.public}".encode())


def named(prefix: str, **more: Any) -> Chain:
    """A chain whose answer is its prefix."""
    return Chain(prefix, lambda exchange: Response(200, (), prefix.encode()), page, **more)


FALLBACK = Chain("/", nothing, page)

MATCHES = [
    ("/", "/"),
    ("/x", "/"),
    ("/api", "/api"),
    ("/api/", "/api"),
    ("/api/x", "/api"),
    ("/apix", "/"),
    ("/api/v2", "/api/v2"),
    ("/api/v2/x", "/api/v2"),
    ("/api/v22", "/api"),
    ("/%61pi", "/api"),
    ("/x/../api", "/api"),
    ("/dir/", "/dir/"),
    ("/dir/x", "/dir/"),
    ("/dir", "/"),
    ("*", "/"),
    ("/caf%C3%A9/x", "/café"),
]


@pytest.mark.parametrize(("target", "prefix"), MATCHES)
def test_the_longest_prefix_on_a_segment_boundary(target: str, prefix: str) -> None:
    """B4, F1: longest first, however they were given; and the same when the path was seen before."""
    chains = [named(prefix) for prefix in ("/", "/api", "/api/v2", "/dir/", "/café")]
    for order in (chains, chains[::-1]):
        handle = spine(order, FALLBACK)
        for _ in range(2):
            answer = handle(exchange(target))
            assert isinstance(answer, Response)
            assert answer.body == prefix.encode()


TWO_READINGS = [
    ("//api/x", 400),
    ("/api//x", 200),
    ("/x//y", 200),
    ("//x", 200),
    ("/api//v2/x", 400),
    ("/%2fapi/x", 400),
    ("/api%2Fx", 200),
    ("/caf%C3%A9//x", 200),
    ("//caf%C3%A9/x", 400),
]


@pytest.mark.parametrize(("target", "status"), TWO_READINGS)
def test_a_path_that_would_choose_two_routes(target: str, status: int) -> None:
    """Design §3, one normal path: merged or not, the slashes must lead to the same route."""
    handle = spine([named(prefix) for prefix in ("/", "/api", "/api/v2", "/café")], FALLBACK)
    for _ in range(2):
        answer = handle(exchange(target))
        assert isinstance(answer, Response)
        assert answer.status == status


def test_what_no_chain_matches() -> None:
    handle = spine([named("/api")], FALLBACK)
    answer = handle(exchange("/other"))
    assert isinstance(answer, Response)
    assert answer.status == 404


def test_many_paths_are_forgotten_again() -> None:
    handle = spine([named("/"), named("/api")], FALLBACK)
    for number in range(20_000):
        answer = handle(exchange(f"/api/{number}" if number % 2 else f"/{number}"))
        assert isinstance(answer, Response)
        assert answer.body == (b"/api" if number % 2 else b"/")


def test_the_links_run_in_order() -> None:
    """Checks, content, filters; the exchange knows its chain and its ends before the first."""
    order: list[str] = []
    ends = (lambda exchange: None,)

    def check(name: str) -> Any:
        def run(exchange: Exchange) -> None:
            assert exchange.chain is chain
            assert exchange.ends == ends
            order.append(name)

        return run

    def content(exchange: Exchange) -> Response:
        order.append("content")
        return Response(200, (), b"x")

    def change(name: str) -> Any:
        def run(exchange: Exchange, response: Response) -> Response:
            order.append(name)
            return response.with_(fields=(*response.fields, (name, "yes")))

        return run

    chain = Chain(
        "/", content, page, checks=(check("one"), check("two")), filters=(change("three"), change("four")), ends=ends
    )
    answer = spine([chain], FALLBACK)(exchange("/"))
    assert isinstance(answer, Response)
    assert order == ["one", "two", "content", "three", "four"]
    assert answer.fields == (("three", "yes"), ("four", "yes"))


def test_a_check_that_answers() -> None:
    """Nothing behind it runs but the filters."""
    chain = Chain(
        "/",
        nothing,
        page,
        checks=(lambda exchange: Response(403), nothing),
        filters=(lambda exchange, response: response.with_(fields=(("X", "y"),)),),
    )
    answer = spine([chain], FALLBACK)(exchange("/"))
    assert isinstance(answer, Response)
    assert (answer.status, answer.fields) == (403, (("X", "y"),))


def raising(error: EdgeError) -> Any:
    def content(exchange: Exchange) -> Response:
        raise error

    return content


def raising_later(error: EdgeError) -> Any:
    def content(exchange: Exchange) -> Any:
        async def wait() -> Response:
            raise error

        return wait()

    return content


LOGGED = [
    (ClientError("Gone.", 410), 410, False),
    (Refused("Busy.", 503), 503, False),
    (AppError("Broken.", detail="the details"), 500, True),
]


@pytest.mark.parametrize(("error", "status", "logged"), LOGGED)
@pytest.mark.parametrize("make", [raising, raising_later])
async def test_errors_become_pages(
    make: Any, error: EdgeError, status: int, logged: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """What is our fault stands in the log with its details and the request's id; a stranger's mistake does not."""
    caplog.set_level(logging.ERROR)
    chain = Chain("/", make(error), page, filters=(lambda exchange, response: response.with_(fields=(("X", "y"),)),))
    asked = exchange("/x?y")
    answer: Any = spine([chain], FALLBACK)(asked)
    if not isinstance(answer, Response):
        answer = await answer
    assert (answer.status, answer.fields) == (status, (("X", "y"),))
    assert (f"{asked.request_id}: GET /x?y: 500: the details" in caplog.text) == logged
    assert logged or not caplog.text


async def test_a_client_that_left_is_no_page() -> None:
    answer: Any = spine([Chain("/", raising_later(Disconnected()), page)], FALLBACK)(exchange("/"))
    with pytest.raises(Disconnected):
        await answer


class Call(AppCall):
    """An application call."""

    __slots__ = ()


async def test_application_calls_pass_through() -> None:
    """At once, or when they have been waited for; their filters are theirs."""

    def boom(exchange: Exchange, response: Response) -> Response:
        raise AssertionError("the application's thread runs the filters")

    async def later(exchange: Exchange) -> AppCall:
        return Call(exchange)

    for content in (Call, later):
        answer: Any = spine([Chain("/", content, page, filters=(boom,))], FALLBACK)(exchange("/"))
        assert isinstance(answer if isinstance(answer, AppCall) else await answer, AppCall)
