"""`edgestack precompress DIR`: coded neighbours of the files of a site, made once, at the highest levels, on all cores.

The progress bar and the summary are told; files that could not be read or written are named, with exit status 2.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import click

from edgestack.codecs import available
from edgestack.http.content_coding import LEAST, Policy
from edgestack.process.commands import BAD_INPUT
from edgestack.process.precompressing import make, wanted
from edgestack.process.serve_options import HELP

__all__ = ["precompress"]


@click.command("precompress", context_settings=HELP)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--jobs", type=click.IntRange(1), default=None, help="Processes; one for each core unless given.")
def precompress(folder: Path, jobs: int | None) -> int:
    """Make compressed neighbours of a folder's files.

    Beside each file that is text, `.zst`, `.br` and `.gz` are written, which `serve` then sends to clients that take
    them. Files whose neighbours are up to date are left alone, and what is no smaller is not kept.

    \b
      edgestack precompress site/
    """
    todo = list(wanted(folder, Policy()))
    before = after = 0
    failed = []
    with ProcessPoolExecutor(jobs or os.cpu_count() or 1, mp_context=get_context("spawn")) as pool:
        running = [pool.submit(make, path, codings) for path, codings in todo]
        with click.progressbar(running, label="compressing", file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
            for job in bar:
                made = job.result()
                before += made.before
                after += made.after
                failed += [made.why] if made.why else []
    for why in failed:
        click.echo(f"edgestack: {why}", err=True)
    click.echo(_summary(len(todo) - len(failed), before, after))
    return BAD_INPUT if failed else 0


def _summary(files: int, before: int, after: int) -> str:
    if not files:
        return f"nothing to do: no text of {LEAST:,} bytes or more lacks a neighbour"
    saved = f"{before:,} bytes, {after:,} in the smallest form" if before else "empty files"
    return f"{files} file{'s' if files != 1 else ''}: {saved} ({', '.join(available())})"
