"""`edgestack config`: what holds and who said so, the schema for editors, a file to begin with.

    show      every effective value, beside it default, file and line, variable or option
    schema    JSON Schema (draft 2020-12) of the file
    init      a commented starter file; one that is there is never overwritten

Each gives data of `config/` a shape for a terminal; nothing is decided here.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from edgestack.config.load import FILE_NAME
from edgestack.config.schema import json_schema
from edgestack.config.show import DEFAULT, Setting, settings
from edgestack.config.starter import starter
from edgestack.errors import ConfigError
from edgestack.process.banner import DIM, Paint, painter, wants_colour
from edgestack.process.commands import Sectioned
from edgestack.process.configuring import Configured, configure, sources
from edgestack.process.serve_options import ENVIRONMENT, HELP, OPTIONS

__all__ = ["config", "show_settings"]

WIDEST_KEY, WIDEST_VALUE = 30, 44
"""Columns beyond which a key or a value moves the next column only in its own line."""

SITES = ("site", "public")
"""Folders that a starter file serves when one of them is there."""

STARTED = """\
{file} is written. Next:
  edgestack check            whether it makes sense
  edgestack serve            serve it
  edgestack config show      what holds, and who said so
"""


@click.group(context_settings=HELP)
def config() -> None:
    """Show what holds, the schema for editors, or begin a file."""


@config.command(cls=Sectioned, params=OPTIONS, context_settings={**HELP, "auto_envvar_prefix": ENVIRONMENT})
@click.pass_context
def show(context: click.Context, /, **said: object) -> None:
    """Show every effective value, and where it comes from.

    The options are those of `serve`: with the same words, this is what it would do.
    """
    file, found, overrides = sources(context)
    configured = configure(file, overrides, found=found)
    show_settings(configured, painter(wants_colour(sys.stdout, os.environ)))


def show_settings(configured: Configured, paint: Paint) -> None:
    """Write every effective value."""
    if configured.options.file is None:
        from edgestack.process.gunicorn.words import DEFAULT_FILE  # not for those who look at a file of ours

        missing = DEFAULT_FILE if configured.options.application else FILE_NAME
        click.echo(paint(f"# no {missing} here: options, environment and defaults", DIM))
    for line in lines(settings(configured.loaded)):
        click.echo(paint(line, DIM) if line.endswith(f"# {DEFAULT}") else line)


def lines(found: Iterable[Setting]) -> Iterator[str]:
    """A line for each value: key, value and origin, in columns; a blank line between two tables."""
    found = list(found)
    keys = max((len(one.key) for one in found if len(one.key) <= WIDEST_KEY), default=0)
    values = max((len(one.value) for one in found if len(one.value) <= WIDEST_VALUE), default=0)
    table = found[0].key.partition(".")[0] if found else ""
    for one in found:
        if one.key.partition(".")[0] != table:
            table = one.key.partition(".")[0]
            yield ""
        yield f"{one.key:<{keys}} = {one.value:<{values}}  # {one.origin}"


@config.command(context_settings=HELP)
def schema() -> None:
    """Print the JSON Schema of edgestack.toml, for editors.

    \b
    Even Better TOML and Taplo read it from a line at the top of the file:
      #:schema ./edgestack.schema.json
    """
    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))


@config.command(context_settings=HELP)
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), default=Path(FILE_NAME), required=False)
@click.option("--static", metavar="DIR", help="Serve this folder.  [default: ./site or ./public, if there is one]")
@click.option("--app", metavar="MODULE:NAME", help="Call this WSGI application.", default="")
def init(file: Path, static: str | None, app: str) -> None:
    """Write a commented file to begin with.

    FILE is ./edgestack.toml unless given, and is never overwritten; - prints what would be written.
    """
    if static is None:
        static = next((f"{name}/" for name in SITES if (file.parent / name).is_dir()), "")
    text = starter(static, app)
    if str(file) == "-":
        click.echo(text, nl=False)
        return
    try:
        with file.open("x", encoding="utf-8") as made:
            made.write(text)
    except FileExistsError:
        hint = "it stays as it is; `edgestack config init -` prints what would be written"
        raise ConfigError(f"{file} is there already", hint=hint) from None
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {(error.strerror or str(error)).lower()}") from None
    click.echo(STARTED.format(file=file), nl=False)
