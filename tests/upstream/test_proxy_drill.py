"""Failure drill: three upstreams under load, one of them killed and started again and again.

They answer in one write, so that no answer is cut: then no idempotent request may fail (A15–A21 together). Beside this
load a WebSocket stays open to another server all the while, and what is said in it arrives, in order (B17).
"""

from __future__ import annotations

from typing import Any

import pytest
import trio
from scripted import OK, Wire, stand

from edgestack.testing.fixtures import AsyncEdges

websocket_client = pytest.importorskip("websockets.trio.client")
websocket_server = pytest.importorskip("websockets.trio.server")

CONFIG = """
[upstream.group]
servers = SERVERS
fail_timeout = "20ms"
[[route]]
match = "/"
proxy = "http://group"
[[route]]
match = "/ws"
proxy = "http://127.0.0.1:ECHO"
"""
REQUESTS = 1500
CLIENTS = 6
BURST = 8
"""Messages that are on their way at the same time."""


async def answers(wire: Wire) -> None:
    while await wire.request():
        await wire.send(OK)


async def mortal(listener: trio.SocketListener, lives: list[int]) -> None:
    """It lives for a few milliseconds, dies with all of its connections, and is started again on the same port."""
    address = listener.socket.getsockname()

    async def handle(stream: trio.SocketStream) -> None:
        try:
            await answers(Wire(stream))  # type: ignore[arg-type]
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the edge has stopped

    while True:
        with trio.move_on_after(0.03):
            await trio.serve_listeners(handle, [listener])
        lives.append(1)
        await trio.sleep(0.01)
        sock = trio.socket.socket()
        sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_REUSEADDR, 1)
        await sock.bind(address)
        sock.listen(64)
        listener = trio.SocketListener(sock)


async def echo(connection: Any) -> None:
    async for message in connection:
        await connection.send(message)


class Talk:
    """What is said in a WebSocket, in bursts of texts and of bytes, short and longer than a read."""

    def __init__(self) -> None:
        self.said: list[str | bytes] = []
        self.heard: list[str | bytes] = []

    async def hold(self, connection: Any, over: trio.Event) -> None:
        while not over.is_set():
            for _ in range(BURST):
                number = len(self.said)
                text = f"{number} ".ljust(200_000 if number % 50 == 0 else 64)
                self.said.append(text if number % 2 else text.encode())
                await connection.send(self.said[-1])
            for _ in range(BURST):
                self.heard.append(await connection.recv())


@pytest.mark.parametrize("portable", [False, True], ids=["lot", "portable"])
async def test_no_request_fails(edge_trio: AsyncEdges, nursery: trio.Nursery, portable: bool) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    (echoing,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    servers = [await stand(nursery, answers), await stand(nursery, answers)]
    servers.append(f"127.0.0.1:{listener.socket.getsockname()[1]}")
    talk = Talk()
    lives: list[int] = []
    found: list[tuple[int, bytes]] = []
    nursery.start_soon(mortal, listener, lives)
    nursery.start_soon(lambda: websocket_server.serve(echo, listeners=[echoing]))
    config = CONFIG.replace("SERVERS", str(servers)).replace("ECHO", str(echoing.socket.getsockname()[1]))
    site = await edge_trio(text=config, tls=False, portable=portable)

    async def load() -> None:
        client = await site.connect()
        while len(found) < REQUESTS or len(lives) < 5:
            answer = await client.request("GET", "/")
            found.append((answer.status, answer.body))

    async with (
        websocket_client.connect(f"ws://127.0.0.1:{site.port}/ws", proxy=None, max_size=None) as connection,
        trio.open_nursery() as talking,
    ):
        over = trio.Event()
        talking.start_soon(talk.hold, connection, over)
        async with trio.open_nursery() as clients:
            for _ in range(CLIENTS):
                clients.start_soon(load)
        over.set()
    assert connection.close_code == 1000
    assert talk.heard == talk.said
    assert len(talk.said) > BURST
    assert set(found) == {(200, b"ok")}
    assert [peer.active for peer in site.statistics()["upstreams"]["group"].values()] == [0, 0, 0]
