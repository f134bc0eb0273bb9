"""Both ends of one connection: of memory, which can break as a socket does, or of real sockets on the loopback.

    ours, theirs = memory_pipe()     two `Pipe`s; theirs.reset() is a reset for whoever has the other one
    ours, theirs = socket_pair()     connected TCP sockets, non-blocking; nobody listens any more

A TCP pair and not a unix one: only TCP has resets (RFC 9293 §3.5.2), and proxies are judged by how they take them.
"""

from __future__ import annotations

import socket
import struct

import trio
from trio.testing import MemoryReceiveStream, MemorySendStream, memory_stream_one_way_pair

__all__ = ["Pipe", "SocketEnd", "memory_pipe", "socket_pair"]

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time to linger: closing sends RST (socket(7))."""


class Pipe(trio.abc.HalfCloseableStream):
    """One end in memory. The buffer has no bound: who sends never waits."""

    def __init__(self, sending: MemorySendStream, receiving: MemoryReceiveStream) -> None:
        self._sending = sending
        self._receiving = receiving
        self._other: Pipe | None = None
        self._broken = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send.

        :raises trio.BrokenResourceError: the other end was reset, or closed.
        """
        if self._broken:
            raise trio.BrokenResourceError("connection reset")
        await self._sending.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """It never does."""
        await self._sending.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Some bytes; b"" at the end.

        :raises trio.BrokenResourceError: the other end was reset.
        """
        data = bytes(await self._receiving.receive_some(max_bytes))
        if not data and self._broken:
            raise trio.BrokenResourceError("connection reset")
        return data

    async def send_eof(self) -> None:
        """Send no more."""
        await self._sending.aclose()

    async def aclose(self) -> None:
        """Close both directions."""
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """The same at once."""
        self._sending.close()
        self._receiving.close()

    def hang_up(self) -> None:
        """End the stream for the other side."""
        self._sending.close()

    def reset(self) -> None:
        """Break it: the other side reads what is under way, as it does on Linux, and then sees a reset."""
        assert self._other is not None
        self._other._broken = True
        self.close()


class SocketEnd(trio.abc.HalfCloseableStream):
    """One end of a pair of sockets."""

    def __init__(self, sock: socket.socket) -> None:
        """:param sock: connected, non-blocking."""
        self._sock = sock
        self._stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send. :raises trio.BrokenResourceError: it is broken."""
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Until there is room."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Some bytes; b"" at the end. :raises trio.BrokenResourceError: it is broken."""
        return bytes(await self._stream.receive_some(max_bytes))

    async def send_eof(self) -> None:
        """Send no more."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """Close it."""
        await self._stream.aclose()

    def hang_up(self) -> None:
        """End the stream for both sides; from any thread."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other side was faster

    def reset(self) -> None:
        """Break it: the other side gets RST."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._stream.socket.close()


def memory_pipe() -> tuple[Pipe, Pipe]:
    """Two ends."""
    there, back = memory_stream_one_way_pair(), memory_stream_one_way_pair()
    ours, theirs = Pipe(there[0], back[1]), Pipe(back[0], there[1])
    ours._other, theirs._other = theirs, ours
    return ours, theirs


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.socket()
        try:
            ours.connect(listener.getsockname())
            theirs, address = listener.accept()
            while address != ours.getsockname():  # somebody else on this machine tried the port
                theirs.close()
                theirs, address = listener.accept()
        except BaseException:
            ours.close()
            raise
    for sock in (ours, theirs):
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return ours, theirs
