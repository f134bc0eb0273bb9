"""Links to a server that the test plays, on socket pairs, and errands that go by them."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any

import trio
import trustme
from lot_kit import PATIENCE

from edgestack.config.peer_addresses import PeerAddress
from edgestack.errors import EdgeError
from edgestack.http.messages import Errand, Exchange, Response
from edgestack.wire.connection import Connection
from edgestack.wire.h1_client_bodies import Body, ByLength, Chunked, UntilClose
from edgestack.wire.link import Link
from edgestack.wire.lot import Lot
from edgestack.wire.relay import Relay
from edgestack.wire.tunnel import Tunnel

__all__ = ["CHUNKED", "UNTIL_CLOSE", "Asked", "Peer", "Server", "held_by", "tls_pair"]

CHUNKED, UNTIL_CLOSE = -1, -2


class Server:
    """The other end of a link."""

    def __init__(self, receive_buffer: int = 0) -> None:
        self.sock, theirs = socket.socketpair()
        for sock in (self.sock, theirs):
            sock.setblocking(False)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, receive_buffer)
        self.link = Link(theirs, PeerAddress("127.0.0.1", 9))
        self.ended: list[EdgeError | None] = []
        """What the link's owner was told."""

    def say(self, data: bytes) -> int:
        """As much as fits."""
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0

    async def say_all(self, data: bytes) -> None:
        with trio.fail_after(PATIENCE):
            while data:
                data = data[self.say(data) :]
                if data:
                    await trio.lowlevel.wait_writable(self.sock)

    async def hear(self, size: int) -> bytes:
        """So many bytes, or what came before the end."""
        heard = b""
        with trio.fail_after(PATIENCE):
            while len(heard) < size:
                await trio.lowlevel.wait_readable(self.sock)
                try:
                    data = self.sock.recv(65536)
                except ConnectionResetError:
                    data = b""
                if not data:
                    break
                heard += data
        return heard

    def close(self) -> None:
        self.sock.close()
        self.link.close()


class Asked(Errand):
    """An errand by one link: the first bytes that come make `answer(data)`."""

    __slots__ = ("done", "fetched", "log", "lot", "server", "then")

    def __init__(
        self, exchange: Exchange, lot: Lot, server: Server, then: Callable[[Asked, bytes], Any] | None = None
    ) -> None:
        super().__init__(exchange)
        self.lot = lot
        self.server = server
        self.then = then
        self.log: list[str] = []
        self.fetched: Callable[[], Any] | None = None
        self.done: Callable[[Any], None] | None = None

    def begin(self, done: Callable[[Any], None]) -> bool:
        self.log.append("begin")
        if self.fetched is not None and self.then is None:
            return False
        self.done = done
        self.server.link.holder = self
        self.lot.take_up(self.server.link)
        return True

    async def fetch(self) -> Response:
        self.log.append("fetch")
        assert self.fetched is not None
        answer: Response = await self.fetched()
        return answer

    def left(self) -> None:
        self.log.append("left")
        self.done = None
        self.lot.close(self.server.link)

    def event(self, link: Link, mask: int) -> None:
        data = link.receive_nowait()
        assert self.done is not None
        assert self.then is not None
        if data is not None:
            self.done(self.then(self, data))

    def expire(self, link: Link, now: float) -> None:
        assert self.done is not None
        self.done(EdgeError(status=504))

    def stop(self, link: Link) -> bool:
        return True

    def failed(self, link: Link, error: Exception) -> None:
        assert self.done is not None
        self.done(error)

    # -- answers -----------------------------------------------------------------------------------------------------

    def ended(self, body: Relay | Tunnel, error: EdgeError | None) -> None:
        """The owner of the link: here it is closed whatever came of it."""
        self.server.ended.append(error)
        self.lot.close(self.server.link)

    def relay(self, length: int, first: bytes = b"", **more: Any) -> Response:
        """200 with a body that is `length` bytes long, CHUNKED or UNTIL_CLOSE."""
        body: Body = Chunked() if length == CHUNKED else UntilClose() if length == UNTIL_CLOSE else ByLength(length)
        relay = Relay(self.server.link, body, self.ended, first=body.feed(first) if first else b"", **more)
        return Response(200, (), relay, length if length >= 0 else None)

    def tunnel(self, first: bytes = b"", **more: Any) -> Response:
        fields = (("Upgrade", "echo"), ("Connection", "Upgrade"))
        return Response(101, fields, Tunnel(self.server.link, self.ended, first=first, **more))


def held_by(connection: Connection) -> str:
    """The kind of its holder."""
    return type(connection.holder).__name__


class Peer:
    """One end of a TLS connection, for a thread of its own; the other end is ours, its handshake done."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self.sock = sock

    def hear(self, size: int) -> bytes:
        heard = b""
        try:
            while len(heard) < size and (data := self.sock.recv(65536)):
                heard += data
        except ssl.SSLZeroReturnError:
            pass  # the end, after ours was said
        return heard

    def end(self) -> None:
        """Half-close, while nothing has come that is unread."""
        self.sock.setblocking(False)
        try:
            self.sock._sslobj.shutdown()  # type: ignore[attr-defined] # as `tunnel.say_the_end` does
        except ssl.SSLWantReadError:
            pass
        self.sock.settimeout(PATIENCE)


async def tls_pair(
    ours_is_server: bool, version: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED
) -> tuple[ssl.SSLSocket, Peer]:
    """Ours, non-blocking, and the peer's, which blocks with a timeout."""
    authority = trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server_side)
    client_side = ssl.create_default_context()
    authority.configure_trust(client_side)
    client_side.maximum_version = version
    plain = socket.socketpair()
    for sock in plain:
        sock.settimeout(PATIENCE)

    def shake(sock: socket.socket, server: bool) -> ssl.SSLSocket:
        if server:
            return server_side.wrap_socket(sock, server_side=True)
        return client_side.wrap_socket(sock, server_hostname="localhost")

    made: dict[int, ssl.SSLSocket] = {}

    async def wrap(at: int, server: bool) -> None:
        made[at] = await trio.to_thread.run_sync(shake, plain[at], server)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wrap, 0, ours_is_server)
        nursery.start_soon(wrap, 1, not ours_is_server)
    made[0].setblocking(False)
    return made[0], Peer(made[1])
