"""The head of the request that goes upstream: of what the client sent, what we know, and what is configured.

    METHOD target HTTP/1.1
    Host              the upstream's own, unless `set_headers` says (B5)
    client's fields   without those that mean one connection, and those that others decide about (B6, B8)
    Cookie            last of them: it differs where all else is the same
    X-Forwarded-For … what is believed, and nothing else (B5)
    set_headers       templates, compiled once; an empty value is no field (B9)
    Connection        "close" where connections are not kept (B7), "upgrade" where one is asked for (B17)
    framing           Content-Length or Transfer-Encoding, of the body that we send

What becomes of the client's fields depends on nothing but them: for those that came together before (`Request.block`)
it is remembered whole. Pure. RFC 9110 §7.6.1, RFC 7239.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgestack.errors import ClientError
from edgestack.http.facts import Facts
from edgestack.http.fields import is_field_value, tokens
from edgestack.http.forwarding import ForwardedFacts, tells_of_forwarding
from edgestack.http.messages import Exchange, Request
from edgestack.http.variables import VARIABLES, Template
from edgestack.upstream.spelling import spelled

__all__ = ["CHUNKED", "DROPPED", "RequestHead", "with_length"]

DROPPED = frozenset(
    ("connection", "content-length", "expect", "host", "keep-alive", "proxy", "proxy-authorization", "proxy-connection",
     "te", "trailer", "transfer-encoding", "upgrade")
)  # fmt: skip
"""Fields of a client's request that are never passed on (B8): they mean its connection, are written anew, or would be
taken for something else (`Proxy`: httpoxy)."""

BLOCKS_KEPT = 256
"""Blocks of fields that are remembered, some 700 bytes each; then the table starts afresh."""

CHUNKED = b"Transfer-Encoding: chunked\r\n"

_x_forwarded_for = VARIABLES["proxy_add_x_forwarded_for"].read


def with_length(length: int) -> bytes:
    """The framing of a body of so many bytes."""
    return b"Content-Length: %d\r\n" % length


class RequestHead:
    """Makes the heads of one route."""

    __slots__ = ("_decided", "_forwarded", "_host", "_known", "_plain", "_set", "_underscores")

    def __init__(
        self,
        set_headers: Sequence[tuple[str, Template]] = (),
        *,
        forwarded: str = "x-forwarded",
        underscores: bool = False,
    ) -> None:
        """
        :param set_headers: name and value of fields that take the place of the client's.
        :param forwarded: "x-forwarded", "forwarded", "both" or "off".
        :param underscores: pass on fields with `_` in their names.
        """
        own = {name.lower(): value for name, value in set_headers}
        self._host = own.get("host")
        self._set = tuple((f"{name}: ", value) for name, value in set_headers if name.lower() != "host")
        self._decided = frozenset(own)
        self._forwarded = forwarded
        self._underscores = underscores
        self._plain = forwarded == "x-forwarded" and not any(name.startswith("x-forwarded-") for name in own)
        self._known: dict[object, tuple[str, bool]] = {}

    def encode(
        self, exchange: Exchange, target: str, host: str, framing: bytes = b"", connection: bytes = b""
    ) -> bytes:
        """The whole head, its empty line included.

        :param target: the request-target.
        :param host: the upstream's own name, for Host.
        :param framing: of the body: `with_length(…)`, `CHUNKED`, or nothing.
        :param connection: a Connection field and what belongs to it, or nothing.
        :raises ClientError: 400, when a template gives what cannot stand in a field.
        """
        request = exchange.request
        if self._host is not None:
            host = self._host(exchange)
        named = f"Host: {host}\r\n" if host else ""
        passed, cookies = self._known.get(request.block) or self._passed(request)
        cookie = request.fields.get("cookie") if cookies else None
        if cookie:
            passed = f"{passed}Cookie: {cookie}\r\n"
        facts = exchange.facts
        if self._plain and request.host and type(facts) is Facts:  # as it nearly always is
            forwarded = (
                f"X-Forwarded-For: {facts.remote_addr}\r\nX-Forwarded-Proto: {facts.scheme}\r\n"
                f"X-Forwarded-Host: {request.host}\r\n"
            )
        else:
            forwarded = self._told(exchange) if self._forwarded != "off" else ""
        own = self._own(exchange) if self._set else ""
        head = f"{request.method} {target} HTTP/1.1\r\n{named}{passed}{forwarded}{own}".encode("latin-1")
        return b"%b%b%b\r\n" % (head, connection, framing) if connection or framing else head + b"\r\n"

    # -- what the client sent ------------------------------------------------------------------------------------------

    def _passed(self, request: Request) -> tuple[str, bool]:
        """The client's fields that are passed on, but for the cookie; and whether that is."""
        dropped = DROPPED | self._decided | {"cookie"}
        named = tokens(request.fields.get("connection", ""))
        lines = [
            f"{spelled(name)}: {value}\r\n"
            for name, value in request.pairs
            if value and name not in dropped and name not in named and self._passes(name)
        ]
        made = ("".join(lines), "cookie" not in self._decided and "cookie" not in named)
        if request.block is not None:
            if len(self._known) >= BLOCKS_KEPT:
                self._known.clear()
            self._known[request.block] = made
        return made

    def _passes(self, name: str) -> bool:
        """B5, B6: no field that tells of forwarding (it is written anew), none that could pass for another."""
        return not tells_of_forwarding(name.replace("_", "-")) and (self._underscores or "_" not in name)

    # -- what we say ---------------------------------------------------------------------------------------------------

    def _own(self, exchange: Exchange) -> str:
        lines = []
        for name, template in self._set:
            value = template(exchange)
            if value:
                if not value.isprintable() and not is_field_value(value):
                    raise ClientError("The request cannot be passed on.", 400, detail=f"{name}{value!r} is no field")
                lines.append(f"{name}{value}\r\n")
        return "".join(lines)

    def _told(self, exchange: Exchange) -> str:
        """Who asks, as far as it is believed."""
        facts, decided = exchange.facts, self._decided
        trusted = facts if type(facts) is ForwardedFacts else None
        host = (trusted.host if trusted is not None else "") or exchange.request.host
        said: dict[str, str] = {}
        if trusted is not None:
            said = {name: value for name, value in trusted.told.items() if name != "forwarded" and "_" not in name}
        if self._forwarded != "forwarded":
            said["x-forwarded-for"] = _x_forwarded_for(exchange) or ""
            said["x-forwarded-proto"] = facts.scheme
            said["x-forwarded-host"] = host
        else:
            said = {name: value for name, value in said.items() if not name.startswith("x-forwarded-")}
        if self._forwarded != "x-forwarded":
            said["forwarded"] = _forwarded_field(exchange, trusted, host)
        return "".join(
            [f"{spelled(name)}: {value}\r\n" for name, value in said.items() if value and name not in decided]
        )


def _forwarded_field(exchange: Exchange, trusted: ForwardedFacts | None, host: str) -> str:
    """Forwarded: what trusted proxies wrote, and an element of our own (RFC 7239 §4)."""
    facts = exchange.facts
    peer = trusted.peer_addr if trusted is not None else facts.remote_addr
    told = trusted.told.get("forwarded", "") if trusted is not None else ""
    before = told or (f"for={_node(facts.remote_addr)}" if peer != facts.remote_addr else "")
    element = f"for={_node(peer)};proto={facts.scheme}" + (f";host={_value(host)}" if host else "")
    return f"{before}, {element}" if before else element


def _node(address: str) -> str:
    """An address as a node identifier (RFC 7239 §6): IPv6 in brackets and quotes; a unix socket has no address."""
    if address.startswith("unix:"):
        return "unknown"
    return f'"[{address}]"' if ":" in address else address


def _value(text: str) -> str:
    return f'"{text}"' if ":" in text else text
