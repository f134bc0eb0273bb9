"""A folder, and a folder with an application behind it, as `edgestack serve --static … --app …` has them (C9)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from server_kit import FRAMEWORKS, Reply, Server, exchange, running

LARGE = 3 << 20
CASES = ["together-tls", "together-plain", "files-tls", "files-plain"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small site: a front page, a folder with an index and one without, a name that is not ASCII, a large file."""
    root = tmp_path_factory.mktemp("site")
    (root / "index.html").write_text("<h1>front page</h1>")
    (root / "page" / "shadow").mkdir(parents=True)
    (root / "page" / "shadow" / "index.html").write_text("an index")
    (root / "page" / "bare").mkdir()
    (root / "page" / "bare" / "file.txt").write_text("a file")
    (root / "method").write_text("a file of this name")
    (root / "café ☃.txt").write_text("hot")
    (root / "large.bin").write_bytes(bytes(range(256)) * (LARGE // 256))
    (root / "404.html").write_text("<h1>not on this site</h1>")
    for path in [root, *root.rglob("*")]:
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return root


def words(case: str, site: Path) -> tuple[str, ...]:
    together, _, transport = case.partition("-")
    application = ("--app", FRAMEWORKS["bare"]) if together == "together" else ()
    return "--static", str(site), *application, *(("--no-tls",) if transport == "plain" else ())


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def served(case: str, site: Path, data: Path, file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("served")
    with running(folder, *words(case, site), data=data, env={"EDGE_FILE": str(file)}) as server:
        yield server


@pytest.fixture(scope="module")
def together(site: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("together"), *words("together-tls", site), data=data) as server:
        yield server


# --- files, alone or before an application ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "content"),
    [
        ("/", "<h1>front page</h1>"),
        ("/?any=query", "<h1>front page</h1>"),
        ("/page/shadow/", "an index"),
        ("/page/bare/file.txt", "a file"),
        ("/page/./bare/../bare//file.txt", "a file"),
        ("/caf%C3%A9%20%E2%98%83.txt", "hot"),
        ("/method", "a file of this name"),
    ],
)
def test_a_file(served: Server, target: str, content: str) -> None:
    reply = served.get(target)
    assert (reply.status, reply.text) == (200, content)
    assert reply["Content-Length"] == str(len(content.encode()))
    head = served.request("HEAD", target)
    assert (head.status, head.body, head["Content-Length"]) == (200, b"", reply["Content-Length"])
    assert served.get(target, if_none_match=reply["ETag"]).status == 304


def test_a_large_file(served: Server, site: Path) -> None:
    """By sendfile on plain sockets, in large pieces on TLS; parts and several parts on the same connection."""
    whole = (site / "large.bin").read_bytes()
    with closing(served.connect()) as connection:
        assert exchange(connection, "GET", "/large.bin").body == whole
        part = exchange(connection, "GET", "/large.bin", fields={"Range": "bytes=1000-2000999"})
        assert (part.status, part["Content-Range"]) == (206, f"bytes 1000-2000999/{LARGE}")
        assert part.body == whole[1000:2001000]
        parts = exchange(connection, "GET", "/large.bin", fields={"Range": "bytes=0-1,-2"})
        assert parts.status == 206
        assert parts["Content-Type"].startswith("multipart/byteranges; boundary=")
        assert parts.body.count(b"Content-Range: bytes") == 2
        beyond = exchange(connection, "GET", "/large.bin", fields={"Range": f"bytes={LARGE}-"})
        assert (beyond.status, beyond["Content-Range"]) == (416, f"bytes */{LARGE}")


@pytest.mark.parametrize("target", ["/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/a%00b", "/%zz"])
def test_a_path_that_leads_out(served: Server, target: str) -> None:
    """C8."""
    assert served.get(target).status == 400


def test_what_is_on_disk_now(served: Server, site: Path) -> None:
    """C14: a file that changes, and one that comes and goes, with no waiting in between."""
    path = site / "news.txt"
    for content in ("one", "two, which is longer"):
        path.write_text(content)
        assert served.get("/news.txt").text == content
    path.unlink()
    assert served.get("/news.txt").status == 404


# --- files alone ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["files-tls", "files-plain"], indirect=True, scope="module")
def test_what_is_not_there(served: Server) -> None:
    """C6, C7: the site's own 404 page, the slash, the refusals."""
    missing = served.get("/absent", accept="text/html")
    assert (missing.status, missing.text) == (404, "<h1>not on this site</h1>")
    slash = served.get("/page/shadow?q=1")
    assert (slash.status, slash["Location"]) == (301, "/page/shadow/?q=1")
    assert served.get("/page/bare/").status == 403
    refused = served.request("POST", "/", b"x")
    assert (refused.status, refused["Allow"]) == (405, "GET, HEAD")


# --- together: what no file answers is the application's --------------------------------------------------------------


def application_said(reply: Reply, name: str, url: str) -> bool:
    return reply.status == 200 and reply.text == f"{name}||{url}"


def test_a_page_of_the_application(together: Server) -> None:
    """C9: no file there."""
    assert application_said(together.get("/page/x"), "x", together.url)


def test_a_folder_without_slash_or_index_is_the_applications(together: Server) -> None:
    """C9: the static side's own redirect and 403 go to the application."""
    assert application_said(together.get("/page/shadow"), "shadow", together.url)
    assert application_said(together.get("/page/bare"), "bare", together.url)
    assert application_said(together.get("/page/bare/"), "bare/", together.url)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_the_applications(together: Server, method: str) -> None:
    """C9: 405 goes to the application, though a file has that name."""
    assert together.request(method, "/method").text == method
    assert together.get("/method").text == "a file of this name"


def test_an_absence_is_the_applications(together: Server) -> None:
    """C9: its 404, not the site's."""
    assert together.get("/absent", accept="text/html").text == "the application knows no such page"


def test_a_body_for_the_application(together: Server) -> None:
    body = b"x" * 200_000
    assert together.request("POST", "/upload", body).json()["size"] == len(body)
    assert together.request("POST", "/upload", iter([body, body])).json()["size"] == 2 * len(body)


def test_a_file_that_comes_before_a_page(together: Server, site: Path) -> None:
    """C9, C14: it takes the address from the application at once, and gives it back."""
    path = site / "page" / "late"
    for _ in range(2):
        assert application_said(together.get("/page/late"), "late", together.url)
        path.write_text("now a file")
        assert together.get("/page/late").text == "now a file"
        path.unlink()
