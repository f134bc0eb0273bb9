"""One proxied exchange, on either of the two roads.

    begin    callback road: a kept link is at hand, and all of the request: it is sent at once, the link calls back
    fetch    task road: everything else, and what the callback road could not end; it knows what was tried

    pick ─► link ─► send, read the head ─► answering.py ─► Response, or where X-Accel-Redirect leads
      ▲              │ failed                 │ a status that another peer may better
      └──────────────┴──────── attempting.py ─┘

Peer and link are let go exactly once: when the body has ended, the attempt failed, or nobody wants it any more.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from edgestack.errors import Disconnected, EdgeError, UpstreamError
from edgestack.http.attempts import Attempts
from edgestack.http.jumps import Jump
from edgestack.http.messages import AppCall, Exchange, Response, settled
from edgestack.upstream.answering import Elsewhere, respond, respond_whole
from edgestack.upstream.attempting import Attempting
from edgestack.upstream.backend import Backend
from edgestack.upstream.payload import Payload, payload, payload_nowait
from edgestack.upstream.peers import NEVER, Peer
from edgestack.upstream.talk import Talk, too_slow
from edgestack.upstream.upgrade import asked_for, upgrade_fields
from edgestack.upstream.way import Way
from edgestack.wire.h1_client import ResponseReader, UpstreamHead, read_whole
from edgestack.wire.link import AnyLink, Link
from edgestack.wire.proxy_protocol import encode

__all__ = ["ProxyErrand"]

AT_ONCE = 64 * 1024
"""Bytes of a request that are sent without waiting: the send buffer of an idle connection takes them."""

Done = Callable[[Any], None]


class ProxyErrand(Attempting):
    """What an upstream answers to one exchange."""

    __slots__ = ("_came", "_done", "_elsewhere", "_payload", "_reader")

    def __init__(self, exchange: Exchange, way: Way, host: str, port: int, backend: Backend, uri: str) -> None:
        """
        :param host, port: of the target, as `$proxy_host` and `$proxy_port` have them.
        :param uri: the request-target that is sent.
        """
        self.exchange = exchange  # as Errand has it, and without the call
        self.interim = self.settle = None
        self.way = way
        self.backend = backend
        self.target = uri
        self.tries = 0
        self.peer = self.link = self.error = self._tried = None
        self.fresh = False
        self._first = NEVER
        self.attempts = attempts = Attempts(host, port)
        if exchange.attempts:  # of a route that led here
            attempts.extend(exchange.attempts)
        exchange.attempts = attempts
        self._payload: Payload | None = None
        self._reader: ResponseReader | None = None
        self._came: UpstreamHead | None = None
        """A head that the callback road has read, and whose status another peer may better."""
        self._elsewhere: Elsewhere | None = None
        self._done: Done | None = None

    # -- the task road -------------------------------------------------------------------------------------------------

    async def fetch(self) -> Response:
        """The answer.

        :raises EdgeError: there is none.
        """
        answer = await self._fetch()
        if isinstance(answer, Response):
            return answer
        raise EdgeError(status=500, detail="X-Accel-Redirect of what was asked by the server itself")

    async def _settled(self) -> Response | AppCall | Jump:
        settle = self.settle
        if settle is None:
            found = self._elsewhere or await self._fetch()
            return found.jump if isinstance(found, Elsewhere) else found
        came: Response | Elsewhere | EdgeError
        try:
            came = self._elsewhere or await self._fetch()
        except Disconnected:
            raise
        except EdgeError as error:
            came = error
        if not isinstance(came, Elsewhere):
            return await settled(settle(self.exchange, came))
        answer = await settled(settle(self.exchange, came.jump))
        return came.lend(answer) if isinstance(answer, Response) else answer

    async def _fetch(self) -> Response | Elsewhere:
        way = self.way
        try:
            if self._payload is None:
                self._payload = await payload(self.exchange, way.limit, buffering=way.section.request_buffering)
            return await self._attempts(self._payload)
        except BaseException:
            self.over(self.now(), reusable=False)
            raise
        finally:
            if self._payload is not None:
                self._payload.close()

    async def _attempts(self, body: Payload) -> Response | Elsewhere:
        """Until one attempt gives the answer, or nothing more is to be tried."""
        if self._came is not None:
            assert self._reader is not None
            head, reader, self._came = self._came, self._reader, None
            if not self.betters(head, gone=False, reusable=reader.reusable):
                self._release_to_task()
                return respond(self, head, reader)
        while True:
            peer = await self.wait()
            self.began(peer, self.now())
            try:
                talk, head = await self._ask(peer, body)
                if not self.betters(head, gone=body.gone, reusable=talk.reader.reusable and talk.link.lasting):
                    return respond(self, head, talk.reader, talk.ahead)
                if talk.ahead is not None:
                    talk.ahead.close()
            except UpstreamError as error:
                if self.peer is None or not self.lost(error, sent=self.link is not None, gone=body.gone):
                    raise

    async def _ask(self, peer: Peer, body: Payload) -> tuple[Talk, UpstreamHead]:
        """One attempt."""
        section = self.way.section
        link = None if self.fresh or self.way.proxy_protocol else self.backend.idle(peer, waiting=True)
        if link is None:
            version = self.way.proxy_protocol
            preface = encode(version, self.exchange.facts) if version else b""
            link = await self.backend.dial(peer, preface, section.connect_timeout)
        self.connected(link)
        talk = Talk(
            link, self.exchange.request.method, self.attempt, send_gap=section.send_timeout,
            read_gap=section.read_timeout, interim=self._hinted if self._hints() else None,
        )  # fmt: skip
        head = await talk.ask(self._head(body.framing), body)
        self.answered(head, self.now())
        return talk, head

    def _hints(self) -> bool:
        """B16: whether 103 is passed on."""
        request = self.exchange.request
        return self.way.early_hints and self.interim is not None and request.version == "HTTP/1.1"

    async def _hinted(self, head: UpstreamHead) -> None:
        assert self.interim is not None
        fields = self.way.answer.read(self.exchange, head).fields
        lines = "".join([f"{name}: {value}\r\n" for name, value in fields])
        await self.interim(f"HTTP/1.1 103 Early Hints\r\n{lines}\r\n".encode("latin-1"))

    def _head(self, framing: bytes) -> bytes:
        request = self.exchange.request
        wanted = asked_for(request) if "upgrade" in request.fields else ""
        connection = upgrade_fields(wanted) if wanted else self.backend.connection
        return self.way.head.encode(self.exchange, self.target, self.attempts.host, framing, connection)

    # -- the callback road ---------------------------------------------------------------------------------------------

    def begin(self, done: Done) -> bool:
        """Send the request on a kept link, if there is one and nothing else to wait for."""
        exchange = self.exchange
        way, backend, request = self.way, self.backend, exchange.request
        if way.unhurried or "upgrade" in request.fields or (backend.unresolved is not None and not backend.ready()):
            return False
        keeper = backend.keeper
        now = keeper.now
        framing = content = b""
        try:
            if request.body is not None:
                body = self._payload = payload_nowait(exchange, way.limit)
                if body is None or body.whole is None:
                    return False
                framing, content = body.framing, body.whole
            data = way.head.encode(exchange, self.target, self.attempts.host, framing, backend.connection) + content
            if len(data) > AT_ONCE:
                return False
            peer = self.peer = backend.group.lone(now) or backend.group.pick(exchange, self.chosen(), now)
        except EdgeError:
            return False  # the task road meets it again, and says so
        link = backend.idle(peer)
        if not isinstance(link, Link):
            if link is not None:
                backend.give_back(link, peer, now, reusable=True)
            return False
        self.began(peer, now)
        self.link = link
        self.attempt.connect_time = 0.0
        self._done = done
        link.holder = self
        link.deadline = now + way.section.read_timeout
        keeper.take_up(link)
        keeper.leave_together(self._send, data)
        return True

    def _send(self, data: bytes) -> None:
        """At the end of the batch; and the boundary. The link may have died meanwhile, or the client have left."""
        link = self.link
        if not isinstance(link, Link) or link.holder is not self:
            return
        try:
            sent = link.send_nowait(data)
            if sent < len(data):  # a request that is not whole was not acted upon
                raise UpstreamError(detail=f"{link.peer}: took {sent} bytes")
            self.attempt.bytes_sent = sent
        except UpstreamError as error:
            self._failed(error)
        except Exception as error:
            self.backend.keeper.close(link)
            self.failed(link, error)

    def event(self, link: Any, mask: int) -> None:
        """The link is readable, or has ended (`wire.link.LinkHolder`)."""
        try:
            while True:
                data = link.receive_nowait()
                if data is None:
                    return
                if not self.attempt.bytes_sent:  # it came while the link was idle, and answers nothing
                    raise UpstreamError(detail=f"{link.peer}: ended, or spoke, before it was asked")
                self.attempt.bytes_received += len(data)
                if self._read(data):
                    return
                link.deadline = self.now() + self.way.section.read_timeout
                if not link.held_back():
                    return
        except UpstreamError as error:
            self._failed(error)

    def _read(self, data: bytes) -> bool:
        """Take what came. True: the final head was among it."""
        reader = self._reader
        if reader is None:
            method = self.exchange.request.method
            whole = read_whole(data) if method != "HEAD" else None
            if whole is not None and whole[0].status not in self.way.rules.statuses:
                self._give(respond_whole, *whole)
                return True
            reader = self._reader = ResponseReader(method)
        reader.feed(data) if data else reader.eof()
        while (head := reader.next_head()) is not None:
            if head.status >= 200 or head.status == 101:
                self.answered(head, self.now())
                self._answered(head, reader)
                return True
        return False

    def _answered(self, head: UpstreamHead, reader: ResponseReader) -> None:
        if self.may_better(head, gone=False):
            self._came = head
            self._release_to_task()
            self._call(self)
        else:
            self._give(respond, head, reader)

    def _give(
        self, make: Callable[..., Response | Elsewhere], head: UpstreamHead, rest: bytes | ResponseReader
    ) -> None:
        try:
            came: Any = make(self, head, rest)
        except UpstreamError as error:
            if self.peer is not None:  # within the attempt: an answer that is none
                raise
            came = error
        except EdgeError as error:
            came = error
        if type(came) is Elsewhere:
            self._elsewhere, came = came, self
        done, self._done = self._done, None
        if done is not None:
            done(came)

    def _failed(self, error: UpstreamError) -> None:
        """The attempt failed: a task goes on, or there is no more to try."""
        on = self.lost(error, sent=self.attempt.bytes_sent > 0, gone=False)
        self._reader = None
        self._call(self if on else error)

    def expire(self, link: Any, now: float) -> None:
        """Nothing came for the whole gap (A23)."""
        self._failed(too_slow(f"{link.peer}: nothing came for {self.way.section.read_timeout:g} s"))

    def stop(self, link: Any) -> bool:
        """The server stops; the client's side says what becomes of it."""
        self.left()
        return True

    def failed(self, link: Any, error: Exception) -> None:
        """A bug on this road; the link is closed already."""
        self.over(self.now(), reusable=False)
        self._call(error)

    def left(self) -> None:
        """Nobody waits for the answer any more."""
        self._done = None
        self.over(self.now(), reusable=False)

    def _call(self, came: Any) -> None:
        done, self._done = self._done, None
        if done is not None:
            done(came)

    def _release_to_task(self) -> None:
        """A task is going to use the link."""
        link: AnyLink | None = self.link
        if link is not None:
            link.deadline = math.inf
            self.backend.keeper.let_go(link)
