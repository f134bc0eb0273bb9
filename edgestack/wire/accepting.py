"""From a listening socket to a driver: accept, count, shake hands, admit.

    wait_readable(listener) -> accept up to 64 -> plain: admit | a task: PROXY header, TLS handshake, then admit
    more connections than allowed -> 503 (with a close that lingers); far more -> closed without a word
    out of descriptors (EMFILE)   -> say so once, keep what we have, try again when some may be free (E11)
    other processes accept too    -> one a turn, and whoever has fewer connections comes first
    change(...)                   -> from the next connection on (reload)
    leave()                       -> accept no more, once those who have connected are in (reload, drain)

Handshakes are tasks because they wait for the client, within `timeouts.handshake` in all. A client that speaks plain
HTTP to a TLS listener gets a readable answer instead of a broken handshake (E9): `plain_door` answers it. A listener
behind a proxy that speaks the PROXY protocol reads its header first (`proxy_protocol.py`), from everybody: what it says
is believed only of proxies that are trusted, and a connection that begins otherwise is closed.

Who is one too many is decided when it is accepted: a handshake holds a place, whoever is done first.

`Acceptor` knows sockets and no driver; `LotAcceptor` admits to the lot, and `portable_accepting.py` to the other one.
"""

from __future__ import annotations

import errno
import logging
import socket
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import trio

from edgestack.config.model import Timeouts
from edgestack.errors import ClientError, Refused
from edgestack.http.facts import Facts
from edgestack.http.forwarding import TrustedProxies
from edgestack.wire.connection import Door
from edgestack.wire.listening import BACKLOG
from edgestack.wire.proxy_protocol import LONGEST, read_header
from edgestack.wire.statistics import Statistics
from edgestack.wire.tls import Certificates
from edgestack.wire.tls_sockets import handshake_problem, is_plain_http, sni_of, tls_facts

if TYPE_CHECKING:
    from edgestack.wire.lot import Lot

__all__ = ["Acceptor", "Driver", "LotAcceptor", "Turns", "full"]

ACCEPTS = 64
"""Connections accepted in one turn: with a backlog of 4096 a burst is taken in 64 turns, others served between."""
GIVE_WAY = 0.001
"""Seconds that a process waits for another one to accept first; a turn of that one takes less."""
GIVE_WAYS = 5
"""Times; then it accepts by itself: nobody waits for a process that is busy, or hung, for longer than 5 ms."""
OVER_LIMIT = 64
"""Connections over the limit that still get a 503; beyond, a flood would turn the answer itself into the load."""
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
REST = 0.1
"""Seconds to wait for a descriptor to become free (trio's serve_listeners waits as long)."""
REFRESH = 1.0
"""Seconds between two looks at the certificate files."""
RETRY_AFTER = 5
"""Seconds after which a client that was one too many may come back."""

log = logging.getLogger("edgestack.error")


def full() -> Refused:
    """What a connection over the limit is told."""
    return Refused("The server has as many connections as it takes.", 503, retry_after=RETRY_AFTER)


class Driver(Protocol):
    """What an acceptor asks of either driver."""

    statistics: Statistics
    timeouts: Timeouts
    shaking: set[socket.socket]
    """Sockets in their handshakes: they count as connections, and a forked child closes them too."""
    deserted: Callable[[], None] | None
    """Called when the last connection is gone."""

    def connections(self) -> int:
        """How many connections are open, handshakes included."""


class Turns(Protocol):
    """Whose turn it is, where several processes listen on the same sockets."""

    def mine(self, connections: int) -> bool:
        """Whether to accept now, with so many connections open; False: somebody else should."""


class Acceptor(ABC):
    """Accepts on one listening socket."""

    def __init__(
        self,
        driver: Driver,
        sock: socket.socket,
        door: Door,
        *,
        certificates: Certificates | None = None,
        plain_door: Door | None = None,
        most: int,
        own: int = 0,
        told_by: TrustedProxies | None = None,
        turns: Turns | None = None,
    ) -> None:
        """
        :param door: where its connections lead.
        :param certificates: for a TLS listener.
        :param plain_door: answers plain HTTP on a TLS listener.
        :param most: open connections of the whole driver beyond which 503 is answered.
        :param own: the same for those of this listener; 0 for no limit of its own.
        :param told_by: whose PROXY header is believed; None where none is read.
        :param turns: of the processes that accept from this socket; None where this is the only one.
        """
        self._turns = turns
        self._at_once = ACCEPTS if turns is None else 1
        self._driver = driver
        self._sock = sock
        self._door = door
        self._plain_door = plain_door or door
        self.change(certificates, most, own, told_by)
        self._handshakes: trio.Nursery | None = None
        self._shaking = 0
        self._left = False
        self._looked = 0.0
        self._exhausted = False
        self._local = _address(sock.getsockname())
        self._wildcard = self._local[0] in ("0.0.0.0", "::")

    def change(
        self, certificates: Certificates | None, most: int, own: int = 0, told_by: TrustedProxies | None = None
    ) -> None:
        """From the next connection on: other certificates, or none, other limits, other proxies."""
        self._certificates = certificates
        self._most = most
        self._own = own or most
        self._told_by = told_by

    def _is_full(self) -> bool:
        """Whether one more connection is one too many."""
        return self._driver.connections() >= self._most or self._door.held + self._shaking >= self._own

    def leave(self) -> None:
        """Accept no more, at once. Who has connected already is taken in; handshakes that have begun go on."""
        if self._left:
            return
        self._left = True
        if self._handshakes is not None:  # else `run` has not begun, and will do it
            self._finish(self._handshakes)

    def _finish(self, handshakes: trio.Nursery) -> None:
        """Take in what the kernel has accepted for us, which closing would reset; and no more than it could hold."""
        answer = None
        self._at_once = ACCEPTS
        for _ in range(BACKLOG // ACCEPTS):
            answer = self._accept(handshakes)
            if answer is not None:
                break
        if answer is not None and answer.errno in EXHAUSTED:
            log.warning("connections to a listener that is given up were lost: %s", answer.strerror)
        trio.lowlevel.notify_closing(self._sock.fileno())
        self._sock.close()

    @abstractmethod
    def _admit(self, client: socket.socket, facts: Facts, door: Door, over: bool) -> None:
        """Take in a connection that speaks plainly. `over`: it is one too many, and to be told so."""

    @abstractmethod
    async def _shake(self, client: socket.socket, facts: Facts, certificates: Certificates, over: bool) -> None:
        """Shake hands and take the connection in; `client` stands in `driver.shaking` meanwhile."""

    async def run(self) -> None:
        """Accept until it is left, or cancelled: then handshakes are cancelled with it."""
        async with trio.open_nursery() as self._handshakes:
            if self._left:
                self._finish(self._handshakes)
            while not self._left:
                try:
                    await trio.lowlevel.wait_readable(self._sock.fileno())
                except trio.ClosedResourceError:
                    break
                if self._turns is not None and not await self._turn(self._turns):
                    continue
                answer = self._accept(self._handshakes)
                if answer is not None and answer.errno in EXHAUSTED:
                    await self._rest(answer)

    async def _turn(self, turns: Turns) -> bool:
        """Let those with fewer connections come first. False: it was left meanwhile."""
        for _ in range(GIVE_WAYS):
            if turns.mine(self._driver.connections()):
                break
            await trio.sleep(GIVE_WAY)
        return not self._left

    def _accept(self, handshakes: trio.Nursery) -> OSError | None:
        """Take some connections in. What stopped it; None where there may be more."""
        for _ in range(self._at_once):
            try:
                client, address = self._sock.accept()
            except BlockingIOError as nobody:
                return nobody
            except OSError as error:
                if error.errno in EXHAUSTED:
                    return error
                continue  # the client left between its SYN and our accept
            self._exhausted = False
            self._take(client, address, handshakes)
        return None

    async def _rest(self, error: OSError) -> None:
        if not self._exhausted:
            self._exhausted = True
            log.error("cannot accept connections for now: %s; trying again", error.strerror)
        await trio.sleep(REST)

    def _take(self, client: socket.socket, address: object, handshakes: trio.Nursery) -> None:
        """One new connection, and the boundary for what fails before it is anybody's."""
        held = self._driver.connections()
        if held >= self._most + OVER_LIMIT:
            self._driver.statistics.refused += 1
            client.close()
            return
        try:
            client.setblocking(False)
            facts = self._facts(client, address)
            if self._certificates is None and self._told_by is None:
                self._admit(client, facts, self._door, self._is_full())
            else:
                over = self._is_full()
                self._driver.shaking.add(client)
                self._shaking += 1
                handshakes.start_soon(self._greet, client, facts, self._certificates, self._told_by, over)
        except OSError:
            client.close()  # it left already
        except Exception:
            self._failed(client, address)

    def _facts(self, client: socket.socket, address: object) -> Facts:
        local = _address(client.getsockname()) if self._wildcard else self._local
        remote = _address(address)
        return Facts(*remote, *local, scheme="http" if self._certificates is None else "https")

    async def _greet(
        self, client: socket.socket, facts: Facts, certificates: Certificates | None, told_by: TrustedProxies | None,
        over: bool,
    ) -> None:  # fmt: skip
        """What one connection begins with, within its time, and its boundary: a bug here costs this client only."""
        try:
            with trio.move_on_after(self._driver.timeouts.handshake) as scope:
                if told_by is not None:
                    facts = await _told(client, facts, told_by)
                if certificates is None:
                    self._admit_plain(client, facts, self._door, over)
                    return
                await trio.lowlevel.wait_readable(client.fileno())
                if is_plain_http(client.recv(16, socket.MSG_PEEK)):
                    facts.scheme = "http"
                    self._admit_plain(client, facts, self._plain_door, over)
                    return
                self._look()
                await self._shake(client, facts, certificates, over)
                return
            if scope.cancelled_caught:
                log.info("%s: the TLS handshake or the PROXY header took too long", facts.remote_addr)
        except ClientError as error:
            log.info("%s: %s", facts.remote_addr, error)
        except (OSError, trio.BrokenResourceError) as error:
            cause = error if isinstance(error, OSError) else error.__cause__
            said = handshake_problem(cause) if isinstance(cause, OSError) else str(error)
            log.info("%s: %s", facts.remote_addr, said)
        except ValueError as error:  # ssl's word for a socket that left before it was wrapped
            log.info("%s: %s", facts.remote_addr, error)
        except Exception:
            self._failed(client, facts.remote_addr)
        except BaseException:
            client.close()
            raise
        finally:
            self._driver.shaking.discard(client)
            self._shaking -= 1
            if self._driver.deserted is not None and not self._driver.connections():
                self._driver.deserted()
        client.close()

    def _admit_plain(self, client: socket.socket, facts: Facts, door: Door, over: bool) -> None:
        self._driver.shaking.discard(client)
        self._admit(client, facts, door, over)

    def _failed(self, client: socket.socket, address: object) -> None:
        self._driver.statistics.failures += 1
        log.exception("the connection from %s failed before its first request", address)
        client.close()

    def _look(self) -> None:
        """At most once a second: were the certificates renewed?"""
        now = trio.current_time()
        if self._certificates is not None and now - self._looked >= REFRESH:
            self._looked = now
            self._certificates.refresh()


class LotAcceptor(Acceptor):
    """Admits connections to the lot: non-blocking sockets, TLS by `ssl.SSLSocket`."""

    _driver: Lot

    def _admit(self, client: socket.socket, facts: Facts, door: Door, over: bool) -> None:
        lot = self._driver
        connection = lot.admit(client, facts, door)
        if over:
            lot.guarded(connection, lambda: lot.refuse(connection, full()))

    async def _shake(self, client: socket.socket, facts: Facts, certificates: Certificates, over: bool) -> None:
        shaking = self._driver.shaking
        sock = certificates.context.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
        shaking.discard(client)  # an empty shell now
        shaking.add(sock)
        try:
            await _handshake(sock)
            facts.sni = sni_of(sock)
            facts.client_certificate = sock.getpeercert()
            facts.tls = tls_facts(sock)
            shaking.discard(sock)
            self._admit(sock, facts, self._door, over)
        except BaseException:
            shaking.discard(sock)
            sock.close()
            raise


async def _told(client: socket.socket, facts: Facts, told_by: TrustedProxies) -> Facts:
    """Take the PROXY header off the front of a connection, and nothing beyond it; the facts as it tells them, where the
    proxy is believed and knows.

    :raises ClientError: there is none.
    """
    begun = b""
    while True:
        await trio.lowlevel.wait_readable(client.fileno())
        seen = client.recv(LONGEST, socket.MSG_PEEK)
        told = read_header(begun + seen)
        client.recv(len(seen) if told is None else told.size - len(begun))
        if told is not None:
            break
        if not seen:
            raise ClientError(detail="the client left before its PROXY header was complete")
        begun += seen
    if told.client is None or not told_by.trusts(facts.remote_addr):
        return facts
    return Facts(*told.client, *told.server, scheme=facts.scheme)


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
