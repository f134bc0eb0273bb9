"""Several processes and one folder (criterion D11): killed while they write, replacing, purging; and one sleeps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from store_kit import KIB, MIB, body, files, forget_memory, found, head, open_disk, put

from edgestack.store import Store
from edgestack.store.journal import LENGTH, Journal

WRITER = """
import sys
from pathlib import Path
from store_kit import *
store = open_disk(Path(sys.argv[1]), int(sys.argv[2]))
print("ready", flush=True)
number = 0
while True:
    put(store, f"k{number % 50}", 1 + number * 977 % 300_000)
    found(store, f"k{number * 7 % 50}")
    store.flush()
    number += 1
    if number == 20:
        print("busy", flush=True)
"""


def start(folder: Path, size: int) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", WRITER, str(folder), str(size)],
        cwd=Path(__file__).parent, env={**os.environ, "PYTHONPATH": f".{os.pathsep}../.."},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def wait_until_busy(child: subprocess.Popen[str]) -> None:
    assert child.stdout is not None
    assert child.stdout.readline() == "busy\n"


def end(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.communicate()


def check_all(store: Store, seen: set[str]) -> None:
    """Whatever is found is one of the bodies that were put under its key."""
    for number in range(50):
        key = f"k{number}"
        for one in found(store, key):
            assert one == body(key, len(one))
            seen.add(key)


def test_d11_killed_while_it_writes(tmp_path: Path) -> None:
    """D11: kill -9, again and again, at whatever moment; nothing torn is served, and the folder is as good as new."""
    for _ in range(8):
        child = start(tmp_path, 4 * MIB)
        wait_until_busy(child)
        end(child)
        store, seen = open_disk(tmp_path, 4 * MIB), set[str]()
        check_all(store, seen)
        assert len(seen) > 5
        assert store.statistics().broken == 0
        put(store, "mine", 1000)
        forget_memory(store)
        assert found(store, "mine") == [body("mine", 1000)]
        store.close()


def test_d11_two_processes_on_one_folder(tmp_path: Path) -> None:
    """D11: two write and one reads; no wrong byte, and the bound holds for all of them together."""
    children = [start(tmp_path, 3 * MIB) for _ in range(2)]
    store, seen = open_disk(tmp_path, 3 * MIB), set[str]()
    try:
        for child in children:
            wait_until_busy(child)
        for _ in range(20):
            check_all(store, seen)
            store.memory.clear()
        assert len(seen) > 10
        disk = store._disk
        assert disk is not None
        with Journal(tmp_path / "journal").locked():  # while nobody writes
            disk.catch_up()
            assert sum(path.stat().st_blocks * 512 for path in files(tmp_path)) <= 3 * MIB
            assert {str(path.relative_to(tmp_path)) for path in files(tmp_path)} == set(disk.index.files)
    finally:
        for child in children:
            end(child)
    store.close()


def test_one_that_holds_the_lock_and_stands_still_stops_nobody(tmp_path: Path) -> None:
    """Whoever was stopped in the middle of writing: others open the folder, answer from memory, and do not wait."""
    store = open_disk(tmp_path)
    with Journal(tmp_path / "journal").locked():
        for one in (store, Store(MIB, tmp_path, MIB)):
            put(one, "mine", 1000)
            assert found(one, "mine") == [body("mine", 1000)]
            assert one.purge(url="/mine") == 1
            assert one.find("mine") == ()
            assert not one.flush(0.01)
    assert store.flush(30)
    store.close()
    one.close()


def test_what_one_replaces_or_purges_goes_for_all(tmp_path: Path) -> None:
    one, two = open_disk(tmp_path), open_disk(tmp_path)
    put(one, "a", 10, tags=("red",))
    assert one.flush(30)
    assert found(two, "a") == [body("a", 10)]
    put(one, "a", 20, tags=("red",))
    assert one.flush(30)
    assert found(two, "a") == [body("a", 20)]
    moment = two.moment
    one.purge(tag="red")
    assert one.flush(30)
    assert two.find("a") == ()
    assert two.put("a", head(), b"under way", "https://example.com/a", ("red",), moment) is None
    one.close()
    two.close()


def test_a_long_body_of_another_process_is_given_at_once(tmp_path: Path) -> None:
    """Who wrote it knows that it is right, and says by what it is known; a change since then is seen."""
    one, two = open_disk(tmp_path), open_disk(tmp_path)
    put(one, "a", 2 * MIB)
    assert one.flush(30)
    assert found(two, "a") == [body("a", 2 * MIB)]
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert two.find("a") == ()
    assert two.flush(30)
    assert (two.find("a"), path.exists(), two.statistics().broken) == ((), False, 1)
    one.close()
    two.close()


def test_a_purge_reaches_what_another_one_has_not_read_yet(tmp_path: Path) -> None:
    one, two = open_disk(tmp_path), open_disk(tmp_path)
    for number in range(20):
        put(one, f"k{number}", 200 * KIB)
    assert one.flush(30)
    assert two.purge(prefix="/k1") == 11
    assert two.flush(30)
    assert [key for key in range(20) if one.find(f"k{key}")] == [0, 2, 3, 4, 5, 6, 7, 8, 9]
    one.close()
    two.close()


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_one_that_sleeps_while_the_journal_turns(tmp_path: Path, turns: int) -> None:
    """It reads the old journal to its end; when it has missed one, it forgets what it has in memory."""
    one, two = open_disk(tmp_path), open_disk(tmp_path)
    put(one, "a", 10)
    assert one.flush(30)
    assert found(two, "a") == [body("a", 10)]
    put(one, "a", 30)
    for number in range(turns * LENGTH // 30):
        one.purge(tag=f"nothing {number}")
    assert one.flush(30)
    assert found(two, "a") in ([], [body("a", 30)])
    assert two.flush(30)
    assert found(two, "a") == [body("a", 30)]
    one.close()
    two.close()


def test_lines_of_a_journal_are_read_once_and_not_by_their_writer(tmp_path: Path) -> None:
    one, two = Journal(tmp_path / "journal"), Journal(tmp_path / "journal")
    with one.locked():
        one.tell("gone", "x")
    with two.locked():
        two.tell("gone", "y")
    assert (one.lines(), two.lines()) == ([["gone", "y"]], [["gone", "x"]])
    assert (one.lines(), two.lines(), one.missed, two.missed) == ([], [], False, False)


def test_a_torn_line_is_known_to_be_missed(tmp_path: Path) -> None:
    one, two = Journal(tmp_path / "journal"), Journal(tmp_path / "journal")
    with (tmp_path / "journal").open("ab") as file:
        file.write(b'\n["gone","so')
    with one.locked():
        one.tell("gone", "x")
    assert two.lines() == [["gone", "x"]]
    assert two.missed
