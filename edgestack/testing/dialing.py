"""From an address to a link, in a test: the scripted upstreams by the addresses that stand for them, the world beyond.

    Dialed(upstreams, nursery, memory=False).dial(peer)      see `wire.dialing.Dialer`

An upstream has an address from 198.18.0.0/15, which RFC 2544 keeps for tests of devices: nothing is sent there. What
it is asked goes over a pair of sockets, or over memory; in clear text, whatever the route says.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping

import trio

from edgestack.config.peer_addresses import PeerAddress
from edgestack.errors import EdgeError
from edgestack.testing.acts import Hang, Refuse
from edgestack.testing.pipes import SocketEnd, memory_pipe, socket_pair
from edgestack.testing.scripted import ScriptedUpstream
from edgestack.wire.dialing import SocketDialer
from edgestack.wire.link import AnyLink, Link, StreamLink
from edgestack.wire.tls_client import ClientTls
from edgestack.wire.upstream_errors import upstream_error

__all__ = ["Dialed"]


class Dialed:
    """`wire.dialing.Dialer`. On the loop."""

    def __init__(
        self, upstreams: Mapping[PeerAddress, ScriptedUpstream], nursery: trio.Nursery, *, memory: bool,
        failed: Callable[[Exception], None] | None = None,
    ) -> None:  # fmt: skip
        """
        :param nursery: the upstreams' ends of connections live there.
        :param memory: no sockets at all; whoever is not scripted is not asked.
        :param failed: told what functions of the test's raise; None for raising it in the nursery.
        """
        self.upstreams = upstreams
        self._nursery = nursery
        self._memory = memory
        self._failed = failed
        self._world = SocketDialer()

    async def dial(self, peer: PeerAddress, tls: ClientTls | None = None, preface: bytes = b"") -> AnyLink:
        """See `wire.dialing.Dialer.dial`.

        :raises EdgeError: 502, there is no such upstream in memory.
        """
        upstream = self.upstreams.get(peer)
        if upstream is None:
            if self._memory:
                detail = f"{peer} is not scripted, and in memory nobody else is asked: name it in `replace`"
                raise EdgeError("No upstream is asked in memory.", 502, detail=detail)
            return await self._world.dial(peer, tls, preface)
        act = upstream.connecting()
        if isinstance(act, Hang):
            await trio.sleep_forever()
        if act is not None:
            code = errno.ECONNREFUSED if isinstance(act, Refuse) else errno.ECONNRESET
            raise upstream_error(OSError(code, os.strerror(code)), peer, "connecting")
        await trio.lowlevel.checkpoint()
        if preface:
            upstream.prefaces.append(preface)
        link: AnyLink
        if self._memory:
            ours, theirs = memory_pipe()
            self._nursery.start_soon(upstream.serve, theirs, self._failed)
            link = StreamLink(ours, peer, tls, trio.current_time())
        else:
            near, far = socket_pair()
            self._nursery.start_soon(upstream.serve, SocketEnd(far), self._failed)
            link = Link(near, peer, tls, trio.current_time())
        link.lasting = not preface
        return link
