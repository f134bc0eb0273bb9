"""The outbox: order, what waits where, what is bounded, and what is given back (F14)."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edgestack.errors import Disconnected
from edgestack.http.bodies import FileSegment, OpenFile
from edgestack.wire.outbox import IN_MEMORY, Budget, Outbox

PATIENCE = 10.0


def opened(limit: int = 1 << 30, budget: Budget | None = None, gap: float = PATIENCE) -> tuple[Outbox, list[int]]:
    outbox = Outbox(limit=limit, gap=gap, budget=budget)
    wakes: list[int] = []
    outbox.open(lambda: wakes.append(1))
    return outbox, wakes


def taken(outbox: Outbox) -> bytes:
    """All that is there."""
    said = b""
    while (piece := outbox.take()) is not None:
        assert isinstance(piece, bytes)
        said += piece
    return said


def test_without_a_thread_it_is_a_list() -> None:
    outbox = Outbox(b"one", b"two")
    assert (outbox.take(), outbox.finished) == (b"one", False)
    assert outbox.take() == b"two"
    assert (outbox.take(), outbox.finished) == (None, True)


@pytest.mark.parametrize("size", [1, IN_MEMORY - 1, IN_MEMORY, IN_MEMORY + 1, 3 * IN_MEMORY])
def test_a_first_piece_stays_in_memory(size: int) -> None:
    """It is there already: a copy on disk would gain nothing."""
    outbox, _ = opened()
    data = os.urandom(size)
    outbox.put(data)
    assert outbox._spool is None
    assert outbox.waiting() == size
    assert outbox.take() is data


@pytest.mark.parametrize(
    ("second", "on_disk"), [(IN_MEMORY - 11, 0), (IN_MEMORY - 10, 0), (IN_MEMORY - 9, IN_MEMORY - 9)]
)
def test_64_kib_wait_in_memory(second: int, on_disk: int) -> None:
    """F14, at n-1, n and n+1."""
    outbox, _ = opened()
    outbox.put(b"0123456789")
    outbox.put(b"x" * second)
    assert outbox._written - outbox._read == on_disk
    assert taken(outbox) == b"0123456789" + b"x" * second
    outbox.abandon()


def test_order_is_kept_through_memory_and_disk() -> None:
    outbox, _ = opened()
    pieces = [os.urandom(size) for size in (10, 70_000, 5, 300_000, 1, 64_000)]
    said = b""
    for turn in range(3):
        for piece in pieces:
            outbox.put(piece)
        if turn == 1:
            first = outbox.take()
            assert isinstance(first, bytes)
            said += first
    outbox.close()
    said += taken(outbox)
    assert said == b"".join(pieces) * 3
    assert outbox.finished
    assert outbox.waiting() == 0
    outbox.abandon()


def test_the_taker_is_woken_once_when_it_ran_dry() -> None:
    outbox, wakes = opened()
    outbox.put(b"a")
    assert wakes == []
    assert taken(outbox) == b"a"
    assert not outbox.finished
    outbox.put(b"b")
    outbox.put(b"c")
    assert wakes == [1]
    assert taken(outbox) == b"bc"
    outbox.close()
    assert wakes == [1, 1]
    assert taken(outbox) == b""
    assert outbox.finished


class Producer:
    """A thread that puts, and what came of it."""

    def __init__(self, outbox: Outbox, *pieces: bytes | FileSegment) -> None:
        self.outcome = ""
        self.done = 0
        self._outbox = outbox
        self._pieces = pieces
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            for piece in self._pieces:
                self._outbox.put(piece)
                self.done += 1
            self.outcome = "done"
        except Disconnected as error:
            self.outcome = str(error) or "left"

    def end(self) -> str:
        self.thread.join(PATIENCE)
        return self.outcome


def until(condition: Callable[[], bool]) -> None:
    """Until the producer has come so far; its own waits are what is waited for."""
    waiting = threading.Event()
    for _ in range(2000):
        if condition():
            return
        waiting.wait(0.005)
    raise AssertionError("it never came so far")


def is_waiting(outbox: Outbox) -> Callable[[], bool]:
    return lambda: outbox._moved is not None and bool(outbox._moved._waiters)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("size", "waits"), [(999, False), (1000, False), (1001, True)])
def test_the_spool_is_bounded(size: int, waits: bool) -> None:
    """F14, at n-1, n and n+1: beyond, `put` waits until the client has taken what is before it."""
    outbox, _ = opened(limit=1000)
    outbox.put(b"x" * IN_MEMORY)
    producer = Producer(outbox, b"y" * size)
    if waits:
        until(is_waiting(outbox))
        assert taken(outbox) in (b"x" * IN_MEMORY, b"x" * IN_MEMORY + b"y" * size)
    assert producer.end() == "done"
    taken(outbox)
    outbox.abandon()


def test_pieces_larger_than_the_whole_spool_pass_one_by_one() -> None:
    """The reader goes on all the time: it is not taken for one that has stopped, however small the spool."""
    outbox, _ = opened(limit=10, gap=PATIENCE)
    pieces = [os.urandom(size) for size in (100_000, 70_000, 5, 3, 200_000, 9, 80_000)]
    producer = Producer(outbox, *pieces)
    said = b""
    whole = b"".join(pieces)

    def all_taken() -> bool:
        nonlocal said
        said += taken(outbox)
        return len(said) == len(whole)

    until(all_taken)
    assert producer.end() == "done"
    assert said == whole
    outbox.abandon()


def test_one_read_that_empties_the_spool_is_progress() -> None:
    """A small spool goes at once: what is counted is what was taken, not where the reading stands."""
    outbox, _ = opened(limit=1000)
    outbox.put(b"x" * IN_MEMORY)
    outbox.put(b"y" * 900)
    producer = Producer(outbox, b"z" * 500)
    until(is_waiting(outbox))
    assert outbox.take() == b"x" * IN_MEMORY
    assert outbox.take() == b"y" * 900
    assert producer.end() == "done"
    assert taken(outbox) == b"z" * 500
    outbox.abandon()


def test_a_client_that_takes_nothing() -> None:
    """F14: no longer than the send gap."""
    outbox, _ = opened(limit=10, gap=0.01)
    outbox.put(b"x" * IN_MEMORY)
    producer = Producer(outbox, b"y" * 11)
    assert "took nothing for 0.01 s" in producer.end()
    assert outbox.gone


def test_who_waits_is_told_when_the_client_left() -> None:
    outbox, _ = opened(limit=10)
    outbox.put(b"x" * IN_MEMORY)
    producer = Producer(outbox, b"y" * 11)
    until(is_waiting(outbox))
    outbox.abandon()
    assert producer.end() == "left"
    with pytest.raises(Disconnected):
        outbox.put(b"z")


def segment(tmp_path: Path, data: bytes) -> FileSegment:
    (tmp_path / "file").write_bytes(data)
    return FileSegment(OpenFile(os.open(tmp_path / "file", os.O_RDONLY)), 0, len(data))


def test_a_file_waits_behind_what_is_on_disk(tmp_path: Path) -> None:
    outbox, _ = opened()
    file = segment(tmp_path, b"file")
    outbox.put(b"x" * IN_MEMORY)
    outbox.put(b"y" * 100)
    producer = Producer(outbox, file, b"z")
    until(is_waiting(outbox))
    assert outbox.take() == b"x" * IN_MEMORY
    assert outbox.take() == b"y" * 100
    assert producer.end() == "done"
    assert outbox.waiting() == 5
    assert outbox.take() is file
    assert outbox.take() == b"z"
    outbox.abandon()


def test_a_file_for_a_client_that_left(tmp_path: Path) -> None:
    outbox, _ = opened()
    outbox.abandon()
    with pytest.raises(Disconnected):
        outbox.put(segment(tmp_path, b"file"))


def test_the_budget_of_all_spools() -> None:
    """Limits.spools: taken by what waits on disk, given back by what is taken or abandoned."""
    budget = Budget(1000)
    first, _ = opened(budget=budget)
    second, _ = opened(budget=budget)
    first.put(b"x" * IN_MEMORY)
    first.put(b"y" * 700)
    second.put(b"x" * IN_MEMORY)
    second.put(b"y" * 300)
    assert budget.held == 1000
    producer = Producer(second, b"z")
    until(is_waiting(second))
    assert taken(second) in (b"x" * IN_MEMORY + b"y" * 300, b"x" * IN_MEMORY + b"y" * 300 + b"z")
    assert producer.end() == "done"
    first.abandon()
    taken(second)
    second.abandon()
    assert budget.held == 0


def test_a_client_that_reads_needs_no_budget() -> None:
    """Others hold all there is: what nobody waits before stays in memory, whatever its size."""
    budget = Budget(0)
    outbox, _ = opened(budget=budget)
    for _ in range(3):
        outbox.put(b"x" * 3 * IN_MEMORY)
        assert len(taken(outbox)) == 3 * IN_MEMORY
    outbox.abandon()


def test_a_full_disk_gives_the_budget_back(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = Budget(1 << 20)
    outbox, _ = opened(budget=budget)
    outbox.put(b"x" * IN_MEMORY)
    write, calls = os.pwrite, []

    def full(fd: int, data: memoryview, at: int) -> int:
        calls.append(at)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return write(fd, data[:1000], at)

    monkeypatch.setattr("edgestack.wire.outbox.os.pwrite", full)
    with pytest.raises(OSError, match="No space"):
        outbox.put(b"y" * 5000)
    assert budget.held == 1000
    outbox.abandon()
    assert budget.held == 0


def test_the_spool_is_cut_when_it_was_emptied() -> None:
    outbox, _ = opened()
    outbox.put(b"x" * IN_MEMORY)
    outbox.put(b"y" * 1000)
    assert outbox._spool is not None
    assert os.fstat(outbox._spool.fileno()).st_size == 1000
    taken(outbox)
    assert os.fstat(outbox._spool.fileno()).st_size == 0
    outbox.abandon()
