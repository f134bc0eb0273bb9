"""An exchange for a request that nobody sent: for `explain`, and for the tests that a configuration carries.

Its head goes through the very reader that clients' heads go through, so what no client could ask is refused here too.
A body that the head announces is there, and has the announced length: whoever bounds bodies says so.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from io import BytesIO
from typing import IO
from urllib.parse import quote, urlsplit

from edgestack.config.model import Config
from edgestack.errors import ClientError
from edgestack.http.bodies import within
from edgestack.http.facts import Facts
from edgestack.http.messages import Exchange
from edgestack.http.target import host_name
from edgestack.wire.h1 import H1

__all__ = ["asked"]

PORTS = {"http": 80, "https": 443}
KEEP = "/:@!$&'()*+,;=?%~-._[]"
PIECE = 64 * 1024
"""Bytes of a piece, and of a body that is in memory, as `wire/receiving.py` has it."""


def asked(
    config: Config, method: str, url: str, fields: Sequence[tuple[str, str]] = (), address: str = "127.0.0.1",
    started: float = 0.0,
) -> Exchange:  # fmt: skip
    """The exchange.

    :param url: absolute; a path alone goes to the default site.
    :param fields: of the request; a Host among them is taken instead of the URL's.
    :param address: the client's.
    :param started: seconds on the serving clock.
    :raises ClientError: it could not be asked: the head is refused.
    """
    parts = urlsplit(url)
    scheme = parts.scheme or ("https" if config.server.tls else "http")
    authority = parts.netloc or _default_host(config)
    target = (quote(parts.path, KEEP) or "/") + (f"?{quote(parts.query, KEEP)}" if parts.query else "")
    named = any(name.lower() == "host" for name, _ in fields)
    lines = [f"{method} {target} HTTP/1.1", *([] if named else [f"Host: {authority}"])]
    lines += [f"{name}: {value}" for name, value in fields]
    h1 = H1(config.server.limits)
    h1.feed("\r\n".join((*lines, "", "")).encode("latin-1", "replace"))
    request = h1.next_request()
    if request is None:
        raise ClientError("The request is not complete.", 400)
    if h1.framing is not None:
        request.body = Announced(h1.framing.length)
    host = host_name(authority)
    port = parts.port or PORTS.get(scheme, 80)
    sni = host if scheme == "https" and not host.startswith("[") and not host.replace(".", "").isdigit() else ""
    facts = Facts(remote_addr=address, local_port=port, scheme=scheme, sni=sni)
    facts.connection = facts.requests = 1
    return Exchange(facts, request, 0, started)


class Announced:
    """A body that nobody sends: NUL bytes, as many as were announced; none in chunks. See `http.bodies.RequestBody`."""

    __slots__ = ("gap", "length")

    def __init__(self, length: int | None) -> None:
        """:param length: bytes; None for chunks."""
        self.length = length
        self.gap = 0.0

    def spooled_nowait(self, limit: int) -> IO[bytes]:
        """All of it; a large one is a file without content, which takes no space."""
        size = self.length or 0
        within(size, limit)
        if size <= PIECE:
            return BytesIO(bytes(size))
        spool: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - the caller's
        spool.truncate(size)
        return spool

    async def spooled(self, limit: int) -> IO[bytes]:
        """All of it."""
        return self.spooled_nowait(limit)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Piece by piece."""
        left = self.length or 0
        while left:
            piece = bytes(min(left, PIECE))
            left -= len(piece)
            yield piece


def _default_host(config: Config) -> str:
    """A host that leads to the default site, or to the first one where none is the default."""
    sites = config.all_sites()
    site = next((site for site in sites if site.default), None)
    hosts = (site or sites[0]).hosts
    return hosts[0].replace("*.", "www.", 1) if hosts else "localhost"
