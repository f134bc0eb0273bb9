"""Access-log formats and the variables they are made of (issue 2, §6: combined format and JSON lines)."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from edgestack.http.messages import Exchange, Facts, Request
from edgestack.http.target import read_path
from edgestack.http.variables import FORMATS, VARIABLES, access_format, escaped, local_time

NOON = 1795419296  # 2026-11-23 07:34:56 UTC
COMBINED = (
    '{remote_addr} - {remote_user} [{time_local}] "{request}" {status} {body_bytes_sent} '
    '"{http_referer}" "{http_user_agent}"\n'
)
"""nginx's log_format combined, ngx_http_log_module."""


def exchange(target: str = "/", *, method: str = "GET", status: int = 200, **fields: str) -> Exchange:
    """A finished exchange; field names with _ for -."""
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    path, _, query = target.partition("?")
    request = Request(
        method, target, "HTTP/1.1", list(named.items()), named, read_path(path), query, named.get("host", ""), True
    )
    made = Exchange(Facts("192.0.2.7", 50000, scheme="https"), request, 1, 100.0)
    made.status, made.bytes_out = status, 612
    return made


def malformed() -> Exchange:
    """What is left of a request that could not be read."""
    made = exchange(status=400)
    made.request = None  # type: ignore[assignment]
    return made


def line(name: str, finished: Exchange, *, wall: float = NOON + 0.25, now: float = 100.5) -> str:
    return access_format(name, lambda: now, lambda: wall)(finished)


@pytest.fixture
def _utc() -> Iterator[None]:
    yield from zone("UTC")


def zone(name: str) -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = name
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.usefixtures("_utc")
def test_combined() -> None:
    made = exchange("/a?b=c", referer="https://example.org/", user_agent="curl/8.5.0")
    assert line("combined", made) == (
        '192.0.2.7 - - [23/Nov/2026:07:34:56 +0000] "GET /a?b=c HTTP/1.1" 200 612 "https://example.org/" "curl/8.5.0"\n'
    )


@pytest.mark.usefixtures("_utc")
def test_combined_without_a_request() -> None:
    assert line("combined", malformed()) == '192.0.2.7 - - [23/Nov/2026:07:34:56 +0000] "-" 400 612 "-" "-"\n'


CASES: list[tuple[str, dict[str, str]]] = [
    ("/", {}),
    ("/", {"referer": "", "user_agent": ""}),
    ('/"quoted"', {"referer": 'a"b', "user_agent": "back\\slash"}),
    ("/caf\xe9", {"user_agent": "\xfftext\x80", "referer": "tab\there"}),
    ("/", {"user_agent": "x" * 511}),
    ("/", {"user_agent": "x" * 512}),
    ("/", {"user_agent": '"' * 513}),
    ("/", {"authorization": "Basic YWxpY2U6c2VjcmV0"}),
    ("/", {"authorization": "basic YSJiOng="}),
    ("/", {"authorization": "Basic !!!"}),
    ("/", {"authorization": "Basic bm9jb2xvbg=="}),
    ("/", {"authorization": "Basic \xe9"}),
    ("/", {"authorization": "Basic OnNlY3JldA=="}),
    ("/", {"authorization": "Bearer token"}),
]


@pytest.mark.parametrize(("target", "fields"), CASES)
def test_the_flat_combined_line_is_the_table_put_together(target: str, fields: dict[str, str]) -> None:
    made = exchange(target, **fields)
    values = {name: escaped(variable.read(made) or "-") for name, variable in VARIABLES.items()}
    assert line("combined", made) == COMBINED.format(time_local=local_time(NOON), **values)
    assert line("combined", made) == line("combined", made)


def test_remote_user() -> None:
    read = VARIABLES["remote_user"].read
    assert read(exchange(authorization="Basic YWxpY2U6c2VjcmV0")) == "alice"
    assert [read(exchange(**fields)) for _, fields in CASES[9:]] == [None] * 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("", ""),
        ('say "hi"', "say \\x22hi\\x22"),
        ("a\\b", "a\\x5Cb"),
        ("a\nb\r\x1b[31m", "a\\x0Ab\\x0D\\x1B[31m"),
        ("\x7f\x80\xe9\xff", "\\x7F\\x80\\xE9\\xFF"),
        (" !#$[]^~", " !#$[]^~"),
    ],
)
def test_escaping_is_nginx_s(text: str, expected: str) -> None:
    assert escaped(text) == expected


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("evil", ['"\n127.0.0.1 - - "GET', "\x1b]0;title\x07", "a\r\nb", "\u0085\u009b"])
def test_nobody_forges_a_line(name: str, evil: str) -> None:
    made = exchange("/", referer=evil, user_agent=evil, method=evil, host=evil)
    text = line(name, made)
    assert text.endswith("\n")
    assert text[:-1].isascii()
    assert text[:-1].isprintable()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("UTC", "23/Nov/2026:07:34:56 +0000"),
        ("IST-5:30", "23/Nov/2026:13:04:56 +0530"),
        ("NST3:30", "23/Nov/2026:04:04:56 -0330"),
    ],
)
def test_local_time(name: str, expected: str) -> None:
    for _ in zone(name):
        assert local_time(NOON) == expected


@pytest.mark.usefixtures("_utc")
@pytest.mark.parametrize("name", FORMATS)
def test_the_remembered_second_moves_on(name: str) -> None:
    wall = [float(NOON)]
    format_line = access_format(name, lambda: 0.0, lambda: wall[0])
    assert ":34:56" in format_line(exchange())
    wall[0] += 0.999
    assert ":34:56" in format_line(exchange())
    wall[0] += 0.001
    assert ":34:57" in format_line(exchange())
    wall[0] -= 1  # a clock that is set back
    assert ":34:56" in format_line(exchange())


def test_json() -> None:
    made = exchange("/a?b=c", host="example.org", user_agent='curl "8"')
    said = json.loads(line("json", made))
    assert said == {
        "time": "2026-11-23T07:34:56.250Z",
        "status": 200,
        "bytes": 612,
        "duration_ms": 500.0,
        "remote_addr": "192.0.2.7",
        "method": "GET",
        "target": "/a?b=c",
        "protocol": "HTTP/1.1",
        "host": "example.org",
        "scheme": "https",
        "referer": None,
        "user_agent": 'curl "8"',
        "request_id": made.request_id,
    }


def test_json_without_a_request() -> None:
    said = json.loads(line("json", malformed()))
    assert (said["method"], said["target"], said["host"], said["status"]) == (None, None, None, 400)
    assert said["remote_addr"] == "192.0.2.7"


def test_a_clock_that_went_back_gives_no_negative_duration() -> None:
    assert json.loads(line("json", exchange(), now=99.0))["duration_ms"] == 0


def test_many_different_agents_are_forgotten_again() -> None:
    format_line = access_format("combined", lambda: 0.0, lambda: float(NOON))
    for number in range(5000):
        assert f'"agent/{number}"' in format_line(exchange(user_agent=f"agent/{number}"))
    assert '"-" "-"' in format_line(exchange())


def test_an_unknown_format() -> None:
    with pytest.raises(ValueError, match="combined2"):
        access_format("combined2", time.monotonic)


@pytest.mark.parametrize("name", sorted(VARIABLES))
def test_every_variable_has_a_moment_and_bears_a_malformed_request(name: str) -> None:
    variable = VARIABLES[name]
    value: Any = variable.read(malformed())
    assert variable.moment in ("request", "upstream", "response")
    assert value is None or isinstance(value, str)
