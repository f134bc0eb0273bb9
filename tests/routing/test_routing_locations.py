"""The choice of a route (criterion B4), against the rule as `config/matching.py` tells it, and what it costs."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from routing_kit import Site, ask, chain, exchange

from edgestack.config.matching import Match, choose, parse_match
from edgestack.http.messages import Request, Response
from edgestack.http.target import Path, read_path
from edgestack.routing import Chain, locations

B4 = ["= /a", "/", "/a", "/a/", "^~ /a/b", "~ c$", "~* C$", "/x/y"]

CHOSEN = [
    ("/a", "= /a", "exact wins"),
    ("/a/", "/a/", "the longest prefix"),
    ("/a/x", "/a/", "below it"),
    ("/ab", "/", "a prefix ends on a segment's boundary"),
    ("/a/b", "^~ /a/b", "itself"),
    ("/a/b/c", "^~ /a/b", "a final prefix stops the regexes"),
    ("/a/bc", "~ c$", "the first regex in file order"),
    ("/a/C", "~* C$", "whatever its case"),
    ("/c", "~ c$", "a regex wins over a shorter prefix"),
    ("/x/y/c", "~ c$", "and over a longer one"),
    ("/x/y/z", "/x/y", "that longest prefix"),
    ("/x", "/", "nothing else fits"),
]


@pytest.mark.parametrize(("path", "match", "why"), CHOSEN, ids=[why for *_, why in CHOSEN])
def test_b4(path: str, match: str, why: str) -> None:
    """B4, twice: the second time from the table."""
    site = Site([chain(one) for one in B4])
    for _ in range(2):
        answer = site.handle(exchange(path))
        assert isinstance(answer, Response)
        assert answer.body == match.encode()


def test_nothing_fits() -> None:
    assert ask([chain("/a")], "/b") == (404, "page 404")


WORDS = st.sampled_from(["", "a", "b", "ab", "a.b"])
PATHS = st.lists(WORDS, min_size=1, max_size=4).map(lambda words: re.sub("/+", "/", "/" + "/".join(words)))
REGEXES = st.sampled_from(["a", "^/a", "b$", "/b/", "^/a/?$", "."])
MATCHES = st.one_of(
    PATHS.map(lambda path: Match("prefix", path)),
    PATHS.map(lambda path: Match("final", path)),
    PATHS.map(lambda path: Match("exact", path)),
    REGEXES.map(lambda regex: Match("regex", regex)),
)


@given(st.lists(MATCHES, max_size=12), st.lists(PATHS, min_size=1, max_size=6), st.data())
@settings(max_examples=300)
def test_the_table_chooses_as_the_rule_does(matches: list[Match], paths: list[str], data: st.DataObject) -> None:
    """B4 with conditions: a route whose conditions do not hold is as if it were not there."""
    holding = data.draw(st.lists(st.sampled_from([None, True, False]), min_size=len(matches), max_size=len(matches)))
    chains = [chain(match, holds=_holds(holds)) for match, holds in zip(matches, holding, strict=True)]
    site = Site(chains)
    there = [one for one, holds in zip(chains, holding, strict=True) if holds is not False]
    for path in (*paths, *paths):
        at = choose([one.match for one in there], path)
        expected = there[at] if at is not None else site.fallback
        asked = exchange(path)
        site.handle(asked)
        assert asked.chain is expected, (path, asked.chain, expected)


def _holds(holds: bool | None) -> Any:
    return None if holds is None else lambda request: holds


TWO = [
    ("/a%2Fb", "/a/b", 200, "an encoded slash is a slash in both forms"),
    ("/a//b", "/", 400, "slashes are kept for applications"),
    ("/c//d", "/c", 200, "both forms lead to one route"),
    ("//a", "/", 400, "PEP 3333 sees no /a"),
]


@pytest.mark.parametrize(("target", "match", "status", "why"), TWO, ids=[why for *_, why in TWO])
def test_a_target_that_two_routes_could_have_is_refused(target: str, match: str, status: int, why: str) -> None:
    """design: one normal path; a target whose two forms choose different routes is 400."""
    got = ask([chain("= /a"), chain("/a/b"), chain("/c"), chain("/")], target)
    assert got == (status, match if status == 200 else "page 400")


def test_what_is_internal_is_404_from_outside() -> None:
    assert ask([chain("/"), chain("/pages/", internal=True)], "/pages/x") == (404, "page 404")


def test_what_is_internal_is_404_from_outside_among_conditions() -> None:
    conditional = chain("/pages/", holds=lambda request: request.method == "POST")
    assert ask([conditional, chain("/pages/", internal=True)], "/pages/x") == (404, "page 404")


def test_options_asterisk_belongs_to_the_root() -> None:
    """RFC 9110 §9.3.7."""
    site = Site([chain("/"), chain("/a")])
    asked = exchange("/", method="OPTIONS")
    asked.request.path = Path("*", "*", "*")
    answer = site.handle(asked)
    assert isinstance(answer, Response)
    assert answer.body == b"/"


# --- what it costs ----------------------------------------------------------------------------------------------------


class Counting:
    """A compiled regex whose searches are counted."""

    def __init__(self, pattern: str, counted: list[str]) -> None:
        self.pattern = re.compile(pattern)
        self.counted = counted

    def search(self, path: str) -> object:
        self.counted.append(path)
        return self.pattern.search(path)


def test_a_known_path_asks_no_regex(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first fall through 50 regexes searches each once; the second none."""
    counted: list[str] = []
    monkeypatch.setattr(
        Match, "regex", property(lambda self: Counting(self.pattern, counted) if self.kind == "regex" else None)
    )
    site = Site([*(chain(f"~ ^/r{n}/") for n in range(50)), chain("/")])
    for _ in range(3):
        site.handle(exchange("/nothing/like/it"))
    assert len(counted) == 50


class Lookups(dict[str, Any]):
    """A dict that counts."""

    count = 0

    def get(self, key: str, default: Any = None) -> Any:
        Lookups.count += 1
        return super().get(key, default)


def test_a_prefix_costs_lookups_by_segment_and_not_by_route() -> None:
    """Not more than two a segment, up to the longest prefix: a path of 4,000 segments costs no more."""
    site = Site([*(chain(f"/section{n}/") for n in range(450)), chain("/")])
    site.locations._prefixes = Lookups(site.locations._prefixes)
    for path, most in (("/a/b/c", 7), ("/section7/b/c", 5), ("/x" * 4000, 14)):
        Lookups.count = 0
        assert site.locations.choose(path).match.kind == "prefix"
        assert Lookups.count <= most, (path, Lookups.count)


def test_the_table_of_known_paths_is_bounded() -> None:
    site = Site([chain("/")])
    known = site.locations.outside
    for n in range(3 * locations.KNOWN_PATHS):
        site.handle(exchange(f"/{n}"))
    assert len(known) + len(known.old) <= 2 * locations.KNOWN_PATHS


@pytest.mark.parametrize(("length", "kept"), [(255, True), (256, True), (257, False)])
def test_long_paths_are_not_remembered(length: int, kept: bool) -> None:
    site = Site([chain("/")])
    path = read_path("/" + "x" * (length - 1))
    site.locations.outside[path]
    assert (path in site.locations.outside) is kept


def test_choices_among_the_same_routes_are_made_once() -> None:
    site = Site([chain("/", holds=_posts), chain("/")])
    assert site.locations.choose("/a") is site.locations.choose("/b")


def _posts(request: Request) -> bool:
    return request.method == "POST"


def test_chains_are_flat() -> None:
    """What is not configured is not on the road: content is called directly."""
    plain: Chain = chain("/")
    assert plain.handle is plain.content
    assert parse_match("/") == plain.match
