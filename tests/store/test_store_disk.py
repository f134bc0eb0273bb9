"""The second tier (criterion D11): survives a restart, is bounded, and never gives a byte that was not put."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from store_kit import KIB, MIB, body, content, files, forget_memory, found, head, open_disk, put

from edgestack.config.caching import Cache
from edgestack.errors import ConfigError
from edgestack.http.bodies import FileSegment
from edgestack.store import Store, StoredResponse, open_store
from edgestack.store.journal import Journal
from edgestack.store.record import name_of

SIZES = [0, 1, 100, 128 * KIB, 128 * KIB + 1, 1000 * KIB]


@pytest.mark.parametrize("size", SIZES)
def test_d11_what_was_put_survives_a_restart(tmp_path: Path, size: int) -> None:
    """D11: survives restart. Small bodies come into memory, large ones are sent from their file."""
    store = open_disk(tmp_path)
    put(store, "a", size, tags=("red",))
    store.close()
    again = open_disk(tmp_path)
    (stored,) = again.find("a")
    assert content(stored) == body("a", size)
    assert (stored.head, stored.url, stored.tags) == (head(), "https://example.com/a", ("red",))
    assert isinstance(stored.body, FileSegment) is (size > 128 * KIB)
    assert again.purge(tag="red") == 1
    assert again.find("a") == ()
    again.close()
    assert files(tmp_path) == []


def test_a_large_body_is_given_when_it_was_checked(tmp_path: Path) -> None:
    """It is not read on the loop; until the writer has read it, it is not there."""
    store = open_disk(tmp_path)
    put(store, "a", 2 * MIB)
    store.close()
    again = open_disk(tmp_path)
    assert again.find("a") == ()
    assert again.flush(30)
    assert found(again, "a") == [body("a", 2 * MIB)]
    again.close()


def test_all_variants_come_back(tmp_path: Path) -> None:
    """Memory that has forgotten a key learns of all its variants, also when only one is put."""
    store = open_disk(tmp_path)
    put(store, "a", 10, "de")
    put(store, "a", 10, "en")
    forget_memory(store)
    put(store, "a", 10, "fr")
    assert sorted(found(store, "a")) == sorted([body("ade", 10), body("aen", 10), body("afr", 10)])
    store.close()


@pytest.mark.parametrize("variants", [63, 64, 65, 100])
def test_variants_of_a_key_are_bounded_on_disk_too(tmp_path: Path, variants: int) -> None:
    """A stranger who asks for one page with ever new fields makes neither files nor looks at them without end."""
    store = open_disk(tmp_path)
    put(store, "b", 10)
    for number in range(variants):
        put(store, "a", 10, f"v{number}")
        forget_memory(store)
    assert len(files(tmp_path)) == min(variants, 64) + 1
    kept = {one.head.variant for one in store.find("a")}
    assert kept == {f"v{number}" for number in range(max(0, variants - 64), variants)}
    store.close()


def test_a_look_reads_no_more_than_may_be_read_on_the_loop(tmp_path: Path) -> None:
    """After a restart: of large variants as many as are a megabyte; the others once the writer has read them."""
    store = open_disk(tmp_path)
    for number in range(4):
        put(store, "a", 400 * KIB, f"v{number}")
    store.close()
    again = open_disk(tmp_path)
    assert len(again.find("a")) == 2
    assert again.flush(30)
    assert len(again.find("a")) == 4
    again.close()


@pytest.mark.parametrize("purge", [{"tag": "red"}, {"url": "/a"}, {"everything": True}])
def test_a_purge_between_the_tiers(tmp_path: Path, purge: dict[str, str]) -> None:
    """D9: it comes when a response is in memory already, and not yet on its way to the disk: nothing of it stays."""
    store = open_disk(tmp_path)
    disk = store._disk
    assert disk is not None
    own = disk.put

    def late(stored: StoredResponse) -> None:
        store.purge(**purge)  # type: ignore[arg-type]
        own(stored)

    disk.put = late  # type: ignore[method-assign]
    moment = store.moment
    assert store.put("a", head(), b"old", "https://example.com/a", ("red",), moment) is None
    disk.put = own  # type: ignore[method-assign]
    assert store.find("a") == ()
    forget_memory(store)
    assert store.find("a") == ()
    assert files(tmp_path) == []
    put(store, "a", 10)
    assert found(store, "a") == [body("a", 10)]
    store.close()


def test_another_head_for_a_large_body(tmp_path: Path) -> None:
    store = open_disk(tmp_path)
    put(store, "a", 500 * KIB)
    forget_memory(store)
    (stored,) = store.find("a")
    store.refresh(stored, head(came=2000.0))
    assert store.find("a")[0].head.came == 2000.0
    forget_memory(store)
    assert store.find("a")[0].head.came == 2000.0
    assert found(store, "a") == [body("a", 500 * KIB)]
    store.close()


def damaged(data: bytes, place: float) -> bytes:
    at = int((len(data) - 1) * place)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


DAMAGES = {
    "empty": lambda data: b"",
    "one byte": lambda data: data[:1],
    "prefix alone": lambda data: data[:40],
    "one byte less": lambda data: data[:-1],
    "one byte more": lambda data: data + b"x",
    "half of it zero": lambda data: data[: len(data) // 2] + bytes(len(data) - len(data) // 2),
    "another version": lambda data: data[:7] + b"\x02" + data[8:],
    **{f"a bit at {place:.0%}": lambda data, place=place: damaged(data, place) for place in (0, 0.01, 0.1, 0.5, 1)},
}


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("size", [300, 500 * KIB, 2 * MIB])
@pytest.mark.parametrize("damage", DAMAGES)
def test_d11_a_damaged_file_is_never_served(tmp_path: Path, damage: str, size: int, restart: bool) -> None:
    """D11: whatever became of a file, its bytes are those that were put, or there are none; and it is removed."""
    store = open_disk(tmp_path)
    put(store, "a", size)
    put(store, "b", 10)
    forget_memory(store)
    (path,) = (path for path in files(tmp_path) if path.stat().st_size > 250 and name_of("a", "") in str(path))
    path.write_bytes(DAMAGES[damage](path.read_bytes()))  # type: ignore[no-untyped-call]
    if restart:
        store.close()
        store = open_disk(tmp_path)
    for _ in range(2):
        assert store.find("a") == ()
        assert store.flush(30)
    assert not path.exists()
    assert store.statistics().broken == 1
    assert found(store, "b") == [body("b", 10)]
    put(store, "a", size)
    forget_memory(store)
    assert found(store, "a") == [body("a", size)]
    store.close()


def test_d11_every_bit_of_a_file_counts(tmp_path: Path) -> None:
    """D11: flip any one bit of a small file, and it is not served, or served as it was."""
    store = open_disk(tmp_path)
    put(store, "a", 40)
    forget_memory(store)
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << at % 8)]) + whole[at + 1 :])
        assert found(store, "a") == [], at
        put(store, "a", 40)
        forget_memory(store)
    store.close()


def test_a_file_under_another_name_is_not_served(tmp_path: Path) -> None:
    store = open_disk(tmp_path)
    put(store, "a", 100)
    forget_memory(store)
    (path,) = files(tmp_path)
    put(store, "b", 100)
    forget_memory(store)
    other = tmp_path / name_of("b", "")
    other.write_bytes(path.read_bytes())
    assert found(store, "b") == []
    store.close()


def test_what_is_not_ours_in_the_folder_harms_nothing(tmp_path: Path) -> None:
    """A FIFO, a link and a folder in the place of files: nothing hangs, nothing outside is read."""
    (tmp_path / "ab").mkdir()
    os.mkfifo(tmp_path / "ab" / "fifo")
    (tmp_path / "ab" / "link").symlink_to("/etc/passwd")
    (tmp_path / "ab" / "folder").mkdir()
    (tmp_path / "journal").write_bytes(b'torn\n["put"]\n{}\n\xff\n["put","x",1,2,3,4,5]\n')
    store = open_disk(tmp_path)
    put(store, "a", 100)
    forget_memory(store)
    assert found(store, "a") == [body("a", 100)]
    store.close()


def test_d11_the_disk_is_bounded(tmp_path: Path) -> None:
    """D11: bytes on disk stay below the bound at every moment; what was used last is still there."""
    store = open_disk(tmp_path, 1 * MIB)
    for number in range(300):
        put(store, f"k{number}", 20 * KIB)
        assert store.flush(30)
        taken = sum(path.stat().st_blocks * 512 for path in files(tmp_path))
        assert taken <= 1 * MIB
    assert taken > MIB * 0.9
    store.memory.clear()
    assert found(store, "k299") == [body("k299", 20 * KIB)]
    assert store.find("k0") == ()
    store.close()
    again = open_disk(tmp_path, MIB // 2)
    assert sum(path.stat().st_blocks * 512 for path in files(tmp_path)) <= MIB // 2
    again.close()


def test_d11_what_is_known_of_the_disk_is_bounded_too(tmp_path: Path) -> None:
    """D11: a flood of small files does not make the index outgrow the memory."""
    store = open_disk(tmp_path, 64 * MIB, MIB)
    for number in range(2000):
        put(store, f"k{number}", 10)
        if number % 20 == 0:
            assert store.flush(30)
    assert store.flush(30)
    told = store.statistics()
    assert told.memory <= told.memory_most
    assert 300 < told.files < 1000
    assert len(files(tmp_path)) == told.files
    store.close()


def test_what_comes_faster_than_the_disk_is_not_written(tmp_path: Path) -> None:
    """What waits is bounded by a quarter of the memory; the server goes on, with memory alone for the rest."""
    store = open_disk(tmp_path, 64 * MIB, 4 * MIB)
    disk = store._disk
    assert disk is not None
    with Journal(tmp_path / "journal").locked():  # the writer waits: one process can stand for two
        for number in range(40):
            put(store, f"k{number}", 100 * KIB)
            assert store.statistics().memory <= 4 * MIB
        assert disk.waiting <= MIB
        assert found(store, "k39") == [body("k39", 100 * KIB)]
    assert store.flush(30)
    assert store.statistics().unwritten == 40 - store.statistics().files > 0
    assert disk.waiting == 0
    store.close()


def test_a_purge_takes_what_waits_and_what_is_not_read_yet(tmp_path: Path) -> None:
    store = open_disk(tmp_path)
    put(store, "old", 10, tags=("red",))
    store.close()
    with Journal(tmp_path / "journal").locked():
        store = Store(MIB, tmp_path, MIB)  # its writer waits, before it has read anything
        put(store, "new", 10, tags=("red",))
        put(store, "kept", 10)
        store.purge(tag="red")
        assert store.find("new") == ()
    forget_memory(store)
    assert [found(store, key) for key in ("old", "new", "kept")] == [[], [], [body("kept", 10)]]
    assert len(files(tmp_path)) == 1
    store.close()


def test_a_folder_that_is_emptied_while_it_is_used(tmp_path: Path) -> None:
    """`rm -rf cache/*`: what was there is a miss, and the next response is stored."""
    store = open_disk(tmp_path / "cache")
    put(store, "a", 300 * KIB)
    forget_memory(store)
    subprocess.run(["rm", "-rf", *map(str, (tmp_path / "cache").iterdir())], check=True)
    assert store.find("a") == ()
    put(store, "b", 10)
    forget_memory(store)
    assert found(store, "b") == [body("b", 10)]
    store.close()


def test_a_folder_that_cannot_be_used_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be used for stored responses"):
        open_store(Cache(disk=tmp_path / "file"))


FULL = """
import resource, sys
from pathlib import Path
from store_kit import *
store = open_disk(Path(sys.argv[1]))
put(store, "small", 1000)
put(store, "before", 1000)
assert store.flush(30)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
put(store, "large", 50_000)
put(store, "before", 50_000)
assert store.flush(30)
assert found(store, "large") == [body("large", 50_000)]     # memory keeps it
store.memory.clear()
assert found(store, "large") == [] == found(store, "before")
assert found(store, "small") == [body("small", 1000)]
assert store.statistics().unwritten == 2
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
put(store, "large", 50_000)
forget_memory(store)
assert found(store, "large") == [body("large", 50_000)]
store.close()
"""


def test_d11_a_full_disk(tmp_path: Path) -> None:
    """Writing fails halfway (RLIMIT_FSIZE, as ENOSPC does): memory serves, no half is left, and the log says so."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", FULL, str(tmp_path / "cache")],
        cwd=Path(__file__).parent, env={**os.environ, "PYTHONPATH": f".{os.pathsep}../.."},
        capture_output=True, text=True, timeout=50,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count("cannot be written") == 1
    assert ran.stderr.count("can be written again") == 1
    assert not (tmp_path / "cache" / "side").exists()
