"""`Plan.explain`, and the tests that a configuration carries."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from compose_kit import plan

from edgestack.errors import ClientError, ConfigError
from edgestack.explaining import run_tests

TEXT = """
[[site]]
hosts = ["example.com"]
canonical = "apex"
errors = { "404" = "/pages/sorry.html" }
  [[site.route]]
  match = "/"
  static = "site/"
  try = ["$uri", "/index.html"]
  cache_control = "no-cache"
  [[site.route]]
  match = "/pages/"
  static = "pages/"
  internal = true
  [[site.route]]
  match = "/app"
  app = "main:app"
  deny = "192.0.2.7"
  limit = { rate = "1/s" }
  [[site.route]]
  match = "/old/"
  rewrite = { from = "^/old/", to = "/app/" }
"""

NO_CODING_SAID = ("no coding, for text of 1400 bytes or more",)
NO_CODING = "compress: no coding, for text of 1400 bytes or more  (:{})"

EXPLAINED = [
    (
        "GET", "https://example.com/a.txt",
        ["site: example.com, for 'example.com'  (:2)", "route: /  (:6)", "try: $uri: the file {}/site/a.txt  (:9)",
         "cache_control: + Cache-Control: no-cache  (:10)", NO_CODING.format(6), "answer: 200"],
    ),
    (
        "GET", "https://example.com/deep",
        ["site: example.com, for 'example.com'  (:2)", "route: /  (:6)", "try: $uri: not there  (:9)",
         "try: goes on at /index.html  (:9)", "jump: to /index.html", "route: /  (:6)",
         "try: $uri: the file {}/site/index.html  (:9)", "cache_control: + Cache-Control: no-cache  (:10)",
         NO_CODING.format(6), "answer: 200"],
    ),
    (
        "POST", "https://example.com/old/x",
        ["site: example.com, for 'example.com'  (:2)", "route: /old/  (:20)",
         "rewrite: ^/old/ fits: /app/ (last)  (:22)", "jump: to /app/", "route: /app  (:15)",
         "access: 127.0.0.1 is let in: no network has it  (:18)",
         "rate: 1/s by '127.0.0.1': 0 of burst 0 used, passes  (:19)",
         "content: the application main:app, which is not called: 200 is assumed  (:17)",
         NO_CODING.format(15), "answer: 200"],
    ),
    (
        "GET", "https://example.com/pages/x",
        ["site: example.com, for 'example.com'  (:2)",
         "route: /pages/, which only jumps inside the server lead to  (:11)",
         "error: 404: There is nothing at this address.", "errors: a page for 404", "jump: to /pages/sorry.html",
         "route: /pages/  (:11)", "content: the file {}/pages/sorry.html  (:13)", "answer: 404"],
    ),
    ("GET", "https://nobody.test/", ["site: 421: no site has the host 'nobody.test', and none is the default"]),
    (
        "GET", "https://www.example.com/x",
        ["site: example.com, for 'www.example.com'  (:2)", "canonical: 301 to https://example.com/x  (:2)"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("method", "url", "expected"), EXPLAINED, ids=[url for _, url, _ in EXPLAINED])
def test_explain(tmp_path: Path, method: str, url: str, expected: list[str]) -> None:
    told = [str(step).replace(f"{tmp_path}/edgestack.toml", "") for step in plan(tmp_path, TEXT).explain(method, url)]
    assert told == [*(line.format(tmp_path) for line in expected), "log: combined to standard output"]


def test_explain_says_who_refuses(tmp_path: Path) -> None:
    steps = plan(tmp_path, TEXT).explain("GET", "https://example.com/app", address="192.0.2.7")
    assert [(step.name, step.says.partition(":")[0]) for step in steps[2:4]] == [
        ("access", "192.0.2.7 is refused, 403"),
        ("refused", "403"),
    ]


SECRET = """
[[route]]
match = "/"
static = "site/"
app = "main:app"
[[route]]
match = "/tried/"
static = "site/"
app = "main:app"
try = ["$uri"]
[[route]]
match = "/secret/"
static = "site/"
basic_auth = "users"
"""


def test_explain_refuses_who_brings_no_password(tmp_path: Path) -> None:
    """What needs no check is not called 200; what needs one goes on, as if it passed."""
    (tmp_path / "users").write_text("alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n")
    made = plan(tmp_path, SECRET)

    def told(*fields: tuple[str, str]) -> list[str]:
        return [step.says for step in made.explain("GET", "/secret/a.txt", fields)][1:-1]

    assert told() == ["no credentials: refused with 401", "401: no credentials", "401"]
    assert told(("Authorization", "Basic ???"))[1:] == ["401: credentials that cannot be read", "401"]
    sent = told(("Authorization", "Basic YWxpY2U6cGFzc3dvcmQ="))
    assert sent == ["'alice': the password would be checked", f"the file {tmp_path}/site/a.txt", *NO_CODING_SAID, "200"]


@pytest.mark.parametrize(("path", "line"), [("/x", 5), ("/tried/x", 9)])
def test_explain_knows_the_applications_own_line(tmp_path: Path, path: str, line: int) -> None:
    (tmp_path / "users").touch()
    steps = plan(tmp_path, SECRET).explain("POST", path)
    (content,) = [step for step in steps if step.name == "content"]
    assert content.says.startswith("the application main:app")
    assert content.origin is not None
    assert content.origin.line == line


LOGGED = """
[server]
access_log = "{target}"
log_format = "json"
[log_formats]
short = "$status"
[[site]]
hosts = "example.com"
canonical = "www"
errors = {{ "404" = "/quiet/sorry" }}
  [[site.route]]
  static = "site/"
  [[site.route]]
  match = "/short/"
  respond = 204
  log = "short"
  limit = {{ connections = 10 }}
  [[site.route]]
  match = "/quiet/"
  respond = "sorry"
  log = "off"
"""

ENDS = [
    ("access.log", "https://www.example.com/", ["log: json to {}/access.log"]),
    ("access.log", "https://www.example.com/short/",
     ["end: the place of '127.0.0.1' among the requests at once is given back", "log: short to {}/access.log  (:16)"]),
    ("access.log", "https://www.example.com/quiet/", ["log: off  (:21)"]),
    ("access.log", "https://www.example.com/nothing", ["log: off  (:21)"]),
    ("access.log", "https://example.com/", ["log: json to {}/access.log"]),
    ("access.log", "https://other.test/", ["log: json to {}/access.log"]),
    ("-", "https://www.example.com/", ["log: json to standard output"]),
    ("off", "https://www.example.com/short/",
     ["end: the place of '127.0.0.1' among the requests at once is given back", "log: off  (:16)"]),
]  # fmt: skip


@pytest.mark.parametrize(("target", "url", "expected"), ENDS)
def test_explain_tells_the_ends(tmp_path: Path, target: str, url: str, expected: list[str]) -> None:
    """The line in the log, in the form of the last route, and what is given back; nothing is opened."""
    steps = plan(tmp_path, LOGGED.format(target=target)).explain("GET", url)
    told = [str(step).replace(f"{tmp_path}/edgestack.toml", "") for step in steps]
    assert told[-len(expected) - 1].partition(":")[0] in ("answer", "canonical", "site")
    assert told[-len(expected) :] == [line.format(tmp_path) for line in expected]
    assert not (tmp_path / "access.log").exists()


def test_explain_changes_nothing(tmp_path: Path) -> None:
    """It may be asked as often as one likes; nothing is counted."""
    made = plan(tmp_path, TEXT)
    told = [made.explain("GET", "https://example.com/app") for _ in range(3)]
    assert told[0] == told[1] == told[2]


def test_explain_refuses_what_no_client_could_ask(tmp_path: Path) -> None:
    with pytest.raises(ClientError):
        plan(tmp_path, TEXT).explain("GET", "https://example.com/%zz")


BOUNDED = """
[server]
max_body = "2kB"
[[route]]
match = "/app/"
app = "main:app"
[[route]]
match = "/narrow/"
app = "main:app"
limit = { body = "1kB" }
[[route]]
match = "/proxy/"
proxy = "http://127.0.0.1:9/"
[[route]]
match = "/tried/"
static = "site/"
app = "main:app"
"""

BODIES = [
    ("/app/", 2000, 200), ("/app/", 2001, 413), ("/narrow/", 1000, 200), ("/narrow/", 1001, 413),
    ("/proxy/", 2000, 200), ("/proxy/", 2001, 413), ("/tried/x", 2000, 200), ("/tried/x", 2001, 413),
]  # fmt: skip


@pytest.mark.parametrize(("path", "size", "status"), BODIES)
def test_a_body_that_is_announced_meets_its_bound(tmp_path: Path, path: str, size: int, status: int) -> None:
    """E8: as the server would, before a byte of it was read."""
    steps = plan(tmp_path, BOUNDED).explain("POST", f"https://a.test{path}", [("Content-Length", str(size))])
    assert [step.says for step in steps if step.name == "answer"] == [str(status)]
    assert any(step.says.startswith("413: The request") for step in steps) == (status == 413)


# --- [[test]] ---------------------------------------------------------------------------------------------------------

APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Method", environ["REQUEST_METHOD"])])
    return [b"hello ", environ["PATH_INFO"].encode()]
"""

EXPECTED: list[tuple[str, str, list[str]]] = [
    ("GET https://example.com/a.txt", 'status = 200, route = "/", site = "example.com", body = "a"', []),
    ("GET https://example.com/app/x", 'header = { X-Method = "GET", Server = false }, body = "hello /x"', []),
    ("GET https://example.com/a.txt", "status = 404", ["expected status 404, and 200 came"]),
    (
        "GET https://www.example.com/",
        "status = 200",
        ["expected status 200, and 301 came, to https://example.com/"],
    ),
    ("GET https://example.com/pages/x", 'route = "/pages/", status = 404', []),
    ("GET https://example.com/a.txt", 'route = "/app"', ["expected the route '/app', and it was '/'"]),
    (
        "GET https://nobody.test/",
        'site = "example.com", status = 421',
        ["expected the site example.com, and it was none of that name"],
    ),
    (
        "GET https://example.com/a.txt",
        'header = { Content-Type = "~ html", ETag = false, X = true, Content-Length = "1" }',
        [
            "expected the field content-type to fit 'html', and it is 'text/plain; charset=utf-8'",
            "expected the field etag not to be there, and it is",
            "expected the field x to be there, and there is none",
        ],
    ),
    ("GET https://example.com/a.txt", 'body = "b"', ["expected 'b' in the body, and it begins 'a'"]),
    ("GET https://example.com/%zz", "status = 400", []),
    ("GET https://example.com/%zz", "status = 200", ["it could not be asked: 400"]),
]


@pytest.mark.parametrize(("request_line", "expect", "failures"), EXPECTED)
def test_tests_of_a_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_line: str, expect: str, failures: list[str]
) -> None:
    made = _plan(tmp_path, monkeypatch, _test(request_line, expect))
    (outcome,) = run_tests(made)
    assert len(outcome.failures) == len(failures)
    for told, expected in zip(outcome.failures, failures, strict=True):
        assert told.startswith(expected)
    assert str(outcome).startswith(f"{tmp_path}/edgestack.toml:24: {request_line}: ")


def _test(request: str, expect: str) -> str:
    return f'\n[[test]]\nrequest = "{request}"\nexpect = {{ {expect} }}\n'


def _plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tests: str) -> Any:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "tested_app.py").write_text(APP)
    return plan(tmp_path, TEXT.replace("main:app", "tested_app:app") + tests)


MEASURED = """
[server]
max_body = "200kB"
[[route]]
app = "measuring_app:app"
"""
MEASURING = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"%d bytes" % len(environ["wsgi.input"].read())]
"""


@pytest.mark.parametrize(("size", "expect"), [("7", 'body = "7 bytes"'), ("200000", 'body = "200000 bytes"'),
                                              ("200001", "status = 413")])  # fmt: skip
def test_a_test_may_announce_a_body(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: str, expect: str
) -> None:  # fmt: skip
    """Its bytes are nobody's, its length is what was said."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "measuring_app.py").write_text(MEASURING)
    test = f'[[test]]\nrequest = "POST /"\nheader = {{ Content-Length = "{size}" }}\nexpect = {{ {expect} }}\n'
    assert [outcome.failures for outcome in run_tests(plan(tmp_path, MEASURED + test))] == [()]


def test_limits_count_within_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    twice = _test("GET https://example.com/app", "status = 200") + _test("GET https://example.com/app", "status = 429")
    assert [outcome.failures for outcome in run_tests(_plan(tmp_path, monkeypatch, twice))] == [(), ()]


def test_an_application_is_loaded_only_if_a_test_needs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = "raise RuntimeError('loaded')"
    made = _plan(tmp_path, monkeypatch, _test("GET https://example.com/a.txt", "status = 200"))
    (tmp_path / "tested_app.py").write_text(broken)
    assert [outcome.failures for outcome in run_tests(made)] == [()]
    made = _plan(tmp_path, monkeypatch, _test("GET https://example.com/app", "status = 200"))
    (tmp_path / "tested_app.py").write_text(broken)
    monkeypatch.delitem(sys.modules, "tested_app", raising=False)
    with pytest.raises(ConfigError):
        run_tests(made)


PAGED = """
[[route]]
app = "paged_app:app"
errors = { "500" = "/pages/sorry.html" }
[[route]]
match = "/pages/"
static = "pages/"
[[test]]
request = "GET /x"
expect = { status = 500, body = "sorry", route = "/pages/" }
"""


def test_a_page_for_an_application_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "paged_app.py").write_text("def app(environ, start_response):\n    raise ValueError('a bug')\n")
    assert [outcome.failures for outcome in run_tests(plan(tmp_path, PAGED))] == [()]


def test_without_tests_nothing_runs(tmp_path: Path) -> None:
    assert run_tests(plan(tmp_path, TEXT)) == []
