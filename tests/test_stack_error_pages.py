"""Pages for what goes wrong on application threads: `errors` leads them to routes, as it does for all other errors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import trio

from edgestack.compose import compose
from edgestack.config.load import load
from edgestack.config.overrides import from_flags
from edgestack.stack import Stack

FILE = """
[server]
tls = false
bind = "127.0.0.1:0"
[[route]]
app = "main:app"
errors = { "5xx" = "/sorry/app?from=$uri" }
headers = { set = { X-Route = "first" }, always = true }
[[route]]
match = "/static/"
app = "main:app"
errors = { "500" = "=503 /pages/sorry.html" }
[[route]]
match = "/large/"
app = "main:app"
errors = { "500" = "/pages/large.html" }
[[route]]
match = "/fixed/"
app = "main:app"
errors = { "500" = "@fixed", "418" = "@fixed" }
[[route]]
match = "/plain/"
app = "main:app"
[[route]]
match = "/folder/"
app = "main:app"
errors = { "500" = "/pages/" }
[[route]]
match = "/elsewhere/"
app = "main:app"
errors = { "500" = "https://status.example.com/" }
[[route]]
match = "/stuck/"
app = "main:app"
errors = { "500" = "/asking/" }
[[route]]
match = "/asking/"
respond = "asked"
auth_request = "/sorry/app"
[[route]]
match = "/sorry/"
app = "main:app"
limit = { rate = "1000/s" }
[[route]]
match = "/pages/"
static = { root = "pages/", listing = true }
[[route]]
match = "@fixed"
respond = { status = 200, body = "fixed" }
"""

LARGE = b"large" * 20_000


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Fails, but for what is asked below /sorry/app; there it says what it sees."""
    path = environ["SCRIPT_NAME"] + environ["PATH_INFO"]
    if path.endswith("/own"):
        start_response("500 Mine", [("Content-Type", "text/plain")])
        return [b"my own"]
    if path.endswith("/late"):
        start_response("200 OK", [])
        return late()
    if path != "/sorry/app" or environ["QUERY_STRING"] == "from=/again":
        raise LookupError("a bug")
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Sorry", "1")])
    sees = environ["REQUEST_METHOD"], environ.get("CONTENT_LENGTH", "none"), environ["wsgi.input"].read()
    return [f"{path} {environ['QUERY_STRING']} {sees}".encode()]


def late() -> Iterable[bytes]:
    yield b"begun"
    raise LookupError("a bug")


class Served:
    """An edge, and a client of it."""

    def __init__(self, address: str) -> None:
        self.port = int(address.rpartition(":")[2])

    async def ask(self, target: str, method: str = "GET", body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
        """Status, fields in lower case, and body."""
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        async with stream:
            length = f"Content-Length: {len(body)}\r\n" if body else ""
            head = f"{method} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{length}\r\n"
            await stream.send_all(head.encode() + body)
            said = b""
            while piece := await stream.receive_some():
                said += piece
        top, _, rest = said.partition(b"\r\n\r\n")
        line, *fields = top.decode().split("\r\n")
        return (
            int(line.split()[1]),
            {name.lower(): value for name, _, value in (f.partition(": ") for f in fields)},
            rest,
        )


async def with_served(folder: Path, portable: bool, check: Callable[[Served], Any], **flags: Any) -> None:
    (folder / "pages").mkdir()
    (folder / "pages/sorry.html").write_text("a file")
    (folder / "pages/large.html").write_bytes(LARGE)
    (folder / "main.py").write_text("app = None")
    (folder / "edgestack.toml").write_text(FILE)
    config = load(folder / "edgestack.toml", from_flags(flags)).config
    stack = Stack(compose(config), dict.fromkeys(compose(config).applications, app), portable=portable)
    async with trio.open_nursery() as nursery:
        addresses = await nursery.start(stack.serve)
        await check(Served(addresses[0]))
        nursery.cancel_scope.cancel()
    assert stack.threads.stop(10.0)


PAGES: list[tuple[str, int, dict[str, str], bytes]] = [
    ("/x", 500, {"x-sorry": "1"}, b"/sorry/app from=/x ('GET', 'none', b'')"),
    ("/static/x", 503, {"content-type": "text/html; charset=utf-8"}, b"a file"),
    ("/large/x", 500, {"content-length": str(len(LARGE))}, LARGE),
    ("/fixed/x", 500, {}, b"fixed"),
    ("/elsewhere/x", 302, {"location": "https://status.example.com/"}, b"This is at https://status.example.com/\n"),
    ("/fixed/own", 500, {}, b"my own"),
]


@pytest.mark.parametrize("portable", [False, True], ids=["lot", "portable"])
@pytest.mark.parametrize(("target", "status", "fields", "body"), PAGES, ids=[page[0] for page in PAGES])
async def test_a_page_of_the_user_s_own(
    tmp_path: Path, portable: bool, target: str, status: int, fields: dict[str, str], body: bytes
) -> None:
    """nginx: error_page. What the application itself answers is its own, whatever its status (no intercept_errors)."""

    async def check(served: Served) -> None:
        for method in ("GET", "HEAD"):
            came, named, rest = await served.ask(target, method)
            assert came == status
            assert fields.items() <= named.items()
            assert rest == (b"" if method == "HEAD" else body)
        assert (await served.ask("/sorry/app"))[0] == 200

    await with_served(tmp_path, portable, check)


@pytest.mark.parametrize("portable", [False, True], ids=["lot", "portable"])
async def test_of_an_upload_nothing_is_left(tmp_path: Path, portable: bool) -> None:
    async def check(served: Served) -> None:
        status, _, body = await served.ask("/up", "POST", b"x" * 100_000)
        assert (status, body) == (500, b"/sorry/app from=/up ('GET', 'none', b'')")

    await with_served(tmp_path, portable, check)


@pytest.mark.parametrize("portable", [False, True], ids=["lot", "portable"])
async def test_where_there_is_no_such_page(tmp_path: Path, portable: bool, caplog: pytest.LogCaptureFixture) -> None:
    """It fails itself, it is none, it is a listing, or the answer has begun; the log has one record each."""

    async def check(served: Served) -> None:
        for target in ("/again", "/plain/x"):
            caplog.clear()
            status, fields, body = await served.ask(target)
            assert (status, fields["content-type"]) == (500, "text/plain; charset=utf-8")
            assert b"Request id" in body
            assert [record.levelno for record in caplog.records] == [logging.ERROR] * (2 if target == "/again" else 1)
        assert (await served.ask("/folder/x"))[0] == 500
        assert b"begun" in (await served.ask("/late"))[2]

    await with_served(tmp_path, portable, check)


@pytest.mark.parametrize("portable", [False, True], ids=["lot", "portable"])
@pytest.mark.parametrize(("threads", "body"), [(2, b"asked"), (1, b"Request id")])
async def test_a_page_that_needs_a_thread_where_all_wait_for_pages(
    tmp_path: Path, portable: bool, monkeypatch: pytest.MonkeyPatch, threads: int, body: bytes
) -> None:
    """The wait is bounded: the built-in page is sent, and the thread is free again."""
    if threads == 1:
        monkeypatch.setattr("edgestack.phases.subrequest.PAGE_LIMIT", 0.05)

    async def check(served: Served) -> None:
        for _ in range(2):
            status, _, came = await served.ask("/stuck/x")
            assert (status, body in came) == (500, True)
        assert (await served.ask("/sorry/app"))[0] == 200

    await with_served(tmp_path, portable, check, threads=threads)


@pytest.mark.parametrize("portable", [False, True], ids=["lot", "portable"])
async def test_in_development_the_traceback_is_shown(tmp_path: Path, portable: bool) -> None:
    """F11."""

    async def check(served: Served) -> None:
        status, _, body = await served.ask("/x")
        assert (status, b"LookupError" in body) == (500, True)

    await with_served(tmp_path, portable, check, dev=True)
