"""Exchanges made by hand, and folders with dates that stay, for the tests of static files."""

from __future__ import annotations

import os
import resource
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edgestack.config import model
from edgestack.content.static import Static
from edgestack.errors import ClientError
from edgestack.http.bodies import FileSegment
from edgestack.http.conditional import CONDITIONAL
from edgestack.http.facts import Facts
from edgestack.http.messages import AppCall, Exchange, Request, Response
from edgestack.http.target import read_path

LONG_AGO = 1_600_000_000
"""Sun, 13 Sep 2020 12:26:40 GMT"""


def exchange(target: str, method: str = "GET", started: float = 0.0, **fields: str) -> Exchange:
    """An exchange that asks for `target`; `if_none_match='"x"'` is the field If-None-Match."""
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    raw, _, query = target.partition("?")
    pairs = list(named.items())
    request = Request(method, target, "HTTP/1.1", pairs, named, read_path(raw), query, "localhost", True)
    request.conditional = not CONDITIONAL.isdisjoint(named)
    return Exchange(Facts(), request, 1, started)


def write(path: Path, content: bytes | str = b"content", mtime: float = LONG_AGO) -> Path:
    """A file with content and a date, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    os.utime(path, (mtime, mtime))
    return path


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's right to read everything, where tests run as root."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(was)


@contextmanager
def descriptors(spare: int) -> Iterator[None]:
    """As if the process had only so many descriptors left."""
    probe = os.open("/dev/null", os.O_RDONLY)
    os.close(probe)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe + spare, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def static(
    root: Path, prefix: str = "/", dev: bool = False, private: Any = None, types: Any = None, **keys: Any
) -> Static:
    """A handler for `root`; further keys are those of the `static` section."""
    return Static(model.Static(root, **keys), prefix, dev, private, types)


def get(handler: Static, target: str, method: str = "GET", started: float = 0.0, **fields: str) -> Response:
    """The answer, where it comes at once."""
    answer = handler(exchange(target, method, started, **fields))
    assert isinstance(answer, Response)
    return answer


def refusal(handler: Static, target: str, method: str = "GET", **fields: str) -> ClientError:
    """The error, where there is one."""
    with pytest.raises(ClientError) as caught:
        handler(exchange(target, method, **fields))
    return caught.value


async def waited(answer: Response | AppCall | Awaitable[Response | AppCall] | None) -> Response:
    """The answer, where it has to be waited for."""
    assert answer is not None
    assert not isinstance(answer, Response | AppCall)
    response = await answer
    assert isinstance(response, Response)
    return response


def body(response: Response) -> bytes:
    """All of a body as bytes, its files read and closed; as long as it was announced."""
    pieces = response.body if isinstance(response.body, tuple) else (response.body,)
    taken = b""
    for piece in pieces:
        if isinstance(piece, FileSegment):
            taken += os.pread(piece.fd, piece.length, piece.offset)
        else:
            assert isinstance(piece, bytes)
            taken += piece
    assert len(taken) == response.length
    return taken
