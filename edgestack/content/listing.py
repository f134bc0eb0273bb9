"""The page of a folder without an index, and the same as JSON for programs (`--listing`).

One answer: folders first, sorted by name, size or date; a table that sorts by links without JavaScript and at once
with it. What would not be served is not shown: dotfiles, private files, links out of the root, devices. Reading a
folder takes a stat for each of its names, so all of it is done on a thread. Names are bytes on disk: in addresses each
byte survives, on the page what is not UTF-8 is shown as U+FFFD. JSON where Accept prefers it (RFC 9110 §12.5.1).

It knows `files.Folder` for what may be seen, and `http.pages` for how a page of this server looks.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from hashlib import blake2b
from html import escape
from stat import S_ISDIR, S_ISREG
from typing import NamedTuple
from urllib.parse import parse_qs, quote

from edgestack.content.files import Folder, Place
from edgestack.errors import ClientError
from edgestack.http.conditional import CONDITIONAL, evaluate
from edgestack.http.messages import Request, Response
from edgestack.http.negotiation import prefers_json
from edgestack.http.pages import page
from edgestack.wire.held_clock import on_thread

__all__ = ["Item", "answer", "as_html", "as_json", "scan"]

SHOWN = 10_000
"""Rows of the longest page: some 3 MB. Beyond it the page says how many there are; the JSON has them all."""

COLUMNS = {"name": "Name", "size": "Size", "time": "Modified"}
UNITS = ("bytes", "KB", "MB", "GB", "TB", "PB")


class Item(NamedTuple):
    """One name in a folder."""

    name: bytes
    folder: bool
    size: int
    """Bytes; 0 for a folder."""
    modified: int
    """Seconds since 1970."""

    @property
    def text(self) -> str:
        """The name as people read it."""
        return self.name.decode("utf-8", "replace")

    @property
    def href(self) -> str:
        """The name as part of an address, with a slash after a folder."""
        return quote(self.name, safe="!$&'()*+,;=@~") + ("/" if self.folder else "")


async def answer(folder: Folder, place: Place, request: Request, mount: int, dev: bool) -> Response:
    """The listing of a folder.

    :param place: the folder, as `Folder.locate` found it.
    :param mount: characters of the path that belong to the mount; there is no way up from there.
    :param dev: development: nothing is to be stored.
    :raises ClientError: 403, 404, when the folder cannot be read; 412.
    """
    body, content_type = await on_thread(_render, folder, place, request, mount, abandon_on_cancel=True)
    etag = f'"{blake2b(body, digest_size=16).hexdigest()}"'
    validating = (("ETag", etag), ("Cache-Control", "no-store" if dev else "no-cache"), ("Vary", "Accept"))
    status = 200
    if not CONDITIONAL.isdisjoint(request.fields):
        status = evaluate(request.method, request.fields, etag, None)
    if status == 412:
        raise ClientError("This listing is not the one that you named.", 412)
    if status == 304:
        return Response(304, validating)
    return Response(200, (("Content-Type", content_type), *validating), body)


def _render(folder: Folder, place: Place, request: Request, mount: int) -> tuple[bytes, str]:
    """Body and type; on a thread."""
    path = request.path.normal
    sort, descending = _order(request.query)
    items = arranged(scan(folder, place, path[mount:]), sort, descending)
    if prefers_json(request.fields.get("accept", "")):
        return as_json(items, path), "application/json"
    return as_html(items, path, mount, sort, descending), "text/html; charset=utf-8"


def scan(folder: Folder, place: Place, path: str) -> list[Item]:
    """What may be seen of a folder, in no order.

    :param path: its path below the mount, with its slash.
    """
    items = []
    base = folder.real()
    try:
        with os.scandir(place.real) as entries:
            for entry in entries:
                item = _item(folder, place.real, path, entry, base)
                if item is not None:
                    items.append(item)
    except FileNotFoundError:
        raise ClientError("", 404, detail="the folder is gone") from None
    except PermissionError as error:
        raise ClientError("This folder is not open to readers.", 403, detail=str(error)) from None
    return items


def _item(folder: Folder, above: bytes, path: str, entry: os.DirEntry[bytes], base: bytes) -> Item | None:
    if folder.refuses(path + entry.name.decode("utf-8", "surrogateescape")):
        return None
    try:
        found = entry.stat()
    except OSError:
        return None  # it went away, or is a link to nowhere
    real = os.path.join(above, entry.name)
    if not folder.admits(found, os.path.realpath(real) if entry.is_symlink() else real, base):
        return None
    if S_ISDIR(found.st_mode):
        return Item(entry.name, True, 0, int(found.st_mtime))
    return Item(entry.name, False, found.st_size, int(found.st_mtime)) if S_ISREG(found.st_mode) else None


def _order(query: str) -> tuple[str, bool]:
    """The column to sort by, and whether downwards, from `?sort=size&order=desc`."""
    asked = parse_qs(query, max_num_fields=16) if query.count("&") < 16 else {}
    sort = asked.get("sort", ["name"])[0]
    return sort if sort in COLUMNS else "name", asked.get("order", ["asc"])[0] == "desc"


def arranged(items: list[Item], sort: str, descending: bool) -> list[Item]:
    """Folders first, then by the column; equal ones by name."""
    items = sorted(items, key=lambda item: (item.text.casefold(), item.name), reverse=descending and sort == "name")
    if sort == "size":
        items.sort(key=lambda item: item.size, reverse=descending)
    elif sort == "time":
        items.sort(key=lambda item: item.modified, reverse=descending)
    items.sort(key=lambda item: not item.folder)
    return items


def as_json(items: Sequence[Item], path: str) -> bytes:
    """A list of objects: name, type ("file" or "directory"), size (bytes; null for a folder), mtime (RFC 3339), url."""
    above = quote(path, "/!$&'()*+,;=@:~", "utf-8", "surrogateescape")
    rows = [
        {
            "name": item.name.decode("utf-8", "surrogateescape"),
            "type": "directory" if item.folder else "file",
            "size": None if item.folder else item.size,
            "mtime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(item.modified)),
            "url": above + item.href,
        }
        for item in items
    ]
    return json.dumps(rows, indent=1).encode("ascii") + b"\n"


def human_size(size: int) -> str:
    """A size as people read it: three digits at most, in steps of 1000."""
    if size < 1000:
        return f"{size} {'byte' if size == 1 else 'bytes'}"
    amount, unit = float(size), 0
    while amount >= 999.5 and unit < len(UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.1f} {UNITS[unit]}" if amount < 9.95 else f"{amount:.0f} {UNITS[unit]}"


def as_html(items: Sequence[Item], path: str, mount: int, sort: str, descending: bool) -> bytes:
    """The page.

    :param path: the whole normal path of the folder.
    """
    title = path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    rows = "".join(map(_row, items[:SHOWN]))
    if path[mount:] != "/":
        rows = f'<tr class="up"><td colspan="3"><a href="../">{UP}<span>up</span></a></td></tr>\n' + rows
    heads = "".join(_column(column, sort, descending) for column in COLUMNS)
    folders = sum(item.folder for item in items)
    told = f"{_count(folders, 'folder')}, {_count(len(items) - folders, 'file')}"
    total = sum(item.size for item in items)
    told += f", {human_size(total)}" if total else ""
    if len(items) > SHOWN:
        told += f". Only the first {SHOWN:,} are shown"
    return page(
        title,
        f"<style>\n{LOOKS}</style>\n<h1>{_crumbs(title, path, mount)}</h1>\n"
        f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n"
        f"<footer>{told}</footer>\n<script>\n{SORTING}</script>",
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _row(item: Item) -> str:
    name = escape(item.text) + ("/" if item.folder else "")
    stamp = time.gmtime(item.modified)
    size = "" if item.folder else human_size(item.size)
    return (
        f'<tr data-name="{escape(item.text.casefold())}" data-size="{item.size}" data-time="{item.modified}"'
        f"{' data-folder' if item.folder else ''}>"
        f'<td><a href="./{escape(item.href)}">{FOLDER if item.folder else FILE}<bdi>{name}</bdi></a></td>'
        f'<td>{size}</td><td><time datetime="{time.strftime("%Y-%m-%dT%H:%M:%SZ", stamp)}">'
        f"{time.strftime('%Y-%m-%d %H:%M', stamp)}</time></td></tr>\n"
    )


def _column(column: str, sort: str, descending: bool) -> str:
    """A heading that is a link: to its column upwards, or the other way round where it is sorted by it already."""
    now = f' aria-sort="{"descending" if descending else "ascending"}"' if column == sort else ""
    order = "desc" if column == sort and not descending else "asc"
    return f'<th scope="col"{now}><a href="?sort={column}&amp;order={order}">{COLUMNS[column]}</a></th>'


def _crumbs(title: str, path: str, mount: int) -> str:
    """The path, each folder above a link; as high as the mount."""
    names = [name for name in title[mount:].split("/") if name]
    crumbs = []
    for above, name in zip(range(len(names) - 1, -1, -1), names, strict=True):
        crumbs.append(
            f'<a href="{"../" * above}"><bdi>{escape(name)}</bdi></a>' if above else f"<bdi>{escape(name)}</bdi>"
        )
    top = escape(path[:mount].strip("/") or "Home")
    first = f'<a href="{"../" * len(names)}">{top}</a>' if names else top
    return '<span class="soft">/</span>'.join([first, *crumbs])


_SVG = '<svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true"><path d="{}"/></svg>'
FOLDER = _SVG.format("M1.5 13V3h4.6l1.6 2h6.8v8z")
FILE = _SVG.format("M3.5 1.5h6l3 3v10h-9zm6 0v3h3")
UP = _SVG.format("M8 13.5v-11m-4.5 4.5L8 2.5l4.5 4.5")

LOOKS = """\
main{max-width:60rem}
h1{font-size:clamp(1.2rem,4vw,1.6rem)}
h1 a{text-decoration:none}h1 a:hover{text-decoration:underline}h1 .soft{padding:0 .3em;font-weight:400}
td a{display:flex;gap:.65rem;align-items:baseline;text-decoration:none;overflow-wrap:anywhere}
td a:hover bdi,td a:hover span{text-decoration:underline}
tbody tr:hover{background:var(--card)}
svg{flex:none;position:relative;top:.15em;fill:none;stroke:var(--soft);stroke-width:1.2;stroke-linejoin:round}
tr[data-folder] svg{stroke:var(--accent);fill:var(--accent);fill-opacity:.16}
td+td,th+th{text-align:right;white-space:nowrap;width:1%}
td+td{color:var(--soft);font-size:.9rem}
th a{color:inherit;text-decoration:none}th a:hover{color:var(--accent)}
th[aria-sort] a{color:var(--ink)}
th[aria-sort=ascending] a::after{content:" \\2191"}th[aria-sort=descending] a::after{content:" \\2193"}
@media(max-width:34rem){main{padding-left:.6rem;padding-right:.6rem}td:nth-child(3),th:nth-child(3){display:none}}
"""

SORTING = """\
for (const link of document.querySelectorAll("th a")) link.onclick = event => {
  event.preventDefault();
  const [, column, order] = link.search.match(/sort=(\\w+)&order=(\\w+)/), sign = order === "asc" ? 1 : -1;
  const body = document.querySelector("tbody"), rows = [...body.querySelectorAll("tr:not(.up)")];
  const value = row => column === "name" ? row.dataset.name : +row.dataset[column];
  const less = (a, b) => value(a) < value(b) ? -sign : value(a) > value(b) ? sign : 0;
  rows.sort((a, b) => ("folder" in b.dataset) - ("folder" in a.dataset) || less(a, b));
  body.append(...rows);
  history.replaceState(null, "", link.search);
  for (const head of document.querySelectorAll("th")) {
    const own = head.contains(link), anchor = head.querySelector("a");
    if (own) head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    else head.removeAttribute("aria-sort");
    anchor.search = anchor.search.replace(/order=\\w+/, "order=" + (own && sign > 0 ? "desc" : "asc"));
  }
};
"""
