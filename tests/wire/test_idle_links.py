"""Idle links on the lot: the pool holds them, and the poller that watches the clients watches them too."""

from __future__ import annotations

import socket

import pytest
from lot_kit import open_lot
from trio.testing import wait_all_tasks_blocked

from edgestack.config.peer_addresses import PeerAddress
from edgestack.http.messages import Response
from edgestack.upstream.pool import Pool
from edgestack.wire.link import Link

PEER = PeerAddress("192.0.2.1", 80)


@pytest.mark.parametrize("stir", ["speak", "leave"])
async def test_what_stirs_while_idle_is_dropped(stir: str) -> None:
    """A21: readable, or at its end, means dropped before anybody can take it."""
    async with open_lot(lambda exchange: Response(200)) as kit:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        link, pool = Link(ours, PEER), Pool(kit.lot)
        with theirs:
            for _ in range(2):
                pool.put(link)
                await wait_all_tasks_blocked()
                assert pool.take(PEER) is link
            pool.put(link)
            if stir == "speak":
                theirs.send(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
            else:
                theirs.close()
            await wait_all_tasks_blocked()
            assert (len(pool), link.closed, pool.take(PEER)) == (0, True, None)
