"""Routes that proxy, from the file to the upstream: B3, variables, mixed groups, pages, PROXY headers, logs."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trio
import trustme
from scripted import OK, Wire, stand
from trio.testing import MockClock

from edgestack.http.messages import Exchange
from edgestack.http.variables import VARIABLES
from edgestack.testing import replies
from edgestack.testing.fixtures import AsyncEdges
from edgestack.testing.records import Records

DRIVERS = pytest.mark.parametrize("portable", [False, True], ids=["lot", "portable"])

SLASH = """
[[route]]
match = "/app/"
proxy = "http://one/"
[[route]]
match = "/own/"
proxy = "http://one"
[[route]]
match = "/ä b$c/"
proxy = "http://one"
[[route]]
match = "= /own"
respond = 204
[[route]]
match = "/"
respond = 404
"""


async def test_the_slash_is_added(edge_trio: AsyncEdges) -> None:
    """B3: 301, the query kept; unless a route of its own answers."""
    one = edge_trio.upstream("one")
    site = await edge_trio(text=SLASH, tls=False)
    answer = await site.get("/app?x=%20&y")
    assert (answer.status, answer["Location"]) == (301, "/app/?x=%20&y")
    assert (await site.get("/app"))["Location"] == "/app/"
    assert (await site.get("/own")).status == 204
    assert (await site.get("/%c3%a4%20b$c"))["Location"] == "/%C3%A4%20b$c/"
    assert (await site.get("/apple")).status == 404
    assert one.requests == []
    assert (await site.get("/app/x")).status == 200
    assert [request.target for request in one.requests] == ["/x"]


ANYWHERE = """
[upstream.group]
servers = ["one"]
[[route]]
match = "/named/"
proxy = "http://$arg_to"
[[route]]
match = "/uri/"
proxy = "http://$arg_to/made$uri?from=$arg_from"
"""


@DRIVERS
async def test_targets_of_variables(edge_trio: AsyncEdges, nursery: trio.Nursery, portable: bool) -> None:
    """A group's name or an address; a URI with variables is the whole target."""
    asked: list[bytes] = []

    async def answers(wire: Wire) -> None:
        while request := await wire.request():
            asked.append(request)
            await wire.send(OK)

    one, two = edge_trio.upstream("one"), await stand(nursery, answers)
    site = await edge_trio(text=ANYWHERE, tls=False, portable=portable)
    assert (await site.get("/named/a%2Fb?to=group")).status == 200
    assert (await site.get(f"/named/x?to={two}")).status == 200
    assert (await site.get(f"/uri/a%20b?to={two}&from=me")).status == 200
    assert (await site.get("/named/x?to=a@b")).status == 500
    assert one.requests[0].raw.startswith(b"GET /named/a%2Fb?to=group HTTP/1.1\r\nHost: group\r\n")
    assert asked[1].startswith(b"GET /made/uri/a%20b?from=me HTTP/1.1\r\n")
    assert f"Host: {two}\r\n".encode() in asked[1]


@DRIVERS
async def test_accel_redirect(edge_trio: AsyncEdges, tmp_path: Path, portable: bool) -> None:
    """X-Accel-Redirect: an internal route answers, with the fields that the upstream lends."""
    (tmp_path / "a.txt").write_text("a file")
    config = f"""
    [[route]]
    match = "/"
    proxy = "http://one"
    [[route]]
    match = "/files/"
    static = "{tmp_path}"
    internal = true
    """
    lent = {"X-Accel-Redirect": "/files/a.txt", "Content-Disposition": "attachment", "X-Own": "1"}
    edge_trio.upstream("one").replies(fields=lent)
    site = await edge_trio(text=config, tls=False, portable=portable)
    client = await site.connect()
    for _ in range(2):  # the second time on a kept connection
        answer = await client.request("GET", "/download")
        assert (answer.status, answer.body) == (200, b"a file")
        assert answer["Content-Disposition"] == "attachment"
        assert "X-Own" not in answer
    assert (await site.get("/files/a.txt")).status == 404


PAGES = """
[[route]]
match = "/"
proxy = { to = "http://one", intercept_errors = true }
errors = { "404 502" = "/sorry" }
[[route]]
match = "/gone"
proxy = "http://127.0.0.1:1"
errors = { "502" = "=200 /sorry" }
[[route]]
match = "= /sorry"
respond = "sorry"
"""


@DRIVERS
async def test_pages_for_errors(edge_trio: AsyncEdges, portable: bool) -> None:
    """intercept_errors, and the page for an upstream that is not there."""
    theirs = replies(404, body="theirs")
    edge_trio.upstream("one").sequence(theirs, theirs, replies(410, body="gone"))
    site = await edge_trio(text=PAGES, tls=False, portable=portable)
    client = await site.connect()
    for _ in range(2):
        answer = await client.request("GET", "/x")
        assert (answer.status, answer.body) == (404, b"sorry")
    assert (await client.request("GET", "/x")).body == b"gone"
    answer = await client.request("GET", "/gone")
    assert (answer.status, answer.body) == (200, b"sorry")


FIELDS = """
[[site]]
hosts = ["example.com"]
headers = { set = { X-Site = "1" } }
[[site.route]]
match = "/"
proxy = "http://one"
headers = [
    { set = { X-Route = "$upstream_http_x_own" } },
    { add = { X-Always = "$upstream_status" }, always = true },
]
[[site.route]]
match = "/alone"
proxy = "http://one"
headers = { set = { X-Route = "2" }, replace = true }
"""


@DRIVERS
async def test_rules_for_fields(edge_trio: AsyncEdges, portable: bool) -> None:
    """B9, B10: rules of the site and the route together, for the usual statuses unless `always`; B11: one Server."""
    first = replies(fields={"X-Own": "a", "Server": "x", "Date": "y"})
    edge_trio.upstream("one").sequence(first, replies(500, fields={"X-Own": "b"}), 200)
    site = await edge_trio(text=FIELDS, tls=False, portable=portable)
    client = await site.connect("http://example.com/")

    async def seen(target: str) -> list[str | None]:
        answer = await client.request("GET", target)
        assert (len(answer.all("Server")), len(answer.all("Date"))) == (1, 1)
        assert answer["Server"] == "edgestack"
        return [answer.get(name) for name in ("X-Site", "X-Route", "X-Always")]

    assert await seen("/") == ["1", "a", "200"]
    assert await seen("/") == [None, None, "500"]
    assert await seen("/alone") == [None, "2", None]


@DRIVERS
@pytest.mark.parametrize("enabled", [True, False])
async def test_early_hints(edge_trio: AsyncEdges, portable: bool, enabled: bool) -> None:
    """B16: 103 is passed on where enabled, 100 never."""
    text = f'[[route]]\nproxy = {{ to = "http://one", early_hints = {str(enabled).lower()} }}\n'
    hints = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nServer: x\r\n\r\n"
    edge_trio.upstream("one").says(hints.encode() + OK)
    site = await edge_trio(text=text, tls=False, portable=portable)
    client = await site.connect()
    for _ in range(2):
        answer = await client.request("GET", "/")
        assert (answer.status, answer.body, answer.interim) == (200, b"ok", (103,) if enabled else ())
        assert answer.raw.startswith(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n") is enabled


@pytest.mark.parametrize(
    ("version", "begins"), [("v1", b"PROXY TCP4 127.0.0.1 127.0.0.1 "), ("v2", b"\r\n\r\n\0\r\nQUIT\n")]
)
async def test_proxy_protocol(edge_trio: AsyncEdges, nursery: trio.Nursery, version: str, begins: bytes) -> None:
    """Each connection begins with the header, speaks for one client, and is not kept."""
    headers = []

    async def reads(wire: Wire) -> None:
        data = b""
        while b"GET / " not in data:
            data += await wire.stream.receive_some(4096)
        headers.append(data)
        await wire.send(OK)
        await wire.request()

    one = await stand(nursery, reads)
    site = await edge_trio(
        text=f'[[route]]\nproxy = {{ to = "http://{one}", proxy_protocol = "{version}" }}\n', tls=False
    )
    client = await site.connect()
    for _ in range(2):
        assert (await client.request("GET", "/")).body == b"ok"
    assert all(header.startswith(begins) for header in headers)
    assert len(headers) == 2
    assert b"Connection: close\r\n" in headers[0]


@DRIVERS
async def test_a_mixed_group(edge_trio: AsyncEdges, tmp_path: Path, portable: bool) -> None:
    """B18, B19: http, https with a private CA, and a unix socket in one group, on new and on kept connections."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    config = """
    [upstream.mixed]
    servers = ["one", "https://127.0.0.1:%d", "unix:%s"]
    [[route]]
    match = "/"
    proxy = { to = "http://mixed", ssl_ca = "%s/ca.pem" }
    """
    asked = []

    async def secure(stream: trio.SocketStream) -> None:
        wire = Wire(trio.SSLStream(stream, context, server_side=True, https_compatible=True))  # type: ignore[arg-type]
        await serve("https", wire)

    async def unix(stream: trio.SocketStream) -> None:
        await serve("unix", Wire(stream))  # type: ignore[arg-type]

    async def serve(name: str, wire: Wire) -> None:
        try:
            while await wire.request():
                asked.append(name)
                await wire.send(OK)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the edge has stopped

    path = str(tmp_path / "app.sock")
    sock = trio.socket.socket(trio.socket.AF_UNIX)
    await sock.bind(path)
    sock.listen()
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(lambda task_status: trio.serve_tcp(
            secure, 0, host="127.0.0.1", task_status=task_status))  # fmt: skip
        nursery.start_soon(trio.serve_listeners, unix, [trio.SocketListener(sock)])
        one = edge_trio.upstream("one").replies(body="ok")
        text = config % (listeners[0].socket.getsockname()[1], path, tmp_path)
        site = await edge_trio(text=text, tls=False, portable=portable)
        client = await site.connect()
        for _ in range(9):
            answer = await client.request("GET", "/")
            assert (answer.status, answer.body) == (200, b"ok")
        assert {name: asked.count(name) for name in ("https", "unix")} == {"https": 3, "unix": 3}
        assert len(one.requests) == 3
        assert (f"unix:{path}", 200) in site.attempts
        nursery.cancel_scope.cancel()


async def test_a_wrong_certificate(edge_trio: AsyncEdges, tmp_path: Path) -> None:
    """B18: verified by default; `ssl_name` says another name, `ssl_verify = false` is the explicit off."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("app.internal").configure_cert(context)
    config = """
    [[route]]
    match = "/strict"
    proxy = "https://127.0.0.1:%d"
    [[route]]
    match = "/other"
    proxy = { to = "https://127.0.0.1:%d", ssl_ca = "%s/ca.pem" }
    [[route]]
    match = "/named"
    proxy = { to = "https://127.0.0.1:%d", ssl_ca = "%s/ca.pem", ssl_name = "app.internal" }
    [[route]]
    match = "/off"
    proxy = { to = "https://127.0.0.1:%d", ssl_verify = false }
    """

    async def secure(stream: trio.SocketStream) -> None:
        wire = Wire(trio.SSLStream(stream, context, server_side=True, https_compatible=True))  # type: ignore[arg-type]
        try:
            while await wire.request():
                await wire.send(OK)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # it was not believed

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(lambda task_status: trio.serve_tcp(
            secure, 0, host="127.0.0.1", task_status=task_status))  # fmt: skip
        port = listeners[0].socket.getsockname()[1]
        site = await edge_trio(text=config % (port, port, tmp_path, port, tmp_path, port), tls=False)
        found = [(await site.get(path)).status for path in ("/strict", "/other", "/named", "/off")]
        assert found == [502, 502, 200, 200]
        nursery.cancel_scope.cancel()


LOGGED = """
[upstream.group]
servers = ["one", "two"]
[[route]]
match = "/"
proxy = { to = "http://group", next_upstream = "http_503", set_headers = { X-Via = "$proxy_host:$proxy_port" } }
"""


@DRIVERS
async def test_variables_for_logs(edge_trio: AsyncEdges, portable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[Exchange] = []
    monkeypatch.setattr(Records, "end", lambda self, exchange: ended.append(exchange))
    edge_trio.upstream("one").replies(503)
    two = edge_trio.upstream("two").replies(body="ok", fields={"X-Own": "a"})
    site = await edge_trio(text=LOGGED, tls=False, portable=portable)
    await site.get("/")
    (exchange,) = ended
    read = {name: VARIABLES[name].read(exchange) or "" for name in VARIABLES if name.startswith("upstream_")}
    assert read["upstream_addr"] == "one, two"
    assert read["upstream_status"] == "503, 200"
    for name in ("connect", "header", "response"):
        times = read[f"upstream_{name}_time"].split(", ")
        assert len(times) == 2
        assert all(0 <= float(one) < 5 for one in times)
    assert all(int(one) > 40 for one in read["upstream_bytes_received"].split(", "))
    assert two.requests[0]["X-Via"] == "group:80"


async def test_a_reload_lets_go(edge_trio: AsyncEdges, nursery: trio.Nursery) -> None:
    """A group that no plan names any more: its idle connections are closed."""
    closed = trio.Event()

    async def watched(wire: Wire) -> None:
        await wire.request()
        await wire.send(OK)
        assert await wire.request() == b""
        closed.set()

    one = await stand(nursery, watched)
    site = await edge_trio(text=f'[[route]]\nproxy = "http://{one}"\n', tls=False)
    await site.get("/")
    assert list(site.statistics()["upstreams"]) == [one]
    site.reload(text="[[route]]\nrespond = 204\n")
    await closed.wait()
    assert site.statistics()["upstreams"] == {}


HEALTH = """
[upstream.group]
servers = ["one", "two"]
health = { path = "/health", interval = "5s", jitter = 0 }
[[route]]
match = "/"
proxy = "http://group"
"""


async def test_health_checks(edge_trio: AsyncEdges, mock_clock: MockClock) -> None:
    """A server that fails its checks is left alone, and why can be read."""
    one, two = edge_trio.upstream("one").replies(500), edge_trio.upstream("two")
    site = await edge_trio(text=HEALTH, tls=False)
    for _ in range(3):
        await site.jump(5)
    out = {name: peer.out for name, peer in site.statistics()["upstreams"]["group"].items()}
    assert out == {"one": "unhealthy: status 500 to a health check", "two": ""}
    checks = len(two.requests)
    assert [(await site.get("/")).status for _ in range(4)] == [200] * 4
    assert {(request.target, request["Host"]) for request in one.requests} == {("/health", "one")}
    assert [request.target for request in two.requests[checks:]] == ["/"] * 4
