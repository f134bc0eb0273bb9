"""From an error to the answer that a client gets: the last link of every chain (`chain.errors`).

    EdgeError -> what does this client like to read? -> JSON | HTML (the site's own page, else the built-in one) | text

The form follows Accept (RFC 9110 §12.5.1). Only a type that the client names is chosen for it:

    names application/json and prefers it                 {"status", "error", "request_id"}
    the site has a page for this status, HTML acceptable   404.html for 404, 50x.html for every 5xx
    names text/html                                        the built-in page
    otherwise (curl's */*, no Accept at all)               two lines of plain text, kinder in a terminal than markup

What it must not do: raise, wait, or show `error.detail`, which is for the log. It is called on the loop and on
application threads alike, also for a request too broken to have been read (`exchange.request` is None then).
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from edgestack.errors import AppError, EdgeError, UpstreamError
from edgestack.http.forwarding import is_loopback
from edgestack.http.media_types import media_type
from edgestack.http.messages import Exchange, Response
from edgestack.http.negotiation import choose_type
from edgestack.http.pages import advice, error_page, reason, traceback_page
from edgestack.http.unanswered import unanswered

__all__ = ["PAGE_LIMIT", "ErrorPages"]

PAGE_LIMIT = 256 * 1024
"""Bytes of a site's own error page; a larger one is not used. Our number: it is read on the loop and kept in memory."""

HTML, JSON, TEXT = "text/html", "application/json", "text/plain"


class ErrorPages:
    """Makes the Response for an EdgeError."""

    def __init__(self, site: Path | None = None, dev: bool = False, own: Mapping[int, Path] | None = None) -> None:
        """
        :param site: the folder that may hold ``404.html`` and ``50x.html`` (nginx's `error_page`, by convention).
        :param dev: show clients on this machine an application's traceback (F11), and what was tried upstream.
        :param own: files that the user names for statuses; 4 and 5 stand for all that begin so.
        """
        self.not_found = _Page(site / "404.html") if site else None
        self.broken = _Page(site / "50x.html") if site else None
        self.dev = dev
        self.own = {status: (_Page(file), media_type(file.name)) for status, file in (own or {}).items()}

    def __call__(self, exchange: Exchange, error: EdgeError) -> Response:
        """The answer to `exchange`; its status and required fields are the error's."""
        status = error.status
        accept = exchange.request.fields.get("accept", "") if exchange.request else ""
        kind = _preferred(accept)
        if self.dev and is_loopback(exchange.facts.remote_addr):
            told = _development(exchange, error, kind)
            if told:
                return _response(error, kind, told)
        named = self.own.get(status) or self.own.get(status // 100)
        body = named[0].read() if named else b""
        if named and body:
            return _response(error, named[1], body)
        if kind == HTML or (kind == TEXT and _takes_html(accept)):
            custom = self._custom(status)
            if custom:
                return _response(error, HTML, custom)
        return _response(error, kind, _body(status, kind, error.public, exchange.request_id))

    def _custom(self, status: int) -> bytes:
        """The site's own page for `status`, or b""."""
        own = self.not_found if status == 404 else self.broken if status >= 500 else None
        return own.read() if own else b""


class _Page:
    """One file of the site: looked at by stat at each use, read again when it has changed (criterion C14)."""

    __slots__ = ("kept", "path")

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.kept: tuple[tuple[int, int, int], bytes] = ((0, 0, 0), b"")
        # one tuple, replaced whole: threads see either the old pair or the new one

    def read(self) -> bytes:
        """Its bytes; b"" when it is absent, unreadable, too large, or no regular file."""
        try:
            seen = os.stat(self.path)
            if not stat.S_ISREG(seen.st_mode) or seen.st_size > PAGE_LIMIT:
                return b""
            mark = (seen.st_mtime_ns, seen.st_size, seen.st_ino)
            known, content = self.kept
            if mark != known:
                content = _read_regular(self.path)
                self.kept = (mark, content)
            return content
        except (OSError, ValueError):  # ValueError: a NUL in the site's own path
            return b""


def _read_regular(path: str) -> bytes:
    """Read at most PAGE_LIMIT bytes, without waiting should the name have become a FIFO since it was looked at."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        content = file.read(PAGE_LIMIT + 1)
    return content if len(content) <= PAGE_LIMIT else b""


def _preferred(accept: str) -> str:
    """The type this client wants to read, among those it names; plain text when it names none of ours."""
    low = accept.lower()
    named = tuple(kind for kind in (HTML, JSON, TEXT) if kind in low)
    return (choose_type(accept, named) if named else None) or TEXT


def _takes_html(accept: str) -> bool:
    return not accept or choose_type(accept, (HTML,)) is not None


def _body(status: int, kind: str, public: str, request_id: str) -> bytes:
    sentence = public or advice(status)[0]
    if kind == HTML:
        return error_page(status, sentence, request_id)
    if kind == JSON:
        return _json({"status": status, "error": sentence, "request_id": request_id})
    text = f"{status} {reason(status)}\n{sentence} {advice(status)[1]}\nRequest id: {request_id}\n"
    return text.encode("utf-8", "backslashreplace")


def _development(exchange: Exchange, error: EdgeError, kind: str) -> bytes:
    """What only the developer may see, in the form that the client prefers; b"" where there is no more to tell."""
    request = exchange.request
    line = f"{request.method} {request.target}" if request else ""
    if isinstance(error, UpstreamError):
        return unanswered(error, exchange.attempts, line, exchange.request_id, kind.partition("/")[2])
    has_more = isinstance(error, AppError) and error.traceback_text
    return _traceback(exchange, error, line, kind) if has_more else b""


def _traceback(exchange: Exchange, error: EdgeError, line: str, kind: str) -> bytes:
    """What the application raised."""
    status, text = error.status, error.traceback_text
    if kind == HTML:
        return traceback_page(status, line, text, exchange.request_id, error.public)
    if kind == JSON:
        last = (text.strip().splitlines() or [reason(status)])[-1]
        return _json({"status": status, "error": last, "request_id": exchange.request_id, "traceback": text})
    shown = f"{status} {reason(status)}\n{line}\n\n{text.strip()}\n\nRequest id: {exchange.request_id}\n"
    return shown.encode("utf-8", "backslashreplace")


def _json(value: dict[str, object]) -> bytes:
    return json.dumps(value).encode("ascii") + b"\n"


def _response(error: EdgeError, kind: str, body: bytes) -> Response:
    """Status, body, and the fields: the error's own first (Allow, Retry-After), ours where it does not speak."""
    content_type = f"{kind}; charset=utf-8" if kind in (HTML, TEXT) else kind
    ours = [("Content-Type", content_type), ("X-Content-Type-Options", "nosniff"), ("Vary", "Accept")]
    if error.status >= 500:
        ours.append(("Cache-Control", "no-store"))
    taken = {name.lower() for name, _ in error.fields}
    return Response(error.status, (*error.fields, *(pair for pair in ours if pair[0].lower() not in taken)), body)
