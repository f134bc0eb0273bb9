"""What `explain` tells of routes that proxy, and what a configuration's tests have upstreams answer; none is asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from compose_kit import plan

from edgestack.explaining import run_tests

TEXT = """
[upstream.backend]
balance = "least_conn"
sticky = "cookie"
health = { path = "/health" }
servers = [
    { to = "127.0.0.1:1", weight = 2 },
    { to = "127.0.0.1:2", down = true },
    "app.invalid",
    { to = "127.0.0.1:3", backup = true },
]
[upstream.chance]
balance = "random"
servers = ["127.0.0.1:4", "unix:/run/a.sock"]
[upstream.none]
servers = [{ to = "127.0.0.1:5", down = true }, { to = "127.0.0.1:6", down = true }]

[[route]]
match = "/api/"
headers = { set = { X-Frame-Options = "DENY" } }
[route.proxy]
to = "http://backend/v1/"
set_headers = { Accept = "" }
hide_headers = "X-Powered-By"
next_upstream = "http_503"
[[route]]
match = "/chance/"
proxy = "https://chance"
[[route]]
match = "/none/"
proxy = "http://none"
[[route]]
match = "/any/"
proxy = "http://$arg_host"
[[route]]
match = "/site/"
static = "site/"
"""


def explained(folder: Path, url: str, *fields: tuple[str, str]) -> list[str]:
    """The steps from the content on, without places."""
    steps = [f"{step.name}: {step.says}" for step in plan(folder, TEXT).explain("GET", url, fields)]
    return steps[1:]


def test_the_request_the_group_and_its_peers(tmp_path: Path) -> None:
    fields = [("Accept", "*/*"), ("Connection", "X-Gone"), ("X-Gone", "1"), ("X-Stays", "2"), ("X-Forwarded-For", "9")]
    assert explained(tmp_path, "https://example.com/api/a%20b?c", *fields) == [
        "content: GET /v1/a%20b?c of http://backend",
        "upstream: backend: least_conn, 4 servers",
        "peer: 127.0.0.1:1, weight 2: would be asked first",
        "peer: 127.0.0.1:2: down",
        "peer: 127.0.0.1:3, backup: is asked when no other can be",
        "peer: app.invalid: a name, looked up when the server starts and again and again",
        "request: - host: example.com, - accept: */*, - connection: X-Gone, - x-gone: 1, - x-forwarded-for: 9, "
        "+ Host: backend, + X-Forwarded-For: 127.0.0.1, + X-Forwarded-Proto: https, + X-Forwarded-Host: example.com",
        "response: Location http://backend/v1/… becomes /api/…; X-Powered-By is hidden",
        "headers: + X-Frame-Options: DENY",
        "compress: no coding, for text of 1400 bytes or more",
        "answer: 200",
        "log: combined to standard output",
    ]


def test_places(tmp_path: Path) -> None:
    steps = plan(tmp_path, TEXT).explain("GET", "/api/")
    places = {step.name: str(step.origin).rpartition(":")[2] for step in steps if step.origin is not None}
    assert places == {"route": "18", "content": "21", "upstream": "2", "headers": "20", "compress": "18"}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/chance/", ["127.0.0.1:4: may be asked, as chance has it",
                      "unix:/run/a.sock: may be asked, as chance has it"]),
        ("/none/", ["127.0.0.1:5: down", "127.0.0.1:6: down", "nobody can be asked: 502"]),
        ("/any/?host=127.0.0.1:9", ["127.0.0.1:9: would be asked first"]),
    ],
)  # fmt: skip
def test_peers(tmp_path: Path, url: str, expected: list[str]) -> None:
    assert [step[6:] for step in explained(tmp_path, url) if step.startswith("peer: ")] == expected


def test_a_target_that_variables_do_not_make(tmp_path: Path) -> None:
    assert explained(tmp_path, "/any/?host=")[0].startswith("error: 500: `proxy` leads nowhere: ")


TESTS = [
    pytest.param("GET /api/x", "status = 302, header = { Location = '/api/in', Server = false }, body = 'hello'",
                 "{ status = 302, header = { Location = 'http://backend/v1/in', Server = 'x' }, body = 'hello' }", [],
                 id="fields are mapped back"),
    pytest.param("GET /api/x", "header = { Set-Cookie = '~ ^edgestack_backend=', X-Frame-Options = true }", "{}", [],
                 id="status 200 where none is said"),
    pytest.param("POST /api/x", "status = 503", "{ status = 503 }", [], id="the last answer, A19"),
    pytest.param("GET /api/x", "status = 404", "{ status = 404 }", [], id="a name that nobody looks up"),
    pytest.param("HEAD /api/x", "status = 200, header = { Content-Length = '2' }", "{ body = 'ab' }", [], id="HEAD"),
    pytest.param("GET /any/?host=b.invalid", "status = 204", "{ status = 204 }", [], id="whom a variable names"),
    pytest.param("GET /api?q", "status = 301, header = { Location = '~ /api/[?]q$' }", None, [], id="B3"),
    pytest.param("GET /api/x", "route = '/api/'", None, [], id="the route alone"),
    pytest.param("GET /api/x", "status = 200", None,
                 ["expected status 200, and 502 came", "no upstream is asked in a test"], id="nothing is said"),
    pytest.param("GET /none/", "status = 502", "{}", ["`upstream` says what a server would answer, and none was"],
                 id="nobody is live"),
    pytest.param("GET /site/", "status = 200", "{}", ["`upstream` says what"], id="a route that does not proxy"),
]  # fmt: skip


@pytest.mark.parametrize(("request_line", "expect", "upstream", "failures"), TESTS)
def test_upstreams_of_tests(
    tmp_path: Path, request_line: str, expect: str, upstream: str | None, failures: list[str]
) -> None:
    said = "" if upstream is None else f"upstream = {upstream}\n"
    test = f'\n[[test]]\nrequest = "{request_line}"\n{said}expect = {{ {expect} }}'
    (outcome,) = run_tests(plan(tmp_path, TEXT + test))
    assert len(outcome.failures) == len(failures), outcome
    for told, begins in zip(outcome.failures, failures, strict=True):
        assert told.startswith(begins)


def test_one_test_holds_nothing_against_a_peer_of_the_next(tmp_path: Path) -> None:
    one = '[[test]]\nrequest = "GET /api/"\nupstream = {{ status = {0} }}\nexpect = {{ status = {0} }}\n'
    text = TEXT + "".join(one.format(status) for status in (503, 503, 503, 503, 503, 200))
    assert [outcome.failures for outcome in run_tests(plan(tmp_path, text))] == [()] * 6
