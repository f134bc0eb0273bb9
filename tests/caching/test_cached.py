"""The cache of a route before scripted upstreams and a real application, on either driver: D8, D9."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from cached_apps import app
from running import Answer, Running, edge
from scripted import Script, breaks_off, hangs, says, whole

pytestmark = pytest.mark.parametrize("portable", [False, True], ids=["lot", "portable"])

PROXIED = """
[[route]]
match = "/"
proxy = "http://{one}"
cache = CACHE
"""

APPLICATION = """
[[route]]
match = "/"
app = "cached_apps:app"
cache = CACHE
"""

FRESH = "Cache-Control: max-age=60"


@asynccontextmanager
async def proxied(folder: Path, portable: bool, *scripts: Script, cache: str = "{}") -> AsyncIterator[Running]:
    text = PROXIED.replace("CACHE", cache)
    async with edge(folder, text, {"one": list(scripts)}, portable=portable, patience=1e6) as running:
        yield running


@asynccontextmanager
async def application(folder: Path, portable: bool, cache: str = "{}", more: str = "") -> AsyncIterator[Running]:
    text = APPLICATION.replace("CACHE", cache) + more
    async with edge(folder, text, {}, portable=portable, patience=1e6) as running:
        yield running


def status_of(answer: Answer) -> str:
    found = answer.field("cache-status")
    assert found is not None, answer.pairs
    return found


# --- hits -------------------------------------------------------------------------------------------------------------


async def test_a_proxied_answer_is_asked_for_once(portable: bool, tmp_path: Path) -> None:
    """D8: stored by what it says itself; D9: Cache-Status on every answer."""
    async with proxied(tmp_path, portable, says(whole(200, b"hello", FRESH, "X-A: 1"))) as running:
        first = await running.get("/x")
        second = await running.get("/x")
        assert (first.status, first.body) == (second.status, second.body) == (200, b"hello")
        assert second.field("x-a") == "1"
        assert first.field("age") is None
        assert second.field("age") == "0"
        assert "fwd=uri-miss" in status_of(first)
        assert "stored" in status_of(first)
        assert status_of(second).startswith("edgestack; hit; ttl=")
        assert len(running.sent("one")) == 1


async def test_a_long_body_that_comes_in_pieces_is_stored_as_it_passes(portable: bool, tmp_path: Path) -> None:
    body = bytes(range(256)) * 1024

    async def slowly(wire: object) -> None:
        await wire.request()  # type: ignore[attr-defined]
        await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=60\r\n\r\n")  # type: ignore[attr-defined]
        for at in range(0, len(body), 10_000):
            piece = body[at : at + 10_000]
            await wire.send(b"%x\r\n%b\r\n" % (len(piece), piece))  # type: ignore[attr-defined]
        await wire.send(b"0\r\n\r\n")  # type: ignore[attr-defined]
        await wire.request()  # type: ignore[attr-defined]

    async with proxied(tmp_path, portable, slowly) as running:
        assert (await running.get("/x")).body == body
        second = await running.get("/x")
        assert second.body == body
        assert "hit" in status_of(second)
        assert second.field("content-length") == str(len(body))


async def test_an_answer_that_is_broken_off_is_not_stored(portable: bool, tmp_path: Path) -> None:
    torn = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nCache-Control: max-age=60\r\n\r\nhalf"
    async with proxied(tmp_path, portable, breaks_off(torn), says(whole(200, b"whole", FRESH))) as running:
        with pytest.raises(EOFError):
            await running.get("/x")
        assert (await running.get("/x")).body == b"whole"


async def test_an_application_is_called_once(portable: bool, tmp_path: Path) -> None:
    """D8, for applications: micro-caching in one line."""
    async with application(tmp_path, portable, '"1s"') as running:
        first, second = await running.get("/x"), await running.get("/x")
        assert first.body == second.body == b"/x 1"
        assert "hit" in status_of(second)
        assert "stored" in status_of(first)
        assert (await running.get("/y")).body == b"/y 2"


async def test_an_application_in_pieces(portable: bool, tmp_path: Path) -> None:
    app.says(FRESH, pieces=[b"one ", b"", b"two ", b"three"])
    async with application(tmp_path, portable) as running:
        first, second = await running.get("/x"), await running.get("/x")
        assert first.body == second.body == b"one two three"
        assert first.field("transfer-encoding") == "chunked"
        assert second.field("content-length") == "13"
        assert len(app.asked) == 1


async def test_filters_run_each_time(portable: bool, tmp_path: Path) -> None:
    """What is stored has not passed the filters: a variable in a field is each request's own."""
    more = '\n[[route.headers]]\nset = { X-Mine = "$http_x_me" }\nadd = { X-Added = "once" }\n'
    app.says(FRESH)
    async with application(tmp_path, portable, more=more) as running:
        first, second = await running.get("/x", "X-Me: a"), await running.get("/x", "X-Me: b")
        assert first.body == second.body
        assert (first.field("x-mine"), second.field("x-mine")) == ("a", "b")
        assert second.names().count("x-added") == first.names().count("x-added") == 1
        assert second.names().count("cache-status") == first.names().count("cache-status") == 1


async def test_cache_control_rules_count(portable: bool, tmp_path: Path) -> None:
    async with application(tmp_path, portable, more='cache_control = "max-age=60"\n') as running:
        assert (await running.get("/x")).field("cache-control") == "max-age=60"
        assert "hit" in status_of(await running.get("/x"))


async def test_head_and_ranges_and_conditions_of_what_is_stored(portable: bool, tmp_path: Path) -> None:
    """D8: HEAD from a stored GET; ranges from a stored full body; 304."""
    app.says(FRESH, 'ETag: "v1"', pieces=[b"0123456789"])
    async with application(tmp_path, portable) as running:
        await running.get("/x")
        head = await running.get("/x", method="HEAD")
        assert (head.status, head.field("content-length")) == (200, "10")
        part = await running.get("/x", "Range: bytes=2-4")
        assert (part.status, part.body, part.field("content-range")) == (206, b"234", "bytes 2-4/10")
        same = await running.get("/x", 'If-None-Match: "v1"')
        assert (same.status, same.body) == (304, b"")
        assert all("hit" in status_of(one) for one in (head, part, same))
        assert len(app.asked) == 1


async def test_what_the_client_knows_already_is_stored_all_the_same(portable: bool, tmp_path: Path) -> None:
    """A conditional miss: content is asked for all of it, and the client gets its 304."""
    app.says(FRESH, 'ETag: "v1"', pieces=[b"01234", b"56789"])
    async with application(tmp_path, portable) as running:
        assert (await running.get("/x", 'If-None-Match: "v1"')).status == 304
        assert "HTTP_IF_NONE_MATCH" not in app.asked[0]
        while len((await running.get("/x")).body) != 10 or len(app.asked) > 1:
            raise AssertionError("it was not stored")


async def test_the_same_of_a_proxied_answer(portable: bool, tmp_path: Path) -> None:
    script = says(whole(200, b"x" * 100_000, FRESH, 'ETag: "v1"'))
    async with proxied(tmp_path, portable, script) as running:
        assert (await running.get("/x", 'If-None-Match: "v1"')).status == 304
        with trio.fail_after(5):
            while "hit" not in status_of(answer := await running.get("/x")):
                pass
        assert len(answer.body) == 100_000
        assert b"If-None-Match" not in running.sent("one")[0]


async def test_the_edges_own_word_goes_before_all_others(portable: bool, tmp_path: Path) -> None:
    """D10: X-Accel-Expires, which the client does not see, before CDN-Cache-Control, before max-age, before `valid`."""
    orders = [
        (("X-Accel-Expires: 60", "CDN-Cache-Control: max-age=0", "Cache-Control: max-age=0"), True),
        (("CDN-Cache-Control: max-age=60", "Cache-Control: max-age=0"), True),
        (("Cache-Control: max-age=0", "CDN-Cache-Control: no-store"), False),
        (("X-Accel-Expires: 0", "Cache-Control: max-age=60"), False),
        ((), True),
    ]
    for at, (fields, kept) in enumerate(orders):
        cache = '{ valid = "1h" }'
        async with proxied(tmp_path, portable, says(*[whole(200, b"x", *fields)] * 2), cache=cache) as running:
            first, second = await running.get(f"/{at}"), await running.get(f"/{at}")
            assert ("hit" in status_of(second)) is kept, fields
            assert "x-accel-expires" not in first.names() + second.names()


# --- what is not stored -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [("Cache-Control: private, max-age=60",), ("Cache-Control: no-store",), (FRESH, "Set-Cookie: a=b"), ()],
    ids=["private", "no-store", "set-cookie", "silent"],
)
async def test_what_must_not_be_stored_is_not(portable: bool, tmp_path: Path, fields: tuple[str, ...]) -> None:
    """D8."""
    app.says(*fields)
    async with application(tmp_path, portable) as running:
        bodies = [(await running.get("/x")).body for _ in range(3)]
        assert bodies == [b"/x 1", b"/x 2", b"/x 3"]


async def test_bypass_methods_and_uses(portable: bool, tmp_path: Path) -> None:
    cache = '{ valid = "1m", bypass = "$cookie_session", min_uses = 2 }'
    async with application(tmp_path, portable, cache) as running:
        mine = await running.get("/x", "Cookie: session=1")
        assert "fwd=bypass" in status_of(mine)
        assert [(await running.get("/x")).body for _ in range(3)] == [b"/x 2", b"/x 3", b"/x 3"]
        assert (await running.get("/x", "Cookie: session=1")).body == b"/x 4"


async def test_an_unsafe_method_makes_what_is_stored_untrue(portable: bool, tmp_path: Path) -> None:
    """D8: RFC 9111 §4.4."""
    async with application(tmp_path, portable, '{ valid = "1m" }') as running:
        assert [(await running.get("/x")).body for _ in range(2)] == [b"/x 1", b"/x 1"]
        posted = await running.get("/x", method="POST", body=b"new")
        assert posted.body == b"/x 2"
        assert "fwd=method" in status_of(posted)
        assert (await running.get("/x")).body == b"/x 3"
        app.status = "500 Oh"
        await running.get("/x", method="POST", body=b"new")
        app.status = "200 OK"
        assert (await running.get("/x")).body == b"/x 3"


async def test_only_if_cached(portable: bool, tmp_path: Path) -> None:
    """D8: RFC 9111 §5.2.1.7."""
    async with application(tmp_path, portable, '{ valid = "1m" }') as running:
        answer = await running.get("/x", "Cache-Control: only-if-cached")
        assert answer.status == 504
        assert status_of(answer)
        await running.get("/x")
        assert (await running.get("/x", "Cache-Control: only-if-cached")).status == 200


async def test_vary(portable: bool, tmp_path: Path) -> None:
    """D8: the key includes the request fields named by Vary."""
    app.says(FRESH, "Vary: Accept-Language")
    async with application(tmp_path, portable) as running:
        german = await running.get("/x", "Accept-Language: de")
        english = await running.get("/x", "Accept-Language: en")
        assert german.body != english.body
        assert (await running.get("/x", "Accept-Language: de")).body == german.body
        assert (await running.get("/x", "Accept-Language: en")).body == english.body
        assert len(app.asked) == 2


# --- collapsed misses -------------------------------------------------------------------------------------------------


async def many(running: Running, count: int, target: str = "/x") -> list[Answer]:
    found: list[Answer] = []

    async def one() -> None:
        found.append(await running.get(target))

    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(one)
    return found


async def test_concurrent_misses_are_one(portable: bool, tmp_path: Path) -> None:
    """D9: one fill, the others wait."""
    app.says(FRESH)
    app.gate.clear()
    async with application(tmp_path, portable) as running, trio.open_nursery() as nursery:
        found: list[Answer] = []

        async def ask() -> None:
            found.extend(await many(running, 20))

        nursery.start_soon(ask)
        while not app.asked:
            await trio.sleep(0.01)
        await trio.sleep(0.05)
        app.gate.set()
    assert {one.body for one in found} == {b"/x 1"}
    assert len(found) == 20
    assert len(app.asked) == 1
    assert sum("collapsed" in status_of(one) for one in found) == 19


async def test_who_waits_for_what_is_not_stored_is_passed_on(portable: bool, tmp_path: Path) -> None:
    app.says("Cache-Control: private")
    async with application(tmp_path, portable) as running:
        assert len({one.body for one in await many(running, 5)}) == 5


async def test_who_has_waited_long_enough_is_passed_on(portable: bool, tmp_path: Path) -> None:
    """D9: then pass uncached."""
    scripts = [hangs(), says(whole(200, b"mine", FRESH))]
    async with proxied(tmp_path, portable, *scripts, cache='{ lock_timeout = "0.1s" }') as running:
        client = await running.connect()
        await client.stream.send_all(b"GET /x HTTP/1.1\r\nHost: example.com\r\n\r\n")
        while not running.sent("one"):
            await trio.sleep(0.005)
        answer = await running.get("/x")
        assert answer.body == b"mine"


async def test_a_leader_that_leaves_is_followed(portable: bool, tmp_path: Path) -> None:
    async with proxied(tmp_path, portable, hangs(), says(whole(200, b"mine", FRESH))) as running:
        client = await running.connect()
        await client.stream.send_all(b"GET /x HTTP/1.1\r\nHost: example.com\r\n\r\n")
        while not running.sent("one"):
            await trio.sleep(0.005)
        async with trio.open_nursery() as nursery:
            found: list[Answer] = []

            async def ask() -> None:
                found.append(await running.get("/x"))

            nursery.start_soon(ask)
            await trio.sleep(0.05)
            await client.stream.aclose()
        assert found[0].body == b"mine"


async def test_an_error_is_that_of_all_who_waited(portable: bool, tmp_path: Path) -> None:
    async def dies(wire: object) -> None:
        await wire.request()  # type: ignore[attr-defined]
        await trio.sleep(0.1)
        await wire.close()  # type: ignore[attr-defined]

    async with proxied(tmp_path, portable, dies) as running:
        found = await many(running, 5)
        assert {one.status for one in found} == {502}
        assert len(running.sent("one")) == 1
        assert all("cache-status" in one.names() for one in found)
