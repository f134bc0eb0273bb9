"""`Edge` and its site, without pytest's help: a real HTTPS edge for the length of a block."""

from __future__ import annotations

import http.client
import json
import operator
import os
import subprocess
import sys
import unittest
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

import edgestack.testing.fixtures
from edgestack.errors import ConfigError
from edgestack.testing import Edge, ScriptedUpstream, Site


def says(words: str, *fields: tuple[str, str]) -> Callable[..., Iterable[bytes]]:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), *fields])
        return [words.format(**environ).encode()]

    return app


PATHS = says("{REQUEST_METHOD} {PATH_INFO} {wsgi.url_scheme}".replace("{wsgi.url_scheme}", "{SERVER_PROTOCOL}"))


def test_an_application() -> None:
    with Edge(app=PATHS) as site:
        assert site.url("/login").startswith("https://localhost:")
        answer = site.get("/login?next=/")
        assert (answer.status, answer.text, answer["Server"]) == (200, "GET /login HTTP/1.1", "edgestack")
        assert answer.raw.startswith(b"HTTP/1.1 200 OK\r\n")
        assert site.post("/form", body="a=1").text == "POST /form HTTP/1.1"


def test_files_and_an_application(tmp_path: Path) -> None:
    """Files come first, as in production."""
    (tmp_path / "style.css").write_text("a {}")
    with Edge(static=tmp_path, app=PATHS) as site:
        assert site.get("/style.css")["Content-Type"] == "text/css; charset=utf-8"
        assert site.get("/other").text == "GET /other HTTP/1.1"


CLIENTS: dict[str, Callable[[Site], str]] = {
    "httpx2": lambda site: httpx2.get(site.url("/x"), verify=site.ssl_context, trust_env=False).text,
    "httpx2 of the site": lambda site: str(site.client().get("/x").text),
    "urllib": lambda site: urllib.request.urlopen(site.url("/x"), context=site.ssl_context).read().decode(),
    "http.client of the site": lambda site: plain(site.plain_client()),
    "the site itself": lambda site: site.get("/x").text,
    "its whole URL": lambda site: site.get(site.url("/x")).text,
}


def plain(connection: http.client.HTTPConnection) -> str:
    connection.request("GET", "/x")
    with connection.getresponse() as response:
        return response.read().decode()


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_clients_that_trust_it(client: Callable[[Site], str]) -> None:
    with Edge(app=PATHS) as site:
        assert client(site) == "GET /x HTTP/1.1"


def test_nobody_else_trusts_it() -> None:
    with Edge(app=PATHS) as site, pytest.raises(httpx2.ConnectError, match=r"(?i)certificate"):
        httpx2.get(site.url("/x"), trust_env=False)


def test_the_authority_as_text_and_as_a_file() -> None:
    """What `requests`, curl and other programs want."""
    with Edge(app=PATHS) as site:
        assert site.ca_file.read_text() == site.ca_pem
        command = ["curl", "-s", "--noproxy", "*", "--cacert", str(site.ca_file), site.url("/from-curl")]
        assert subprocess.run(command, capture_output=True, check=True, text=True).stdout == "GET /from-curl HTTP/1.1"


def test_without_httpx2(monkeypatch: pytest.MonkeyPatch) -> None:
    """`client()` is one of the standard library's then."""
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with Edge(app=PATHS) as site:
        client = site.client()
        assert isinstance(client, http.client.HTTPSConnection)
        assert plain(client) == "GET /x HTTP/1.1"


def test_several_at_once() -> None:
    with Edge(app=says("one")) as one, Edge(app=says("two")) as two:
        assert one.port != two.port
        assert [site.get().text for site in (one, two, one)] == ["one", "two", "one"]
        assert len(one.log) == 2
        assert len(two.log) == 1


def test_plain_http() -> None:
    with Edge(app=PATHS, tls=False) as site:
        assert site.url("/").startswith("http://localhost:")
        assert site.get("/x").text == "GET /x HTTP/1.1"


def test_the_log() -> None:
    """A record is there when its answer was seen: nobody waits for it."""
    with Edge(app=says("{PATH_INFO}")) as site:
        for number in range(20):
            site.get(f"/{number}?q")
            record = site.log[-1]
            assert (record.method, record.target, record.status) == ("GET", f"/{number}?q", 200)
        assert record.bytes_out == len("/19")
        assert (record.scheme, record.remote_addr, record.route) == ("https", "127.0.0.1", "/")
        assert len(record.request_id) == 32
        assert record.seconds >= 0


def test_statistics() -> None:
    with Edge(app=PATHS) as site:
        site.get()
        site.get()
        found = site.statistics()
        assert (found["accepted"], found["exchanges"], found["failures"]) == (2, 2, 0)


CONFIG = """
[server]
bind = ["10.255.0.1:443", "unix:/run/shop.sock"]
pid = "/no/such/folder/pid"
access_log = "/no/such/folder/access.log"
error_log = "/no/such/folder/error.log"

[tls]
cert = "/etc/no/such/chain.pem"
key = "/etc/no/such/key.pem"
redirect_http = ":80"

[cache.pages]
disk = "/no/such/folder/cache"

[[site]]
hosts = ["shop.example", "*.shop.example"]
canonical = "apex"
[[site.route]]
match = "/"
app = "src.main:app"
"""


@pytest.fixture
def production(tmp_path: Path) -> Path:
    path = tmp_path / "edgestack.toml"
    path.write_text(CONFIG)
    return path


def test_a_file_of_production(production: Path, tmp_path: Path) -> None:
    """What is about production's machine goes: addresses, certificates, logs; hosts and routes stay."""
    replaced = {"app.src.main:app": says("the shop"), "cache.pages.disk": str(tmp_path / "cache")}
    with Edge(production, replace=replaced) as site:
        answer = site.get(site.url("/", host="shop.example"))
        assert (answer.status, answer.text) == (200, "the shop")
        assert site.get("/").status == 421
        assert site.log[0].site == "shop.example"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["edgestack.toml"]


def test_redirects_of_production(production: Path, tmp_path: Path) -> None:
    """Plain HTTP has a port of its own, and is sent to the one that HTTPS has."""
    with Edge(production, replace={"cache.pages.disk": str(tmp_path)}) as site:
        answer = site.get("http://shop.example/x")
        assert (answer.status, answer["Location"]) == (301, f"https://shop.example:{site.port}/x")


def test_an_application_by_name() -> None:
    with Edge(text='[[route]]\nmatch = "/"\napp = "src.main:app"') as site:
        assert site.get("/api/time").status == 200


WRONG = [
    (lambda: Edge(text="[sever]"), "sever"),
    (lambda: Edge(text="routes = ["), "edgestack.testing:1"),
    (lambda: Edge("no-such-file.toml"), "no-such-file.toml"),
    (lambda: Edge(app=PATHS, replace={"upstream.b": "127.0.0.1:1"}), r"no \[upstream.b\].*none"),
    (lambda: Edge(app=PATHS, replace={"app.x:y": PATHS}), "no route has the application 'x:y'"),
    (lambda: Edge(app=PATHS, replace={"server.threds": 1}), "threds"),
    (lambda: Edge(app=PATHS, thread=1), "no option 'thread'"),
    (lambda: Edge(app="no_such_module:app"), "no_such_module"),
]


@pytest.mark.parametrize(("make", "words"), WRONG, ids=[words for _, words in WRONG])
def test_mistakes(make: Callable[[], Edge], words: str) -> None:
    """They are told as `edgestack check` tells them, and nothing is left running."""
    with pytest.raises(ConfigError, match=words), make():
        raise AssertionError("it must not start")


def test_two_configurations() -> None:
    with pytest.raises(ValueError, match="give one"):
        Edge("edgestack.toml", text="x")


def test_memory_is_for_loops() -> None:
    with pytest.raises(ValueError, match="async with"), Edge(app=PATHS, memory=True):
        raise AssertionError("it must not start")


def test_reload() -> None:
    """The same port, another configuration; and the other application."""
    with Edge(app=says("before")) as site:
        port = site.port
        client = site.client()
        assert client.get("/").text == "before"
        site.reload(app=says("after"))
        assert site.port == port
        assert client.get("/").text == "after"
        with pytest.raises(ConfigError, match="sever"):
            site.reload(text="[sever]")
        assert client.get("/").text == "after"
        site.reload(text='[[route]]\nmatch = "/"\nrespond = "fixed"')
        assert client.get("/").text == "fixed"


def test_a_reload_listens_where_it_did() -> None:
    with Edge(app=says("before"), tls=False) as site:
        url = site.url("/")
        site.reload(text='[[route]]\nmatch = "/"\nrespond = "fixed"')
        assert site.url("/") == url
        assert site.get("/").text == "fixed"
        site.reload(app=says("secure"), tls=True)
        assert site.get("/").text == "secure"
        assert site.url("/").startswith("https:")


def test_targets_are_sent_as_they_are_given() -> None:
    """An empty query, which is none in most URL libraries; dots and double slashes; a fragment is the client's own."""
    seen = ScriptedUpstream("seen")
    with Edge(proxy=seen, tls=False) as site:
        for target in ("/x?", "/x??", "//x//", "/a/../b", "/%2e?a=%20#top", "http://shop.example/y?", "z"):
            site.get(target)
        assert [request.target for request in seen.requests] == [
            "/x?",
            "/x??",
            "//x//",
            "/a/../b",
            "/%2e?a=%20",
            "/y?",
            "/z",
        ]


def test_reload_with_an_upstream() -> None:
    api = ScriptedUpstream("api").replies(200, body="from api")
    with Edge(app=says("app"), upstreams=[api]) as site:
        site.reload(proxy=api)
        assert site.get("/").text == "from api"
        assert site.attempts == [("api", 200)]
        assert site.upstreams["api"] is api


def test_browser_args(production: Path, tmp_path: Path) -> None:
    with Edge(production, replace={"cache.pages.disk": str(tmp_path)}) as site:
        pinned, rules = site.browser_args()
        assert pinned.startswith("--ignore-certificate-errors-spki-list=")
        assert "MAP shop.example 127.0.0.1" in rules


def test_hosts_of_every_kind() -> None:
    """Addresses, names that no certificate can bear, names beyond ASCII."""
    hosts = '"[::1]", "a_b.example", "köln.example", "*.shop.example"'
    text = f'[[site]]\nhosts = [{hosts}]\n[[site.route]]\nrespond = "$host"'
    with Edge(text=text) as site:
        assert site.get(site.url("/", host="xn--kln-sna.example")).text == "xn--kln-sna.example"
        assert site.get("/", fields={"Host": "a_b.example"}).text == "a_b.example"
        assert site.get(site.url("/", host="any.shop.example")).status == 200


def test_where_redirects_are() -> None:
    with Edge(app=PATHS, redirect_http=":80") as site:
        assert site.get(site.redirect_url("/x"))["Location"] == site.url("/x")
    with Edge(app=PATHS) as site, pytest.raises(ValueError, match="redirect_http"):
        site.redirect_url()


def public_names() -> Iterator[tuple[str, Any]]:
    """Everything that a user of `edgestack.testing` may name."""
    for name in (*edgestack.testing.__all__, "fixtures.Edges", "fixtures.AsyncEdges"):
        found = operator.attrgetter(name)(edgestack.testing)
        yield name, found
        if isinstance(found, type):
            for part, value in vars(found).items():
                if not part.startswith("_") and (callable(value) or isinstance(value, property)):
                    yield f"{name}.{part}", value


@pytest.mark.parametrize(("name", "found"), list(public_names()), ids=[name for name, _ in public_names()])
def test_every_public_name_is_documented(name: str, found: Any) -> None:
    """In its docstring; of a set of words, below it."""
    assert name == "GUARDS" or (found.__doc__ or "").strip()


class WithUnittest(unittest.TestCase):
    """Without pytest: `enterContext`."""

    def test_it(self) -> None:
        """As its user would."""
        site = self.enterContext(Edge(app=PATHS))
        assert site.get("/x").text == "GET /x HTTP/1.1"


SCRIPT = """
import json, sys, threading
from edgestack.testing import Edge

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]

with Edge(app=app) as site:
    said = site.get("/").text
print(json.dumps([said, [thread.name for thread in threading.enumerate()]]))
"""


def test_in_a_program() -> None:
    """A notebook, a script: afterwards no thread is left, and no temporary file."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )  # fmt: skip
    assert json.loads(run.stdout) == ["hello", ["MainThread"]]
    assert run.stderr == ""


def test_what_is_no_application() -> None:
    with pytest.raises(ConfigError, match="app=5 is no application"), Edge(app=5):
        raise AssertionError("it must not start")
