"""The choice of a site (nginx: server_name; RFC 9110 §7.4, §15.5.20)."""

from __future__ import annotations

from typing import Any

import pytest
from routing_kit import exchange, says

from edgestack.http.facts import Facts
from edgestack.http.forwarding import TrustedProxies
from edgestack.http.messages import Response
from edgestack.routing import Hosts, SiteRoad, behind_proxies
from edgestack.routing.sites import KNOWN_HOSTS

SITES = [
    SiteRoad(("example.com", "*.example.com"), False, says("com"), {"www.example.com": (says("moved"), None)}),
    SiteRoad(("*.a.example.com", "[::1]"), False, says("a")),
    SiteRoad(("bücher.example".encode("idna").decode(),), False, says("idna")),
]
DEFAULT = SiteRoad((), True, says("default"))


def hosts(*more: SiteRoad) -> Hosts:
    return Hosts((*SITES, *more), says("unknown"), says("misdirected"))


def told(table: Hosts, host: str, sni: str = "", **more: Any) -> str:
    facts = Facts(scheme="https" if sni else "http", sni=sni)
    answer = table.handle(exchange(host=host, facts=facts, **more))
    assert isinstance(answer, Response)
    assert isinstance(answer.body, bytes)
    return answer.body.decode()


BY_HOST = [
    ("example.com", "com"), ("EXAMPLE.com:8443", "com"), ("example.com.", "com"), ("x.example.com", "com"),
    ("y.x.example.com", "com"), ("b.a.example.com", "a"), ("a.example.com", "com"), ("www.example.com", "moved"),
    ("[::1]:443", "a"), ("xn--bcher-kva.example", "idna"), ("example.org", "unknown"), ("com", "unknown"),
    ("notexample.com", "unknown"), ("", "unknown"), (".example.com", "com"),
]  # fmt: skip


@pytest.mark.parametrize(("host", "site"), BY_HOST)
def test_by_host(host: str, site: str) -> None:
    """Exact, then the longest `*.suffix`, then the default or 421."""
    table = hosts()
    assert [told(table, host), told(table, host)] == [site, site]
    assert told(hosts(DEFAULT), host) == ("default" if site == "unknown" else site)


BY_SNI = [
    ("example.com", "example.com", "com", "the same"),
    ("example.com", "x.example.com", "com", "two names of one site"),
    ("www.example.com", "example.com", "com", "a name that moved, of the same site"),
    ("b.a.example.com", "example.com", "misdirected", "two sites"),
    ("example.com", "nobody.test", "unknown", "asks for nobody"),
    ("nobody.test", "example.com", "com", "the handshake named nobody"),
]


@pytest.mark.parametrize(("sni", "host", "site", "why"), BY_SNI, ids=[why for *_, why in BY_SNI])
def test_an_sni_and_a_host_that_disagree(sni: str, host: str, site: str, why: str) -> None:
    """RFC 9110 §7.4: 421."""
    assert told(hosts(), host, sni) == site


def test_the_default_site_is_a_site() -> None:
    assert told(hosts(DEFAULT), "example.com", "nobody.test") == "misdirected"


def test_behind_a_trusted_proxy_the_host_is_what_it_was_asked_for() -> None:
    """F3: facts come first. What an untrusted client claims does not choose."""
    table = hosts()
    handle = behind_proxies(TrustedProxies(("10.0.0.1",)), table.handle)
    fields = {"x-forwarded-for": "192.0.2.1", "x-forwarded-host": "b.a.example.com"}
    for address, site in (("10.0.0.1", b"a"), ("10.0.0.2", b"com")):
        asked = exchange(host="example.com", fields=fields, facts=Facts(remote_addr=address, sni="example.com"))
        answer = handle(asked)
        assert isinstance(answer, Response)
        assert answer.body == site


def test_the_table_of_hosts_is_bounded() -> None:
    table = hosts(DEFAULT)
    for n in range(3 * KNOWN_HOSTS):
        told(table, f"{n}.test")
    assert len(table) + len(table.old) <= 2 * KNOWN_HOSTS
