"""The `$variables` that an Exchange can answer, as a table: name -> Variable(moment, read, doc, …).

    moment    from when on `read` has an answer; a template may use what is there when it is evaluated:
                "request"   once the head was read        a check, a routing rule, a key of a limit
                "content"   once the checks let it pass   a redirect, the body of a `respond`
                "upstream"  once the content has answered a filter over the response's fields
                "response"  once the exchange is finished only a log line may
    read      the text as the client sent it, or None where there is none
    decoded   whether it may hold bytes that no URL and no field may hold: percent escapes were decoded, or base64
    certain   whether `read` always gives a text

`FAMILIES` makes a variable out of the rest of a name ($http_…, $arg_…, $cookie_…, $sent_http_…), `TIMED` out of the
clocks that are given: this file must not know which clock the server runs on. An exchange whose request was malformed
has no request: what would be read from one is None.

Names and meanings are nginx's (ngx_http_core_module, ngx_http_ssl_module, ngx_http_proxy_module). Where they differ it
says so: `$proxy_add_x_forwarded_for` leaves out what an untrusted client claims (criterion B5).
"""

from __future__ import annotations

import binascii
import os
import re
import time
from collections.abc import Callable
from functools import cache
from typing import NamedTuple, TypeAlias

from edgestack.http.attempts import listed, proxied, seconds, upstream_field
from edgestack.http.forwarding import ForwardedFacts
from edgestack.http.messages import Exchange
from edgestack.http.target import host_name
from edgestack.http.variables_of_tls import agreed, certified, distinguished_name, session_reused

__all__ = [
    "FAMILIES",
    "MOMENTS",
    "TIMED",
    "VARIABLES",
    "Clock",
    "Read",
    "Variable",
    "escaped",
    "local_time",
    "remote_user",
]

Clock: TypeAlias = "Callable[[], float]"
Read: TypeAlias = "Callable[[Exchange], str | None]"

MOMENTS = ("request", "content", "upstream", "response")
"""In the order in which they come."""

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
"""In English whatever the locale is: log readers parse them."""

CLIENT_LEFT = 499
"""nginx's status for a client that left before its answer."""

ESCAPES = {code: f"\\x{code:02X}" for code in (*range(0x20), 0x22, 0x5C, *range(0x7F, 0x100))}


class Variable(NamedTuple):
    """When a variable can be read, how, and what it is."""

    moment: str
    read: Read
    doc: str = ""
    decoded: bool = False
    certain: bool = False


def escaped(text: str) -> str:
    """`text` (latin-1) fit for a log line: quotes, backslashes, control and non-ASCII bytes become ``\\xXX``.

    Source: nginx, `log_format … escape=default`. What was decoded from UTF-8 is escaped byte by byte, as it came.
    """
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    if max(text) > "\xff":
        text = text.encode("utf-8", "surrogateescape").decode("latin-1")
    return text.translate(ESCAPES)


def _field(name: str) -> Read:
    """The value of a request field."""
    return lambda exchange: exchange.request.fields.get(name) if exchange.request else None


def _part(attribute: str) -> Read:
    """An attribute of the request."""
    return lambda exchange: (getattr(exchange.request, attribute) or None) if exchange.request else None


def _request_line(exchange: Exchange) -> str | None:
    request = exchange.request
    return f"{request.method} {request.target} {request.version}" if request and request.method else None


def _request_uri(exchange: Exchange) -> str | None:
    """Path and query as sent; of an absolute-form target without scheme and host (RFC 9112 §3.2.2)."""
    request = exchange.request
    if not request or not request.method:
        return None
    target = request.target
    if target[:1] == "/" or "://" not in target:
        return target
    return f"{request.path.raw}?{request.query}" if "?" in target else request.path.raw


def _uri(exchange: Exchange) -> str | None:
    request = exchange.request
    return request.path.normal if request and request.method else None


def _host(exchange: Exchange) -> str | None:
    """The host asked for, lower case, without port; behind a trusted proxy the one that the client asked *it* for."""
    facts = exchange.facts
    told = facts.host if type(facts) is ForwardedFacts else ""
    authority = told or (exchange.request.host if exchange.request else "")
    return host_name(authority) or None


def _is_args(exchange: Exchange) -> str:
    return "?" if exchange.request and exchange.request.query else ""


def remote_user(exchange: Exchange) -> str | None:
    """The user name that Basic authentication sent (RFC 7617 §2), believed or not; as nginx has it."""
    request = exchange.request
    scheme, _, credentials = (request.fields.get("authorization", "") if request else "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, _ = binascii.a2b_base64(credentials).decode("latin-1").partition(":")
    except (binascii.Error, ValueError):
        return None
    return user if user and colon else None


def _peer_addr(exchange: Exchange) -> str:
    facts = exchange.facts
    return facts.peer_addr if type(facts) is ForwardedFacts else facts.remote_addr


def _x_forwarded_for(exchange: Exchange) -> str:
    """What trusted proxies told, and the address at the other end of the connection (B5)."""
    facts = exchange.facts
    if type(facts) is not ForwardedFacts:
        return facts.remote_addr
    told = facts.told.get("x-forwarded-for", "")
    if not told and facts.remote_addr != facts.peer_addr:  # they told it in Forwarded
        told = facts.remote_addr
    return f"{told}, {facts.peer_addr}" if told else facts.peer_addr


def _peer_port(exchange: Exchange) -> str:
    facts = exchange.facts
    return str(facts.peer_port if type(facts) is ForwardedFacts else facts.remote_port)


@cache
def _hostname() -> str:
    return os.uname().nodename.lower()


# --- of sizes ---------------------------------------------------------------------------------------------------------

TAIL = len("Date: Mon, 23 Nov 2026 07:34:56 GMT\r\nX-Request-Id: \r\n\r\n") + 32
"""Bytes that end every head (`wire/h1_answer.py`): a test counts what arrives."""


def _bytes_sent(exchange: Exchange) -> str:
    """Head and body; 0 for a client that left before its answer."""
    head = getattr(exchange, "head", b"")
    return str(exchange.bytes_out + (len(head) + TAIL if head and exchange.status != CLIENT_LEFT else 0))


def _request_length(exchange: Exchange) -> str:
    """Request line, fields and announced body, each field counted as `name: value`."""
    request = exchange.request
    if not request:
        return "0"
    line = len(request.method) + len(request.target) + len(request.version) + 4
    fields = sum(len(name) + len(value) + 4 for name, value in request.pairs)
    announced = request.fields.get("content-length", "")
    return str(line + fields + 2 + (int(announced) if announced.isdecimal() else 0))


# --- the tables -------------------------------------------------------------------------------------------------------


def _sure(read: Read, doc: str, moment: str = "request") -> Variable:
    return Variable(moment, read, doc, certain=True)


VARIABLES: dict[str, Variable] = {
    "remote_addr": _sure(lambda x: x.facts.remote_addr, "the client's address"),
    "remote_port": _sure(lambda x: str(x.facts.remote_port), "the client's port"),
    "remote_user": Variable("request", remote_user, "the user name that Basic authentication sent", decoded=True),
    "realip_remote_addr": _sure(_peer_addr, "the address at the other end of the connection"),
    "realip_remote_port": _sure(_peer_port, "the port there"),
    "proxy_add_x_forwarded_for": _sure(_x_forwarded_for, "X-Forwarded-For as believed, and the peer"),
    "scheme": _sure(lambda x: x.facts.scheme, "`http` or `https`"),
    "https": Variable("request", lambda x: "on" if x.facts.scheme == "https" else None, "`on` over TLS, else empty"),
    "server_addr": _sure(lambda x: x.facts.local_addr, "the address that was connected to"),
    "server_port": _sure(lambda x: str(x.facts.local_port), "the port that was connected to"),
    "connection": _sure(
        lambda x: str(x.facts.connection), "the connection’s number; a worker among several puts its pid in front"
    ),
    "connection_requests": _sure(lambda x: str(x.facts.requests), "the requests that came over it, with this one"),
    "server_protocol": Variable("request", _part("version"), "`HTTP/1.1`, …"),
    "request": Variable("request", _request_line, "the request line"),
    "request_method": Variable("request", _part("method"), "`GET`, `POST`, …"),
    "request_uri": Variable("request", _request_uri, "path and query as sent"),
    "uri": Variable("request", _uri, "the path, decoded, slashes merged, dots resolved", decoded=True),
    "document_uri": Variable("request", _uri, "the same as $uri", decoded=True),
    "args": Variable("request", _part("query"), "the query as sent, without the `?`"),
    "query_string": Variable("request", _part("query"), "the same as $args"),
    "is_args": Variable("request", _is_args, "`?` where there is a query, else empty"),
    "host": Variable("request", _host, "the host asked for, lower case, without port"),
    "http_referer": Variable("request", _field("referer"), "the page that led here"),
    "http_user_agent": Variable("request", _field("user-agent"), "the client's program"),
    "content_type": Variable("request", _field("content-type"), "the request body's media type"),
    "content_length": Variable("request", _field("content-length"), "the request body's announced length"),
    "request_length": _sure(_request_length, "bytes of the request: its line, fields and announced body"),
    "request_id": _sure(lambda x: x.request_id, "32 hex digits, in the answer and in both logs"),
    "ssl_server_name": Variable("request", lambda x: x.facts.sni or None, "the name asked for in the TLS handshake"),
    "ssl_protocol": Variable("request", agreed("protocol"), "`TLSv1.3`, `TLSv1.2`; empty without TLS"),
    "ssl_cipher": Variable("request", agreed("cipher"), "the cipher, by OpenSSL’s name"),
    "ssl_alpn_protocol": Variable("request", agreed("alpn"), "the protocol that ALPN agreed on: `http/1.1`"),
    "ssl_session_reused": Variable("request", session_reused, "`r` where a TLS session was resumed, else `.`"),
    "ssl_client_verify": Variable(
        "request", lambda x: "SUCCESS" if x.facts.client_certificate else "NONE",
        "`SUCCESS` with a client certificate (tls.client_ca), else `NONE`",
    ),
    "ssl_client_s_dn": Variable("request", distinguished_name("subject"), "whose client certificate", decoded=True),
    "ssl_client_i_dn": Variable("request", distinguished_name("issuer"), "who issued it", decoded=True),
    "ssl_client_serial": Variable("request", certified("serialNumber"), "its serial number"),
    "ssl_client_v_start": Variable("request", certified("notBefore"), "from when on it is valid"),
    "ssl_client_v_end": Variable("request", certified("notAfter"), "until when it is valid"),
    "proxy_host": Variable("request", proxied(lambda x: x.host), "host and port of the target that is proxied to"),
    "proxy_port": Variable("request", proxied(lambda x: str(x.port)), "its port"),
    "upstream_cache_status": Variable(
        "upstream", lambda x: x.cached[0] if hasattr(x, "cached") else None,
        "what the cache did: `HIT`, `MISS`, `EXPIRED`, `REVALIDATED`, `UPDATING`, `STALE`, `BYPASS`",
    ),
    "upstream_addr": Variable("upstream", listed(lambda x: str(x.address)), "the servers that were asked, in order"),
    "upstream_status": Variable("upstream", listed(lambda x: str(x.status or "-")), "the status of each"),
    "upstream_connect_time": Variable("upstream", seconds("connect_time"), "seconds until connected to each"),
    "upstream_header_time": Variable("upstream", seconds("header_time"), "seconds until the head of each answer"),
    "upstream_response_time": Variable("response", seconds("response_time"), "seconds until the end of each answer"),
    "upstream_bytes_received": Variable("response", listed(lambda x: str(x.bytes_received)), "bytes that each sent"),
    "upstream_bytes_sent": Variable("response", listed(lambda x: str(x.bytes_sent)), "bytes that were sent to each"),
    "status": _sure(lambda x: str(x.status), "the status of the answer", "response"),
    "request_completion": _sure(
        lambda x: "" if hasattr(x, "incomplete") else "OK", "`OK` where the whole answer left, else empty", "response"
    ),
    "body_bytes_sent": _sure(lambda x: str(x.bytes_out), "bytes of the answer's body", "response"),
    "bytes_sent": _sure(_bytes_sent, "bytes of the answer, its head included", "response"),
    "hostname": _sure(lambda x: _hostname(), "this machine's name"),
    "pid": _sure(lambda x: str(os.getpid()), "this process's id"),
}  # fmt: skip


def _argument(name: str) -> Read:
    """The first value of a query parameter, as sent."""
    find = re.compile(rf"(?:^|&){re.escape(name)}=([^&]*)", re.IGNORECASE).search

    def read(exchange: Exchange) -> str | None:
        found = find(exchange.request.query) if exchange.request else None
        return found[1] if found else None

    return read


def _cookie(name: str) -> Read:
    """The first value of a cookie, as sent (RFC 6265 §5.4)."""
    find = re.compile(rf"(?:^|;)[ \t]*{re.escape(name)}=([^;]*)").search

    def read(exchange: Exchange) -> str | None:
        sent = exchange.request.fields.get("cookie") if exchange.request else None
        found = find(sent) if sent else None
        return found[1].rstrip(" \t") if found else None

    return read


def _sent_field(name: str) -> Read:
    """The values of a field of the answer, as they were written; of several, joined by commas."""
    wanted = name.lower().replace("_", "-").encode("latin-1", "replace")
    find = re.compile(rb"\r\n" + re.escape(wanted) + rb": ([^\r]*)", re.IGNORECASE).findall

    def read(exchange: Exchange) -> str | None:
        if wanted == b"x-request-id":
            return exchange.request_id
        found = find(getattr(exchange, "head", b""))
        return b", ".join(found).decode("latin-1") if found else None

    return read


def _upstream_field(rest: str) -> Read:
    return upstream_field(rest.lower().replace("_", "-"))


FAMILIES: dict[str, tuple[Callable[[str], Read], str, str]] = {
    "http_": (
        lambda rest: _field(rest.lower().replace("_", "-")), "a request field: `$http_x_plan` is X-Plan", "request",
    ),
    "arg_": (_argument, "a parameter of the query, as sent: `$arg_page`", "request"),
    "cookie_": (_cookie, "a cookie: `$cookie_session`", "request"),
    "upstream_http_": (_upstream_field, "a field of the upstream's answer: `$upstream_http_etag`", "upstream"),
    "sent_http_": (_sent_field, "a field of the answer: `$sent_http_location`", "response"),
}  # fmt: skip
"""How a name may begin, what makes a variable out of its rest, what that is, and from when on it is there."""


def local_time(epoch: int) -> str:
    """nginx's `$time_local`: "23/Nov/2026:07:34:56 +0000"."""
    at = time.localtime(epoch)
    sign, minutes = ("-", -at.tm_gmtoff // 60) if at.tm_gmtoff < 0 else ("+", at.tm_gmtoff // 60)
    zone = f"{sign}{minutes // 60:02d}{minutes % 60:02d}"
    day = f"{at.tm_mday:02d}/{MONTHS[at.tm_mon - 1]}/{at.tm_year}"
    return f"{day}:{at.tm_hour:02d}:{at.tm_min:02d}:{at.tm_sec:02d} {zone}"


def _iso_time(epoch: int) -> str:
    """nginx's `$time_iso8601`: "2026-11-23T07:34:56+00:00"."""
    zone = local_time(epoch)[-5:]
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(epoch)) + f"{zone[:3]}:{zone[3:]}"


def _by_second(write: Callable[[int], str], wall: Clock) -> Read:
    """What changes once a second, written once a second."""
    stamp = (0, "")  # replaced whole: another thread sees the old pair or the new one, never half of each

    def read(exchange: Exchange) -> str:
        nonlocal stamp
        second = int(wall())
        at, text = stamp
        if at != second:
            text = write(second)
            stamp = (second, text)
        return text

    return read


def _spent(parts: int) -> Callable[[Clock, Clock], Read]:
    """What an exchange has taken, in whole parts of a second."""
    return lambda clock, wall: lambda x: str(int(max(clock() - x.started, 0.0) * parts))


TIMED: dict[str, tuple[Callable[[Clock, Clock], Read], str]] = {
    "time_local": (lambda clock, wall: _by_second(local_time, wall), "`23/Nov/2026:07:34:56 +0000`"),
    "time_iso8601": (lambda clock, wall: _by_second(_iso_time, wall), "`2026-11-23T07:34:56+00:00`"),
    "msec": (lambda clock, wall: lambda x: f"{wall():.3f}", "seconds since 1970, with milliseconds"),
    "request_time": (
        lambda clock, wall: lambda x: f"{max(clock() - x.started, 0.0):.3f}",
        "seconds since the request's head was read, with milliseconds",
    ),
    "request_sec": (_spent(1), "the same in whole seconds"),
    "request_msec": (_spent(1000), "the same in whole milliseconds"),
    "request_usec": (_spent(1_000_000), "the same in whole microseconds"),
}
"""Variables of the clock: what makes one from the serving clock and the wall clock, both in seconds; and what it is."""
