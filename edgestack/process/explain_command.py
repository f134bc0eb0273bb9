"""`edgestack explain`: what becomes of one request, step by step, and which line of the file says so.

    GET https://example.com/static/app.js

      site     example.com                        edgestack.toml:3
      route    /static/                           edgestack.toml:9
      content  the file /srv/site/static/app.js   edgestack.toml:9
      headers  + X-Frame-Options: DENY            edgestack.toml:5
      answer   200

The steps are those of the chain that runs (`Plan.explain`); this file only lays them out. Nothing is sent, read or
called.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING

import click

from edgestack.config.http_kinds import METHODS
from edgestack.errors import ClientError, ConfigError
from edgestack.http.fields import is_field_value, is_token
from edgestack.process.banner import BOLD, CYAN, DIM, GREEN, RED, YELLOW, Paint, painter, wants_colour
from edgestack.process.configuring import configure, sources
from edgestack.process.serve_options import CONFIG_FILE, HELP

if TYPE_CHECKING:
    from edgestack.compose import Step

__all__ = ["explain", "laid_out"]

WIDEST = 72
"""Columns of what a step says, beyond which its place moves on only in its own line."""

CHANGE = re.compile(r", (?=[+-] [!#$%&'*+.^_`|~0-9A-Za-z-]+: )")
"""Between two fields that a filter changed."""

CLASSES = {"2": GREEN, "3": CYAN, "4": YELLOW, "5": RED}
"""Colours of answers, by the first digit of their status."""


@click.command(
    params=[
        CONFIG_FILE,
        click.Option(["-H", "--header"], multiple=True, metavar="'NAME: VALUE'", help="A field; may be repeated."),
        click.Option(["--from"], metavar="ADDR", default="127.0.0.1", show_default=True, help="The client's address."),
        click.Argument(["request"], nargs=-1, required=False, metavar="[METHOD] URL"),
    ],
    context_settings=HELP,
)
@click.pass_context
def explain(context: click.Context, /, request: tuple[str, ...], header: tuple[str, ...], **said: str) -> None:
    """Tell what becomes of a request, and which line says so.

    Site, route, each rule and its verdict, the file, the application or the server that would be asked, the fields of
    the answer: by the very chain that serves, but nothing is sent, read or called. A path alone goes to the default
    site.

    \b
      edgestack explain GET https://example.com/static/app.js
      edgestack explain /admin/ -H "Accept: text/html" --from 203.0.113.9
    """
    method, url = _asked(request)
    fields = [_field(one) for one in header]
    address = _address(said["from"])
    file, found, overrides = sources(context)
    config = configure(file, overrides, found=found).config
    from edgestack.compose import compose

    try:
        steps = compose(config).explain(method, url, fields, address)
    except ClientError as error:
        raise ConfigError(f"no client could ask this: {error.status}, {error}") from None
    paint = painter(wants_colour(sys.stdout, os.environ))
    click.echo(f"{paint(f'{method} {url}', BOLD)}\n")
    for line in laid_out(steps, paint):
        click.echo(line)


def _asked(words: Sequence[str]) -> tuple[str, str]:
    """Method and URL."""
    if not words:
        raise click.UsageError("which request? for instance: edgestack explain GET https://localhost/")
    if len(words) > 2:
        raise click.UsageError(f"a request is a method and a URL, not {' '.join(words)!r}")
    method, url = words if len(words) == 2 else ("GET", words[0])
    if not is_token(method):
        raise click.UsageError(f"{method!r} is not a method")
    if len(words) == 1 and url in METHODS:
        raise click.UsageError(f"the URL is missing: {url} what?")
    if not url.startswith(("/", "http://", "https://")):
        raise click.UsageError(f"{url!r} is neither a URL nor a path (did you mean https://{url} or /{url}?)")
    return method, url


def _address(text: str) -> str:
    """A client's address."""
    try:
        return str(ip_address(text))
    except ValueError:
        raise click.UsageError(f"{text!r} is not an address") from None


def _field(text: str) -> tuple[str, str]:
    """A field as `curl -H` takes it."""
    name, colon, value = text.partition(":")
    if not colon or not is_token(name) or not is_field_value(value.strip()):
        raise click.UsageError(f"{text!r} is not a field: write it as 'Name: value'")
    return name, value.strip()


def laid_out(steps: Sequence[Step], paint: Paint) -> Iterator[str]:
    """A line for each step, or several where it changes several fields; its place beside it, in a column."""
    names = max(len(step.name) for step in steps)
    said = [CHANGE.split(step.says) for step in steps]
    width = max((len(one) for each in said for one in each if len(one) <= WIDEST), default=0)
    for step, each in zip(steps, said, strict=True):
        place = paint(str(step.origin), DIM) if step.origin is not None else ""
        for at, text in enumerate(each):
            name = step.name if at == 0 else ""
            line = f"  {paint(name.ljust(names), DIM)}  {_painted(step.name, text, paint)}"
            if at == 0 and place:
                line += " " * max(width - len(text), 0) + f"  {place}"
            yield line.rstrip()


def _painted(name: str, text: str, paint: Paint) -> str:
    """The verdict in its colour."""
    if name in ("answer", "error", "refused") and text[:1] in CLASSES:
        return paint(text, CLASSES[text[0]])
    if name == "content":
        return paint(text, BOLD)
    return text
