"""Errands on the lot: begun by callbacks, waited for, given up; and forced orders of what happens around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from link_kit import Asked, Server, held_by
from lot_kit import GET, Kit, open_lot, say
from trio.testing import wait_all_tasks_blocked

from edgestack.errors import Disconnected, UpstreamError
from edgestack.http.messages import AppCall, Exchange, Response

OK = Response(200, (), b"hello")
Then = Callable[[Asked, bytes], Any]


class Edge:
    """A lot whose `/` is an errand to a server that the test plays."""

    def __init__(self, then: Then | None = None, settle: Any = None, fetched: Any = None) -> None:
        self.server = Server()
        self.then = then
        self.settle = settle
        self.fetched = fetched
        self.asked: list[Asked] = []
        self.kit: Kit | None = None

    def handle(self, exchange: Exchange) -> Any:
        if exchange.request.target != "/":
            return OK
        assert self.kit is not None
        errand = Asked(exchange, self.kit.lot, self.server, self.then)
        errand.settle, errand.fetched = self.settle, self.fetched
        self.asked.append(errand)
        return errand


async def gone(seconds: float = 0.01) -> None:
    await wait_all_tasks_blocked(seconds)


async def test_an_answer_by_callbacks_needs_no_task() -> None:
    edge = Edge(lambda errand, data: Response(200, (), data))
    async with open_lot(edge.handle) as edge.kit:
        client = edge.kit.connect()
        tasks = trio.lowlevel.current_statistics().tasks_living
        for _ in range(3):
            client.sock.send(GET)
            await gone()
            assert held_by(client.connection) == "Waiting"
            assert trio.lowlevel.current_statistics().tasks_living == tasks
            edge.server.say(b"hello")
            await client.answer()
            assert client.connection.holder is None
        assert [line.status for line in edge.kit.finished] == [200] * 3
    edge.server.close()


async def test_the_next_request_waits_for_its_turn() -> None:
    """E4: it is not read before, and answered without another event."""
    edge = Edge(lambda errand, data: OK)
    async with open_lot(edge.handle) as edge.kit:
        client = edge.kit.connect()
        client.sock.send(GET)
        await gone()
        client.sock.send(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
        await gone()
        assert len(edge.kit.finished) == 0
        edge.server.say(b"x")
        await client.answer()
        while len(edge.kit.finished) < 2:
            await gone(0.001)
        client.sock.send(GET)
        await gone()
        edge.server.say(b"x")
        await client.answer()
    edge.server.close()


@pytest.mark.parametrize("how", ["pipelined", "task"])
async def test_a_pipeline_behind_an_errand(how: str) -> None:
    """What is in the buffer already is answered although no event tells of it."""

    async def fetched() -> Response:
        await trio.lowlevel.checkpoint()
        return OK

    edge = Edge((lambda errand, data: OK) if how == "pipelined" else None, fetched=fetched)
    async with open_lot(edge.handle) as edge.kit:
        client = edge.kit.connect()
        client.sock.send(GET + b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
        await gone()
        edge.server.say(b"x")
        while len(edge.kit.finished) < 3:
            await gone(0.001)
        await client.answer()
    edge.server.close()


LEAVINGS: dict[str, Callable[[Any], Any]] = {
    "FIN": lambda client: client.sock.shutdown(1),
    "close": lambda client: client.sock.close(),
    "request, then FIN": lambda client: (client.sock.send(GET), client.sock.shutdown(1)),
}


@pytest.mark.parametrize("how", LEAVINGS)
@pytest.mark.parametrize("road", ["callback", "task"])
async def test_a_client_that_leaves(how: str, road: str) -> None:
    """Rule 8, A22: FIN counts as left; the errand is given up, 499 is logged, the connection closed."""
    cancelled = []

    async def fetched() -> Response:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            cancelled.append(True)
            raise
        return OK

    edge = Edge((lambda errand, data: OK) if road == "callback" else None, fetched=fetched)
    async with open_lot(edge.handle) as edge.kit:
        client = edge.kit.connect()
        client.sock.send(GET)
        await gone()
        LEAVINGS[how](client)
        await gone()
        assert [line.status for line in edge.kit.finished] == [499]
        assert edge.kit.lot.table == {}
        assert edge.asked[0].log == (["begin", "left"] if road == "callback" else ["begin", "fetch"])
        assert len(cancelled) == (road == "task")
        assert edge.kit.lot.links == {}
        assert edge.kit.lot.statistics.failures == 0
    edge.server.close()


@pytest.mark.parametrize("first", ["client", "server"])
async def test_the_answer_and_the_clients_end_in_one_batch(first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules 2 and 8, either order within one batch: one end, nothing left behind, nobody called twice."""
    edge = Edge(lambda errand, data: OK)
    async with open_lot(edge.handle) as edge.kit:
        lot = edge.kit.lot
        client = edge.kit.connect()
        client.sock.send(GET)
        await gone()
        held = client.connection
        edge.server.say(b"x")
        client.sock.shutdown(1)
        events = [(held.fd, 0x2001), (edge.server.link.fd, 1)]
        poll = lot._poller

        class Ordered:
            """Reports the two in this order, once."""

            once = events if first == "client" else events[::-1]

            def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
                found, self.once = self.once, []
                return found or poll.poll(timeout, most)

            def __getattr__(self, name: str) -> Any:
                return getattr(poll, name)

        lot._poller = Ordered()  # type: ignore[assignment]
        await gone()
        lot._poller = poll
        assert [line.status for line in edge.kit.finished] == ([499] if first == "client" else [200])
        assert await client.ended() if first == "client" else (await client.read()).endswith(b"hello")
        await gone()
        assert lot.table == {}
        assert lot.statistics.failures == 0
    edge.server.close()


async def test_the_server_stops_while_an_errand_is_under_way() -> None:
    edge = Edge(lambda errand, data: OK)
    async with open_lot(edge.handle) as edge.kit:
        client = edge.kit.connect()
        client.sock.send(GET)
        await gone()
        edge.kit.lot.stop()
        assert edge.asked[0].log == ["begin", "left"]
        assert [line.status for line in edge.kit.finished] == [503]
        assert edge.kit.lot.links == {}
        assert edge.server.link.closed
        assert await client.ended()
    edge.server.close()


async def test_the_server_drains_while_an_errand_is_under_way() -> None:
    """E10: it is answered, and that is the last answer."""
    edge = Edge(lambda errand, data: OK)
    async with open_lot(edge.handle) as edge.kit:
        client = edge.kit.connect()
        client.sock.send(GET)
        await gone()
        edge.kit.lot.drain()
        edge.kit.lot.close_idle()
        edge.server.say(b"x")
        answer = await client.read(1000)
        assert b"Connection: close\r\n" in answer
        assert answer.endswith(b"hello")
    edge.server.close()


async def test_a_deadline_of_the_link(mock_clock: Any) -> None:
    """Rule 13: the lot tells its holder, within a second."""
    edge = Edge(lambda errand, data: OK, settle=lambda exchange, came: Response(came.status, (), b"late!"))
    async with open_lot(edge.handle) as edge.kit:
        edge.server.link.deadline = trio.current_time() + 5
        client = edge.kit.connect()
        client.sock.send(GET)
        await gone()
        mock_clock.jump(4.5)
        await gone()
        assert edge.kit.finished == []
        mock_clock.jump(1.5)
        assert b" 504 " in await client.read()
    edge.server.close()


@pytest.mark.parametrize(
    ("came", "status"),
    [(UpstreamError(detail="refused"), 502), (UpstreamError(status=504), 504), (Disconnected(), 499), (OK, 200)],
    ids=["502", "504", "disconnected", "response"],
)
async def test_what_an_errand_brings(came: Any, status: int) -> None:
    edge = Edge(lambda errand, data: came)
    async with open_lot(edge.handle) as edge.kit:
        client = edge.kit.connect()
        client.sock.send(GET)
        await gone()
        edge.server.say(b"x")
        said = await client.read()
        assert said == b"" if status == 499 else said.startswith(b"HTTP/1.1 %d " % status)
        assert [line.status for line in edge.kit.finished] == [status]
        assert edge.kit.lot.statistics.failures == 0
    edge.server.close()


async def test_an_errand_that_wants_a_task_after_all() -> None:
    """`done(self)`: await me now; a link that its task uses is not the lot's any more."""

    async def fetched() -> Response:
        await edge.server.link.send(b"again")
        return Response(200, (), await edge.server.link.receive())

    def then(errand: Asked, data: bytes) -> Any:
        errand.lot.let_go(errand.server.link)
        return errand

    edge = Edge(then, fetched=fetched)
    async with open_lot(edge.handle) as edge.kit:
        client = edge.kit.connect()
        client.sock.send(GET)
        await gone()
        edge.server.say(b"busy")
        assert await edge.server.hear(5) == b"again"
        edge.server.say(b"hello")
        await client.answer()
        assert edge.asked[0].log == ["begin", "fetch"]
    edge.server.close()


class Called(AppCall):
    __slots__ = ()

    def run(self, outlet: Any) -> None:
        say(outlet)

    def discard(self) -> None:
        """Nothing is held."""


SETTLED: dict[str, Callable[[Exchange, Any], Any]] = {
    "response": lambda exchange, came: OK,
    "application": lambda exchange, came: Called(exchange),
    "awaitable": lambda exchange, came: later(),
    "stream": lambda exchange, came: Response(200, (), stream()),
}


async def later() -> Response:
    await trio.lowlevel.checkpoint()
    return OK


async def stream() -> Any:
    yield b"hel"
    yield b"lo"


@pytest.mark.parametrize("kind", SETTLED)
@pytest.mark.parametrize("road", ["callback", "task"])
async def test_what_the_spine_makes_of_it(kind: str, road: str) -> None:
    """Whatever it is, it is sent; and the connection goes on."""

    async def fetched() -> Response:
        raise UpstreamError

    edge = Edge((lambda errand, data: UpstreamError()) if road == "callback" else None, SETTLED[kind], fetched)
    async with open_lot(edge.handle) as edge.kit:
        client = edge.kit.connect()
        for _ in range(2):
            client.sock.send(GET)
            await gone()
            edge.server.say(b"x")
            await client.answer(b"0\r\n\r\n" if kind == "stream" else b"hello")
        await edge.kit.quiet()
        assert [line.status for line in edge.kit.finished] == [200, 200]
    edge.server.close()


def bug(*_: object) -> Any:
    raise RuntimeError("a bug")


BUGS: dict[str, dict[str, Any]] = {
    "begin": {},
    "event": {"then": bug},
    "settle": {"settle": bug},
    "done": {"then": lambda errand, data: RuntimeError("a bug")},
    "nonsense": {"then": lambda errand, data: 7},
    "relay": {"then": lambda errand, data: errand.relay(9, data), "settle": bug},
}


@pytest.mark.parametrize("where", BUGS)
async def test_a_bug_costs_its_own_connection(where: str, caplog: pytest.LogCaptureFixture) -> None:
    """Rule 7: the boundary of events of links, with the request id, counted once; the link is not left behind."""
    edge = Edge(**{"then": lambda errand, data: OK} | BUGS[where])
    handle = edge.handle
    if where == "begin":

        def handle(exchange: Exchange) -> Any:
            errand = edge.handle(exchange)
            if errand is not OK:
                errand.lot = None  # begin fails on it
            return errand

    async with open_lot(handle) as edge.kit:
        other, client = edge.kit.connect(), edge.kit.connect()
        client.sock.send(GET)
        await gone()
        edge.server.say(b"x")
        assert await client.ended()
        lot = edge.kit.lot
        assert lot.statistics.failures == 1
        assert [line.status for line in edge.kit.finished] == [500]
        assert len(lot.table) == 1
        if where == "relay":
            assert len(edge.server.ended) == 1
        if where in ("event", "relay"):
            assert lot.links == {}
        assert edge.asked[0].exchange.request_id in caplog.text
        other.sock.send(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
        await other.answer()
    edge.server.close()


async def test_a_bug_in_giving_up(caplog: pytest.LogCaptureFixture) -> None:
    """Rule 7, on the client's side: the exchange is ended all the same, and the lot goes on."""

    class Stubborn(Asked):
        __slots__ = ()

        def left(self) -> None:
            raise RuntimeError("a bug")

    server = Server()
    kit: Kit
    async with open_lot(lambda exchange: Stubborn(exchange, kit.lot, server, lambda e, d: OK)) as kit:
        client = kit.connect()
        client.sock.send(GET)
        await gone()
        client.sock.close()
        await gone()
        assert [line.status for line in kit.finished] == [499]
        assert kit.lot.table == {}
        assert kit.lot.statistics.failures == 1
    server.close()


async def test_a_stale_event_of_a_link_that_was_let_go() -> None:
    """Rule 6: an event that was polled before is nobody's."""
    async with open_lot(lambda exchange: OK) as kit:
        server = Server()
        server.link.holder = Asked(None, kit.lot, server)  # type: ignore[arg-type]
        kit.lot.take_up(server.link)
        kit.lot.take_up(server.link)
        kit.lot.let_go(server.link)
        kit.lot.let_go(server.link)
        kit.lot._link_event(server.link.fd, 1)
        kit.lot.close(server.link)
        kit.lot.close(server.link)
        assert server.link.closed
        server.close()


async def test_links_are_no_connections() -> None:
    """They are not counted, and no drain waits for them; a stop closes them."""
    async with open_lot(lambda exchange: OK) as kit:
        server = Server()
        server.link.holder = Asked(None, kit.lot, server)  # type: ignore[arg-type]
        kit.lot.take_up(server.link)
        assert kit.lot.connections() == 0
        kit.lot.stop()
        assert server.link.closed
        server.close()
