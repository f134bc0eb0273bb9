"""auth_request: a path of the same site says whether a request may pass."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trio
from phases_kit import answer_of, coming, hello

from edgestack.config.model import AuthRequest
from edgestack.content.wsgi import Wsgi
from edgestack.errors import ClientError, EdgeError, Refused
from edgestack.http.jumps import Jump
from edgestack.http.messages import Exchange, Response
from edgestack.phases.auth_request import auth_request
from edgestack.phases.error_pages import ErrorPages
from edgestack.phases.subrequest import Subrequest
from edgestack.routing import Chain


class Threads:
    """One thread for each job, as the pool would have it; or none, when it is full."""

    def __init__(self, full: bool = False) -> None:
        self.full = full

    def queue(self, job: Callable[[], None]) -> None:
        if self.full:
            raise Refused("Too many.", 503, retry_after=1)
        self.job = job

    def go(self) -> None:
        threading.Thread(target=self.job).start()


def guarded(handle: Any, threads: Threads | None = None, then: Any = hello, **more: Any) -> Any:
    wrap = auth_request(AuthRequest("/auth?from=edge", **more), handle, threads or Threads())
    assert wrap is not None
    return wrap(then)


@pytest.mark.parametrize(
    ("said", "expected"),
    [(200, 200), (204, 200), (299, 200), (401, 401), (403, 403), (302, 500), (300, 500), (404, 500), (500, 500)],
)
async def test_verdicts(said: int, expected: int) -> None:
    answer = await answer_of(guarded(lambda exchange: Response(said)), coming())
    assert answer.status == expected


async def test_the_challenge_is_given_on_and_nothing_else() -> None:
    asked = Response(401, (("WWW-Authenticate", "Bearer"), ("WWW-Authenticate", "Basic"), ("Set-Cookie", "a=1")))
    error = await answer_of(guarded(lambda exchange: asked), coming())
    assert error.fields == (("WWW-Authenticate", "Bearer"), ("WWW-Authenticate", "Basic"))


async def test_what_the_other_side_sees() -> None:
    seen: list[Exchange] = []

    def handle(exchange: Exchange) -> Response:
        seen.append(exchange)
        return Response(200)

    exchange = coming(
        "/secret?x=1", method="POST", cookie="session=1", authorization="Bearer x", content_length="10",
        content_type="text/plain", transfer_encoding="chunked", if_none_match='"x"', range="bytes=0-1",
        x_original_uri="/forged", x_original_method="forged", body=object(),
    )  # fmt: skip
    assert (await answer_of(guarded(handle), exchange)).status == 200
    (asked,) = seen
    request = asked.request
    assert isinstance(asked, Subrequest)
    assert (request.method, request.target, request.path.normal, request.query) == (
        "GET", "/auth?from=edge", "/auth", "from=edge",
    )  # fmt: skip
    assert request.fields == {
        "cookie": "session=1", "authorization": "Bearer x", "x-original-uri": "/secret?x=1",
        "x-original-method": "POST",
    }  # fmt: skip
    assert dict(request.pairs) == request.fields
    assert request.body is None
    assert asked.request_id == exchange.request_id
    assert exchange.request.fields["x-original-uri"] == "/forged", "the request itself is as it came"


async def test_an_awaited_answer_and_a_stream_that_is_closed() -> None:
    closed = []

    class Stream:
        def __aiter__(self) -> AsyncIterator[bytes]:
            raise AssertionError("nobody reads it")

        def close(self) -> None:
            closed.append(True)

    async def later() -> Response:
        await trio.lowlevel.checkpoint()
        return Response(200, (), Stream())

    assert (await answer_of(guarded(lambda exchange: later()), coming())).status == 200
    assert closed == [True]


def application(status: str, body: bytes = b"no") -> Any:
    def handle(exchange: Exchange) -> Any:
        def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            assert environ["HTTP_X_ORIGINAL_URI"] == "/"
            start_response(status, [("WWW-Authenticate", "Bearer")])
            return [body]

        exchange.chain = Chain("/", hello, ErrorPages())
        return Wsgi(app)(exchange)

    return handle


@pytest.mark.parametrize("body", [b"", b"x", b"x" * 100_000])
@pytest.mark.parametrize(
    ("status", "expected"), [("204 No Content", 200), ("200 OK", 200), ("401 No", 401), ("403 No", 403)]
)
async def test_an_application_is_asked_on_a_thread(status: str, expected: int, body: bytes) -> None:
    answer = await answer_of(guarded(application(status, body)), coming())
    assert answer.status == expected
    if expected == 401:
        assert answer.fields == (("WWW-Authenticate", "Bearer"),)


async def test_an_application_that_fails() -> None:
    def handle(exchange: Exchange) -> Any:
        def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            raise ValueError("a bug")

        exchange.chain = Chain("/", hello, ErrorPages())
        return Wsgi(app)(exchange)

    error = await answer_of(guarded(handle), coming())
    assert isinstance(error, EdgeError)
    assert error.status == 500


async def test_no_thread_is_free() -> None:
    error = await answer_of(guarded(application("200 OK"), Threads(full=True)), coming())
    assert error.status == 503


async def test_an_error_of_the_asked_route_that_nobody_caught() -> None:
    def handle(exchange: Exchange) -> Response:
        raise ClientError("There is nothing.", 404)

    error = await answer_of(guarded(handle), coming())
    assert error.status in (404, 500)


async def test_a_jump_that_leads_nowhere() -> None:
    error = await answer_of(guarded(lambda exchange: Jump("@nowhere")), coming())
    assert error.status == 500


async def test_it_is_not_asked_for_its_own_question() -> None:
    """A site's auth_request holds for the route that it leads to as well."""
    calls = []

    def handle(exchange: Exchange) -> Any:
        calls.append(exchange)
        return handler(exchange)

    handler = guarded(handle)
    assert (await answer_of(handler, coming())).status == 200
    assert len(calls) == 1


async def test_only_its_own_ends_are_run() -> None:
    """It leaves no line in the access log; what its links hold is given back."""
    told: list[str] = []

    def handle(exchange: Exchange) -> Response:
        exchange.chain = chain
        exchange.ends = (*chain.ends, lambda one: told.append("held"))
        return Response(200)

    chain = Chain("/", hello, ErrorPages(), ends=[lambda one: told.append("log")])
    await answer_of(guarded(handle), coming())
    assert told == ["held"]


SAID = (("X-User", "ann"), ("Set-Cookie", "a=1"), ("set-cookie", "b=2"), ("X-Empty", ""))


@pytest.mark.parametrize("status", [200, 401])
async def test_variables_take_fields_of_its_answer(status: int) -> None:
    """nginx: auth_request_set, whatever the status; what stood there before stays."""
    exchange = coming()
    exchange.noted = {"before": "x", "user": "y"}
    handler = guarded(
        lambda asked: Response(status, SAID), set=(("user", "x-user"), ("cookies", "set-cookie"), ("none", "x-none"))
    )
    assert (await answer_of(handler, exchange)).status == status
    assert exchange.noted == {"before": "x", "user": "ann", "cookies": "a=1, b=2", "none": ""}


async def test_the_request_bears_fields_of_its_answer() -> None:
    """What the client sent by these names is gone, in whatever way the fields are looked at; others share nothing."""
    seen: list[Exchange] = []

    def content(exchange: Exchange) -> Response:
        seen.append(exchange)
        return hello(exchange)

    exchange = coming(x_user="forged", x_empty="forged", x_none="forged", accept="*/*", cookie="a=1")
    request = exchange.request
    request.block = object()
    shared, pairs = request.fields, request.pairs
    handler = guarded(lambda asked: Response(204, SAID), then=content, copy=("x-user", "x-empty", "x-none"))
    assert (await answer_of(handler, exchange)).status == 200
    assert seen == [exchange]
    assert request.fields == dict(request.pairs) == {"accept": "*/*", "cookie": "a=1", "x-user": "ann"}
    assert request.block is None
    assert shared["x-user"] == "forged"
    assert ("x-user", "forged") in pairs


async def test_who_is_refused_is_given_nothing() -> None:
    exchange = coming(x_user="own")
    await answer_of(guarded(lambda asked: Response(403, SAID), copy=("x-user",)), exchange)
    assert exchange.request.fields["x-user"] == "own"


def test_describe() -> None:
    wrap = auth_request(AuthRequest("/auth", (("user", "x-user"),), ("x-role",)), hello, Threads())
    assert wrap is not None
    assert wrap.describe(coming()) == "/auth would be asked; 2xx lets the request pass, with $user from x-user, x-role"


def test_without_a_path_there_is_no_link() -> None:
    assert auth_request(None, hello, Threads()) is None
