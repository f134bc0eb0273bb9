"""`--reload` as somebody sees it who edits an application: good, broken, mended, with the browser open beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from server_kit import PATIENCE, ROOT, Server, running

MAIN = """
from part import text

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text.encode()]
"""
ASGI = """
from part import text

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": text.encode()})
"""
PAGE = "text/html,application/xhtml+xml"


@pytest.fixture(params=["watchfiles", "looking"])
def server(request: pytest.FixtureRequest, data: Path, tmp_path: Path) -> Iterator[Server]:
    """A server with `reload`, in development; with watchfiles, and where there is none."""
    (tmp_path / "main.py").write_text(MAIN if request.param == "looking" else ASGI)
    (tmp_path / "part.py").write_text("text = 'one'\n")
    (tmp_path / "words.txt").write_text("words")
    paths = [str(ROOT)]
    if request.param == "looking":
        (tmp_path / "hidden").mkdir()
        (tmp_path / "hidden" / "sitecustomize.py").write_text("import sys\nsys.modules['watchfiles'] = None\n")
        paths.insert(0, str(tmp_path / "hidden"))
    else:
        pytest.importorskip("watchfiles")
    file = tmp_path / "edgestack.toml"
    keys = 'reload = true\ndev = true\nreload_extra_files = ["words.txt"]'
    file.write_text(f'[server]\n{keys}\n[[route]]\nmatch = "/"\napp = "main:app"\n')
    env = {"PYTHONPATH": ":".join(paths)}
    with running(tmp_path, "-c", str(file), data=data, env=env, cwd=tmp_path) as server:
        server.err.wait_for(" watched")
        yield server


def until(found: Callable[[], bool]) -> None:
    """Ask until it is so; what is asked is a round trip, and so no busy loop."""
    limit = time.monotonic() + PATIENCE
    while not found():
        assert time.monotonic() < limit, "it never came to be"


def test_good_broken_mended(server: Server, tmp_path: Path) -> None:
    """Errors of every kind keep the last good code; a browser is shown why, and asks again by itself."""
    part = tmp_path / "part.py"
    assert server.get("/").text == "one"
    part.write_text("text = 'two'\n")
    until(lambda: server.get("/").text == "two")

    for broken, said in (
        ("text = three'\n", "SyntaxError"),
        ("import missing_module\n", "missing_module"),
    ):
        part.write_text(broken)
        until(lambda: server.get("/", accept=PAGE).status == 500)
        page = server.get("/", accept=PAGE)
        server.logged(None, said)
        until(lambda said=said: said.encode() in server.get("/", accept=PAGE).body)  # type: ignore[misc]
        assert page["Refresh"] == "1"
        assert "cannot be loaded" in page.text
        assert server.get("/").text == "two"
        assert server.get("/", accept=PAGE, sec_fetch_mode="cors").text == "two"
    server.claimed.append("cannot be loaded; the code before goes on")

    part.write_text("text = 'four'\n")
    until(lambda: server.get("/", accept=PAGE).text == "four")
    server.err.wait_for("part.py changed")


def test_a_file_that_is_no_module(server: Server, tmp_path: Path) -> None:
    """`reload_extra_files` count as code: another process serves."""
    (tmp_path / "words.txt").write_text("others")
    server.err.wait_for("words.txt changed")
    assert server.get("/").text == "one"
