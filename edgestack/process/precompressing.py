"""The coded neighbours of files: `app.js` -> `app.js.zst`, `app.js.br`, `app.js.gz` (criterion C13).

    wanted(folder, …)   files of listed types, large enough, with the codings whose neighbour is older or missing
    make(path, …)       all neighbours of one file: at the highest levels, kept where they are smaller

A neighbour is written to the side and renamed, with the date of its file: one that is half written is never served, and
the next run sees that nothing changed. For a process of its own each; it prints nothing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from edgestack.codecs import MOST, available, codec
from edgestack.http.content_coding import Policy
from edgestack.http.media_types import media_type

__all__ = ["ENDINGS", "Made", "make", "wanted"]

ENDINGS = {"zstd": ".zst", "br": ".br", "gzip": ".gz"}
LARGEST = 256 << 20
"""Bytes of a file: it is read whole, once for each process."""


class Made(NamedTuple):
    """What became of one file."""

    path: Path
    before: int
    """Its bytes."""
    after: int
    """Those of its smallest neighbour; as before, where none is smaller."""
    why: str = ""
    """What went wrong."""


def wanted(folder: Path, policy: Policy) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Files below a folder, and the codings that they lack. What starts with a dot is left out, and so are links."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            if name.startswith(".") or path.suffix in ENDINGS.values() or not policy.fits(media_type(name)):
                continue
            seen = path.lstat()
            if stat.S_ISREG(seen.st_mode) and policy.least <= seen.st_size <= LARGEST:
                lacking = tuple(coding for coding in available() if not _is_there(path, seen, ENDINGS[coding]))
                if lacking:
                    yield path, lacking


def _is_there(path: Path, seen: os.stat_result, ending: str) -> bool:
    try:
        return (path.parent / (path.name + ending)).stat().st_mtime_ns >= seen.st_mtime_ns
    except OSError:
        return False


def make(path: Path, codings: tuple[str, ...]) -> Made:
    """The neighbours of one file in some codings."""
    try:
        seen = path.stat()
        data = path.read_bytes()
        smallest = len(data)
        for coding in codings:
            beside = path.parent / (path.name + ENDINGS[coding])
            coded = codec(coding, MOST[coding]).whole(data)
            if len(coded) < len(data):
                _write(beside, coded, seen)
                smallest = min(smallest, len(coded))
            else:
                beside.unlink(missing_ok=True)  # of what the file was before
        return Made(path, len(data), smallest)
    except OSError as error:
        return Made(path, 0, 0, f"{error.filename or path}: {error.strerror}")


def _write(beside: Path, coded: bytes, seen: os.stat_result) -> None:
    aside = beside.with_name(f".{beside.name}.{os.getpid()}")
    try:
        aside.write_bytes(coded)
        aside.chmod(stat.S_IMODE(seen.st_mode))
        os.utime(aside, ns=(seen.st_atime_ns, seen.st_mtime_ns))
        aside.replace(beside)
    finally:
        aside.unlink(missing_ok=True)
