"""A request that the server asks itself, on behalf of one that came: nginx's subrequest, as auth_request needs it.

    exchange -> Subrequest (GET, the same fields, no body) -> the site's handler -> its answer's head, the body dropped

The route that its path leads to answers, `internal` or not. As in nginx, it is not asked who it is (allow, passwords,
auth_request), limits do not count it, since they counted the request that it is asked for, and it leaves no line in the
access log. Application code runs on an application thread, and writes to an outlet that keeps the head.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import trio

from edgestack.errors import Disconnected, EdgeError
from edgestack.http.bodies import FileSegment
from edgestack.http.jumps import Journey, Jump
from edgestack.http.messages import AppCall, Exchange, Handler, Request, Response, settled
from edgestack.http.target import read_path
from edgestack.wire.app_turn import Pool, take_turn
from edgestack.wire.streaming import let_go

__all__ = ["CurrentThreads", "Subrequest", "Threads", "ask"]

ABOUT_BODY = ("content-length", "content-type", "content-encoding", "transfer-encoding", "expect")
CONDITIONS = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "range")
OURS = ("x-original-uri", "x-original-method")
DROPPED = frozenset((*ABOUT_BODY, *CONDITIONS, *OURS))
"""Fields that speak of the first request's body or representation; and ours, which a client must not forge."""


PAGE_LIMIT = 5.0
"""Seconds that an application thread waits for the page of its error; then the built-in one is sent."""


class Threads(Pool, Protocol):
    """Such threads, and the way back from them."""

    def wait(self, make: Callable[[], Awaitable[Any]]) -> Any:
        """On one of its threads: what comes of `make()` on the loop; None when there is none."""


class Owner(Protocol):
    """Whoever has the threads, which may be others after a reload."""

    token: trio.lowlevel.TrioToken | None
    """The way to its loop, while it serves."""

    @property
    def pool(self) -> Pool:
        """The threads of now."""


class CurrentThreads:
    """The application threads, whichever there are by now."""

    __slots__ = ("_owner",)

    def __init__(self, owner: Owner) -> None:
        self._owner = owner

    def queue(self, job: Callable[[], None]) -> None:
        """:raises Refused: there are too many jobs."""
        self._owner.pool.queue(job)

    def go(self) -> None:
        """Run what was queued."""
        self._owner.pool.go()

    def wait(self, make: Callable[[], Awaitable[Any]]) -> Any:
        """What comes of `make()` on the loop; None when that has gone, or it took too long: it may wait for a thread,
        and all of them may wait here."""

        async def bounded() -> Any:
            with trio.move_on_after(PAGE_LIMIT):
                return await make()
            return None

        try:
            return trio.from_thread.run(bounded, trio_token=self._owner.token)
        except (trio.RunFinishedError, trio.Cancelled):
            return None


class Subrequest(Exchange):
    """An exchange of the server with itself."""

    __slots__ = ()

    def __init__(self, exchange: Exchange, path: str) -> None:
        """
        :param exchange: the one on whose behalf it is asked; they share the request id.
        :param path: a path of the same site, which may bring a query.
        """
        super().__init__(exchange.facts, _request(exchange.request, path), exchange.serial, exchange.started)
        self.ticket = [None]
        self.journey = Journey()
        """It began inside the server."""

    def finish(self) -> None:
        """Run the ends that its links added; those of every exchange, such as the log, do not concern it."""
        usual = getattr(self.chain, "ends", ())
        self.ends = tuple(end for end in self.ends if end not in usual)
        super().finish()


class Collected:
    """An outlet that keeps the head of an answer (`http.bodies.Outlet`). On the application's thread."""

    __slots__ = ("begun", "response")

    def __init__(self) -> None:
        self.begun = False
        self.response: Response | None = None

    def head(self, response: Response) -> None:
        """Keep it."""
        self.response = response

    def piece(self, data: bytes) -> None:
        """Nobody reads the body; the application is told at its first piece, and closed."""
        self.begun = self.begun or bool(data)

    def file(self, segment: FileSegment) -> None:
        """Nobody reads it."""
        self.begun = True

    def whole(self, response: Response, data: bytes) -> None:
        """Keep the head."""
        self.response, self.begun = response, True

    def finish(self) -> None:
        """It is whole."""
        self.begun = True

    def broken(self, why: str = "") -> None:
        """Then there is no answer, unless its head was complete."""
        if not self.begun:
            self.response = None

    def left(self) -> bool:
        """Nobody has gone."""
        return False


async def ask(exchange: Exchange, path: str, handle: Handler, threads: Threads) -> Response:
    """The head of what the site answers at `path`.

    :param handle: the site's handler.
    :raises EdgeError: there is no answer.
    """
    asked = Subrequest(exchange, path)
    try:
        answer = await settled(handle(asked))
        if isinstance(answer, Jump):
            raise EdgeError("The request could not be checked.", 500, detail=f"{path} leads to {answer.target}")
        if isinstance(answer, AppCall):
            answer = await _run(answer, threads)
        else:
            let_go(answer.body)
        asked.status = answer.status
        return answer
    except Disconnected:
        raise EdgeError("The request could not be checked.", 500, detail=f"{path} broke its answer off") from None
    finally:
        asked.finish()


async def _run(call: AppCall, threads: Threads) -> Response:
    """Run application code on its thread; what it does not finish in time is nobody's: the wait can be cancelled."""
    outlet = Collected()
    await take_turn(threads, call, outlet)
    if outlet.response is None:
        raise EdgeError("The request could not be checked.", 500, detail="the application gave no answer")
    return outlet.response


def _request(request: Request, path: str) -> Request:
    """GET `path` with the fields of `request`."""
    plain, _, query = path.partition("?")
    pairs = [pair for pair in request.pairs if pair[0] not in DROPPED]
    fields = {name: value for name, value in request.fields.items() if name not in DROPPED}
    for name, value in (("x-original-uri", request.target), ("x-original-method", request.method)):
        pairs.append((name, value))
        fields[name] = value
    return Request(
        "GET", path, request.version, pairs, fields, read_path(plain), query, request.host, request.persistent,
        conditional=False,
    )  # fmt: skip
