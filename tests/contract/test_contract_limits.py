"""Limits and passwords behind the wire, on every driver: what a client sees, and that nothing is left behind."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
from contract_kit import Answer, Edge

from edgestack.config.model import BasicAuth, Limit, Rate
from edgestack.content.wsgi import Wsgi
from edgestack.http.facts import Facts
from edgestack.http.messages import Check, Exchange, Handler, Request, Response, Wrap
from edgestack.http.target import read_path
from edgestack.phases.basic_auth import basic_auth
from edgestack.phases.body_limit import body_limit
from edgestack.phases.connection_limit import connection_limit
from edgestack.phases.error_pages import ErrorPages
from edgestack.phases.rate_limit import rate_limit
from edgestack.routing import Chain

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def behind(content: Handler, checks: Sequence[Check | None] = (), wraps: Sequence[Wrap | None] = ()) -> Any:
    """Content behind links, as a chain has them."""
    some_checks = [check for check in checks if check is not None]
    some_wraps = [wrap for wrap in wraps if wrap is not None]
    return {"/": Chain("/", content, ErrorPages(), checks=some_checks, wraps=some_wraps).handle}


def hello(exchange: Exchange) -> Response:
    return Response(200, (), b"hello")


async def asked(edge: Edge, connections: int, each: int, request: bytes = GET) -> list[Answer]:
    """All that comes for so many requests, sent at the same moment."""
    clients = [await edge.connect() for _ in range(connections)]
    answers: list[Answer] = []

    async def one(client: Any) -> None:
        await client.send(request * each)
        for _ in range(each):
            answers.append(await client.answer())

    async with trio.open_nursery() as nursery:
        for client in clients:
            nursery.start_soon(one, client)
    for client in clients:
        await client.close()
    return answers


async def test_1000_breakers_of_a_rate(serving: Any) -> None:
    """Exactly rate and burst are let in; all others are told when to come back."""
    limit = Limit(Rate(10, 1), burst=20, delay=20)
    async with serving(handlers=behind(hello, wraps=[rate_limit([limit])])) as edge:
        answers = await asked(edge, 25, 40)
        assert [answer.status for answer in answers].count(200) == 21
        refused = [answer for answer in answers if answer.status != 200]
        assert len(refused) == 979
        assert {(answer.status, answer.fields["retry-after"]) for answer in refused} == {(429, "1")}
        await edge.settle()
        assert len(edge.records) == 1000


async def test_a_delayed_request_waits_its_turn(serving: Any) -> None:
    limit = Limit(Rate(1, 1), burst=2)
    async with serving(handlers=behind(hello, wraps=[rate_limit([limit])])) as edge:
        client = await edge.talk("""
            >> GET / HTTP/1.1
            >> Host: a
            >>
            <~ 200
            >> GET / HTTP/1.1
            >> Host: a
            >>
            == 0.9
        """)
        assert not client.received
        await edge.talk("== 0.2\n<~ 200", client)


async def test_connections_are_given_back_however_they_end(serving: Any, driver: str) -> None:
    """Two at a time: the third is refused; an answer, a client that leaves and a failing application give back."""
    gate, fail = threading.Event(), threading.Event()
    check = connection_limit([Limit(connections=2)])

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        assert gate.wait(20)
        if fail.is_set():
            raise ValueError("a bug")
        start_response("200 OK", [])
        return [b"hello"]

    async with serving(handlers=behind(Wsgi(app), [check]), threads=2) as edge:
        for ending in ("answer", "leave", "fail"):
            gate.clear()
            held = [await edge.connect() for _ in range(2)]
            for client in held:
                await client.send(GET)
            await edge.settle(threads=False)
            (refused,) = await asked(edge, 1, 1)
            assert (refused.status, refused.fields["retry-after"]) == (429, "1")
            if ending == "leave":
                for client in held:
                    await client.reset()
                await edge.settle(threads=False)
            if ending == "fail":
                fail.set()
            gate.set()
            if ending != "leave":
                assert {(await client.answer()).status for client in held} == {500 if ending == "fail" else 200}
            await edge.settle()
            assert check is not None
            assert check.describe(_nobody(edge)) == "0 of 2 at once", ending


def _nobody(edge: Edge) -> Exchange:
    """An exchange of the same client."""
    return Exchange(Facts(), Request("GET", "/", "HTTP/1.1", [], {}, read_path("/"), "", "a", True), 1, 0.0)


@pytest.mark.parametrize(("size", "status"), [(9, 200), (10, 200), (11, 413)])
@pytest.mark.parametrize("chunked", [False, True])
async def test_bodies_at_n_minus_1_n_and_n_plus_1(serving: Any, size: int, status: int, chunked: bool) -> None:
    """E8; the application's own limit is larger."""
    read = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        read.append(environ["wsgi.input"].read())
        start_response("200 OK", [])
        return [b"hello"]

    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % size
    body = b"".join(b"1\r\nx\r\n" for _ in range(size)) + b"0\r\n\r\n" if chunked else b"x" * size
    async with serving(handlers=behind(Wsgi(app, limit=1000), [body_limit(10)])) as edge:
        (answer,) = await asked(edge, 1, 1, b"POST / HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n%b" % (framing, body))
        assert answer.status == status
        assert read == ([b"x" * size] if status == 200 else [])


async def test_1000_breakers_of_a_body(serving: Any) -> None:
    async with serving(handlers=behind(hello, [body_limit(10)])) as edge:
        request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n" + b"x" * 11
        answers = await asked(edge, 25, 40, request)
        assert [answer.status for answer in answers] == [413] * 1000


async def test_a_password_before_an_application(serving: Any, tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text("alice:{SHA}" + base64.b64encode(hashlib.sha1(b"open").digest()).decode() + "\n")

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"hello ", environ["wsgi.input"].read()]

    async with serving(handlers=behind(Wsgi(app), wraps=[basic_auth(BasicAuth(file))])) as edge:
        knocks = [base64.b64encode(b"alice:" + word) for word in (b"open", b"shut", b"open")]
        heads = [b"POST / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic %b\r\n" % knock for knock in knocks]
        statuses = []
        for head in heads:
            (answer,) = await asked(edge, 1, 1, head + b"Content-Length: 5\r\n\r\nworld")
            statuses.append(answer.status)
            if answer.status == 200:
                assert answer.body == b"hello world"
        assert statuses == [200, 401, 200]
        (answer,) = await asked(edge, 1, 1)
        assert answer.fields["www-authenticate"] == 'Basic realm="Restricted", charset="UTF-8"'
