"""A real browser over real TLS: Chromium without a screen, which says what it made of a page. Skipped without one.

Its profile is a temporary folder, so the development authority is not among those it trusts. It is told to accept this
server's key and no other one (a pin on the certificate's public key); everything else about TLS is as for any site.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from server_kit import FRAMEWORKS, Server, running

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


@pytest.fixture(scope="module")
def shown(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A page with a style sheet, an image and a script that asks the application; a folder to list; a redirect."""
    site = tmp_path_factory.mktemp("shown")
    (site / "index.html").write_text(PAGE, encoding="utf-8")
    (site / "style.css").write_text("#styled{color:rgb(1,2,3)}")
    (site / "dot.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="17" height="5"/>')
    words = ("--static", str(site), "--app", FRAMEWORKS["bare"], "--redirect-http", "127.0.0.1:0")
    with running(tmp_path_factory.mktemp("browser"), *words, data=data) as server:
        yield server


@pytest.fixture(scope="module")
def listed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Files alone, with listings."""
    site = tmp_path_factory.mktemp("listed")
    for name, size in (("café ☃.txt", 5), ("<b>&amp;.txt", 3), ("small", 1)):
        (site / name).write_bytes(b"x" * size)
    (site / "folder").mkdir()
    with running(tmp_path_factory.mktemp("listing"), "--static", str(site), "--listing", data=data) as server:
        yield server


def pin(server: Server) -> str:
    """The certificate's public key as Chromium takes it: base64 of SHA-256 of its SubjectPublicKeyInfo."""
    certificate = x509.load_pem_x509_certificate(ssl.get_server_certificate(("127.0.0.1", server.port)).encode())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


def dom(server: Server, url: str, profile: Path, *flags: str) -> str:
    """The document after it was loaded and its scripts have run, as text."""
    assert BROWSER
    accepted = f"--ignore-certificate-errors-spki-list={pin(server)}"
    done = subprocess.run(
        [BROWSER, *FLAGS, f"--user-data-dir={profile}", accepted, *flags, "--dump-dom", url],
        stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=50,
        env={**os.environ, "HOME": str(profile), "XDG_CONFIG_HOME": str(profile), "XDG_CACHE_HOME": str(profile)},
    )  # fmt: skip
    return done.stdout.decode()


def test_a_page_with_all_that_belongs_to_it(shown: Server, tmp_path: Path) -> None:
    """Files and application from one origin, over connections that the browser keeps and shares."""
    told = re.search(r'<p id="told">(.*?)</p>', dom(shown, f"{shown.url}/", tmp_path))
    assert told
    assert told[1].split("; ") == [
        "https:",
        "true",
        f"200 café|ü|{shown.url}",
        "404 the application knows no such page",
        f'200 {{"size": 300000, "sha256": "{hashlib.sha256(b"x" * 300000).hexdigest()}"}}',
        "rgb(1, 2, 3)",
        "17",
    ]


def test_plain_http_leads_to_https(shown: Server, tmp_path: Path) -> None:
    port = shown.err.wait_for("redirect").split()[2]
    assert '<p id="told">https:; true; ' in dom(shown, f"http://localhost:{port}/", tmp_path)


def test_a_key_that_was_not_pinned_is_refused(shown: Server, listed: Server, tmp_path: Path) -> None:
    """So the pages above did come over TLS that the browser checked: with no pin there is no page."""
    other = "--ignore-certificate-errors-spki-list=" + base64.b64encode(bytes(32)).decode()
    assert "told" not in dom(shown, f"{shown.url}/", tmp_path, other)


def test_a_listing(listed: Server, tmp_path: Path) -> None:
    """Names as they are, whatever is in them; folders first; sorted by what the address says."""
    page = dom(listed, f"{listed.url}/?sort=size&order=desc", tmp_path)
    names = re.findall(r"<bdi>(.*?)</bdi>", page)
    assert names == ["folder/", "café ☃.txt", "&lt;b&gt;&amp;amp;.txt", "small"]
    assert "<b>" not in page


def test_an_error_page(listed: Server, tmp_path: Path) -> None:
    page = dom(listed, f"{listed.url}/absent", tmp_path)
    assert "Not Found" in page
    assert re.search(r"[0-9a-f]{32}", page)
