"""A running edge before scripted upstreams, over loopback sockets: the whole of it, on either driver.

    async with edge(folder, CONFIG, {"one": [says(OK)]}) as running:
        answer = await running.get("/x")

`{one}` in the configuration is the address of the upstream of that name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

import trio
from scripted import Script, Wire

from edgestack.compose import compose
from edgestack.config.load import load
from edgestack.http.attempts import Attempts
from edgestack.http.messages import Exchange
from edgestack.stack import Stack

__all__ = ["Answer", "Running", "edge"]


class Answer:
    """A whole answer."""

    def __init__(self, head: bytes, body: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split(" ")[1])
        self.pairs = [(line.partition(": ")[0], line.partition(": ")[2]) for line in lines]
        self.body = body

    def field(self, name: str) -> str | None:
        return next((value for key, value in self.pairs if key.lower() == name.lower()), None)

    def names(self) -> list[str]:
        return [name.lower() for name, _ in self.pairs]


class Client:
    """One connection to the edge."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.buffer = b""

    async def until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            data = await self.stream.receive_some(65536)
            if not data:
                raise EOFError(self.buffer)
            self.buffer += data
        found, _, self.buffer = self.buffer.partition(mark)
        return found

    async def exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            data = await self.stream.receive_some(65536)
            if not data:
                raise EOFError(self.buffer)
            self.buffer += data
        found, self.buffer = self.buffer[:size], self.buffer[size:]
        return found

    async def answer(self, method: str = "GET") -> Answer:
        """The next answer, 1xx included."""
        got = Answer(await self.until(b"\r\n\r\n"), b"")
        if method == "HEAD" or got.status in (204, 304) or got.status < 200:
            return got
        length = got.field("content-length")
        if length is not None:
            got.body = await self.exactly(int(length))
        elif got.field("transfer-encoding") == "chunked":
            while size := int(await self.until(b"\r\n"), 16):
                got.body += (await self.exactly(size + 2))[:-2]
            await self.until(b"\r\n")
        return got

    async def ask(self, target: str = "/", *lines: str, method: str = "GET", body: bytes = b"") -> Answer:
        head = [f"{method} {target} HTTP/1.1", "Host: example.com", *lines]
        if body:
            head.append(f"Content-Length: {len(body)}")
        await self.stream.send_all("\r\n".join([*head, "", ""]).encode() + body)
        return await self.answer(method)


class Running:
    """The edge and what stands behind it."""

    def __init__(self, nursery: trio.Nursery, scripts: dict[str, Sequence[Script]]) -> None:
        self.nursery = nursery
        self.wires: dict[str, list[Wire]] = {name: [] for name in scripts}
        self.addresses: dict[str, str] = {}
        self.ended: list[Exchange] = []
        self.streams: list[trio.SocketStream] = []
        self.port = 0
        self.stack: Stack
        self._left = {name: list(found) for name, found in scripts.items()}

    async def stand(self, name: str) -> None:
        """One upstream listens."""

        async def handle(stream: trio.SocketStream) -> None:
            left = self._left[name]
            script = left.pop(0) if len(left) > 1 else left[0]
            wire = Wire(stream)  # type: ignore[arg-type]
            self.wires[name].append(wire)
            try:
                await script(wire)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # the edge has had enough

        listeners: Any = await self.nursery.start(lambda task_status: trio.serve_tcp(
            handle, 0, host="127.0.0.1", task_status=task_status))  # fmt: skip
        self.addresses[name] = f"127.0.0.1:{listeners[0].socket.getsockname()[1]}"

    async def connect(self) -> Client:
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        self.streams.append(stream)
        return Client(stream)

    async def get(self, target: str = "/", *lines: str, method: str = "GET", body: bytes = b"") -> Answer:
        """One answer on a connection of its own."""
        client = await self.connect()
        async with client.stream:
            return await client.ask(target, *lines, method=method, body=body)

    def sent(self, name: str) -> list[bytes]:
        """The requests that an upstream has read."""
        return [request for wire in self.wires[name] for request in wire.requests]

    async def attempts(self, count: int) -> list[list[int]]:
        """The statuses of the attempts of each exchange, once so many have ended."""
        while len(self.ended) < count:
            await trio.sleep(0.005)
        return [[attempt.status for attempt in x.attempts] for x in self.ended if isinstance(x.attempts, Attempts)]

    def end(self, exchange: Exchange) -> None:
        """Stands where the access log does."""
        self.ended.append(exchange)

    def bind(self, *_: object) -> None:
        pass

    def unbind(self) -> None:
        pass

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


def written(folder: Path, text: str, running: Running) -> Any:
    """The plan of a configuration with the addresses put in."""
    text = dedent(text)
    for name, address in running.addresses.items():
        text = text.replace("{" + name + "}", address)
    file = folder / "edgestack.toml"
    file.write_text('[server]\ntls = false\nbind = ["127.0.0.1:0"]\n' + text)
    return compose(load(file).config)


@asynccontextmanager
async def edge(
    folder: Path, text: str, scripts: dict[str, Sequence[Script]], *, portable: bool = False, patience: float = 20
) -> AsyncIterator[Running]:
    """One edge that serves for the length of a block.

    :param patience: seconds, on the test's clock.
    """
    with trio.fail_after(patience):
        async with trio.open_nursery() as nursery:
            running = Running(nursery, scripts)
            for name in scripts:
                await running.stand(name)
            plan = written(folder, text, running)
            running.stack = Stack(plan, access_log=running, portable=portable)  # type: ignore[arg-type]
            (url,) = await nursery.start(running.stack.serve)
            running.port = int(url.rsplit(":", 1)[1].rstrip("/"))
            try:
                yield running
            finally:
                for stream in running.streams:
                    stream.socket.close()
            nursery.cancel_scope.cancel()
