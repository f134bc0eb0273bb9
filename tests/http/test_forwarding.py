"""Forwarded and X-Forwarded-*: only from trusted peers, right to left (F3; RFC 7239, nginx's real_ip)."""

from __future__ import annotations

from typing import Any

import pytest

from edgestack.errors import ConfigError
from edgestack.http.facts import Facts
from edgestack.http.forwarding import MEMBERS_KEPT, ForwardedFacts, TrustedProxies, tells_of_forwarding

NET = ("10.0.0.0/8", "fd00::/8")


def told(trusted: Any, fields: dict[str, str], peer: str = "10.0.0.1", scheme: str = "http", **more: Any) -> Facts:
    facts = Facts(peer, 40000, "10.0.0.99", 8080, scheme, sni="s")
    return TrustedProxies(trusted, **more).facts(facts, {"host": "inner", **fields})


@pytest.mark.parametrize(
    ("value", "client", "kept"),
    [
        pytest.param("203.0.113.9", "203.0.113.9", "203.0.113.9", id="F3 one proxy"),
        pytest.param("forged, 203.0.113.9", "203.0.113.9", "203.0.113.9", id="F3 what the client sent is discarded"),
        pytest.param("1.1.1.1,203.0.113.9", "203.0.113.9", "203.0.113.9", id="F3 an address forged"),
        pytest.param("203.0.113.9, 10.2.2.2", "203.0.113.9", "203.0.113.9, 10.2.2.2", id="F3 two proxies"),
        pytest.param(
            "x, 203.0.113.9, 10.2.2.2, fd00::1", "203.0.113.9", "203.0.113.9, 10.2.2.2, fd00::1", id="F3 three"
        ),
        pytest.param("10.3.3.3, 10.2.2.2", "10.3.3.3", "10.3.3.3, 10.2.2.2", id="F3 a client inside"),
        pytest.param("203.0.113.9:4711", "203.0.113.9", "203.0.113.9:4711", id="F3 with a port"),
        pytest.param("2001:db8::1", "2001:db8::1", "2001:db8::1", id="F3 IPv6"),
        pytest.param("[2001:db8::1]:80", "2001:db8::1", "[2001:db8::1]:80", id="F3 IPv6 in brackets"),
        pytest.param("::ffff:203.0.113.9", "203.0.113.9", "::ffff:203.0.113.9", id="F3 IPv4 in IPv6"),
        pytest.param("203.0.113.9, unknown, 10.2.2.2", "10.2.2.2", "10.2.2.2", id="F3 stops at what is no address"),
        pytest.param("unknown", "10.0.0.1", None, id="F3 nothing to believe: the proxy itself"),
        pytest.param("203.0.113.9, ,", "203.0.113.9", "203.0.113.9", id="F3 empty elements"),
        pytest.param("", "10.0.0.1", None, id="F3 empty"),
        pytest.param("203.0.113.9.9", "10.0.0.1", None, id="F3 malformed"),
    ],
)
def test_the_client_behind_trusted_networks(value: str, client: str, kept: str | None) -> None:
    facts = told(NET, {"x-forwarded-for": value})
    assert isinstance(facts, ForwardedFacts)
    assert facts.remote_addr == client
    assert facts.told.get("x-forwarded-for") == kept
    assert facts.peer_addr == "10.0.0.1"
    assert (facts.local_addr, facts.sni, facts.scheme, facts.host) == ("10.0.0.99", "s", "http", "")


@pytest.mark.parametrize(
    ("hops", "value", "client"),
    [
        (1, "a, 1.1.1.1, 2.2.2.2, 3.3.3.3", "3.3.3.3"),
        (2, "a, 1.1.1.1, 2.2.2.2, 3.3.3.3", "2.2.2.2"),
        (3, "a, 1.1.1.1, 2.2.2.2, 3.3.3.3", "1.1.1.1"),
        (4, "1.1.1.1, 2.2.2.2, 3.3.3.3", "1.1.1.1"),
        (2, "hidden, 3.3.3.3", "3.3.3.3"),
        (1, "hidden", "198.51.100.7"),
    ],
)
def test_the_client_behind_a_number_of_hops(hops: int, value: str, client: str) -> None:
    """F3: counted from the right, wherever the peer is; the number may come as text."""
    for trusted in (hops, (str(hops),)):
        assert told(trusted, {"x-forwarded-for": value}, peer="198.51.100.7").remote_addr == client


@pytest.mark.parametrize(
    ("trusted", "peer", "believed"),
    [
        pytest.param((), "10.0.0.1", False, id="F3 nobody trusted"),
        pytest.param(0, "10.0.0.1", False, id="F3 no hops"),
        pytest.param(("0",), "10.0.0.1", False, id="F3 no hops, as text"),
        pytest.param(NET, "11.0.0.1", False, id="F3 outside"),
        pytest.param(NET, "10.255.255.255", True, id="F3 the last address inside"),
        pytest.param(NET, "fd12::1", True, id="F3 IPv6"),
        pytest.param(NET, "::ffff:10.0.0.1", True, id="F3 IPv4 in IPv6"),
        pytest.param(("10.0.0.1",), "10.0.0.1", True, id="F3 one address"),
        pytest.param(("10.0.0.1",), "10.0.0.2", False, id="F3 the next address"),
        pytest.param(NET, "unix:", False, id="F3 unix not named"),
        pytest.param(("unix:", "10.0.0.1"), "unix:", True, id="F3 unix named"),
        pytest.param(("fe80::/10",), "fe80::1%eth0", True, id="F3 a zone"),
        pytest.param(NET, "", False, id="F3 no address"),
    ],
)
def test_who_is_believed(trusted: Any, peer: str, believed: bool) -> None:
    facts = told(trusted, {"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https"}, peer=peer)
    assert (facts.remote_addr == "203.0.113.9") is believed
    assert (facts.scheme == "https") is believed
    assert (type(facts) is ForwardedFacts) is believed


def test_a_trusted_peer_that_says_nothing() -> None:
    """F3: the very same facts."""
    facts = Facts("10.0.0.1")
    assert TrustedProxies(NET).facts(facts, {"host": "x"}) is facts


@pytest.mark.parametrize(
    ("fields", "scheme", "host", "port"),
    [
        pytest.param({"x-forwarded-proto": "https"}, "https", "", 443, id="F3 proto"),
        pytest.param({"x-forwarded-proto": "HTTPS"}, "https", "", 443, id="F3 proto, case"),
        pytest.param({"x-forwarded-proto": "wss"}, "https", "", 443, id="F3 proto of a WebSocket"),
        pytest.param({"x-forwarded-proto": "gopher"}, "http", "", 8080, id="F3 proto unknown"),
        pytest.param({"x-forwarded-proto": "http, https"}, "https", "", 443, id="F3 proto, the client's forged"),
        pytest.param({"x-forwarded-host": "www.example"}, "http", "www.example", 80, id="F3 host"),
        pytest.param({"x-forwarded-host": "www.example:81"}, "http", "www.example:81", 81, id="F3 host with port"),
        pytest.param({"x-forwarded-host": "[::1]"}, "http", "[::1]", 80, id="F3 host IPv6"),
        pytest.param({"x-forwarded-host": "[::1]:82"}, "http", "[::1]:82", 82, id="F3 host IPv6 with port"),
        pytest.param({"x-forwarded-host": "forged, www.example"}, "http", "www.example", 80, id="F3 host forged"),
        pytest.param({"x-forwarded-host": "bad/host"}, "http", "", 8080, id="F3 host malformed"),
        pytest.param({"x-forwarded-host": "user@www.example"}, "http", "", 8080, id="F3 host with a user"),
        pytest.param({"x-forwarded-port": "8443"}, "http", "", 8443, id="F3 port"),
        pytest.param({"x-forwarded-port": "0"}, "http", "", 8080, id="F3 port n-1"),
        pytest.param({"x-forwarded-port": "65535"}, "http", "", 65535, id="F3 port n"),
        pytest.param({"x-forwarded-port": "65536"}, "http", "", 8080, id="F3 port n+1"),
        pytest.param(
            {"x-forwarded-proto": "https", "x-forwarded-host": "w", "x-forwarded-port": "443"},
            "https",
            "w",
            443,
            id="F3 all",
        ),
        pytest.param(
            {"x-forwarded-proto": "https", "x-forwarded-host": "w", "x-forwarded-port": "9443"},
            "https",
            "w:9443",
            9443,
            id="F3 a port that the host lacks",
        ),
    ],
)
def test_scheme_host_and_port(fields: dict[str, str], scheme: str, host: str, port: int) -> None:
    facts = told(NET, {"x-forwarded-for": "203.0.113.9", **fields})
    assert isinstance(facts, ForwardedFacts)
    assert (facts.scheme, facts.host, facts.local_port) == (scheme, host, port)


def test_lists_are_read_at_the_clients_place() -> None:
    """F3: two trusted hops: the element that the outer one wrote; where the list is shorter, its leftmost."""
    facts = told(
        NET,
        {
            "x-forwarded-for": "forged, 203.0.113.9, 10.2.2.2",
            "x-forwarded-proto": "forged, https, http",
            "x-forwarded-host": "www.example",
        },
    )
    assert isinstance(facts, ForwardedFacts)
    assert (facts.scheme, facts.host) == ("https", "www.example")


@pytest.mark.parametrize(
    ("value", "client", "port", "scheme", "host", "kept"),
    [
        pytest.param(
            "for=192.0.2.60;proto=https;by=203.0.113.43;host=www.example",
            "192.0.2.60",
            0,
            "https",
            "www.example",
            "for=192.0.2.60;proto=https;by=203.0.113.43;host=www.example",
            id="F3 RFC 7239 §4",
        ),
        pytest.param(
            'For="[2001:db8:cafe::17]:4711"',
            "2001:db8:cafe::17",
            4711,
            "http",
            "",
            'For="[2001:db8:cafe::17]:4711"',
            id="F3 RFC 7239 §6 quoted",
        ),
        pytest.param(
            "for=192.0.2.43, for=198.51.100.17",
            "198.51.100.17",
            0,
            "http",
            "",
            "for=198.51.100.17",
            id="F3 right to left",
        ),
        pytest.param(
            "for=192.0.2.43, for=10.2.2.2",
            "192.0.2.43",
            0,
            "http",
            "",
            "for=192.0.2.43, for=10.2.2.2",
            id="F3 two proxies",
        ),
        pytest.param(
            'for="evil, for=192.0.2.43',
            "192.0.2.43",
            0,
            "http",
            "",
            "for=192.0.2.43",
            id="F3 an unbalanced quote swallows nothing",
        ),
        pytest.param(
            "for=_hidden;proto=https", "10.0.0.1", 40000, "https", "", None, id="F3 obfuscated, RFC 7239 §6.3"
        ),
        pytest.param("for=unknown", "10.0.0.1", 40000, "http", "", None, id="F3 unknown, RFC 7239 §6.2"),
        pytest.param("nonsense", "10.0.0.1", 40000, "http", "", None, id="F3 malformed"),
        pytest.param("", "10.0.0.1", 40000, "http", "", None, id="F3 empty"),
    ],
)
def test_forwarded(value: str, client: str, port: int, scheme: str, host: str, kept: str | None) -> None:
    facts = told(NET, {"forwarded": value})
    assert isinstance(facts, ForwardedFacts)
    assert (facts.remote_addr, facts.remote_port, facts.scheme, facts.host) == (client, port, scheme, host)
    assert facts.told.get("forwarded") == kept


@pytest.mark.parametrize(
    ("family", "names", "client"),
    [
        pytest.param("either", "both", "203.0.113.1", id="F3 X-Forwarded-For first"),
        pytest.param("either", "forwarded", "203.0.113.2", id="F3 Forwarded where it is alone"),
        pytest.param("x-forwarded", "both", "203.0.113.1", id="F3 only X-Forwarded-For"),
        pytest.param("x-forwarded", "forwarded", "10.0.0.1", id="F3 only X-Forwarded-For: Forwarded is the client's"),
        pytest.param("forwarded", "both", "203.0.113.2", id="F3 only Forwarded"),
        pytest.param("forwarded", "x-forwarded", "10.0.0.1", id="F3 only Forwarded: X-Forwarded-For is the client's"),
    ],
)
def test_only_one_family_is_believed(family: Any, names: str, client: str) -> None:
    """F3: a proxy passes on the family that it does not write."""
    fields = {}
    if names != "forwarded":
        fields["x-forwarded-for"] = "203.0.113.1"
    if names != "x-forwarded":
        fields["forwarded"] = "for=203.0.113.2"
    facts = told(NET, fields, family=family)
    assert facts.remote_addr == client
    if isinstance(facts, ForwardedFacts):
        assert len(facts.told) <= 1


def test_other_fields_of_the_family_pass_from_trusted_peers() -> None:
    """F3, B5: X-Forwarded-Prefix as sent; X-Real-IP rewritten; names in lower case."""
    fields = {"x-forwarded-for": "1.1.1.1, 203.0.113.9", "x-forwarded-prefix": "/app", "x-real-ip": "1.1.1.1"}
    facts = told(NET, fields)
    assert isinstance(facts, ForwardedFacts)
    assert facts.told == {"x-forwarded-for": "203.0.113.9", "x-forwarded-prefix": "/app", "x-real-ip": "203.0.113.9"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("x-forwarded-for", True), ("x-forwarded-x", True), ("forwarded", True), ("x-real-ip", True), ("x-for", False)],
)
def test_names_of_the_family(name: str, expected: bool) -> None:
    """F3."""
    assert tells_of_forwarding(name) is expected


@pytest.mark.parametrize("text", ["10.0.0.0/33", "10.0.0.1/8", "proxy.example", "", "-1"])
def test_what_is_no_network(text: str) -> None:
    """F3: said at start, in one sentence."""
    with pytest.raises(ConfigError) as caught:
        TrustedProxies((text, "10.0.0.0/8"))
    assert repr(text) in caught.value.why
    assert caught.value.key == "trusted_proxies"


@pytest.mark.parametrize(("trusted", "any_"), [((), False), (0, False), (1, True), (("unix:",), True), (NET, True)])
def test_whether_anybody_is_trusted(trusted: Any, any_: bool) -> None:
    """F3: without anybody the question need not be asked."""
    assert bool(TrustedProxies(trusted)) is any_


def test_the_table_of_members_is_bounded() -> None:
    """F3."""
    proxies = TrustedProxies(NET)
    for number in range(MEMBERS_KEPT + 1):
        assert proxies.trusts(f"10.1.{number // 256}.{number % 256}")
    assert len(proxies._members) == 1
