"""`edgestack precompress`: neighbours that decode to their files, and nothing that is not needed (C13)."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgestack.cli import main
from edgestack.codecs import available

TEXT = b"some text that repeats itself, and repeats itself\n" * 200
ENDINGS = {"zstd": ".zst", "br": ".br", "gzip": ".gz"}


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["precompress", "--jobs", "1", *words], standalone_mode=False)
    return done.return_value or 0, done.output


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.html").write_bytes(TEXT)
    (tmp_path / "deep" / "b.js").write_bytes(TEXT)
    (tmp_path / "tiny.css").write_bytes(b"a{}")
    (tmp_path / "noise.txt").write_bytes(os.urandom(5000))
    (tmp_path / "c.png").write_bytes(TEXT)
    (tmp_path / ".hidden.html").write_bytes(TEXT)
    os.symlink("a.html", tmp_path / "link.html")
    return tmp_path


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.suffix in ENDINGS.values()}


def test_neighbours_are_made_and_decode(site: Path) -> None:
    status, told = run(str(site))
    assert (status, "3 files" in told) == (0, True)
    assert names(site) == {name + ENDINGS[coding] for name in ("a.html", "deep/b.js") for coding in available()}
    assert gzip.decompress((site / "a.html.gz").read_bytes()) == TEXT
    for ending in (ENDINGS[coding] for coding in available()):
        beside, own = (site / f"a.html{ending}").stat(), (site / "a.html").stat()
        assert (beside.st_mtime_ns, beside.st_mode) == (own.st_mtime_ns, own.st_mode)
    assert not list(site.rglob(".a.html*"))


def test_what_is_too_small_is_not_said_to_have_neighbours(tmp_path: Path) -> None:
    (tmp_path / "tiny.css").write_bytes(b"a{}")
    assert run(str(tmp_path)) == (0, "nothing to do: no text of 1,400 bytes or more lacks a neighbour\n")
    assert not names(tmp_path)


def test_only_what_changed(site: Path) -> None:
    """What has no smaller form is tried again: there is nothing that says so."""
    (site / "noise.txt").unlink()
    run(str(site))
    made = (site / "a.html.gz").stat().st_ino
    status, told = run(str(site))
    assert (status, told.startswith("nothing to do")) == (0, True)
    later = (site / "a.html").stat().st_mtime_ns + 5_000_000_000
    (site / "a.html").write_bytes(TEXT * 2)
    os.utime(site / "a.html", ns=(later, later))
    assert "1 file" in run(str(site))[1]
    assert (site / "a.html.gz").stat().st_ino != made
    assert gzip.decompress((site / "a.html.gz").read_bytes()) == TEXT * 2


def test_what_a_file_was_before_does_not_stay(site: Path) -> None:
    """A file that no coding makes smaller any more loses its old neighbours."""
    run(str(site))
    later = (site / "a.html").stat().st_mtime_ns + 5_000_000_000
    (site / "a.html").write_bytes(os.urandom(5000))
    os.utime(site / "a.html", ns=(later, later))
    run(str(site))
    assert not [name for name in names(site) if name.startswith("a.html")]
