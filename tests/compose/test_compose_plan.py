"""Chains as they are composed: what is not configured is absent, what is inherited is shared, sites are told apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from compose_kit import Running, plan

from edgestack.compose import Resources
from edgestack.compose.chains import ORDER, Maker
from edgestack.config.map_checks import own_variables
from edgestack.config.model import Listener
from edgestack.http.messages import Exchange
from edgestack.http.variables import Scope
from edgestack.phases.access_log import AccessLog
from edgestack.phases.compression import Undoing
from edgestack.routing import Locations

SITES = """
[[site]]
hosts = ["example.com", "*.example.com"]
canonical = "apex"
hsts = true
preset = "security-headers"
limit = { rate = "1000/s" }
allow = "all"
  [[site.route]]
  match = "/"
  respond = "one $server_name"
  [[site.route]]
  match = "/app"
  app = "main:app"
  log = "off"
[[site]]
hosts = "other.test"
  [[site.route]]
  match = "/"
  respond = "two"
"""

HOSTS = [
    ("https://example.com/", 200, "one example.com"),
    ("https://x.example.com/", 200, "one example.com"),
    ("https://other.test/", 200, "two"),
    ("https://nobody.test/", 421, ""),
]


@pytest.mark.parametrize(("url", "status", "body"), HOSTS)
async def test_sites(tmp_path: Path, url: str, status: int, body: str) -> None:
    got = await Running(tmp_path, SITES).get(url)
    assert got.status == status
    assert body in got.body


async def test_sni_and_host_that_disagree(tmp_path: Path) -> None:
    """RFC 9110 §7.4."""
    got = await Running(tmp_path, SITES).get("https://example.com/", ("Host", "other.test"))
    assert got.status == 421


async def test_canonical(tmp_path: Path) -> None:
    running = Running(tmp_path, SITES)
    got = await running.get("https://www.example.com:8443/x?y=%20")
    assert (got.status, got.fields["Location"]) == (301, "https://example.com:8443/x?y=%20")
    assert "Strict-Transport-Security" in got.fields
    assert (await running.get("https://www.example.com/x", method="PUT")).status == 308


async def test_hsts_is_for_tls_alone(tmp_path: Path) -> None:
    """RFC 6797 §7.2."""
    running = Running(tmp_path, SITES)
    assert "Strict-Transport-Security" in (await running.get("https://example.com/nothing")).fields
    assert "Strict-Transport-Security" not in (await running.get("http://example.com/")).fields


async def test_a_sites_rules_hold_where_no_route_fits(tmp_path: Path) -> None:
    text = """
    [[site]]
    errors = { "404" = "/sorry" }
    headers = { set = { X-Site = "yes" }, always = true }
      [[site.route]]
      match = "/sorry"
      respond = "sorry"
    """
    got = await Running(tmp_path, text).get("/nothing")
    assert (got.status, got.body, got.fields["X-Site"]) == (404, "sorry", "yes")


def locations(tmp_path: Path, text: str, **resources: Any) -> Locations:
    made = plan(tmp_path, text)
    applications: dict[Any, Any] = dict.fromkeys(made.applications, print)
    return Maker(made.config, made.sites[0], Resources(applications, **resources), {}).locations()


def test_what_is_not_configured_is_absent(tmp_path: Path) -> None:
    """design: composed once, run flat."""
    (chain,) = locations(tmp_path, '[[route]]\nmatch = "/"\nstatic = "site/"\n').chains
    assert chain.handle is chain.content
    assert (chain.checks, chain.wraps, chain.filters, chain.pages, chain.holds) == ((), (), (), None, None)


def test_one_site_for_every_host_has_no_table_of_hosts(tmp_path: Path) -> None:
    sites = plan(tmp_path, '[[route]]\nmatch = "/"\nstatic = "site/"\n')._sites(Resources({}))
    assert sites.hosts is None


def test_what_routes_inherit_is_one_function(tmp_path: Path) -> None:
    """So that nothing is met or counted twice after a jump. Before an application, entity-tags are seen to (D3)."""
    one, two = locations(tmp_path, SITES).chains
    assert list(one.checks) == [check for check in two.checks if type(check) is not Undoing]
    assert one.wraps == two.wraps
    assert one.filters[:2] == two.filters[:2]


def test_every_link_knows_where_it_is_written(tmp_path: Path) -> None:
    one, _ = locations(tmp_path, SITES).chains
    places = {link.name: link.origin for link in one.links}
    assert {name: place and place.line for name, place in places.items()} == {
        "access": 8, "rate": 7, "headers": 6, "hsts": 2, "content": 11, "compress": 9,
    }  # fmt: skip


def test_links_stand_in_the_one_order(tmp_path: Path) -> None:
    names = [rule.name for rule in ORDER]
    for chain in locations(tmp_path, SITES).chains:
        told = [link.name for link in chain.links if link.name != "content"]
        assert told == sorted(told, key=names.index)


def test_a_route_without_a_log_has_no_end(tmp_path: Path) -> None:
    def end(exchange: Exchange) -> None:
        raise AssertionError

    one, two = locations(tmp_path, SITES, ends=(end,)).chains
    assert (one.ends, two.ends) == ((end,), ())


async def test_trusted_proxies_come_first(tmp_path: Path) -> None:
    """F3: the site, allow and everything else see the client's own address and host."""
    text = """
    [server]
    trusted_proxies = "10.0.0.1"
    [[site]]
    hosts = "a.test"
      [[site.route]]
      match = "/"
      respond = "$remote_addr $host $scheme"
      allow = "192.0.2.0/24"
    """
    running = Running(tmp_path, text)
    fields = (("X-Forwarded-For", "192.0.2.7"), ("X-Forwarded-Host", "a.test"), ("X-Forwarded-Proto", "https"))
    assert (await running.get("http://x.test/", *fields, address="10.0.0.1")).body == "192.0.2.7 a.test https"
    assert (await running.get("http://a.test/", *fields, address="10.0.0.2")).status == 403


async def test_auth_request_asks_what_is_internal(tmp_path: Path) -> None:
    text = """
    [[route]]
    match = "/"
    respond = "in"
    auth_request = "/auth"
    [[route]]
    match = "/shut/"
    respond = "in"
    auth_request = "/no"
    [[route]]
    match = "= /auth"
    app = "main:app"
    internal = true
    [[route]]
    match = "= /no"
    respond = 403
    internal = true
    """
    running = Running(tmp_path, text)
    assert (await running.get("/x")).body == "in"
    assert (await running.get("/shut/x")).status == 403


ASKED = """
[log_formats]
short = "$request_uri $user $http_x_user"
[[site]]
hosts = "localhost"
default = true
auth_request = { path = "/auth", set = { user = "X-User" }, copy = "X-User" }
  [[site.route]]
  respond = "hello $user, and not $http_x_user from you"
  headers = { set = { X-Was = "$user" } }
  log = "short"
  [[site.route]]
  match = "= /auth"
  app = "main:app"
  internal = true
  auth_request = false
  [[site.route]]
  match = "/free/"
  auth_request = false
  respond = "hello $user"
"""


async def test_what_auth_request_sets_and_copies(tmp_path: Path) -> None:
    """nginx: auth_request_set. A body, a field, a log line; the application sees what the answer said."""
    running = Running(tmp_path, ASKED)
    scope = Scope(maps=own_variables((), running.plan.sites))
    log = AccessLog(str(tmp_path / "log"), "short", formats=dict(running.plan.config.log_formats), scope=scope)

    def who(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("204 No Content", [("X-User", "ann")])
        return []

    applications = dict.fromkeys(running.plan.applications, who)
    running.handle = running.plan.assemble(Resources(applications, (log.end,), access_log=log))(Listener()).handle
    got = await running.get("/x", ("X-User", "forged"))
    assert got.body == "hello ann, and not ann from you"
    assert got.fields["X-Was"] == "ann"
    assert (await running.get("/free/")).body == "hello "
    log.close()
    assert (tmp_path / "log").read_text() == "/x ann ann\n/free/ - -\n"
