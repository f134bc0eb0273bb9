"""A real browser over real TLS: Chromium without a screen, which says what it made of a page. Skipped without one.

Its profile is a temporary folder, so the test authority is not among those it trusts. It is told to accept this edge's
key and no other one (`browser_args`: a pin on the certificate's public key); all else about TLS is as for any site.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from server_kit import APPS, FRAMEWORKS

from edgestack.testing import Site
from edgestack.testing.fixtures import Edges

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="neither chromium nor google-chrome is installed"),
    pytest.mark.timeout(60),
]

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
)  # fmt: skip

PAGE = """<!doctype html><meta charset="utf-8"><title>a page</title>
<link rel="stylesheet" href="style.css"><img src="dot.svg" id="dot">
<p id="told"></p><p id="styled">styled</p>
<script>
const ask = (method, url, body) => {
  const request = new XMLHttpRequest()
  request.open(method, url, false)
  request.send(body)
  return request.status + " " + request.responseText
}
addEventListener("load", () => {
  document.getElementById("told").textContent = [
    location.protocol, isSecureContext, ask("GET", "/page/caf\\u00e9?q=\\u00fc"), ask("GET", "/absent"),
    ask("POST", "/upload", "x".repeat(300000)), getComputedStyle(document.getElementById("styled")).color,
    document.getElementById("dot").naturalWidth,
  ].join("; ")
})
</script>"""

TALKING = """<!doctype html><meta charset="utf-8"><title>a talk</title>
<img src="/endless" id="held"><p id="told"></p>
<script>
const talk = new WebSocket("wss://" + location.host + "/chat"), sizes = []
talk.binaryType = "arraybuffer"
talk.onopen = () => { talk.send("\u00e9".repeat(5000)); talk.send(new ArrayBuffer(300000)) }
talk.onmessage = ({ data }) => {
  sizes.push(data.length ?? data.byteLength)
  if (sizes.length === 2) talk.close(1000)
}
talk.onclose = ({ code, wasClean }) => {
  document.getElementById("told").textContent = [talk.extensions.split(";")[0], ...sizes, code, wasClean].join("; ")
  document.getElementById("held").src = "data:,"
}
</script>"""
"""The image keeps the page loading for as long as the talk lasts: the document is asked for once it is loaded."""


@pytest.fixture(scope="module")
def path_to_apps() -> Iterator[None]:
    """Applications are found by their names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(APPS))
        yield


@pytest.fixture(scope="module")
def shown(edge_factory: Edges, tmp_path_factory: pytest.TempPathFactory, path_to_apps: None) -> Site:
    """A page with a style sheet, an image and a script that asks the application; a folder to list; a redirect."""
    site = tmp_path_factory.mktemp("shown")
    (site / "index.html").write_text(PAGE, encoding="utf-8")
    (site / "style.css").write_text("#styled{color:rgb(1,2,3)}")
    (site / "dot.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="17" height="5"/>')
    return edge_factory(static=site, app=FRAMEWORKS["bare"], redirect_http=":80", guards=False)


@pytest.fixture(scope="module")
def listed(edge_factory: Edges, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Files alone, with listings."""
    site = tmp_path_factory.mktemp("listed")
    for name, size in (("café ☃.txt", 5), ("<b>&amp;.txt", 3), ("small", 1)):
        (site / name).write_bytes(b"x" * size)
    (site / "folder").mkdir()
    return edge_factory(static=site, listing=True)


def dom(site: Site, url: str, profile: Path, *flags: str) -> str:
    """The document after it was loaded and its scripts have run, as text."""
    assert BROWSER
    done = subprocess.run(
        [BROWSER, *FLAGS, f"--user-data-dir={profile}", *site.browser_args(), *flags, "--dump-dom", url],
        stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=50,
        env={**os.environ, "HOME": str(profile), "XDG_CONFIG_HOME": str(profile), "XDG_CACHE_HOME": str(profile)},
    )  # fmt: skip
    return done.stdout.decode()


def test_a_page_with_all_that_belongs_to_it(shown: Site, tmp_path: Path) -> None:
    """Files and application from one origin, over connections that the browser keeps and shares."""
    told = re.search(r'<p id="told">(.*?)</p>', dom(shown, shown.url(), tmp_path))
    assert told
    assert told[1].split("; ") == [
        "https:",
        "true",
        f"200 café|ü|{shown.url('')}",
        "404 the application knows no such page",
        f'200 {{"size": 300000, "sha256": "{hashlib.sha256(b"x" * 300000).hexdigest()}"}}',
        "rgb(1, 2, 3)",
        "17",
    ]


def test_plain_http_leads_to_https(shown: Site, tmp_path: Path) -> None:
    assert '<p id="told">https:; true; ' in dom(shown, shown.redirect_url(), tmp_path)


def test_a_key_that_was_not_pinned_is_refused(shown: Site, listed: Site, tmp_path: Path) -> None:
    """So the pages above did come over TLS that the browser checked: with no pin there is no page."""
    other = "--ignore-certificate-errors-spki-list=" + base64.b64encode(bytes(32)).decode()
    assert "told" not in dom(shown, shown.url(), tmp_path, other)


def test_a_listing(listed: Site, tmp_path: Path) -> None:
    """Names as they are, whatever is in them; folders first; sorted by what the address says."""
    page = dom(listed, listed.url("/?sort=size&order=desc"), tmp_path)
    names = re.findall(r"<bdi>(.*?)</bdi>", page)
    assert names == ["folder/", "café ☃.txt", "&lt;b&gt;&amp;amp;.txt", "small"]
    assert "<b>" not in page


def test_an_error_page(listed: Site, tmp_path: Path) -> None:
    page = dom(listed, listed.url("/absent"), tmp_path)
    assert "Not Found" in page
    assert re.search(r"[0-9a-f]{32}", page)


@pytest.mark.parametrize("loop", ["trio", "asyncio"])
def test_a_websocket(edge: Edges, tmp_path: Path, path_to_apps: None, loop: str) -> None:
    """Messages are compressed as the browser offers it, and the close is clean (RFC 6455, RFC 7692)."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text(TALKING)
    site = edge(static=tmp_path / "site", app="asgi_bare:app", asgi_loop=loop)
    page = dom(site, site.url(), tmp_path / "profile")
    assert '<p id="told">permessage-deflate; 5000; 300000; 1000; true</p>' in page


NAMED = """
[[site]]
hosts = ["shop.example"]
[[site.route]]
match = "/"
respond = { type = "text/html", body = "<title>$host</title>" }
"""


def test_the_names_of_a_configuration(edge: Edges, tmp_path: Path) -> None:
    """The browser finds them here, and accepts their certificate."""
    site = edge(text=NAMED)
    assert "<title>shop.example</title>" in dom(site, site.url("/", host="shop.example"), tmp_path)
