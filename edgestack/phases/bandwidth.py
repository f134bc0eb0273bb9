"""How fast an answer leaves: `limit.bandwidth` (nginx: limit_rate). The pacing itself is `wire/pace.py`'s.

    exchange.flow says the rate -> answers get a body in one tuple, application calls an await around them

The wire's shortest roads (head and body in one send, a file by one sendfile, an application thread straight to the
socket) look at nothing of the kind, since they are everybody's. They take neither tuples nor what is awaited: so both
come to a Sender, which looks.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgestack.config.model import Limit
from edgestack.http.bodies import FileSegment
from edgestack.http.jumps import Jump
from edgestack.http.messages import Answer, AppCall, Exchange, Flow, Handler, Response, change_once, settled

__all__ = ["Bandwidth", "bandwidth"]


class Bandwidth:
    """The wrap."""

    __slots__ = ("rate",)

    def __init__(self, rate: int) -> None:
        """:param rate: bytes a second."""
        self.rate = rate

    def __call__(self, handler: Handler) -> Handler:
        """The handler whose answers are paced."""

        def paced(exchange: Exchange) -> Answer:
            known: Flow | None = getattr(exchange, "flow", None)
            exchange.flow = Flow(self.rate, known.send_gap if known is not None else 0.0)
            answer = handler(exchange)
            return change_once(answer, self, _apart) if isinstance(answer, Response) else self._later(answer)

        return paced

    async def _later(self, answer: Answer) -> Response | AppCall | Jump:
        result = await settled(answer)
        return change_once(result, self, _apart) if isinstance(result, Response) else result

    def describe(self, exchange: Exchange) -> str:
        """The rate."""
        return f"the answer leaves at {self.rate} bytes a second"


def bandwidth(limits: Sequence[Limit]) -> Bandwidth | None:
    """The wrap for the limits that have a bandwidth, the smallest of several; None where none has."""
    rate = min((limit.bandwidth for limit in limits if limit.bandwidth is not None), default=None)
    return None if rate is None else Bandwidth(rate)


def _apart(response: Response) -> Response:
    """The same answer in a form that no shortest road takes."""
    body = response.body
    if (type(body) is bytes and body) or type(body) is FileSegment:
        return response.with_(body=(body,))
    return response
