"""The `$variables` of nginx as functions over an Exchange, and the formats of access-log lines made from them.

    VARIABLES   name -> Variable(moment, read)    `moment` says from when on `read` has an answer:
                "request"   once the head was read         a check, a routing rule or a filter may use it
                "response"  once the exchange is finished  only a log line may
                `read` gives the text as the client sent it, or None where there is none
    access_format("combined" | "json", clock, wall)  ->  a function Exchange -> one line, "\\n" included

An exchange whose request was malformed has no request: what would be read from one is then "-", as nginx writes it.
What a client sent is escaped before it enters a line (`escaped`), so that nobody can forge a second line or a terminal
sequence.

The combined line is written out flat, since it is made for every request (1 µs); a test holds it to the table. The
clocks are given, never looked up: this file must not know which of them the server runs on. Source of the names and of
the escaping: nginx's ngx_http_core_module and ngx_http_log_module.
"""

from __future__ import annotations

import binascii
import time
from collections.abc import Callable
from json.encoder import encode_basestring_ascii
from typing import NamedTuple, TypeAlias

from edgestack.http.messages import Exchange

__all__ = ["FORMATS", "VARIABLES", "LineFormat", "Variable", "access_format", "escaped", "local_time"]

Clock: TypeAlias = "Callable[[], float]"
Read: TypeAlias = "Callable[[Exchange], str | None]"
LineFormat: TypeAlias = "Callable[[Exchange], str]"

FORMATS = ("combined", "json")

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
"""In English whatever the locale is: log readers parse them."""

KNOWN_TEXTS = 2048
"""How many Referer and User-Agent values are remembered with their escaped form (a guess; about 512 KiB)."""

LONGEST_KNOWN = 512
"""Longer values are escaped anew each time, so that the table stays small."""

ESCAPES = {code: f"\\x{code:02X}" for code in (*range(0x20), 0x22, 0x5C, *range(0x7F, 0x100))}


class Variable(NamedTuple):
    """When a variable can be read, and how."""

    moment: str
    read: Read


def escaped(text: str) -> str:
    """`text` (latin-1) fit for a log line: quotes, backslashes, control and non-ASCII bytes become ``\\xXX``.

    Source: nginx, `log_format … escape=default`.
    """
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
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


def _remote_user(exchange: Exchange) -> str | None:
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


VARIABLES: dict[str, Variable] = {
    "remote_addr": Variable("request", lambda exchange: exchange.facts.remote_addr),
    "remote_user": Variable("request", _remote_user),
    "scheme": Variable("request", lambda exchange: exchange.facts.scheme),
    "request": Variable("request", _request_line),
    "request_method": Variable("request", _part("method")),
    "request_uri": Variable("request", _part("target")),
    "server_protocol": Variable("request", _part("version")),
    "host": Variable("request", _part("host")),
    "http_referer": Variable("request", _field("referer")),
    "http_user_agent": Variable("request", _field("user-agent")),
    "request_id": Variable("request", lambda exchange: exchange.request_id),
    "status": Variable("response", lambda exchange: str(exchange.status)),
    "body_bytes_sent": Variable("response", lambda exchange: str(exchange.bytes_out)),
}

JSON_KEYS = (
    ("remote_addr", "remote_addr"),
    ("method", "request_method"),
    ("target", "request_uri"),
    ("protocol", "server_protocol"),
    ("host", "host"),
    ("scheme", "scheme"),
    ("referer", "http_referer"),
    ("user_agent", "http_user_agent"),
    ("request_id", "request_id"),
)
"""The text keys of a JSON line and the variables they show; null where there is none."""


def access_format(name: str, clock: Clock, wall: Clock = time.time) -> LineFormat:
    """The function that turns a finished exchange into one log line; it may be called on any thread.

    :param name: one of `FORMATS`.
    :param clock: the serving clock, the one that `Exchange.started` was read from, in seconds.
    :param wall: seconds since the epoch.
    :raises ValueError: for a format that is not known.
    """
    if name == "combined":
        return _combined(wall)
    if name == "json":
        return _json(clock, wall)
    raise ValueError(f"no such access log format: {name!r}")


def local_time(epoch: int) -> str:
    """nginx's `$time_local`: "23/Nov/2026:07:34:56 +0000"."""
    at = time.localtime(epoch)
    sign, minutes = ("-", -at.tm_gmtoff // 60) if at.tm_gmtoff < 0 else ("+", at.tm_gmtoff // 60)
    zone = f"{sign}{minutes // 60:02d}{minutes % 60:02d}"
    day = f"{at.tm_mday:02d}/{MONTHS[at.tm_mon - 1]}/{at.tm_year}"
    return f"{day}:{at.tm_hour:02d}:{at.tm_min:02d}:{at.tm_sec:02d} {zone}"


def _escape_table() -> Callable[[str], str]:
    """`escaped`, remembering what it was asked: few different values of these fields come, and they come often."""
    known: dict[str, str] = {"": "-"}

    def look_up(text: str) -> str:
        safe = known.get(text)
        if safe is None:
            safe = escaped(text)
            if len(text) <= LONGEST_KNOWN:
                if len(known) > KNOWN_TEXTS:
                    known.clear()
                    known[""] = "-"
                known[text] = safe
        return safe

    return look_up


def _combined(wall: Clock) -> LineFormat:
    """nginx's `combined`: addr - user [time] "request line" status bytes "referer" "user agent"."""
    stamp = (0, "")  # replaced whole: another thread sees the old pair or the new one, never half of each
    escape = _escape_table()

    def line(exchange: Exchange) -> str:
        nonlocal stamp
        second = int(wall())
        at, moment = stamp
        if at != second:
            moment = local_time(second)
            stamp = (second, moment)
        request = exchange.request
        if request is None:
            return f'{exchange.facts.remote_addr} - - [{moment}] "-" {exchange.status} {exchange.bytes_out} "-" "-"\n'
        fields = request.fields
        user = escape(_remote_user(exchange) or "") if "authorization" in fields else "-"
        asked = f"{request.method} {request.target} {request.version}" if request.method else "-"
        if not asked.isascii() or not asked.isprintable() or '"' in asked or "\\" in asked:
            asked = asked.translate(ESCAPES)
        return (
            f'{exchange.facts.remote_addr} - {user} [{moment}] "{asked}" {exchange.status} {exchange.bytes_out} '
            f'"{escape(fields.get("referer", ""))}" "{escape(fields.get("user-agent", ""))}"\n'
        )

    return line


def _json(clock: Clock, wall: Clock) -> LineFormat:
    """One JSON object a line: time (RFC 3339, UTC), status, bytes, duration_ms, then `JSON_KEYS`."""
    stamp = (0, "")
    quoted = encode_basestring_ascii
    texts = tuple((f', "{key}": ', VARIABLES[name].read) for key, name in JSON_KEYS)

    def line(exchange: Exchange) -> str:
        nonlocal stamp
        now = wall()
        second = int(now)
        at, moment = stamp
        if at != second:
            moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            stamp = (second, moment)
        parts = [
            f'{{"time": "{moment}.{int((now - second) * 1000):03d}Z", "status": {exchange.status}, '
            f'"bytes": {exchange.bytes_out}, "duration_ms": {max(clock() - exchange.started, 0.0) * 1000:.3f}'
        ]
        for key, read in texts:
            text = read(exchange)
            parts.append(key + ("null" if text is None else quoted(text)))
        parts.append("}\n")
        return "".join(parts)

    return line
