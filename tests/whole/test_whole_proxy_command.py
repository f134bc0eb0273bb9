"""`edgestack proxy URL`, the one-line form, in a process of its own: an HTTPS front for something that runs already."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from server_kit import running


class Told(BaseHTTPRequestHandler):
    """Says what it was asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = f"{self.path} of {self.headers['Host']} over {self.headers['X-Forwarded-Proto']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@contextmanager
def standing() -> Iterator[int]:
    """Something that runs already; its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Told) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def nobody() -> Iterator[int]:
    """A port at which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_an_https_front_for_what_runs_already(tmp_path: Path, data: Path) -> None:
    """No file is read, though one is here; the banner says what is proxied where."""
    (tmp_path / "edgestack.toml").write_text("no toml at all")
    with standing() as port, running(
        tmp_path, f"http://127.0.0.1:{port}", f"/b/=http://127.0.0.1:{port}/deep/", command="proxy", data=data,
        cwd=tmp_path,
    ) as server:  # fmt: skip
        assert server.secure
        assert server.get("/a%2Fb?c=1").text == f"/a%2Fb?c=1 of 127.0.0.1:{port} over https"
        assert server.get("/b/x").text == f"/deep/x of 127.0.0.1:{port} over https"
        told = "\n".join(server.err.lines)
        assert (
            f"  proxy        / → http://127.0.0.1:{port}\n               /b/ → http://127.0.0.1:{port}/deep/\n" in told
        )
        assert "  certificate  for development" in told
        assert "  Development: what goes wrong is told in the browser (on this machine only)" in told


def test_b11_who_is_refused_is_told_in_development_and_in_no_other_mode(
    tmp_path: Path, data: Path, nobody: int
) -> None:
    """The address, what was tried and what to check; without --dev neither address nor reason leave (B11)."""
    address = f"127.0.0.1:{nobody}"
    with running(tmp_path, f"http://{address}", command="proxy", data=data) as server:
        reply = server.get("/x?y", Accept="text/html")
        assert (reply.status, reply["Content-Type"]) == (502, "text/html; charset=utf-8")
        assert f"<h1>{address} does not answer</h1>" in reply.text
        assert "<code>GET /x?y</code>" in reply.text
        assert "refused: nobody listens there" in reply.text
        assert "Is the server running?" in reply.text
        server.logged(reply, f"{address}: connecting: refused: nobody listens there")
    with running(tmp_path, f"http://{address}", "--no-dev", command="proxy", data=data) as server:
        reply = server.get("/x?y", Accept="text/html")
        assert reply.status == 502
        assert address not in reply.text
        assert "refused" not in reply.text
        assert "A server behind this one gave no proper answer." in reply.text or "cannot be reached" in reply.text
        server.logged(reply, f"{address}: connecting: refused: nobody listens there")


def test_beside_files(tmp_path: Path, data: Path) -> None:
    """`serve --proxy`, one prefix of a site."""
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "index.html").write_text("home")
    with (
        standing() as port,
        running(
            tmp_path, "--static", "public", "--proxy", f"/api/=http://127.0.0.1:{port}/", data=data, cwd=tmp_path
        ) as server,
    ):
        assert server.get("/").text == "home"
        assert server.get("/api/x").text.startswith("/x of ")
