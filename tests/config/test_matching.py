"""When a route is chosen (criterion B4), and the warnings that can be given beforehand (B2)."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgestack.config.load import load
from edgestack.config.matching import (
    Condition,
    Match,
    choose,
    covers,
    literal_beginning,
    mismatched_slashes,
    parse_match,
)  # fmt: skip
from edgestack.config.problems import ConfigErrors
from edgestack.config.toml_text import toml_text
from edgestack.errors import ConfigError
from edgestack.http.variables import compile_pattern

MATCHES = [
    ("/", Match("prefix", "/")),
    ("/static/", Match("prefix", "/static/")),
    (" /a b ", Match("prefix", "/a b")),
    ("= /x", Match("exact", "/x")),
    ("=/x", Match("exact", "/x")),
    ("^~ /x/", Match("final", "/x/")),
    ("^~/x/", Match("final", "/x/")),
    (r"~ \.php$", Match("regex", r"\.php$")),
    (r"~\.php$", Match("regex", r"\.php$")),
    (r"~* \.PHP$", Match("regex", r"\.PHP$", ignore_case=True)),
    ("~ ^/(?<year>[0-9]+)", Match("regex", "^/(?<year>[0-9]+)")),
    ("@sorry-1.a_b", Match("named", "sorry-1.a_b")),
    ("/日本/", Match("prefix", "/日本/")),
    ("/a+b.c", Match("prefix", "/a+b.c")),
    ("/100%", Match("prefix", "/100%")),
]


@pytest.mark.parametrize(("text", "expected"), MATCHES)
def test_matches(text: str, expected: Match) -> None:
    assert parse_match(text) == expected
    assert parse_match(str(expected)) == expected


@pytest.mark.parametrize(
    "text",
    ["", "static", "= x", "^~ x", "/a//b", "/a/./b", "/a/../b", "/..", "/a%20", "/a?b", "/a#b", "@", "@a b", "*"],
)
def test_what_is_no_match(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_match(text)


def test_a_regex_that_is_none_says_where_in_the_text() -> None:
    with pytest.raises(re.error) as caught:
        parse_match("~*  ^/(a")
    assert caught.value.pos == 6


def test_nginx_s_and_python_s_named_groups() -> None:
    for text in ("~ ^/(?<year>[0-9]+)", "~ ^/(?P<year>[0-9]+)"):
        regex = parse_match(text).regex
        assert regex is not None
        assert regex.search("/2026").group("year") == "2026"  # type: ignore[union-attr]
    assert parse_match("~ (?<=/)a(?<!b)$").regex is not None


@pytest.mark.parametrize(
    ("prefix", "path", "expected"),
    [
        ("/", "/", True), ("/", "/x", True), ("/api", "/api", True), ("/api", "/api/x", True), ("/api", "/apix", False),
        ("/api/", "/api", False), ("/api/", "/api/", True), ("/api/", "/api/x", True), ("/api", "/ap", False),
    ],
)  # fmt: skip
def test_prefixes_end_on_a_segment(prefix: str, path: str, expected: bool) -> None:
    """F1: the mount prefix is matched on segment boundaries."""
    assert covers(prefix, path) is expected
    assert Match("prefix", prefix).fits(path) is expected


ROUTES = [
    "/",
    "= /exact",
    "/a/",
    "/a/b/",
    "^~ /final/",
    "/final/again/",
    r"~ \.png$",
    r"~* \.PNG$",
    "~ ^/a/r",
    "@named",
]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/exact", "= /exact"), ("/exact/", "/"), ("/", "/"), ("/a/x", "/a/"), ("/a/b/x", "/a/b/"),
        ("/a/b/x.png", r"~ \.png$"), ("/x.pNg", r"~* \.PNG$"), ("/final/x.png", "^~ /final/"),
        ("/final/again/x.png", r"~ \.png$"), ("/a/r.png", r"~ \.png$"), ("/a/r", "~ ^/a/r"), ("named", None),
    ],
)  # fmt: skip
def test_choice(path: str, expected: str | None) -> None:
    """B4: exact, else longest prefix; a final one stops; else the first regex in order; else that longest prefix."""
    at = choose([parse_match(text) for text in ROUTES], path)
    assert (None if at is None else ROUTES[at]) == expected


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (Match(), Match(), True),
        (Match(), Match(methods=("GET",)), True),
        (Match(methods=("GET",)), Match(), False),
        (Match(methods=("GET", "HEAD")), Match(methods=("GET",)), True),
        (Match(methods=("GET",)), Match(methods=("GET", "HEAD")), False),
        (Match(query=(Condition("a"),)), Match(query=(Condition("a"), Condition("b"))), True),
        (Match(query=(Condition("a"),)), Match(query=(Condition("a", value="1"),)), False),
        (Match(header=(Condition("a"),)), Match(), False),
    ],
)
def test_conditions_that_include_others(first: Match, second: Match, expected: bool) -> None:
    assert first.includes(second) is expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("^/static/.*", ("/static/", False)),
        ("^/x$", ("/x", True)), ("^/a\\.b$", ("/a.b", True)), ("^/ab*", ("/a", False)),
        ("^/ab+", ("/ab", False)), ("^/ab?c", ("/a", False)), ("^/a{2}", ("/", False)), ("^/a|/b", ("", False)),
        ("/a", ("", False)), ("^(?i)/a", ("", False)), ("^/a\\d", ("/a", False)), ("^/a[bc]", ("/a", False)),
        ("^/abc", ("/abc", False)), ("^", ("", False)), ("^$", ("", True)),
    ],
)  # fmt: skip
def test_literal_beginnings(pattern: str, expected: tuple[str, bool]) -> None:
    assert literal_beginning(pattern) == expected


@given(
    st.text("/ab.\\*+?{}[]()|$^d2,", min_size=1, max_size=8), st.text("/ab.2", max_size=6).map(lambda text: f"/{text}")
)
@settings(max_examples=300)
def test_a_literal_beginning_is_one(pattern: str, path: str) -> None:
    try:
        regex = compile_pattern("^" + pattern)
    except (re.error, OverflowError):
        return
    literal, whole = literal_beginning("^" + pattern)
    if regex.search(path):
        assert path.startswith(literal)
        assert not whole or path.rstrip("\n") == literal


@pytest.mark.parametrize(
    ("prefix", "target", "expected"),
    [
        ("/api/", "/", ""), ("/api/", "/v1/", ""), ("/api", "/v1", ""), ("/api", "", ""), ("/api/", "", ""),
        ("/api", "/", "/api/x would become //x: end both with a slash, or neither"),
        ("/api/", "/v1", "/api/x would become /v1x: end both with a slash, or neither"),
        ("/", "/v1", "/x would become /v1x: end both with a slash, or neither"),
    ],
)  # fmt: skip
def test_mismatched_slashes(prefix: str, target: str, expected: str) -> None:
    """B2: `/api` + target `/`, and `/api/` + `/v1`, are told at config time."""
    assert mismatched_slashes(prefix, target) == expected


segments = st.lists(st.sampled_from(["a", "b", "c.png"]), max_size=3)
paths = segments.map(lambda parts: "/" + "/".join(parts))
written = st.one_of(
    paths, paths.map("= {}".format), paths.map("^~ {}".format), paths.map(lambda path: path.rstrip("/") + "/"),
    st.sampled_from(["~ ^/", "~ png$", "~* PNG$", "~ ^/a/b", "~ ^/a/.*", "~ ^/b$", "~ ^/a/", "^~ /a/", "~ /a|b"]),
)  # fmt: skip


@settings(max_examples=100)
@given(st.lists(written, min_size=1, max_size=6), st.lists(paths, min_size=20, max_size=60))
def test_what_can_never_match_never_does(texts: list[str], asked: list[str]) -> None:
    """Held to the rule itself: a route that is called unreachable is chosen for no path."""
    matches = [parse_match(text) for text in texts]
    never = unreachable(texts)
    for path in asked:
        assert choose(matches, path) not in never


def unreachable(texts: list[str]) -> set[int]:
    """The routes that the check calls unreachable, by their lines."""
    lines = [toml_text({"match": text, "respond": 204}) + "," for text in texts]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "edgestack.toml")
        file.write_text("\n".join(["route = [", *lines, "]"]))
        try:
            load(file)
        except ConfigErrors as errors:
            return {one.line - 2 for one in errors.errors if one.why == "this route can never match"}
    return set()
