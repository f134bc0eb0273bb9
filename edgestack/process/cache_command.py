"""`edgestack cache`: what a running server has stored, and letting go of it.

    edgestack cache purge https://example.com/news/1        one URL; `/news/1` for every host
    edgestack cache purge --prefix /news/                   all below
    edgestack cache purge --tag news                        what its Cache-Tag or Surrogate-Key names so
    edgestack cache list [PREFIX]
    edgestack cache stats

The server is found as `edgestack reload` finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from edgestack.http.variable_table import escaped
from edgestack.process.commands import BAD_INPUT
from edgestack.process.control import Message
from edgestack.process.serve_options import FILE, HELP
from edgestack.process.servers import asked, of_file
from edgestack.process.telling import counted

__all__ = ["cache"]

PATIENCE = 30.0
"""Seconds to wait: a folder may be large."""

PATH = click.Path(path_type=Path)
UNITS = ("B", "kB", "MB", "GB", "TB")
TROUBLES = (
    ("files that were not whole, and were removed", "broken"),
    ("not written, the disk was full or too slow", "unwritten"),
    ("not stored, too much was on its way at once", "refused"),
)
"""What `stats` says where it happened."""


Command = TypeVar("Command", bound="Callable[..., Any]")


def which(command: Command) -> Command:
    """The options that say which server, and which of its caches; before the subcommand's name or behind it."""
    for option in (
        click.option("--store", metavar="NAME", help="The cache [cache.NAME] alone; without it, all of them."),
        click.option("--control", type=PATH, metavar="PATH", help="The server with this control socket."),
        click.option("-c", "--config", "file", **FILE, help="The server that uses this file."),
    ):
        command = option(command)
    return command


@click.group(context_settings=HELP)
@which
@click.pass_context
def cache(context: click.Context, /, **named: Any) -> None:
    """See and purge what a running server has stored.

    Without an option it is the server that uses ./edgestack.toml, or the only one there is.
    """
    context.obj = named


def _ask(context: click.Context, named: Mapping[str, Any], **said: Any) -> Message:
    """The server's answer to an order."""
    meant = {name: value if value is not None else context.obj[name] for name, value in named.items()}
    file, control, store = meant["file"], meant["control"], meant["store"]
    if file is not None and control is not None:
        raise click.UsageError("-c and --control each name a server: give one of them")
    request: Message = {"verb": "cache", **said} | ({"store": store} if store is not None else {})
    return asked(control or of_file(file), request, PATIENCE)


@cache.command()
@click.argument("urls", nargs=-1, metavar="[URL]...")
@click.option("--prefix", multiple=True, metavar="URL", help="Everything whose URL, or path, begins so.")
@click.option("--tag", multiple=True, metavar="TAG", help="Everything whose Cache-Tag or Surrogate-Key names this.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
@which
@click.pass_context
def purge(
    context: click.Context, /, urls: tuple[str, ...], prefix: tuple[str, ...], tag: tuple[str, ...], everything: bool,
    **named: Any,
) -> int:  # fmt: skip
    """Let go of stored responses.

    A URL is written whole, or as a path, which is purged for every host. What is being fetched at this moment is not
    stored afterwards under the old content: the next request asks anew.
    """
    meant = {"url": urls, "prefix": prefix, "tag": tag}
    wanted: list[tuple[str, str | bool]] = [(by, what) for by, words in meant.items() for what in words]
    if everything:
        wanted = [("everything", True)]
    if not wanted:
        raise click.UsageError("name a URL, --prefix, --tag, or --all")
    for url in (*urls, *prefix):
        if not url.startswith(("http://", "https://", "/")):
            raise click.UsageError(f"{url} is no URL: it begins with http://, https:// or /")
    gone = 0
    for by, what in wanted:
        answer = _ask(context, named, do="purge", by=by, what=what)
        if _failed(answer):
            return BAD_INPUT
        gone += answer["purged"]
    click.echo(f"purged {counted(gone, 'stored response')}")
    return 0


@cache.command("list")
@click.argument("prefix", default="")
@which
@click.pass_context
def list_(context: click.Context, /, prefix: str, **named: Any) -> int:
    """List what is stored, by URL; of those that begin with PREFIX."""
    answer = _ask(context, named, do="list", prefix=prefix)
    if _failed(answer):
        return BAD_INPUT
    for url, tags, size, place in answer["stored"]:
        said = f"{url}  ({' '.join(tags)})" if tags else str(url)
        click.echo(f"{_size(size):>8}  {place:<6}  {escaped(said)}")
    return 0


@cache.command()
@which
@click.pass_context
def stats(context: click.Context, /, **named: Any) -> int:
    """Tell how full each cache is."""
    answer = _ask(context, named, do="stats")
    if _failed(answer):
        return BAD_INPUT
    for name, one in answer["caches"].items():
        click.echo(f"[cache.{name}]" if name else "the cache without a name")
        click.echo(
            f"  memory  {_size(one['memory'])} of {_size(one['memory_most'])}, {counted(one['entries'], 'response')}"
        )
        if one["disk_most"]:
            reading = ", still being read" if one["loading"] else ""
            files = f"{counted(one['files'], 'file')}{reading}"
            click.echo(f"  disk    {_size(one['disk'])} of {_size(one['disk_most'])}, {files}")
        click.echo(f"  let go for want of room: {one['evicted']}")
        for what, word in TROUBLES:
            if one[word]:
                click.echo(f"  {what}: {one[word]}")
    return 0


def _failed(answer: Message) -> bool:
    """Tell what went wrong."""
    if answer.get("ok") is True:
        return False
    for error in answer.get("errors", ["the server gave no reason"]):
        click.echo(f"edgestack: {error}", err=True)
    return True


def _size(size: float) -> str:
    unit = 0
    while size >= 1000 and unit < len(UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} {UNITS[unit]}" if unit == 0 or size >= 10 else f"{size:.1f} {UNITS[unit]}"
