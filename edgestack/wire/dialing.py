"""From an address to a link: connect, say the preface, shake hands.

    dial(peer, tls, preface):  socket ── connect ── preface (PROXY protocol, in clear text) ── TLS ── Link

TCP over IPv4 and IPv6, unix sockets, TLS on any of them (criterion B19). Nothing is resolved here: names are turned
into addresses by the group. Nothing is timed either: the caller's cancel scope is the connect timeout, and a dialing
that is cancelled closes its socket. Memory dialers in tests have the same one method.
"""

from __future__ import annotations

import errno
import socket
import ssl
from typing import Any, Protocol

import trio

from edgestack.config.peer_addresses import PeerAddress
from edgestack.errors import UpstreamError
from edgestack.wire.link import AnyLink, Link
from edgestack.wire.tls_client import ClientTls
from edgestack.wire.upstream_errors import UNREACHABLE, upstream_error

__all__ = ["Dialer", "SocketDialer"]

FULL = 0.01
"""Seconds until a unix socket whose queue is full is tried again: connect(2) says EAGAIN there, and no poller tells
when there is room. A guess: a worker accepts within milliseconds, or not at all."""


class Dialer(Protocol):
    """Whoever makes links."""

    async def dial(self, peer: PeerAddress, tls: ClientTls | None = None, preface: bytes = b"") -> AnyLink:
        """A new link to `peer`.

        :param tls: how TLS is spoken there; None for plain text.
        :param preface: sent first, in clear text; such a link is not to be reused.
        :raises UpstreamError: 502, and the detail says why.
        """


class SocketDialer:
    """Links over the system's sockets."""

    async def dial(self, peer: PeerAddress, tls: ClientTls | None = None, preface: bytes = b"") -> Link:
        """See `Dialer.dial`."""
        sock = await _connect(peer)
        try:
            link = Link(sock, peer, tls, trio.current_time())
            if preface:
                await link.send(preface)
                link.lasting = False
            if tls is not None:
                sock = tls.wrap(sock, peer)
                await _shake(sock)
                made, lasting = link.made, link.lasting
                link = Link(sock, peer, tls, made)
                link.lasting = lasting
        except (OSError, ValueError, trio.ClosedResourceError) as error:
            sock.close()
            if tls is not None:
                tls.forget_session(peer)
            raise upstream_error(error, peer, "shaking hands") from error
        except BaseException:
            sock.close()
            raise
        return link


async def _connect(peer: PeerAddress) -> socket.socket:
    """A connected, non-blocking socket."""
    family, address = _address(peer)
    try:
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    except OSError as error:
        raise upstream_error(error, peer, "connecting") from error
    try:
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if wrong := await _begin(sock, address):
            raise OSError(wrong, "")
    except OSError as error:
        sock.close()
        raise upstream_error(error, peer, "connecting") from error
    except BaseException:
        sock.close()
        raise
    return sock


async def _begin(sock: socket.socket, address: Any) -> int:
    """Connect; the errno of what went wrong, or 0."""
    while True:
        wrong = sock.connect_ex(address)
        if wrong != errno.EAGAIN or sock.family != socket.AF_UNIX:
            break
        await trio.sleep(FULL)
    if wrong == errno.EINPROGRESS:
        await trio.lowlevel.wait_writable(sock)
        wrong = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return wrong


def _address(peer: PeerAddress) -> tuple[int, Any]:
    """The family, and the address as the socket module wants it."""
    if peer.path:
        return socket.AF_UNIX, peer.path
    try:
        numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        [(family, *_, address)] = socket.getaddrinfo(peer.host, peer.port, type=socket.SOCK_STREAM, flags=numeric)
    except (socket.gaierror, ValueError, OverflowError):
        raise UpstreamError(UNREACHABLE, detail=f"{peer}: connecting: this is no address") from None
    return family, address


async def _shake(sock: ssl.SSLSocket) -> None:
    while True:
        try:
            sock.do_handshake()
            return
        except ssl.SSLWantReadError:
            await trio.lowlevel.wait_readable(sock)
        except ssl.SSLWantWriteError:
            await trio.lowlevel.wait_writable(sock)
