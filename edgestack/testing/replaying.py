"""A cassette sent again, and what came compared with what is written in it.

    replay(entries, base, trust)  ->  Compared, …     one for each exchange, in order; on one connection after the other

Compared are status, fields and body; not the fields that are new with each answer, and none that whoever asks leaves
out. A difference is a sentence. Sockets block here: it is a command's work, or a test's.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from edgestack.testing.har import Recorded
from edgestack.testing.messages import Replies, Reply, request_bytes

__all__ = ["PASSING", "Compared", "replay"]

PASSING = frozenset(("date", "x-request-id", "age", "connection", "keep-alive", "transfer-encoding", "content-length"))
"""Fields that are new with each answer, or say how it was framed: the body is compared itself."""
FRAMING = frozenset(("host", "connection", "content-length", "transfer-encoding", "expect", "te"))
"""Fields of a request that are made anew."""
PATIENCE = 30.0
"""Seconds of silence after which an answer is given up."""
MOST_SHOWN = 60
"""Characters of a value, or bytes of a body, that a difference shows."""


@dataclass(frozen=True)
class Compared:
    """One exchange."""

    recorded: Recorded
    reply: Reply | None
    """None where none came."""
    differences: tuple[str, ...]

    @property
    def what(self) -> str:
        """Method and target."""
        return f"{self.recorded.method} {_target(self.recorded.url)}"


def replay(
    entries: Iterable[Recorded], base: str, trust: ssl.SSLContext | None = None, leave_out: Collection[str] = ()
) -> Iterator[Compared]:
    """Send every exchange again.

    :param base: scheme, host and port of whoever is asked now; a path before that of every request.
    :param trust: for https.
    :param leave_out: names of fields that are not compared, in lower case.
    :raises ValueError: `base` is no http or https URL.
    """
    parts = urlsplit(base)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{base!r} is no URL of a server: write https://HOST:PORT")
    ignored = PASSING | set(leave_out)
    for entry in entries:
        try:
            reply = _asked(entry, base, trust)
        except (OSError, TimeoutError) as error:
            yield Compared(entry, None, (f"no answer came: {error}",))
            continue
        yield Compared(entry, reply, tuple(_differences(entry, reply, ignored)))


def _asked(entry: Recorded, base: str, trust: ssl.SSLContext | None) -> Reply:
    """One exchange on a connection of its own."""
    parts = urlsplit(base)
    assert parts.hostname is not None
    secure = parts.scheme == "https"
    fields = [pair for pair in entry.fields if pair[0].lower() not in FRAMING]
    target = parts.path.rstrip("/") + _target(entry.url)
    data = request_bytes(entry.method, target, parts.netloc, [*fields, ("Connection", "close")], entry.body)
    port = parts.port or (443 if secure else 80)
    with socket.create_connection((parts.hostname, port), timeout=PATIENCE) as plain:
        context = trust or ssl.create_default_context()
        sock = context.wrap_socket(plain, server_hostname=parts.hostname) if secure else plain
        with sock:
            sock.sendall(data)
            reader = Replies()
            reader.expect(entry.method)
            while (reply := reader.next()) is None:
                reader.feed(sock.recv(1 << 16))
    return reply


def _target(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"


def _differences(entry: Recorded, reply: Reply, ignored: Collection[str]) -> Iterator[str]:
    if reply.status != entry.status:
        yield f"the status is {reply.status}, and was {entry.status}"
    then, now = (_by_name(fields, ignored) for fields in (entry.answer_fields, reply.fields))
    for name in dict.fromkeys((*then, *now)):
        if name not in now:
            yield f"{name} is gone; it was {_short(then[name])}"
        elif name not in then:
            yield f"{name} is new: {_short(now[name])}"
        elif then[name] != now[name]:
            yield f"{name} is {_short(now[name])}, and was {_short(then[name])}"
    if entry.answer is not None and entry.answer != reply.body:
        yield from _of_bodies(entry.answer, reply.body)


def _by_name(fields: Iterable[tuple[str, str]], ignored: Collection[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in fields:
        key = name.lower()
        if key not in ignored:
            found[key] = f"{found[key]}, {value}" if key in found else value
    return found


def _short(value: str) -> str:
    return repr(value if len(value) <= MOST_SHOWN else value[: MOST_SHOWN - 1] + "…")


def _of_bodies(then: bytes, now: bytes) -> Iterator[str]:
    at = next((at for at, (one, other) in enumerate(zip(then, now, strict=False)) if one != other), None)
    start = min(len(then), len(now)) if at is None else at
    sizes = f" ({len(now)} bytes, and {len(then)} before)" if len(then) != len(now) else ""
    yield (
        f"the body differs from byte {start} on{sizes}: {now[start : start + MOST_SHOWN]!r}, "
        f"and was {then[start : start + MOST_SHOWN]!r}"
    )
