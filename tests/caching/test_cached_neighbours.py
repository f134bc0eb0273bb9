"""The cache among its neighbours: passwords, jumps inside the server, purges meanwhile, reload, restart, explain."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from cached_apps import app
from cached_kit import ask, said, server, zone_of

import edgestack.cache
from edgestack.compose import compose
from edgestack.compose.chains import hidden_fields, tells_who
from edgestack.config.load import load
from edgestack.testing import Reply, SeenRequest, replies
from edgestack.testing.acts import Act
from edgestack.testing.fixtures import AsyncEdges

FRESH = "Cache-Control: public, max-age=60"


async def test_who_may_not_ask_gets_nothing_stored(edge_trio: AsyncEdges, tmp_path: Path) -> None:
    """D8: a password is asked for each time, and what is stored for those who have it stays theirs."""
    (tmp_path / "users").write_text("alice:{SHA}tiY7sUhYKUwI5L3866kDY+ENcrQ=\n")  # wonderland
    text = '[[route]]\napp = "cached_apps:app"\nbasic_auth = "USERS"\ncache = "1m"\n'
    credentials = "Authorization: Basic YWxpY2U6d29uZGVybGFuZA=="
    site = await edge_trio(text=text.replace("USERS", f"{tmp_path}/users"), tls=False)
    assert [(await ask(site, "/x", credentials)).body for _ in range(2)] == [b"/x 1", b"/x 2"]
    app.says(FRESH)
    assert [(await ask(site, "/x", credentials)).body for _ in range(2)] == [b"/x 3", b"/x 3"]
    assert (await ask(site, "/x")).status == 401


async def test_what_x_accel_redirect_leads_to_is_each_ones_own(edge_trio: AsyncEdges) -> None:
    """One URL that leads every user to another file: none of them gets another one's."""
    text = """
    [[route]]
    match = "/download"
    proxy = "http://door"

    [[route]]
    match = "/files/"
    proxy = "http://files"
    internal = true
    cache = { valid = "1m" }
    """

    async def leads(request: SeenRequest, stream: trio.abc.Stream) -> Act:
        who = "a" if b"user=a" in request.raw else "b"
        return replies(fields={"X-Accel-Redirect": f"/files/{who}"})

    async def gives(request: SeenRequest, stream: trio.abc.Stream) -> Act:
        return replies(body=request.target)

    door, files = edge_trio.upstream("door").does(leads), edge_trio.upstream("files").does(gives)
    site = await edge_trio(text=text, tls=False)
    for _ in range(2):
        assert (await ask(site, "/download?user=a")).body == b"/files/a"
        assert (await ask(site, "/download?user=b")).body == b"/files/b"
    for _ in range(2):
        assert (await ask(site, "/download", "X-Who: user=a")).body == b"/files/a"
        assert (await ask(site, "/download", "X-Who: user=b")).body == b"/files/b"
    assert len(door.requests) == 8
    assert len(files.requests) == 4


async def test_what_is_purged_while_it_is_fetched_is_not_stored(edge_trio: AsyncEdges) -> None:
    """D9: whoever purges after a change must not find the answer from before it."""
    app.says(FRESH, "Cache-Tag: a, b")
    app.gate.clear()
    site = await edge_trio(text='[[route]]\napp = "cached_apps:app"\ncache = {}\n', tls=False)
    found: list[Reply] = []

    async def ask_once() -> None:
        found.append(await ask(site, "/x"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask_once)
        while not app.asked:
            await trio.sleep(0.005)
        edgestack.cache.purge(tag="b")
        app.gate.set()
    assert found[0].body == b"/x 1"
    assert (await ask(site, "/x")).body == b"/x 2"
    assert (await ask(site, "/x")).body == b"/x 2"
    assert edgestack.cache.purge(tag="a") == 1
    assert (await ask(site, "/x")).body == b"/x 3"


async def test_reload_keeps_what_is_stored(edge_trio: AsyncEdges, tmp_path: Path) -> None:
    text = """
    [cache.main]
    memory = "1MB"

    [[route]]
    app = "cached_apps:app"
    cache = { store = "main", valid = "VALID" }
    """
    site = await edge_trio(text=text.replace("VALID", "1h"), tls=False)
    await ask(site, "/x")
    site.reload(text=text.replace("VALID", "2h"))
    assert (await ask(site, "/x")).body == b"/x 1"
    site.reload(text=text.replace("VALID", "2h").replace("1MB", "2MB"))
    assert (await ask(site, "/x")).body == b"/x 2"


async def test_micro_caching_bears_a_flood_of_urls(edge_trio: AsyncEdges) -> None:
    """D11: memory is bounded by bytes, whatever strangers ask for."""
    text = (
        '[cache.main]\nmemory = "1MB"\n[[route]]\napp = "cached_apps:app"\ncache = { store = "main", valid = "1h" }\n'
    )
    app.says(pieces=[b"x" * 50_000])
    site = await edge_trio(text=text, tls=False)
    client = await site.connect()
    for number in range(100):
        assert (await client.request("GET", f"/x?{number}")).status == 200
    zone = zone_of(site)
    told = zone.store.statistics()
    assert told.memory <= 1_100_000
    assert told.entries < 25


async def test_a_range_of_what_is_not_stored_is_passed_and_the_whole_fetched_beside_it(edge_trio: AsyncEdges) -> None:
    async def parted(request: SeenRequest, stream: trio.abc.Stream) -> Act:
        if "Range" in request:
            return server(206, b"ab", "Content-Range: bytes 0-1/4")
        return server(200, b"abcd", FRESH)

    edge_trio.upstream("one").does(parted)
    site = await edge_trio(text='[[route]]\nproxy = "http://one"\ncache = {}\n', tls=False)
    first = await ask(site, "/x", "Range: bytes=0-1")
    assert (first.status, first.body) == (206, b"ab")
    await site.settle()
    answer = await ask(site, "/x", "Range: bytes=2-3")
    assert "hit" in said(answer)
    assert (answer.status, answer.body) == (206, b"cd")


@pytest.mark.parametrize(
    ("told", "identified"), [("$ssl_client_s_dn", True), ("x-${ssl_client_serial}", True), ("$http_user_agent", False)]
)
def test_who_has_a_certificate_is_known_to_the_server_behind(tmp_path: Path, told: str, identified: bool) -> None:
    """What it answers is then as to Authorization (RFC 9111 §3.5), and varies on nothing that the edge writes."""
    file = tmp_path / "edgestack.toml"
    file.write_text(
        '[server]\ntls = false\n[[route]]\nproxy = { to = "http://127.0.0.1:1", '
        f'set_headers = {{ X-Who = "{told}" }} }}\ncache = "1m"\n'
    )
    (route,) = compose(load(file).config).sites[0].routes
    assert tells_who(route) is identified
    assert hidden_fields(route) == {"x-who", "x-forwarded-for", "forwarded"}


def test_explain_tells_of_it(tmp_path: Path) -> None:
    file = tmp_path / "edgestack.toml"
    file.write_text(
        '[server]\ntls = false\n[[route]]\napp = "cached_apps:app"\n'
        'cache = { valid = "1m", bypass = "$cookie_session" }\n'
    )
    plan = compose(load(file).config)

    def told(method: str, *fields: tuple[str, str]) -> str:
        steps = plan.explain(method, "http://example.com/x?y", fields)
        return next(step.says for step in steps if step.name == "cache")

    assert told("GET") == "looked up in memory as http://example.com/x?y; valid: 200 301 302 for 60 s"
    assert "bypass" in told("GET", ("Cookie", "session=1"))
    assert "passed on" in told("POST")


async def test_the_log_tells_what_the_cache_did(edge_trio: AsyncEdges) -> None:
    edge_trio.upstream("one").sequence(server(200, b"x", FRESH))
    more = 'headers = { set = { X-Cache = "$upstream_cache_status" } }\n'
    site = await edge_trio(text='[[route]]\nproxy = "http://one"\ncache = {}\n' + more, tls=False)
    answers = [await ask(site, "/x"), await ask(site, "/x"), await ask(site, "/x", method="POST", body=b"")]
    assert [record.cache for record in site.log] == ["MISS", "HIT", "BYPASS"]
    assert [answer.get("X-Cache") for answer in answers] == ["MISS", "HIT", "BYPASS"]
