"""Failure drill: three upstreams under load, one of them killed and started again and again.

They answer in one write, so that no answer is cut: then no idempotent request may fail (A15–A21 together).
"""

from __future__ import annotations

import pytest
import trio
from scripted import OK, Wire, stand

from edgestack.testing.fixtures import AsyncEdges

CONFIG = """
[upstream.group]
servers = SERVERS
fail_timeout = "20ms"
[[route]]
match = "/"
proxy = "http://group"
"""
REQUESTS = 1500
CLIENTS = 6


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


@pytest.mark.parametrize("portable", [False, True], ids=["lot", "portable"])
async def test_no_request_fails(edge_trio: AsyncEdges, nursery: trio.Nursery, portable: bool) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    servers = [await stand(nursery, answers), await stand(nursery, answers)]
    servers.append(f"127.0.0.1:{listener.socket.getsockname()[1]}")
    lives: list[int] = []
    found: list[tuple[int, bytes]] = []
    nursery.start_soon(mortal, listener, lives)
    site = await edge_trio(text=CONFIG.replace("SERVERS", str(servers)), tls=False, portable=portable)

    async def load() -> None:
        client = await site.connect()
        while len(found) < REQUESTS or len(lives) < 5:
            answer = await client.request("GET", "/")
            found.append((answer.status, answer.body))

    async with trio.open_nursery() as clients:
        for _ in range(CLIENTS):
            clients.start_soon(load)
    assert set(found) == {(200, b"ok")}
    assert [peer.active for peer in site.statistics()["upstreams"]["group"].values()] == [0, 0, 0]
