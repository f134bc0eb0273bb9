"""What a target says, and the request-target that goes upstream (B1, B2)."""

from __future__ import annotations

import pytest
from scripted import asking

from edgestack.config.proxy_targets import Target, parse_target
from edgestack.errors import ConfigError
from edgestack.http.target import read_path
from edgestack.upstream.target import mapping

TARGETS = [
    ("http://backend", Target("http", "backend"), "backend", 80, "backend:80"),
    ("http://backend/", Target("http", "backend", "/"), "backend", 80, "backend:80"),
    ("HTTP://BackEnd:80/Uri/", Target("http", "backend:80", "/Uri/"), "backend", 80, "backend:80"),
    ("https://10.0.0.5:8443/x", Target("https", "10.0.0.5:8443", "/x"), "10.0.0.5:8443", 8443, "10.0.0.5:8443"),
    ("https://[::1]", Target("https", "[::1]"), "[::1]", 443, "[::1]:443"),
    ("http://[::1]:81/", Target("http", "[::1]:81", "/"), "[::1]:81", 81, "[::1]:81"),
    ("http://unix:/run/app.sock", Target("http", "unix:/run/app.sock"), "localhost", 0, "unix:/run/app.sock"),
    ("http://unix:/run/app.sock:/u/", Target("http", "unix:/run/app.sock", "/u/"), "localhost", 0,
     "unix:/run/app.sock"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "target", "host", "port", "address"), TARGETS)
def test_targets(text: str, target: Target, host: str, port: int, address: str) -> None:
    """B19: http, https, IPv4, IPv6, host names and unix sockets."""
    found = parse_target(text)
    assert found == target
    assert (found.host, found.port, found.address) == (host, port, address)
    assert parse_target(str(found)) == found


@pytest.mark.parametrize(
    "text", ["", "backend", "ftp://x", "http://", "http:///x", "http://a b", "http://a:b", "http://a:99999", "http://a@b",
             "http://unix:x", "http://unix:/x:y", "http://a/?x", "http://a/#x", "http://?x"]
)  # fmt: skip
def test_no_targets(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_target(text)


AS_SENT = ["/", "/a%2Fb", "/a//b", "/%7Euser", "/%7euser", "/a/./b/../c", "/x?", "/x?a=%20&b", "/?", "/%E4%F6", "*"]


@pytest.mark.parametrize("target", AS_SENT)
async def test_byte_for_byte(target: str) -> None:
    """B1: without a URI nothing is touched."""
    assert mapping(None, "/a")(asking("GET", target)) == target


async def test_absolute_form() -> None:
    exchange = asking("GET", "/a%2Fb?x=1")
    exchange.request.target = "http://example.com/a%2Fb?x=1"
    assert mapping(None, "/")(exchange) == "/a%2Fb?x=1"


async def test_led_elsewhere() -> None:
    """A `rewrite` or an error page: the path as it is now."""
    exchange = asking("GET", "/old?x=1")
    exchange.request.path = read_path("/new%20one")
    assert mapping(None, "/")(exchange) == "/new%20one?x=1"


MAPPED = [
    ("/api/", "/", "/api/x", "/x"),
    ("/api", "/", "/api/x", "//x"),
    ("/api/", "/v1", "/api/x", "/v1x"),
    ("/api", "/v1", "/api/x", "/v1/x"),
    ("/api", "/v1", "/api", "/v1"),
    ("/", "/v1/", "/a/b", "/v1/a/b"),
    ("/a/", "/b/", "/a//x/./y/../z", "/b/x/z"),
    ("/a/", "/b/", "/a/%41%2f%3F%23%25%20x?q=%41", "/b/A/%3F%23%25%20x?q=%41"),
    ("/a/", "/b/", "/a/%C3%A4%FF", "/b/%C3%A4%FF"),
    ("/a/", "/b/", "/a/x?", "/b/x?"),
    ("/a/", "/b/", "/a/(x)[y]'!*~;,=@:$&+", "/b/(x)[y]'!*~;,=@:$&+"),
    ("/a/", "/b/", "/a/%22%3C%3E%5C%5E%60%7B%7C%7D", "/b/%22%3C%3E%5C%5E%60%7B%7C%7D"),
    ("/a/", "/b%20c/", "/a/x", "/b%20c/x"),
    ("= /a", "/b", "/a?q", "/b?q"),
]


@pytest.mark.parametrize(("prefix", "uri", "target", "sent"), MAPPED)
async def test_with_a_uri(prefix: str, uri: str, target: str, sent: str) -> None:
    """B1, B2: the prefix of the decoded, merged, resolved path is replaced, and the rest escaped again."""
    assert mapping(uri, prefix.removeprefix("= "))(asking("GET", target)) == sent
