"""What a route can say, from the file to the answer: contents, try, rewrite, errors, strip, conditions."""

from __future__ import annotations

from pathlib import Path

import pytest
from compose_kit import Running

from edgestack.kept import Kept

ROUTES = """
[server]
tls = false
[map.plan]
from = "$arg_p"
to = { gold = "100" }
default = "1"
[[route]]
match = "/"
static = "site/"
[[route]]
match = "/alias/"
static = "site/"
[[route]]
match = "/c/"
static = "site/"
strip = false
[[route]]
match = "= /only.txt"
static = "site/"
try = ["/a.txt", "=410"]
[[route]]
match = "= /a.txt"
static = "site/"
[[route]]
match = "/app"
app = "main:app"
[[route]]
match = "/root"
app = "main:app"
strip = false
[[route]]
match = "~ ^/user/(?<name>\\\\w+)/(\\\\d+)$"
respond = "user $name $2 $plan"
[[route]]
match = "/gone"
redirect = { to = "/new$uri?$args", status = 308 }
[[route]]
match = "= /pong"
respond = { status = 201, body = "{}", type = "application/json" }
[[route]]
match = "= /down"
respond = 503
"""

ANSWERS = [
    ("/", 200, "home", "an index"),
    ("/alias/a.txt", 200, "a", "the prefix is stripped: nginx's alias"),
    ("/c/d.txt", 200, "d", "strip = false: nginx's root"),
    ("/a.txt", 200, "a", "an exact route with a folder"),
    ("/app", 200, "/app||", "an application at its prefix"),
    ("/app/x/y?q=1", 200, "/app|/x/y|q=1", "below it"),
    ("/apple", 404, "404", "a prefix ends with its segment"),
    ("/root/x", 200, "|/root/x|", "strip = false for an application"),
    ("/user/ann/7", 200, "user ann 7 1", "groups of the regex, and a map"),
    ("/user/ann/7?p=gold", 200, "user ann 7 100", "the map's other value"),
    ("/gone/a b".replace(" ", "%20"), 308, "/new/gone/a%20b?", "a redirect encodes what was decoded"),
    ("/pong", 201, "{}", "an answer of the configuration's own"),
    ("/down", 503, "503", "a status alone is an error"),
]


@pytest.mark.parametrize(("path", "status", "body", "why"), ANSWERS, ids=[why for *_, why in ANSWERS])
async def test_contents(tmp_path: Path, path: str, status: int, body: str, why: str) -> None:
    got = await Running(tmp_path, ROUTES).get(path)
    assert got.status == status
    assert body in got.fields.get("Location", got.body)


TRY = """
[server]
tls = false
[[route]]
match = "/"
static = "site/"
try = ["$uri", "$uri/", "$uri.html", "@app"]
[[route]]
match = "/status/"
static = "site/"
try = ["$uri", "=410"]
[[route]]
match = "/missing/"
static = "site/"
try = ["$uri", "/missing/never"]
[[route]]
match = "/query/"
static = "site/"
try = ["$uri", "/app/index?from=$uri&$args"]
[[route]]
match = "/app/"
app = "main:app"
[[route]]
match = "@app"
app = "main:app"
"""

TRIED = [
    ("/a.txt", 200, "a", "a file"),
    ("/b/", 200, "b's index", "a folder with its index"),
    ("/b", 301, "/b/", "a folder without its slash"),
    ("/c/", 403, "", "a folder without an index"),
    ("/page", 200, "a page", "another name"),
    ("/nothing?q", 200, "|/nothing|q", "a named route"),
    ("/a.txt/", 200, "|/a.txt/|", "a file is no folder"),
    ("/status/nothing", 410, "", "a status"),
    ("/missing/x", 404, "", "the last is not there either"),
    ("/query/x%26y?z=1", 200, "/app|/index|from=/query/x%26y&z=1", "a path with a query"),
]


@pytest.mark.parametrize(("path", "status", "body", "why"), TRIED, ids=[why for *_, why in TRIED])
async def test_c9_try(tmp_path: Path, path: str, status: int, body: str, why: str) -> None:
    """C9: nginx's try_files."""
    got = await Running(tmp_path, TRY).get(path)
    assert got.status == status
    assert body in got.fields.get("Location", got.body)


async def test_c9_try_with_an_application(tmp_path: Path) -> None:
    """All of `try` are files then, and the application is the last."""
    running = Running(tmp_path, """
        [[route]]
        match = "/"
        static = "site/"
        app = "main:app"
        try = ["$uri", "$uri.html"]
        """)  # fmt: skip
    assert (await running.get("/page")).body == "a page"
    assert (await running.get("/other")).body == "|/other|"
    assert (await running.get("/page", method="POST")).body == "|/page|"


async def test_a_single_page_site(tmp_path: Path) -> None:
    running = Running(tmp_path, '[[route]]\nmatch = "/"\nstatic = "site/"\npreset = "spa"\n')
    for path in ("/deep/link", "/index.html", "/"):
        got = await running.get(path)
        assert (got.status, got.body, got.fields["Cache-Control"]) == (200, "home", "no-cache")
    assert (await running.get("/deep/link", method="POST")).status == 405


REWRITES = """
[server]
tls = false
[[route]]
match = "/"
app = "main:app"
[[route]]
match = "/old/"
rewrite = { from = "^/old/(.*)$", to = "/new/$1" }
[[route]]
match = "/args/"
rewrite = { from = "^/args/(.*)$", to = "/new?was=$1" }
[[route]]
match = "/dropped/"
rewrite = { from = "^/dropped/", to = "/new?" }
[[route]]
match = "/stays/"
app = "main:app"
rewrite = { from = "^/stays/(.*)$", to = "/stays/in/$1", flag = "break" }
[[route]]
match = "/away/"
rewrite = { from = "^/away/(.*)$", to = "/there/$1", flag = "permanent" }
[[route]]
match = "/abroad/"
rewrite = { from = "^", to = "https://example.org$request_uri" }
[[route]]
match = "/ring/"
rewrite = { from = "^/ring/", to = "/ring/$args" }
"""

REWRITTEN = [
    ("/old/a%20b?q=1", 200, "|/new/a b|q=1", "the query stays"),
    ("/args/x%26y?q=1", 200, "|/new|was=x%26y&q=1", "the query follows; what was caught cannot add to it"),
    ("/dropped/x?q=1", 200, "|/new|", "the query is dropped"),
    ("/stays/x", 200, "/stays|/in/x|", "break stays in the route"),
    ("/away/x", 301, "/there/x", "permanent"),
    ("/abroad/x?q", 302, "https://example.org/abroad/x?q", "to another site"),
    ("/ring/", 500, "", "no end of rewrites"),
]


@pytest.mark.parametrize(("path", "status", "body", "why"), REWRITTEN, ids=[why for *_, why in REWRITTEN])
async def test_rewrites(tmp_path: Path, path: str, status: int, body: str, why: str) -> None:
    """nginx: ngx_http_rewrite_module."""
    got = await Running(tmp_path, REWRITES).get(path)
    assert got.status == status
    assert body in got.fields.get("Location", got.body)
    assert got.exchange.request.target == path


async def test_c8_an_encoded_slash_stays_one_after_a_rewrite(tmp_path: Path) -> None:
    """C8: what the folder would not show as it was asked for, it does not show after a rewrite."""
    text = """
    [[route]]
    match = "/"
    static = "site/"
    [[route]]
    match = "/x/"
    rewrite = { from = "^/x/(.*)$", to = "/$1" }
    """
    running = Running(tmp_path, text)
    assert (await running.get("/x/c/d.txt")).status == 200
    assert (await running.get("/x/c%2Fd.txt")).status == 404


ERRORS = """
[server]
tls = false
[[route]]
match = "/"
static = "site/"
errors = { "404" = "/pages/sorry.html", "403" = "=200 /pages/sorry.html", "405" = "https://example.org/" }
[[route]]
match = "/pages/"
static = "pages/"
internal = true
headers = { set = { X-Page = "yes" }, always = true }
[[route]]
match = "/app"
app = "main:app"
errors = { "5xx" = "/pages/sorry.html" }
[[route]]
match = "/busy"
respond = 503
errors = { "503" = "@busy" }
[[route]]
match = "@busy"
respond = { status = 200, body = "busy: $uri" }
"""

PAGES = [
    ("GET", "/nothing", 404, "sorry", "the page, with the error's status"),
    ("GET", "/c/", 200, "sorry", "with another status"),
    ("POST", "/", 302, "", "another site"),
    ("GET", "/pages/sorry.html", 404, "404", "the page itself is internal"),
    ("GET", "/app/boom", 500, "sorry", "an error on an application's thread"),
    ("GET", "/busy/x", 503, "busy: /busy/x", "a named route sees the path"),
]


@pytest.mark.parametrize(("method", "path", "status", "body", "why"), PAGES, ids=[why for *_, why in PAGES])
async def test_errors(tmp_path: Path, method: str, path: str, status: int, body: str, why: str) -> None:
    """nginx: error_page."""
    got = await Running(tmp_path, ERRORS).get(path, method=method)
    assert (got.status, body in got.body) == (status, True)
    if why.startswith("the page, "):
        assert got.fields["X-Page"] == "yes"


CONDITIONS = """
[server]
tls = false
[[route]]
match = { path = "/", methods = "POST" }
respond = "post"
[[route]]
match = { path = "/", header = { Accept = "~ json" } }
respond = "json"
[[route]]
match = { path = "/", query = { v = "2", preview = true, old = false } }
respond = "query"
[[route]]
match = { path = "/", methods = "GET" }
respond = "get"
"""

MET = [
    ("POST", "/x", (), (200, "post")),
    ("GET", "/x", (("Accept", "application/json"),), (200, "json")),
    ("GET", "/x?v=2&preview", (), (200, "query")),
    ("GET", "/x?v=%32&preview=1", (), (200, "query")),
    ("GET", "/x?v=2&preview&old=", (), (200, "get")),
    ("GET", "/x?v=2", (), (200, "get")),
    ("GET", "/x?v=3&v=2&preview", (), (200, "get")),
    ("HEAD", "/x", (), (200, "get")),
    ("PUT", "/x", (), (404, None)),
]


@pytest.mark.parametrize(("method", "path", "fields", "expected"), MET)
async def test_conditions(
    tmp_path: Path, method: str, path: str, fields: tuple[tuple[str, str], ...], expected: tuple[int, str | None]
) -> None:
    got = await Running(tmp_path, CONDITIONS).get(path, *fields, method=method)
    assert got.status == expected[0]
    assert expected[1] in (None, got.body)


LIMITED = """
[server]
tls = false
[[site]]
hosts = ["localhost"]
default = true
limit = {{ {shared} }}
errors = {{ "4xx" = "/pages/sorry.html" }}
  [[site.route]]
  match = "/"
  static = "site/"
  try = ["$uri", "/app/index"]
  limit = {{ body = "1MB", {own} }}
  [[site.route]]
  match = "/app"
  app = "main:app"
  [[site.route]]
  match = "~ ^/pages/(.*)$"
  static = {{ root = "." }}
"""


@pytest.mark.parametrize(
    ("shared", "own", "again"),
    [
        ('rate = "2/h", burst = 1, delay = 1', "connections = 9", [200, 429]),
        ("connections = 1", 'rate = "9/s", burst = 9, delay = 9', [200]),
    ],
)
async def test_a_limit_of_the_site_counts_a_request_once(
    tmp_path: Path, shared: str, own: str, again: list[int]
) -> None:
    """Its routes have it in links of their own: one beside another limit, one in the scope of a regex. A request that
    goes on in a second route (`try`, `errors`) takes one place, as in nginx; a refused one is shown its page."""
    kept = Kept()
    with kept.next() as keep:
        running = Running(tmp_path, LIMITED.format(shared=shared, own=own), keep=keep)
    for status in (200, *again):
        got = await running.get("/nothing")
        assert got.status == status
        assert got.body == ("/app|/index|" if status == 200 else "sorry")
