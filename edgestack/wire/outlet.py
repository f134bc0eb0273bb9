"""The outlet of an application thread: what its answer goes through, on either driver.

    thread:  head -> piece -> piece -> finish            `ThreadOutlet` frames it, the driver's subclass moves it

On the lot it goes straight to the socket (`lot_outlet.py`), on the portable driver to a task (`portable_outlet.py`).

The ticket is taken before the first byte leaves: a thread that finds it gone gets `Disconnected` and its result is
dropped. The thread never reads and never closes (design: engine, rules 4 and 5).
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod

from edgestack.errors import Disconnected
from edgestack.http.bodies import FileSegment, Transform
from edgestack.http.messages import AppCall, Exchange, Response
from edgestack.wire.h1_answer import LAST_CHUNK, Framed, Tail, chunk, frame
from edgestack.wire.outbox import READ_BACK, Outbox
from edgestack.wire.overdue import taken

__all__ = ["WHOLE", "ThreadOutlet"]

log = logging.getLogger("edgestack.error")
_tail = Tail()
WHOLE = Framed(b"", chunked=False, keep=True, bare=False)
"""How a complete answer is framed that leaves in one piece."""


class ThreadOutlet(ABC):
    """Frames an answer. See `http.bodies.Outlet` for the contract; all on the application's thread."""

    __slots__ = ("_call", "_exchange", "_framed", "_gone", "_mine", "_outbox", "_over", "_response", "_transform")

    def __init__(self, exchange: Exchange, call: AppCall) -> None:
        self._exchange = exchange
        self._call = call
        self._response: Response | None = None
        self._transform: Transform | None = None
        self._framed: Framed | None = None
        self._outbox: Outbox | None = None
        self._gone = False
        self._mine = False
        """The ticket was taken here: nobody else answers."""
        self._over = False
        """Finished or broken: the connection is no longer ours."""

    @abstractmethod
    def _keep(self) -> bool:
        """Whether the server would go on with the connection after this answer."""

    @abstractmethod
    def _write(self, data: bytes) -> None:
        """Move some bytes. :raises Disconnected: nobody is there to read."""

    @abstractmethod
    def _write_file(self, head: bytes, segment: FileSegment) -> None:
        """Move a run of a file, `head` before it; closes the segment."""

    @abstractmethod
    def _done(self) -> None:
        """The answer is whole and on its way: set `_over`, and let go of the connection."""

    @abstractmethod
    def _break(self) -> None:
        """Break the connection."""

    @abstractmethod
    def _count_failure(self) -> None:
        """Count a bug of ours."""

    def run(self) -> None:
        """The job: call the application. The boundary for whatever escapes it (a bug of ours)."""
        try:
            if self._exchange.ticket:
                self._call.run(self)
            else:
                self._call.discard()  # the answer was given while this job waited for a thread
        except BaseException:
            log.exception("%s: an application call failed outside the application", self._exchange.request_id)
            self._count_failure()
        if not self._over:
            self.broken()

    @property
    def begun(self) -> bool:
        """Whether a byte of the answer has left."""
        return self._framed is not None

    def head(self, response: Response) -> None:
        """Set status and fields; nothing leaves yet."""
        self._response = response
        self._transform = response.transform

    def piece(self, data: bytes) -> None:
        """Send `data`, with the head before it if that is still here."""
        if not data:
            return
        if self._transform is not None:
            data = self._transform.feed(data)
        framed = self._framed
        if framed is None:
            self._write_first(self._begin(data))
        elif not framed.bare:
            self._exchange.bytes_out += len(data)
            try:
                self._write(chunk(data) if framed.chunked else data)
            except Disconnected:
                self._exchange.bytes_out -= len(data)
                raise

    def file(self, segment: FileSegment) -> None:
        """Send a run of a file by the road that static files take."""
        head = self._begin(b"") if self._framed is None else b""
        assert self._framed is not None
        if not (self._framed.bare or self._framed.chunked or self._transform is not None):
            self._write_file(head, segment)
            return
        if head:
            self._write_first(head)
        self._copy(segment)

    def _copy(self, segment: FileSegment) -> None:
        """A file where no plain run of bytes may leave: none of it for HEAD, chunks without a length, a transform."""
        assert self._framed is not None
        done = 0
        while not self._framed.bare and (data := bytes(segment.read(done, READ_BACK))):
            done += len(data)
            self.piece(data)

    def whole(self, response: Response, data: bytes) -> None:
        """A complete answer."""
        if response.transform is not None:
            data = response.transform.finish(data)
            self.whole(response.with_(length=len(data), transform=None), data)
            return
        self.head(response)
        try:
            self.piece(data)
        except Disconnected:
            self.broken()
            return
        self.finish()

    def _begin(self, data: bytes) -> bytes:
        """Take the ticket and frame the head; `data` is the first piece."""
        response, exchange = self._response, self._exchange
        assert response is not None
        self._take_ticket()
        body = response.body
        if type(body) is bytes and body:
            data = body + data
        self._framed = framed = frame(exchange, response, self._keep())
        exchange.status = response.status
        tail = b"%b%08x\r\n\r\n" % (_tail.refresh(), exchange.serial)
        if framed.bare or not data:
            return framed.head + tail
        exchange.bytes_out = len(data)
        return framed.head + tail + (chunk(data) if framed.chunked else data)

    def _take_ticket(self) -> None:
        if not taken(self._exchange):
            raise Disconnected(detail="the answer was given by somebody else")
        self._mine = True

    def finish(self) -> None:
        """The answer is whole: send what is held back, then let go of the connection."""
        try:
            if self._transform is not None:
                transform, self._transform = self._transform, None
                self.piece(transform.finish())
            if self._framed is None:
                self._finish_unbegun()
            elif self._framed.chunked:
                self._write(LAST_CHUNK)
        except Disconnected:
            self.broken()
            return
        self._done()

    def _finish_unbegun(self) -> None:
        """No piece came: the body is empty, and that is its length, unless HEAD hides what GET would have."""
        response = self._response
        assert response is not None
        if response.length is None and self._exchange.request.method != "HEAD":
            self._response = response.with_(length=len(response.body) if type(response.body) is bytes else 0)
        self._write_first(self._begin(b""))

    def _write_first(self, data: bytes) -> None:
        """Send the head and what comes with it. When that fails, nobody has seen anything of this answer."""
        try:
            self._write(data)
        except Disconnected:
            self._exchange.status, self._exchange.bytes_out = 499, 0
            raise

    def broken(self, why: str = "") -> None:
        """Break the connection: the client must see that the answer is not whole (F11)."""
        if self._over:
            return
        self._over = True
        if not (self._mine or taken(self._exchange)):
            return  # somebody else has answered, and has the connection
        if why:
            log.warning("%s: the answer is broken off: %s", self._exchange.request_id, why)
        if self._framed is None:
            self._exchange.status = 499 if self._gone else 500
        self._gone = True
        self._break()

    def left(self) -> bool:
        """Whether the client is known to have gone."""
        return self._gone or (self._outbox is not None and self._outbox.gone)
