"""Forced orders of what the loop and a thread do to the same connection (rule 2): no wake-up is lost in any of them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
import trio
from lot_kit import GET, PATIENCE, Sequence, open_lot, say
from trio.testing import wait_all_tasks_blocked

from edgestack.config.model import Limits, Timeouts
from edgestack.errors import Disconnected
from edgestack.http.bodies import Outlet
from edgestack.http.messages import Response
from edgestack.wire import lot as lot_module
from edgestack.wire import lot_books as books_module
from edgestack.wire import lot_outlet as outlet_module
from edgestack.wire.connection import Connection, Holder
from edgestack.wire.deadlines import Deadlines, Timed
from edgestack.wire.lot_outlet import LotOutlet
from edgestack.wire.outbox import Outbox


class Watched(Connection):
    """A connection that tells a sequence of each read and write of `pending` and `holder`, before it happens."""

    __slots__ = ("_holder", "_loop", "_noted", "_pending", "sequence")

    sequence: Sequence | None

    def __init__(self, *args: Any) -> None:
        self.sequence = None
        self._holder = None
        self._noted = False
        self._loop = threading.get_ident()
        super().__init__(*args)

    def _tell(self, loop: str, thread: str) -> None:
        if self.sequence is not None:
            on_loop = threading.get_ident() == self._loop
            name = loop if on_loop else thread
            if name and (self.sequence.armed or not on_loop):
                self.sequence.step(name)

    @property
    def holder(self) -> Holder | None:
        self._tell("reads-holder" if self._noted else "looks", "")
        return self._holder

    @holder.setter
    def holder(self, holder: Holder | None) -> None:
        self._tell("", "gives-back" if holder is None else "")
        self._holder = holder

    @property
    def pending(self) -> bool:
        self._tell("", "reads-pending")
        return self._pending

    @pending.setter
    def pending(self, pending: bool) -> None:
        if pending and self._holder is not None:  # otherwise it is `Lot.call`, which hands it over
            self._tell("notes", "")
            self._noted = threading.get_ident() == self._loop
        self._pending = pending


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books_module, "Connection", Watched)


EVENT_AND_GIVING_BACK = [
    "gives-back reads-pending looks",
    "gives-back looks reads-pending",
    "looks gives-back reads-pending notes reads-holder",
    "looks gives-back notes reads-pending reads-holder",
    "looks gives-back notes reads-holder reads-pending",
    "looks notes gives-back reads-pending reads-holder",
    "looks notes gives-back reads-holder reads-pending",
    "looks notes reads-holder gives-back reads-pending",
]
"""All orders of the loop (looks, and then, where it saw a holder: notes, reads-holder) and the thread."""


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("order", EVENT_AND_GIVING_BACK)
@pytest.mark.parametrize("what", ["request", "end", "both"])
async def test_an_event_while_a_thread_gives_back(order: str, what: str) -> None:
    """Rule 2: the next request is answered, and the client's end is seen, whoever comes first."""
    async with open_lot(lambda exchange: say) as kit:
        client = kit.connect()
        assert isinstance(client.connection, Watched)
        sequence = client.connection.sequence = Sequence(order)
        client.sock.send(GET)
        await client.answer()
        if what != "end":
            client.sock.send(GET)
        if what != "request":
            client.sock.shutdown(1)
        sequence.arm()
        if what != "end":
            await client.answer()
        if what != "request":
            assert await client.ended()
        await kit.quiet()
        assert sequence.done(), sequence.failed
        assert len(kit.finished) == (1 if what == "end" else 2)
        assert len(kit.lot.table) == (what == "request")


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("order", EVENT_AND_GIVING_BACK)
async def test_the_end_of_a_pipeline_while_a_thread_gives_back(order: str) -> None:
    """Rules 2 and 8: a second request is here already, behind the one that the thread answers; then comes the end."""
    async with open_lot(lambda exchange: say) as kit:
        client = kit.connect()
        assert isinstance(client.connection, Watched)
        sequence = client.connection.sequence = Sequence(order)
        client.sock.send(GET * 2)
        await client.answer()
        client.sock.shutdown(1)
        sequence.arm()
        await client.answer()
        assert await client.ended()
        await kit.quiet()
        assert sequence.done(), sequence.failed
        assert [line.status for line in kit.finished] == [200, 200]


@pytest.mark.usefixtures("watched")
async def test_a_thread_posts_for_a_connection_that_is_closed_by_then() -> None:
    """Rules 2 and 6: given back, seen by the loop, closed, its descriptor used again; then the thread goes on."""
    async with open_lot(lambda exchange: say) as kit:
        client = kit.connect()
        assert isinstance(client.connection, Watched)
        sequence = client.connection.sequence = Sequence("gives-back reads-pending")
        client.sock.send(GET)
        await client.answer()
        posted: list[Callable[[], None]] = []
        post = kit.lot.post

        def count(callback: Callable[[], None]) -> bool:
            posted.append(callback)
            return post(callback)

        fd = client.connection.fd
        sequence.order = ["gives-back"]  # the thread stops before it reads `pending`
        gate = threading.Event()
        client.connection.sequence = None
        original = Watched.pending.fget
        assert original is not None

        def stopped(connection: Watched) -> bool:
            if threading.get_ident() != connection._loop:
                assert gate.wait(PATIENCE)
            return original(connection)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(books_module.Books, "post", lambda _, callback: count(callback))
            patch.setattr(Watched, "pending", property(stopped, Watched.pending.fset))
            sequence.arm()
            while client.connection._holder is not None:
                await wait_all_tasks_blocked(0.001)
            client.sock.close()
            await wait_all_tasks_blocked()
            assert client.connection.closed
            assert kit.lot.table == {}
            again = kit.connect()
            assert again.connection.fd == fd
            gate.set()
            await kit.quiet()
        again.sock.send(GET)
        await again.answer()
        assert kit.lot.statistics.failures == 0


# -- the ticket --------------------------------------------------------------------------------------------------------


class LedOutlet(LotOutlet):
    """An outlet that waits before and after it takes the ticket."""

    __slots__ = ()
    sequence: Sequence

    def _take_ticket(self) -> None:
        led = threading.current_thread() is not threading.main_thread()
        if led:
            self.sequence.step("takes")
        super()._take_ticket()
        if led:
            self.sequence.step("writes")


@pytest.mark.parametrize(
    ("order", "answered"), [("stops takes", False), ("takes stops stopped writes", False), ("takes writes stops", True)]
)
async def test_the_server_stops_while_a_thread_answers(
    order: str, answered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 4: whoever takes the ticket answers; nothing of a late answer leaves; one line in the log either way."""
    sequence = LedOutlet.sequence = Sequence(order)
    monkeypatch.setattr(lot_module, "LotOutlet", LedOutlet)
    async with open_lot(lambda exchange: say) as kit:
        client = kit.connect()
        client.sock.send(GET)
        await wait_all_tasks_blocked(0.01)
        sequence.arm()
        if answered:
            await client.answer()
            await kit.quiet()
        sequence.step("stops")
        closed_at_once = order.startswith("stops")
        kit.lot.stop()
        assert (client.connection.sock.fileno() < 0) == (closed_at_once or answered)
        sequence.step("stopped")
        await kit.quiet()
        assert client.connection.sock.fileno() < 0
        assert sequence.done(), sequence.failed
        assert await client.ended()
        assert [exchange.status for exchange in kit.finished] == [200 if answered else 503 if closed_at_once else 499]


async def test_a_job_that_waited_for_a_thread_is_not_begun_after_the_stop() -> None:
    """Rule 4: its ticket is gone; its body is closed; the application is not called."""
    gate, arrived, said = threading.Event(), threading.Event(), []

    def slow(outlet: Outlet) -> None:
        arrived.set()
        assert gate.wait(PATIENCE)
        said.append(1)
        say(outlet)

    async with open_lot(lambda exchange: slow, threads=1) as kit:
        clients = [kit.connect() for _ in range(2)]
        for client in clients:
            client.sock.send(GET)
        assert await trio.to_thread.run_sync(arrived.wait, PATIENCE)
        await wait_all_tasks_blocked()
        kit.lot.stop()
        gate.set()
        await kit.quiet()
        assert said == [1]
        assert [exchange.status for exchange in kit.finished] == [503, 503]


# -- the outbox --------------------------------------------------------------------------------------------------------

AFTER_IT_RAN_DRY = {
    "nothing, then close": [b""],
    "put": [b"x" * 10, b""],
    "put and close": [b"x" * 10],
    "puts and close": [b"x" * 10, b"y" * 20, b"z" * 70_000],
}


@pytest.mark.parametrize("pieces", AFTER_IT_RAN_DRY.values(), ids=AFTER_IT_RAN_DRY)
@pytest.mark.parametrize("chunked", [True, False], ids=["chunks", "length"])
async def test_a_sender_that_ran_dry(pieces: list[bytes], chunked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 5: the taker finds nothing; before it can say so the thread puts the rest, and closes: nothing is lost."""
    dry, filled = threading.Semaphore(0), threading.Semaphore(0)
    first = os.urandom(300_000)

    class Slow(Outbox):
        """Stops its taker, once, between finding nothing and believing it."""

        __slots__ = ()
        stops = 1

        def take(self) -> Any:
            piece = super().take()
            if piece is None and self.lock is not None and not self.closed and Slow.stops:
                Slow.stops = 0
                dry.release()
                assert filled.acquire(timeout=PATIENCE)
            return piece

    monkeypatch.setattr(outlet_module, "Outbox", Slow)
    whole = first + b"".join(pieces)

    def write(outlet: Outlet) -> None:
        outlet.head(Response(200, (), (), None if chunked else len(whole)))
        outlet.piece(first)
        assert dry.acquire(timeout=PATIENCE)
        for piece in pieces:
            outlet.piece(piece)
        outlet.finish()
        filled.release()

    async with open_lot(lambda exchange: write if exchange.request.target == "/" else say) as kit:
        client = kit.connect(send_buffer=4096)
        client.sock.send(GET)
        said = b""
        while len(said) < len(whole) or not said.endswith(b"0\r\n\r\n" if chunked else whole[-10:]):
            said += await client.read()
        body = said.partition(b"\r\n\r\n")[2]
        assert len(body) > len(whole) if chunked else body == whole
        client.sock.send(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.answer()
        await kit.quiet()
        assert [exchange.bytes_out for exchange in kit.finished] == [len(whole), 5]


@pytest.mark.parametrize("when", ["before the sender begins", "while it waits", "when it is dry"])
async def test_the_answer_is_broken_off_behind_a_sender(when: str) -> None:
    """F11: what was written leaves, then the connection breaks; nothing hangs."""
    gate = threading.Semaphore(0)
    first = os.urandom(300_000)

    def write(outlet: Outlet) -> None:
        outlet.head(Response(200, (), b"", 1_000_000))
        outlet.piece(first)
        if when != "before the sender begins":
            assert gate.acquire(timeout=PATIENCE)
        outlet.broken("a test")

    async with open_lot(lambda exchange: write) as kit:
        client = kit.connect(send_buffer=4096)
        client.sock.send(GET)
        said = b""
        if when == "while it waits":
            await wait_all_tasks_blocked(0.01)
            gate.release()
        while len(said) < len(first):
            said += await client.read()
            if when == "when it is dry" and said.endswith(first[-10:]):
                await wait_all_tasks_blocked()
                gate.release()
        assert said.endswith(first)
        assert await client.ended()
        await kit.quiet()
        assert kit.lot.table == {}
        assert [exchange.bytes_out for exchange in kit.finished] == [len(first)]


@pytest.mark.parametrize("when", ["waiting for room", "between two pieces"])
async def test_the_client_leaves_while_a_thread_fills_the_outbox(when: str) -> None:
    """Rule 5, F8: the thread is told at once, and not after the send gap."""
    gate, told = threading.Semaphore(0), []

    def write(outlet: Outlet) -> None:
        outlet.head(Response(200, (), (), None))
        try:
            for _ in range(1000):
                outlet.piece(b"x" * 100_000)
                if when == "between two pieces" and not told:
                    told.append("stopped")
                    assert gate.acquire(timeout=PATIENCE)
        except Disconnected:
            told.append("left")
            outlet.broken()

    async with open_lot(lambda exchange: write, limits=Limits(spool=300_000)) as kit:
        client = kit.connect(send_buffer=4096)
        client.sock.send(GET)
        await client.read()
        await wait_all_tasks_blocked(0.05)
        client.sock.close()
        await wait_all_tasks_blocked(0.01)
        gate.release()
        await kit.quiet()
        assert told[-1] == "left"
        assert kit.lot.table == {}
        assert kit.lot.spools.held == 0
        assert [exchange.status for exchange in kit.finished] == [200]


# -- deadlines ---------------------------------------------------------------------------------------------------------


class Prolonged:
    """A timed thing whose deadline another thread writes at a chosen moment of the sweep."""

    def __init__(self, moment: str) -> None:
        self.moment = moment
        self.written = False
        self._deadline = 5.0
        self._bucket = 0
        self.read_bucket = -1

    def thread(self) -> None:
        """As `LotOutlet._done` does: first the deadline, then a look at the bucket."""
        if not self.written:
            self.written = True
            self._deadline = 80.0
            self.read_bucket = self._bucket

    @property
    def bucket(self) -> int:
        return self._bucket

    @bucket.setter
    def bucket(self, bucket: int) -> None:
        if self.moment == "before the bucket is left" and not bucket:
            self.thread()
        self._bucket = bucket
        if self.moment == "after the bucket is left" and not bucket:
            self.thread()

    @property
    def deadline(self) -> float:
        deadline = self._deadline
        if self.moment == "after the deadline is read" and not self._bucket:
            self.thread()
        return deadline

    @deadline.setter
    def deadline(self, deadline: float) -> None:
        self._deadline = deadline


@pytest.mark.parametrize(
    "moment", ["before the bucket is left", "after the bucket is left", "after the deadline is read"]
)
@pytest.mark.parametrize("before", [float("inf"), 30.0], ids=["held", "prolonged"])
def test_a_thread_writes_a_deadline_during_the_sweep(moment: str, before: float) -> None:
    """Rules 2 and 13: either the sweep sees it, or the thread sees that it stands in no bucket, and posts."""
    expired: list[Timed] = []
    deadlines = Deadlines(lambda timed, now: expired.append(timed), lambda: 0.0)
    timed = Prolonged("")
    deadlines.watch(timed, 5.0)
    timed.deadline = before
    timed.moment = moment
    deadlines.sweep(6.0)
    assert timed.written
    assert not expired
    if timed.read_bucket == 0:  # then the thread posts `resume`, which watches it
        deadlines.watch(timed, timed.deadline)
    deadlines.sweep(82.0)
    deadlines.sweep(83.0)
    assert expired == [timed]


# -- posting -----------------------------------------------------------------------------------------------------------


async def test_a_callback_posted_between_the_last_look_and_the_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop has found nothing to do and is about to wait: what is posted just then wakes it."""
    async with open_lot(lambda exchange: say) as kit:
        await wait_all_tasks_blocked()
        ran = threading.Event()
        original = trio.lowlevel.wait_readable
        poller = kit.lot._poller.fileno()
        posts = 3

        async def wait(fd: Any) -> None:
            nonlocal posts
            if fd == poller and posts:
                posts -= 1
                thread = threading.Thread(target=kit.lot.post, args=(ran.set if not posts else str,))
                thread.start()
                thread.join()
            await original(fd)

        monkeypatch.setattr(trio.lowlevel, "wait_readable", wait)
        kit.lot.post(str)
        await wait_all_tasks_blocked(0.01)
        assert ran.is_set()
        assert posts == 0


async def test_posting_to_a_loop_that_has_gone() -> None:
    """Rule 6: nothing is written to a descriptor that may be somebody else's by now."""
    async with open_lot(lambda exchange: say) as kit:
        wake = kit.lot._wake
    reader, writer = os.pipe()
    if writer != wake:
        os.dup2(writer, wake)
        os.close(writer)
    assert kit.lot.post(str) is False
    os.close(wake)
    assert os.read(reader, 100) == b""
    os.close(reader)


async def test_a_deadline_that_a_thread_sets_is_kept(mock_clock: Any) -> None:
    """Rule 13: after an answer of the application keep-alive runs, whatever the bucket was."""
    async with open_lot(lambda exchange: say, timeouts=Timeouts(keepalive=20.0)) as kit:
        client = kit.connect()
        for _ in range(5):
            client.sock.send(GET)
            while b"hello" not in client.received:
                await wait_all_tasks_blocked(0.001)
                try:
                    client.received += client.sock.recv(65536)
                except BlockingIOError:
                    continue
            client.received = b""
            await kit.quiet()
            mock_clock.jump(15)
            await wait_all_tasks_blocked()
            assert not client.connection.closed
        mock_clock.jump(6.1)
        await wait_all_tasks_blocked()
        assert client.connection.closed


@pytest.mark.parametrize("why", ["drain", "expiry"])
async def test_a_request_comes_just_before_its_connection_is_closed(why: str) -> None:
    """RFC 9112 §9.3.1: the close finds it in the socket, and it is answered; whoever asks nothing is let go."""
    async with open_lot(lambda exchange: say) as kit:
        quick, silent = kit.connect(), kit.connect()
        for client in (quick, silent):
            client.sock.send(GET)
            await client.answer()
        await kit.quiet()
        lot = kit.lot

        def close() -> None:  # behind the poller's back: this turn's events were looked at
            quick.sock.send(GET)
            if why == "drain":
                lot.drain()
                lot.close_idle()
            else:
                later = trio.current_time() + lot.timeouts.keepalive + 1
                for client in (quick, silent):
                    client.connection.deadline = lot.now  # their time is up
                lot.deadlines.sweep(later)

        lot.post(close)
        await quick.answer()
        assert await silent.ended()
        assert lot.statistics.failures == 0
        assert [one.status for one in kit.finished] == [200, 200, 200]
