"""A sample application: plain WSGI (PEP 3333), nothing but the standard library, small enough to read in one sitting.

    edgestack serve --static site/ --app src.main:app

It knows nothing of the server that calls it; any WSGI server will do. `app` looks the path up in `ROUTES` and calls
what stands there with the environ; a route gives back a `Reply`, whose body is any iterable of bytes.

    GET   /app/          what this is, and how the request came in (also at / when no static site stands in front)
    GET   /api/time      the time, as JSON
    GET   /app/upload    a form;  POST: size, SHA-256 and first bytes of a form's file (HTML) or of a bare body (JSON)
    GET   /app/stream    primes counted while you watch: each line is sent when it is known; ?up-to=N
    GET   /app/boom      raises, to see what a server makes of it
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from html import escape
from typing import Any, BinaryIO, TypeAlias
from urllib.parse import parse_qs
from wsgiref.types import StartResponse

__all__ = ["app"]

Environ: TypeAlias = "dict[str, Any]"

BLOCK = 64 * 1024
STREAM_STEP = 20_000
STREAM_DEFAULT, STREAM_MOST = 1_000_000, 5_000_000


@dataclass
class Reply:
    """What a route gives back: enough for `start_response` and a body."""

    body: Iterable[bytes]
    status: str = "200 OK"
    content_type: str = "text/html; charset=utf-8"
    fields: tuple[tuple[str, str], ...] = ()


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The WSGI application."""
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    method = environ["REQUEST_METHOD"]
    methods = ROUTES.get(path)
    if methods is None:
        reply = missing(path)
    elif route := methods.get("GET" if method == "HEAD" else method):
        reply = route(environ)
    else:
        reply = unwilling(method, methods)
    start_response(reply.status, [("Content-Type", reply.content_type), *reply.fields])
    return reply.body


# --- routes ----------------------------------------------------------------------------------------------------------


def home(environ: Environ) -> Reply:
    facts = {
        "Scheme": environ["wsgi.url_scheme"],
        "Protocol": environ["SERVER_PROTOCOL"],
        "Your address": environ.get("REMOTE_ADDR", "unknown"),
        "Process": str(os.getpid()),
        "Thread": threading.current_thread().name,
    }
    rows = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    return page(
        "Made by an application",
        "<p>This page did not come from a file. A WSGI application wrote it when you asked, on a thread of the very "
        f"process that holds your connection.</p><dl>{rows}</dl>"
        '<ul><li><a href="/api/time">The time, as JSON</a></li><li><a href="/app/upload">Send a file</a> and get its '
        'SHA-256</li><li><a href="/app/stream">Watch primes being counted</a>, line by line</li><li><a '
        'href="/app/boom">Raise an exception</a> and see what the server makes of it</li></ul>',
    )


def time_now(environ: Environ) -> Reply:
    now = datetime.now(UTC)
    return as_json({"utc": now.isoformat(timespec="milliseconds"), "unix": now.timestamp(), "process": os.getpid()})


def upload_form(environ: Environ) -> Reply:
    return page(
        "Send a file",
        '<form method="post" enctype="multipart/form-data"><p><label>File <input type="file" name="file" required>'
        "</label></p><p><button>Send</button></p></form><p>From a terminal, the bare body will do:</p>"
        "<pre>curl --data-binary @photo.jpg …/app/upload</pre>",
    )


def upload(environ: Environ) -> Reply:
    """Digest what was sent, block by block: its size makes no difference to the memory this takes."""
    form = Message()
    form["Content-Type"] = environ.get("CONTENT_TYPE", "")
    stream = environ["wsgi.input"]
    if form.get_content_type() != "multipart/form-data":
        return as_json(digest(iter(lambda: stream.read(BLOCK), b"")))
    delimiter = b"--" + str(form.get_boundary("")).encode("latin-1")
    name = next_file(stream, delimiter)
    if name is None:
        return page("No file", "<p>The form came without a file.</p>", "400 Bad Request")
    found = {"name": name, **digest(part_body(stream, delimiter))}
    rows = "".join(f"<dt>{key}</dt><dd>{escape(str(value))}</dd>" for key, value in found.items())
    return page("Received", f'<dl>{rows}</dl><p><a href="/app/upload">Another one</a></p>')


def stream_primes(environ: Environ) -> Reply:
    limit = stream_limit(environ.get("QUERY_STRING", ""))
    return Reply(prime_lines(limit), content_type="text/plain; charset=utf-8", fields=(NOSNIFF,))


def boom(environ: Environ) -> Reply:
    raise RuntimeError("this is what you asked for")


ROUTES: dict[str, dict[str, Callable[[Environ], Reply]]] = {
    "/": {"GET": home},
    "/app/": {"GET": home},
    "/api/time": {"GET": time_now},
    "/app/upload": {"GET": upload_form, "POST": upload},
    "/app/stream": {"GET": stream_primes},
    "/app/boom": {"GET": boom},
}


def missing(path: str) -> Reply:
    # PEP 3333 hands the path over as latin-1 text; people wrote it as UTF-8
    shown = path.encode("latin-1").decode("utf-8", "replace")
    body = f"<p>Neither a file nor this application answers at <code>{escape(shown)}</code>.</p>"
    return page("There is nothing here", body, "404 Not Found")


def unwilling(method: str, methods: Iterable[str]) -> Reply:
    allowed = ", ".join(sorted({*methods, "HEAD"}))
    reply = page(
        "Not like this", f"<p>{escape(method)} does nothing here. Try {allowed}.</p>", "405 Method Not Allowed"
    )
    reply.fields += (("Allow", allowed),)
    return reply


# --- uploads ---------------------------------------------------------------------------------------------------------


def digest(pieces: Iterable[bytes]) -> dict[str, object]:
    size, first, sha256 = 0, b"", hashlib.sha256()
    for piece in pieces:
        size += len(piece)
        if len(first) < 16:
            first += piece[: 16 - len(first)]
        sha256.update(piece)
    return {"size": size, "sha256": sha256.hexdigest(), "first_bytes": first.hex(" ")}


def next_file(stream: BinaryIO, delimiter: bytes) -> str | None:
    """Read on to the first byte of the next part that is a file (RFC 7578 §4.2), and give its name; None at the end."""
    while line := stream.readline(BLOCK):
        if not line.startswith(delimiter):
            continue
        head = Message()
        while (field := stream.readline(BLOCK)).strip():
            key, _, value = field.decode("utf-8", "replace").partition(":")
            head[key] = value.strip()
        name = head.get_filename()
        if name is not None:
            return name
    return None


def part_body(stream: BinaryIO, delimiter: bytes) -> Iterator[bytes]:
    """A part's bytes, up to its delimiter. The line end before that belongs to it, so one is always held back."""
    held = b""
    while line := stream.readline(BLOCK):
        if held == b"\r\n" and line.startswith(delimiter):
            return
        line = held + line
        held = b"\r\n" if line.endswith(b"\r\n") else b"\r" if line.endswith(b"\r") else b""
        yield line.removesuffix(held)


# --- a stream --------------------------------------------------------------------------------------------------------


def stream_limit(query: str) -> int:
    """How far to count: `up-to` of the query, within reason."""
    asked = parse_qs(query).get("up-to", [""])[0]
    if not (asked.isascii() and asked.isdigit()):
        return STREAM_DEFAULT
    return STREAM_MOST if len(asked) > 9 else min(int(asked), STREAM_MOST)  # int() refuses thousands of digits


def prime_lines(limit: int) -> Iterator[bytes]:
    """Lines of text, each given to the server as soon as it is known: how many primes there are so far."""
    yield f"Primes up to {limit:,}, by trial division; each line is sent as soon as it is known.\n\n".encode()
    primes = [2] if limit >= 2 else []
    known = 0
    for low in range(0, limit, STREAM_STEP):
        high = min(low + STREAM_STEP, limit)
        for number in range(max(3, low + 1), high + 1, 2):
            if is_prime(number, primes):
                primes.append(number)
        fresh, known = len(primes) - known, len(primes)
        yield f"{high:>9,}  {known:>7,}  {'▪' * (fresh // 40)}\n".encode()
    yield b"\nThat is all.\n"


def is_prime(number: int, smaller: list[int]) -> bool:
    """Whether an odd number is prime, given the primes below its root."""
    for prime in smaller:
        if prime * prime > number:
            return True
        if number % prime == 0:
            return False
    return True


# --- pages -----------------------------------------------------------------------------------------------------------

NOSNIFF = ("X-Content-Type-Options", "nosniff")

STYLE = """:root{color-scheme:light dark;--accent:#0b6560;--paper:#fbfaf7;--ink:#1f2529}
@media(prefers-color-scheme:dark){:root{--accent:#6fcdc0;--paper:#14181a;--ink:#e1e6e7}}
body{border-top:4px solid var(--accent);background:var(--paper);color:var(--ink)}
body>*{max-width:42rem;margin-inline:auto}body{margin:0;padding:2.5rem 1.25rem;font:1.05rem/1.6 system-ui,sans-serif}
h1{letter-spacing:-.015em;line-height:1.2}a{color:var(--accent)}dl{display:grid;grid-template-columns:auto 1fr;
gap:.3rem 1.5rem}dt{opacity:.7}dd{margin:0;overflow-wrap:anywhere;font-family:ui-monospace,monospace;font-size:.95em}
pre{overflow:auto;padding:1rem;border:1px solid #8884;border-radius:8px}button{font:inherit;padding:.4rem 1.2rem}"""


def page(title: str, body: str, status: str = "200 OK") -> Reply:
    document = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<title>{title}</title><link rel="icon" href="/favicon.svg"><style>{STYLE}</style></head><body>'
        f'<h1>{title}</h1>{body}<p><a href="/">Front page</a>, <a href="/app/">application</a></p></body></html>\n'
    )
    return Reply([document.encode()], status)


def as_json(value: dict[str, object]) -> Reply:
    return Reply(
        [json.dumps(value).encode() + b"\n"], content_type="application/json", fields=(("Cache-Control", "no-store"),)
    )
