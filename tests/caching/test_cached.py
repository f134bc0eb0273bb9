"""The cache of a route before scripted upstreams and a real application, on either driver: D8, D9."""

from __future__ import annotations

import pytest
import trio
from cached_apps import app
from cached_kit import ask, said, server

from edgestack.testing import AsyncSite, Reply, SeenRequest, does, hangs, replies, says
from edgestack.testing.acts import Act
from edgestack.testing.fixtures import AsyncEdges

pytestmark = pytest.mark.parametrize("portable", [False, True], ids=["lot", "portable"])

PROXIED = """
[[route]]
match = "/"
proxy = "http://one"
cache = CACHE
"""

APPLICATION = """
[[route]]
match = "/"
app = "cached_apps:app"
cache = CACHE
"""

FRESH = "Cache-Control: max-age=60"


async def proxied(edge_trio: AsyncEdges, portable: bool, *acts: Act, cache: str = "{}") -> AsyncSite:
    edge_trio.upstream("one").sequence(*acts)
    return await edge_trio(text=PROXIED.replace("CACHE", cache), tls=False, portable=portable)


async def application(edge_trio: AsyncEdges, portable: bool, cache: str = "{}", more: str = "") -> AsyncSite:
    return await edge_trio(text=APPLICATION.replace("CACHE", cache) + more, tls=False, portable=portable)


# --- hits -------------------------------------------------------------------------------------------------------------


async def test_a_proxied_answer_is_asked_for_once(edge_trio: AsyncEdges, portable: bool) -> None:
    """D8: stored by what it says itself; D9: Cache-Status on every answer."""
    site = await proxied(edge_trio, portable, server(200, b"hello", FRESH, "X-A: 1"))
    first = await ask(site, "/x")
    second = await ask(site, "/x")
    assert (first.status, first.body) == (second.status, second.body) == (200, b"hello")
    assert second.get("x-a") == "1"
    assert first.get("age") is None
    assert second.get("age") == "0"
    assert "fwd=uri-miss" in said(first)
    assert "stored" in said(first)
    assert said(second).startswith("edgestack; hit; ttl=")
    assert len(edge_trio.upstream("one").requests) == 1


async def test_a_long_body_that_comes_in_pieces_is_stored_as_it_passes(edge_trio: AsyncEdges, portable: bool) -> None:
    body = bytes(range(256)) * 1024

    pieces = [body[at : at + 10_000] for at in range(0, len(body), 10_000)]
    slowly = replies(body=pieces, fields={"Cache-Control": "max-age=60"})
    site = await proxied(edge_trio, portable, slowly)
    assert (await ask(site, "/x")).body == body
    second = await ask(site, "/x")
    assert second.body == body
    assert "hit" in said(second)
    assert second.get("content-length") == str(len(body))


async def test_an_answer_that_is_broken_off_is_not_stored(edge_trio: AsyncEdges, portable: bool) -> None:
    torn = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nCache-Control: max-age=60\r\n\r\nhalf"
    site = await proxied(edge_trio, portable, says(torn, close=True), server(200, b"whole", FRESH))
    with pytest.raises(ConnectionError):
        await ask(site, "/x")
    assert (await ask(site, "/x")).body == b"whole"


async def test_an_application_is_called_once(edge_trio: AsyncEdges, portable: bool) -> None:
    """D8, for applications: micro-caching in one line."""
    site = await application(edge_trio, portable, '"1s"')
    first, second = await ask(site, "/x"), await ask(site, "/x")
    assert first.body == second.body == b"/x 1"
    assert "hit" in said(second)
    assert "stored" in said(first)
    assert (await ask(site, "/y")).body == b"/y 2"


async def test_an_application_in_pieces(edge_trio: AsyncEdges, portable: bool) -> None:
    app.says(FRESH, pieces=[b"one ", b"", b"two ", b"three"])
    site = await application(edge_trio, portable)
    first, second = await ask(site, "/x"), await ask(site, "/x")
    assert first.body == second.body == b"one two three"
    assert first.get("transfer-encoding") == "chunked"
    assert second.get("content-length") == "13"
    assert len(app.asked) == 1


async def test_filters_run_each_time(edge_trio: AsyncEdges, portable: bool) -> None:
    """What is stored has not passed the filters: a variable in a field is each request's own."""
    more = '\n[[route.headers]]\nset = { X-Mine = "$http_x_me" }\nadd = { X-Added = "once" }\n'
    app.says(FRESH)
    site = await application(edge_trio, portable, more=more)
    first, second = await ask(site, "/x", "X-Me: a"), await ask(site, "/x", "X-Me: b")
    assert first.body == second.body
    assert (first.get("x-mine"), second.get("x-mine")) == ("a", "b")
    assert len(second.all("x-added")) == len(first.all("x-added")) == 1
    assert len(second.all("cache-status")) == len(first.all("cache-status")) == 1


async def test_cache_control_rules_count(edge_trio: AsyncEdges, portable: bool) -> None:
    site = await application(edge_trio, portable, more='cache_control = "max-age=60"\n')
    assert (await ask(site, "/x")).get("cache-control") == "max-age=60"
    assert "hit" in said(await ask(site, "/x"))


async def test_head_and_ranges_and_conditions_of_what_is_stored(edge_trio: AsyncEdges, portable: bool) -> None:
    """D8: HEAD from a stored GET; ranges from a stored full body; 304."""
    app.says(FRESH, 'ETag: "v1"', pieces=[b"0123456789"])
    site = await application(edge_trio, portable)
    await ask(site, "/x")
    head = await ask(site, "/x", method="HEAD")
    assert (head.status, head.get("content-length")) == (200, "10")
    part = await ask(site, "/x", "Range: bytes=2-4")
    assert (part.status, part.body, part.get("content-range")) == (206, b"234", "bytes 2-4/10")
    same = await ask(site, "/x", 'If-None-Match: "v1"')
    assert (same.status, same.body) == (304, b"")
    assert all("hit" in said(one) for one in (head, part, same))
    assert len(app.asked) == 1


async def test_what_the_client_knows_already_is_stored_all_the_same(edge_trio: AsyncEdges, portable: bool) -> None:
    """A conditional miss: content is asked for all of it, and the client gets its 304."""
    app.says(FRESH, 'ETag: "v1"', pieces=[b"01234", b"56789"])
    site = await application(edge_trio, portable)
    assert (await ask(site, "/x", 'If-None-Match: "v1"')).status == 304
    assert "HTTP_IF_NONE_MATCH" not in app.asked[0]
    while len((await ask(site, "/x")).body) != 10 or len(app.asked) > 1:
        raise AssertionError("it was not stored")


async def test_the_same_of_a_proxied_answer(edge_trio: AsyncEdges, portable: bool) -> None:
    script = server(200, b"x" * 100_000, FRESH, 'ETag: "v1"')
    site = await proxied(edge_trio, portable, script)
    assert (await ask(site, "/x", 'If-None-Match: "v1"')).status == 304
    with trio.fail_after(5):
        while "hit" not in said(answer := await ask(site, "/x")):
            pass
    assert len(answer.body) == 100_000
    assert b"If-None-Match" not in edge_trio.upstream("one").requests[0]


async def test_the_edges_own_word_goes_before_all_others(edge_trio: AsyncEdges, portable: bool) -> None:
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
        site = await proxied(edge_trio, portable, server(200, b"x", *fields), cache=cache)
        first, second = await ask(site, f"/{at}"), await ask(site, f"/{at}")
        assert ("hit" in said(second)) is kept, fields
        assert [one.get("x-accel-expires") for one in (first, second)] == [None, None]


# --- what is not stored -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [("Cache-Control: private, max-age=60",), ("Cache-Control: no-store",), (FRESH, "Set-Cookie: a=b"), ()],
    ids=["private", "no-store", "set-cookie", "silent"],
)
async def test_what_must_not_be_stored_is_not(edge_trio: AsyncEdges, portable: bool, fields: tuple[str, ...]) -> None:
    """D8."""
    app.says(*fields)
    site = await application(edge_trio, portable)
    bodies = [(await ask(site, "/x")).body for _ in range(3)]
    assert bodies == [b"/x 1", b"/x 2", b"/x 3"]


async def test_bypass_methods_and_uses(edge_trio: AsyncEdges, portable: bool) -> None:
    cache = '{ valid = "1m", bypass = "$cookie_session", min_uses = 2 }'
    site = await application(edge_trio, portable, cache)
    mine = await ask(site, "/x", "Cookie: session=1")
    assert "fwd=bypass" in said(mine)
    assert [(await ask(site, "/x")).body for _ in range(3)] == [b"/x 2", b"/x 3", b"/x 3"]
    assert (await ask(site, "/x", "Cookie: session=1")).body == b"/x 4"


async def test_an_unsafe_method_makes_what_is_stored_untrue(edge_trio: AsyncEdges, portable: bool) -> None:
    """D8: RFC 9111 §4.4."""
    site = await application(edge_trio, portable, '{ valid = "1m" }')
    assert [(await ask(site, "/x")).body for _ in range(2)] == [b"/x 1", b"/x 1"]
    posted = await ask(site, "/x", method="POST", body=b"new")
    assert posted.body == b"/x 2"
    assert "fwd=method" in said(posted)
    assert (await ask(site, "/x")).body == b"/x 3"
    app.status = "500 Oh"
    await ask(site, "/x", method="POST", body=b"new")
    app.status = "200 OK"
    assert (await ask(site, "/x")).body == b"/x 3"


async def test_only_if_cached(edge_trio: AsyncEdges, portable: bool) -> None:
    """D8: RFC 9111 §5.2.1.7."""
    site = await application(edge_trio, portable, '{ valid = "1m" }')
    answer = await ask(site, "/x", "Cache-Control: only-if-cached")
    assert answer.status == 504
    assert said(answer)
    await ask(site, "/x")
    assert (await ask(site, "/x", "Cache-Control: only-if-cached")).status == 200


async def test_vary(edge_trio: AsyncEdges, portable: bool) -> None:
    """D8: the key includes the request fields named by Vary."""
    app.says(FRESH, "Vary: Accept-Language")
    site = await application(edge_trio, portable)
    german = await ask(site, "/x", "Accept-Language: de")
    english = await ask(site, "/x", "Accept-Language: en")
    assert german.body != english.body
    assert (await ask(site, "/x", "Accept-Language: de")).body == german.body
    assert (await ask(site, "/x", "Accept-Language: en")).body == english.body
    assert len(app.asked) == 2


# --- collapsed misses -------------------------------------------------------------------------------------------------


async def many(site: AsyncSite, count: int, target: str = "/x") -> list[Reply]:
    found: list[Reply] = []

    async def one() -> None:
        found.append(await ask(site, target))

    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(one)
    return found


async def test_concurrent_misses_are_one(edge_trio: AsyncEdges, portable: bool) -> None:
    """D9: one fill, the others wait."""
    app.says(FRESH)
    app.gate.clear()
    site = await application(edge_trio, portable)
    found: list[Reply] = []

    async def ask_often() -> None:
        found.extend(await many(site, 20))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask_often)
        while not app.asked:
            await trio.sleep(0.01)
        await trio.sleep(0.05)
        app.gate.set()
    assert {one.body for one in found} == {b"/x 1"}
    assert len(found) == 20
    assert len(app.asked) == 1
    assert sum("collapsed" in said(one) for one in found) == 19


async def test_who_waits_for_what_is_not_stored_is_passed_on(edge_trio: AsyncEdges, portable: bool) -> None:
    app.says("Cache-Control: private")
    site = await application(edge_trio, portable)
    assert len({one.body for one in await many(site, 5)}) == 5


async def test_who_has_waited_long_enough_is_passed_on(edge_trio: AsyncEdges, portable: bool) -> None:
    """D9: then pass uncached."""
    scripts = [hangs(), server(200, b"mine", FRESH)]
    site = await proxied(edge_trio, portable, *scripts, cache='{ lock_timeout = "0.1s" }')
    client = await site.connect()
    await client.send(b"GET /x HTTP/1.1\r\nHost: example.com\r\n\r\n")
    while not edge_trio.upstream("one").requests:
        await trio.sleep(0.005)
    answer = await ask(site, "/x")
    assert answer.body == b"mine"


async def test_a_leader_that_leaves_is_followed(edge_trio: AsyncEdges, portable: bool) -> None:
    site = await proxied(edge_trio, portable, hangs(), server(200, b"mine", FRESH))
    client = await site.connect()
    await client.send(b"GET /x HTTP/1.1\r\nHost: example.com\r\n\r\n")
    while not edge_trio.upstream("one").requests:
        await trio.sleep(0.005)
    async with trio.open_nursery() as nursery:
        found: list[Reply] = []

        async def ask_again() -> None:
            found.append(await ask(site, "/x"))

        nursery.start_soon(ask_again)
        await trio.sleep(0.05)
        await client.close()
    assert found[0].body == b"mine"


async def test_an_error_is_that_of_all_who_waited(edge_trio: AsyncEdges, portable: bool) -> None:
    async def dies(request: SeenRequest, stream: trio.abc.Stream) -> Act:
        await trio.sleep(0.1)
        return says(b"", close=True)

    site = await proxied(edge_trio, portable, does(dies))
    found = await many(site, 5)
    assert {one.status for one in found} == {502}
    assert len(edge_trio.upstream("one").requests) == 1
    assert all("cache-status" in one for one in found)
