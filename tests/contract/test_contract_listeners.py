"""Listeners and limits: TLS ports that hear HTTP, redirects, unix sockets, too many connections (E7, E9, E11)."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import trio
from contract_kit import NOT_TLS, ON_SOCKETS, ON_TLS, Client, Edge

from edgestack.config.model import Listener

Serving = Callable[..., AbstractAsyncContextManager[Edge]]


def facts(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """What the application is told of the connection."""
    start_response("200 OK", [])
    return [f"{environ['wsgi.url_scheme']} {environ['REMOTE_ADDR']}".encode()]


async def test_what_the_application_knows(serving: Serving) -> None:
    async with serving(app=facts) as edge:
        client = await edge.talk("""
            >> GET / HTTP/1.1
            >> Host: a
            >>
        """)
        answer = await client.answer()
        assert answer.body == (b"https 127.0.0.1" if edge.tls else b"http 127.0.0.1")


@pytest.mark.parametrize("driver", ON_TLS, indirect=True)
async def test_plain_http_on_the_tls_port(serving: Serving) -> None:
    """E9: a readable 400, which says where to go; the connection closes; the log has a line."""
    async with serving(app=facts) as edge:
        client = await edge.connect(plain=True)
        await client.send(b"GET /x HTTP/1.1\r\nHost: example.org\r\n\r\n")
        answer = await client.answer()
        assert answer.status == 400
        assert b"https://example.org/" in answer.body
        assert answer.fields["connection"] == "close"
        assert await client.end() == b""
        assert [line.status for line in edge.records] == [400]


@pytest.mark.parametrize("driver", ON_TLS, indirect=True)
async def test_plain_http_on_the_tls_port_is_redirected_where_that_is_asked_for(serving: Serving) -> None:
    """E9: "on request it is redirected to https"; those who speak TLS there are served."""
    listeners = (Listener("127.0.0.1", tls=True, redirect_plain=True, redirect_port=8443),)
    async with serving(app=facts, listeners=listeners) as edge:
        client = await edge.connect(plain=True)
        await client.send(b"GET /x?y HTTP/1.1\r\nHost: example.org:8443\r\n\r\n")
        answer = await client.answer()
        assert (answer.status, answer.fields["location"]) == (301, "https://example.org:8443/x?y")
        secure = await edge.connect()
        await secure.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await secure.answer()).status == 200


@pytest.mark.parametrize("driver", ON_TLS, indirect=True)
@pytest.mark.parametrize("hello", [b"\x16\x03\x01\x00\x05hello", b"\x00\x01\x02\x03\x04\x05", b"SSH-2.0-x\r\n"])
async def test_neither_tls_nor_http(serving: Serving, hello: bytes) -> None:
    """E9, E1: the connection ends, whatever it was, and others are served."""
    async with serving(app=facts) as edge:
        client = await edge.connect(plain=True)
        await client.send(hello)
        await edge.settle()
        await client.end()
        counted = edge.stack.statistics()
        assert counted == {"accepted": 0, "refused": 0, "failures": 0, "connections": 0, "requests": 0}
        await edge.talk("""
            >> GET / HTTP/1.1
            >> Host: a
            >>
            <~ 200
        """)


@pytest.mark.parametrize("driver", ON_TLS, indirect=True)
@pytest.mark.parametrize("said", [b"", b"G", b"\x16\x03"])
async def test_clients_that_leave_in_their_handshake(serving: Serving, said: bytes) -> None:
    async with serving(app=facts) as edge:
        for leave in (Client.close, Client.reset, Client.reset):
            client = await edge.connect(plain=True)
            if said:
                await client.send(said)
                await edge.settle()
            await leave(client)
            await edge.settle()
        statistics = edge.stack.statistics()
        assert (statistics["failures"], statistics["connections"]) == (0, 0)


@pytest.mark.parametrize("driver", NOT_TLS, indirect=True)
async def test_tls_on_the_plain_port_is_told_apart(serving: Serving) -> None:
    """The 400 is for whoever reads the bytes."""
    async with serving(app=facts) as edge:
        client = await edge.connect()
        await client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        answer = await client.answer()
        assert answer.status == 400
        assert b"TLS" in answer.body


@pytest.mark.parametrize("driver", ON_SOCKETS, indirect=True)
async def test_a_listener_that_redirects(serving: Serving, driver: str) -> None:
    """`--redirect-http`: another listener beside the one that serves."""
    tls = driver.endswith("tls")
    listeners = (Listener("127.0.0.1", tls=tls), Listener("127.0.0.1", redirect=True, redirect_port=443))
    async with serving(app=facts, listeners=listeners) as edge:
        client = await edge.connect(plain=True, listener=1)
        await client.send(b"GET /x HTTP/1.1\r\nHost: example.org:80\r\n\r\n")
        answer = await client.answer()
        assert (answer.status, answer.fields["location"]) == (301, "https://example.org/x")
        await edge.talk("""
            >> GET / HTTP/1.1
            >> Host: a
            >>
            <~ 200
        """)


@pytest.mark.parametrize("driver", ON_SOCKETS, indirect=True)
async def test_a_unix_socket(serving: Serving, driver: str, tmp_path: Path) -> None:
    path = str(tmp_path / "edge.sock")
    async with serving(app=facts, listeners=(Listener(path=path, tls=driver.endswith("tls")),)) as edge:
        client = await edge.talk("""
            >> GET / HTTP/1.1
            >> Host: a
            >>
        """)
        answer = await client.answer()
        assert answer.body.endswith(b"unix:")
        await edge.talk("""
            >> GET / HTTP/1.1
            >> Host: a
            >> Connection: close
            >>
            <~ 200
            <!
        """, client)  # fmt: skip


@pytest.mark.parametrize("driver", ON_SOCKETS, indirect=True)
async def test_too_many_connections(serving: Serving) -> None:
    """E11: at n served, at n+1 a 503 that the client sees; far beyond, closed without a word; and then again."""
    async with serving(app=facts, limits={"connections": 3}) as edge:
        held = [await edge.connect() for _ in range(3)]
        for client in held:
            await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await client.answer()).status == 200
        refused = await edge.connect()
        answer = await refused.answer()
        assert (answer.status, answer.fields["retry-after"], answer.fields["connection"]) == (503, "5", "close")
        assert await refused.end() == b""
        await refused.close()
        await edge.settle()
        await held.pop().close()
        await edge.settle()
        await edge.talk("""
            >> GET / HTTP/1.1
            >> Host: a
            >>
            <~ 200
        """)
        assert edge.stack.statistics()["connections"] == 3


@pytest.mark.parametrize("driver", ON_TLS, indirect=True)
async def test_handshakes_count_as_connections(serving: Serving) -> None:
    """E11: a flood that never shakes hands is bounded too."""
    async with serving(app=facts, limits={"connections": 1}) as edge:
        silent = [await edge.connect(plain=True) for _ in range(70)]
        await edge.settle()
        assert edge.stack.statistics()["connections"] == 65
        assert await silent[-1].end() in (b"", b"<reset>")
        await edge.advance(11)
        await edge.talk("""
            >> GET / HTTP/1.1
            >> Host: a
            >>
            <~ 200
        """)


class Exhausted:
    """A listening socket, for as long as there are no descriptors."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.failing = 3
        self.asked = 0

    def accept(self) -> Any:
        self.asked += 1
        if self.failing:
            self.failing -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return self.sock.accept()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)


@pytest.mark.parametrize("driver", ON_SOCKETS, indirect=True)
async def test_out_of_descriptors(serving: Serving, caplog: pytest.LogCaptureFixture, driver: str) -> None:
    """E11: keep running, say so once, accept again when there are some."""
    caplog.set_level(logging.ERROR)
    made: list[Exhausted] = []

    def exhaust(sock: socket.socket) -> Any:
        made.append(Exhausted(sock))
        return made[-1]

    async with serving(app=facts, wrap=exhaust) as edge:
        async with trio.open_nursery() as nursery:
            client = None

            async def connect() -> None:
                nonlocal client
                client = await edge.connect()

            nursery.start_soon(connect)
            for left in (2, 1, 0):
                await edge.settle()
                assert made[0].failing == left
                assert caplog.text.count("cannot accept connections for now: Too many open files") == 1
                await edge.advance(0.1)
        await edge.talk("""
            >> GET / HTTP/1.1
            >> Host: a
            >>
            <~ 200
        """, client)  # fmt: skip
        made[0].failing = 1
        await edge.talk("""
            >> GET / HTTP/1.1
            >> Host: a
            >>
            <~ 200
        """, client)  # fmt: skip


@pytest.mark.parametrize("driver", ON_SOCKETS, indirect=True)
async def test_a_client_that_left_before_it_was_accepted(serving: Serving) -> None:
    async with serving(app=facts) as edge:
        address = edge.sockets[0].getsockname()
        for _ in range(5):
            sock = socket.create_connection(address)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.close()
        await edge.settle()
        await edge.talk("""
            >> GET / HTTP/1.1
            >> Host: a
            >>
            <~ 200
        """)
        assert edge.stack.statistics()["failures"] == 0
