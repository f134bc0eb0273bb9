"""The shop's edge, with the configuration that runs in production: real HTTPS, one test after the other."""

from __future__ import annotations

import pytest
from websockets.sync.client import connect

CONFIG = "edgestack.toml"


@pytest.fixture
def shop(edge):
    """The whole edge; what is behind it is scripted."""
    for name in ("a", "b", "chat"):
        edge.upstream(name)
    prices = [edge.upstream("a"), edge.upstream("b")]
    return edge(CONFIG, replace={"upstream.prices": prices})


@pytest.fixture
def page(shop):
    """Asks for a path of the shop."""
    return lambda path, **more: shop.get(shop.url(path, host="shop.example"), **more)


def test_the_front_page(page):
    answer = page("/")
    assert answer.status == 200
    assert "Shop" in answer.text


# -- redirects ---------------------------------------------------------------------------------------------------------


def test_plain_http_is_redirected(shop):
    answer = shop.get("http://shop.example/basket?x=1")
    assert answer.status == 301
    assert answer["Location"] == shop.url("/basket?x=1", host="shop.example")


def test_www_is_redirected(shop):
    answer = shop.get(shop.url("/basket", host="www.shop.example"))
    assert answer.status == 301
    assert answer["Location"].startswith("https://shop.example")


def test_https_is_remembered(page):
    assert page("/")["Strict-Transport-Security"].startswith("max-age=31536000")


def test_another_host_is_refused(shop):
    assert shop.get(shop.url("/", host="localhost")).status == 421


# -- cache rules -------------------------------------------------------------------------------------------------------


def test_files_with_a_hash_stay(page):
    assert page("/static/style.3f9a1c2b.css")["Cache-Control"] == "public, max-age=31536000, immutable"
    assert page("/static/base.css")["Cache-Control"] == "no-cache"


def test_the_front_page_is_cached(shop, page):
    page("/")
    page("/")
    assert [record.cache for record in shop.log] == ["MISS", "HIT"]


def test_the_basket_is_not(shop, page):
    page("/basket")
    answer = page("/basket", fields={"Cookie": "items=3"})
    assert answer.text == "3 items"
    assert "HIT" not in [record.cache for record in shop.log]


# -- failover ----------------------------------------------------------------------------------------------------------


def test_failover(edge, page):
    edge.upstream("a").replies(503)
    edge.upstream("b").replies(200, body="12.50")
    assert page("/prices/tea").text == "12.50"
    assert edge.attempts == [("a", 503), ("b", 200)]


def test_nobody_is_there(edge, page):
    edge.upstream("a").refuses()
    edge.upstream("b").resets()
    assert page("/prices/tea").status == 502
    assert edge.attempts == [("a", 502), ("b", 502)]


def test_what_the_price_server_sees(edge, page):
    page("/prices/tea?currency=eur")
    (request,) = edge.upstream("a").requests
    assert request.target == "/tea?currency=eur"
    assert request["X-Forwarded-Proto"] == "https"


# -- WebSocket ---------------------------------------------------------------------------------------------------------


def test_chat(edge, shop):
    edge.upstream("chat").websocket("welcome")
    address = f"wss://shop.example:{shop.port}/chat"
    here = ("127.0.0.1", shop.port)
    with connect(address, ssl=shop.ssl_context, address=here, proxy=None) as socket:
        assert socket.recv() == "welcome"
        socket.send("hello")
        assert socket.recv() == "hello"
    assert edge.upstream("chat").messages == ["hello"]


# -- limits ------------------------------------------------------------------------------------------------------------


def test_a_photo_may_be_large(shop):
    address = shop.url("/photos", host="shop.example")
    assert shop.post(address, body=b"x" * 1_000_000).text == "1000000 bytes"
    assert shop.post(address, body=b"x" * 1_000_001).status == 413


def test_with_a_client_of_its_own(shop):
    """httpx2 goes to 127.0.0.1 and asks for the shop: Host and the name in TLS say so."""
    shop_client = shop.client()
    shop_client.headers["Host"] = "shop.example"
    answer = shop_client.get("/basket", extensions={"sni_hostname": "shop.example"})
    assert answer.text == "0 items"
