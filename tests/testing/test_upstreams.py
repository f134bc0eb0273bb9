"""Scripted upstreams, on every kind of site: what they do, what the edge makes of it, and what they remember."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock
from websockets.sync.client import connect as connect_websocket

from edgestack.testing import (
    AsyncSite,
    Edge,
    ScriptedUpstream,
    SeenRequest,
    drips,
    hangs,
    refuses,
    replies,
    resets,
    says,
)
from edgestack.testing.acts import Act
from edgestack.testing.fixtures import AsyncEdges, Edges

TWO = """
[upstream.backend]
servers = ["a", "b"]
[[route]]
match = "/"
[route.proxy]
to = "http://backend"
next_upstream = ["error", "timeout", "invalid_header", "http_503"]
connect_timeout = "2s"
read_timeout = "2s"
"""
ONE = """
[[route]]
match = "/"
proxy = { to = "http://a", connect_timeout = "2s", read_timeout = "2s" }
"""

Serve = Callable[..., Awaitable[AsyncSite]]


@pytest.fixture(params=["sockets", "memory"])
async def serve(request: pytest.FixtureRequest) -> AsyncIterator[Serve]:
    """`await serve(text=…)`; the tests ask for a clock that jumps by itself."""
    async with trio.open_nursery() as nursery:
        edges = AsyncEdges(nursery, memory=request.param == "memory")
        yield edges
        await edges.close()
        nursery.cancel_scope.cancel()


FAILING: dict[str, tuple[Any, int, float]] = {
    "refuses": (refuses(), 502, 0),
    "resets when connected": (resets(after="connect"), 502, 0),
    "resets when asked": (resets(after="request"), 502, 0),
    "hangs when connected": (hangs(after="connect"), 504, 2),
    "hangs when asked": (hangs(), 504, 2),
    "says nonsense": (says("what?\r\n\r\n", close=True), 502, 0),
    "closes": (says(b"", close=True), 502, 0),
    "answers 503": (503, 503, 0),
    "answers too late": (replies(200, after=5), 504, 2),
}


@pytest.mark.parametrize(("act", "status", "seconds"), FAILING.values(), ids=FAILING)
async def test_failures(serve: Serve, autojump_clock: MockClock, act: Any, status: int, seconds: float) -> None:
    """Each kind has its status and its time; the upstream after it is asked, and answers."""
    a, b = ScriptedUpstream("a").sequence(act), ScriptedUpstream("b").replies(200, body="from b")
    site = await serve(text=ONE, upstreams=[a])
    before = trio.current_time()
    answer = await site.get("/x")
    assert answer.status == status
    assert trio.current_time() - before == pytest.approx(seconds, abs=0.3)
    assert site.attempts == [("a", status)]
    both = await serve(text=TWO, upstreams=[a, b])
    assert (await both.get("/x")).text == "from b"
    assert both.attempts == [("a", status), ("b", 200)]


@pytest.mark.parametrize("after", ["headers", "body"])
@pytest.mark.parametrize("act", [resets, hangs])
async def test_an_answer_that_breaks_off(serve: Serve, autojump_clock: MockClock, act: Any, after: str) -> None:
    """The client sees that it is not whole."""
    site = await serve(text=ONE, upstreams=[ScriptedUpstream("a").sequence(act(after=after))])
    with pytest.raises(ConnectionError):
        await site.get("/x")
    assert site.attempts == [("a", 200)]


async def test_a_sequence(serve: Serve, autojump_clock: MockClock) -> None:
    """One act for each request; the last again and again; and what only a new connection shows closes the old one."""
    a = ScriptedUpstream("a").sequence(200, refuses(), replies(201, body="again"))
    site = await serve(text=ONE, upstreams=[a])
    assert [(await site.get("/")).status for _ in range(4)] == [200, 502, 201, 201]
    assert site.attempts == [("a", 200), ("a", 502), ("a", 201), ("a", 201)]
    assert a.connections == 3


async def test_another_script_meanwhile(serve: Serve, autojump_clock: MockClock) -> None:
    a = ScriptedUpstream("a").replies(200, body="up")
    site = await serve(text=ONE, upstreams=[a])
    assert (await site.get("/")).text == "up"
    await site.settle()
    a.refuses()
    await site.settle()
    assert (await site.get("/")).status == 502
    a.replies(200, body="up again")
    assert (await site.get("/")).text == "up again"
    assert site.attempts == [("a", 200), ("a", 502), ("a", 200)]


async def test_what_it_remembers(serve: Serve, autojump_clock: MockClock) -> None:
    """Requests as messages, and as bytes."""
    a = ScriptedUpstream("a").replies(200, body=["one", "two"], fields={"X-Kind": "chunks"})
    site = await serve(text=ONE, upstreams=[a])
    answer = await site.post("/form?x=1", body="a=1&b=2", fields={"Content-Type": "application/x-www-form-urlencoded"})
    assert (answer.text, answer["X-Kind"]) == ("onetwo", "chunks")
    (request,) = a.requests
    assert (request.method, request.target, request.text) == ("POST", "/form?x=1", "a=1&b=2")
    assert request["Host"] == "a"
    assert request.raw.startswith(b"POST /form?x=1 HTTP/1.1\r\nHost: a\r\n")
    assert request.raw.endswith(b"\r\n\r\na=1&b=2")
    assert (await site.request("HEAD", "/")).body == b""


async def test_it_drips(serve: Serve, autojump_clock: MockClock) -> None:
    a = ScriptedUpstream("a").drips("slowly", every=0.5)
    site = await serve(text=ONE, upstreams=[a])
    before = trio.current_time()
    assert (await site.get("/")).text == "slowly"
    assert trio.current_time() - before == pytest.approx(3, abs=0.3)


async def test_it_thinks(serve: Serve, autojump_clock: MockClock) -> None:
    a = ScriptedUpstream("a").replies(200, body="at last", after=1.5)
    site = await serve(text=ONE, upstreams=[a])
    before = trio.current_time()
    assert (await site.get("/")).text == "at last"
    assert trio.current_time() - before == pytest.approx(1.5, abs=0.3)


async def test_in_the_place_of_a_group(serve: Serve, autojump_clock: MockClock) -> None:
    """`replace`: one, or several; what the configuration says of the first holds for the first."""
    text = (
        '[upstream.backend]\nservers = [{ to = "10.0.0.1:80", weight = 3 }, "10.0.0.2:80", "10.0.0.3:80"]\n'
        '[[route]]\nmatch = "/"\nproxy = "http://backend"'
    )
    names = ["a", "b"]
    a, b = (ScriptedUpstream(name).replies(200, body=name) for name in names)
    site = await serve(text=text, replace={"upstream.backend": [a, b]})
    assert "".join([(await site.get("/")).text for _ in range(8)]) == "aabaaaba"
    alone = await serve(text=text, replace={"upstream.backend": b})
    assert {(await alone.get("/")).text for _ in range(4)} == {"b"}


async def test_by_the_name_of_a_group(serve: Serve, autojump_clock: MockClock) -> None:
    text = '[upstream.api]\nservers = ["10.0.0.1:80"]\n[[route]]\nmatch = "/"\nproxy = "http://api/v2/"'
    api = ScriptedUpstream("api")
    site = await serve(text=text, upstreams=[api])
    await site.get("/users")
    assert [request.target for request in api.requests] == ["/v2/users"]


async def test_as_an_option(serve: Serve, autojump_clock: MockClock) -> None:
    """Routes without a file: by prefix."""
    a, b = ScriptedUpstream("a"), ScriptedUpstream("b")
    site = await serve(proxy={"/a/": a, "/b/": b})
    await site.get("/a/1")
    await site.get("/b/2")
    assert site.attempts == [("a", 200), ("b", 200)]


async def test_https_upstreams_speak_plainly_here(serve: Serve, autojump_clock: MockClock) -> None:
    a = ScriptedUpstream("a").replies(200, body="ok")
    text = '[upstream.backend]\nservers = ["https://a:8443"]\n[[route]]\nmatch = "/"\nproxy = "https://backend"'
    site = await serve(text=text, upstreams=[a])
    assert (await site.get("/")).text == "ok"


async def test_the_proxy_protocol(serve: Serve, autojump_clock: MockClock) -> None:
    a = ScriptedUpstream("a")
    text = '[[route]]\nmatch = "/"\nproxy = { to = "http://a", proxy_protocol = "v1" }'
    site = await serve(text=text, upstreams=[a])
    await site.get("/")
    assert a.prefaces[0].startswith(b"PROXY TCP4 127.0.0.1 ")


async def test_nobody_else_is_asked_in_memory(edge_memory: AsyncEdges, caplog: pytest.LogCaptureFixture) -> None:
    """No name is looked up, and the log says what to do."""
    site = await edge_memory(text='[[route]]\nmatch = "/"\nproxy = "http://127.0.0.1:1"')
    assert (await site.get("/")).status == 502
    assert "is not scripted" in caplog.text


async def test_who_is_not_scripted_is_told_by_name(edge_memory: AsyncEdges, caplog: pytest.LogCaptureFixture) -> None:
    """As the configuration has it, in two groups too."""
    groups = '[upstream.a]\nservers = ["one.internal:80"]\n[upstream.b]\nservers = ["two.internal:80"]\n'
    routes = '[[route]]\nmatch = "/"\nproxy = "http://a"\n[[route]]\nmatch = "/b"\nproxy = "http://b"\n'
    site = await edge_memory(text=groups + routes)
    await site.get("/")
    await site.get("/b")
    assert site.attempts == [("one.internal:80", 0), ("two.internal:80", 0)]
    assert list(site.statistics()["upstreams"]["b"]) == ["two.internal:80"]
    assert "two.internal:80 is not scripted" in caplog.text


def test_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="at least one"):
        ScriptedUpstream("a").sequence()
    with pytest.raises(ValueError, match="connect, request, headers, body"):
        resets(after="lunch")  # type: ignore[arg-type]


# -- in a thread -------------------------------------------------------------------------------------------------------


def test_from_another_thread(edge: Edges) -> None:
    """The script is changed while the edge serves; kept connections notice at once."""
    api = edge.upstream("api")
    site = edge(proxy=api)
    for _ in range(5):
        api.replies(200, body="up")
        assert site.get("/").text == "up"
        api.refuses()
        assert site.get("/").status == 502
    assert edge.attempts == [("api", 200), ("api", 502)] * 5
    assert edge.upstream("api") is api


def test_failover(edge: Edges) -> None:
    edge.upstream("a").replies(503)
    edge.upstream("b").replies(200)
    site = edge(text=TWO)
    assert site.get("/").status == 200
    assert edge.attempts == [("a", 503), ("b", 200)]
    peers = site.statistics()["upstreams"]["backend"]
    assert (peers["a"].failures, peers["b"].out) == (1, "")
    assert peers["a"].out


def test_a_server_that_runs(edge: Edges) -> None:
    """`replace` takes an address too: another edge's, for instance."""
    behind = edge(text='[[route]]\nmatch = "/"\nrespond = "from behind"', tls=False)
    site = edge(text=TWO, replace={"upstream.backend": f"127.0.0.1:{behind.port}"})
    assert site.get("/").text == "from behind"
    assert edge.attempts == [(f"127.0.0.1:{behind.port}", 200)]


def test_websocket(edge: Edges) -> None:
    """A client of its own, TLS, and a tunnel."""
    api = edge.upstream("api").websocket("welcome")
    site = edge(proxy=api)
    url = site.url("/chat").replace("https", "wss")
    with connect_websocket(url, ssl=site.ssl_context, proxy=None) as client:
        assert client.recv() == "welcome"
        for message in ("hello", b"\x00" * 300, "ü" * 70_000):
            client.send(message)
            assert client.recv() == message
    assert api.messages == ["hello", b"\x00" * 300, "ü" * 70_000]
    assert api.requests[0]["Upgrade"].lower() == "websocket"
    while not edge.attempts:
        threading.Event().wait(0.01)  # a tunnel ends, and has its record, when the edge has seen both sides leave
    assert edge.attempts == [("api", 101)]


def test_websocket_without_upgrade(edge: Edges) -> None:
    edge.upstream("api").websocket()
    assert edge(proxy=edge.upstream("api")).get("/chat").status == 426


def test_an_upstream_drips_in_a_thread(edge: Edges) -> None:
    api = edge.upstream("api").sequence(drips("ab", every=0.01))
    assert edge(proxy=api).get("/").text == "ab"


async def test_one_upstream_behind_two_edges() -> None:
    shared = ScriptedUpstream("a")
    serve = partial(Edge, proxy=shared, memory=True)
    async with serve() as one, serve() as two:
        await one.get("/1")
        await two.get("/2")
    assert [request.target for request in shared.requests] == ["/1", "/2"]


async def test_a_function_decides(serve: Serve, mock_clock: MockClock) -> None:
    """It sees the request, gives an act or a status, or answers on the stream itself; the connection goes on."""

    async def decides(request: SeenRequest, stream: trio.abc.Stream) -> Act | int | None:
        if request.target == "/teapot":
            return 418
        if request.target == "/itself":
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nme")
            return None
        return replies(body=f"asked for {request.target}")

    a = ScriptedUpstream("a").does(decides)
    site = await serve(text=ONE, upstreams=[a])
    connection = await site.connect()
    answers = [await connection.request("GET", target) for target in ("/x", "/teapot", "/itself", "/y")]
    assert [(one.status, one.text) for one in answers] == [
        (200, "asked for /x"), (418, ""), (200, "me"), (200, "asked for /y"),
    ]  # fmt: skip
    assert (a.connections, a.open) == (1, 1)


def test_what_a_function_raises_fails_the_test_in_a_thread() -> None:
    """The edge serves on; the error is raised at the end of the block, and a note of what that raises itself."""

    def wrong(request: SeenRequest, stream: trio.abc.Stream) -> Act:
        raise LookupError(request.target)

    def ask(*targets: str, then: Exception | None = None) -> None:
        with Edge(text=ONE, upstreams=[ScriptedUpstream("a").does(wrong)]) as site:
            assert [site.get(target).status for target in targets] == [502] * len(targets)
            if then is not None:
                raise then

    with pytest.raises(LookupError, match="/x"):
        ask("/x")
    with pytest.RaisesGroup(pytest.RaisesExc(LookupError, match="/x"), pytest.RaisesExc(LookupError, match="/y")):
        ask("/x", "/y")
    with pytest.raises(ArithmeticError) as found:
        ask("/z", then=ArithmeticError())
    [note] = found.value.__notes__
    assert "upstream raised:\nTraceback" in note
    assert "in wrong" in note
    assert note.endswith("LookupError: /z")


async def test_a_function_may_be_synchronous(serve: Serve, mock_clock: MockClock) -> None:
    a = ScriptedUpstream("a").does(lambda request, stream: replies(body=request.target))
    assert (await (await serve(text=ONE, upstreams=[a])).get("/x")).text == "/x"


def test_a_function_cannot_refuse() -> None:
    """It is called with a request, and who refuses gets none."""

    async def refusing(request: SeenRequest, stream: trio.abc.Stream) -> Act:
        return refuses()

    async def run() -> None:
        async with Edge(text=ONE, upstreams=[ScriptedUpstream("a").does(refusing)], memory=True) as site:
            await site.get("/")

    with pytest.RaisesGroup(pytest.RaisesExc(ValueError, match="is for who connects"), flatten_subgroups=True):
        trio.run(run)


@pytest.mark.parametrize(
    ("said", "word"), [("refuses", "is nothing that an upstream can do"), (None, "is nothing"), (refuses, "is nothing")]
)
def test_what_is_no_act(said: Any, word: str) -> None:
    with pytest.raises(TypeError, match=word):
        ScriptedUpstream("a").sequence(200, said)


@pytest.mark.parametrize("status", ["503", 99, 1000])
def test_what_is_no_status(status: Any) -> None:
    with pytest.raises(ValueError, match="three digits"):
        ScriptedUpstream("a").replies(status)


async def test_connections_that_are_open(serve: Serve, mock_clock: MockClock) -> None:
    """A kept one is; who hangs sees that the edge gives up; what broke is none."""
    a = ScriptedUpstream("a").sequence(200, hangs(), resets(), 200)
    site = await serve(text=ONE, upstreams=[a])
    await site.get("/")
    assert a.open == 1
    waiting = await site.connect()
    await waiting.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await site.jump(1)
    assert a.open == 1
    await site.jump(3)  # deadlines are looked at once a second
    assert b" 504 " in await waiting.receive()
    assert a.open == 0
    assert (await site.get("/")).status == 502
    assert a.open == 0


async def test_the_log_is_whole_when_an_answer_is(serve: Serve, autojump_clock: MockClock) -> None:
    """On sockets of either driver too, where trio gives way between the answer and the record."""
    for portable in (False, True):
        site = await serve(text=ONE, upstreams=[ScriptedUpstream("a")], portable=portable)
        connection = await site.connect()
        for number in range(1, 101):
            await connection.request("GET", "/")
            assert len(site.log) == number


def test_the_error_log_calls_it_by_its_name(caplog: pytest.LogCaptureFixture) -> None:
    """And so does the page of development mode: the address that stands for it says nothing to anybody."""
    api = ScriptedUpstream("api").refuses()
    with Edge(proxy=api, dev=True) as site:
        page = site.get("/").text
    assert "api: " in caplog.text
    assert "api" in page
    assert "198.18." not in caplog.text + page
