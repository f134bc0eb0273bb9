"""Where to listen, as people write it (issue 2, §6)."""

from __future__ import annotations

import pytest

from edgestack.config.addresses import parse_address
from edgestack.config.model import Listener
from edgestack.errors import ConfigError

ADDRESSES = [
    ("127.0.0.1:8443", Listener("127.0.0.1", 8443)),
    ("127.0.0.1", Listener("127.0.0.1", 8000)),
    ("localhost", Listener("localhost", 8000)),
    ("localhost:0", Listener("localhost", 0)),
    ("example.org:443", Listener("example.org", 443)),
    ("web_1.internal.:80", Listener("web_1.internal.", 80)),
    (":8080", Listener("", 8080)),
    ("*:8080", Listener("", 8080)),
    ("*", Listener("", 8000)),
    ("0.0.0.0:1", Listener("0.0.0.0", 1)),
    ("9000", Listener("127.0.0.1", 9000)),
    ("0", Listener("127.0.0.1", 0)),
    ("[::1]:8443", Listener("::1", 8443)),
    ("[::1]", Listener("::1", 8000)),
    ("[::]:0", Listener("::", 0)),
    ("[fe80::1%eth0]:80", Listener("fe80::1%eth0", 80)),
    ("::1", Listener("::1", 8000)),
    ("::", Listener("::", 8000)),
    ("unix:/run/edgestack.sock", Listener(path="/run/edgestack.sock")),
    ("unix:relative.sock", Listener(path="relative.sock")),
    ("unix:///run/a.sock", Listener(path="/run/a.sock")),
    ("unix:/" + "a" * 106, Listener(path="/" + "a" * 106)),
    ("fd://3", Listener(fd=3)),
    (" :80 ", Listener("", 80)),
]


@pytest.mark.parametrize(("text", "expected"), ADDRESSES)
def test_addresses(text: str, expected: Listener) -> None:
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    ("text", "tls", "default", "port"),
    [("a", False, 0, 8000), ("a", True, 0, 8443), ("a", False, 80, 80), ("a:7", True, 80, 7), ("a:0", True, 80, 0)],
)
def test_default_ports(text: str, tls: bool, default: int, port: int) -> None:
    assert parse_address(text, tls=tls, default_port=default) == Listener("a", port, tls=tls)


@pytest.mark.parametrize("port", [0, 1, 65534, 65535])
def test_ports_up_to_the_last_one(port: int) -> None:
    assert parse_address(f"127.0.0.1:{port}").port == port
    assert parse_address(f"[::1]:{port}").port == port
    assert parse_address(f"{port}").port == port


BAD = [
    "",
    ":",
    "127.0.0.1:",
    "127.0.0.1:x",
    "127.0.0.1:65536",
    "127.0.0.1:-1",
    "127.0.0.1:٣",
    "65536",
    "99999999999999999999",
    "256.0.0.1:80",
    "1.2.3:80",
    "host:80:90",
    "-host:80",
    "a host:80",
    "host/path",
    "[::1",
    "[::1]80",
    "[::1]:",
    "[1.2.3.4]:80",
    "[nonsense]:80",
    "unix:",
    "unix:/" + "a" * 107,
    "unix:/" + "é" * 54,
    "fd://",
    "fd://x",
    "fd://-1",
    "a" * 64 + ":80",
]


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_address(text)
    assert caught.value.hint
    assert caught.value.key == "bind"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("http://localhost:8000/x", "did you mean localhost:8000?"),
        ("https://[::1]:8443", "did you mean [::1]:8443?"),
        ("http://", "write HOST:PORT"),
    ],
)
def test_a_pasted_url_is_understood(text: str, hint: str) -> None:
    with pytest.raises(ConfigError, match="is a URL, not an address") as caught:
        parse_address(text)
    assert caught.value.hint.startswith(hint)


def test_the_option_at_fault_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_address("nonsense:x", key="redirect-http")
    assert caught.value.key == "redirect-http"
