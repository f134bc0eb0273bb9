"""The smallest WSGI application (PEP 3333): the same file runs under every server that the bench compares."""

from __future__ import annotations

from typing import Any

BODY = b"Hello, world!\n"
FIELDS = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(BODY)))]


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answer every request with the same fourteen bytes."""
    start_response("200 OK", FIELDS)
    return [BODY]
