"""Criterion D8, of the real cache: whatever is asked in whatever order, nobody gets an answer that he must not.

A whole edge in memory, on the portable driver: configuration, chain, cache, store, filters, wire. Its application is
called on threads, or streams as ASGI; its words are drawn at random and noted, and each of its answers bears a number
of its own. Every answer that a client reads is judged by the notes alone, which share no code with what is judged
(tests/http/caching_oracle.py):

    another URL's, or one from before a purge or an unsafe request     never
    the number of an answer that was just made                         the origin's own word
    any other                                                          some grant must allow it, for this client, now

Time is virtual; after each step everything that it set off is waited for.
"""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from zlib import crc32

import trio
from as_asgi import AsAsgi
from cached_kit import HOST, ask, said, zone_of
from caching_oracle import WINDOW, Grant, Judge, Policy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from edgestack.http.caching import CachingRule
from edgestack.testing import AsyncSite, Edge, Reply

HEARD = ("x-a", "cookie", "authorization", "cache-control")
TARGETS = ("/a", "/a?x")

FLAGS = ("private", "no-store", "no-cache", "must-revalidate", "proxy-revalidate", "public")
WISHES = ("no-cache", "no-store", "max-age=0", "max-age=5", "max-stale", "max-stale=3", "min-fresh=4", "only-if-cached",
          "stale-if-error=3")  # fmt: skip
STEPS = 60
GUARDS = ("pep3333", "unclosed", "content-length", "threads")
"""Without "set-cookie": some of these routes are told to store what sets one."""


def drawn_policy(draw: Random) -> Policy:
    """Words of an origin; every other time such that things are stored, which words drawn blindly seldom let be."""

    def number() -> int | None:
        return draw.choice((None, draw.randrange(13)))

    vary = frozenset(draw.sample(("x-a", "x-a", "cookie", "authorization"), draw.choice((0, 0, 1, 2))))
    if draw.random() < 0.6:
        return Policy(draw.randrange(2, 13), None, None, None, frozenset(), number(), number(), vary & {"x-a"}, False,
                      draw.random() < 0.5)  # fmt: skip
    flags = frozenset(draw.sample(FLAGS, draw.choice((0, 1, 1, 2))))
    rare = [number() if draw.random() < 0.3 else None for _ in range(3)]
    return Policy(number(), rare[0], rare[1], rare[2], flags, number(), number(), vary, draw.random() < 0.2,
                  draw.random() < 0.5)  # fmt: skip


def drawn_fields(draw: Random) -> dict[str, str]:
    """What a client sends."""
    found = {}
    for name, share, values in (
        ("x-a", 0.4, ("", "1", "2")), ("cookie", 0.15, ("one", "two")), ("authorization", 0.1, ("one", "two")),
        ("cache-control", 0.25, WISHES), ("if-none-match", 0.1, ('"1"', "*")),
    ):  # fmt: skip
        if draw.random() < share:
            found[name] = draw.choice(values)
    return found


def drawn_step(draw: Random) -> tuple[Any, ...]:
    """What happens next."""
    target = draw.choice(TARGETS)
    kind = draw.choices(
        ("ask", "wait", "policy", "change", "fail", "purge", "post", "forget"), (60, 12, 8, 4, 5, 4, 3, 4)
    )[0]  # fmt: skip
    match kind:
        case "ask":
            more = draw.choice(((), (), ("Accept-Encoding: gzip",), ("Range: bytes=0-7",)))
            return kind, target, drawn_fields(draw), draw.choice(("GET", "GET", "GET", "HEAD")), more
        case "wait":
            return kind, draw.choice((0.5, 1.0, 3.0, 8.0, 30.0))
        case "policy":
            return kind, drawn_policy(draw)
        case "fail":
            return kind, draw.random() < 0.4
        case "purge":
            return kind, draw.choice(("url", "tag", "prefix")), target
        case "post":
            return kind, target
    return (kind,)


def drawn_config(draw: Random) -> dict[str, Any]:
    """The route's cache, and where it keeps things."""
    names = ("valid", "error", "stale", "cookies", "disk", "asgi")
    found: dict[str, Any] = {name: draw.random() < 0.5 for name in names}
    return found | {"memory": draw.choice(("20kB", "1MB"))}


@dataclass
class Made:
    """One answer of the origin's."""

    target: str
    etag: str
    words: list[Grant]
    """What it said with it, and about it later."""


@dataclass
class Origin:
    """The application: resources that change, and fail."""

    clock: MockClock
    policy: Policy = field(default_factory=Policy)
    version: int = 1
    fails: bool = False
    made: list[Made] = field(default_factory=list)
    asked: int = 0

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        target = environ["PATH_INFO"] + ("?" + environ["QUERY_STRING"] if environ["QUERY_STRING"] else "")
        if environ["REQUEST_METHOD"] == "POST":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"posted"]
        self.asked += 1
        if self.fails:
            start_response("503 Service Unavailable", [("Content-Type", "text/plain")])
            return [b"failed"]
        named = {name: environ.get("HTTP_" + name.upper().replace("-", "_")) for name in HEARD}
        asked = {name: value for name, value in named.items() if value is not None}
        who = sorted((name, asked.get(name, "-")) for name in self.policy.vary)
        what = f"{target} {self.version} {who}"
        etag = f'"{crc32(what.encode())}"'
        word = Grant(self.policy, asked, self.clock.current_time())
        fields = [*self.policy.pairs(), ("Content-Type", "text/plain"), ("Cache-Tag", target.replace("?", "-"))]
        if self.policy.validator:
            fields.append(("ETag", etag))
        if environ.get("HTTP_IF_NONE_MATCH") == etag:
            self.confirm(target, etag, word)
            start_response("304 Not Modified", [pair for pair in fields if pair[0] != "Content-Type"])
            return []
        self.made.append(Made(target, etag, [word]))
        start_response("200 OK", fields)
        return [f"{len(self.made) - 1:07d} {what}".encode()]

    def confirm(self, target: str, etag: str, word: Grant) -> None:
        """A 304: a further word about all that it may be about."""
        for one in self.made:
            if (one.target, one.etag) == (target, etag):
                one.words.append(word.after(one.words[-1]))


def written(folder: Path, config: dict[str, Any]) -> str:
    """A configuration."""
    window = f"{WINDOW}s"
    windows = {"stale_if_error": config["error"], "stale_while_revalidate": config["stale"]}
    words = [f'{name} = "{window}"' for name, on in windows.items() if on]
    words += ['valid = { 200 = "4s" }'] * config["valid"] + ["cookies = true"] * config["cookies"]
    disk = f'disk = "{folder}/kept"' if config["disk"] else ""
    return (
        f'[server]\ntls = false\nthreads = 1\n[cache.main]\nmemory = "{config["memory"]}"\n{disk}\n'
        '[[route]]\napp = "cached_apps:app"\ncompress = { codings = ["gzip"], min_size = 1 }\n'
        f"cache = {{ {', '.join(words)} }}\n"
    )


def judge_of(config: dict[str, Any]) -> Judge:
    return Judge(
        CachingRule(
            {200: 4.0} if config["valid"] else {}, stale_if_error=WINDOW * config["error"],
            stale_while_revalidate=WINDOW * config["stale"], cookies=config["cookies"],
            ignore=frozenset({"set-cookie"} if config["cookies"] else ()),
        )
    )  # fmt: skip


class Play:
    """One edge, and what was asked of it."""

    def __init__(self, site: AsyncSite, origin: Origin, judge: Judge) -> None:
        self.site = site
        self.origin = origin
        self.judge = judge
        self.dead = dict.fromkeys(TARGETS, 0)
        """Of each URL: answers with lower numbers are never to be seen again."""
        self.given = 0

    async def ask(self, target: str, method: str, lines: list[str]) -> Reply:
        answer = await ask(self.site, target, *lines, method=method)
        await self.site.settle()
        return answer

    async def do(self, step: tuple[Any, ...]) -> None:
        kind, *more = step
        zone = zone_of(self.site)
        if kind == "ask":
            await self.judged(*more)
        elif kind == "wait":
            self.origin.clock.jump(more[0])
        elif kind == "policy":
            (self.origin.policy,) = more
        elif kind == "change":
            self.origin.version += 1
        elif kind == "fail":
            (self.origin.fails,) = more
        elif kind == "forget":
            assert await trio.to_thread.run_sync(zone.store.flush, 20)
            zone.store.memory.clear()
        elif kind == "post":
            assert (await self.ask(more[0], "POST", [])).status == 200
            self.dead[more[0]] = len(self.origin.made)
        else:
            self.purged(zone.store, *more)
        await self.site.settle()

    def purged(self, store: Any, by: str, target: str) -> None:
        what = {"url": HOST + target, "tag": target.replace("?", "-"), "prefix": target}[by]
        store.purge(**{by: what})
        for one in TARGETS:
            if one == target or (by == "prefix" and one.startswith(target)):
                self.dead[one] = len(self.origin.made)

    async def judged(self, target: str, fields: dict[str, str], method: str, more: tuple[str, ...]) -> None:
        """One request, and the judgement of what came."""
        origin, number = self.origin, len(self.origin.made)
        asked, before = origin.asked, [len(one.words) for one in origin.made]
        lines = [f"{name}: {value}" for name, value in fields.items()]
        answer = await self.ask(target, method, [*lines, *more])
        about = (target, fields, method, more, answer.status, answer.fields)
        assert "x-accel-expires" not in answer, about
        if answer.status == 504:
            assert fields.get("cache-control") == "only-if-cached", about
            return
        if answer.status == 503:
            assert origin.fails, about
            return
        assert answer.status in (200, 206, 304, 416), about
        if method == "HEAD" or answer.status in (304, 416):
            assert answer.body == b"", about
            return
        body = gzip.decompress(answer.body) if answer.get("content-encoding") == "gzip" else answer.body
        serial = int(body[:7])
        self.given += serial < number
        found = origin.made[serial]
        assert found.target == target, about
        assert serial >= self.dead[target], about
        if serial >= number:
            return
        assert "set-cookie" not in answer, about
        words = found.words[: before[serial]]  # as it was asked; what came since came behind this client's back
        if "fwd-status=304" in said(answer):
            assert len(found.words) > len(words), about
            return
        failed, now = origin.fails and origin.asked > asked, self.origin.clock.current_time()
        if not {"authorization", "cookie", "cache-control"} & words[-1].asked.keys():
            words = words[-1:]  # where a 304 could not be stored for a reason of its own request, the word before holds
        assert any(self.judge.granted(word, fields, now, failed) for word in words), (about, found)


def test_d8_nobody_gets_what_he_must_not(tmp_path: Path) -> None:
    """D8, D9, D11: privacy, Vary, freshness, purges, invalidation, both tiers. A seed tells a failed play again."""
    counter, without_asking = itertools.count(), [0]

    @settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
    @given(draw=st.randoms(use_true_random=True))
    def plays(draw: Random) -> None:
        config, played = drawn_config(draw), [("policy", drawn_policy(draw)), *(drawn_step(draw) for _ in range(STEPS))]

        async def main() -> None:
            own = tmp_path / str(next(counter))
            own.mkdir()
            origin = Origin(clock)
            app = {"app.cached_apps:app": AsAsgi(origin) if config["asgi"] else origin}
            edge = Edge(text=written(own, config), replace=app, memory=True, guards=GUARDS)
            async with edge as site:
                play = Play(site, origin, judge_of(config))
                for step in played:
                    await play.do(step)
            without_asking[0] += play.given

        clock = MockClock()
        trio.run(main, clock=clock)

    plays()
    assert without_asking[0] > 500  # they have met the store
