"""One set of behaviours as a WSGI and as an ASGI application: for the test that all worker classes answer alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any, NamedTuple

PLAIN = ("Content-Type", "text/plain")


class Behaviour(NamedTuple):
    """What an application does; text is latin-1."""

    status: int = 200
    fields: tuple[tuple[str, str], ...] = (PLAIN,)
    pieces: tuple[bytes, ...] = (b"hello",)
    fails: bool = False
    """It raises, once its first piece is not there yet."""


BEHAVIOURS = {
    "one-piece": Behaviour(),
    "with-length": Behaviour(fields=(PLAIN, ("Content-Length", "5"))),
    "nothing": Behaviour(pieces=()),
    "an-empty-piece": Behaviour(pieces=(b"",)),
    "no-fields": Behaviour(fields=()),
    "order": Behaviour(fields=(("X-B", "2"), ("X-A", "1"), PLAIN, ("X-B", "3"), ("Set-Cookie", "a=b"))),
    "cookies": Behaviour(fields=(("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), PLAIN)),
    "latin": Behaviour(fields=(PLAIN, ("X-Name", "caf\xe9"))),
    "own-date": Behaviour(fields=(PLAIN, ("Date", "Thu, 01 Jan 1970 00:00:00 GMT"), ("Server", "mine"))),
    "created": Behaviour(201, (("Location", "/there"), PLAIN)),
    "no-content": Behaviour(204, (("X-A", "1"),), ()),
    "not-modified": Behaviour(304, (("ETag", '"x"'),), ()),
    "redirect": Behaviour(302, (("Location", "/elsewhere"),), ()),
    "not-found": Behaviour(404),
    "its-own-500": Behaviour(500),
    "teapot": Behaviour(418),
    "odd-status": Behaviour(299),
    "large": Behaviour(pieces=(b"x" * 200_000,)),
    "large-with-length": Behaviour(fields=(PLAIN, ("Content-Length", "200000")), pieces=(b"x" * 200_000,)),
    "pieces-with-length": Behaviour(fields=(PLAIN, ("Content-Length", "10")), pieces=(b"hello", b"", b"hello")),
    "too-much": Behaviour(fields=(PLAIN, ("Content-Length", "3"))),
    "fails": Behaviour(fails=True),
}


MEASURED = {
    f"{name}-measured": one._replace(fields=(*one.fields, ("Content-Length", str(sum(map(len, one.pieces))))))
    for name, one in BEHAVIOURS.items()
    if one.pieces and "Content-Length" not in dict(one.fields)
}
"""The same, where the application says itself how long its answer is."""
BEHAVIOURS |= MEASURED


def of(path: str) -> Behaviour:
    return BEHAVIOURS[path.strip("/").rpartition("/")[2]]


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    behaviour = of(environ["PATH_INFO"])
    status = behaviour.status
    reason = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Unknown"
    start_response(f"{status} {reason}", list(behaviour.fields))
    return failing() if behaviour.fails else list(behaviour.pieces)


def failing() -> Iterator[bytes]:
    raise ValueError("as it was asked to")
    yield b""


async def asgi(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[dict[str, Any]], Awaitable[None]]
) -> None:
    if scope["type"] == "lifespan":
        raise NotImplementedError
    behaviour = of(scope["path"])
    if behaviour.fails:
        raise ValueError("as it was asked to")
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in behaviour.fields]
    await send({"type": "http.response.start", "status": behaviour.status, "headers": headers})
    *first, last = behaviour.pieces or (b"",)
    for piece in first:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": last})
