"""`edgestack.cache.purge`, as application code calls it."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Thread

import pytest
from store_kit import put

import edgestack.cache
from edgestack.config.caching import Cache
from edgestack.store import Store, open_store


@pytest.fixture
def stores() -> Iterator[list[Store]]:
    opened = [open_store(Cache(name="one")), open_store(Cache(name="two"))]
    for store in opened:
        put(store, "a", tags=("red",))
        put(store, "b")
    yield opened
    for store in opened:
        store.close()


def test_d9_it_purges_every_cache_or_one(stores: list[Store]) -> None:
    assert edgestack.cache.purge(tag="red", store="two") == 1
    assert stores[0].find("a")
    assert edgestack.cache.purge(tag="red") == 1
    assert not stores[0].find("a")
    assert edgestack.cache.purge(prefix="/") == 2


def test_from_any_thread(stores: list[Store]) -> None:
    counts: list[int] = []
    thread = Thread(target=lambda: counts.append(edgestack.cache.purge(url="https://example.com/b")))
    thread.start()
    thread.join()
    assert counts == [2]


def test_a_closed_cache_is_not_asked(stores: list[Store]) -> None:
    stores[0].close()
    assert edgestack.cache.purge(tag="red") == 1


def test_mistakes_are_said(stores: list[Store]) -> None:
    with pytest.raises(ValueError, match="one of url=, prefix= and tag="):
        edgestack.cache.purge()
    with pytest.raises(ValueError, match="no cache 'mian'; those that are open: 'one', 'two'"):
        edgestack.cache.purge(tag="a", store="mian")


def test_without_a_cache_there_is_nothing_to_purge() -> None:
    assert edgestack.cache.purge(tag="red", store="main") == 0
