"""ASGI applications on every driver: bodies both ways, who leaves, and a WebSocket frame by frame (RFC 6455 §5.7)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import trio
from contract_kit import Edge

Serving = Callable[..., AbstractAsyncContextManager[Edge]]
Message = dict[str, Any]


class Application:
    """Tells what it hears, and answers by the path."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.go_on = trio.Event()
        self.leave: Callable[[], None] = lambda: None

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        await getattr(self, scope["path"].strip("/"))(receive, send)

    async def whole(self, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"yes")]})
        await send({"type": "http.response.body", "body": b"hello"})

    async def echo(self, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            await send({"type": "http.response.body", "body": message["body"], "more_body": more})

    async def early(self, receive: Any, send: Any) -> None:
        """Answers before the body is there, and asks for it afterwards."""
        await send({"type": "http.response.start", "status": 403})
        await send({"type": "http.response.body", "body": b"no"})
        self.heard.append((await receive())["type"])

    async def stream(self, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        self.heard += [(await receive())["type"], (await receive())["type"]]

    async def vanish(self, receive: Any, send: Any) -> None:
        """Its client resets the connection just before the answer begins."""
        self.leave()
        await send({"type": "http.response.start", "status": 200})
        try:
            while True:
                await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
        except OSError:
            self.heard.append("nobody is there")

    async def cut(self, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await self.go_on.wait()
        raise ValueError("in the middle")

    async def talk(self, receive: Any, send: Any) -> None:
        self.heard.append((await receive())["type"])
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        self.heard.append(f"{message['type']} {message['code']}")

    async def misspeak(self, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 70000})


async def test_whole_answers_on_one_connection(serving: Serving) -> None:
    """What is whole at once has its length, and the connection goes on; HEAD says the same."""
    async with serving(app=Application()) as edge:
        await edge.talk("""
            >> GET /whole HTTP/1.1
            >> Host: a
            >>
            << HTTP/1.1 200 OK
            << Server: edgestack
            << x-own: yes
            << Content-Length: 5
            << {end}
            <| hello
            >> HEAD /whole HTTP/1.1
            >> Host: a
            >>
            << HTTP/1.1 200 OK
            << Server: edgestack
            << x-own: yes
            << Content-Length: 5
            << {end}
            >> POST /echo HTTP/1.1
            >> Host: a
            >> Content-Length: 3
            >>
            >| abc
            << HTTP/1.1 200 OK
            << Server: edgestack
            << Content-Length: 3
            << {end}
            <| abc
        """)


async def test_a_body_as_it_comes(serving: Serving) -> None:
    """Each piece goes back when it arrives; the client waits for 100 until the body is asked for (E6)."""
    async with serving(app=Application()) as edge:
        await edge.talk("""
            >> POST /echo HTTP/1.1
            >> Host: a
            >> Transfer-Encoding: chunked
            >> Expect: 100-continue
            >>
            << HTTP/1.1 100 Continue
            <<
            >| 3\\r\\nabc\\r\\n
            << HTTP/1.1 200 OK
            << Server: edgestack
            << Transfer-Encoding: chunked
            << Connection: close
            << {end}
            << 3
            << abc
            >| 2\\r\\nde\\r\\n
            << 2
            << de
            >| 0\\r\\n\\r\\n
            << 0
            <<
        """)


async def test_an_answer_before_the_body(serving: Serving) -> None:
    """What the client sends on is not read; the application hears that all is over."""
    application = Application()
    async with serving(app=application) as edge:
        client = await edge.talk("""
            >> POST /early HTTP/1.1
            >> Host: a
            >> Content-Length: 100000
            >>
            <~ 403
        """)
        await client.end()
        await client.close()
        await edge.settle()
    assert application.heard == ["http.disconnect"]


async def test_who_leaves_a_stream(serving: Serving) -> None:
    application = Application()
    async with serving(app=application) as edge:
        client = await edge.talk("""
            >> GET /stream HTTP/1.1
            >> Host: a
            >>
            << HTTP/1.1 200 OK
            << Server: edgestack
            << Transfer-Encoding: chunked
            << {end}
            << 3
            << one
        """)
        await client.close()
        await edge.settle()
        while len(application.heard) < 2:
            await edge.settle()
    assert application.heard == ["http.request", "http.disconnect"]


async def test_who_leaves_before_the_head_is_sent(serving: Serving) -> None:
    """The application is told, and does not wait for ever for somebody to take its answer."""
    application = Application()
    async with serving(app=application) as edge:
        client = await edge.talk("""
            >> GET /whole HTTP/1.1
            >> Host: a
            >>
            <~ 200
        """)
        application.leave = client.reset_now
        await client.send(b"GET /vanish HTTP/1.1\r\nHost: a\r\n\r\n")
        await edge.settle()
        assert application.heard == ["nobody is there"]
        await client.close()


async def test_an_application_that_fails_within(serving: Serving) -> None:
    """The connection is broken: the last chunk never comes (F11)."""
    application = Application()
    async with serving(app=application) as edge:
        client = await edge.talk("""
            >> GET /cut HTTP/1.1
            >> Host: a
            >>
            << HTTP/1.1 200 OK
            << Server: edgestack
            << Transfer-Encoding: chunked
            << {end}
            << 3
            << one
        """)
        application.go_on.set()
        assert (await client.end()).removesuffix(b"<reset>") == b""


async def test_a_websocket(serving: Serving) -> None:
    """RFC 6455's own examples: "Hello" masked, in fragments, a ping; and a close with 1000."""
    application = Application()
    async with serving(app=application) as edge:
        await edge.talk("""
            >> GET /talk HTTP/1.1
            >> Host: a
            >> Upgrade: websocket
            >> Connection: keep-alive, Upgrade
            >> Sec-WebSocket-Version: 13
            >> Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
            >>
            << HTTP/1.1 101 Switching Protocols
            << Server: edgestack
            << Upgrade: websocket
            << Connection: Upgrade
            << Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
            << {end}
            >| \\x81\\x85\\x37\\xfa\\x21\\x3d\\x7f\\x9f\\x4d\\x51\\x58
            <| \\x81\\x05Hello
            >| \\x01\\x83\\x00\\x00\\x00\\x00Hel
            <-
            >| \\x89\\x85\\x00\\x00\\x00\\x00Hello
            <| \\x8a\\x05Hello
            >| \\x80\\x82\\x00\\x00\\x00\\x00lo
            <| \\x81\\x05Hello
            >| \\x88\\x82\\x00\\x00\\x00\\x00\\x03\\xe8
            <| \\x88\\x02\\x03\\xe8
            <!
        """)
        await edge.settle()
    assert application.heard == ["websocket.connect", "websocket.disconnect 1000"]


@pytest.mark.parametrize(
    "last", [b"", b"\x89\x80\0\0\0\0", b"\x88\x82\0\0\0\0\x03\xe8"], ids=["nothing", "ping", "close"]
)
async def test_who_vanishes_from_a_websocket(serving: Serving, caplog: pytest.LogCaptureFixture, last: bytes) -> None:
    """A reset, after something that ought to be answered: the application is told, and the log has nothing to say."""
    application = Application()
    async with serving(app=application) as edge:
        client = await edge.talk("""
            >> GET /talk HTTP/1.1
            >> Host: a
            >> Upgrade: websocket
            >> Connection: Upgrade
            >> Sec-WebSocket-Version: 13
            >> Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
            >>
            << HTTP/1.1 101 Switching Protocols
            << {any}{end}
        """)
        await client.send(last)
        client.reset_now()
        await edge.until(lambda: len(application.heard) == 2)
    assert application.heard[1] in ("websocket.disconnect 1006", "websocket.disconnect 1000")
    assert not caplog.records


async def test_a_compressed_websocket(serving: Serving) -> None:
    """What browsers offer is agreed on (RFC 7692 §7.1); "Hello" comes compressed, and is too short to leave so."""
    async with serving(app=Application()) as edge:
        await edge.talk("""
            >> GET /talk HTTP/1.1
            >> Host: a
            >> Upgrade: websocket
            >> Connection: Upgrade
            >> Sec-WebSocket-Version: 13
            >> Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
            >> Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits
            >>
            << HTTP/1.1 101 Switching Protocols
            << Server: edgestack
            << Upgrade: websocket
            << Connection: Upgrade
            << Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=
            << Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=12; client_max_window_bits=12
            << {end}
            >| \xc1\x87\x00\x00\x00\x00\xf2\x48\xcd\xc9\xc9\x07\x00
            <| \x81\x05Hello
            >| \x88\x82\x00\x00\x00\x00\x03\xe8
            <| \x88\x02\x03\xe8
            <!
        """)


async def test_an_idle_websocket_is_asked(serving: Serving) -> None:
    """A ping after 20 s; who has not answered after 20 more is gone, and the application hears of it."""
    application = Application()
    async with serving(app=application) as edge:
        client = await edge.talk("""
            >> GET /talk HTTP/1.1
            >> Host: a
            >> Upgrade: websocket
            >> Connection: Upgrade
            >> Sec-WebSocket-Version: 13
            >> Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
            >>
            << HTTP/1.1 101 Switching Protocols
            << {any}{end}
            == 19
            <-
            == 2
            <| \\x89\\x00
            >| \\x8a\\x80\\x00\\x00\\x00\\x00
            == 18
            <-
            == 2
            <| \\x89\\x00
            == 18
            <-
            == 2
        """)
        assert (await client.end()).removesuffix(b"<reset>") == b""
        await edge.settle()
    assert application.heard[-1] == "websocket.disconnect 1006"


async def test_a_frame_that_breaks_the_protocol(serving: Serving) -> None:
    """An unmasked frame of a client is answered with 1002 (§5.1)."""
    async with serving(app=Application()) as edge:
        await edge.talk("""
            >> GET /talk HTTP/1.1
            >> Host: a
            >> Upgrade: websocket
            >> Connection: Upgrade
            >> Sec-WebSocket-Version: 13
            >> Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
            >>
            << HTTP/1.1 101 Switching Protocols
            << {any}{end}
            >| \\x81\\x05Hello
            <| \\x88{any}\\x03\\xea{any}
            <!
        """)


async def test_a_code_that_there_is_not(serving: Serving) -> None:
    """An application that closes with one has failed, which the client is told (1011): it does not wait for ever."""
    async with serving(app=Application()) as edge:
        await edge.talk("""
            >> GET /misspeak HTTP/1.1
            >> Host: a
            >> Upgrade: websocket
            >> Connection: Upgrade
            >> Sec-WebSocket-Version: 13
            >> Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
            >>
            << HTTP/1.1 101 Switching Protocols
            << {any}{end}
            <| \\x88\\x02\\x03\\xf3
        """)
