"""The tests that a configuration carries, run in memory: each `[[test]]` is a request through the very handler.

    run_tests(plan) -> one Outcome per test: what was expected, and what came instead

No socket is opened. An application is loaded when the first test needs it, and called on a thread; what must wait (a
listing, a password, a delay) is run by trio. What counts (limits) counts within one run, from zero on. No upstream is
asked: a test says itself what one would answer (upstream/pretending.py).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import trio

from edgestack.compose import Plan, Resources
from edgestack.compose.asking import asked
from edgestack.compose.conditions import fits
from edgestack.compose.resources import Here
from edgestack.config.matching import parse_match
from edgestack.config.model import App, Listener, Test
from edgestack.content.files import PrivateFiles
from edgestack.content.loading import load
from edgestack.errors import ConfigError, Disconnected, EdgeError
from edgestack.http.bodies import Body, FileSegment
from edgestack.http.messages import AppCall, Exchange, Handler, Response, settled
from edgestack.kept import Kept
from edgestack.upstream.pretending import Pretended
from edgestack.wire.held_clock import on_thread

__all__ = ["Outcome", "run_tests"]

log = logging.getLogger("edgestack.error")

MOST_BODY = 1 << 20
"""Bytes of a body that are looked at: a stream may have no end."""
PATIENCE = 30.0
"""Seconds that one answer may take."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one test."""

    test: Test
    failures: tuple[str, ...]
    """One sentence for each expectation that was not met."""
    log: tuple[str, ...] = ()
    """What the error log would say."""

    def __str__(self) -> str:
        method, url = self.test.request
        place = f"{self.test.origin}: " if self.test.origin is not None else ""
        return f"{place}{method} {url}: {'; '.join(self.failures) or 'as expected'}"


def run_tests(plan: Plan) -> list[Outcome]:
    """Run every test of a plan, in order. Not to be called where trio runs already.

    :raises ConfigError: an application that a test needs cannot be loaded.
    """
    return trio.run(_run, plan) if plan.config.tests else []


class OneThread(Here):
    """The thread of trio's on which an application is called."""

    __slots__ = ()

    def wait(self, make: Callable[[], Awaitable[Any]]) -> Any:
        """What comes of `make()` on the loop."""
        return trio.from_thread.run(make)


async def _run(plan: Plan) -> list[Outcome]:
    applications = _Applications()
    trouble = None
    with Kept().next() as keep:
        private, upstreams = PrivateFiles(plan.config.server.private_paths), Pretended(keep)
        resources = Resources(applications, private=private, keep=keep, threads=OneThread(), upstreams=upstreams)
        handle = plan.assemble(resources)(Listener()).handle
        async with trio.open_nursery() as nursery:
            upstreams.bind(nursery)
            try:
                outcomes = [await _outcome(plan, handle, test, upstreams, applications) for test in plan.config.tests]
            except ConfigError as error:  # not in an ExceptionGroup
                trouble = error
            nursery.cancel_scope.cancel()
    if trouble is not None:
        raise trouble
    return outcomes


async def _outcome(
    plan: Plan, handle: Handler, test: Test, upstreams: Pretended, applications: _Applications
) -> Outcome:
    upstreams.begin(test.upstream)
    with _Heard() as heard:
        failures = await _failures(plan, handle, test)
    applications.check()
    return Outcome(test, (*failures, *_unasked(test, failures, upstreams.asked)), tuple(heard.lines))


def _unasked(test: Test, failures: Sequence[str], asked: int) -> Iterator[str]:
    """Whether the test and its route agree that there is an upstream."""
    if test.upstream is not None and not asked:
        yield "`upstream` says what a server would answer, and none was asked"
    elif test.upstream is None and asked and failures:
        yield "no upstream is asked in a test: say what it would answer, for instance `upstream = { status = 200 }`"


async def _failures(plan: Plan, handle: Handler, test: Test) -> list[str]:
    method, url = test.request
    try:
        exchange = asked(plan.config, method, url, test.header, test.from_, trio.current_time())
    except EdgeError as error:
        expected = test.expect.status
        return [] if expected == error.status else [f"it could not be asked: {error.status}, {error}"]
    try:
        with trio.fail_after(PATIENCE):
            response, body = await _answer(exchange, handle)
    except trio.TooSlowError:
        return [f"no answer came within {PATIENCE:g} seconds"]
    except Disconnected as error:
        return [f"the answer broke off{f': {error}' if str(error) else ''}"]
    finally:
        exchange.finish()
    return list(_unmet(plan, test, exchange, response, body))


async def _answer(exchange: Exchange, handle: Handler) -> tuple[Response, bytes]:
    """The answer, and as much of its body as is looked at."""
    answer = await settled(handle(exchange))
    if isinstance(answer, AppCall):
        exchange.ticket = [None]
        outlet = Collected()
        await on_thread(answer.run, outlet, abandon_on_cancel=True)
        if outlet.response is None or outlet.why is not None:
            raise Disconnected(detail=outlet.why or "the application gave no answer")
        return outlet.response, b"".join(outlet.pieces)
    assert isinstance(answer, Response)
    return answer, await _read(answer.body)


async def _read(body: Body) -> bytes:
    if isinstance(body, bytes):
        return body
    if isinstance(body, FileSegment):
        return bytes(body.read(0, MOST_BODY))
    if isinstance(body, tuple):
        return b"".join([await _read(piece) for piece in body])
    found = b""
    if not isinstance(body, AsyncIterable):  # a tunnel, which no upstream that is not asked will offer
        return found
    async for piece in body:
        found += piece
        if len(found) >= MOST_BODY:
            break
    close = getattr(body, "aclose", None)
    if close is not None:
        await close()
    return found


class _Heard(logging.Handler):
    """The error log of one test."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.lines.append(self.format(record))

    def __enter__(self) -> _Heard:
        log.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        log.removeHandler(self)


class Collected:
    """An outlet that keeps the answer (`http.bodies.Outlet`). On the application's thread."""

    __slots__ = ("begun", "pieces", "response", "why")

    def __init__(self) -> None:
        self.response: Response | None = None
        self.pieces: list[bytes] = []
        self.why: str | None = None
        """Why the answer broke off, when it did."""
        self.begun = False

    def head(self, response: Response) -> None:
        """Keep it; it may come again."""
        self.response = response
        self.pieces = [response.body] if isinstance(response.body, bytes) else []

    def piece(self, data: bytes) -> None:
        """Keep it. :raises Disconnected: nobody looks at so much."""
        self.begun = True
        if sum(map(len, self.pieces)) >= MOST_BODY:
            raise Disconnected
        self.pieces.append(data)

    def file(self, segment: FileSegment) -> None:
        """Read it."""
        self.piece(bytes(segment.read(0, MOST_BODY)))

    def whole(self, response: Response, data: bytes) -> None:
        """All at once."""
        self.head(response)
        self.piece(data)

    def finish(self) -> None:
        """It is all here."""

    def broken(self, why: str = "") -> None:
        """What was looked at is enough; anything less is a failure."""
        if sum(map(len, self.pieces)) < MOST_BODY:
            self.why = why

    def left(self) -> bool:
        """Nobody has gone."""
        return False


# --- what was expected ------------------------------------------------------------------------------------------------


def _unmet(plan: Plan, test: Test, exchange: Exchange, response: Response, body: bytes) -> Iterator[str]:
    expect, chain = test.expect, exchange.chain
    if expect.status is not None and response.status != expect.status:
        yield f"expected status {expect.status}, and {response.status} came{_elsewhere(response)}"
    if expect.site:
        names = next((site.hosts for site in plan.sites if site.hosts[:1] == (chain.site,)), ())
        if expect.site not in names:
            yield f"expected the site {expect.site}, and it was {chain.site or 'none of that name'}"
    if expect.route:
        route = "none" if chain.match is chain.locations.fallback.match else str(chain.match)
        if route != str(parse_match(expect.route)):
            yield f"expected the route {expect.route!r}, and it was {route!r}"
    yield from _unmet_fields(test, response)
    if expect.body and expect.body.encode() not in body:
        yield f"expected {expect.body!r} in the body, and it begins {_shown(body)}"


def _unmet_fields(test: Test, response: Response) -> Iterator[str]:
    fields = [*response.fields]
    if response.length is not None:
        fields.append(("Content-Length", str(response.length)))
    for name, condition in test.expect.header:
        values = [value for key, value in fields if key.lower() == name.lower()]
        value = ", ".join(values) if values else None
        if not fits(condition)(value):
            came = "there is none" if value is None else f"it is {value!r}"
            yield f"expected the field {name} {_wanted(condition)}, and {came}"


def _wanted(condition: Any) -> str:
    if condition.pattern:
        return f"to fit {condition.pattern!r}"
    if condition.value is not None:
        return f"to be {condition.value!r}"
    return "to be there" if condition.present else "not to be there"


def _elsewhere(response: Response) -> str:
    location = response.field("location")
    return f", to {location}" if location else ""


def _shown(body: bytes) -> str:
    return repr(body[:60].decode("utf-8", "replace")) if body else "and ends at once"


# --- applications -----------------------------------------------------------------------------------------------------


class _Application:
    """One that is loaded when it is first called."""

    __slots__ = ("_app", "_loaded", "trouble")

    def __init__(self, app: App) -> None:
        self._app = app
        self._loaded: Callable[..., Any] | None = None
        self.trouble: ConfigError | None = None

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        if self._loaded is None:
            try:
                self._loaded = load_from(self._app)
            except ConfigError as error:
                self.trouble = error
                raise
        answer: Iterable[bytes] = self._loaded(environ, start_response)
        return answer


class _Applications(dict[App, Callable[..., Any]]):
    """All of them."""

    def __missing__(self, key: App) -> Callable[..., Any]:
        self[key] = made = _Application(key)
        return made

    def check(self) -> None:
        """:raises ConfigError: one that was called could not be loaded."""
        for one in self.values():
            if isinstance(one, _Application) and one.trouble is not None:
                raise one.trouble


def load_from(app: App) -> Callable[..., Any]:
    """The application, its folder first on sys.path."""
    folder = str(app.folder) if app.folder is not None else ""
    if folder and folder not in sys.path:
        sys.path.insert(0, folder)
    return load(app.target, app.folder)
