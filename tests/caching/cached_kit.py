"""What the tests of cached routes ask of a site, with fields as lines; answers of a server; the route's zone.

edge_trio.upstream("one").sequence(server(200, b"hello", "Cache-Control: max-age=60"))
site = await edge_trio(text=…, tls=False, portable=portable)
reply = await ask(site, "/x", "Cookie: session=1")
said(reply)                                 "edgestack; hit; ttl=59"
"""

from __future__ import annotations

from typing import Any

from scripted import whole

from edgestack.testing import AsyncSite, Reply, says
from edgestack.testing.acts import Say

__all__ = ["HOST", "ask", "said", "server", "zone_of"]

HOST = "http://example.com"
"""Where URLs begin, in keys too."""


async def ask(site: AsyncSite, target: str, *lines: str, method: str = "GET", body: bytes | None = None) -> Reply:
    """One exchange on a connection of its own.

    :param lines: fields, as "Name: value".
    """
    fields = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
    return await site.request(method, HOST + target, fields=fields, body=body)


def said(reply: Reply) -> str:
    """Its Cache-Status; "" where no cache was asked."""
    return reply.get("Cache-Status") or ""


def server(status: int, body: bytes, *lines: str, close: bool = False) -> Say:
    """A server's answer with a length and these field lines."""
    return says(whole(status, body, *lines), close=close)


def zone_of(site: AsyncSite) -> Any:
    """The one zone that caches, which no user of a site has to see."""
    (zone,) = site._running.stack.caches.all()
    return zone
