"""From a listening socket to the portable driver: streams of trio, with `trio.SSLStream` where TLS is spoken.

    accepted -> SocketStream ────────────────────────────► Portable.admit, see_through
             └─ Beneath(SocketStream) -> SSLStream -> shake ─┘

The limits, the readable answer to plain HTTP on a TLS port, and the boundary are those of `accepting.py`.
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import trio

from edgestack.errors import EdgeError
from edgestack.http.facts import Facts
from edgestack.wire.accepting import Acceptor, full
from edgestack.wire.connection import Door
from edgestack.wire.tls import Certificates
from edgestack.wire.tls_sockets import sni_of, tls_facts

if TYPE_CHECKING:
    from edgestack.wire.portable import Portable
    from edgestack.wire.portable_stream import PortableStream

__all__ = ["PortableAcceptor"]


class Beneath(trio.abc.HalfCloseableStream):
    """What lies beneath a TLS stream: closing that one says close_notify, and leaves this one open to linger (E8)."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Pass on."""
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Pass on."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Pass on."""
        return await self._stream.receive_some(max_bytes)

    async def send_eof(self) -> None:
        """Pass on."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """Stay open: the driver closes the socket's stream itself."""
        await trio.lowlevel.checkpoint()


class PortableAcceptor(Acceptor):
    """Admits connections to the portable driver."""

    _driver: Portable

    def _admit(self, client: socket.socket, facts: Facts, door: Door, over: bool) -> None:
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(client))
        self._begin(client, stream, stream, facts, door, over)

    async def _shake(self, client: socket.socket, facts: Facts, certificates: Certificates, over: bool) -> None:
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(client))
        tls = trio.SSLStream(Beneath(stream), certificates.context, server_side=True)
        await tls.do_handshake()
        shaken = tls._ssl_object  # trio shows no way to what the SNI callback has noted
        assert isinstance(shaken, ssl.SSLObject)
        facts.sni = sni_of(shaken)
        facts.client_certificate = shaken.getpeercert()
        facts.tls = tls_facts(shaken)
        driver = self._driver
        driver.shaking.discard(client)
        self._begin(client, tls, stream, facts, self._door, over)

    def _begin(
        self,
        client: socket.socket,
        stream: trio.abc.Stream,
        transport: trio.abc.Stream,
        facts: Facts,
        door: Door,
        over: bool,
    ) -> None:
        """The connection counts from now on; its task begins when the loop comes to it."""
        connection = self._driver.admit(stream, facts, door, transport)
        self._driver.nursery.start_soon(self._serve, client, connection, full() if over else None)

    async def _serve(self, client: socket.socket, connection: PortableStream, refusal: EdgeError | None) -> None:
        sockets = self._driver.sockets
        sockets.add(client)
        try:
            await self._driver.see_through(connection, refusal)
        finally:
            sockets.discard(client)
