"""Criterion D8: validation, and what a 304 changes of what is stored (RFC 9111 §3.2, §4.3)."""

from __future__ import annotations

import pytest
from caching_kit import NOW, RULE, at, request, response, stored

from edgestack.http.caching import CachingRule, Hit, Miss, StoredHead, decide, stale_on_error
from edgestack.http.caching_validation import merge_304, validation_fields

LATER = NOW + 100


def merged(
    head: StoredHead, asked: dict[str, str] | None = None, rule: CachingRule = RULE, **fields: str
) -> StoredHead:
    """The head after a 304 with these fields."""
    found = merge_304(request(**(asked or {})), head, response(304, **fields), rule, LATER)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"etag": '"a"'}, {"if-none-match": '"a"'}),
        ({"etag": 'W/"a"', "last_modified": at(-5)}, {"if-none-match": 'W/"a"', "if-modified-since": at(-5)}),
        ({"last_modified": at(-5)}, {"if-modified-since": at(-5)}),
        ({"etag": "a"}, {}),
        ({"etag": '"a", "b"'}, {}),
        ({"last_modified": "yesterday"}, {}),
    ],
)
def test_what_is_asked(fields: dict[str, str], expected: dict[str, str]) -> None:
    """§4.3.1; a validator that cannot be read is none"""
    assert dict(validation_fields(stored(cache_control="max-age=60", **fields))) == expected


def test_its_fields_replace_the_stored_ones() -> None:
    """§3.2: all but those that describe the body"""
    head = stored(cache_control="max-age=60", etag='"a"', content_type="text/html", x_old="1", x_kept="2")
    new = merged(
        head, cache_control="max-age=30", etag='"a"', content_type="text/plain", content_encoding="gzip", x_old="3",
        content_length="0", content_range="bytes 0-1/2", date=at(98), connection="x-hop", x_hop="4", x_new="5",
    )  # fmt: skip
    assert dict(new.fields) == {
        "Cache-Control": "max-age=30", "Etag": '"a"', "Content-Type": "text/html", "X-Old": "3", "X-Kept": "2",
        "X-New": "5",
    }  # fmt: skip
    assert (new.came, new.born, new.fresh_until) == (LATER, LATER - 2, LATER + 28)


@pytest.mark.parametrize("field", ["cache_control", "expires", "x_accel_expires", "cdn_cache_control"])
def test_what_it_does_not_say_is_as_before(field: str) -> None:
    """§3.2"""
    value = {"expires": at(160), "x_accel_expires": "60"}.get(field, "max-age=60")
    head = stored(etag='"a"', **{field: value})
    assert merged(head).fresh_until == LATER + 60
    assert merged(head, x_accel_expires="9").fresh_until == LATER + 9


@pytest.mark.parametrize(
    ("before", "said", "about"),
    [
        # §4.3.4: a strong validator must be the same
        ({"etag": '"a"'}, {"etag": '"a"'}, True),
        ({"etag": '"a"'}, {"etag": '"b"'}, False),
        ({"etag": 'W/"a"'}, {"etag": '"a"'}, False),
        ({"last_modified": at(-5)}, {"etag": '"a"'}, False),
        ({"etag": '"a"'}, {"etag": "a"}, False),
        # a weak one means the same
        ({"etag": '"a"'}, {"etag": 'W/"a"'}, True),
        ({"etag": 'W/"a"'}, {"etag": 'W/"a"'}, True),
        ({"etag": 'W/"a"'}, {"etag": 'W/"b"'}, False),
        ({"last_modified": at(-5)}, {"last_modified": at(-5)}, True),
        ({"last_modified": at(-5)}, {"last_modified": at(-4)}, False),
        ({"etag": '"a"', "last_modified": at(-5)}, {"last_modified": at(-4)}, True),
        # none: nothing else was asked about
        ({"etag": '"a"'}, {}, True),
        ({"last_modified": at(-5)}, {}, True),
    ],
)
def test_what_it_is_about(before: dict[str, str], said: dict[str, str], about: bool) -> None:
    head = stored(cache_control="max-age=60", **before)
    found = merge_304(request(), head, response(304, **said), RULE, LATER)
    assert (found is not None) is about
    assert found is None or found.etag == head.etag


@pytest.mark.parametrize(
    "said",
    [
        {"cache_control": "no-store"},
        {"cache_control": "private, max-age=60"},
        {"set_cookie": "a=b"},
        {"vary": "*"},
        {"x_accel_expires": "0"},
    ],
)
def test_where_it_forbids_to_store_the_answer_is_the_last(said: dict[str, str]) -> None:
    """D8: the 304 counts as the response that it stands for"""
    head = merged(stored(cache_control="max-age=60, stale-if-error=999", etag='"a"'), **said)
    for asked in ({}, {"cache_control": "max-stale"}):
        decision = decide(request(**asked), [head], RULE, LATER)
        assert isinstance(decision, Miss)
        assert decision.fwd == "stale"
    assert not stale_on_error(request(), head, CachingRule(stale_if_error=99.0), LATER)
    assert "set-cookie" not in {name.lower() for name, _ in head.fields}
    assert head.useful_until(RULE) <= LATER


@pytest.mark.parametrize("asked", [{"authorization": "Basic x"}, {"cookie": "a=b"}, {"cache_control": "no-store"}])
def test_what_is_confirmed_to_one_client_is_not_fresh_for_all(asked: dict[str, str]) -> None:
    """§3.5: what was public may have become secret, and the origin confirms it to whoever may see it."""
    rule = CachingRule(valid={200: 60.0})
    head = stored(rule=rule, etag='"a"')
    assert merged(head, asked, rule) is head


def test_it_may_allow_it_to_be_fresh_for_all() -> None:
    """§3.5"""
    head = merged(
        stored(cache_control="max-age=60", etag='"a"'), {"authorization": "x"}, cache_control="public, max-age=5"
    )
    decision = decide(request(), [head], RULE, LATER + 4)
    assert isinstance(decision, Hit)
    assert decision.head is head


def test_another_vary_counts_from_now_on() -> None:
    """§4.1: what it varies on is what the request that validated it said"""
    head = merged(stored(cache_control="max-age=60", etag='"a"'), {"x_a": "1"}, vary="X-A")
    assert (head.vary, head.variant) == (("x-a",), "1")
