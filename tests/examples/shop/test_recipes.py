"""Ways to use an edge in a test, one after the other."""

from __future__ import annotations

import shutil
import unittest
import urllib.request

import pytest
from shop import app

import edgestack.testing
from edgestack.testing import GUARDS, refuses, replies, resets

CHROMIUM = shutil.which("chromium")
"""The system's. Without this word, Playwright takes the one that `playwright install chromium` brings."""


def test_the_front_page(edge):
    site = edge(app=app, static="static/")
    assert site.get("/").status == 200
    assert site.get("/base.css")["Content-Type"] == "text/css; charset=utf-8"


def test_with_urllib(edge):
    site = edge(app=app)
    with urllib.request.urlopen(site.url("/"), context=site.ssl_context) as answer:
        assert b"Shop" in answer.read()


def test_with_httpx2(edge):
    site = edge(app=app)
    assert site.client().get("/").status_code == 200


def test_with_requests(edge):
    requests = pytest.importorskip("requests")
    site = edge(app=app)
    assert requests.get(site.url("/"), verify=str(site.ca_file)).status_code == 200


@pytest.mark.skipif(CHROMIUM is None, reason="the system has no Chromium")
def test_in_a_browser(edge):
    playwright = pytest.importorskip("playwright.sync_api")
    site = edge("edgestack.toml", replace={"upstream.prices": edge.upstream("a")})
    with playwright.sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *site.browser_args()])
        page = browser.new_page()
        page.goto(site.url("/", host="shop.example"))
        page.click("text=Basket")
        page.wait_for_url("**/basket")
        assert page.inner_text("body") == "0 items"
        browser.close()


@pytest.fixture(scope="session")
def shop_for_all(edge_factory):
    return edge_factory(app=app)


def test_of_a_session(shop_for_all):
    assert shop_for_all.get("/").status == 200


def test_the_log(edge):
    site = edge(app=app)
    site.get("/nowhere")
    record = site.log[-1]
    assert (record.method, record.target, record.status) == ("GET", "/nowhere", 404)
    assert site.statistics()["exchanges"] == 1


def test_three_tries(edge):
    api = edge.upstream("api")
    api.sequence(refuses(), resets(after="headers"), replies(200, body="at last"))
    site = edge(proxy={"/api/": api})
    assert site.get("/api/").status == 502
    with pytest.raises(ConnectionError):
        site.get("/api/")
    assert site.get("/api/").text == "at last"
    assert edge.attempts == [("api", 502), ("api", 200), ("api", 200)]


def test_an_answer_for_each_request(edge):
    async def answer(request, stream):
        if request.get("X-Api-Key") != "secret":
            return 401
        return replies(200, body=f"prices of {request.target}")

    api = edge.upstream("api").does(answer)
    site = edge(proxy={"/api/": api})
    assert site.get("/api/tea").status == 401
    assert site.get("/api/tea", fields={"X-Api-Key": "secret"}).text == "prices of /api/tea"


def test_a_dialogue(edge):
    edge(app=app).talk("""
        >> GET / HTTP/1.1
        >> Host: one
        >> Host: two
        >>
        << HTTP/1.1 400 Bad Request
        << {any}Connection: close
        << {any}
    """)


def test_another_configuration(edge):
    site = edge(app=app)
    site.reload(text='[[route]]\nmatch = "/"\nrespond = "closed for today"')
    assert site.get("/").text == "closed for today"


def test_without_one_guard(edge):
    site = edge(app=app, guards=GUARDS - {"threads"})
    assert site.get("/").status == 200


def test_recorded(edge, tmp_path):
    site = edge(app=app)
    with site.record(tmp_path / "cassette.har"):
        site.get("/")
        site.get("/basket")
    assert (tmp_path / "cassette.har").stat().st_size > 1000


class Basket(unittest.TestCase):
    def test_it(self):
        with edgestack.testing.Edge(app=app) as site:
            self.assertEqual(site.get("/basket").text, "0 items")


async def test_in_a_loop():
    async with edgestack.testing.Edge(app=app, memory=True) as site:
        assert (await site.get("/")).status == 200
