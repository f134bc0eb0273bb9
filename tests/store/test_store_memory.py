"""The first tier (criterion D11): bounded by bytes, least recently used, purged by what names it."""

from __future__ import annotations

import gc
import tracemalloc
from dataclasses import replace

import pytest
from store_kit import KIB, MIB, body, found, head, put

from edgestack.http.messages import Response
from edgestack.store import Store


def test_what_was_put_is_found() -> None:
    store = Store(MIB)
    put(store, "a", 10)
    assert found(store, "a") == [body("a", 10)]
    assert store.find("b") == ()


def test_a_variant_replaces_its_like_alone() -> None:
    store = Store(MIB)
    put(store, "a", 10, "de")
    put(store, "a", 10, "en")
    put(store, "a", 20, "de")
    assert found(store, "a") == [body("aen", 10), body("ade", 20)]


@pytest.mark.parametrize("variants", [63, 64, 65])
def test_variants_of_a_key_are_bounded(variants: int) -> None:
    store = Store(MIB)
    for number in range(variants):
        put(store, "a", 10, f"v{number}")
    kept = [one.head.variant for one in store.find("a")]
    assert len(kept) == min(variants, 64)
    assert kept[-1] == f"v{variants - 1}"


def test_least_recently_used_goes_first() -> None:
    store = Store(100 * KIB)
    for key in ("a", "b", "c"):
        put(store, key, 10 * KIB)
    store.find("a")
    for number in range(5):
        put(store, f"n{number}", 10 * KIB)
    assert store.find("a")
    assert not store.find("b")


def test_d11_the_bound_counts_what_memory_really_takes() -> None:
    """D11: under a flood of distinct URLs, what Python allocates stays within 10 % of the bound."""
    limit = 8 * MIB
    for size in (0, 1000, 20_000):
        gc.collect()
        tracemalloc.start()
        store = Store(limit)
        before = tracemalloc.get_traced_memory()[0]
        for number in range(limit // (size + 3000) * 2):
            key = f"{number:08d}"
            fields = tuple((f"X-Field-{i}", f"value {number} {i}") for i in range(6))
            own = replace(head(), fields=fields)
            store.put(key, own, bytes([number % 256]) * size, f"https://example.com/{key}")
            for one in store.find(key):
                response = Response(200, tuple((name, value) for name, value in one.head.fields), one.body)
                response.encoded = b"x" * 300
                one.given = (1, response)
        taken = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        assert taken <= limit * 1.1, size
        assert taken >= limit * 0.5, size
        assert store.statistics().memory <= limit


def test_largest_is_the_largest() -> None:
    store = Store(MIB)
    assert store.put("a", head(), bytes(store.largest)) is not None
    assert store.put("a", head(), bytes(store.largest + 1)) is None


def test_nothing_is_kept_by_a_store_of_nothing() -> None:
    store = Store(0)
    put(store, "a", 0)
    assert store.find("a") == ()


PURGES = [
    ({"url": "https://example.com/a"}, {"a"}),
    ({"url": "/a"}, {"a"}),
    ({"url": "https://example.org/a"}, set()),
    ({"prefix": "https://example.com/a"}, {"a", "ab"}),
    ({"prefix": "/a"}, {"a", "ab"}),
    ({"prefix": "example"}, set()),
    ({"tag": "red"}, {"a", "c"}),
    ({"tag": "re"}, set()),
    ({"everything": True}, {"a", "ab", "c"}),
]


@pytest.mark.parametrize(("named", "gone"), PURGES)
def test_d9_purge_by_url_prefix_and_tag(named: dict[str, str], gone: set[str]) -> None:
    """D9: purge takes what is meant, counts it, and takes nothing else."""
    store = Store(MIB)
    put(store, "a", tags=("red", "blue"))
    put(store, "ab", tags=("blue",))
    put(store, "c", tags=("red",))
    assert store.purge(**named) == len(gone)  # type: ignore[arg-type]
    assert {key for key in ("a", "ab", "c") if not store.find(key)} == gone
    assert store.purge(**named) == 0  # type: ignore[arg-type]


@pytest.mark.parametrize("named", [{}, {"url": "/a", "tag": "b"}])
def test_a_purge_is_by_one_thing(named: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="by one of them"):
        Store(MIB).purge(**named)  # type: ignore[arg-type]


def test_many_keys_of_one_url_go_with_it() -> None:
    store = Store(MIB)
    for number in range(5):
        store.put(f"k{number}", head(), b"x", "https://example.com/")
    assert store.purge(url="https://example.com/") == 5


@pytest.mark.parametrize(
    ("purged", "kept"), [({"tag": "red"}, False), ({"tag": "blue"}, True), ({"prefix": "/a"}, False)]
)
def test_what_was_asked_for_before_a_purge_is_not_kept_after_it(purged: dict[str, str], kept: bool) -> None:
    """D9: an answer that was under way when it was purged may be what the purge was meant for."""
    store = Store(MIB)
    moment = store.moment
    store.purge(**purged)  # type: ignore[arg-type]
    assert (store.put("a", head(), b"old", "https://example.com/a", ("red",), moment) is not None) is kept
    assert bool(store.find("a")) is kept
    assert store.put("a", head(), b"new", "https://example.com/a", ("red",), store.moment) is not None


@pytest.mark.parametrize(("purges", "kept"), [(256, True), (257, False)])
def test_more_purges_than_are_remembered_are_taken_for_all(purges: int, kept: bool) -> None:
    store = Store(MIB)
    moment = store.moment
    for number in range(purges):
        store.purge(tag=f"t{number}")
    assert (store.put("a", head(), b"x", moment=moment) is not None) is kept


def test_the_same_body_under_another_head() -> None:
    store = Store(MIB)
    put(store, "a", 10, tags=("red",))
    stored = store.find("a")[0]
    renewed = store.refresh(stored, head(came=2000.0))
    assert store.find("a") == (renewed,)
    assert (renewed.body, renewed.tags, renewed.head.came) == (stored.body, ("red",), 2000.0)


def test_list_and_statistics() -> None:
    store = Store(MIB)
    put(store, "a", 10, tags=("red",))
    put(store, "b", 20)
    assert [(one.url, one.tags, one.size, one.place) for one in store.list("https://example.com/a")] == [
        ("https://example.com/a", ("red",), 10, "memory")
    ]
    told = store.statistics()
    assert (told.entries, told.files, told.memory_most) == (2, 0, MIB)
    assert 30 < told.memory < 10 * KIB
