"""The pool of idle links: which one is taken, and how each of them goes."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trustme
from trio.testing import memory_stream_pair, wait_all_tasks_blocked

from edgestack.config.peer_addresses import PeerAddress
from edgestack.errors import UpstreamError
from edgestack.upstream.pool import Pool
from edgestack.wire.deadlines import Deadlines
from edgestack.wire.link import AnyLink, Link, StreamLink
from edgestack.wire.link_watch import LinkWatch
from edgestack.wire.tls_client import ClientTls

ONE, OTHER = PeerAddress("192.0.2.1", 80), PeerAddress("192.0.2.2", 80)


class Books:
    """A keeper that writes down what it is asked."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.deadlines = Deadlines(lambda timed, now: None, lambda: self.now)
        self.watched: list[AnyLink] = []
        self.closed: list[AnyLink] = []

    def clock(self) -> float:
        return self.now

    def take_up(self, link: AnyLink) -> None:
        self.watched.append(link)

    def let_go(self, link: AnyLink) -> None:
        self.watched.remove(link)

    def close(self, link: AnyLink) -> None:
        self.closed.append(link)
        link.closed = True


def made(peer: PeerAddress = ONE, at: float = 1000.0) -> StreamLink:
    return StreamLink(memory_stream_pair()[0], peer, made=at)


def test_the_latest_link_of_a_peer_is_taken_first() -> None:
    """B7: and no other peer's."""
    books = Books()
    pool = Pool(books)
    first, second, other = made(), made(), made(OTHER)
    assert [link.reused for link in (first, second)] == [False, False]
    for link in (first, other, second):
        pool.put(link)
    assert len(pool) == 3
    assert pool.take(ONE) is second
    assert second.reused  # A20: its exchange must reckon with its being dead
    assert second.requests == 1
    assert second in books.watched  # by callbacks it goes on where it is: its taker is its holder at once
    assert pool.take(ONE, waiting=True) is first
    assert (first.holder, first.deadline) == (None, float("inf"))
    assert first not in books.watched
    assert pool.take(ONE) is None
    assert pool.take(OTHER) is other
    assert not books.closed


def test_more_than_are_to_be_kept() -> None:
    """B7: at n and n + 1; the one that was idle for the longest time goes, whoever's it is."""
    books = Books()
    pool = Pool(books, most=2)
    links = [made(), made(OTHER), made()]
    pool.put(links[0])
    pool.put(links[1])
    assert not books.closed
    pool.put(links[2])
    assert books.closed == [links[0]]
    assert len(pool) == 2
    assert [pool.take(ONE), pool.take(ONE), pool.take(OTHER)] == [links[2], None, links[1]]


def test_keepalive_0_keeps_nothing() -> None:
    """B7."""
    books = Books()
    pool = Pool(books, most=0)
    link = made()
    pool.put(link)
    assert (books.closed, len(pool)) == ([link], 0)


def test_what_is_not_kept() -> None:
    """Links of their last request (n - 1, n), too old ones, those of one client, closed ones, those of another TLS."""
    books = Books()
    pool = Pool(books, requests=3, age=60.0)
    link = made()
    for _ in range(2):
        pool.put(link)
        assert pool.take(ONE) is link
    pool.put(link)
    young, old, personal, closed, secure = (
        made(at=940.1), made(at=940.0), made(), made(), StreamLink(memory_stream_pair()[0], ONE, object()),  # type: ignore[arg-type]
    )  # fmt: skip
    personal.lasting = False
    closed.closed = True
    for one in (young, old, personal, closed, secure):
        pool.put(one)
    assert books.closed == [link, old, personal, closed, secure]
    assert pool.take(ONE) is young


def test_an_idle_link_that_stirs_or_is_over_its_time_is_dropped() -> None:
    """A21: before anybody can take it."""
    books = Books()
    pool = Pool(books, timeout=60.0)
    stirred, expired, left = made(), made(), made()
    for link in (stirred, expired, left):
        pool.put(link)
        assert link.deadline == 1060.0
    pool.event(stirred, 1)
    pool.expire(expired, 1060.0)
    assert books.closed == [stirred, expired]
    assert [pool.take(ONE), pool.take(ONE)] == [left, None]


def test_a_peer_and_a_group_that_are_gone() -> None:
    books = Books()
    pool = Pool(books)
    links = [made(), made(), made(OTHER)]
    for link in links:
        pool.put(link)
    pool.forget(ONE)
    assert books.closed == links[:2]
    pool.close()
    assert books.closed == links
    late = made()
    pool.put(late)
    assert books.closed[-1] is late
    assert len(pool) == 0


def test_a_bug_costs_one_link(caplog: pytest.LogCaptureFixture) -> None:
    pool = Pool(Books())
    link, other = made(), made()
    pool.put(link)
    pool.put(other)
    with caplog.at_level(logging.ERROR, "edgestack.error"):
        pool.failed(link, ValueError("a bug"))
    assert "an idle connection to 192.0.2.1:80 failed" in caplog.text
    assert pool.stop(other)
    assert len(pool) == 0


# --- watched for real -------------------------------------------------------------------------------------------------

Pair = tuple[AnyLink, Callable[[bytes], object], Callable[[], object]]


def over_sockets() -> Pair:
    """A link, how its server speaks, and how it leaves."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    return Link(ours, ONE), theirs.send, theirs.close


def over_streams() -> Pair:
    ours, _ = memory_stream_pair()
    return StreamLink(ours, ONE), ours.receive_stream.put_data, ours.receive_stream.put_eof


@asynccontextmanager
async def watching() -> AsyncIterator[LinkWatch]:
    async with trio.open_nursery() as nursery:
        watch = LinkWatch(nursery, trio.current_time)
        nursery.start_soon(watch.run)
        yield watch
        nursery.cancel_scope.cancel()


@pytest.fixture(params=[over_sockets, over_streams])
def pair(request: pytest.FixtureRequest) -> Any:
    link, send, leave = request.param()
    yield link, send, leave
    if isinstance(link, Link):
        link.sock.close()
        leave()


@pytest.mark.parametrize("stir", ["speak", "leave"])
async def test_watched_on_the_portable_driver(pair: Pair, stir: str) -> None:
    """A21: readable or at its end while idle means dropped."""
    link, send, leave = pair
    async with watching() as watch:
        pool = Pool(watch)
        pool.put(link)
        await wait_all_tasks_blocked()
        assert len(pool) == 1
        send(b"HTTP/1.1 408 Request Timeout\r\n\r\n") if stir == "speak" else leave()
        await wait_all_tasks_blocked()
        assert (len(pool), link.closed, pool.take(ONE)) == (0, True, None)


async def test_taken_away_from_the_watch(pair: Pair) -> None:
    """The task that takes it waits itself, and nothing that comes in the very moment is lost or reported twice."""
    link, send, leave = pair
    async with watching() as watch:
        pool = Pool(watch)
        for word in (b"one", b"two"):
            pool.put(link)
            await wait_all_tasks_blocked()
            if word == b"two":
                send(word)  # the watch is woken, and has not run yet
            assert pool.take(ONE, waiting=True) is link
            if word == b"one":
                send(word)
            assert await link.receive() == word
        assert not link.closed
        leave()
        assert await link.receive() == b""
        watch.close(link)


async def test_the_idle_timeout_for_real(pair: Pair, autojump_clock: trio.testing.MockClock) -> None:
    """A21: 60 s, within the second that deadlines are kept by; put again, it counts anew."""
    link, _, _ = pair
    async with watching() as watch:
        pool = Pool(watch, timeout=60.0)
        pool.put(link)
        await trio.sleep(50)
        assert pool.take(ONE) is link
        pool.put(link)
        await trio.sleep(59)
        assert len(pool) == 1
        await trio.sleep(2.5)
        assert (len(pool), link.closed) == (0, True)


async def test_a_bug_under_the_watch_costs_one_link(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    link, send, _ = pair
    failed: list[Exception] = []

    class Holder:
        def event(self, link: AnyLink, mask: int) -> None:
            raise ValueError("a bug")

        def expire(self, link: AnyLink, now: float) -> None: ...

        def stop(self, link: AnyLink) -> bool:
            return True

        def failed(self, link: AnyLink, error: Exception) -> None:
            failed.append(error)

    async with watching() as watch:
        link.holder = Holder()
        watch.take_up(link)
        await wait_all_tasks_blocked()
        send(b"x")
        await wait_all_tasks_blocked()
    assert [str(error) for error in failed] == ["a bug"]
    assert link.closed


async def test_a_link_that_died_in_the_moment_it_was_taken(pair: Pair) -> None:
    """A20: its exchange finds out, and sees that it is reused."""
    link, _, leave = pair
    async with watching() as watch:
        pool = Pool(watch)
        pool.put(link)
        taken = pool.take(ONE, waiting=True)
        leave()
        assert taken is link
        assert taken.reused
        try:
            await link.send(b"GET / HTTP/1.1\r\n\r\n")
            assert await link.receive() == b""
        except UpstreamError:
            pass  # which of the two comes is the kernel's business
        watch.close(link)


async def test_a_ticket_for_the_next_session_is_no_reason_to_drop_a_link() -> None:
    """TLS 1.3 sends it after the handshake; it is readable, and means nothing (RFC 8446 §4.6.1). Then A21 holds."""
    ca = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("backend.example").configure_cert(context)
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
    server = context.wrap_socket(theirs, server_side=True, do_handshake_on_connect=False)
    tls = ClientTls("backend.example", verify=False)
    client = tls.wrap(ours, ONE)
    for sock in (client, server, client, server):
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            pass  # the other side's turn
    link = Link(client, ONE, tls)
    async with watching() as watch:
        pool = Pool(watch, tls=tls)
        pool.put(link)
        await wait_all_tasks_blocked()
        assert len(pool) == 1
        assert pool.take(ONE, waiting=True) is link
        pool.put(link)
        server.close()
        await wait_all_tasks_blocked()
        assert len(pool) == 0
        assert link.closed
