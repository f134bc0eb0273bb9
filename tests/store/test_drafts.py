"""Bodies that come piece by piece (criterion D11): bounded while they come, whole or not there, a file where long."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from store_kit import KIB, MIB, body, content, files, forget_memory, found, head, open_disk, put

from edgestack.http.bodies import FileSegment, OpenFile
from edgestack.store import Draft, Store
from edgestack.store.journal import Journal

PIECE = 100 * KIB


class Told:
    """Waits for what becomes of a draft."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._stored = False

    def __call__(self, stored: bool) -> None:
        self._stored = stored
        self._over.set()

    def wait(self) -> bool:
        assert self._over.wait(30)
        return self._stored


def begun(store: Store, key: str, variant: str = "", moment: int | None = None) -> Draft:
    return store.draft(key, head(variant), f"https://example.com/{key}", ("red",), moment)


def filled(draft: Draft, data: bytes, piece: int = PIECE) -> bool:
    return all(draft.add(data[at : at + piece]) for at in range(0, len(data), piece))


def ended(draft: Draft) -> bool:
    told = Told()
    draft.finish(told)
    return told.wait()


def growing(folder: Path) -> list[Path]:
    return list(folder.glob("draft-*"))


Stores = Callable[..., Store]


@pytest.fixture(params=["memory", "disk"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    opened: list[Store] = []

    def make(memory: int = 64 * MIB, disk: int = 256 * MIB) -> Store:
        opened.append(open_disk(tmp_path, disk, memory) if request.param == "disk" else Store(memory))
        return opened[-1]

    yield make
    for store in opened:
        store.close()
    assert growing(tmp_path) == []


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 5 * MIB])
@pytest.mark.parametrize("piece", [PIECE, 7 * MIB])
def test_d11_what_came_in_pieces_is_found_whole(stores: Stores, size: int, piece: int) -> None:
    """D11: and what was lent for it is given back."""
    store = stores()
    draft = begun(store, "a")
    assert filled(draft, body("a", size), piece)
    assert store.find("a") == ()
    assert ended(draft)
    assert found(store, "a") == [body("a", size)]
    assert store.memory.lent == 0
    assert store.purge(tag="red") == 1


@pytest.mark.parametrize("past", [0, 1])
def test_the_largest_is_the_largest(stores: Stores, past: int) -> None:
    store = stores(8 * MIB, 16 * MIB)
    draft = begun(store, "a")
    data = body("a", store.largest + past)
    assert filled(draft, data) is not past
    assert ended(draft) is not bool(past)
    assert store.flush(30)
    assert store.memory.lent == 0
    assert found(store, "a") == ([] if past else [data])


def test_d11_many_at_once_have_a_share_of_the_memory(stores: Stores) -> None:
    """D11: a thousand answers under way take no more than a quarter; those that find no room are given up."""
    store = stores(8 * MIB)
    for number in range(20):
        put(store, f"kept{number}", 10 * KIB)
    drafts = [begun(store, f"k{number}") for number in range(1000)]
    live = drafts
    for _ in range(5):
        live = [draft for draft in live if draft.add(bytes(20 * KIB))]
        assert store.memory.lent <= 2 * MIB
        assert store.statistics().memory <= 8 * MIB
    assert 20 <= len(live) < 30
    assert store.find("kept19")
    for draft in drafts:
        draft.drop()
    assert store.memory.lent == 0


def test_small_pieces_take_no_more_than_they_are(stores: Stores) -> None:
    """One byte at a time is no way to make a list of a million bytes objects."""
    import tracemalloc

    store = stores()
    draft = begun(store, "a")
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(200_000):
        assert draft.add(b"%d" % (number % 10))
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert taken < 300_000
    draft.drop()


@pytest.mark.parametrize("size", [100, 3 * MIB])
def test_what_is_dropped_leaves_nothing(tmp_path: Path, size: int) -> None:
    store = open_disk(tmp_path)
    draft = begun(store, "a")
    assert filled(draft, body("a", size))
    draft.drop()
    draft.drop()
    assert not draft.add(b"more")
    assert not ended(draft)
    assert store.flush(30)
    assert (store.find("a"), files(tmp_path), growing(tmp_path)) == ((), [], [])
    assert (store.memory.lent, store.memory.held, store.statistics().disk) == (0, 0, 0)
    store.close()


def test_d11_a_long_body_survives_a_restart(tmp_path: Path) -> None:
    """D11: and is checked by the writer before it is given."""
    store = open_disk(tmp_path, memory=64 * MIB)
    draft = begun(store, "a")
    assert filled(draft, body("a", 5 * MIB))
    assert ended(draft)
    (stored,) = store.find("a")
    assert isinstance(stored.body, FileSegment)
    store.close()
    again = open_disk(tmp_path)
    again.find("a")
    assert again.flush(30)
    (stored,) = again.find("a")
    assert (content(stored), stored.head, stored.tags) == (body("a", 5 * MIB), head(), ("red",))
    again.close()


def test_it_replaces_what_memory_has(tmp_path: Path) -> None:
    """And stands beside the other variants, in whatever tier they are."""
    store = open_disk(tmp_path)
    put(store, "a", 10, "de")
    put(store, "a", 10, "en")
    draft = begun(store, "a", "de")
    assert filled(draft, body("long", 3 * MIB))
    assert ended(draft)
    expected = sorted([body("long", 3 * MIB), body("aen", 10)])
    assert sorted(found(store, "a")) == expected
    put(store, "a", 20, "en")
    assert sorted(found(store, "a")) == sorted([body("long", 3 * MIB), body("aen", 20)])
    store.close()


@pytest.mark.parametrize("when", ["before its end", "between its end and its name"])
def test_d9_what_is_purged_meanwhile_is_not_stored(tmp_path: Path, when: str) -> None:
    """D9."""
    store = open_disk(tmp_path)
    draft = begun(store, "a", moment=store.moment)
    assert filled(draft, body("a", 3 * MIB))
    told = Told()
    if when == "before its end":
        store.purge(tag="red")
        draft.finish(told)
    else:
        assert store.flush(30)
        with Journal(tmp_path / "journal").locked():
            draft.finish(told)
            store.purge(tag="red")
    assert not told.wait()
    assert store.flush(30)
    assert (store.find("a"), files(tmp_path), growing(tmp_path)) == ((), [], [])
    store.close()


def test_d11_the_disk_is_bounded_while_files_grow(tmp_path: Path) -> None:
    """D11: what grows counts, has a part of the disk, and pushes out what was used longest ago."""
    store = open_disk(tmp_path, 40 * MIB)
    for number in range(60):
        put(store, f"k{number}", 600 * KIB)
        assert store.flush(30)
    drafts = [begun(store, f"long{number}") for number in range(5)]
    live = drafts
    for _ in range(30):
        live = [draft for draft in live if draft.add(bytes(PIECE))]
        assert store.flush(30)
        every = [*files(tmp_path), *growing(tmp_path)]
        assert sum(path.stat().st_blocks * 512 for path in every) <= 40 * MIB
        assert store.statistics().disk <= 40 * MIB
    assert sum(path.stat().st_size for path in growing(tmp_path)) <= 10 * MIB + 5000
    assert 0 < len(live) < 5
    assert [ended(draft) for draft in live] == [True] * len(live)
    for draft in drafts:
        draft.drop()
    assert store.flush(30)
    assert store.statistics().disk <= 40 * MIB
    store.close()


def test_what_comes_faster_than_the_disk_is_given_up(tmp_path: Path) -> None:
    """What waits for the writer is lent memory like the rest; nothing is left of it afterwards."""
    store = open_disk(tmp_path, 256 * MIB, 16 * MIB)
    draft = begun(store, "a")
    with Journal(tmp_path / "journal").locked():  # the writer waits
        assert not filled(draft, body("a", 8 * MIB))
        assert 3 * MIB < store.memory.lent <= 4 * MIB
        assert store.statistics().refused == 1
    assert not ended(draft)
    assert store.flush(30)
    assert (store.memory.lent, growing(tmp_path)) == (0, [])
    store.close()


@pytest.mark.parametrize("size", [300 * KIB, 3 * MIB])
@pytest.mark.parametrize("short", [0, 1])
def test_a_run_of_a_file_as_a_piece(
    stores: Stores, tmp_path_factory: pytest.TempPathFactory, size: int, short: int
) -> None:
    """One that has become shorter meanwhile is nothing."""
    path = tmp_path_factory.mktemp("app") / "file"
    path.write_bytes(b"before" + body("a", size - short))
    store = stores()
    draft = begun(store, "a")
    segment = FileSegment(OpenFile(os.open(path, os.O_RDONLY)), 6, size)
    draft.file(segment)
    assert ended(draft) is not bool(short)
    assert found(store, "a") == ([] if short else [body("a", size)])
    assert store.memory.lent == 0


def test_what_a_killed_process_left_goes_and_what_a_living_one_writes_stays(tmp_path: Path) -> None:
    left, living = tmp_path / "draft-left", tmp_path / "draft-living"
    left.write_bytes(b"torn")
    living.write_bytes(b"growing")
    (tmp_path / "draft-link").symlink_to("/etc/passwd")
    with living.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        open_disk(tmp_path).close()
        assert (left.exists(), living.exists()) == (False, True)
    (tmp_path / "draft-link").unlink()


def test_closing_takes_away_what_grows(tmp_path: Path) -> None:
    store = open_disk(tmp_path)
    assert filled(begun(store, "a"), body("a", 3 * MIB))
    assert store.flush(30)
    assert len(growing(tmp_path)) == 1
    store.close()
    assert growing(tmp_path) == []


FULL = """
import resource, sys
from pathlib import Path
from store_kit import *
from test_drafts import *
store = open_disk(Path(sys.argv[1]))
put(store, "small", 1000)
assert store.flush(30)
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, resource.RLIM_INFINITY))
draft = begun(store, "long")
filled(draft, body("long", 3 * MIB))
assert not ended(draft)
assert store.flush(30)
assert (growing(Path(sys.argv[1])), store.memory.lent, store.statistics().unwritten) == ([], 0, 1)
assert found(store, "long") == []
forget_memory(store)
assert found(store, "small") == [body("small", 1000)]
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
draft = begun(store, "long")
assert filled(draft, body("long", 3 * MIB))
assert ended(draft)
assert found(store, "long") == [body("long", 3 * MIB)]
store.close()
"""


def test_d11_the_disk_becomes_full_within_a_body(tmp_path: Path) -> None:
    """D11: RLIMIT_FSIZE, as ENOSPC does: nothing is left of it, and the log says so once."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", FULL, str(tmp_path / "cache")],
        cwd=Path(__file__).parent, env={**os.environ, "PYTHONPATH": f".{os.pathsep}../.."},
        capture_output=True, text=True, timeout=50,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count("cannot be written") == 1
    assert ran.stderr.count("can be written again") == 1


def test_damage_within_a_long_body_is_seen(tmp_path: Path) -> None:
    """The sums are those of what was written."""
    store = open_disk(tmp_path)
    draft = begun(store, "a")
    assert filled(draft, body("a", 3 * MIB))
    assert ended(draft)
    store.close()
    (path,) = files(tmp_path)
    data = bytearray(path.read_bytes())
    data[2 * MIB] ^= 1
    path.write_bytes(data)
    again = open_disk(tmp_path)
    for _ in range(2):
        assert again.find("a") == ()
        assert again.flush(30)
    assert again.statistics().broken == 1
    forget_memory(again)
    again.close()


KILLED = """
import sys
from pathlib import Path
from store_kit import *
from test_drafts import *
store = open_disk(Path(sys.argv[1]), memory=64 * MIB)
print("ready", flush=True)
for number in range(1_000_000):
    draft = begun(store, f"k{number % 4}")
    if filled(draft, body(f"k{number % 4}", 2 * MIB + number % 4 * MIB), 300_000) and ended(draft) and number == 3:
        print("busy", flush=True)
"""


def test_d11_killed_while_a_long_body_is_written(tmp_path: Path) -> None:
    """D11: kill -9 at whatever moment: what is found afterwards is whole, and no half of one is left."""
    for _ in range(4):
        child = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", KILLED, str(tmp_path)],
            cwd=Path(__file__).parent, env={**os.environ, "PYTHONPATH": f".{os.pathsep}../.."},
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        with child:
            assert child.stdout is not None
            assert [child.stdout.readline() for _ in range(2)] == ["ready\n", "busy\n"]
            child.kill()
        store = open_disk(tmp_path)
        for number in range(4):
            store.find(f"k{number}")  # the writer looks at each, and
        assert store.flush(30)
        assert [found(store, f"k{number}") == [body(f"k{number}", (2 + number) * MIB)] for number in range(4)] == [
            True
        ] * 4
        assert (growing(tmp_path), store.statistics().broken) == ([], 0)
        store.close()
