"""Which requests are sent again, to whom, and how often: A15–A22."""

from __future__ import annotations

import pytest
import trio
from scripted import OK, Behind, Body, Section, Wire, asking, breaks_off, hangs, refuse, says, whole
from trio.testing import MockClock

from edgestack.errors import Disconnected

GROUP = "http://group"


def ports(got: object) -> list[str]:
    return [port for port, _ in got.attempts]  # type: ignore[attr-defined]


async def test_each_peer_is_asked_once(nursery: trio.Nursery) -> None:
    """A15: as many tries as there are peers, backups too, but not those that are down."""
    behind = Behind(
        nursery, {port: [refuse] for port in (8001, 8002, 8003, 8004)},
        servers={8003: {"down": True}, 8004: {"backup": True}},
    )  # fmt: skip
    got = await behind.ask()
    assert (got.status, ports(got)) == (502, ["8001", "8002", "8004"])


@pytest.mark.parametrize(("tries", "asked"), [(0, 3), (1, 1), (2, 2), (3, 3), (9, 3)])
async def test_tries_are_capped(nursery: trio.Nursery, tries: int, asked: int) -> None:
    """A15: next_upstream_tries; 0 is no cap."""
    section = Section(GROUP, next_upstream_tries=tries)
    behind = Behind(nursery, {port: [refuse] for port in (8001, 8002, 8003)}, section)
    assert len((await behind.ask()).attempts) == asked


@pytest.mark.parametrize(("seconds", "asked"), [(0.0, 3), (2.0, 1), (5.0, 2), (50.0, 3)])
async def test_tries_are_timed(nursery: trio.Nursery, autojump_clock: MockClock, seconds: float, asked: int) -> None:
    """A15: next_upstream_timeout, from the first attempt on."""
    section = Section(GROUP, next_upstream_timeout=seconds, read_timeout=3.0)
    behind = Behind(nursery, {port: [hangs()] for port in (8001, 8002, 8003)}, section)
    got = await behind.ask()
    assert (got.status, len(got.attempts)) == (504, asked)


async def test_no_live_peer(nursery: trio.Nursery) -> None:
    """A9: 502 at once when all are banned, and no attempt."""
    behind = Behind(nursery, {8001: [refuse], 8002: [refuse]})
    await behind.ask()
    got = await behind.ask()
    assert (got.status, got.attempts) == (502, [])
    assert 'no live upstreams in "group"' in str(got.error)


STATUSES = [500, 502, 503, 504, 403, 404, 429]


@pytest.mark.parametrize("status", STATUSES)
async def test_statuses_where_listed(nursery: trio.Nursery, status: int) -> None:
    """A16: another peer is asked; 403 and 404 are no failures of the first."""
    section = Section(GROUP, next_upstream=(f"http_{status}",))
    behind = Behind(nursery, {8001: [says(whole(status))], 8002: [says(OK)]}, section)
    got = await behind.ask()
    assert (got.status, got.attempts) == (200, [("8001", status), ("8002", 200)])
    assert behind.peer(8001).fails == (0 if status in (403, 404) else 1)
    assert behind.peer(8001).conns == behind.peer(8002).conns == 0


@pytest.mark.parametrize("status", STATUSES)
async def test_statuses_not_listed(nursery: trio.Nursery, status: int) -> None:
    """A16: an answer like any other."""
    behind = Behind(nursery, {8001: [says(whole(status, b"mine"))], 8002: [says(OK)]})
    got = await behind.ask()
    assert (got.status, got.body, got.attempts) == (status, b"mine", [("8001", status)])
    assert behind.peer(8001).fails == 0


async def test_off(nursery: trio.Nursery) -> None:
    behind = Behind(nursery, {8001: [refuse], 8002: [says(OK)]}, Section(GROUP, next_upstream=("off",)))
    got = await behind.ask()
    assert (got.status, ports(got)) == (502, ["8001"])
    assert behind.peer(8001).fails == 1


async def test_the_last_answer_is_real(nursery: trio.Nursery) -> None:
    """A19: when nobody is left to ask, the client gets what the last one said."""
    section = Section(GROUP, next_upstream=("http_503", "error"))
    behind = Behind(
        nursery, {8001: [says(whole(503, b"one"))], 8002: [says(whole(503, b"two", "X-From: two"))]}, section
    )
    got = await behind.ask()
    assert (got.status, got.body, got.field("x-from")) == (503, b"two", "two")
    assert got.attempts == [("8001", 503), ("8002", 503)]


async def test_the_last_answer_when_others_are_banned(nursery: trio.Nursery) -> None:
    """A19: the same where others are there, but cannot be asked."""
    section = Section(GROUP, next_upstream=("http_503", "error"))
    behind = Behind(nursery, {8001: [refuse], 8002: [says(whole(503, b"two"))]}, section)
    got = await behind.ask()
    assert (got.status, got.body) == (503, b"two")


@pytest.mark.parametrize("method", ["POST", "PATCH", "LOCK"])
async def test_not_sent_twice(nursery: trio.Nursery, method: str) -> None:
    """A17: once a byte of it was sent."""
    behind = Behind(nursery, {8001: [breaks_off()], 8002: [says(OK)]})
    got = await behind.ask(method, body=Body(b"data", length=4))
    assert (got.status, ports(got)) == (502, ["8001"])


@pytest.mark.parametrize("method", ["POST", "PATCH", "LOCK"])
async def test_sent_to_the_next_when_not_sent_yet(nursery: trio.Nursery, method: str) -> None:
    """A17: when connect failed, every method goes on."""
    behind = Behind(nursery, {8001: [refuse], 8002: [says(OK)]})
    got = await behind.ask(method, body=Body(b"data", length=4))
    assert (got.status, ports(got)) == (200, ["8001", "8002"])
    assert behind.sent()[0].endswith(b"\r\n\r\ndata")


async def test_non_idempotent(nursery: trio.Nursery) -> None:
    """A17: unless it is told to."""
    section = Section(GROUP, next_upstream=("error", "non_idempotent"))
    behind = Behind(nursery, {8001: [breaks_off()], 8002: [says(OK)]}, section)
    assert ports(await behind.ask("POST", body=Body(b"data", length=4))) == ["8001", "8002"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_idempotent_methods_are(nursery: trio.Nursery, method: str) -> None:
    behind = Behind(nursery, {8001: [breaks_off()], 8002: [says(whole(200, b""))]})
    assert ports(await behind.ask(method)) == ["8001", "8002"]


async def test_a_spooled_body_is_sent_again(nursery: trio.Nursery) -> None:
    """A18: with request_buffering all of it is here."""
    behind = Behind(nursery, {8001: [breaks_off()], 8002: [says(OK)]})
    got = await behind.ask("PUT", body=Body(b"x" * 100_000, b"y" * 100_000))
    assert (got.status, ports(got)) == (200, ["8001", "8002"])
    assert behind.sent()[-1].endswith(b"\r\n\r\n" + b"x" * 100_000 + b"y" * 100_000)


async def test_a_streamed_body_is_not(nursery: trio.Nursery) -> None:
    """A18: an unbuffered body that has begun to be sent."""
    section = Section(GROUP, request_buffering=False)
    behind = Behind(nursery, {8001: [breaks_off()], 8002: [says(OK)]}, section)
    got = await behind.ask("PUT", body=Body(b"x" * 100, length=100))
    assert (got.status, ports(got)) == (502, ["8001"])


async def test_a_streamed_body_that_did_not_begin(nursery: trio.Nursery) -> None:
    """A18: nothing of it was taken when connect failed."""
    section = Section(GROUP, request_buffering=False)
    behind = Behind(nursery, {8001: [refuse], 8002: [says(OK)]}, section)
    got = await behind.ask("PUT", body=Body(b"x" * 100, b"y", length=None))
    assert (got.status, ports(got)) == (200, ["8001", "8002"])
    assert behind.sent()[0].endswith(b"\r\n\r\n64\r\n" + b"x" * 100 + b"\r\n1\r\ny\r\n0\r\n\r\n")


async def test_nothing_is_tried_once_the_answer_began(nursery: trio.Nursery) -> None:
    """A18: the body breaks off, and the client sees that."""
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
    behind = Behind(nursery, {8001: [says(half, close=True)], 8002: [says(OK)]})
    got = await behind.ask()
    assert (got.status, got.body, ports(got)) == (200, b"half", ["8001"])
    assert got.broken is not None
    assert got.broken.status == 502
    assert behind.peer(8001).conns == 0


async def test_silence_within_the_body(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """A23: the gap within the answer."""
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
    behind = Behind(nursery, {8001: [hangs(half)]}, Section(GROUP, read_timeout=4.0))
    got = await behind.ask()
    assert got.body == b"half"
    assert got.broken is not None
    assert got.broken.status == 504
    assert trio.current_time() == pytest.approx(4.0)


# --- A20 --------------------------------------------------------------------------------------------------------------


async def dies_in_our_hands(wire: Wire) -> None:
    """It answers once, and closes when it is asked again."""
    await wire.request()
    await wire.send(OK)
    await wire.request()
    await wire.close()


async def test_a_kept_connection_that_is_dead(nursery: trio.Nursery) -> None:
    """A20: it uses up no try, and is nobody's fault: the same server is asked on a fresh connection."""
    section = Section(GROUP, next_upstream_tries=1)
    behind = Behind(nursery, {8001: [dies_in_our_hands, says(OK)]}, section)
    await behind.ask()
    got = await behind.ask()
    assert (got.status, got.attempts) == (200, [("8001", 502), ("8001", 200)])
    assert behind.dialed == [8001, 8001]
    assert (behind.peer(8001).failures, behind.peer(8001).conns) == (0, 0)


async def test_only_once(nursery: trio.Nursery) -> None:
    """A20: the fresh connection's failure counts."""
    behind = Behind(nursery, {8001: [dies_in_our_hands, breaks_off()], 8002: [says(OK)]}, servers={8001: {"weight": 9}})
    await behind.ask()
    got = await behind.ask()
    assert got.attempts == [("8001", 502), ("8001", 502), ("8002", 200)]
    assert behind.peer(8001).fails == 1


async def test_not_for_what_is_not_sent_twice(nursery: trio.Nursery) -> None:
    """A20: the same rule for POST."""
    behind = Behind(nursery, {8001: [dies_in_our_hands, says(OK)]})
    await behind.ask()
    got = await behind.ask("POST", body=Body(b"x", length=1))
    assert (got.status, ports(got)) == (502, ["8001"])


async def test_idle_connections_are_watched(nursery: trio.Nursery) -> None:
    """A21: what ends while idle is dropped before anybody takes it."""
    behind = Behind(nursery, {8001: [says(OK, close=True), says(OK)]})
    await behind.ask()
    await trio.testing.wait_all_tasks_blocked()
    got = await behind.ask()
    assert (got.attempts, behind.dialed) == ([("8001", 200)], [8001, 8001])


async def test_idle_timeout(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """A21: 60 s by default, and configurable."""
    behind = Behind(nursery, {8001: [says(*[OK] * 5)]}, group={"keepalive_timeout": 5.0})
    await behind.ask()
    await trio.sleep(4.0)
    await behind.ask()
    assert behind.dialed == [8001]
    await trio.sleep(6.5)
    await behind.ask()
    assert behind.dialed == [8001, 8001]


# --- the client leaves ------------------------------------------------------------------------------------------------


async def test_a_client_that_leaves(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """A22: the exchange upstream is cancelled, and nobody is blamed."""
    behind = Behind(nursery, {8001: [hangs()], 8002: [says(OK)]})
    exchange = asking()
    with trio.move_on_after(1.0):
        await behind.errand(exchange)
    assert (behind.peer(8001).conns, behind.peer(8001).fails, behind.dialed) == (0, 0, [8001])


async def test_a_client_that_leaves_within_its_body(nursery: trio.Nursery) -> None:
    """A22: 499; with request_buffering nobody was asked."""

    class Leaving(Body):
        async def spooled(self, limit: int) -> object:  # type: ignore[override]
            raise Disconnected

    behind = Behind(nursery, {8001: [says(OK)]})
    got = await behind.ask("PUT", body=Leaving(b""))
    assert (got.status, behind.dialed) == (499, [])
