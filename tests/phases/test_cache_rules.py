"""Cache-Control by path, media type or hashed name; the first rule that fits holds."""

from __future__ import annotations

import pytest
from phases_kit import coming

from edgestack.config.model import CacheRule
from edgestack.config.presets import IMMUTABLE, MEANINGS
from edgestack.http.messages import Response
from edgestack.phases.cache_rules import cache_rules, is_hashed


def said(rules: tuple[CacheRule, ...], path: str, kind: str = "", status: int = 200, own: str = "") -> str | None:
    apply = cache_rules(rules)
    assert apply is not None
    fields = ((("Content-Type", kind),) if kind else ()) + ((("Cache-Control", own),) if own else ())
    return apply(coming(path), Response(status, fields)).field("cache-control")


RULES = (
    CacheRule("a", path="/private/*"),
    CacheRule("b", type="text/html"),
    CacheRule("c", type="image/*"),
    CacheRule("d", hashed=True),
    CacheRule("e", path="*.json", type="application/json"),
)


@pytest.mark.parametrize(
    ("path", "kind", "value"),
    [
        ("/private/x.html", "text/html", "a"),
        ("/private", "text/plain", None),
        ("/index.html", "text/html; charset=utf-8", "b"),
        ("/", "TEXT/HTML", "b"),
        ("/a.png", "image/png", "c"),
        ("/a.png", "imagex/png", None),
        ("/app.3f9a1c2b.js", "text/javascript; charset=utf-8", "d"),
        ("/app.js", "text/javascript", None),
        ("/x/y.json", "application/json", "e"),
        ("/x/y.json", "text/plain", None),
        ("/x.json/", "application/json", None),
    ],
)
def test_the_first_that_fits(path: str, kind: str, value: str | None) -> None:
    assert said(RULES, path, kind) == value


@pytest.mark.parametrize(("path", "value"), [("/a.html", "b"), ("/", "b"), ("/a.png", "c"), ("/app.3f9a1c2b.js", "d")])
def test_c3_a_304_has_what_its_200_would_have(path: str, value: str) -> None:
    assert said(RULES, path, status=304) == value


def test_what_content_says_stands() -> None:
    assert said((CacheRule("public, max-age=60"),), "/", "text/html", own="no-store") == "no-store"


@pytest.mark.parametrize(
    ("status", "value"), [(200, "x"), (206, "x"), (304, "x"), (301, "x"), (404, None), (500, None)]
)
def test_b10_errors_are_left_alone(status: int, value: str | None) -> None:
    assert said((CacheRule("x"),), "/", status=status) == value
    assert said((CacheRule("x", path="*"),), "/", status=status) == value


def test_a_page_in_place_of_a_missing_script_is_not_kept_for_a_year() -> None:
    """The preset "spa" answers every path that is no file with /index.html."""
    spa = MEANINGS["spa"].cache_control
    assert said(spa, "/assets/app.3f9a1c2b.js", "text/javascript; charset=utf-8") == IMMUTABLE
    assert said(spa, "/assets/app.3f9a1c2b.js", "text/html; charset=utf-8") == "no-cache"


@pytest.mark.parametrize(
    ("path", "hashed"),
    [
        ("/app.3f9a1c2b.js", True),
        ("/app.3f9a1c2b4d5e6f70.chunk.js", True),
        ("/app-3f9a1c2b.js", True),
        ("/main_3f9a1c2b.css", True),
        ("/assets/index-BfX3k2Za.js", True),
        ("/assets/index-BfX3_2Za.js", True),
        ("/chunk-5HUNZ3GD.js", True),
        ("/3f9a1c2b4d5e6f708192a3b4c5d6e7f8.woff2", True),
        ("/app.3f9a1c2.js", False),
        ("/app.js", False),
        ("/3f9a1c2b", False),
        ("/jquery-validation.js", False),
        ("/bootstrap-5.3.2.min.js", False),
        ("/report-20240101.pdf", False),
        ("/notes-Chapter1.pdf", False),
        ("/notes-REPORT24.pdf", False),
        ("/cafebabe.js", False),
        ("/deadbeef.3f9a1c2b/index.html", False),
        ("/", False),
    ],
)
def test_hashed_names(path: str, hashed: bool) -> None:
    assert is_hashed(path) is hashed


def test_one_rule_for_all_is_worked_out_once() -> None:
    apply = cache_rules((CacheRule("x"),))
    assert apply is not None
    answer = Response(200, (), b"hello")
    first = apply(coming("/a"), answer)
    assert apply(coming("/b"), answer) is first
    assert cache_rules(()) is None


def test_a_rule_by_path_is_worked_out_once_for_each_rule() -> None:
    apply = cache_rules((CacheRule("x", path="/a"), CacheRule("y")))
    assert apply is not None
    answer = Response(200, (), b"hello")
    first = apply(coming("/a"), answer)
    assert apply(coming("/a"), answer) is first
    assert apply(coming("/b"), answer).field("cache-control") == "y"
    assert apply(coming("/a"), answer).field("cache-control") == "x"
    assert apply.describe(coming("/b")) == "Cache-Control: y, where the answer has none"
