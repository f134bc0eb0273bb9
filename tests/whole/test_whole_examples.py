"""The files in site/examples/, each checked and run: what its own tests promise in memory holds on the wire too.

Each is copied beside the files and modules that it names, checked by `edgestack check`, and served over HTTPS by the
fixture `edge`; then each request of its `[[test]]`s is made over a real connection. What it proxies to is a scripted
upstream for each address that the example names, which answers what the test says.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from server_kit import PATIENCE, ROOT, environment

from edgestack.config.load import load
from edgestack.config.matching import Condition
from edgestack.config.model import Test as Promise
from edgestack.config.sites import Answered
from edgestack.testing import Reply, Site
from edgestack.testing.fixtures import Edges

EXAMPLES = sorted((ROOT / "site" / "examples").glob("*.toml"))
USER = "alice:{SHA}tiY7sUhYKUwI5L3866kDY+ENcrQ="  # wonderland

WEB = """\
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"the shop, at {environ['SCRIPT_NAME']}{environ['PATH_INFO']}".encode()]

def create_app():
    return app
"""
PAGE = "<!doctype html><title>Shop</title>shop"

FILES = {
    "shop/__init__.py": "",
    "shop/web.py": WEB,
    "shop/api.py": WEB.replace("the shop, at", "the API, at"),
    "shop/admin.py": WEB,
    "public/style.css": "p {}",
    "public/50x.html": "sorry",
    "public/assets/app.3f9a1c2b.js": "1",
    "dist/index.html": PAGE,
    "dist/assets/app.3f9a1c2b.js": "1",
    "site/index.html": PAGE,
    "site/404.html": "lost",
    "site/style.css": "p {}",
    "site/drafts/index.html": "not yet",
    "example.com/index.html": PAGE,
    "users.htpasswd": USER + "\n",
}

CERTIFICATES = {
    "fullchain.pem privkey.pem": ("localhost",),
    "example.com.pem example.com.key": ("example.com", "www.example.com"),
    "api.example.com.pem api.example.com.key": ("api.example.com",),
}

SERVER = re.compile(r"127\.0\.0\.1:90\d\d")
"""The servers that examples proxy to."""

every_example = pytest.mark.parametrize("name", [path.name for path in EXAMPLES])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the examples name."""
    folder = tmp_path_factory.mktemp("project")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    authority = trustme.CA()
    (folder / "certs").mkdir()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    for files, names in CERTIFICATES.items():
        chain, key = files.split()
        issued = authority.issue_cert(*names)
        issued.private_key_pem.write_to_path(str(folder / "certs" / key))
        for pem in issued.cert_chain_pems:
            pem.write_to_path(str(folder / "certs" / chain), append=True)
    for example in EXAMPLES:
        (folder / example.name).write_text(example.read_text("utf-8"), "utf-8")
    return folder


@pytest.fixture(autouse=True)
def _no_other_shop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever else has called a module so."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        monkeypatch.delitem(sys.modules, name)


@every_example
def test_it_is_good(project: Path, name: str) -> None:
    """Nothing is worth a warning, and its own tests pass."""
    done = subprocess.run(
        [sys.executable, "-m", "edgestack", "check", "-c", name],
        cwd=project, env=environment(project, {"PYTHONPATH": str(ROOT)}), capture_output=True, text=True, check=False,
        timeout=PATIENCE,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{name} is good.")
    assert re.search(r"tests +\d+ passed", done.stdout)


@every_example
def test_what_it_promises_holds_on_the_wire(
    project: Path, edge: Edges, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers are called by names here, which the scripted ones have."""
    monkeypatch.chdir(project)
    written = (project / name).read_text("utf-8")
    servers = [edge.upstream(host) for host in sorted({called(found) for found in SERVER.finditer(written)})]
    site = edge(text=SERVER.sub(called, written))
    config = load(name).config
    hosts = {host for one in config.all_sites() for host in one.hosts}
    for test in config.tests:
        if test.from_ == "127.0.0.1":
            for server in servers:
                answer = test.upstream or Answered(500)
                header = {name: SERVER.sub(called, value) for name, value in answer.header}
                server.replies(answer.status, body=answer.body, fields=header)
            check(test, ask(site, test, hosts))


def called(found: re.Match[str]) -> str:
    """The name of a server that an example calls by its address."""
    return f"server-{found[0].rpartition(':')[2]}"


def ask(site: Site, test: Promise, hosts: set[str]) -> Reply:
    """The request of a test, to the host that it names; by another name, where the certificate bears no such one."""
    method, url = test.request
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    address = site.url(target, host=parts.hostname if parts.hostname in hosts else "localhost")
    fields = {"Host": parts.hostname or "localhost", **dict(test.header)}
    return site.request(method, address, fields=fields, body=b"" if method == "POST" else None)


def check(test: Promise, reply: Reply) -> None:
    """Everything that the test expects of an answer."""
    expect, told = test.expect, f"{' '.join(test.request)} gave {reply}"
    assert expect.status in (None, reply.status), told
    assert expect.body in reply.text, told
    for _, condition in expect.header:
        assert holds(condition, reply.all(condition.name)), told


def holds(condition: Condition, values: list[str]) -> bool:
    """Whether a field of an answer is as it should be."""
    if not condition.present:
        return not values
    if condition.pattern:
        return any(re.search(condition.pattern, value) for value in values)
    return bool(values) and condition.value in (None, ", ".join(values))


def test_no_example_is_forgotten() -> None:
    """The cases of the issue that are possible today; each is named in the guide, too."""
    names = {path.stem for path in EXAMPLES}
    assert names == {
        "one-application", "single-page-site", "several-hosts", "static-site", "development", "proxy", "load-balancer",
        "proxy-with-cache",
    }  # fmt: skip
    guide = (ROOT / "site" / "guide" / "configuration.html").read_text("utf-8")
    assert all(f"../examples/{name}.toml" in guide for name in names)
