"""Upstreams that nobody asks: for the tests that a configuration carries. No socket, no name, no check.

    pretended = Pretended(keep)          takes the place of a plan's Roster
    pretended.bind(nursery)
    pretended.begin(Answered(…))         what every upstream answers from now on; None: a 502 that says so

All else is real: the group chooses, the request head is made and the answer's head is read, statuses are retried where
`next_upstream` has them. Nothing is held against a peer, so that one test does not fail because of the one before.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

import trio

from edgestack.config.peer_addresses import PeerAddress
from edgestack.config.sites import Answered
from edgestack.config.upstreams import Upstream, UpstreamServer
from edgestack.errors import EdgeError
from edgestack.http.pages import reason
from edgestack.kept import Keep
from edgestack.upstream.service import Key, Roster, Service, Services
from edgestack.wire.link import AnyLink, StreamLink
from edgestack.wire.tls_client import ClientTls

__all__ = ["Pretended"]

NOWHERE = "192.0.2.1"
"""An address for documentation (RFC 5737): the one of every name."""


class Pretended(Roster):
    """The services of a plan, without servers."""

    def __init__(self, keep: Keep) -> None:
        self._all = Services(self)
        super().__init__(self._all, keep)
        self.asked = 0
        """How many connections were wanted since `begin`."""
        self._answer: Answered | None = None

    def bind(self, nursery: trio.Nursery) -> None:
        """From now on there is a loop."""
        self._all.bind(nursery, None, self)

    def begin(self, answer: Answered | None) -> None:
        """Another test begins."""
        self._answer, self.asked = answer, 0

    def service(self, upstream: Upstream, key: Key | None = None, more: Hashable = None) -> Service:
        """See `Roster`."""
        return super().service(_unreal(upstream), key, more)

    def ad_hoc(self, upstream: Upstream) -> Service:
        """See `Roster`."""
        return super().ad_hoc(_unreal(upstream))

    async def dial(self, peer: PeerAddress, tls: ClientTls | None = None, preface: bytes = b"") -> AnyLink:
        """See `wire.dialing.Dialer`.

        :raises EdgeError: 502, no answer is said.
        """
        self.asked += 1
        if self._answer is None:
            raise EdgeError("No upstream is asked in a test.", 502, detail=f"{peer} is not asked in a test")
        return StreamLink(_Said(self._answer), peer, tls)


def _unreal(upstream: Upstream) -> Upstream:
    """The same group, without anything that would look for its servers."""
    servers = tuple(_server(server, at) for at, server in enumerate(upstream.servers))
    return replace(upstream, servers=servers, health=None)


def _server(server: UpstreamServer, at: int) -> UpstreamServer:
    to = replace(server.to, host=NOWHERE, port=at + 1) if server.to.is_name else server.to
    return replace(server, to=to, max_fails=0)


class _Said(trio.abc.Stream):
    """A connection on which one answer comes, when something was sent."""

    def __init__(self, answer: Answered) -> None:
        self._answer = answer
        self._sent = b""
        self._told = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        self._sent = self._sent or bytes(data)

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        if self._told:
            return b""
        self._told = True
        return self._encoded()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()

    def _encoded(self) -> bytes:
        """The whole answer; its head alone where nothing else may come."""
        said = self._answer
        body = said.body.encode()
        bare = said.status < 200 or said.status in (204, 304)
        framing = [] if bare else [f"Content-Length: {len(body)}", "Connection: close"]
        head = [f"HTTP/1.1 {said.status} {reason(said.status)}", *(f"{name}: {value}" for name, value in said.header)]
        return "\r\n".join([*head, *framing, "", ""]).encode("latin-1") + (
            b"" if bare or self._sent.startswith(b"HEAD ") else body
        )
