"""What a server behind says before it is asked, in the very batch in which its idle connection is taken again."""

from __future__ import annotations

import os

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from edgestack.testing.fixtures import AsyncEdges

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LATE = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlate"


async def answer(stream: trio.SocketStream, requests: list[bytes]) -> None:
    """Read one request, and say OK."""
    request = b""
    while not request.endswith((b"\r\n\r\n", b"\r\n\r\nbody")):
        request += await stream.receive_some()
    requests.append(request)
    await stream.send_all(OK)


@pytest.mark.parametrize("said", [OK.replace(b"ok", b"no"), LATE, OK + OK, b"HTTP/1.1 20", b""])
@pytest.mark.parametrize(
    ("method", "rest"),
    [("GET", "\r\n"), ("POST", "Content-Length: 4\r\n\r\nbody"),
     ("GET", "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n")],
    ids=["GET", "POST", "on the task road"],
)  # fmt: skip
async def test_an_answer_to_nothing(edge_trio: AsyncEdges, said: bytes, method: str, rest: str) -> None:
    """A20, A21: it answers no request: none was sent; a fresh connection is asked."""
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    port = listener.socket.getsockname()[1]
    site = await edge_trio(text=f'[[route]]\nmatch = "/"\nproxy = "http://127.0.0.1:{port}"\n', tls=False)
    client = await site.connect()
    requests: list[bytes] = []
    async with listener, trio.open_nursery() as nursery:
        nursery.start_soon(client.request, "GET", "/first")
        async with await listener.accept() as first:
            await answer(first, requests)
            await wait_all_tasks_blocked(0.01)
            stream = client.stream
            assert isinstance(stream, trio.SocketStream)
            os.write(stream.socket.fileno(), f"{method} /second HTTP/1.1\r\nHost: x\r\n{rest}".encode())
            if said:
                os.write(first.socket.fileno(), said)
            else:
                first.socket.shutdown(trio.socket.SHUT_WR)
            with trio.fail_after(5):
                async with await listener.accept() as second:
                    await answer(second, requests)
                    reply = await client.reply()
        assert (reply.status, reply.body) == (200, b"ok")
        assert [request.split()[1] for request in requests] == [b"/first", b"/second"]
