"""Who moves a body that another server sends, on the lot: a Pump, or for a tunnel a Passage; nobody where it has none.

Both roads of a proxied exchange end here: the callback road (`waiting.py`) and the task that awaited its answer
(`exchange_task.py`), which is over then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgestack.http.messages import Exchange, Response
from edgestack.wire.connection import Connection
from edgestack.wire.h1_answer import bodiless
from edgestack.wire.link import Link
from edgestack.wire.pump import Pump
from edgestack.wire.relay import Relay
from edgestack.wire.sending import begin
from edgestack.wire.tunnel import Passage, Tunnel

if TYPE_CHECKING:
    from edgestack.wire.lot import Lot

__all__ = ["carry"]


def carry(lot: Lot, connection: Connection, exchange: Exchange, response: Response) -> bool:
    """Move the body of `response` by callbacks, where it comes from a link. On the loop; its holder lets go.

    :returns: False: nothing was done, it needs a task.
    """
    body = response.body
    if not (isinstance(body, Relay | Tunnel) and isinstance(body.link, Link)):
        return False
    try:
        if isinstance(body, Tunnel):
            Passage(lot, connection, exchange, response, body).begin()
        elif bodiless(exchange, response):
            body.close()
            if begin(lot, connection, exchange, response.with_(body=b"")):
                lot.go_on(connection)
        else:
            Pump(lot, connection, exchange, response, body).begin()
    except BaseException:
        body.close()
        raise
    return True
