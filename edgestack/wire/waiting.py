"""Holds a client's connection while another party answers by callbacks, and sees off what comes of it.

    errand.begin(done) -> False: a task awaits it
                       -> True:  done(Response | error) -> settle (filters, error pages) -> see_off
                                 done(errand)           -> a task goes on
                                 the client leaves      -> errand.left(), 499     (design: engine, rule 8)

A client that has sent its FIN counts as gone; what it sends meanwhile is the next request, and waits unread. A bug on
this road ends this connection only (rule 7).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edgestack.errors import Disconnected, EdgeError
from edgestack.http.messages import Answer, AppCall, Errand, Exchange, Response
from edgestack.wire.carrying import carry
from edgestack.wire.connection import CLOSING, GONE, Connection
from edgestack.wire.relay import Relay
from edgestack.wire.sending import AT_HAND, given
from edgestack.wire.tunnel import Tunnel

if TYPE_CHECKING:
    from edgestack.wire.lot import Lot

__all__ = ["Waiting", "see_off"]


class Waiting:
    """Holds one connection for one errand."""

    __slots__ = ("_came", "_connection", "_errand", "_exchange", "_lot")

    def __init__(self, lot: Lot, connection: Connection, exchange: Exchange, errand: Errand) -> None:
        self._lot = lot
        self._connection = connection
        self._exchange = exchange
        self._errand = errand
        self._came = False
        """The answer is here, and leaves at the end of the batch."""

    def begin(self) -> None:
        """Begin the errand, by callbacks if it can. On the loop."""
        lot, connection = self._lot, self._connection
        connection.holder = self
        connection.deadline = math.inf
        try:
            begun = self._errand.begin(self.done)
        except Exception as error:  # the boundary
            lot.failed(connection, error, self._exchange)
            return
        if not begun:
            lot.wait(connection, self._exchange, self._errand)

    def done(self, came: Response | Errand | Exception) -> None:
        """What came of it; and the boundary for what fails with it."""
        lot, connection, exchange = self._lot, self._connection, self._exchange
        try:
            if type(came) is Response or (isinstance(came, EdgeError) and not isinstance(came, Disconnected)):
                settle = self._errand.settle
                answer: Answer
                if settle is not None:
                    answer = settle(exchange, came)
                else:
                    answer = came if isinstance(came, Response) else connection.door.errors(exchange, came)
                if type(answer) is not Response or type(answer.body) is not bytes:
                    see_off(lot, connection, exchange, answer)
                elif not lot.reply_together(connection, exchange, answer):
                    self._came = True
                    lot.leave_together(self._leave, answer)
            elif isinstance(came, Errand):
                lot.wait(connection, exchange, came)
            elif isinstance(came, Disconnected):
                exchange.break_off(499)
                lot.close(connection, hard=True)
            else:
                assert isinstance(came, Exception)
                raise came
        except Exception as error:
            if isinstance(came, Response) and isinstance(came.body, Relay | Tunnel):
                came.body.close()
            lot.failed(connection, error, exchange)

    def _leave(self, answer: Response) -> None:
        """At the end of the batch; and the boundary. The client may have left meanwhile."""
        lot, connection = self._lot, self._connection
        if not connection.closed:
            try:
                connection.holder = None
                if lot.reply(connection, self._exchange, answer):
                    lot.go_on(connection)
            except Exception as error:
                lot.failed(connection, error, self._exchange)

    def event(self, connection: Connection, mask: int) -> None:
        """The client left, or sends its next request."""
        if not mask & (GONE | CLOSING):
            self._lot.watch(connection, CLOSING)
            return
        if self._came and not mask & GONE:
            self._lot.watch(connection, 0)  # its end is seen again when the answer has left
            return
        self._lot.close(connection, hard=True)
        self._exchange.break_off(499)
        self._errand.left()

    def expire(self, connection: Connection, now: float) -> None:
        """An errand keeps its own time."""

    def stop(self, connection: Connection) -> bool:
        """The server waits no longer."""
        self._exchange.break_off(503)
        self._errand.left()
        return True


def see_off(lot: Lot, connection: Connection, exchange: Exchange, answer: Answer) -> None:
    """Whatever an exchange was given that had to wait, is moved by whoever can. On the loop, its holder lets go."""
    if type(answer) is Response:
        if type(answer.body) in AT_HAND:
            connection.holder = None
            if lot.reply(connection, exchange, answer):
                lot.go_on(connection)
        elif not carry(lot, connection, exchange, answer):
            lot.wait(connection, exchange, given(answer))
    elif isinstance(answer, AppCall):
        lot.call(connection, exchange, answer)
        lot.post(lot.hand_over)
    elif isinstance(answer, Errand):  # an error page that is another server's
        Waiting(lot, connection, exchange, answer).begin()
    else:
        lot.wait(connection, exchange, answer)
