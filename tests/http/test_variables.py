"""Access-log formats and the variables they are made of (issue 2, §6: combined format and JSON lines)."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from edgestack.http.facts import Facts, TlsFacts
from edgestack.http.forwarding import ForwardedFacts
from edgestack.http.messages import Exchange, Request
from edgestack.http.target import read_path
from edgestack.http.variables import (
    FORMATS,
    VARIABLES,
    Scope,
    access_format,
    escaped,
    find_variable,
    local_time,
)

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


HEAD = b"HTTP/1.1 302 Found\r\nServer: edgestack\r\nLocation: /\xe9\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n"
"""As the wire leaves it with the exchange."""

SENT = [
    ("sent_http_location", "/\xe9"),
    ("sent_http_Set_Cookie", "a=1, b=2"),
    ("sent_http_cookie", None),
    ("sent_http_server", "edgestack"),
    ("bytes_sent", str(len(HEAD) + 37 + 50 + 612)),
]


@pytest.mark.parametrize(("name", "expected"), SENT)
def test_what_was_sent(name: str, expected: str | None) -> None:
    """ngx_http_log_module, ngx_http_core_module: $bytes_sent, $sent_http_*."""
    made = exchange()
    variable = find_variable(name, Scope())
    assert variable is not None
    assert variable.read(made) == ("612" if name == "bytes_sent" else None), "nothing was"
    made.head = HEAD
    assert variable.read(made) == expected


def test_what_was_sent_of_the_end_of_a_head() -> None:
    made = exchange(status=499)
    made.head, made.bytes_out = HEAD, 0
    assert VARIABLES["bytes_sent"].read(made) == "0", "the client left before its answer"
    variable = find_variable("sent_http_x_request_id", Scope())
    assert variable is not None
    assert variable.read(made) == made.request_id


def test_request_length() -> None:
    lines = b"POST /a?b HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n"
    made = exchange("/a?b", method="POST", host="a", content_length="10")
    assert VARIABLES["request_length"].read(made) == str(len(lines) + 10)
    assert VARIABLES["request_length"].read(exchange(content_length="no")) == str(len(b"GET / HTTP/1.1\r\n") + 22)


@pytest.mark.parametrize(
    ("tls", "expected"),
    [
        (None, [None] * 4),
        (TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384", False, ""), ["TLSv1.3", "TLS_AES_256_GCM_SHA384", ".", None]),
        (TlsFacts("TLSv1.2", "X", True, "http/1.1"), ["TLSv1.2", "X", "r", "http/1.1"]),
    ],
)
def test_of_the_handshake(tls: TlsFacts | None, expected: list[str | None]) -> None:
    made = exchange()
    made.facts.tls = tls
    names = ("ssl_protocol", "ssl_cipher", "ssl_session_reused", "ssl_alpn_protocol")
    assert [VARIABLES[name].read(made) for name in names] == expected


def test_of_the_machine_and_the_peer() -> None:
    made = exchange()
    names = ("pid", "hostname", "realip_remote_port")
    assert [VARIABLES[name].read(made) for name in names] == [str(os.getpid()), os.uname().nodename.lower(), "50000"]
    made.facts = ForwardedFacts(made.facts, "198.51.100.9", 7, "https", "", 443)
    assert [VARIABLES[name].read(made) for name in ("remote_port", "realip_remote_port")] == ["7", "50000"]


@pytest.mark.parametrize("name", sorted(VARIABLES))
def test_every_variable_has_a_moment_and_bears_a_malformed_request(name: str) -> None:
    variable = VARIABLES[name]
    value: Any = variable.read(malformed())
    assert variable.moment in ("request", "upstream", "response")
    assert value is None or isinstance(value, str)
