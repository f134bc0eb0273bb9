"""The page of development mode for a server that did not answer: which address, what was tried, what to check.

    error, attempts -> HTML | JSON | text

Only clients on this machine are shown it (phases/error_pages.py); all others get the plain 502 and 504, which tell
nothing (criterion B11). Pure.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

from edgestack.errors import UpstreamError
from edgestack.http.attempts import Attempt, Attempts
from edgestack.http.pages import footer, page, reason

__all__ = ["unanswered"]


class Check(NamedTuple):
    """What to look at, when the reason has one of these words in it."""

    words: tuple[str, ...]
    advice: tuple[str, ...]


CHECKS = (
    Check(
        ("nobody listens there",),
        ("Is the server running? Nothing accepts connections at that address.",
         "Does it listen at this very address and port? 127.0.0.1 and [::1] are two places, and inside a container "
         "127.0.0.1 is the container itself."),
    ),
    Check(
        ("there is no such socket",),
        ("Is the server running, and is this the path that it was told? A unix socket is made when its server "
         "starts.",),
    ),
    Check(
        ("not allowed to connect to this socket",),
        ("Who may write to the socket? The user of this process needs to be one of them.",),
    ),
    Check(("no route to", "the host does not answer", "no connection within"),
          ("Is the machine up, and does a firewall let this one through to that port?",)),
    Check(
        ("nothing came for", "took nothing of"),
        ("The server took the request and is still at it, or it hangs: what does its own log say?",
         "If it may take this long, give it longer: `read_timeout` and `send_timeout` of `proxy`."),
    ),
    Check(
        ("what came is not TLS", "speaks plain HTTP"),
        ("Does the server speak HTTPS at that port at all? If not, the URL of `proxy` begins with http://.",),
    ),
    Check(
        ("certificate does not hold",),
        ("Is the certificate from an authority of your own? Name that in `ssl_ca`.",
         "Is it for another name? Say which in `ssl_name`.",
         "`ssl_verify = false` asks no questions; that is for a machine of your own only."),
    ),
    Check(
        ("has no address",),
        ("Is the name spelled as it should be, and does this machine know it? It is looked up again and again.",),
    ),
    Check(
        ("no live upstreams",),
        ("Every server of the group is down, failed a moment ago, or is at its `max_conns`.",
         "A server that failed `max_fails` times is left alone for `fail_timeout`: what failed is in the error log."),
    ),
    Check(
        ("closed", "reset", "broke off"),
        ("The server ended the connection before its answer was complete: what does its own log say?",
         "Does it speak HTTPS at that port? Then the URL of `proxy` begins with https://."),
    ),
)  # fmt: skip
"""The first that fits is told."""

OTHERWISE = ("Does it speak HTTP/1.1 at that port, or something else?", "What does its own log say?")

MARKUP = """<style>\
.tried td:first-child,.tried td:last-child{width:1%;white-space:nowrap}.tried td:last-child{text-align:right}\
ul{padding-left:1.2rem}li{margin:.35rem 0}h2{margin:2rem 0 .5rem;font-size:1.1rem}\
</style>"""


def unanswered(
    error: UpstreamError, attempts: Sequence[Attempt] | None, request_line: str, request_id: str, form: str
) -> bytes:
    """The whole page.

    :param attempts: of the exchange; none where nobody could be asked.
    :param request_line: method and target of the client's request.
    :param form: "html", "json" or "plain".
    """
    tried = list(attempts or ())
    failed = [one for one in tried if one.error]
    where = str(failed[-1].address) if failed else _target(attempts)
    title = f"{where} does not answer"
    told = _Told(title, str(error), request_line, tried, _advice(str(error)), error.status, request_id)
    return _FORMS[form](told)


class _Told(NamedTuple):
    title: str
    why: str
    line: str
    tried: list[Attempt]
    advice: tuple[str, ...]
    status: int
    request_id: str


def _target(attempts: Sequence[Attempt] | None) -> str:
    return attempts.host if isinstance(attempts, Attempts) else "The server behind this one"


def _advice(why: str) -> tuple[str, ...]:
    return next((one.advice for one in CHECKS if any(word in why for word in one.words)), OTHERWISE)


def _became(attempt: Attempt) -> str:
    """What became of an attempt, without its address."""
    said = attempt.error.removeprefix(f"{attempt.address}: ")
    return said or (f"answered {attempt.status}" if attempt.status else "no answer")


def _took(attempt: Attempt) -> str:
    return f"{attempt.response_time * 1000:.0f} ms" if attempt.response_time >= 0 else ""


def _html(told: _Told) -> bytes:
    rows = "".join(
        f"<tr><td><code>{escape(str(one.address))}</code></td><td>{escape(_became(one))}</td><td>{_took(one)}</td></tr>\n"
        for one in told.tried
    )
    table = (
        f'<h2>What was tried</h2>\n<table class="tried"><thead><tr><th scope="col">Address</th><th scope="col">What '
        f'became of it</th><th scope="col">After</th></tr></thead>\n<tbody>\n{rows}</tbody></table>\n'
        if rows
        else ""
    )
    checks = "".join(f"<li>{_code(escape(one))}</li>\n" for one in told.advice)
    body = (
        f'{MARKUP}\n<p class="status">{told.status}</p>\n<h1>{escape(told.title)}</h1>\n'
        f'<p class="soft">while passing on <code>{escape(told.line)}</code></p>\n'
        f'<pre tabindex="0">{escape(told.why)}</pre>\n{table}<h2>What to check</h2>\n<ul>\n{checks}</ul>\n'
        '<p class="soft">Only you see this: development mode shows it to clients on this machine alone. Everybody else '
        f"gets a plain {told.status}, which names no address.</p>"
    )
    return page(told.title, body + footer(told.request_id))


def _code(text: str) -> str:
    """Backquoted words as code."""
    parts = text.split("`")
    return "".join(f"<code>{part}</code>" if at % 2 else part for at, part in enumerate(parts))


def _json(told: _Told) -> bytes:
    tried: list[dict[str, Any]] = [
        {"address": str(one.address), "said": _became(one), "seconds": round(max(one.response_time, 0.0), 3)}
        for one in told.tried
    ]
    value = {
        "status": told.status, "error": told.title, "request_id": told.request_id, "detail": told.why,
        "attempts": tried, "check": told.advice,
    }  # fmt: skip
    return json.dumps(value).encode("ascii") + b"\n"


def _plain(told: _Told) -> bytes:
    lines = [f"{told.status} {reason(told.status)}", told.title, told.line, "", told.why, ""]
    lines += [f"  {one.address}  {_became(one)}  {_took(one)}".rstrip() for one in told.tried]
    lines += [""] * bool(told.tried)
    lines += [f"- {one}" for one in told.advice]
    return "\n".join([*lines, "", f"Request id: {told.request_id}", ""]).encode("utf-8", "backslashreplace")


_FORMS = {"html": _html, "json": _json, "plain": _plain}
