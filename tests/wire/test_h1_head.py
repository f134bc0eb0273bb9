"""The head reader: which heads take the fast road, that h11 reads them the same, and what is remembered.

design.md §4 rule 3: at least 99 % of browsers' heads take the fast road; lines up to 512 bytes are remembered, never
secrets, in at most 2 MiB.
"""

# ruff: noqa: E501  (heads stand as browsers send them)
from __future__ import annotations

import sys

import h11
import pytest

from edgestack.config.model import Limits
from edgestack.errors import ClientError
from edgestack.wire import h1_head
from edgestack.wire.h1_head import read_extraordinary, read_field, read_ordinary

LIMITS = Limits()

CHROME = """\
Connection: keep-alive
sec-ch-ua: "Chromium";v="128", "Not;A=Brand";v="24", "Google Chrome";v="128"
sec-ch-ua-mobile: ?0
sec-ch-ua-platform: "Windows"
User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36
Accept-Encoding: gzip, deflate, br, zstd
Accept-Language: en-GB,en-US;q=0.9,en;q=0.8
"""
CHROME_PAGE = (
    CHROME
    + """\
Cache-Control: max-age=0
Upgrade-Insecure-Requests: 1
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7
Sec-Fetch-Site: none
Sec-Fetch-Mode: navigate
Sec-Fetch-User: ?1
Sec-Fetch-Dest: document
"""
)
CHROME_PART = (
    CHROME
    + """\
Accept: image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8
Sec-Fetch-Site: same-origin
Sec-Fetch-Mode: no-cors
Sec-Fetch-Dest: image
Referer: https://localhost:8443/guide/
Cookie: session=eyJhbGciOiJIUzI1NiJ9.e30.ZRrHA1JJJW8opsbCGfG_HACGpVUMN_a9IV7pAx_Zmeo; theme=dark; _ga=GA1.2.1.1
"""
)
EDGE = """\
Connection: keep-alive
sec-ch-ua: "Microsoft Edge";v="128", "Chromium";v="128"
User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0 Safari/537.36 Edg/128.0
X-Requested-With: XMLHttpRequest
Accept: application/json, text/javascript, */*; q=0.01
Origin: https://localhost:8443
Accept-Encoding: gzip, deflate, br, zstd
Accept-Language: de
DNT: 1
"""
FIREFOX = """\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:129.0) Gecko/20100101 Firefox/129.0
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/png,image/svg+xml,*/*;q=0.8
Accept-Language: fr,fr-FR;q=0.8,en-US;q=0.5,en;q=0.3
Accept-Encoding: gzip, deflate, br, zstd
Connection: keep-alive
Upgrade-Insecure-Requests: 1
Sec-Fetch-Dest: document
Sec-Fetch-Mode: navigate
Sec-Fetch-Site: cross-site
Priority: u=0, i
Pragma: no-cache
Cache-Control: no-cache
TE: trailers
"""
SAFARI = """\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8
User-Agent: Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Safari/605.1.15
Accept-Language: en-GB,en;q=0.9
Accept-Encoding: gzip, deflate, br
Connection: keep-alive
"""
FORM = "Content-Type: application/x-www-form-urlencoded\nContent-Length: 27\nOrigin: https://localhost:8443\n"
MULTIPART = "Content-Type: multipart/form-data; boundary=----WebKitFormBoundaryAbC\nContent-Length: 1234567\n"
AGAIN = 'If-None-Match: W/"17a2b-190f"\nIf-Modified-Since: Tue, 22 Nov 2022 08:12:31 GMT\n'

BROWSERS = {
    "chrome page": "GET / HTTP/1.1\nHost: localhost:8443\n" + CHROME_PAGE,
    "chrome page again": "GET /guide/ HTTP/1.1\nHost: localhost:8443\n" + CHROME_PAGE + AGAIN,
    "chrome query": "GET /search?q=caf%C3%A9&page=2 HTTP/1.1\nHost: localhost:8443\n" + CHROME_PAGE,
    "chrome image": "GET /img/logo.svg?v=3 HTTP/1.1\nHost: localhost:8443\n" + CHROME_PART,
    "chrome video": "GET /video.mp4 HTTP/1.1\nHost: localhost:8443\n" + CHROME_PART + "Range: bytes=0-\n",
    "chrome form": "POST /login HTTP/1.1\nHost: localhost:8443\n" + CHROME_PAGE + FORM,
    "chrome upload": "POST /upload HTTP/1.1\nHost: localhost:8443\n" + CHROME_PAGE + MULTIPART,
    "chrome put": "PUT /api/items/1 HTTP/1.1\nHost: localhost:8443\n" + CHROME_PART + "Content-Length: 2\n",
    "chrome preflight": "OPTIONS /api HTTP/1.1\nHost: localhost:8443\nOrigin: https://a.example\n"
    "Access-Control-Request-Method: POST\nAccess-Control-Request-Headers: content-type\n" + CHROME,
    "chrome bearer": "GET /api HTTP/1.1\nHost: localhost:8443\nAuthorization: Bearer abc.def.ghi\n" + CHROME_PART,
    "edge xhr": "GET /api/items?_=1724 HTTP/1.1\nHost: localhost:8443\n" + EDGE,
    "edge delete": "DELETE /api/items/1 HTTP/1.1\nHost: localhost:8443\n" + EDGE,
    "edge head": "HEAD / HTTP/1.1\nHost: localhost:8443\n" + EDGE,
    "firefox page": "GET / HTTP/1.1\nHost: 127.0.0.1:8080\n" + FIREFOX,
    "firefox page again": "GET /a/b/c.html HTTP/1.1\nHost: 127.0.0.1:8080\n" + FIREFOX + AGAIN,
    "firefox pipes": "GET /a?x={y}|z HTTP/1.1\nHost: [::1]:8080\n" + FIREFOX,
    "safari page": "GET /index.html HTTP/1.1\nHost: example.localhost\n" + SAFARI,
    "safari form": "POST /form HTTP/1.1\nHost: example.localhost\n" + SAFARI + FORM,
    "curl": "GET / HTTP/1.1\nHost: localhost\nUser-Agent: curl/8.9.1\nAccept: */*\n",
    "curl range": "GET /a HTTP/1.1\nHost: localhost\nRange: bytes=0-99\nUser-Agent: curl/8.9.1\nAccept: */*\n",
    "curl post": "POST / HTTP/1.1\nHost: localhost\nUser-Agent: curl/8.9.1\nAccept: */*\nContent-Length: 3\n"
    "Content-Type: application/x-www-form-urlencoded\n",
    "wget": "GET / HTTP/1.1\nHost: localhost\nUser-Agent: Wget/1.24.5\nAccept: */*\nAccept-Encoding: identity\n"
    "Connection: Keep-Alive\n",
    "requests": "GET / HTTP/1.1\nHost: localhost:8000\nUser-Agent: python-requests/2.32.3\n"
    "Accept-Encoding: gzip, deflate\nAccept: */*\nConnection: keep-alive\n",
    "httpx": "GET / HTTP/1.1\nHost: localhost:8000\nAccept: */*\nAccept-Encoding: gzip, deflate\n"
    "Connection: keep-alive\nUser-Agent: python-httpx/0.27.2\n",
    "urllib": "GET / HTTP/1.1\nAccept-Encoding: identity\nHost: localhost\nUser-Agent: Python-urllib/3.12\n"
    "Connection: close\n",
    "aiohttp json": "PATCH /api HTTP/1.1\nHost: localhost\nAccept: */*\nAccept-Encoding: gzip, deflate\n"
    "User-Agent: Python/3.12 aiohttp/3.10.5\nContent-Length: 17\nContent-Type: application/json\n",
    "go": "GET / HTTP/1.1\nHost: localhost\nUser-Agent: Go-http-client/1.1\nAccept-Encoding: gzip\n",
    "wrk": "GET / HTTP/1.1\nHost: localhost\n",
    "proxied": "GET / HTTP/1.1\nHost: example.com\nX-Forwarded-For: 192.0.2.1\nX-Forwarded-For: 192.0.2.2\n"
    "X-Forwarded-Proto: https\nVia: 1.1 a\n",
    "two cookies": "GET / HTTP/1.1\nHost: example.com\nCookie: a=1\nCookie: b=2\n",
}

SLOW = {
    "websocket": "GET /ws HTTP/1.1\nHost: a\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\n",
    "curl large upload": "POST / HTTP/1.1\nHost: a\nContent-Length: 2000000\nExpect: 100-continue\n",
    "chunked upload": "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n",
    "ab -k": "GET / HTTP/1.0\nConnection: Keep-Alive\nHost: a\n",
    "propfind": "PROPFIND / HTTP/1.1\nHost: a\nDepth: 1\n",
    "absolute": "GET http://a/ HTTP/1.1\nHost: a\n",
    "asterisk": "OPTIONS * HTTP/1.1\nHost: a\n",
    "no host": "GET / HTTP/1.1\nAccept: */*\n",
    "two hosts": "GET / HTTP/1.1\nHost: a\nHost: a\n",
    "two lengths": "GET / HTTP/1.1\nHost: a\nContent-Length: 1\nContent-Length: 1\n",
    "fragment": "GET /?a#b HTTP/1.1\nHost: a\n",
}


def head_of(text: str) -> bytes:
    return text.rstrip("\n").replace("\n", "\r\n").encode("latin-1")


def as_h11_reads(head: bytes) -> tuple[str, str, str, list[tuple[str, str]]]:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(head + b"\r\n\r\n")
    event = connection.next_event()
    assert type(event) is h11.Request
    pairs = [(name.decode(), value.decode("latin-1")) for name, value in event.headers]
    return event.method.decode(), event.target.decode(), "HTTP/" + event.http_version.decode(), pairs


def test_browsers_take_the_fast_road() -> None:
    """At least 99 in 100; a session of pages, parts and calls opens a web socket now and then."""
    session = [head_of(text) for text in list(BROWSERS.values()) * 8] + [head_of(SLOW["websocket"])] * 2
    fast = sum(read_ordinary(head, LIMITS) is not None for head in session)
    assert fast / len(session) >= 0.99


@pytest.mark.parametrize("name", BROWSERS)
def test_the_fast_road_reads_what_h11_reads(name: str) -> None:
    """The law, and that the slow road gives the same request."""
    head = head_of(BROWSERS[name])
    for _ in range(2):  # lines new, then remembered
        fast = read_ordinary(head, LIMITS)
        assert fast is not None
        assert (fast.method, fast.target, fast.version, fast.pairs) == as_h11_reads(head)
        slow, _ = read_extraordinary(head, LIMITS)
        for key in ("method", "target", "version", "pairs", "fields", "query", "host", "persistent", "body"):
            assert getattr(fast, key) == getattr(slow, key), key
        assert fast.path.normal == slow.path.normal


@pytest.mark.parametrize("name", SLOW)
def test_the_slow_road_decides_the_rest(name: str) -> None:
    assert read_ordinary(head_of(SLOW[name]), LIMITS) is None


def test_one_request_in_full() -> None:
    request = read_ordinary(
        b"GET /a%20b//c?x=/?y HTTP/1.1\r\nHost: Example.com:80\r\nCOOKIE: a=1\r\nX-Y:  z \t\r\nx-y: w\r\ncookie: b=2",
        LIMITS,
    )
    assert request is not None
    assert (request.method, request.target, request.version) == ("GET", "/a%20b//c?x=/?y", "HTTP/1.1")
    assert (request.path.normal, request.path.path_info, request.query) == ("/a b/c", "/a b//c", "x=/?y")
    assert request.host == "Example.com:80"
    assert request.pairs == [
        ("host", "Example.com:80"), ("cookie", "a=1"), ("x-y", "z"), ("x-y", "w"), ("cookie", "b=2"),
    ]  # fmt: skip
    assert request.fields == {"host": "Example.com:80", "cookie": "a=1; b=2", "x-y": "z,w"}
    assert request.persistent is True
    assert request.body is None


@pytest.mark.parametrize(
    ("line", "pair"),
    [
        (b"A: b", ("a", "b")),
        (b"A:b", ("a", "b")),
        (b"A:", ("a", "")),
        (b"A: \t b\tc \t", ("a", "b\tc")),
        (b"A: b:c", ("a", "b:c")),
        (b"A: \xe9\xa0", ("a", "é\xa0")),
        (b"!#$%&'*+-.^_`|~1aZ: x", ("!#$%&'*+-.^_`|~1az", "x")),
    ],
)
def test_field_lines(line: bytes, pair: tuple[str, str]) -> None:
    """RFC 9112 §5, RFC 9110 §5.5: the value without the spaces and tabs around it, and nothing else taken off."""
    assert read_field(line) == pair


@pytest.mark.parametrize(
    "line", [b"", b":", b": a", b"a", b"a b: c", b"a : b", b"a\t: b", b" a: b", b"\ta: b", b"\xe9: b", b"a(: b", b"a\r: b"]
    + [b"a: b%cc" % code for code in [*range(9), *range(10, 32), 127]],
)  # fmt: skip
def test_field_lines_refused(line: bytes) -> None:
    """E1: obs-fold, space before the colon, control bytes, NUL, bare CR and LF (RFC 9112 §5.1, §5.2, §2.2)."""
    with pytest.raises(ClientError) as caught:
        read_field(line)
    assert caught.value.status == 400


def test_secrets_are_not_remembered() -> None:
    """Neither is what is different with each request, nor what could be extraordinary."""
    lines = [
        b"Cookie: a=1",
        b"authorization: Basic eDp5",
        b"Proxy-Authorization: x",
        b"Content-Length: 3",
        b"X-Plain: 1",
    ]
    assert read_ordinary(b"\r\n".join([b"GET / HTTP/1.1", b"Host: a", *lines]), LIMITS)
    assert [line in h1_head._lines for line in lines] == [False, False, False, False, True]
    for text in SLOW.values():
        read_ordinary(head_of(text), LIMITS)
    names = {name for name, _ in h1_head._lines.values()}
    assert not names & {"transfer-encoding", "expect", "upgrade", "cookie", "authorization", "content-length"}


@pytest.mark.parametrize(("size", "kept"), [(511, True), (512, True), (513, False)])
def test_long_lines_are_not_remembered(size: int, kept: bool) -> None:
    line = b"X-Long: " + b"x" * (size - 8)
    assert read_ordinary(b"GET / HTTP/1.1\r\nHost: a\r\n" + line, LIMITS)
    assert (line in h1_head._lines) is kept


@pytest.mark.parametrize("size", [8, 60, 500])
def test_remembered_lines_are_bounded(size: int) -> None:
    """A flood of new lines takes 2 MiB at most, everything counted, and what is used stays."""
    table = h1_head._lines
    used = b"X-Used: yes"
    for start in range(0, 12000, 60):
        flood = [(b"X%05d: " % number).ljust(size, b"y") for number in range(start, start + 60)]
        assert read_ordinary(b"\r\n".join([b"GET / HTTP/1.1", b"Host: a", used, *flood]), LIMITS)
    assert used in table or used in table.old  # a generation may have ended with the very last lines
    weight = sys.getsizeof(table) + sys.getsizeof(table.old)
    for generation in (table, table.old):
        for line, pair in generation.items():
            weight += sys.getsizeof(line) + sys.getsizeof(pair) + 16 + sum(map(sys.getsizeof, pair))
    assert 1 << 18 < weight <= 1 << 20
