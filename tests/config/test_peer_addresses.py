"""Where a server of an upstream is, as people write it; and the other words of `[upstream.NAME]` (issue 4)."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgestack.config.load import load
from edgestack.config.model import Upstream
from edgestack.config.peer_addresses import PeerAddress, ServerAddress, parse_server
from edgestack.config.problems import ConfigErrors
from edgestack.config.upstreams import Sticky
from edgestack.errors import ConfigError

SERVERS = [
    ("127.0.0.1:8001", ServerAddress("127.0.0.1", 8001, text="127.0.0.1:8001")),
    ("127.0.0.1", ServerAddress("127.0.0.1", 80, text="127.0.0.1")),
    ("app_1.internal", ServerAddress("app_1.internal", 80, text="app_1.internal")),
    ("localhost:65535", ServerAddress("localhost", 65535, text="localhost:65535")),
    ("[::1]:8001", ServerAddress("::1", 8001, text="[::1]:8001")),
    ("::1", ServerAddress("::1", 80, text="::1")),
    ("http://10.0.0.5", ServerAddress("10.0.0.5", 80, text="10.0.0.5")),
    ("http://10.0.0.5:8080/", ServerAddress("10.0.0.5", 8080, text="10.0.0.5:8080")),
    ("https://10.0.0.5:8443", ServerAddress("10.0.0.5", 8443, tls=True, text="10.0.0.5:8443")),
    ("HTTPS://example.com", ServerAddress("example.com", 443, tls=True, text="example.com")),
    ("unix:/run/app.sock", ServerAddress(path="/run/app.sock", text="unix:/run/app.sock")),
    ("unix:///run/app.sock", ServerAddress(path="/run/app.sock", text="unix:///run/app.sock")),
    ("http://unix:/run/app.sock", ServerAddress(path="/run/app.sock", text="unix:/run/app.sock")),
    ("https+unix:/run/app.sock", ServerAddress(path="/run/app.sock", tls=True, text="unix:/run/app.sock")),
]


@pytest.mark.parametrize(("text", "server"), SERVERS)
def test_b19_servers(text: str, server: ServerAddress) -> None:
    """B19: http, https, IPv4, IPv6, names and unix sockets; what is shown reads as the same again."""
    assert parse_server(text) == server
    assert parse_server(str(server)) == server


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "write HOST:PORT"), ("8001", '"127.0.0.1:8001"'), (":80", "write"), ("*:80", "write"),
        ("http://a/path", "the route's"), ("ftp://a", "write"), ("fd://3", "write"), ("a b", "write"),
        ("1.2.3", "write"), ("a:65536", "write"), ("a:x", "write"), ("unix:", "write"), ("https://", "write"),
        ("a:0", ""),
    ],
)  # fmt: skip
def test_what_is_no_server(text: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_server(text)
    assert hint in caught.value.hint
    assert caught.value.why


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (PeerAddress("127.0.0.1", 80), "127.0.0.1:80"),
        (PeerAddress("::1", 80), "[::1]:80"),
        (PeerAddress(path="/a"), "unix:/a"),
    ],
)
def test_a_peer_is_told_as_nginx_tells_it(address: PeerAddress, text: str) -> None:
    assert str(address) == text


@pytest.mark.parametrize(
    ("text", "name"), [("127.0.0.1:1", False), ("::1", False), ("unix:/a", False), ("localhost", True), ("a:1", True)]
)
def test_what_must_be_resolved(text: str, name: bool) -> None:
    assert parse_server(text).is_name is name


# --- the section ------------------------------------------------------------------------------------------------------


def upstreams(folder: Path, text: str) -> tuple[Upstream, ...]:
    path = folder / "edgestack.toml"
    path.write_text(f'{text}\n[[route]]\nmatch = "/"\nrespond = "x"\n')
    return load(path).config.upstreams


def test_a_short_one_is_nginx_with_links_kept(tmp_path: Path) -> None:
    """The defaults of nginx, but for keepalive (B7)."""
    [found] = upstreams(tmp_path, '[upstream.backend]\nservers = ["127.0.0.1:8001", { to = "b", weight = 5 }]')
    assert (found.name, found.balance, found.max_fails, found.fail_timeout) == ("backend", "round_robin", 1, 10.0)
    assert (found.keepalive, found.keepalive_timeout, found.keepalive_requests) == (32, 60.0, 1000)
    assert (found.queue, found.sticky, found.health, found.hash, found.slow_start) == (None, None, None, "", 0.0)
    assert [(one.weight, one.max_conns, one.backup, one.down) for one in found.servers] == [
        (1, 0, False, False),
        (5, 0, False, False),
    ]
    assert found.origin is not None
    assert found.origin.line == 1


def test_equal_sections_are_equal(tmp_path: Path) -> None:
    """What is kept under one outlives a reload that moves it."""
    text = '[upstream.backend]\nservers = ["127.0.0.1:8001"]\nhealth = {}'
    assert upstreams(tmp_path, text) == upstreams(tmp_path, f"\n\n{text}")
    assert hash(upstreams(tmp_path, text)) == hash(upstreams(tmp_path, f"\n{text}"))


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("2xx-3xx", ((200, 399),)), ("200", ((200, 200),)), ("2XX 401", ((200, 299), (401, 401))),
        ("200-204, 301-3xx", ((200, 204), (301, 399))), ("1xx", ((100, 199),)), ("5xx-599", ((500, 599),)),
    ],
)  # fmt: skip
def test_statuses_that_are_expected(text: str, ranges: tuple[tuple[int, int], ...], tmp_path: Path) -> None:
    [found] = upstreams(tmp_path, f'[upstream.a]\nservers = ["a"]\nhealth = {{ expect = "{text}" }}')
    assert found.health is not None
    assert found.health.expect == ranges


@pytest.mark.parametrize("text", ["", "6xx", "2xx-", "-300", "20", "200-100", "2xx/3xx", "2xx-3xx-4xx"])
def test_what_are_no_statuses(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors) as caught:
        upstreams(tmp_path, f'[upstream.a]\nservers = ["a"]\nhealth = {{ expect = "{text}" }}')
    assert [error.line for error in caught.value.errors] == [3]


def test_the_short_forms_of_sticky(tmp_path: Path) -> None:
    [found] = upstreams(tmp_path, '[upstream.a]\nservers = ["a"]\nsticky = "cookie"')
    assert found.sticky == Sticky()


def test_c15_a_secret_is_never_served(tmp_path: Path) -> None:
    """C15: what the server itself opens."""
    (tmp_path / "key").write_text("secret")
    path = tmp_path / "edgestack.toml"
    path.write_text(
        '[upstream.a]\nservers = ["a"]\nsticky = { secret = "key" }\n[[route]]\nmatch = "/"\nrespond = "x"\n'
    )
    assert tmp_path / "key" in load(path).config.server.private_paths


@pytest.mark.parametrize("method", ["ip_hash", "random", "random two", "hash"])
@pytest.mark.parametrize("said", ["backup = true", "slow_start = 5"])
def test_a8_what_does_not_go_with_a_method(method: str, said: str, tmp_path: Path) -> None:
    """A8: an error with its place."""
    way = 'hash = "$uri"' if method == "hash" else f'balance = "{method}"'
    with pytest.raises(ConfigErrors) as caught:
        upstreams(tmp_path, f'[upstream.a]\n{way}\nservers = ["a", {{ to = "b", {said} }}]')
    [error] = caught.value.errors
    assert (error.line, error.column) == (3, 29)
    assert method in error.why


@pytest.mark.parametrize("method", ["round_robin", "least_conn", "least_time"])
def test_a8_what_goes_with_the_others(method: str, tmp_path: Path) -> None:
    """A8."""
    text = 'servers = ["a", { to = "b", backup = true, slow_start = 5 }]'
    assert upstreams(tmp_path, f'[upstream.a]\nbalance = "{method}"\n{text}')[0].balance == method
