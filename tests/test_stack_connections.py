"""`max_connections` of one listener: n-1, n and n+1 connections; others are not held up, and a reload changes it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import trio

from edgestack.compose import compose
from edgestack.config.load import load
from edgestack.stack import Stack

PATIENCE = 20.0

TEXT = """
[[listen]]
at = "127.0.0.1:0"
tls = false
max_connections = {most}
[[listen]]
at = "127.0.0.2:0"
tls = false
[[route]]
respond = "in"
"""


def status(client: socket.socket) -> str:
    client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    return client.recv(65536).split(b" ")[1].decode()


@pytest.mark.parametrize("portable", [False, True], ids=["lot", "portable"])
async def test_a_listener_has_a_limit_of_its_own(tmp_path: Path, portable: bool) -> None:
    path = tmp_path / "edgestack.toml"
    path.write_text(TEXT.format(most=2))
    stack = Stack(compose(load(path).config), portable=portable)
    clients: list[socket.socket] = []

    async def connect(at: int) -> str:
        address = stack._places.pairs[at][1].getsockname()
        clients.append(socket.create_connection(address, timeout=PATIENCE))
        return await trio.to_thread.run_sync(status, clients[-1])

    async with trio.open_nursery() as nursery:
        await nursery.start(stack.serve)
        assert [await connect(0) for _ in range(3)] == ["200", "200", "503"]
        assert await connect(1) == "200"
        path.write_text(TEXT.format(most=3))
        stack.adopt(compose(load(path).config))
        clients[2].close()
        while stack._places._places[0].door.held > 2:
            await trio.lowlevel.checkpoint()
        assert [await connect(0) for _ in range(2)] == ["200", "503"]
        nursery.cancel_scope.cancel()
    for client in clients:
        client.close()
