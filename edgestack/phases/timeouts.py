"""A route's own timeouts: how long a request's body and the client that takes an answer may pause (nginx:
client_body_timeout, send_timeout, in a location).

The check notes them where the movers of bytes look: the send gap in `Exchange.flow`, the body gap on the body.
"""

from __future__ import annotations

from edgestack.config.model import RouteTimeouts
from edgestack.http.messages import Exchange, Flow

__all__ = ["TimeoutCheck", "route_timeouts"]


class TimeoutCheck:
    """The check, which refuses nobody."""

    __slots__ = ("_flow", "_section")

    def __init__(self, section: RouteTimeouts) -> None:
        self._section = section
        self._flow = Flow(send_gap=section.send_gap or 0.0)

    def __call__(self, exchange: Exchange) -> None:
        """Note them."""
        exchange.flow = self._flow
        body = exchange.request.body
        if body is not None and self._section.body_gap is not None:
            body.gap = self._section.body_gap

    def describe(self, exchange: Exchange) -> str:
        """What they are."""
        gaps = (("body", self._section.body_gap), ("send", self._section.send_gap))
        return ", ".join(f"{name} gap {gap:g} s" for name, gap in gaps if gap is not None)


def route_timeouts(section: RouteTimeouts) -> TimeoutCheck | None:
    """The check for a route's timeouts; None where they are the server's."""
    return TimeoutCheck(section) if section != RouteTimeouts() else None
