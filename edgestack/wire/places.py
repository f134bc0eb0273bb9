"""The places where one stack listens: a socket, its acceptor, and the doors that it leads to; and how they change.

    prepare(pairs, …)    at the start, and at a reload: everything that may fail is done now …
      └ the function that it gives, which cannot fail: … new places accept, those gone accept no more, doors lead anew

A place is known by its socket: where that one stays, acceptor and connections are not touched, whatever else changes
(certificates, redirects, where it leads). Connections of a place that is gone are served to their end, by the new plan
like all others: each gets the answer to its next request, and that answer is its last. It must not know what is served.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable
from typing import TypeAlias
from weakref import WeakKeyDictionary

import trio

from edgestack.config.model import Listener
from edgestack.errors import ConfigError
from edgestack.http.forwarding import TrustedProxies
from edgestack.http.messages import Answer, Exchange, Handler
from edgestack.wire.accepting import Acceptor, LotAcceptor, Turns
from edgestack.wire.connection import Door
from edgestack.wire.listening import bind, resolve
from edgestack.wire.lot import Lot
from edgestack.wire.portable import Portable
from edgestack.wire.portable_accepting import PortableAcceptor
from edgestack.wire.tls import Certificates

__all__ = ["Lead", "Pairs", "Place", "Places", "bound", "close_fresh", "url"]

Pairs: TypeAlias = "list[tuple[Listener, socket.socket]]"
Lead: TypeAlias = "Callable[[Listener], Door]"


class Place:
    """One socket that listens."""

    __slots__ = ("acceptor", "door", "listener", "plain", "sock")

    def __init__(self, listener: Listener, sock: socket.socket, door: Door, plain: Door) -> None:
        self.listener = listener
        self.sock = sock
        self.door = door
        self.plain = plain
        self.acceptor: Acceptor | None = None


class Places:
    """All of them. On the loop only."""

    def __init__(self, turns: Turns | None = None) -> None:
        """:param turns: of the processes that accept from the same sockets."""
        self._turns = turns
        self._driver: Lot | Portable | None = None
        self._nursery: trio.Nursery | None = None
        self._listening = trio.CancelScope()
        self._places: list[Place] = []
        self._apart: WeakKeyDictionary[Door, tuple[Listener, bool, bool]] = WeakKeyDictionary()
        """Doors without a place, for as long as a connection came through them: (listener, plain, last answers)."""

    @property
    def pairs(self) -> Pairs:
        """Where it listens now."""
        return [(place.listener, place.sock) for place in self._places]

    async def run(
        self, driver: Lot | Portable, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Accept for a driver, wherever `prepare` says, until `stop`."""
        self._driver = driver
        with self._listening:
            async with trio.open_nursery() as self._nursery:
                task_status.started()
                await trio.sleep_forever()
        self.close()

    def leave(self) -> None:
        """Accept no more, once those who have connected are in; handshakes that have begun go on."""
        for place in self._places:
            if place.acceptor is not None:
                place.acceptor.leave()

    def stop(self) -> None:
        """Accept no more, and give up handshakes."""
        self._listening.cancel()

    def apart(self, listener: Listener, lead: Lead) -> Door:
        """A door for a connection that comes through no place."""
        door = lead(listener)
        self._apart[door] = (listener, False, False)
        return door

    def prepare(
        self, pairs: Pairs, lead: Lead, plain: Lead, certificates: Certificates | None, most: int
    ) -> Callable[[], None]:
        """Make ready for listening on these sockets, and for leading everybody anew.

        :param pairs: a socket that is here already stays; a new one is listening.
        :param lead: where a listener leads.
        :param plain: where plain HTTP leads that comes to a TLS listener.
        :param most: open connections of the whole driver beyond which 503 is answered.
        :returns: does it.
        """
        leaving = {id(place.sock): place for place in self._places}
        after, leads = list[Place](), list[tuple[Door, Door]]()
        for listener, sock in pairs:
            if listener.tls and certificates is None:
                raise ConfigError("TLS needs a certificate and its key", hint="--cert FILE --key FILE")
            found = leaving.pop(id(sock), None)
            place = Place(listener, sock, lead(listener), plain(listener))
            if found is not None:
                leads += [(found.door, place.door), (found.plain, place.plain)]
                place.door, place.plain, place.acceptor = found.door, found.plain, found.acceptor
            after.append(place)
        apart = dict(self._apart)
        for place in leaving.values():
            apart[place.door] = (place.listener, False, True)
            apart[place.plain] = (place.listener, True, True)
        for door, (listener, is_plain, last) in apart.items():
            other = plain(listener) if is_plain else lead(listener)
            leads.append((door, _last(other) if last else other))

        def change() -> None:
            for door, other in leads:
                door.handle, door.errors, door.ends = other.handle, other.errors, other.ends
            self._apart.update(apart)
            self._places = after
            for place in after:
                self._settle(place, certificates if place.listener.tls else None, most)
            for place in leaving.values():
                if place.acceptor is not None:
                    place.acceptor.leave()

        return change

    def _settle(self, place: Place, certificates: Certificates | None, most: int) -> None:
        """Change a place's acceptor, or begin with a new one."""
        if place.acceptor is not None:
            place.acceptor.change(certificates, most, place.listener.max_connections, _told_by(place.listener))
            return
        assert self._nursery is not None
        kind: type[Acceptor] = LotAcceptor if isinstance(self._driver, Lot) else PortableAcceptor
        assert self._driver is not None
        place.acceptor = kind(
            self._driver,
            place.sock,
            place.door,
            certificates=certificates,
            plain_door=place.plain,
            most=most,
            own=place.listener.max_connections,
            told_by=_told_by(place.listener),
            turns=self._turns,
        )
        self._nursery.start_soon(place.acceptor.run)

    def close(self) -> None:
        """Close the sockets; nobody accepts any more."""
        for place in self._places:
            place.sock.close()

    def close_in_child(self) -> None:
        """After a fork: let go of the sockets, which go on listening for the parent."""
        for place in self._places:
            if place.sock.fileno() >= 0:
                os.close(place.sock.detach())


def bound(listeners: Iterable[Listener], standing: Iterable[tuple[Listener, socket.socket]] = ()) -> Pairs:
    """The sockets of these listeners: of those that stand already, by address, else bound now; all of them, or none.

    :raises OSError: one cannot be bound.
    """
    here = list(standing)
    pairs: Pairs = []
    fresh: list[socket.socket] = []
    try:
        for listener in listeners:
            for one in resolve(listener):
                found = next((pair for pair in here if address(pair[0]) == address(one)), None)
                if found is not None:
                    here.remove(found)
                    pairs.append((one, found[1]))
                else:
                    fresh.append(bind(one))
                    pairs.append((one, fresh[-1]))
    except BaseException:
        for sock in fresh:
            sock.close()
        raise
    return pairs


def close_fresh(pairs: Pairs, standing: Pairs) -> None:
    """Close those that are not among the others."""
    here = {id(sock) for _, sock in standing}
    for _, sock in pairs:
        if id(sock) not in here:
            sock.close()


def address(listener: Listener) -> tuple[str, int, str, int]:
    """What makes it the same place, whatever else is said of it."""
    return listener.host, listener.port, listener.path, listener.fd


def url(listener: Listener, sock: socket.socket) -> str:
    """The address as a client would write it."""
    scheme = "https" if listener.tls else "http"
    if sock.family == socket.AF_UNIX:
        return f"unix:{sock.getsockname()}"
    host, port = sock.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _told_by(listener: Listener) -> TrustedProxies | None:
    """Whose PROXY header is believed there; None where none is read."""
    return TrustedProxies(listener.proxy_protocol) if listener.proxy_protocol else None


def _last(door: Door) -> Door:
    """The same, and each answer is the last one of its connection."""
    handle: Handler = door.handle

    def last(exchange: Exchange) -> Answer:
        exchange.request.persistent = False
        return handle(exchange)

    return Door(last, door.errors, door.ends)
