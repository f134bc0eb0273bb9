"""Guards: what each finds, what it lets pass, and that each can be switched off."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import trio

from edgestack.testing import GUARDS, Edge, GuardError, ScriptedUpstream, Site, guarded
from edgestack.testing.guards import Findings, ThreadWatch

Application = Callable[..., Any]
PLAIN = ("Content-Type", "text/plain")


def says(*pieces: Any, status: Any = "200 OK", headers: Any = None) -> Application:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        start_response(status, [PLAIN] if headers is None else headers)
        return list(pieces)

    return app


def streams(*pieces: Any, headers: Any = None) -> Application:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[Any]:
        start_response("200 OK", headers or [PLAIN])
        yield from pieces

    return app


def calls(act: Callable[[dict[str, Any], Callable[..., Any]], Any]) -> Application:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        return act(environ, start_response) or says(b"ok")(environ, start_response)

    return app


def late(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
    """A piece before start_response: the edge answers 500."""
    yield b"early"


BROKEN = {
    "the status is no text": (says(status=b"200 OK"), "the status must be a str"),
    "the status has no reason": (says(status="200"), "is not three digits"),
    "headers are no list": (says(headers=(PLAIN,)), "the headers must be a list"),
    "a header is a list": (says(headers=[["Content-Type", "text/plain"]]), "a tuple of two str"),
    "a header is bytes": (says(headers=[PLAIN, ("X-A", b"1")]), "a tuple of two str"),
    "a header's name": (says(headers=[PLAIN, ("X A", "1")]), "may not be called 'X A'"),
    "a header that ends in a dash": (says(headers=[PLAIN, ("X-", "1")]), "may not be called 'X-'"),
    "Status as a header": (says(headers=[PLAIN, ("Status", "200")]), "may not be called 'Status'"),
    "a control character": (says(headers=[PLAIN, ("X-A", "a\x07")]), "control characters"),
    "no Content-Type": (says(b"x", headers=[]), "no Content-Type"),
    "Content-Type on 204": (says(status="204 No Content"), "Content-Type on an answer without a body"),
    "a text": (lambda environ, start: (says()(environ, start) and "") or "text", "the application returned str"),
    "nothing": (lambda environ, start: start("200 OK", [PLAIN]) and None, "cannot be iterated"),
    "a piece of text": (says("text"), "a piece of the body must be bytes"),
    "a piece too early": (late, "before start_response was called"),
    "start_response never": (lambda environ, start: iter(()), "start_response was never called"),
    "start_response twice": (calls(lambda e, s: s("200 OK", [PLAIN]) and None), "a second time without exc_info"),
    "start_response by name": (calls(lambda e, s: s(status="200 OK", headers=[PLAIN]) and [b""]), "by position"),
    "exc_info": (calls(lambda e, s: s("200 OK", [PLAIN], ValueError()) and [b""]), "exc_info must be a tuple"),
    "write of text": (calls(lambda e, s: s("200 OK", [PLAIN])("text") or [b""]), r"write\(\) takes bytes"),
    "the input closed": (calls(lambda e, s: e["wsgi.input"].close()), r"wsgi.input.close\(\) was called"),
    "the log written in bytes": (calls(lambda e, s: e["wsgi.errors"].write(b"x") and None), r"takes str"),
}


@pytest.mark.parametrize(("app", "words"), BROKEN.values(), ids=BROKEN)
def test_pep_3333(app: Application, words: str) -> None:
    with pytest.raises(GuardError, match=rf"(?m)^\[pep3333\] GET /.*{words}"), Edge(app=app) as site:
        site.get("/")


@pytest.mark.parametrize("app", [one for one, _ in BROKEN.values()], ids=BROKEN)
def test_switched_off(app: Application) -> None:
    with Edge(app=app, guards=GUARDS - {"pep3333"}) as site:
        site.get("/")


def reads(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [PLAIN])
    environ["wsgi.errors"].write("a note\n")
    environ["wsgi.errors"].flush()
    return [environ["wsgi.input"].read(), environ["wsgi.input"].readline(5), *environ["wsgi.input"]]


def wraps(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response("200 OK", [PLAIN, ("Content-Length", "4")])
    return environ["wsgi.file_wrapper"](io.BytesIO(b"file"))


def again(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [PLAIN])
    start_response("500 Oops", [PLAIN], (ValueError, ValueError(), None))
    return (b"oops",)


RIGHT: dict[str, tuple[Application, bytes]] = {
    "a list": (says(b"a", b"b"), b"ab"),
    "a generator": (streams(b"a", b"b"), b"ab"),
    "with its length": (streams(b"ab", headers=[PLAIN, ("Content-Length", "2")]), b"ab"),
    "read without a size": (reads, b"body"),
    "a wrapped file": (wraps, b"file"),
    "another try": (again, b"oops"),
    "write": (calls(lambda e, s: s("200 OK", [PLAIN])(b"written") or [b" and more"]), b"written and more"),
    "no content": (says(status="204 No Content", headers=[]), b""),
}


@pytest.mark.parametrize(("app", "body"), RIGHT.values(), ids=RIGHT)
def test_what_is_right(app: Application, body: bytes) -> None:
    """Frameworks run under the guards: nothing is found, and nothing is changed."""
    with Edge(app=app) as site:
        assert site.post("/", body="body").body == body


LYING = {
    "too little": streams(b"ab", headers=[PLAIN, ("Content-Length", "3")]),
    "too much": streams(b"ab", headers=[PLAIN, ("Content-Length", "1")]),
    "a list": says(b"ab", headers=[PLAIN, ("Content-Length", "5")]),
}


@pytest.mark.parametrize("app", LYING.values(), ids=LYING)
def test_a_length_that_lies(app: Application) -> None:
    words = r"\[content-length\] GET /x: Content-Length said \d bytes, and 2 came"
    with pytest.raises(GuardError, match=words), Edge(app=app) as site:
        read_on(site)


def read_on(site: Site) -> None:
    """Ask, and take what comes, whole or not."""
    with site.connect() as sock:
        sock.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        while sock.recv(1000):
            pass


def test_head_has_a_length_and_no_body() -> None:
    with Edge(app=says(headers=[PLAIN, ("Content-Length", "5")])) as site:
        assert site.request("HEAD", "/")["Content-Length"] == "5"


class Forgetful:
    """A middleware that does not close what it was given."""

    def __init__(self, inner: Application) -> None:
        self.inner = inner

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        return [next(iter(self.inner(environ, start_response)))]


def test_an_unclosed_iterable() -> None:
    """Inside a middleware, by `guarded`: the edge itself closes what it gets."""
    inner = guarded(streams(b"first", b"second"))
    words = r"\[unclosed\] GET /x: close\(\) of the iterable was never called"
    with pytest.raises(GuardError, match=words), Edge(app=Forgetful(inner)) as site:
        assert site.get("/x").text == "first"


def test_guarded_raises_where_it_is() -> None:
    """An inner application's mistake is a 500, and is told by the edge."""
    with Edge(app=guarded(says("text"))) as site:
        assert site.get("/").status == 500


COOKIE = ("Set-Cookie", "id=1")
CACHED = """
[[route]]
match = "/"
cache = { cookies = true }
headers = { set = { Set-Cookie = "id=1" } }
proxy = "http://api"
"""


def test_a_cookie_from_the_cache() -> None:
    """The cache keeps no cookie, but a rule for fields may set one on every answer, those from the cache too."""
    api = ScriptedUpstream("api").replies(200, body="x", fields={"Cache-Control": "max-age=60"})
    words = r"\[set-cookie\] GET /: Set-Cookie on an answer from the cache \(HIT\)"
    with pytest.raises(GuardError, match=words), Edge(text=CACHED, upstreams=[api]) as site:
        assert [site.get("/")["Set-Cookie"] for _ in range(2)] == ["id=1", "id=1"]


@pytest.mark.parametrize("control", ["public, max-age=60", "s-maxage=60", "max-age=1, PUBLIC"])
def test_a_cookie_for_everybody(control: str) -> None:
    app = says(b"x", headers=[PLAIN, COOKIE, ("Cache-Control", control)])
    with pytest.raises(GuardError, match=r"\[set-cookie\] GET /: Set-Cookie .* shared caches"), Edge(app=app) as site:
        site.get("/")


@pytest.mark.parametrize("control", ["private, max-age=60", "no-store", "s-maxage=0", "max-age=60"])
def test_a_cookie_for_one(control: str) -> None:
    with Edge(app=says(b"x", headers=[PLAIN, COOKIE, ("Cache-Control", control)])) as site:
        site.get("/")


def test_a_thread_left_alive() -> None:
    over = threading.Event()

    def starts(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        threading.Thread(target=over.wait, name="forgotten", daemon=True).start()

    try:
        with (
            pytest.raises(GuardError, match=r"\[threads\] the thread 'forgotten' began"),
            Edge(app=calls(starts)) as site,
        ):
            site.get("/")
    finally:
        over.set()


def test_a_thread_that_ends() -> None:
    """One that is on its way to its end is waited for."""
    with Edge(app=calls(lambda e, s: threading.Thread(target=lambda: None).start())) as site:
        site.get("/")


def test_an_error_of_the_test_comes_first() -> None:
    with pytest.raises(ZeroDivisionError), Edge(app=says("text")) as site:
        assert site.get("/").status // 0


def test_no_such_guard() -> None:
    with pytest.raises(ValueError, match="no guard 'pep333'"):
        Edge(app=says(b""), guards={"pep333"})


@pytest.mark.parametrize("loop", ["trio", "asyncio"])
def test_an_asgi_application_is_left_be(loop: str) -> None:
    """PEP 3333 says nothing of it; and the thread of its loop is the edge's, which ends it."""

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"hello"})

    with Edge(app=app, asgi_loop=loop) as site:
        assert site.get("/").body == b"hello"


def test_a_thread_of_trios_that_is_still_at_work() -> None:
    """It bears the name of its job, which is about to end; then it is an idle one."""
    ends, done = threading.Event(), threading.Event()
    findings, watch = Findings(GUARDS), ThreadWatch()
    trio.lowlevel.start_thread_soon(lambda: ends.wait(5), lambda _: done.set(), "somebody's job")
    soon = threading.Timer(0.05, ends.set)
    soon.start()
    watch.check(findings, own=[soon])
    findings.check()
    assert done.wait(5)
    soon.join()
