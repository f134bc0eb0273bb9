"""Failure drill: three upstreams under load, one of them killed and started again and again.

They answer in one write, so that no answer is cut: then no idempotent request may fail (A15–A21 together).
"""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from running import edge
from scripted import OK, Wire

CONFIG = """
[upstream.group]
servers = ["{one}", "{two}", "127.0.0.1:PORT"]
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
async def test_no_request_fails(tmp_path: Path, portable: bool) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    config = CONFIG.replace("PORT", str(listener.socket.getsockname()[1]))
    lives: list[int] = []
    found: list[tuple[int, bytes]] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mortal, listener, lives)
        async with edge(tmp_path, config, {"one": [answers], "two": [answers]}, portable=portable) as running:

            async def load() -> None:
                client = await running.connect()
                while len(found) < REQUESTS or len(lives) < 5:
                    answer = await client.ask("/")
                    found.append((answer.status, answer.body))

            async with trio.open_nursery() as clients:
                for _ in range(CLIENTS):
                    clients.start_soon(load)
            assert set(found) == {(200, b"ok")}
            assert [peer.active for peer in running.stack.upstreams()[0].peers] == [0, 0, 0]
        nursery.cancel_scope.cancel()
