"""Content that the configuration says itself: redirects, and answers that are always the same, or nearly.

    Redirect     to the same target under another scheme      ToHost    at another host (canonical)
    RedirectTo   wherever a template says
    Respond      one answer for all    RespondWith    a template's    Fails    an error's page

Pure handlers: no file, no socket, no waiting. All answer at once with a `Response`, or raise.
"""

from __future__ import annotations

from edgestack.errors import ClientError, Refused
from edgestack.http.forwarding import ForwardedFacts
from edgestack.http.messages import Exchange, FieldPairs, Response
from edgestack.http.variables import Constant, Template

__all__ = ["Fails", "Redirect", "RedirectTo", "Respond", "RespondWith", "ToHost"]

DEFAULT_PORTS = {"http": 80, "https": 443}

REMEMBER = 3600
"""Seconds a client may keep such a redirect. Our number: a 301 without it is kept for ever (RFC 9110 §15.4.2), which is
a trap on localhost, where tomorrow another server listens on the same port."""


class Redirect:
    """Sends every request to the same host and target under another scheme and port (`--redirect-http`).

    GET and HEAD get 301, which every client knows; other methods 308, so that they keep method and body
    (RFC 9110 §15.4.2, §15.4.9). The target is repeated byte for byte.
    """

    __slots__ = ("port", "scheme")

    def __init__(self, to_scheme: str = "https", port: int = 443) -> None:
        """
        :param to_scheme: "https" or "http".
        :param port: the port to name; left out of the URL where it is the scheme's own.
        """
        self.scheme = to_scheme
        self.port = "" if DEFAULT_PORTS.get(to_scheme) == port else f":{port}"

    def __call__(self, exchange: Exchange) -> Response:
        """The redirect.

        :raises ClientError: 400 when the request names no host, since there is nowhere to send it.
        """
        request = exchange.request
        host = without_port(request.host)
        if not host:
            raise ClientError("The request names no host, so it cannot be redirected.", 400)
        location = f"{self.scheme}://{host}{self.port}{origin_form(request.target)}"
        status = 301 if request.method in ("GET", "HEAD") else 308
        fields = (
            ("Location", location),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Cache-Control", f"max-age={REMEMBER}"),
        )
        return Response(status, fields, f"This is at {location}\n".encode())


class Respond:
    """Gives the same answer to every request (nginx's `return`)."""

    __slots__ = ("response",)

    def __init__(self, status: int, fields: FieldPairs = (), body: bytes = b"") -> None:
        self.response = Response(status, fields, body)

    def __call__(self, exchange: Exchange) -> Response:
        """The answer: one object for all, since a Response is never changed."""
        return self.response

    def plan(self, exchange: Exchange) -> str:
        """What it is, for `explain`."""
        return f"{self.response.status} with {self.response.length} bytes"


class RedirectTo:
    """Sends every request to a place that a template makes (nginx: `return 301 …`)."""

    __slots__ = ("_known", "_location", "status")

    def __init__(self, location: Template, status: int = 302) -> None:
        self._location = location
        self.status = status
        self._known = _redirect(location.text, status) if type(location) is Constant else None

    def __call__(self, exchange: Exchange) -> Response:
        """The redirect."""
        return self._known or _redirect(self._location(exchange), self.status)

    def plan(self, exchange: Exchange) -> str:
        """What it is, for `explain`."""
        return f"{self.status} to {self._location(exchange)}"


class ToHost:
    """Sends every request to the same target at another host: `canonical`, "www" or "apex"."""

    __slots__ = ("host",)

    def __init__(self, host: str) -> None:
        self.host = host

    def __call__(self, exchange: Exchange) -> Response:
        """301; 308 for methods that have a body."""
        status = 301 if exchange.request.method in ("GET", "HEAD") else 308
        return _redirect(self._location(exchange), status, f"max-age={REMEMBER}")

    def plan(self, exchange: Exchange) -> str:
        """What it is, for `explain`."""
        return f"301 to {self._location(exchange)}"

    def _location(self, exchange: Exchange) -> str:
        """With the port that was asked for."""
        request, facts = exchange.request, exchange.facts
        asked = (facts.host if type(facts) is ForwardedFacts else "") or request.host
        port = asked.removeprefix(without_port(asked))
        return f"{facts.scheme}://{self.host}{port}{origin_form(request.target)}"


class RespondWith:
    """An answer whose body a template makes."""

    __slots__ = ("_body", "fields", "status")

    def __init__(self, status: int, body: Template, fields: FieldPairs = ()) -> None:
        self.status = status
        self.fields = fields
        self._body = body

    def __call__(self, exchange: Exchange) -> Response:
        """The answer."""
        return Response(self.status, self.fields, self._body(exchange).encode("utf-8", "surrogateescape"))

    def plan(self, exchange: Exchange) -> str:
        """What it is, for `explain`."""
        return f"{self.status} with {len(self(exchange).body)} bytes"  # type: ignore[arg-type] # they are bytes


class Fails:
    """Answers with the page of an error: a status of 400 and more without a body of its own."""

    __slots__ = ("status",)

    def __init__(self, status: int) -> None:
        self.status = status

    def __call__(self, exchange: Exchange) -> Response:
        """:raises EdgeError: of that status."""
        raise ClientError("", self.status) if self.status < 500 else Refused("", self.status)


def _redirect(location: str, status: int, cache_control: str = "") -> Response:
    fields: FieldPairs = (("Location", location), ("Content-Type", "text/plain; charset=utf-8"))
    if cache_control:
        fields = (*fields, ("Cache-Control", cache_control))
    return Response(status, fields, f"This is at {location}\n".encode("utf-8", "surrogateescape"))


def without_port(authority: str) -> str:
    """The host of an authority; an IPv6 literal keeps its brackets (RFC 3986 §3.2.2)."""
    if authority.startswith("["):
        return authority.partition("]")[0] + "]"
    return authority.partition(":")[0]


def origin_form(target: str) -> str:
    """The path and query of a request-target, untouched, whether in origin or absolute form (RFC 9112 §3.2)."""
    if target.startswith("/"):
        return target
    _, scheme_end, rest = target.partition("://")
    if not scheme_end:
        return "/"  # the asterisk of OPTIONS
    ends = [at for at in (rest.find("/"), rest.find("?")) if at >= 0]
    path = rest[min(ends) :] if ends else ""
    return path if path.startswith("/") else "/" + path
