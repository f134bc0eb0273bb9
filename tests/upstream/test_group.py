"""A group as a whole: primaries and backups, names with several addresses, and what one request may try."""

from __future__ import annotations

import pytest
from groups import ask, exchange, fail, group, names, server

from edgestack.errors import UpstreamError
from edgestack.upstream.peers import Peer, Tried


def test_a7_a_name_with_several_addresses_is_several_peers() -> None:
    """A7: each with the server's weight, and an accounting of its own."""
    found = group(server("app.internal:8001", weight=2, max_fails=3), "127.0.0.1:9")
    found.found(found.names()[0], ["10.0.0.1", "10.0.0.2", "2001:db8::3"])
    assert [str(peer.address) for peer in found.peers()] == [
        "10.0.0.1:8001", "10.0.0.2:8001", "[2001:db8::3]:8001", "127.0.0.1:9",
    ]  # fmt: skip
    assert [peer.weight for peer in found.peers()] == [2, 2, 2, 1]
    assert {peer.server.host for peer in found.peers()} == {"app.internal", "127.0.0.1"}
    found.failed(found.peers()[0], 0.0)
    assert [peer.fails for peer in found.peers()] == [1, 0, 0, 0]


def test_a7_a_peer_that_stays_keeps_its_state() -> None:
    """A7: what is known of an address survives the next look; whoever keeps links to one that is gone is told."""
    found = group("app.internal")
    gone: list[Peer] = []
    found.when_gone.append(gone.append)
    found.found(found.names()[0], ["10.0.0.1", "10.0.0.2"])
    first, second = found.peers()
    fail(found)
    found.found(found.names()[0], ["10.0.0.3", "10.0.0.1"])
    assert found.peers()[1] is first
    assert first.fails == 1
    assert gone == [second]


def test_a7_a_peer_that_is_gone_while_it_answers_can_be_released() -> None:
    found = group("app.internal", "127.0.0.1:1")
    found.found(found.names()[0], ["10.0.0.1"])
    busy = next(peer for peer in (found.pick(exchange(), Tried(), 0.0) for _ in range(2)) if peer.address.port == 80)
    found.found(found.names()[0], ["10.0.0.2"])
    found.failed(busy, 0.0)
    found.release(busy)
    assert busy.conns == 0
    assert busy not in found.peers()


def test_a8_backups_are_asked_when_nobody_else_can_be() -> None:
    """A8: down, banned, at max_conns, or tried already."""
    found = group(
        server("127.0.0.1:1", down=True), "127.0.0.1:2", server("127.0.0.1:3", max_conns=1),
        server("127.0.0.1:4", backup=True), server("127.0.0.1:5", backup=True, weight=2),
    )  # fmt: skip
    assert names(found, 4) == "2323"
    _, second, third, *_ = found.peers()
    found.failed(second, 0.0)
    busy = found.pick(exchange(), Tried(), 0.0)
    assert busy is third
    assert names(found, 6) == "545545"
    found.release(busy)
    assert names(found, 2) == "33"


def test_a8_a_request_comes_to_the_backups_last() -> None:
    """A8, A15: after every primary, and then never goes back to one."""
    found = group("127.0.0.1:1", "127.0.0.1:2", server("127.0.0.1:3", backup=True), server("127.0.0.1:4", backup=True))
    tried = Tried()
    assert found.tries() == 4
    assert [fail(found, tried=tried).address.port for _ in range(4)] == [1, 2, 3, 4]
    with pytest.raises(UpstreamError):
        found.pick(exchange(), tried, 100.0)


def test_a9_nobody_is_there() -> None:
    """A9: 502 at once, which the log calls what nginx calls it; the client learns nothing."""
    found = group(server("127.0.0.1:1", down=True), server("127.0.0.1:2", down=True))
    told = r'^no live upstreams in "backend": 127.0.0.1:1: down, 127.0.0.1:2: down$'
    with pytest.raises(UpstreamError, match=told) as caught:
        ask(found)
    assert caught.value.status == 502
    assert "backend" not in caught.value.public


def test_a10_max_conns_counts_requests_that_are_answered() -> None:
    """A10: and not what is idle: n-1, n, and n again after one is done."""
    found = group(server("127.0.0.1:1", max_conns=2))
    held = [found.pick(exchange(), Tried(), 0.0) for _ in range(2)]
    with pytest.raises(UpstreamError):
        ask(found)
    found.release(held[0])
    ask(found)


def test_a10_a_peer_that_failed_is_released_too() -> None:
    found = group(server("127.0.0.1:1", max_conns=1, max_fails=0), server("127.0.0.1:2", down=True))
    for _ in range(3):
        fail(found)
    assert found.peers()[0].conns == 0


def test_a15_what_was_tried_is_of_one_request() -> None:
    """A15: the next request may try it again."""
    found = group(server("127.0.0.1:1", max_fails=0), server("127.0.0.1:2", max_fails=0))
    for _ in range(3):
        tried = Tried()
        assert {fail(found, tried=tried).address.port for _ in range(2)} == {1, 2}


def test_an_unhealthy_peer_is_not_asked() -> None:
    """Nor is one that is alone: it was asked, and does not answer as it should."""
    found = group("127.0.0.1:1", "127.0.0.1:2")
    found.set_health(found.peers()[0], "status 500 to a health check", 0.0)
    assert names(found, 3) == "222"
    alone = group("127.0.0.1:1")
    alone.set_health(alone.peers()[0], "status 500 to a health check", 0.0)
    with pytest.raises(UpstreamError):
        ask(alone)


def test_servers_inherit_from_their_group() -> None:
    """max_fails, fail_timeout and slow_start, where they say nothing of their own."""
    found = group(
        "127.0.0.1:1", server("127.0.0.1:2", max_fails=0, fail_timeout=1.0, slow_start=0.0),
        max_fails=5, fail_timeout=30.0, slow_start=20.0,
    )  # fmt: skip
    assert [(peer.max_fails, peer.fail_timeout, peer.slow_start) for peer in found.peers()] == [
        (5, 30.0, 20.0),
        (0, 1.0, 0.0),
    ]
