"""The listing of a folder, as a page and as JSON (criteria C7, C8, C15)."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from static_kit import LONG_AGO, body, exchange, static, waited, write

from edgestack.content import listing
from edgestack.content.files import PrivateFiles
from edgestack.content.listing import SHOWN, Item, as_html, human_size
from edgestack.errors import ClientError
from edgestack.http.messages import Response

JSON = {"accept": "application/json"}


class Links(HTMLParser):
    """The links of a page, as a browser would see them: address and text."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.href: str | None = None
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.href = dict(attributes)["href"]
            self.found.append((self.href or "", ""))

    def handle_endtag(self, tag: str) -> None:
        self.href = None if tag == "a" else self.href

    def handle_data(self, data: str) -> None:
        if self.href is not None:
            self.found[-1] = (self.found[-1][0], self.found[-1][1] + data)


async def listed(root: Path, target: str = "/", method: str = "GET", fields: Any = None, **keys: Any) -> Response:
    return await waited(static(root, listing=True, **keys)(exchange(target, method, **(fields or {}))))


async def names(root: Path, target: str = "/", **keys: Any) -> list[str]:
    return [row["name"] for row in json.loads(body(await listed(root, target, fields=JSON, **keys)))]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    root = tmp_path / "site"
    write(root / "b.txt", b"x" * 1500, LONG_AGO + 2)
    write(root / "A.txt", b"x", LONG_AGO + 1)
    write(root / "c.txt", b"x" * 20, LONG_AGO + 3)
    write(root / "zoo/inner.txt")
    write(root / "zoo/deep/x.txt")
    os.utime(root / "zoo", (LONG_AGO, LONG_AGO))
    return root


async def test_only_where_enabled(site: Path) -> None:
    """C7: without it, 403; with an index, the index."""
    with pytest.raises(ClientError) as caught:
        static(site)(exchange("/"))
    assert caught.value.status == 403
    assert (await listed(site)).status == 200
    write(site / "index.html", "index")
    assert isinstance(static(site, listing=True)(exchange("/")), Response)


async def test_a_page(site: Path) -> None:
    response = await listed(site)
    page = body(response)
    assert response.field("content-type") == "text/html; charset=utf-8"
    assert response.field("vary") == "Accept"
    assert response.field("cache-control") == "no-cache"
    files = [link for link in Links(page).found if link[0].startswith("./")]
    assert files == [("./zoo/", "zoo/"), ("./A.txt", "A.txt"), ("./b.txt", "b.txt"), ("./c.txt", "c.txt")]
    assert b"1.5 KB" in page
    assert b'<time datetime="2020-09-13T12:26:41Z">2020-09-13 12:26</time>' in page
    assert b"1 folder, 3 files, 1.5 KB" in page
    assert b"http" not in re.sub(rb"<!doctype.*?</style>", b"", page, flags=re.DOTALL)  # nothing from elsewhere


async def test_the_way_up(site: Path) -> None:
    """Breadcrumbs, no higher than the mount."""
    assert not any(href.startswith("..") for href, _ in Links(body(await listed(site))).found)
    deep = Links(body(await listed(site, "/zoo/deep/"))).found
    assert [link for link in deep if link[0].startswith("..")] == [("../../", "Home"), ("../", "zoo"), ("../", "up")]
    mounted = Links(body(await listed(site, "/files/zoo/", prefix="/files"))).found
    assert [link for link in mounted if link[0].startswith("..")] == [("../", "files"), ("../", "up")]
    top = Links(body(await listed(site, "/files/", prefix="/files"))).found
    assert not any(href.startswith("..") for href, _ in top)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["zoo", "A.txt", "b.txt", "c.txt"]),
        ("?sort=name&order=desc", ["zoo", "c.txt", "b.txt", "A.txt"]),
        ("?sort=size", ["zoo", "A.txt", "c.txt", "b.txt"]),
        ("?sort=size&order=desc", ["zoo", "b.txt", "c.txt", "A.txt"]),
        ("?sort=time&order=asc", ["zoo", "A.txt", "b.txt", "c.txt"]),
        ("?sort=time&order=desc", ["zoo", "c.txt", "b.txt", "A.txt"]),
        ("?sort=nonsense&order=nonsense", ["zoo", "A.txt", "b.txt", "c.txt"]),
        ("?" + "&" * 500, ["zoo", "A.txt", "b.txt", "c.txt"]),
    ],
)
async def test_sorting(site: Path, query: str, expected: list[str]) -> None:
    """Folders first, whatever the column."""
    assert await names(site, "/" + query) == expected


async def test_headings_turn_the_order_round(site: Path) -> None:
    page = body(await listed(site, "/?sort=size&order=asc")).decode()
    assert 'aria-sort="ascending"><a href="?sort=size&amp;order=desc">Size</a>' in page
    assert '<a href="?sort=name&amp;order=asc">Name</a>' in page


async def test_json(site: Path) -> None:
    response = await listed(site, "/files/", fields=JSON, prefix="/files")
    assert response.field("content-type") == "application/json"
    assert response.field("vary") == "Accept"
    rows = json.loads(body(response))
    assert rows[0] == {
        "name": "zoo", "type": "directory", "size": None, "mtime": "2020-09-13T12:26:40Z", "url": "/files/zoo/"
    }  # fmt: skip
    assert rows[2] == {
        "name": "b.txt", "type": "file", "size": 1500, "mtime": "2020-09-13T12:26:42Z", "url": "/files/b.txt"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html"),
        ("*/*", "text/html"),
        ("application/json", "application/json"),
        ("application/json, text/html;q=0.5", "application/json"),
        ("text/html, application/json;q=0.5", "text/html"),
    ],
)
async def test_who_gets_json(site: Path, accept: str, kind: str) -> None:
    response = await listed(site, fields={"accept": accept})
    assert (response.field("content-type") or "").startswith(kind)


async def test_what_would_not_be_served_is_not_shown(site: Path, tmp_path: Path) -> None:
    """C8 C15: dotfiles, links out, links to nowhere, FIFOs, private files, backslashes."""
    write(site / ".env")
    write(site / "key.pem")
    write(site / "back\\slash")
    write(tmp_path / "secret.txt")
    (site / "out.txt").symlink_to("../secret.txt")
    (site / "up").symlink_to("..")
    (site / "nowhere").symlink_to("missing")
    (site / "link.txt").symlink_to("A.txt")
    os.mkfifo(site / "pipe")
    private = PrivateFiles([site / "key.pem"])
    assert await names(site, private=private) == ["zoo", "A.txt", "b.txt", "c.txt", "link.txt"]
    allowed = await names(site, private=private, follow_symlinks=True)
    assert {"out.txt", "up"} <= set(allowed)
    assert not {"nowhere", "pipe", "key.pem", ".env"} & set(allowed)


async def test_a_projects_own_folder(site: Path) -> None:
    """C15"""
    for name in ("pyproject.toml", "certs/ca.pem", "src/main.py", "manage.py"):
        write(site / name)
    (site / "way").symlink_to("src")
    assert await names(site) == ["zoo", "A.txt", "b.txt", "c.txt"]


AWKWARD = [
    "<script>alert(1)</script>".replace("/", "-"),
    "\"&'.txt",
    "a:b",
    "java\nscript",
    "100%",
    "?#",
    "grüße €",
    "caf\udce9",
]


async def test_awkward_names(tmp_path: Path) -> None:
    """C8: every link of the page, and every url of the JSON, leads to its file; nothing breaks out of the markup."""
    for name in AWKWARD:
        write(tmp_path / name, name.encode("utf-8", "surrogateescape"))
    handler = static(tmp_path, listing=True)
    page = body(await listed(tmp_path))
    assert b"<script>alert" not in page
    links = [href for href, _ in Links(page).found if href.startswith("./")]
    rows = json.loads(body(await listed(tmp_path, fields=JSON)))
    assert sorted(row["name"] for row in rows) == sorted(AWKWARD)
    assert {row["url"] for row in rows} == {href[1:] for href in links}
    for row in rows:
        answer = handler(exchange(row["url"]))
        assert isinstance(answer, Response)
        assert body(answer) == row["name"].encode("utf-8", "surrogateescape")


async def test_a_folder_whose_name_is_not_utf8(tmp_path: Path) -> None:
    """C8"""
    write(tmp_path / "caf\udce9<b>/x.txt")
    page = body(await listed(tmp_path, "/caf%e9%3Cb%3E/")).decode()
    assert "<title>/caf\ufffd&lt;b&gt;/</title>" in page
    rows = json.loads(body(await listed(tmp_path, "/caf%e9%3Cb%3E/", fields=JSON)))
    assert rows[0]["url"] == "/caf%E9%3Cb%3E/x.txt"


async def test_validators(site: Path) -> None:
    """C2 C3 C6: a tag of its content; HEAD as GET; 405 for the rest."""
    first = await listed(site)
    tag = first.field("etag") or ""
    again = await listed(site, fields={"if_none_match": tag})
    assert (again.status, again.body) == (304, b"")
    assert [name for name, _ in again.fields] == ["ETag", "Cache-Control", "Vary"]
    head = await listed(site, method="HEAD")
    assert (head.fields, head.length) == (first.fields, first.length)
    with pytest.raises(ClientError) as caught:
        await listed(site, fields={"if_match": '"x"'})
    assert caught.value.status == 412
    write(site / "new.txt")
    assert (await listed(site, fields={"if_none_match": tag})).status == 200
    assert (await listed(site, dev=True)).field("cache-control") == "no-store"


async def test_a_folder_that_goes_away(site: Path) -> None:
    """C7"""
    (site / "empty").mkdir()
    answer = static(site, listing=True)(exchange("/empty/"))
    (site / "empty").rmdir()
    with pytest.raises(ClientError) as caught:
        await waited(answer)
    assert caught.value.status == 404


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_a_page_has_an_end(extra: int) -> None:
    items = [Item(b"%d" % number, False, 1, LONG_AGO) for number in range(SHOWN + extra)]
    page = as_html(items, "/", 0, "name", False)
    assert page.count(b"<tr data-name") == min(SHOWN, SHOWN + extra)
    assert (b"Only the first 10,000 are shown" in page) is (extra > 0)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (1000, "1.0 KB"), (9940, "9.9 KB"), (9950, "10 KB"),
        (999_499, "999 KB"), (999_500, "1.0 MB"), (1_500_000, "1.5 MB"), (123_456_789_012, "123 GB"),
        (5 * 10**18, "5000 PB"),
    ],
)  # fmt: skip
def test_sizes(size: int, text: str) -> None:
    assert human_size(size) == text


def test_the_script_sorts_what_the_table_says() -> None:
    """The columns of the links, of the rows' data and of the script are the same."""
    row = as_html([Item(b"a", False, 5, 7)], "/", 0, "name", False).decode()
    for column in listing.COLUMNS:
        assert f"data-{column}=" in row
        assert f"?sort={column}&amp;order=" in row
