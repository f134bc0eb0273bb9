"""From a listening socket to the lot: accept, count, shake hands, admit.

    wait_readable(listener) -> accept up to 64 -> plain: admit | TLS: a task shakes hands, then admit
    more connections than allowed -> 503 (with a close that lingers); far more -> closed without a word
    out of descriptors (EMFILE)   -> say so once, keep what we have, try again when some may be free (E11)

Handshakes are tasks because they wait for the client, within `timeouts.handshake` in all. A client that speaks plain
HTTP to a TLS listener gets a readable answer instead of a broken handshake (E9): `plain_door` answers it.
"""

from __future__ import annotations

import errno
import logging
import socket
import ssl
from typing import TYPE_CHECKING

import trio

from edgestack.config.model import Listener
from edgestack.errors import Refused
from edgestack.http.messages import Facts
from edgestack.wire.connection import Door
from edgestack.wire.tls import Certificates, handshake_problem, is_plain_http, sni_of

if TYPE_CHECKING:
    from edgestack.wire.lot import Lot

__all__ = ["Acceptor"]

ACCEPTS = 64
"""Connections accepted in one turn: with a backlog of 4096 a burst is taken in 64 turns, others served between."""
OVER_LIMIT = 64
"""Connections over the limit that still get a 503; beyond, a flood would turn the answer itself into the load."""
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
REST = 0.1
"""Seconds to wait for a descriptor to become free (trio's serve_listeners waits as long)."""
REFRESH = 1.0
"""Seconds between two looks at the certificate files."""

log = logging.getLogger("edgestack.error")


class Acceptor:
    """Accepts on one listening socket."""

    def __init__(
        self,
        lot: Lot,
        listener: Listener,
        sock: socket.socket,
        door: Door,
        *,
        certificates: Certificates | None = None,
        plain_door: Door | None = None,
        most: int,
    ) -> None:
        """
        :param door: where its connections lead.
        :param certificates: for a TLS listener.
        :param plain_door: answers plain HTTP on a TLS listener.
        :param most: open connections of the whole lot beyond which 503 is answered.
        """
        self._lot = lot
        self._listener = listener
        self._sock = sock
        self._door = door
        self._certificates = certificates
        self._plain_door = plain_door or door
        self._most = most
        self._looked = lot.clock()
        self._exhausted = False
        self._local = _address(sock.getsockname())
        self._wildcard = self._local[0] in ("0.0.0.0", "::")

    async def run(self) -> None:
        """Accept until cancelled; handshakes are cancelled with it."""
        async with trio.open_nursery() as handshakes:
            while True:
                await trio.lowlevel.wait_readable(self._sock.fileno())
                for _ in range(ACCEPTS):
                    try:
                        client, address = self._sock.accept()
                    except BlockingIOError:
                        break
                    except OSError as error:
                        if error.errno in EXHAUSTED:
                            await self._rest(error)
                            break
                        continue  # the client left between its SYN and our accept
                    self._exhausted = False
                    self._take(client, address, handshakes)

    async def _rest(self, error: OSError) -> None:
        if not self._exhausted:
            self._exhausted = True
            log.error("cannot accept connections for now: %s; trying again", error.strerror)
        await trio.sleep(REST)

    def _take(self, client: socket.socket, address: object, handshakes: trio.Nursery) -> None:
        lot = self._lot
        if len(lot.table) >= self._most + OVER_LIMIT:
            lot.statistics.refused += 1
            client.close()
            return
        try:
            client.setblocking(False)
            facts = self._facts(client, address)
        except OSError:
            client.close()  # it left already
            return
        if self._certificates is None:
            self._admit(client, facts, self._door)
        else:
            handshakes.start_soon(self._shake, client, facts, self._certificates)

    def _facts(self, client: socket.socket, address: object) -> Facts:
        local = _address(client.getsockname()) if self._wildcard else self._local
        remote = _address(address)
        return Facts(*remote, *local, scheme="http" if self._certificates is None else "https")

    def _admit(self, client: socket.socket, facts: Facts, door: Door) -> None:
        lot = self._lot
        connection = lot.admit(client, facts, door)
        if len(lot.table) > self._most:
            lot.refuse(connection, Refused("The server has as many connections as it takes.", 503, retry_after=5))

    async def _shake(self, client: socket.socket, facts: Facts, certificates: Certificates) -> None:
        """The handshake of one connection, within its time, and its boundary: a bug here costs this client only."""
        sock: socket.socket = client
        try:
            with trio.move_on_after(self._lot.timeouts.handshake) as scope:
                await trio.lowlevel.wait_readable(client.fileno())
                if is_plain_http(client.recv(16, socket.MSG_PEEK)):
                    facts.scheme = "http"
                    self._admit(client, facts, self._plain_door)
                    return
                self._look()
                sock = certificates.context.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
                await _handshake(sock)
                facts.sni = sni_of(sock)
                facts.client_certificate = sock.getpeercert()
                self._admit(sock, facts, self._door)
                return
            if scope.cancelled_caught:
                log.info("%s: the TLS handshake took too long", facts.remote_addr)
        except OSError as error:
            log.info("%s: %s", facts.remote_addr, handshake_problem(error))
        except ValueError as error:  # ssl's word for a socket that left before it was wrapped
            log.info("%s: %s", facts.remote_addr, error)
        except Exception:
            self._lot.statistics.failures += 1
            log.exception("the TLS handshake with %s failed", facts.remote_addr)
        except BaseException:
            sock.close()
            raise
        sock.close()

    def _look(self) -> None:
        """At most once a second: were the certificates renewed?"""
        now = self._lot.clock()
        if self._certificates is not None and now - self._looked >= REFRESH:
            self._looked = now
            self._certificates.refresh()


async def _handshake(sock: ssl.SSLSocket) -> None:
    while True:
        try:
            sock.do_handshake()
            return
        except ssl.SSLWantReadError:
            await trio.lowlevel.wait_readable(sock.fileno())
        except ssl.SSLWantWriteError:
            await trio.lowlevel.wait_writable(sock.fileno())


def _address(address: object) -> tuple[str, int]:
    """(address, port); IPv4 in IPv6's clothes is IPv4; a unix socket has its path and port 0."""
    if isinstance(address, tuple):
        host = str(address[0])
        return (host[7:] if host.startswith("::ffff:") and "." in host else host), int(address[1])
    name = address.decode("utf-8", "replace") if isinstance(address, bytes) else str(address)
    return f"unix:{name}", 0
