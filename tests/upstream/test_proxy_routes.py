"""Routes that proxy, from the file to the upstream: B3, variables, mixed groups, pages, PROXY headers, logs."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trio
import trustme
from running import edge, written
from scripted import OK, Wire, says, whole

from edgestack.http.variables import VARIABLES

DRIVERS = pytest.mark.parametrize("portable", [False, True], ids=["lot", "portable"])

SLASH = """
[[route]]
match = "/app/"
proxy = "http://{one}/"
[[route]]
match = "/own/"
proxy = "http://{one}"
[[route]]
match = "/ä b$c/"
proxy = "http://{one}"
[[route]]
match = "= /own"
respond = 204
[[route]]
match = "/"
respond = 404
"""


async def test_the_slash_is_added(tmp_path: Path) -> None:
    """B3: 301, the query kept; unless a route of its own answers."""
    async with edge(tmp_path, SLASH, {"one": [says(OK)]}) as running:
        answer = await running.get("/app?x=%20&y")
        assert (answer.status, answer.field("location")) == (301, "/app/?x=%20&y")
        assert (await running.get("/app")).field("location") == "/app/"
        assert (await running.get("/own")).status == 204
        assert (await running.get("/%c3%a4%20b$c")).field("location") == "/%C3%A4%20b$c/"
        assert (await running.get("/apple")).status == 404
        assert running.sent("one") == []
        assert (await running.get("/app/x")).status == 200
        assert running.sent("one")[0].startswith(b"GET /x HTTP/1.1\r\n")


ANYWHERE = """
[upstream.group]
servers = ["{one}"]
[[route]]
match = "/named/"
proxy = "http://$arg_to"
[[route]]
match = "/uri/"
proxy = "http://$arg_to/made$uri?from=$arg_from"
"""


@DRIVERS
async def test_targets_of_variables(tmp_path: Path, portable: bool) -> None:
    """A group's name or an address; a URI with variables is the whole target."""
    scripts = {"one": [says(*[OK] * 4)], "two": [says(*[OK] * 4)]}
    async with edge(tmp_path, ANYWHERE, scripts, portable=portable) as running:
        two = running.addresses["two"]
        assert (await running.get("/named/a%2Fb?to=group")).status == 200
        assert (await running.get(f"/named/x?to={two}")).status == 200
        assert (await running.get(f"/uri/a%20b?to={two}&from=me")).status == 200
        assert (await running.get("/named/x?to=a@b")).status == 500
        assert running.sent("one")[0].startswith(b"GET /named/a%2Fb?to=group HTTP/1.1\r\nHost: group\r\n")
        assert running.sent("two")[1].startswith(b"GET /made/uri/a%20b?from=me HTTP/1.1\r\n")
        assert f"Host: {two}\r\n".encode() in running.sent("two")[1]


@DRIVERS
async def test_accel_redirect(tmp_path: Path, portable: bool) -> None:
    """X-Accel-Redirect: an internal route answers, with the fields that the upstream lends."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files/a.txt").write_text("a file")
    config = """
    [[route]]
    match = "/"
    proxy = "http://{one}"
    [[route]]
    match = "/files/"
    static = "files/"
    internal = true
    """
    sent = whole(200, b"", "X-Accel-Redirect: /files/a.txt", "Content-Disposition: attachment", "X-Own: 1")
    async with edge(tmp_path, config, {"one": [says(sent, sent)]}, portable=portable) as running:
        client = await running.connect()
        for _ in range(2):  # the second time on a kept connection
            answer = await client.ask("/download")
            assert (answer.status, answer.body) == (200, b"a file")
            assert answer.field("content-disposition") == "attachment"
            assert answer.field("x-own") is None
        assert (await running.get("/files/a.txt")).status == 404


@DRIVERS
async def test_pages_for_errors(tmp_path: Path, portable: bool) -> None:
    """intercept_errors, and the page for an upstream that is not there."""
    config = """
    [[route]]
    match = "/"
    proxy = { to = "http://{one}", intercept_errors = true }
    errors = { "404 502" = "/sorry" }
    [[route]]
    match = "/gone"
    proxy = "http://127.0.0.1:1"
    errors = { "502" = "=200 /sorry" }
    [[route]]
    match = "= /sorry"
    respond = "sorry"
    """
    answers = [whole(404, b"theirs"), whole(404, b"theirs"), whole(410, b"gone")]
    async with edge(tmp_path, config, {"one": [says(*answers)]}, portable=portable) as running:
        client = await running.connect()
        for _ in range(2):
            answer = await client.ask("/x")
            assert (answer.status, answer.body) == (404, b"sorry")
        assert (await client.ask("/x")).body == b"gone"
        answer = await client.ask("/gone")
        assert (answer.status, answer.body) == (200, b"sorry")


@DRIVERS
async def test_rules_for_fields(tmp_path: Path, portable: bool) -> None:
    """B9, B10: rules of the site and the route together, for the usual statuses unless `always`; B11: one Server."""
    config = """
    [[site]]
    hosts = ["example.com"]
    headers = { set = { X-Site = "1" } }
    [[site.route]]
    match = "/"
    proxy = "http://{one}"
    headers = [
        { set = { X-Route = "$upstream_http_x_own" } },
        { add = { X-Always = "$upstream_status" }, always = true },
    ]
    [[site.route]]
    match = "/alone"
    proxy = "http://{one}"
    headers = { set = { X-Route = "2" }, replace = true }
    """
    answers = [whole(200, b"", "X-Own: a", "Server: x", "Date: y"), whole(500, b"", "X-Own: b"), OK]
    async with edge(tmp_path, config, {"one": [says(*answers)]}, portable=portable) as running:
        client = await running.connect()
        first = await client.ask("/")
        assert (first.field("x-site"), first.field("x-route"), first.field("x-always")) == ("1", "a", "200")
        assert (first.names().count("server"), first.names().count("date")) == (1, 1)
        assert first.field("server") == "edgestack"
        second = await client.ask("/")
        assert (second.field("x-site"), second.field("x-route"), second.field("x-always")) == (None, None, "500")
        third = await client.ask("/alone")
        assert (third.field("x-site"), third.field("x-route")) == (None, "2")


@DRIVERS
async def test_early_hints(tmp_path: Path, portable: bool) -> None:
    """B16: 103 is passed on where enabled, 100 never."""
    config = '[[route]]\nmatch = "/"\nproxy = { to = "http://{one}", early_hints = %s }\n'
    said = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nServer: x\r\n\r\n" + OK
    for enabled in ("true", "false"):
        async with edge(tmp_path, config % enabled, {"one": [says(said, said)]}, portable=portable) as running:
            client = await running.connect()
            for _ in range(2):
                answer = await client.ask("/")
                if enabled == "true":
                    assert (answer.status, answer.pairs) == (103, [("Link", "</a.css>")])
                    answer = await client.answer()
                assert (answer.status, answer.body) == (200, b"ok")


@pytest.mark.parametrize(
    ("version", "begins"), [("v1", b"PROXY TCP4 127.0.0.1 127.0.0.1 "), ("v2", b"\r\n\r\n\0\r\nQUIT\n")]
)
async def test_proxy_protocol(tmp_path: Path, version: str, begins: bytes) -> None:
    """Each connection begins with the header, speaks for one client, and is not kept."""
    config = '[[route]]\nmatch = "/"\nproxy = { to = "http://{one}", proxy_protocol = "VERSION" }\n'
    headers = []

    async def reads(wire: Wire) -> None:
        data = b""
        while b"GET / " not in data:
            data += await wire.stream.receive_some(4096)
        headers.append(data)
        await wire.send(OK)
        await wire.request()

    async with edge(tmp_path, config.replace("VERSION", version), {"one": [reads]}) as running:
        client = await running.connect()
        for _ in range(2):
            assert (await client.ask("/")).body == b"ok"
        assert all(header.startswith(begins) for header in headers)
        assert len(headers) == 2
        assert b"Connection: close\r\n" in headers[0]


@DRIVERS
async def test_a_mixed_group(tmp_path: Path, portable: bool) -> None:
    """B18, B19: http, https with a private CA, and a unix socket in one group, on new and on kept connections."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    config = """
    [upstream.mixed]
    servers = ["{one}", "https://127.0.0.1:%d", "unix:%s"]
    [[route]]
    match = "/"
    proxy = { to = "http://mixed", ssl_ca = "ca.pem" }
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
        text = config % (listeners[0].socket.getsockname()[1], path)
        async with edge(tmp_path, text, {"one": [says(*[OK] * 9)]}, portable=portable) as running:
            client = await running.connect()
            for _ in range(9):
                answer = await client.ask("/")
                assert (answer.status, answer.body) == (200, b"ok")
            assert {name: asked.count(name) for name in ("https", "unix")} == {"https": 3, "unix": 3}
            assert len(running.sent("one")) == 3
            addresses = {x.attempts[-1].address for x in running.ended if x.attempts}
            assert f"unix:{path}" in map(str, addresses)
        nursery.cancel_scope.cancel()


async def test_a_wrong_certificate(tmp_path: Path) -> None:
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
    proxy = { to = "https://127.0.0.1:%d", ssl_ca = "ca.pem" }
    [[route]]
    match = "/named"
    proxy = { to = "https://127.0.0.1:%d", ssl_ca = "ca.pem", ssl_name = "app.internal" }
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
        async with edge(tmp_path, config % (port, port, port, port), {}) as running:
            found = [(await running.get(path)).status for path in ("/strict", "/other", "/named", "/off")]
            assert found == [502, 502, 200, 200]
        nursery.cancel_scope.cancel()


@DRIVERS
async def test_variables_for_logs(tmp_path: Path, portable: bool) -> None:
    config = """
    [upstream.group]
    servers = ["{one}", "{two}"]
    [[route]]
    match = "/"
    proxy = { to = "http://group", next_upstream = "http_503", set_headers = { X-Via = "$proxy_host:$proxy_port" } }
    """
    scripts = {"one": [says(whole(503), whole(503))], "two": [says(whole(200, b"ok", "X-Own: a"), OK)]}
    async with edge(tmp_path, config, scripts, portable=portable) as running:
        await running.get("/")
        await running.attempts(1)
        (exchange,) = running.ended
        read = {name: VARIABLES[name].read(exchange) or "" for name in VARIABLES if name.startswith("upstream_")}
        assert read["upstream_addr"] == f"{running.addresses['one']}, {running.addresses['two']}"
        assert read["upstream_status"] == "503, 200"
        for name in ("connect", "header", "response"):
            times = read[f"upstream_{name}_time"].split(", ")
            assert len(times) == 2
            assert all(0 <= float(one) < 5 for one in times)
        assert all(int(one) > 40 for one in read["upstream_bytes_received"].split(", "))
        assert b"X-Via: group:80\r\n" in running.sent("two")[0]


async def test_a_reload_lets_go(tmp_path: Path) -> None:
    """A group that no plan names any more: its idle connections are closed."""
    closed = trio.Event()

    async def watched(wire: Wire) -> None:
        await wire.request()
        await wire.send(OK)
        assert await wire.request() == b""
        closed.set()

    config = '[[route]]\nmatch = "/"\nproxy = "http://{one}"\n'
    async with edge(tmp_path, config, {"one": [watched]}) as running:
        await running.get("/")
        assert [one.name for one in running.stack.upstreams()] == [running.addresses["one"]]
        running.stack.adopt(written(tmp_path, '[[route]]\nmatch = "/"\nrespond = 204\n', running))
        await closed.wait()
        assert running.stack.upstreams() == ()


async def test_health_checks(tmp_path: Path) -> None:
    """A server that fails its checks is left alone, and why can be read."""
    config = """
    [upstream.group]
    servers = ["{one}", "{two}"]
    health = { path = "/health", interval = "50ms", jitter = 0 }
    [[route]]
    match = "/"
    proxy = "http://group"
    """
    scripts = {"one": [says(whole(500))], "two": [says(*[OK] * 99)]}
    async with edge(tmp_path, config, scripts) as running:
        while not any(peer.out for peer in running.stack.upstreams()[0].peers):
            await trio.sleep(0.01)
        assert {peer.out for peer in running.stack.upstreams()[0].peers} == {
            "",
            "unhealthy: status 500 to a health check",
        }
        assert [(await running.get("/")).status for _ in range(4)] == [200] * 4
        assert all(b"/health" in request for request in running.sent("one"))
        assert f"Host: {running.addresses['one']}\r\n".encode() in running.sent("one")[0]
