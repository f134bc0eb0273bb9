"""A link: one connection from here to a server behind us, and the two ways to use it.

    await link.send(data), await link.receive()     the task road; a StreamLink has this one only
    link.send_nowait(data), link.receive_nowait()   the callback road, on the lot (a non-blocking socket)

A link that is reused has served an exchange before, and may be dead without our knowing (criterion A20). Like a
client's connection it has one holder and may stand on the lot (connection.py's law); while a task waits on it, it must
not be registered there (`Keeper.let_go`), because two pollers would both report it.

It knows no HTTP and keeps no time: how long a wait may last is its caller's business. What goes wrong comes out as
`UpstreamError`, by `upstream_errors.py` alone.
"""

from __future__ import annotations

import math
import socket
import ssl
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

import trio

from edgestack.config.peer_addresses import PeerAddress
from edgestack.http.facts import Facts
from edgestack.wire.connection import RECEIVE, WOULD_BLOCK
from edgestack.wire.upstream_errors import BROKEN, upstream_error

if TYPE_CHECKING:
    from edgestack.wire.deadlines import Deadlines
    from edgestack.wire.tls_client import ClientTls

__all__ = ["AnyLink", "Keeper", "Link", "LinkHolder", "StreamLink"]

T = TypeVar("T")

TLS_PIECE = 128 * 1024
"""Bytes offered to OpenSSL at once: it encrypts all of them before it looks whether the socket takes them."""


class LinkHolder(Protocol):
    """Whoever holds a link on the lot; `connection.Holder` for links. All are called on the loop."""

    def event(self, link: Any, mask: int, /) -> None:
        """The poller reported `mask`."""

    def expire(self, link: Any, now: float, /) -> None:
        """The link's deadline has passed."""

    def stop(self, link: Any, /) -> bool:
        """The server stops and will wait no longer: let go of it."""

    def failed(self, link: Any, error: Exception, /) -> None:
        """`event` or `expire` raised, which is a bug. The link is closed already: end what hangs on it."""


class Keeper(Protocol):
    """Who watches over links that nobody waits for: the lot, or `LinkWatch` on the portable driver."""

    deadlines: Deadlines
    clock: Callable[[], float]

    @property
    def now(self) -> float:
        """The serving clock, as it was read for this turn of the loop: for callbacks."""

    def leave_together(self, send: Callable[[T], None], of: T) -> None:
        """Call `send(of)` with what else leaves in this turn of the loop."""

    def take_up(self, link: Any) -> None:
        """Report events to `link.holder` from now on; already done, it costs nothing. `link.deadline` is kept too."""

    def let_go(self, link: Any) -> None:
        """No longer: a task is going to wait on it."""

    def close(self, link: Any) -> None:
        """Close it, whether it was taken up or not."""


class _Books:
    """What both kinds of link are written down with."""

    __slots__ = (
        "bucket", "buffer", "closed", "deadline", "holder", "key", "lasting", "made", "peer", "pending", "requests",
        "reused", "tls_by",
    )  # fmt: skip

    def __init__(self, peer: PeerAddress, tls_by: ClientTls | None = None, made: float = math.inf) -> None:
        """
        :param tls_by: how TLS is spoken on it; None for plain text.
        :param made: seconds on the serving clock when it was connected; inf never grows old.
        """
        self.peer = peer
        self.key: Hashable = peer
        """What a pool finds it by; an object that stands for the peer is found faster than its address."""
        self.tls_by = tls_by
        self.made = made
        self.reused = False
        """Whether it has served an exchange before."""
        self.requests = 0
        """Exchanges that it has served to their end."""
        self.lasting = True
        """Whether it may serve another one: not after a preface, which speaks for one client only."""
        self.buffer = b""
        """For its user: received and not yet consumed."""
        self.holder: LinkHolder | None = None
        self.pending = False
        self.closed = False
        self.deadline = math.inf
        self.bucket = 0


class Link(_Books):
    """A link on a non-blocking socket: TCP, unix, TLS."""

    __slots__ = ("facts", "fd", "interest", "owing", "sock", "tls")

    def __init__(
        self, sock: socket.socket, peer: PeerAddress, tls_by: ClientTls | None = None, made: float = math.inf
    ) -> None:
        """
        :param sock: connected, non-blocking, its handshake done.
        """
        super().__init__(peer, tls_by, made)
        self.sock = sock
        self.fd = sock.fileno()
        self.tls = isinstance(sock, ssl.SSLSocket)
        self.facts = Facts(peer.host or str(peer), peer.port)
        """For log lines that speak of any connection of the lot."""
        self.interest = 0
        """The mask it is registered with; 0 when it is not."""
        self.owing = False
        """Whether OpenSSL must write before it can read on: wait for writing too."""

    def send_nowait(self, data: bytes | memoryview) -> int:
        """How many bytes were taken; 0 when it would block. On TLS all of them or none, and after none the same bytes
        must be offered again before any others, in pieces of at most 128 KiB.

        :raises UpstreamError: the link is broken.
        """
        try:
            return self.sock.send(data)
        except WOULD_BLOCK:
            return 0
        except OSError as error:
            raise upstream_error(error, self.peer, "sending") from error

    def receive_nowait(self, most: int = RECEIVE) -> bytes | None:
        """What has come; b"" at the end; None when nothing has.

        :raises UpstreamError: the link is broken.
        """
        try:
            return self.sock.recv(most)
        except WOULD_BLOCK as blocked:
            self.owing = isinstance(blocked, ssl.SSLWantWriteError)
            return None
        except ssl.SSLZeroReturnError:  # the end, after ours was said
            return b""
        except OSError as error:
            raise upstream_error(error, self.peer, "receiving") from error

    def held_back(self) -> bool:
        """Whether OpenSSL has bytes that no poller would report."""
        return self.tls and self.sock.pending() > 0  # type: ignore[attr-defined]

    async def send(self, data: bytes) -> None:
        """All of it.

        :raises UpstreamError: the link is broken.
        """
        view = memoryview(data)
        while view:
            try:
                view = view[self.sock.send(view[:TLS_PIECE]) :]
            except WOULD_BLOCK as blocked:
                await self._wait(trio.lowlevel.wait_writable, blocked, ssl.SSLWantReadError, "sending")
            except OSError as error:
                raise upstream_error(error, self.peer, "sending") from error

    async def receive(self, most: int = RECEIVE) -> bytes:
        """Some bytes; b"" at the end.

        :raises UpstreamError: the link is broken.
        """
        while True:
            try:
                return self.sock.recv(most)
            except WOULD_BLOCK as blocked:
                await self._wait(trio.lowlevel.wait_readable, blocked, ssl.SSLWantWriteError, "receiving")
            except ssl.SSLZeroReturnError:
                return b""
            except OSError as error:
                raise upstream_error(error, self.peer, "receiving") from error

    async def _wait(
        self, wait: Callable[[int], Any], blocked: Exception, contrary: type[Exception], doing: str
    ) -> None:
        """Until the socket is ready; for the other direction where TLS wants it so."""
        if isinstance(blocked, contrary):
            reading = contrary is ssl.SSLWantReadError
            wait = trio.lowlevel.wait_readable if reading else trio.lowlevel.wait_writable
        try:
            await wait(self.fd)
        except trio.ClosedResourceError as error:
            raise upstream_error(error, self.peer, doing) from error

    async def stirred(self) -> None:
        """Until something happens on it."""
        await trio.lowlevel.wait_readable(self.fd)

    def close(self) -> None:
        """Close it, on the loop; a link on the lot is closed by `Keeper.close`. Twice does no harm."""
        if self.closed:
            return
        self.closed = True
        self.say_goodbye()
        trio.lowlevel.notify_closing(self.fd)
        self.sock.close()

    def say_goodbye(self) -> None:
        """On TLS: keep the session for the next link, and send close_notify as far as that goes without waiting."""
        if not self.tls:
            return
        self.keep_session()
        try:
            self.sock.unwrap()  # type: ignore[attr-defined]
        except (OSError, ValueError):
            pass  # close_notify is on its way, or nobody is there to read it

    def keep_session(self) -> None:
        """The next link to this peer may resume what was agreed on this one (RFC 8446 §2.2)."""
        if self.tls_by is not None:
            self.tls_by.keep_session(self.peer, self.sock.session)  # type: ignore[attr-defined]

    def shut(self) -> None:
        """Break it in both directions; never `SSLSocket.shutdown`, after which a send would leave in clear text."""
        try:
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)
        except OSError:
            pass  # it is broken already, which is what was wanted


class StreamLink(_Books):
    """The task road over any stream of trio: memory streams in tests, systems without epoll."""

    __slots__ = ("_reading", "_seen", "stream")

    def __init__(
        self, stream: trio.abc.Stream, peer: PeerAddress, tls_by: ClientTls | None = None, made: float = math.inf
    ) -> None:
        super().__init__(peer, tls_by, made)
        self.stream = stream
        self._reading = trio.Lock()  # a watch that was ended may not have left the stream yet
        self._seen: bytes | None = None

    async def send(self, data: bytes) -> None:
        """All of it.

        :raises UpstreamError: the link is broken.
        """
        try:
            await self.stream.send_all(data)
        except BROKEN as error:
            raise upstream_error(error, self.peer, "sending") from error

    async def receive(self, most: int = RECEIVE) -> bytes:
        """Some bytes; b"" at the end.

        :raises UpstreamError: the link is broken.
        """
        async with self._reading:
            if self._seen is not None:
                seen, self._seen = self._seen[:most], self._seen[most:] or None
                return seen
            try:
                return bytes(await self.stream.receive_some(most))
            except BROKEN as error:
                raise upstream_error(error, self.peer, "receiving") from error

    async def stirred(self) -> None:
        """Until something happens on it; what came is kept for `receive`."""
        async with self._reading:
            if self._seen is None:
                try:
                    self._seen = bytes(await self.stream.receive_some(RECEIVE))
                except BROKEN:
                    self._seen = b""

    def close(self) -> None:
        """Close it at once, without a word: no stream closes gracefully without waiting. Twice does no harm."""
        if not self.closed:
            self.closed = True
            trio.lowlevel.spawn_system_task(self._close)

    async def _close(self) -> None:
        try:
            await trio.aclose_forcefully(self.stream)
        except BROKEN:
            pass  # it was broken before


AnyLink: TypeAlias = "Link | StreamLink"
