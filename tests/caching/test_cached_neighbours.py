"""The cache among its neighbours: passwords, jumps inside the server, purges meanwhile, reload, restart, explain."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from cached_apps import app
from running import Answer, Running, edge, written
from scripted import Wire, says, whole

import edgestack.cache
from edgestack.compose import compose
from edgestack.compose.chains import hidden_fields, tells_who
from edgestack.config.load import load

FRESH = "Cache-Control: public, max-age=60"


async def test_who_may_not_ask_gets_nothing_stored(tmp_path: Path) -> None:
    """D8: a password is asked for each time, and what is stored for those who have it stays theirs."""
    (tmp_path / "users").write_text("alice:{SHA}tiY7sUhYKUwI5L3866kDY+ENcrQ=\n")  # wonderland
    text = '[[route]]\napp = "cached_apps:app"\nbasic_auth = "users"\ncache = "1m"\n'
    credentials = "Authorization: Basic YWxpY2U6d29uZGVybGFuZA=="
    async with edge(tmp_path, text, {}) as running:
        assert [(await running.get("/x", credentials)).body for _ in range(2)] == [b"/x 1", b"/x 2"]
        app.says(FRESH)
        assert [(await running.get("/x", credentials)).body for _ in range(2)] == [b"/x 3", b"/x 3"]
        assert (await running.get("/x")).status == 401


async def test_what_x_accel_redirect_leads_to_is_each_ones_own(tmp_path: Path) -> None:
    """One URL that leads every user to another file: none of them gets another one's."""
    text = """
    [[route]]
    match = "/download"
    proxy = "http://{door}"

    [[route]]
    match = "/files/"
    proxy = "http://{files}"
    internal = true
    cache = { valid = "1m" }
    """

    async def door(wire: Wire) -> None:
        while request := await wire.request():
            who = "a" if b"user=a" in request else "b"
            await wire.send(whole(200, b"", f"X-Accel-Redirect: /files/{who}"))

    async def files(wire: Wire) -> None:
        while request := await wire.request():
            await wire.send(whole(200, request.split(b" ")[1]))

    async with edge(tmp_path, text, {"door": [door], "files": [files]}) as running:
        for _ in range(2):
            assert (await running.get("/download?user=a")).body == b"/files/a"
            assert (await running.get("/download?user=b")).body == b"/files/b"
        for _ in range(2):
            assert (await running.get("/download", "X-Who: user=a")).body == b"/files/a"
            assert (await running.get("/download", "X-Who: user=b")).body == b"/files/b"
        assert len(running.sent("door")) == 8
        assert len(running.sent("files")) == 4


async def test_what_is_purged_while_it_is_fetched_is_not_stored(tmp_path: Path) -> None:
    """D9: whoever purges after a change must not find the answer from before it."""
    app.says(FRESH, "Cache-Tag: a, b")
    app.gate.clear()
    async with edge(tmp_path, '[[route]]\napp = "cached_apps:app"\ncache = {}\n', {}) as running:
        found: list[Answer] = []

        async def ask() -> None:
            found.append(await running.get("/x"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            while not app.asked:
                await trio.sleep(0.005)
            edgestack.cache.purge(tag="b")
            app.gate.set()
        assert found[0].body == b"/x 1"
        assert (await running.get("/x")).body == b"/x 2"
        assert (await running.get("/x")).body == b"/x 2"
        assert edgestack.cache.purge(tag="a") == 1
        assert (await running.get("/x")).body == b"/x 3"


async def test_reload_keeps_what_is_stored(tmp_path: Path) -> None:
    text = """
    [cache.main]
    memory = "1MB"

    [[route]]
    app = "cached_apps:app"
    cache = { store = "main", valid = "VALID" }
    """
    async with edge(tmp_path, text.replace("VALID", "1h"), {}) as running:
        await running.get("/x")
        running.stack.adopt(written(tmp_path, text.replace("VALID", "2h"), running))
        assert (await running.get("/x")).body == b"/x 1"
        running.stack.adopt(written(tmp_path, text.replace("VALID", "2h").replace("1MB", "2MB"), running))
        assert (await running.get("/x")).body == b"/x 2"


async def test_micro_caching_bears_a_flood_of_urls(tmp_path: Path) -> None:
    """D11: memory is bounded by bytes, whatever strangers ask for."""
    text = (
        '[cache.main]\nmemory = "1MB"\n[[route]]\napp = "cached_apps:app"\ncache = { store = "main", valid = "1h" }\n'
    )
    app.says(pieces=[b"x" * 50_000])
    async with edge(tmp_path, text, {}) as running:
        client = await running.connect()
        for number in range(100):
            assert (await client.ask(f"/x?{number}")).status == 200
        (zone,) = running.stack.caches.all()
        told = zone.store.statistics()
        assert told.memory <= 1_100_000
        assert told.entries < 25


async def test_a_range_of_what_is_not_stored_is_passed_and_the_whole_fetched_beside_it(tmp_path: Path) -> None:
    part = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/4\r\nContent-Length: 2\r\n\r\nab"

    async def script(wire: Wire) -> None:
        while request := await wire.request():
            await wire.send(part if b"\r\nRange:" in request else whole(200, b"abcd", FRESH))

    text = '[[route]]\nproxy = "http://{one}"\ncache = {}\n'
    async with edge(tmp_path, text, {"one": [script]}) as running:
        first = await running.get("/x", "Range: bytes=0-1")
        assert (first.status, first.body) == (206, b"ab")
        with trio.fail_after(5):
            while "hit" not in ((answer := await running.get("/x", "Range: bytes=2-3")).field("cache-status") or ""):
                pass
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


async def test_the_log_tells_what_the_cache_did(tmp_path: Path) -> None:
    from edgestack.http.variables import VARIABLES

    read = VARIABLES["upstream_cache_status"].read
    text = '[[route]]\nproxy = "http://{one}"\ncache = {}\n'
    async with edge(tmp_path, text, {"one": [says(whole(200, b"x", FRESH))]}) as running:
        await running.get("/x")
        await running.get("/x")
        await running.get("/x", method="POST", body=b"")
        assert await _words(running, read) == ["MISS", "HIT", "BYPASS"]


async def _words(running: Running, read: object) -> list[str]:
    while len(running.ended) < 3:
        await trio.sleep(0.005)
    return [read(exchange) for exchange in running.ended]  # type: ignore[operator]
