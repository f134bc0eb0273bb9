"""Pages for what goes wrong on application threads: `errors` leads them to routes, as it does for all other errors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from edgestack.testing import GUARDS, Site
from edgestack.testing.fixtures import Edges

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


Serve = Callable[..., Site]


@pytest.fixture(params=[False, True], ids=["lot", "portable"])
def serve(request: pytest.FixtureRequest, tmp_path: Path, edge: Edges) -> Serve:
    """`serve(**options)`: the edge of FILE, before an application that fails."""
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages/sorry.html").write_text("a file")
    (tmp_path / "pages/large.html").write_bytes(LARGE)
    (tmp_path / "main.py").write_text("app = None")
    (tmp_path / "edgestack.toml").write_text(FILE)
    replaced = {"app.main:app": app}
    return partial(
        edge, tmp_path / "edgestack.toml", replace=replaced, portable=request.param, guards=GUARDS - {"pep3333"}
    )


PAGES: list[tuple[str, int, dict[str, str], bytes]] = [
    ("/x", 500, {"x-sorry": "1"}, b"/sorry/app from=/x ('GET', 'none', b'')"),
    ("/static/x", 503, {"content-type": "text/html; charset=utf-8"}, b"a file"),
    ("/large/x", 500, {"content-length": str(len(LARGE))}, LARGE),
    ("/fixed/x", 500, {}, b"fixed"),
    ("/elsewhere/x", 302, {"location": "https://status.example.com/"}, b"This is at https://status.example.com/\n"),
    ("/fixed/own", 500, {}, b"my own"),
]


@pytest.mark.parametrize(("target", "status", "fields", "body"), PAGES, ids=[page[0] for page in PAGES])
def test_a_page_of_the_user_s_own(serve: Serve, target: str, status: int, fields: dict[str, str], body: bytes) -> None:
    """nginx: error_page. What the application itself answers is its own, whatever its status (no intercept_errors)."""
    site = serve()
    for method in ("GET", "HEAD"):
        answer = site.request(method, target)
        assert answer.status == status
        assert {name: answer[name] for name in fields} == fields
        assert answer.body == (b"" if method == "HEAD" else body)
    assert site.get("/sorry/app").status == 200


def test_of_an_upload_nothing_is_left(serve: Serve) -> None:
    answer = serve().post("/up", body=b"x" * 100_000)
    assert (answer.status, answer.body) == (500, b"/sorry/app from=/up ('GET', 'none', b'')")


def test_where_there_is_no_such_page(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """It fails itself, it is none, it is a listing, or the answer has begun; the log has one record each."""
    site = serve()
    for target in ("/again", "/plain/x"):
        caplog.clear()
        answer = site.get(target)
        assert (answer.status, answer["Content-Type"]) == (500, "text/plain; charset=utf-8")
        assert "Request id" in answer.text
        assert [record.levelno for record in caplog.records] == [logging.ERROR] * (2 if target == "/again" else 1)
    assert site.get("/folder/x").status == 500
    with pytest.raises(ConnectionError, match="begun"):
        site.get("/late")


@pytest.mark.parametrize(("threads", "words"), [(2, "asked"), (1, "Request id")])
def test_a_page_that_needs_a_thread_where_all_wait_for_pages(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, threads: int, words: str
) -> None:
    """The wait is bounded: the built-in page is sent, and the thread is free again."""
    if threads == 1:
        monkeypatch.setattr("edgestack.phases.subrequest.PAGE_LIMIT", 0.05)
    site = serve(threads=threads)
    for _ in range(2):
        answer = site.get("/stuck/x")
        assert (answer.status, words in answer.text) == (500, True)
    assert site.get("/sorry/app").status == 200


def test_in_development_the_traceback_is_shown(serve: Serve) -> None:
    """F11."""
    answer = serve(dev=True).get("/x")
    assert (answer.status, "LookupError" in answer.text) == (500, True)
