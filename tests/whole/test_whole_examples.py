"""The files in site/examples/, each checked and run: what its own tests promise in memory holds on the wire too.

Each is copied beside the files and modules that it names, checked by `edgestack check`, and served by a real process on
port 0; then each request of its `[[test]]`s is made over a real connection. What it proxies to is a real server, one
for each address that the example names, which answers what the test says. (issue 3, "Done when")
"""

from __future__ import annotations

import http.client
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from server_kit import PATIENCE, ROOT, Reply, Server, environment, exchange, running

from edgestack.config.load import Loaded, load
from edgestack.config.matching import Condition
from edgestack.config.model import Test as Promise
from edgestack.config.sites import Answered

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
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Upstream]]:
    """A folder with all that the examples name, and the servers that they proxy to."""
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
    with ExitStack() as standing:
        upstream = Upstream(standing)
        for example in EXAMPLES:
            (folder / example.name).write_text(SERVER.sub(upstream.address, example.read_text("utf-8")), "utf-8")
        yield folder, upstream


class Upstream:
    """Servers behind the examples."""

    def __init__(self, standing: ExitStack) -> None:
        self.answer: Answered | None = None
        """What all of them answer."""
        self._standing = standing
        self._servers: dict[str, ThreadingHTTPServer] = {}

    def address(self, written: re.Match[str]) -> str:
        """Where the server is that an example names; it stands from now on."""
        if written[0] not in self._servers:
            handler = type("Handler", (Answering,), {"upstream": self})
            self._servers[written[0]] = server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            for end in (server.server_close, thread.join, server.shutdown):
                self._standing.callback(end)
        return f"127.0.0.1:{self._servers[written[0]].server_address[1]}"


class Answering(BaseHTTPRequestHandler):
    """Answers what is said; health checks are passed."""

    upstream: Upstream
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE

    def do_GET(self) -> None:
        said = self.upstream.answer if self.path != "/health" else Answered()
        if said is None:
            self.send_error(500, "nobody said what to answer")
            return
        body = said.body.encode()
        self.send_response(said.status)
        for name, value in said.header:
            self.send_header(name, SERVER.sub(self.upstream.address, value))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def project(standing: tuple[Path, Upstream]) -> Path:
    """The folder."""
    return standing[0]


@pytest.fixture
def upstream(standing: tuple[Path, Upstream]) -> Upstream:
    """The servers."""
    return standing[1]


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
    project: Path, upstream: Upstream, name: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    loaded = load(name)
    with serving(loaded, name, data, tmp_path) as server:
        for test in loaded.config.tests:
            if test.from_ == "127.0.0.1":
                upstream.answer = test.upstream
                check(test, ask(server, test))


@contextmanager
def serving(loaded: Loaded, name: str, data: Path, folder: Path) -> Iterator[Server]:
    """The example as it is, but on free ports."""
    words = ["-c", name]
    if loaded.says("tls", "redirect_http"):
        words += ["--redirect-http", "127.0.0.1:0"]
    with running(folder, *words, data=data, cwd=Path.cwd()) as server:
        assert f"configuration  {name}" in "\n".join(server.err.lines)
        server.ca = Path("ca.pem" if loaded.says("tls", "cert") else "certs/edgestack-ca.pem")
        yield server


def ask(server: Server, test: Promise) -> Reply:
    """The request of a test, to the host that it names."""
    method, url = test.request
    parts = urlsplit(url)
    host = parts.hostname or "localhost"
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    with closing(connection(server, host)) as client:
        return exchange(client, method, target, b"" if method == "POST" else None, {"Host": host, **fields(test)})


def fields(test: Promise) -> Mapping[str, str]:
    return dict(test.header)


def connection(server: Server, host: str) -> http.client.HTTPConnection:
    """A client of `host` as DNS would lead to this server; whose certificate it has matters elsewhere."""
    tls = server.tls()
    tls.check_hostname = False
    raw = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
    client = http.client.HTTPSConnection(host, server.port, timeout=PATIENCE, context=tls)
    client.sock = tls.wrap_socket(raw, server_hostname=host)
    return client


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
