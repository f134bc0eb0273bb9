"""Criteria C11, C14, C15: what is remembered of a file, and that it is never stale or torn."""

from __future__ import annotations

from pathlib import Path

import pytest
from static_kit import body, exchange, get, refusal, static, write

from edgestack.content import representation
from edgestack.content import static as static_module
from edgestack.content.files import PrivateFiles
from edgestack.errors import ClientError, Refused

LARGE = representation.KEPT + 1


@pytest.mark.parametrize("size", [7, LARGE])
def test_a_change_is_seen_at_once(tmp_path: Path, size: int) -> None:
    """C14: new content, new rights, a new file under the name, none at all."""
    file = write(tmp_path / "a.bin", b"1" * size)
    handler = static(tmp_path)
    assert body(get(handler, "/a.bin")) == b"1" * size
    write(file, b"2" * size)  # same size, same mtime: the ctime tells
    assert body(get(handler, "/a.bin")) == b"2" * size
    write(tmp_path / "next", b"3" * size).rename(file)
    assert body(get(handler, "/a.bin")) == b"3" * size
    file.unlink()
    assert refusal(handler, "/a.bin").status == 404
    file.mkdir()
    assert get(handler, "/a.bin").status == 301
    assert len(handler._files) == 0


def test_a_switched_release_is_seen_at_once(tmp_path: Path) -> None:
    """C14: the stat follows the path that was asked for, links and all."""
    for release in ("1", "2"):
        write(tmp_path / release / "a.txt", release)
    current = tmp_path / "current"
    current.symlink_to("1")
    handler = static(current)
    assert body(get(handler, "/a.txt")) == b"1"
    current.unlink()
    current.symlink_to("2")
    assert body(get(handler, "/a.txt")) == b"2"


def test_what_one_stat_cannot_see_is_looked_at_within_a_second(tmp_path: Path) -> None:
    """C8 C14 C15: a file that became private, or was moved behind a link that leads out."""
    site = tmp_path / "site"
    write(site / "key.pem")
    write(site / "docs/a.txt")
    private = PrivateFiles()
    handler = static(site, private=private)
    assert get(handler, "/key.pem").status == get(handler, "/docs/a.txt").status == 200
    private.add(site / "key.pem")
    (site / "docs").rename(tmp_path / "elsewhere")
    (site / "docs").symlink_to("../elsewhere")
    for target in ("/key.pem", "/docs/a.txt"):
        with pytest.raises(ClientError):
            handler(exchange(target, started=1.0))


def test_an_entry_that_is_looked_at_again_is_kept(tmp_path: Path) -> None:
    """C14: nothing is read twice where nothing changed."""
    write(tmp_path / "a.js")
    write(tmp_path / "a.js.br")
    handler = static(tmp_path)
    first = get(handler, "/a.js", accept_encoding="br")
    assert get(handler, "/a.js", started=9.0, accept_encoding="br") is first


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C14: and what is in use stays."""
    monkeypatch.setattr(static_module, "MEMORY", 200_000)
    handler = static(tmp_path)
    write(tmp_path / "hot.txt", b"x" * 1000)
    hot = get(handler, "/hot.txt")
    for number in range(40):
        write(tmp_path / f"{number}.txt", b"x" * 10_000)
        get(handler, f"/{number}.txt")
        assert get(handler, "/hot.txt") is hot
        held = {**handler._files.old, **handler._files}.values()
        assert sum(entry.weight for entry in held if entry) <= 200_000


def test_long_paths_are_not_remembered(tmp_path: Path) -> None:
    handler = static(tmp_path)
    for length in (static_module.LONGEST_PATH, static_module.LONGEST_PATH + 1):
        assert handler.try_(exchange("/" + "n" * (length - 1))) is None
    assert [len(path) for path in handler._absent] == [static_module.LONGEST_PATH]


def test_a_file_that_never_holds_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C11 C14: rather no answer than a torn one."""
    file = write(tmp_path / "a.log")
    read = representation.read

    def while_it_grows(fd: int, offset: int, length: int) -> bytes:
        with open(file, "ab") as log:
            log.write(b"another line\n")
        return read(fd, offset, length)

    monkeypatch.setattr(representation, "read", while_it_grows)
    with pytest.raises(Refused) as caught:
        static(tmp_path)(exchange("/a.log"))
    assert (caught.value.status, caught.value.retry_after) == (503, 1)


def test_a_large_file_is_announced_exactly(tmp_path: Path) -> None:
    """C11: as long as it was when it was opened, whatever becomes of it."""
    file = write(tmp_path / "a.bin", b"1" * LARGE)
    response = get(static(tmp_path), "/a.bin")
    with open(file, "ab") as more:
        more.write(b"2" * 1000)
    assert body(response) == b"1" * LARGE
