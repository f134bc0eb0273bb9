"""The lot: where connections stand that have nothing to do, and where what need not wait is answered on the spot.

    turn():  poll -> for each event: holder None -> serve: read, heads, handle            (no task, no thread)
                                     else        -> the holder's `event`
             posted callbacks, queued connections, the answers sent, application jobs handed over, the doomed closed

Idle connections are registered level-triggered with one nested epoll, whose descriptor one trio task awaits. Only an
exchange that must wait gets a task; application code gets a thread and an Outlet; a slow reader gets a Sender; where
another server answers, `waiting.py` holds the client. The loop alone registers, reads and closes (`lot_books.py`). This
file knows no route, file or application: it calls `door.handle`.

One turn of one connection: at most 16 pipelined answers, then the back of the queue. Design: engine, rules 1, 2, 6, 11.
"""

from __future__ import annotations

import logging
import math
import socket
import ssl
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from edgestack.config.model import Limits, Timeouts
from edgestack.errors import ClientError, EdgeError, Refused
from edgestack.http.bodies import FileSegment
from edgestack.http.facts import Facts
from edgestack.http.messages import AppCall, Errand, Exchange, Response
from edgestack.wire.connection import QUEUED, READABLE, RECEIVE, WOULD_BLOCK, WRITABLE, Connection, Door
from edgestack.wire.exchange_task import ExchangeTask
from edgestack.wire.h1_answer import Tail, encode
from edgestack.wire.held_clock import Threads
from edgestack.wire.linger import Linger
from edgestack.wire.link import Link
from edgestack.wire.lot_books import Books, nothing
from edgestack.wire.lot_outlet import LotOutlet
from edgestack.wire.outbox import Budget, Outbox
from edgestack.wire.receiving import LotSource, ReceivedBody
from edgestack.wire.sender import Sender
from edgestack.wire.sending import begin, begin_file, begin_file_on_tls
from edgestack.wire.waiting import Waiting

if TYPE_CHECKING:
    from edgestack.wire.deadlines import Timed

__all__ = ["Lot"]

BATCH = 64
"""Events taken from one poll: what 32 to 64 busy connections fill, while others wait under 2 ms."""
ROUNDS = 4
"""Polls before trio's other tasks get their turn: a poll costs 1 µs, a round through trio 25."""
PIPELINED = 16
"""Answers to one connection in one turn."""

log = logging.getLogger("edgestack.error")


class Lot(Books):
    """All connections of one process, and the turn that serves them.

    :param threads: run application calls.
    :param clock: the serving clock, in seconds; safe on any thread.
    :param patience: seconds within which application code begins its answer.
    """

    __slots__ = (
        "_answers", "_jobs", "_lately", "_nursery", "_queue", "_serial", "_tail", "_tail_line", "draining", "lasting",
        "most", "patience", "spent", "spools", "threads",
    )  # fmt: skip

    def __init__(
        self,
        limits: Limits,
        timeouts: Timeouts,
        threads: Threads,
        clock: Callable[[], float],
        nursery: trio.Nursery,
        patience: float = math.inf,
    ) -> None:
        super().__init__(limits, timeouts, clock, self._expire)
        self.draining = False
        self._lately: set[Connection] = set()
        """Taken in, or given back, since a drain last closed what was idle: they may ask once more."""
        self.lasting = timeouts.keepalive > 0
        """Whether a connection may go on after an answer: neither draining, nor without keep-alive."""
        self.spools = Budget(limits.spools)
        self.threads = threads
        self.patience = patience
        self._nursery = nursery
        self._queue: deque[Connection] = deque()
        self._jobs: list[LotOutlet] = []
        self._answers: list[tuple[Connection, Exchange, Response]] = []
        self._tail = Tail()
        self._tail_line = self._tail.refresh()
        self._serial = 0
        self.most: float = math.inf
        """Requests after which `spent` is called, once."""
        self.spent: Callable[[], None] = nothing

    @property
    def requests(self) -> int:
        """How many came, readable ones and others."""
        return self._serial

    # -- the turn ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            if self._queue or self._posted:
                await trio.lowlevel.checkpoint()
            else:
                await trio.lowlevel.wait_readable(self._poller.fileno())
            self._turning = True
            self.turn()
            self._turning = False

    def turn(self) -> None:
        """Take what the poller has, in a few bounded batches, and answer what can be answered."""
        table, poll = self.table, self._poller.poll
        for _ in range(ROUNDS):
            events = poll(0, BATCH)
            if not events and not self._queue and not self._posted:
                return
            self.now = self.clock()
            self._tail_line = self._tail.refresh()
            self._gathering = True
            for fd, mask in events:
                connection = table.get(fd)
                if connection is None:
                    self._link_event(fd, mask)
                    continue
                try:
                    if connection.holder is None:
                        self._serve(connection)
                    else:
                        self._event(connection, mask)
                except Exception as error:  # the boundary: a bug ends this connection only
                    self.failed(connection, error)
            self._settle()
            if self._serial >= self.most:
                self.most = math.inf
                self.spent()

    def _event(self, connection: Connection, mask: int) -> None:
        """Something happened on a held connection: note it first, then see who holds it (connection.py's law)."""
        connection.pending = True
        holder = connection.holder
        if holder is None:
            self._serve(connection)
        else:
            holder.event(connection, mask)

    def _settle(self) -> None:
        """The end of a batch: what threads asked for, whose turn it is, what leaves together, new jobs, closing."""
        for _ in range(len(self._posted)):
            callback = self._posted.popleft()
            try:
                callback()
            except Exception:  # the last net: what concerns one connection is caught with it, in `guarded`
                self.count_failure()
                log.exception("a callback on the loop failed")
        for _ in range(len(self._queue)):
            connection = self._queue.popleft()
            if not connection.closed:
                connection.holder = None
                try:
                    self._answer(connection, started=False)
                except Exception as error:  # the boundary, as above
                    self.failed(connection, error)
        self._let_leave()
        if self._jobs:
            self.hand_over()
        if self._doomed or self._dropped:
            self._bury_all()

    def _let_leave(self) -> None:
        """Send what was gathered in this batch, one after the other."""
        self._gathering = False
        answers, leaving = self._answers, self._leaving
        if answers:
            self._answers = []
            for connection, exchange, answer in answers:
                connection.holder = None
                try:
                    self.reply(connection, exchange, answer)
                except Exception as error:  # the boundary, as above
                    self.failed(connection, error, exchange)
        if leaving:
            self._leaving = []
            for send, of in leaving:
                send(of)

    def hand_over(self) -> None:
        """Give this batch's application calls to the threads, all at once: fewer switches of the interpreter lock."""
        jobs, self._jobs = self._jobs, []
        for outlet in jobs:
            try:
                self.threads.queue(outlet.run)
            except Refused as error:
                self.guarded(outlet.connection, partial(outlet.refuse, error))
        self.threads.go()

    # -- one connection --------------------------------------------------------------------------------------------

    def admit(self, sock: socket.socket, facts: Facts, door: Door) -> Connection:
        """See `Books`."""
        connection = super().admit(sock, facts, door)
        if self.draining:
            self._lately.add(connection)
        return connection

    def _serve(self, connection: Connection) -> None:
        """Read once, and answer every complete head."""
        h1 = connection.h1
        left = len(h1.buffer)
        if left:  # a pipeline, seen before it was resumed: what is here comes before what may be the end
            self._answer(connection, started=True)
            if connection.holder is not None or connection.closed or len(h1.buffer) != left:
                return
        try:
            data = connection.receive(RECEIVE)
        except WOULD_BLOCK as blocked:
            if connection.tls:  # a key update may have to be answered first, and the socket is full
                owing = isinstance(blocked, ssl.SSLWantWriteError)
                self.watch(connection, READABLE | WRITABLE if owing else READABLE)
            return
        except ssl.SSLEOFError:
            data = b""
        except OSError:
            self.close(connection, hard=True)
            return
        if data:
            if left:
                h1.buffer += data
            else:
                h1.buffer = data
            self._answer(connection, started=left > 0)
            return
        error = h1.eof_error()
        if error is None:
            self.close(connection)
        else:
            self.refuse(connection, error)

    def _answer(self, connection: Connection, started: bool) -> None:
        """Answer the complete heads that were received.

        :param started: the head timer already runs for what is at the front of the buffer.
        """
        h1, door = connection.h1, connection.door
        for _ in range(PIPELINED):
            try:
                request = h1.next_request()
            except ClientError as error:
                self.refuse(connection, error)
                return
            if request is None:
                self._park(connection, started)
                return
            started = False
            self._serial = serial = self._serial + 1
            facts = connection.facts
            facts.requests += 1
            exchange = Exchange(facts, request, serial, self.now)
            if h1.framing is not None:
                request.body = ReceivedBody(LotSource(self, connection), h1.framing, h1, self.limits, self.timeouts)
            try:
                answer = door.handle(exchange)
                if type(answer) is Response:
                    if self._gathering and not h1.buffer:
                        connection.holder = QUEUED
                        self._answers.append((connection, exchange, answer))
                    elif self.reply(connection, exchange, answer) and h1.buffer:
                        continue
                    return
            except Exception as error:  # the boundary: a bug ends this connection only
                self.failed(connection, error, exchange)
                return
            if isinstance(answer, AppCall):
                self.call(connection, exchange, answer)
            elif isinstance(answer, Errand):
                Waiting(self, connection, exchange, answer).begin()
            else:
                self.wait(connection, exchange, answer)
            return
        self.queue(connection)

    def _park(self, connection: Connection, started: bool) -> None:
        """Nothing to do for now. A head that has begun must be whole in time; TLS may hold back what was read."""
        if connection.h1.buffer and not started:
            self.deadlines.watch(connection, self.now + self.timeouts.head)
        if connection.tls and connection.sock.pending():  # type: ignore[attr-defined]
            self.post(lambda: self.resume(connection))

    def reply(self, connection: Connection, exchange: Exchange, response: Response) -> bool:
        """Send an answer that is at hand. True: all of it left, and the connection may go on at once."""
        request = exchange.request
        if not (
            request.persistent
            and request.method != "HEAD"
            and connection.h1.framing is None
            and request.version == "HTTP/1.1"
            and self.lasting
        ):
            return begin(self, connection, exchange, response)
        if not response.at_once:
            if type(response.body) is FileSegment:
                exchange.head = encode(response)
                head = b"%b%b%08x\r\n\r\n" % (exchange.head, self._tail_line, exchange.serial)
                start = begin_file_on_tls if connection.tls else begin_file
                return start(self, connection, exchange, response, head)
            return begin(self, connection, exchange, response)
        body: bytes = response.body  # type: ignore[assignment] # that is what `at_once` says
        exchange.head = encoded = response.encoded or encode(response)
        data = b"%b%b%08x\r\n\r\n%b" % (encoded, self._tail_line, exchange.serial, body)
        exchange.status = response.status
        exchange.bytes_out = len(body)
        try:
            sent = connection.send(data)
        except WOULD_BLOCK:
            sent = 0
        except OSError:
            self.close(connection, hard=True)
            exchange.status, exchange.bytes_out = 499, 0  # the client left before its answer, as nginx has it
            exchange.break_off()
            return False
        if sent < len(data):
            offered = len(data) if connection.tls else 0
            return Sender(self, connection, exchange, Outbox(data[sent:]), True, sent > 0, offered).run()
        connection.deadline = self.now + self.timeouts.keepalive
        if exchange.ends:
            exchange.finish()
        return True

    def reply_together(self, connection: Connection, exchange: Exchange, response: Response) -> bool:
        """Send an answer with those of this batch, if nothing that came meanwhile is to be seen to afterwards."""
        if (
            not self._gathering
            or connection.interest != READABLE
            or connection.h1.buffer
            or not connection.bucket
            or connection.closed
            or self.draining
        ):
            return False
        connection.holder = QUEUED
        self._answers.append((connection, exchange, response))
        return True

    def call(
        self, connection: Connection, exchange: Exchange, call: AppCall, outlet_type: type[LotOutlet] | None = None
    ) -> None:
        """An application thread takes the exchange, at the end of this batch."""
        exchange.ticket = [None]
        outlet = (outlet_type or LotOutlet)(self, connection, exchange, call)
        connection.pending = connection.h1.buffer != b"" or connection.interest != READABLE
        connection.deadline = deadline = self.now + self.patience
        if not 0 < connection.bucket <= deadline:  # rarely: it stands in an early one after its first request
            self.deadlines.watch(connection, deadline)
        connection.holder = outlet
        self._jobs.append(outlet)

    def wait(self, connection: Connection, exchange: Exchange, answer: Any) -> None:
        """A task takes the exchange."""
        task = ExchangeTask(self, connection, exchange, answer)
        connection.pending = connection.h1.buffer != b""
        connection.deadline = math.inf
        connection.holder = task
        self._nursery.start_soon(task.run)

    def refuse(self, connection: Connection, error: EdgeError) -> None:
        """Answer what could not be read, and close (E1); the close lingers, so that the client sees the answer."""
        self.statistics.refused += 1
        self._serial += 1
        connection.facts.requests += 1
        exchange = Exchange(connection.facts, connection.h1.unreadable(), self._serial, self.now)
        exchange.ends = connection.door.ends
        begin(self, connection, exchange, connection.door.errors(exchange, error))

    # -- hand-overs --------------------------------------------------------------------------------------------------

    def queue(self, connection: Connection) -> None:
        """To the back of the queue: the rest in another turn. On the loop."""
        connection.holder = QUEUED
        self._queue.append(connection)
        self._soon()

    def give_back(self, connection: Connection, keep: bool) -> None:
        """The holder is done with it. On the loop; threads go through `resume`.

        :param keep: the connection may serve another exchange; otherwise it lingers and closes.
        """
        if connection.closed:
            return
        if not keep:
            Linger(self, connection).begin()
            return
        connection.deadline = self.now + self.timeouts.keepalive
        connection.holder = None
        self.resume(connection)

    def resume(self, connection: Connection) -> None:
        """It was given back while something was pending: register it again, and look at it now. On the loop."""
        if connection.closed or connection.holder is not None:
            return
        connection.pending = False
        self.watch(connection, READABLE)
        if self.draining:
            self._lately.add(connection)
        if connection.h1.buffer:
            self.queue(connection)
        else:
            self.deadlines.watch(connection, connection.deadline)
            self._serve(connection)

    def go_on(self, connection: Connection) -> None:
        """All of its answer left from a callback: see to what came meanwhile, if anything may have. On the loop."""
        if connection.interest != READABLE or connection.h1.buffer or self.draining or not connection.bucket:
            self.resume(connection)

    def adopt(self, limits: Limits, timeouts: Timeouts, threads: Threads, patience: float) -> None:
        """Other limits, timeouts and threads for what begins from now on (reload). On the loop."""
        if limits.spools != self.limits.spools:
            self.spools = Budget(limits.spools)  # what is on disk now counts against the old one
        self.limits, self.timeouts, self.threads, self.patience = limits, timeouts, threads, patience
        self.lasting = timeouts.keepalive > 0 and not self.draining

    # -- time and the end --------------------------------------------------------------------------------------------

    def _expire(self, timed: Timed, now: float) -> None:
        self.now = now
        if isinstance(timed, Link):
            self.link_expired(timed, now)
            return
        assert isinstance(timed, Connection)
        holder = timed.holder
        if holder is not None:
            self.guarded(timed, partial(holder.expire, timed, now))
        elif timed.deadline > now:  # a thread gave it back just now: it writes the deadline before the holder
            self.deadlines.watch(timed, timed.deadline)
        elif timed.h1.buffer:
            late = ClientError("The request's head took too long to arrive.", 408)
            self.guarded(timed, partial(self.refuse, timed, late))
        else:
            self.post(lambda: self.guarded(timed, partial(self._close_expired, timed)))

    def _close_expired(self, connection: Connection) -> None:
        """In a turn, whose events may have prolonged its time."""
        if connection.deadline <= self.now:
            self._close_unless_asked(connection)

    def _close_unless_asked(self, connection: Connection) -> None:
        """A request that is here already is answered: closing would reset it (RFC 9112 §9.3.1). In a turn."""
        self.resume(connection)
        if connection.holder is None and not connection.h1.buffer:
            self.close(connection)

    def drain(self) -> None:
        """From now on each answer is the last one of its connection (E10)."""
        self.draining = True
        self.lasting = False

    def close_idle(self) -> None:
        """Close the connections that wait for a request, but for those that were taken in or given back since the last
        time: these answers left with the promise that the connection goes on, and the client may be asking just now."""
        self.post(self._close_idle)

    def _close_idle(self) -> None:
        lately, self._lately = self._lately, set()
        for connection in list(self.table.values()):
            if connection.holder is None and not connection.h1.buffer and connection not in lately:
                self.guarded(connection, partial(self._close_unless_asked, connection))
                self._bury_all()  # each one at once: what its client sends between look and close is lost
        self._lately.intersection_update(self.table.values())

    def stop(self) -> None:
        """Wait no longer: every exchange in flight loses its connection. Tasks are cancelled by their nursery."""
        for connection in list(self.table.values()):
            connection.pending = True  # first, as with every event: a thread that gives it back now will say so
            holder = connection.holder
            closable = holder is None or holder.stop(connection)
            connection.shut()
            if closable:
                self.close(connection, hard=True)
        for link in list(self.links.values()):  # idle ones: those that served went with their clients
            assert link.holder is not None
            link.holder.stop(link)
            self.close(link)
        self._settle()
