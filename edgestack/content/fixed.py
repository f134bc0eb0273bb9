"""Content that is known before anybody asks: a redirect to the other scheme, and an answer that is always the same.

Pure handlers: no file, no socket, no waiting. Both answer at once with a `Response`.
"""

from __future__ import annotations

from edgestack.errors import ClientError
from edgestack.http.messages import Exchange, FieldPairs, Response

__all__ = ["Redirect", "Respond"]

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
