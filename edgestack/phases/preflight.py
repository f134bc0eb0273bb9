"""Answers CORS preflight requests for routes with `preset = "cors"` (the Fetch standard, §3.2.2; its fields are the
preset's own header rules and those here).

    OPTIONS with Origin and Access-Control-Request-Method -> 204: every method and field, for a day | else nothing

Browsers send them without credentials, so they are answered before any password is asked for. `*` stands for every
field but Authorization, which has to be named.
"""

from __future__ import annotations

from collections.abc import Collection

from edgestack.http.messages import Exchange, Response

__all__ = ["Preflight", "preflight"]

AGE = 86400
"""Seconds that the answer is kept; browsers cut it to their own limit (Chromium two hours, Firefox a day)."""

ANSWER = Response(
    204,
    (
        ("Access-Control-Allow-Origin", "*"),
        ("Access-Control-Allow-Methods", "*"),
        ("Access-Control-Allow-Headers", "*, Authorization"),
        ("Access-Control-Max-Age", str(AGE)),
    ),
)


class Preflight:
    """The check."""

    __slots__ = ()

    def __call__(self, exchange: Exchange) -> Response | None:
        """The answer to a preflight request."""
        return ANSWER if _asked(exchange) else None

    def describe(self, exchange: Exchange) -> str:
        """What it is."""
        return "a CORS preflight: answered with 204" if _asked(exchange) else "no CORS preflight"


def preflight(presets: Collection[str]) -> Preflight | None:
    """The check for a route with these presets; None where "cors" is not among them."""
    return Preflight() if "cors" in presets else None


def _asked(exchange: Exchange) -> bool:
    request = exchange.request
    fields = request.fields
    return request.method == "OPTIONS" and "origin" in fields and "access-control-request-method" in fields
