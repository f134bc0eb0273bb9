"""The lines of the access log: a finished exchange in, one line of text out, "\\n" included.

    access_format("combined" | "json" | a name of `custom`, clock, wall)  ->  LineFormat: Exchange -> str

What a client sent is escaped before it enters a line (`escaped`, or JSON's own way), so that nobody can forge a second
line or a terminal sequence. The combined line is written out flat, since it is made for every request (1 µs); a test
holds it to the table of variables. The clocks are given, never looked up. Source: nginx's ngx_http_log_module.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring_ascii
from typing import TypeAlias

from edgestack.http.messages import Exchange, Request
from edgestack.http.templates import Scope, compile_template
from edgestack.http.variable_table import ESCAPES, VARIABLES, Clock, escaped, local_time, remote_user

__all__ = ["FORMATS", "LineFormat", "access_format", "custom_format"]

LineFormat: TypeAlias = "Callable[[Exchange], str]"

FORMATS = ("combined", "json")

KNOWN_TEXTS = 2048
"""How many Referer and User-Agent values are remembered with their escaped form (a guess; about 512 KiB)."""

LONGEST_KNOWN = 512
"""Longer values are escaped anew each time, so that the table stays small."""

KNOWN_CLIENTS = 512
"""How many combinations of fields are remembered with the end of the line that follows from them (a guess)."""

SECRET = frozenset(("authorization", "proxy-authorization"))
"""Fields that no table holds on to."""

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


def access_format(
    name: str, clock: Clock, wall: Clock = time.time, custom: Mapping[str, str] | None = None
) -> LineFormat:
    """The function that turns a finished exchange into one log line; it may be called on any thread.

    :param name: one of `FORMATS`, or of `custom`.
    :param clock: the serving clock, the one that `Exchange.started` was read from, in seconds.
    :param wall: seconds since the epoch.
    :param custom: formats of the user's own, by name (nginx: log_format).
    :raises ValueError: for a format that is not known.
    """
    if name == "combined":
        return _combined(wall)
    if name == "json":
        return _json(clock, wall)
    if custom and name in custom:
        return custom_format(custom[name], Scope(clock=clock, wall=wall))
    raise ValueError(f"no such access log format: {name!r}")


def custom_format(text: str, scope: Scope) -> LineFormat:
    """A format of the user's own: a template whose values are escaped, "-" where there is none.

    :raises TemplateError: with the place in `text`.
    """
    return compile_template(text + "\n", "response", scope, use="log")


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
    known: dict[object, str] = {}

    def client(request: Request) -> str:
        """How the line ends; remembered for the fields that came together, unless a secret is among them."""
        fields = request.fields
        text = f'"{escape(fields.get("referer", ""))}" "{escape(fields.get("user-agent", ""))}"\n'
        if request.block is not None and len(text) <= LONGEST_KNOWN and SECRET.isdisjoint(fields):
            if len(known) >= KNOWN_CLIENTS:
                known.clear()
            known[request.block] = text
        return text

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
        user = escape(remote_user(exchange) or "") if "authorization" in fields else "-"
        asked = f"{request.method} {request.target} {request.version}" if request.method else "-"
        if not asked.isascii() or not asked.isprintable() or '"' in asked or "\\" in asked:
            asked = asked.translate(ESCAPES)
        return (
            f'{exchange.facts.remote_addr} - {user} [{moment}] "{asked}" {exchange.status} {exchange.bytes_out} '
            f"{known.get(request.block) or client(request)}"
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
