"""Bugs at the three boundaries: each costs one connection, is counted, and is logged with its request id (rule 7)."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import trio
from contract_kit import ON_SOCKETS, Edge

from edgestack.errors import Refused
from edgestack.http.bodies import Outlet
from edgestack.http.messages import AppCall, Exchange, Response

Serving = Callable[..., AbstractAsyncContextManager[Edge]]


def hello(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [b"hello"]


def raises_at_once(exchange: Exchange) -> Response:
    raise RuntimeError("a bug")


async def later(body: Any = b"") -> Response:
    await trio.lowlevel.checkpoint()
    if not body:
        raise RuntimeError("a bug")
    return Response(200, (), body)


async def breaks_off() -> AsyncIterator[bytes]:
    yield b"one"
    raise RuntimeError("a bug")


def unsendable(exchange: Exchange) -> Response:
    return Response(200, (("X-Broken", "a\r\nb"),), b"x")


class BuggyCall(AppCall):
    """A call that breaks its promise to raise nothing, before or after it has said something."""

    __slots__ = ("says",)

    def __init__(self, exchange: Exchange, says: str) -> None:
        super().__init__(exchange)
        self.says = says

    def run(self, outlet: Outlet) -> None:
        if self.says:
            outlet.head(Response(200, (), b"", 3))
            outlet.piece(b"abc")
        if self.says == "all":
            outlet.finish()
        raise RuntimeError("a bug")

    def discard(self) -> None:
        """Nothing is held."""


FAULTS: dict[str, tuple[Callable[[Exchange], Any], bytes]] = {
    "handler": (raises_at_once, b""),
    "unsendable answer": (unsendable, b""),
    "task": (lambda exchange: later(), b""),
    "stream": (lambda exchange: later(breaks_off()), b"HTTP/1.1 200 OK"),
    "thread": (lambda exchange: BuggyCall(exchange, ""), b""),
    "thread, begun": (lambda exchange: BuggyCall(exchange, "some"), b"HTTP/1.1 200 OK"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("behind", [False, True], ids=["first", "pipelined"])
async def test_a_bug_costs_its_own_connection(
    serving: Serving, fault: str, behind: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Rule 7."""
    caplog.set_level(logging.ERROR)
    handler, seen = FAULTS[fault]
    async with serving(app=hello, handlers={"/bug": handler}) as edge:
        other, broken = await edge.connect(), await edge.connect()
        before = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" if behind else b""
        await broken.send(before + b"GET /bug HTTP/1.1\r\nHost: a\r\n\r\n" + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        if behind:
            assert (await broken.answer()).body == b"hello"
        rest = (await broken.end()).removesuffix(b"<reset>")
        assert rest.startswith(seen)
        assert not rest.endswith(b"0\r\n\r\n")
        assert b"hello" not in rest
        await edge.settle()
        assert edge.stack.statistics()["failures"] == 1
        assert edge.stack.statistics()["connections"] == 1
        lines = [line for line in edge.records if line.target == "/bug"]
        assert len(lines) == 1
        assert lines[0].status == (200 if seen else 500)
        assert lines[0].request_id in caplog.text
        assert "a bug" in caplog.text or "CR, LF or NUL" in caplog.text
        await edge.talk("""
            >> GET / HTTP/1.1
            >> Host: a
            >>
            <~ 200
        """, other)  # fmt: skip


async def test_a_bug_after_a_whole_answer(serving: Serving, caplog: pytest.LogCaptureFixture) -> None:
    """Rule 7: the connection was given back, and may be somebody else's by now: it is left alone."""
    async with serving(app=hello, handlers={"/bug": lambda exchange: BuggyCall(exchange, "all")}) as edge:
        await edge.talk("""
            >> GET /bug HTTP/1.1
            >> Host: a
            >>
            <~ 200
            <-
            >> GET / HTTP/1.1
            >> Host: a
            >>
            <~ 200
        """)
        await edge.settle()
        assert edge.stack.statistics()["failures"] == 1
        assert edge.records[0].request_id in caplog.text


def fails(*_: object) -> None:
    raise RuntimeError("a bug")


@pytest.mark.parametrize("target", ["/at-once", "/later", "/"])
async def test_an_end_that_fails(serving: Serving, target: str, caplog: pytest.LogCaptureFixture) -> None:
    """Rule 7: also where the answer had left; the other connection lives."""
    handlers: dict[str, Callable[[Exchange], Any]] = {
        "/at-once": lambda exchange: Response(200, (), b"x"),
        "/later": lambda exchange: later(b"x"),
    }
    async with serving(app=hello, handlers=handlers) as edge:
        good, bad = await edge.connect(), await edge.connect()
        edge.log.broken = True
        await bad.send(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        await edge.settle()
        await bad.end()
        await edge.settle()
        edge.log.broken = False
        assert edge.stack.statistics()["connections"] == 1
        assert edge.stack.statistics()["failures"] == 1
        assert "the log is broken" in caplog.text
        await edge.talk("""
            >> GET / HTTP/1.1
            >> Host: a
            >>
            <~ 200
        """, good)  # fmt: skip


@pytest.mark.parametrize("when", ["head", "expiry", "queue"])
async def test_an_error_page_that_fails(
    serving: Serving, when: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 7: for a head that cannot be read, for one that is late, for a call that no thread takes."""
    async with serving(app=hello) as edge:
        good, bad = await edge.connect(), await edge.connect()
        with monkeypatch.context() as broken:
            broken.setattr("edgestack.phases.error_pages._body", fails)
            if when == "queue":

                def refuse(job: object) -> None:
                    raise Refused("The server is busy.")

                broken.setattr(edge.stack.threads, "queue", refuse)
            said = {"head": b"BROKEN\r\n\r\n", "expiry": b"GET / HT", "queue": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"}
            await bad.send(said[when])
            await edge.settle()
            if when == "expiry":
                await edge.advance(11)
            assert await bad.end() in (b"", b"<reset>")
            await edge.settle()
        assert edge.stack.statistics()["failures"] == 1
        assert edge.stack.statistics()["connections"] == 1
        assert "a bug" in caplog.text
        await edge.talk("""
            >> GET / HTTP/1.1
            >> Host: a
            >>
            <~ 200
        """, good)  # fmt: skip


@pytest.mark.parametrize("driver", ON_SOCKETS, indirect=True)
async def test_an_accepting_that_fails(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug before the first request costs that client only."""
    async with serving(app=hello) as edge:
        with monkeypatch.context() as broken:
            broken.setattr("edgestack.wire.accepting.Facts", fails)
            client = await edge.connect(plain=True)
            await client.end()
        assert edge.stack.statistics()["failures"] == 1
        await edge.talk("""
            >> GET / HTTP/1.1
            >> Host: a
            >>
            <~ 200
        """)
