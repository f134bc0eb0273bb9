"""A bare callable with the features of the Flask and the Django application beside it, and nothing but PEP 3333."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qs

from gates import open_gate, pass_gate

Environ: TypeAlias = "dict[str, Any]"
Fields: TypeAlias = "list[tuple[str, str]]"
Reply: TypeAlias = "tuple[str, Fields, Iterable[bytes]]"

BLOCK = 1 << 16
ETAG = '"a-page-of-the-application"'
LARGE = 20 << 20


def text(content: str, *fields: tuple[str, str]) -> Reply:
    return "200 OK", [("Content-Type", "text/plain; charset=utf-8"), *fields], [content.encode()]


def as_json(value: Any) -> Reply:
    return "200 OK", [("Content-Type", "application/json")], [json.dumps(value).encode()]


def read(environ: Environ) -> bytes:
    return bytes(environ["wsgi.input"].read())


def page(environ: Environ, rest: str) -> Reply:
    name = rest.encode("latin-1").decode()
    query = parse_qs(environ["QUERY_STRING"]).get("q", [""])[0]
    return text(f"{name}|{query}|{environ['wsgi.url_scheme']}://{environ['HTTP_HOST']}")


def form(environ: Environ, rest: str) -> Reply:
    return as_json({name: values[0] for name, values in parse_qs(read(environ).decode()).items()})


def echo(environ: Environ, rest: str) -> Reply:
    return as_json(json.loads(read(environ)))


def upload(environ: Environ, rest: str) -> Reply:
    size, digest = 0, hashlib.sha256()
    while piece := environ["wsgi.input"].read(BLOCK):
        size += len(piece)
        digest.update(piece)
    return as_json({"size": size, "sha256": digest.hexdigest()})


def stream(environ: Environ, rest: str) -> Reply:
    def pieces() -> Iterator[bytes]:
        yield b"first "
        pass_gate(rest)
        yield b"second"

    return "200 OK", [("Content-Type", "text/plain")], pieces()


def held(environ: Environ, rest: str) -> Reply:
    """A stream that waits for somebody to write into a FIFO: a gate that can be opened after the listener is closed."""

    def pieces() -> Iterator[bytes]:
        yield b"first "
        yield Path(os.environ["EDGE_FIFO"]).read_bytes()

    return "200 OK", [("Content-Type", "text/plain")], pieces()


def gate(environ: Environ, rest: str) -> Reply:
    open_gate(rest)
    return text("open")


def file(environ: Environ, rest: str) -> Reply:
    path = Path(os.environ["EDGE_FILE"])
    fields = [("Content-Type", "application/octet-stream"), ("Content-Length", str(path.stat().st_size))]
    return "200 OK", fields, environ["wsgi.file_wrapper"](path.open("rb"))


def boom(environ: Environ, rest: str) -> Reply:
    raise LookupError("a secret of the application")


def cookies(environ: Environ, rest: str) -> Reply:
    return text(environ.get("HTTP_COOKIE", ""), ("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2; Path=/"))


def redirect(environ: Environ, rest: str) -> Reply:
    return "302 Found", [("Location", "/page/there?q=1")], []


def validated(environ: Environ, rest: str) -> Reply:
    if environ.get("HTTP_IF_NONE_MATCH") == ETAG:
        return "304 Not Modified", [("ETag", ETAG)], []
    return text("a page", ("ETag", ETAG))


def large(environ: Environ, rest: str) -> Reply:
    return "200 OK", [("Content-Type", "application/octet-stream")], (bytes(BLOCK) for _ in range(LARGE // BLOCK))


def method(environ: Environ, rest: str) -> Reply:
    return text(str(environ.get("HTTP_X_HTTP_METHOD_OVERRIDE", environ["REQUEST_METHOD"])))


def shown(environ: Environ, rest: str) -> Reply:
    return as_json({name: value for name, value in environ.items() if isinstance(value, (str, bool))})


VIEWS: dict[str, Callable[[Environ, str], Reply]] = {
    "page": page,
    "form": form,
    "json": echo,
    "upload": upload,
    "stream": stream,
    "held": held,
    "open": gate,
    "file": file,
    "boom": boom,
    "cookies": cookies,
    "redirect": redirect,
    "validated": validated,
    "large": large,
    "method": method,
    "environ": shown,
}


def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
    first, _, rest = environ["PATH_INFO"].lstrip("/").partition("/")
    view = VIEWS.get(first)
    if view is None:
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"the application knows no such page"]
    status, fields, body = view(environ, rest)
    start_response(status, fields)
    return body
