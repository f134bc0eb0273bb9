"""The heads on both sides: what is passed on, what is dropped, what is written anew (B5–B12)."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from scripted import OK, Behind, Body, Got, Section, asking, says, whole

from edgestack.errors import ClientError
from edgestack.http.facts import Facts
from edgestack.http.forwarding import TrustedProxies
from edgestack.http.messages import Exchange
from edgestack.http.variables import compile_template
from edgestack.upstream.cookies import CookieRules
from edgestack.upstream.request_head import RequestHead

GROUP = "http://group"


def lines(head: bytes) -> list[str]:
    first, *rest = head.decode("latin-1").split("\r\n")
    assert rest[-2:] == ["", ""]
    return [first, *sorted(rest[:-2])]


def made(exchange: Exchange, *set_headers: tuple[str, str], **more: Any) -> list[str]:
    """The head's lines, the fields sorted."""
    compiled = [(name, compile_template(text, "request", use="url")) for name, text in set_headers]
    return lines(RequestHead(compiled, **more).encode(exchange, exchange.request.target, "up:81"))


USUAL = ["Host: up:81", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Host: example.com", "X-Forwarded-Proto: http"]


async def test_usual_head() -> None:
    """B5: Host is the upstream's own; the three fields are set."""
    assert made(asking("GET", "/x?y")) == ["GET /x?y HTTP/1.1", *USUAL]


DROPPED = [
    ("Connection", "keep-alive"), ("Keep-Alive", "timeout=5"), ("Proxy-Connection", "keep-alive"), ("TE", "trailers"),
    ("Transfer-Encoding", "chunked"), ("Upgrade", "h2c"), ("Expect", "100-continue"),
    ("Proxy-Authorization", "Basic x"),
    ("Proxy", "http://evil/"), ("Trailer", "X"), ("X_Under", "1"), ("X-Empty", ""), ("Content-Length", "5"),
    ("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil"),
    ("X-Real-IP", "6.6.6.6"),
    ("Forwarded", "for=6.6.6.6"), ("X-Forwarded-Prefix", "/evil"), ("X_Forwarded_For", "6.6.6.6"),
]  # fmt: skip


@pytest.mark.parametrize("field", DROPPED, ids=[name for name, _ in DROPPED])
async def test_dropped_fields(field: tuple[str, str]) -> None:
    """B5, B6, B8."""
    exchange = asking("GET", "/", field)
    assert made(exchange) == ["GET / HTTP/1.1", *USUAL]
    assert made(exchange, underscores=True)[:1] == ["GET / HTTP/1.1"]


async def test_fields_that_connection_names() -> None:
    """B8: dropped too; those that we write ourselves stay."""
    exchange = asking(
        "GET", "/", ("Connection", "close, X-Hop, Cookie, x-forwarded-for"), ("X-Hop", "1"), ("Cookie", "a=b")
    )
    assert made(exchange) == ["GET / HTTP/1.1", *USUAL]


async def test_passed_fields() -> None:
    exchange = asking("GET", "/", ("Accept", "a"), ("accept", "b"), ("Cookie", "a=b"), ("X-Two-Words", "\xe4"))
    assert made(exchange) == sorted(
        ["GET / HTTP/1.1", *USUAL, "Accept: a", "Accept: b", "Cookie: a=b", "X-Two-Words: \xe4"],
        key=lambda line: (not line.startswith("GET"), line),
    )  # fmt: skip


async def test_underscores_where_wanted() -> None:
    """B6; but never one that could pass for a forwarding field."""
    exchange = asking("GET", "/", ("x_a", "1"), ("x_forwarded_for", "6.6.6.6"))
    assert [line for line in made(exchange, underscores=True) if "_" in line or "6.6" in line] == ["X_a: 1"]


async def test_set_headers() -> None:
    """B5, B9: templates; an empty value is no field, and takes the client's away."""
    exchange = asking("GET", "/a%0D%0Ab", ("X-Gone", "1"), ("X-Own", "client"), ("Cookie", "a=b"))
    assert made(
        exchange, ("Host", "$host"), ("X-Gone", ""), ("X-Own", "$uri"), ("X-Missing", "$http_nothing"), ("Cookie", "")
    ) == ["GET /a%0D%0Ab HTTP/1.1", "Host: example.com", *USUAL[1:], "X-Own: /a%0D%0Ab"]


async def test_own_forwarding_fields() -> None:
    """What is set takes the place of ours."""
    found = made(asking(), ("X-Forwarded-For", "$remote_addr:x"), ("X-Forwarded-Host", ""))
    assert found == ["GET / HTTP/1.1", "Host: up:81", "X-Forwarded-For: 192.0.2.1:x", "X-Forwarded-Proto: http"]


async def test_what_cannot_stand_in_a_field() -> None:
    head = RequestHead([("X-A", lambda exchange: "a\r\nX-Injected: 1")])
    with pytest.raises(ClientError):
        head.encode(asking(), "/", "up")


async def test_known_blocks() -> None:
    """Fields that came together before: the same bytes, and the cookie is each request's own."""
    head, block = RequestHead(), object()
    found = []
    for cookie in ("a=1", "a=2", ""):
        exchange = asking("GET", "/", ("Accept", "x"), *([("Cookie", cookie)] if cookie else []))
        exchange.request.block = block
        found.append(lines(head.encode(exchange, "/", "up:81")))
    assert [[line for line in one if line.startswith("Cookie")] for one in found] == [
        ["Cookie: a=1"],
        ["Cookie: a=2"],
        [],
    ]
    assert all("Accept: x" in one for one in found)


def behind_proxies(*fields: tuple[str, str], addr: str = "10.0.0.1", mode: str = "x-forwarded") -> list[str]:
    exchange = asking("GET", "/", *fields, facts=Facts(addr))
    exchange.facts = TrustedProxies(("10.0.0.0/8",)).facts(exchange.facts, exchange.request.fields)
    return [line for line in made(exchange, forwarded=mode) if "orward" in line or "Real" in line]


async def test_trusted_proxies() -> None:
    """B5: what trusted ones told is passed on, in one field, with the peer behind it."""
    told = (
        ("X-Forwarded-For", "6.6.6.6, 192.0.2.7"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "shop.example"),
    )
    assert behind_proxies(*told) == [
        "X-Forwarded-For: 192.0.2.7, 10.0.0.1", "X-Forwarded-Host: shop.example", "X-Forwarded-Proto: https",
    ]  # fmt: skip


async def test_trusted_forwarded() -> None:
    """Told in the other family: nothing of it is lost."""
    told = ("Forwarded", "for=192.0.2.7;proto=https;host=shop.example")
    assert behind_proxies(told) == [
        "X-Forwarded-For: 192.0.2.7, 10.0.0.1", "X-Forwarded-Host: shop.example", "X-Forwarded-Proto: https",
    ]  # fmt: skip
    assert behind_proxies(told, mode="forwarded") == [
        "Forwarded: for=192.0.2.7;proto=https;host=shop.example, for=10.0.0.1;proto=https;host=shop.example"
    ]


async def test_forwarded() -> None:
    """RFC 7239 §4, §6."""
    assert behind_proxies(addr="2001:db8::1", mode="forwarded") == [
        'Forwarded: for="[2001:db8::1]";proto=http;host=example.com'
    ]
    assert behind_proxies(addr="unix:", mode="both") == [
        "Forwarded: for=unknown;proto=http;host=example.com",
        "X-Forwarded-For: unix:", "X-Forwarded-Host: example.com", "X-Forwarded-Proto: http",
    ]  # fmt: skip
    assert behind_proxies(("X-Forwarded-For", "6.6.6.6"), addr="192.0.2.9", mode="off") == []


@pytest.mark.parametrize(("keepalive", "line"), [(32, None), (0, b"\r\nConnection: close\r\n")])
async def test_keepalive(nursery: trio.Nursery, keepalive: int, line: bytes | None) -> None:
    """B7: on by default; with 0 `Connection: close` is sent, and nothing kept."""
    behind = Behind(nursery, {8001: [says(OK, OK), says(OK)]}, group={"keepalive": keepalive})
    for _ in range(2):
        await behind.ask()
    assert (line in behind.sent()[0]) if line else (b"onnection" not in behind.sent()[0])
    assert len(behind.dialed) == (2 if line else 1)


@pytest.mark.parametrize(
    ("body", "buffering", "line"),
    [
        (Body(b"abc", length=3), True, b"Content-Length: 3\r\n\r\nabc"),
        (Body(b"abc"), True, b"Content-Length: 3\r\n\r\nabc"),
        (Body(b"abc", length=3, here=True), False, b"Content-Length: 3\r\n\r\nabc"),
        (Body(b"abc", length=3), False, b"Content-Length: 3\r\n\r\nabc"),
        (Body(b"abc"), False, b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    ],
)
async def test_framing(nursery: trio.Nursery, body: Body, buffering: bool, line: bytes) -> None:
    """B8: the framing is ours, and Expect never goes further."""
    behind = Behind(nursery, {8001: [says(OK)]}, Section(GROUP, request_buffering=buffering))
    await behind.ask("POST", "/", ("Expect", "100-continue"), body=body)
    assert behind.sent()[0].endswith(line)
    assert b"xpect" not in behind.sent()[0]


async def test_an_empty_body_has_a_length(nursery: trio.Nursery) -> None:
    behind = Behind(nursery, {8001: [says(OK, OK)]})
    await behind.ask("POST", "/", ("Content-Length", "0"))
    await behind.ask("GET", "/")
    assert b"Content-Length: 0\r\n" in behind.sent()[0]
    assert b"Content-Length" not in behind.sent()[1]


# --- answers ----------------------------------------------------------------------------------------------------------


async def answered(nursery: trio.Nursery, *said: str, status: int = 200, prefix: str = "/", **keys: Any) -> Got:
    to = keys.pop("to", GROUP)
    behind = Behind(nursery, {8001: [says(whole(status, b"ok", *said))]}, Section(to, **keys), prefix=prefix)
    return await behind.ask()


async def test_hidden_fields(nursery: trio.Nursery) -> None:
    """B11; and what is about one connection only."""
    got = await answered(
        nursery, "Server: nginx", "Date: Mon, 23 Nov 2026 00:00:00 GMT", "X-Pad: x", "X-Accel-Buffering: no",
        "X-Accel-Expires: 5", "Connection: X-Hop", "X-Hop: 1", "Keep-Alive: timeout=5", "Trailer: X", "ETag: \"a\"",
        "X-Request-Id: theirs", "Set-Cookie: a=1", "Set-Cookie: b=2", "x-own: 1",
    )  # fmt: skip
    assert got.fields == [("ETag", '"a"'), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Own", "1")]


async def test_hide_and_pass(nursery: trio.Nursery) -> None:
    got = await answered(
        nursery, "X-Powered-By: PHP", "X-Accel-Expires: 5", "X-Pad: y", hide_headers=("x-powered-by",),
        pass_headers=("X-Accel-Expires",),
    )  # fmt: skip
    assert got.fields == [("X-Accel-Expires", "5")]


REDIRECTS = [
    ("http://group/two/", "/one/", "http://group/two/x?y", "/one/x?y"),
    ("http://group/two/", "/one/", "http://group/three", "http://group/three"),
    ("http://group/two/", "/one/", "/two/x", "/two/x"),
    ("http://group", "/one/", "http://group/two/x", "/two/x"),
    ("http://group/", "/ä b/", "http://group/x", "/%C3%A4%20b/x"),
    ("http://group:80", "/one/", "http://group/two/x", "/two/x"),
    ("http://group", "/one/", "https://group/two/x", "https://group/two/x"),
    ("http://group", "/one/", "http://group.evil/x", "http://group.evil/x"),
]


@pytest.mark.parametrize(("to", "prefix", "said", "seen"), REDIRECTS)
async def test_location(nursery: trio.Nursery, to: str, prefix: str, said: str, seen: str) -> None:
    """B12: what begins with the proxied URL is mapped back to the prefix."""
    got = await answered(nursery, f"Location: {said}", f"Refresh: 5; URL={said}", status=302, prefix=prefix, to=to)
    assert (got.field("location"), got.field("refresh")) == (seen, f"5; URL={seen}")


async def test_location_otherwise(nursery: trio.Nursery) -> None:
    """B12: off, and rules of one's own."""
    got = await answered(nursery, "Location: http://group/x", redirect="off")
    assert got.field("location") == "http://group/x"
    got = await answered(nursery, "Location: http://app/x", redirect=(("http://app/", "https://$host/a/"),))
    assert got.field("location") == "https://example.com/a/x"


async def test_cookies(nursery: trio.Nursery) -> None:
    """B12: separate, and off by default."""
    said = "Set-Cookie: a=1; Domain=.App.internal; Path=/app/x; Secure"
    assert (await answered(nursery, said)).field("set-cookie") == said.partition(": ")[2]
    got = await answered(
        nursery, said, cookie_domain=(("app.internal", "$host"),), cookie_path=(("/nothing", "/"), ("/app/", "/"))
    )
    assert got.field("set-cookie") == "a=1; Domain=example.com; Path=/x; Secure"


COOKIES = [
    ("a=domain=app; path=/", "a=domain=app; path=/n/"),
    ("a=1;domain=APP;PATH=/x", "a=1;domain=new;PATH=/n/x"),
    ("a=1; Domain=app.other; Path=x", "a=1; Domain=app.other; Path=x"),
    ("a=1; Domain = app ; HttpOnly", "a=1; Domain = new; HttpOnly"),
]


@pytest.mark.parametrize(("said", "seen"), COOKIES)
async def test_cookie_attributes(said: str, seen: str) -> None:
    rules = CookieRules([("app", lambda _: "new")], [("/", lambda _: "/n/")])
    assert rules.apply(asking(), said) == seen


async def test_accel_redirect(nursery: trio.Nursery) -> None:
    """X-Accel-Redirect leads to a path or a named route."""
    got = await answered(nursery, "X-Accel-Redirect: /files/a%20b?x=1")
    assert (got.response.target.normal, got.response.query) == ("/files/a b", "x=1")
    got = await answered(nursery, "X-Accel-Redirect: @files")
    assert got.response.target == "files"
    got = await answered(nursery, "X-Accel-Redirect: nowhere")
    assert got.status == 502


@pytest.mark.parametrize(
    ("lines", "keys", "buffering"),
    [
        ((), {}, True),
        ((), {"buffering": False}, False),
        (("X-Accel-Buffering: no",), {}, False),
        (("X-Accel-Buffering: yes",), {"buffering": False}, True),
        (("Content-Type: text/event-stream",), {}, False),
    ],
)
async def test_buffering(nursery: trio.Nursery, lines: tuple[str, ...], keys: dict[str, Any], buffering: bool) -> None:
    """B13."""
    head = "\r\n".join(["HTTP/1.1 200 OK", "Content-Length: 4", *lines, "", ""]).encode()
    behind = Behind(nursery, {8001: [says(head + b"ha", close=True)]}, Section(GROUP, **keys))
    got = await behind.ask()
    assert got.response.body.buffering is buffering


async def test_accel_rate(nursery: trio.Nursery) -> None:
    got = await answered(nursery, "X-Accel-Limit-Rate: 4096")
    assert got.exchange.flow.rate == 4096
    got = await answered(nursery, "X-Accel-Limit-Rate: " + "9" * 5000)
    assert not hasattr(got.exchange, "flow")


@pytest.mark.parametrize(("status", "pages", "error"), [(404, (404,), 404), (503, (5,), 503), (404, (5,), None)])
async def test_intercept_errors(nursery: trio.Nursery, status: int, pages: tuple[int, ...], error: int | None) -> None:
    """A status that a page is named for becomes that error."""
    script = says(whole(status, b"theirs", "WWW-Authenticate: x"), OK)
    behind = Behind(nursery, {8001: [script]}, Section(GROUP, intercept_errors=True), intercepted=pages)
    got = await behind.ask()
    assert (got.error.status if got.error else None) == error
    assert got.body == (b"" if error else b"theirs")
    assert (await behind.ask()).body == b"ok"
    assert len(behind.dialed) == 1


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (OK, True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", False),
        (OK + b"more", False),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, True),
    ],
)
async def test_reuse(nursery: trio.Nursery, answer: bytes, kept: bool) -> None:
    """B15: framed and read to its end; B16: 100 is swallowed."""
    behind = Behind(nursery, {8001: [says(answer, OK), says(OK)]})
    assert (await behind.ask()).body == b"ok"
    assert (await behind.ask()).body == b"ok"
    assert len(behind.dialed) == (1 if kept else 2)


async def test_until_close(nursery: trio.Nursery) -> None:
    """B15: a body that ends with its connection."""
    behind = Behind(nursery, {8001: [says(b"HTTP/1.1 200 OK\r\n\r\nall of it", close=True)]})
    got = await behind.ask()
    assert (got.body, got.response.length) == (b"all of it", None)
