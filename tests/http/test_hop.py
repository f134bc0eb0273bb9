"""What crosses the hop to a hosting process comes out as it went in, and nothing else is believed."""

from __future__ import annotations

import pytest

from edgestack.errors import ClientError
from edgestack.http.facts import Facts, TlsFacts
from edgestack.http.forwarding import ForwardedFacts
from edgestack.http.hop import asked, read, told
from edgestack.http.messages import Exchange, Request
from edgestack.http.target import read_path

CERTIFICATE = {"subject": [[["commonName", "café \x00\n"]]], "serialNumber": "0A"}
PLAIN = Facts("127.0.0.1", 50000, "::1", 8443, "https")
SECURE = Facts(
    "2001:db8::1", 1, "10.0.0.1", 443, "https", "example.org", CERTIFICATE, TlsFacts("TLSv1.3", "A", True, "h2")
)


def through_proxies() -> Facts:
    facts = ForwardedFacts(PLAIN, "192.0.2.7", 7, "http", "shop.example", 80)
    facts.told = {"x-forwarded-for": "192.0.2.7"}
    return facts


def exchange(facts: Facts, target: str = "/a") -> Exchange:
    path, _, query = target.partition("?")
    return Exchange(facts, Request("GET", target, "HTTP/1.1", [], {}, read_path(path), query, "h", True), 0xABC, 0.0)


@pytest.mark.parametrize("facts", [PLAIN, SECURE, through_proxies()], ids=["plain", "secure", "forwarded"])
@pytest.mark.parametrize("mount", ["", "/api", "/café \udcff"])
def test_there_and_back(facts: Facts, mount: str) -> None:
    text = told(exchange(facts), mount)
    hop = read(text)
    names = ("remote_addr", "remote_port", "local_addr", "local_port", "scheme", "sni", "client_certificate", "tls")
    assert text.isascii()
    assert text.isprintable()
    assert (hop.serial, hop.mount) == (0xABC, mount)
    assert [getattr(hop.facts, name) for name in names] == [getattr(facts, name) for name in names]
    assert type(hop.facts) is type(facts)
    if isinstance(facts, ForwardedFacts):
        assert isinstance(hop.facts, ForwardedFacts)
        assert (hop.facts.host, hop.facts.told) == (facts.host, facts.told)


@pytest.mark.parametrize("text", ["", "0", "0 ", "x []", "0 []", "0 {}", "0 null", "0 [1]", '0 ["", 1, 2]'])
def test_nobody_else_is_believed(text: str) -> None:
    with pytest.raises(ClientError) as refused:
        read(text)
    assert refused.value.status == 400


def test_the_target_is_told_where_it_is_another() -> None:
    assert asked(exchange(PLAIN, "/a?b"), "/a?b") == ""
    assert asked(exchange(PLAIN, "/old?b"), "/new?b") == "/old?b"
